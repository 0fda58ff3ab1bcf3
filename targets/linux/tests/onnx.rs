//! ONNX models through the agent: from the command line and from a bundle.

mod support;

use dunlin_agent::onnx::{OnnxError, OnnxModel};
use dunlin_wire::baseline::{ChannelReference, FalseAlarms, Reference, Statistic};
use dunlin_wire::bundle::{Draft, Provenance, Requirements, SectionDraft, SectionKind};
use dunlin_wire::golden::{GoldenDraft, Vector};
use dunlin_wire::schema::{Channel, ElementType, Schema};
use std::path::Path;
use support::{Folder, TARGET, eventually, f32_bytes, onnx, records, windows};

const START_MS: i64 = 1_700_000_000_000;

#[test]
fn a_model_answers_label_and_probabilities() {
    let model = OnnxModel::load(&onnx::two_classes()).expect("loads");
    assert_eq!((model.input_values(), model.scores()), (2, 2));
    assert_eq!(
        model.list("labels"),
        Some(vec!["left".into(), "right".into()])
    );
    let answer = model.run(&[0.0, 3f32.ln()]).expect("runs");
    assert_eq!(answer.label, Some(1));
    assert!((answer.confidence() - 0.75).abs() < 1e-6, "{answer:?}");
    let wrong = model.run(&[1.0]);
    assert_eq!(
        wrong,
        Err(OnnxError::InputLength {
            expected: 2,
            got: 1
        })
    );
}

#[test]
fn models_made_elsewhere_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/models");
    if !Path::new(folder).exists() {
        eprintln!("skipped: no models in {folder}");
        return;
    }
    let mut ran = 0;
    for name in [
        "hello_fp32",
        "kws_fp32",
        "kws_int8_qdq",
        "ad_fp32",
        "rf_bc_10",
    ] {
        let path = Path::new(folder).join(name).with_extension("onnx");
        let model = OnnxModel::load(&std::fs::read(&path).expect("reads"));
        let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
        let input: Vec<f32> = (0..model.input_values())
            .map(|at| (at % 5) as f32 / 5.0)
            .collect();
        let answer = model
            .run(&input)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(answer.label.is_some(), model.classifies(), "{name}");
        assert!(
            (0.0..=1.0).contains(&answer.confidence()),
            "{name}: {answer:?}"
        );
        ran += 1;
    }
    assert_eq!(ran, 5);
}

#[test]
fn a_file_on_the_command_line_is_run_and_watched() {
    let folder = Folder::new();
    let model = folder.file("model.onnx", &onnx::two_classes());
    let arguments = ["--model", model.to_str().expect("text"), "--stdin", "csv"];
    for boot in 1..3 {
        let mut agent = folder.start(&arguments);
        agent.write("time,second,first\n");
        for at in 0..4 {
            agent.write(&format!("{},{at},1.5\n", START_MS + 1000 * at));
        }
        let mut link = agent.link();
        let window = eventually("a window", || {
            link.close_window()
                .expect("answers")
                .then(|| windows(&records(&mut link)).pop())
                .flatten()
        });
        assert_eq!(link.info().expect("answers").boot, boot);
        assert!(window.inputs >= 1 && window.errors == 0, "{window:?}");
        let answer = link.infer(&f32_bytes(&[0.0, 3f32.ln()])).expect("runs");
        assert_eq!(answer.label(), Some(1));
        let probabilities: Vec<f32> = answer.probabilities().collect();
        assert!((probabilities[1] - 0.75).abs() < 1e-6, "{probabilities:?}");
        agent.kill();
    }
}

#[test]
fn a_bundle_may_hold_onnx_and_is_tried_on_its_golden_vectors() {
    let folder = Folder::new();
    let agent = folder.start(&[]);
    let mut link = agent.link();
    link.put_bundle(&bundle(1, 0.25), |_| ())
        .expect("takes the bytes");
    link.activate().expect_err("the golden vector is wrong");
    assert_eq!(link.info().expect("answers").bundle, None);
    link.put_bundle(&bundle(2, 0.75), |_| ())
        .expect("takes the bytes");
    link.activate().expect("runs");
    let answer = link.infer(&f32_bytes(&[5.0, 1.0])).expect("runs");
    assert_eq!(answer.label(), Some(0));
}

/// An ONNX bundle whose golden vector says that `[0, ln 3]` gives the second class this probability.
fn bundle(version: u32, probability: f32) -> Vec<u8> {
    let channel = |name| Channel {
        name,
        unit: "",
        minimum: -9.0,
        maximum: 9.0,
    };
    let schema = Schema {
        steps: 1,
        element: ElementType::F32,
        channels: ["first", "second"].map(channel).into_iter().collect(),
        labels: ["left", "right"].into_iter().collect(),
        ..Schema::default()
    };
    let reference = Reference {
        statistic: Statistic::PSI,
        window_ms: 10_000,
        minimum_samples: 5,
        false_alarms: FalseAlarms::default(),
        channels: &[ChannelReference {
            edges: [0.0; 15],
            counts: [1; 16],
            threshold: 1.0,
        }; 2],
        prediction_counts: &[1, 1],
        prediction_threshold: 1.0,
    };
    let input = f32_bytes(&[0.0, 3f32.ln()]);
    let (label, scores) = (
        1i32.to_le_bytes(),
        f32_bytes(&[1.0 - probability, probability]),
    );
    let vector = Vector {
        input: &input,
        outputs: [&label[..], &scores].into_iter().collect(),
    };
    let golden = GoldenDraft {
        tolerance: 1e-5,
        elements: &[ElementType::I32, ElementType::F32],
        vectors: &[vector],
    };
    let encoded = |write: &dyn Fn(&mut [u8]) -> usize| {
        let mut buffer = vec![0; 4096];
        let length = write(&mut buffer);
        buffer.truncate(length);
        buffer
    };
    let sections = [
        (SectionKind::ONNX, onnx::two_classes()),
        (
            SectionKind::SCHEMA,
            encoded(&|buffer| schema.encode(buffer).expect("fits")),
        ),
        (
            SectionKind::BASELINE,
            encoded(&|buffer| reference.encode(buffer).expect("fits")),
        ),
        (
            SectionKind::GOLDEN,
            encoded(&|buffer| golden.encode(buffer).expect("fits")),
        ),
    ];
    let sections: Vec<SectionDraft<'_>> = sections
        .iter()
        .map(|(kind, content)| SectionDraft {
            kind: *kind,
            content,
        })
        .collect();
    support::bundle::sign(&Draft {
        name: "two-classes",
        version,
        target: TARGET,
        kernel_class: "reference",
        requires: Requirements::default(),
        provenance: Provenance {
            tool: "tests",
            ..Provenance::default()
        },
        sections: &sections,
    })
}
