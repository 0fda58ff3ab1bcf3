//! Counting on models whose counts are known, and on real ones.

use super::*;
use crate::compile::tests::random_graph::{Chance, random_graph};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, int, value_info};
use crate::onnx::proto::DataType;
use crate::python;
use std::path::{Path, PathBuf};

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/models")
        .join(name);
    if !path.is_file() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// Options that find ONNX Runtime in the Python of the tests; nothing where there is none.
fn onnx_runtime() -> OnnxRuntimeOptions {
    OnnxRuntimeOptions {
        library: None,
        pythons: python::with("onnxruntime").into_iter().collect(),
    }
}

fn counted(model: &ModelProto, samples: &Samples) -> Exactness {
    exactness(model, samples, &onnx_runtime(), &mut |_| {}).unwrap()
}

/// An int8 layer `y = x·w` of two inputs and two outputs.
fn layer(scale: f32) -> ModelProto {
    let mut graph = GraphBuilder::new("layer");
    let x = graph.input("x", DataType::Int8, &[Extent::Fixed(1), Extent::Fixed(2)]);
    let (s, z) = (
        graph.constant_f32("s", &[], &[0.25]),
        graph.constant_i8("z", &[], &[3]),
    );
    let real = graph.node("DequantizeLinear", &[&x, &s, &z], vec![]);
    let w = graph.constant_i8("w", &[2, 2], &[1, -3, 5, 7]);
    let w_scale = graph.constant_f32("t", &[], &[0.5]);
    let w = graph.node("DequantizeLinear", &[&w, &w_scale], vec![]);
    let y = graph.node("Gemm", &[&real, &w], vec![int("transB", 1)]);
    let y = graph.node("Relu", &[&y], vec![]);
    let (u, v) = (
        graph.constant_f32("u", &[], &[scale]),
        graph.constant_i8("v", &[], &[-5]),
    );
    let y = graph.node("QuantizeLinear", &[&y, &u, &v], vec![]);
    let mut model = graph.finish();
    model.graph.as_mut().unwrap().output = vec![value_info(y.name(), DataType::Int8, &[])];
    model
}

#[test]
fn recorded_answers_of_another_size_are_left_out_aloud() {
    let model = layer(1.0);
    let mut samples = Samples::pseudo_random(&model, 3).unwrap();
    let answers = |name: &str, bytes| (name.to_owned(), vec![vec![0; bytes]; 3]);
    samples.answers = vec![answers("same", 2), answers("longer", 5)];
    let found = counted(&model, &samples);
    assert_eq!(
        (
            recorded(&found, "longer"),
            recorded(&found, "same").is_some()
        ),
        (None, true)
    );
    let text = found.to_string();
    assert!(
        text.contains("longer skipped: it has 5 bytes an input, the output 2"),
        "{text}"
    );
}

#[test]
fn points_know_what_they_are_computed_from() {
    let Some(path) = shared("hello_int8_qdq.onnx") else {
        return;
    };
    let points = points::find(&onnx::read(&path).unwrap());
    let before: Vec<&[usize]> = points.iter().map(|point| point.before.as_slice()).collect();
    assert_eq!(before, [&[][..], &[0], &[1]]);
    assert_eq!(points[0].ops, ["MatMul", "Add", "Relu"]);
    let ends: Vec<bool> = points.iter().map(|point| point.is_output).collect();
    assert_eq!(ends, [false, false, true]);
}

#[test]
fn the_engine_computes_a_layer_exactly() {
    let model = layer(1.0);
    let found = counted(&model, &Samples::pseudo_random(&model, 200).unwrap());
    assert_eq!((found.output.bytes, found.output.engine), (400, Some(0)));
    assert!(found.passed());
    assert_eq!(found.nodes[0].ops, ["Gemm", "Relu", "QuantizeLinear"]);
    let skipped: Vec<&str> = found
        .skipped
        .iter()
        .map(|skipped| skipped.backend.as_str())
        .collect();
    assert_eq!(
        skipped.is_empty(),
        found.output.optimized.is_some(),
        "{skipped:?}"
    );
    let text = found.to_string();
    assert!(text.contains("Gemm+Relu") && text.contains("400"), "{text}");
}

#[test]
fn a_wrong_byte_is_found_with_its_value() {
    let model = layer(1.0);
    let samples = Samples::pseudo_random(&model, 50).unwrap();
    let (input, _, shape) = sample::input(&model).unwrap();
    let study = Study {
        points: points::find(&model),
        evaluator: Evaluator::new(&model).unwrap(),
        model: &model,
        input,
        shape,
        samples: &samples,
    };
    let exact = study.exact().unwrap();
    let mut engine = study.engine();
    engine[0].as_mut().unwrap()[7][1] += 1;
    let mut wrong = exact.codes.clone();
    wrong[0][9][0] -= 1;
    let others = Others {
        codes: wrong,
        makers: vec![Some("QGemm".into())],
        answers: HashMap::new(),
    };
    let counter = counts::Counter {
        study: &study,
        exact: &exact,
        engine: &engine,
        optimized: Some(&others),
        unoptimized: None,
    };
    let found = counter.count(Vec::new()).unwrap();
    assert!(!found.passed());
    assert_eq!(
        (found.output.engine, found.output.optimized),
        (Some(1), Some(1))
    );
    assert_eq!(
        (found.output.engine_from_optimized, found.output.unoptimized),
        (Some(2), None)
    );
    let [first, second] = found.differences.as_slice() else {
        panic!("{:?}", found.differences);
    };
    assert_eq!(
        (first.input, first.element, first.engine),
        (7, 1, Some(first.exact + 1))
    );
    assert_eq!(
        (second.input, second.element, second.optimized),
        (9, 0, Some(second.exact - 1))
    );
    let departure = found.nodes[0].optimized.as_ref().unwrap();
    assert_eq!(departure.departing, 1);
    assert!(
        departure
            .because
            .as_ref()
            .unwrap()
            .starts_with("QGemm sums in int32")
    );
    assert!(found.to_string().contains("yes, 1"), "{found}");
}

#[test]
fn a_model_without_quantization_is_refused() {
    let mut graph = GraphBuilder::new("float");
    let x = graph.input("x", DataType::Float, &[Extent::Fixed(1)]);
    let y = graph.node("Relu", &[&x], vec![]);
    graph.output(&y, "y", DataType::Float, &[Extent::Fixed(1)]);
    let model = graph.finish();
    let samples = Samples::pseudo_random(&model, 1).unwrap();
    let error = exactness(&model, &samples, &onnx_runtime(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ExactnessError::NotQuantized));
}

/// Counts a model of the shared folder on its samples and prints the table.
fn real(name: &str) -> Option<Exactness> {
    let model = onnx::read(&shared(&format!("{name}_int8_qdq.onnx"))?).unwrap();
    let samples = Samples::read(&shared(&format!("{name}_samples.npz"))?, &model, 20).unwrap();
    let found = counted(&model, &samples);
    eprintln!("{name}\n{found}");
    Some(found)
}

fn recorded(found: &Exactness, name: &str) -> Option<usize> {
    let answers = found.recorded.iter().find(|answers| answers.name == name)?;
    answers.from_engine
}

#[test]
fn hello_is_exact_everywhere() {
    let Some(found) = real("hello") else {
        return;
    };
    assert!(found.passed());
    assert_eq!(recorded(&found, "onnx_int8_ort"), Some(0));
    assert_eq!(recorded(&found, "onnx_int8_ort_noopt"), Some(0));
}

#[test]
fn the_autoencoder_is_exact_where_onnx_runtime_agrees_with_itself() {
    let Some(found) = real("ad") else {
        return;
    };
    assert!(found.passed());
    assert_eq!(found.output.bytes, 12_800);
}

/// Where ONNX Runtime was asked: every byte it made wrong has a reason, and no output differs
/// without a node where exact arithmetic was left.
fn is_traced(found: &Exactness) {
    for (differing, of) in [
        (
            found.output.optimized,
            (|node| &node.optimized) as fn(&PointCounts) -> &Option<Departure>,
        ),
        (found.output.unoptimized, |node| &node.unoptimized),
    ] {
        let departures: Vec<&Departure> = found
            .nodes
            .iter()
            .filter_map(|node| of(node).as_ref())
            .collect();
        let departing: usize = departures.iter().map(|departure| departure.departing).sum();
        assert!(differing.unwrap_or(0) == 0 || departing > 0, "{found}");
        let explained = |departure: &&Departure| {
            (departure.departing > 0)
                == (departure.because.is_some() && departure.example.is_some())
        };
        assert!(departures.iter().all(explained), "{found}");
    }
}

#[test]
fn image_classification_is_exact_in_the_engine_and_traced_in_onnx_runtime() {
    let Some(found) = real("ic") else {
        return;
    };
    assert!(found.passed(), "{found}");
    assert_eq!(found.output.bytes, 200);
    assert_eq!(found.nodes.len(), 15);
    assert!(found.nodes.iter().all(|node| node.engine == Some(0)));
    assert_eq!(recorded(&found, "onnx_int8_ort"), Some(6));
    assert_eq!(recorded(&found, "onnx_int8_ort_noopt"), Some(6));
    is_traced(&found);
}

#[test]
fn keyword_spotting_is_exact_in_the_engine_and_traced_in_onnx_runtime() {
    let Some(found) = real("kws") else {
        return;
    };
    assert!(found.passed(), "{found}");
    assert_eq!(found.output.bytes, 240);
    assert_eq!(found.nodes.len(), 12);
    assert!(found.nodes.iter().all(|node| node.engine == Some(0)));
    assert_eq!(recorded(&found, "onnx_int8_ort"), Some(2));
    assert_eq!(recorded(&found, "onnx_int8_ort_noopt"), Some(5));
    is_traced(&found);
}

#[test]
fn networks_that_onnx_runtime_quantised_are_exact_in_the_engine() {
    for name in ["q_mlp_QDQ_pc", "q_mlp_QDQ_pt", "q_dscnn_QDQ_pc"] {
        let Some(path) = shared(&format!("imported/{name}.onnx")) else {
            return;
        };
        let model = onnx::read(&path).unwrap();
        let found = counted(&model, &Samples::pseudo_random(&model, 4).unwrap());
        eprintln!("{name}\n{found}");
        assert!(found.passed(), "{name}\n{found}");
        is_traced(&found);
    }
}

/// Largest step by which ONNX Runtime, computing in floats, differs from the oracle on a random
/// graph; bytes compared, and bytes that differ.
fn compare_oracle(seed: u64, options: &OnnxRuntimeOptions) -> (u64, usize, usize) {
    let graph = random_graph(&mut Chance::new(seed));
    let samples = Samples::pseudo_random(&graph.model, 3).unwrap();
    let (input, _, shape) = sample::input(&graph.model).unwrap();
    let study = Study {
        points: points::find(&graph.model),
        evaluator: Evaluator::new(&graph.model).unwrap(),
        model: &graph.model,
        input,
        shape,
        samples: &samples,
    };
    let last = study.points.len() - 1;
    let exact = study
        .exact()
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let others = study.others(Rewrites::None, options);
    let others = others.unwrap_or_else(|error| panic!("seed {seed} {:?}: {error}", graph.ops));
    let (mut most, mut bytes, mut differing) = (0, 0, 0);
    for (point, (exact, got)) in exact.codes.iter().zip(&others.codes).enumerate() {
        for (a, b) in exact.iter().flatten().zip(got.iter().flatten()) {
            // Behind a first difference, larger ones may follow.
            let distance = if point == 0 || last == 0 {
                a.abs_diff(*b)
            } else {
                0
            };
            most = most.max(distance);
            differing += usize::from(a != b);
            bytes += 1;
        }
        assert_eq!(exact.len(), got.len(), "seed {seed} {:?}", graph.ops);
        assert!(
            exact.iter().zip(got).all(|(a, b)| a.len() == b.len()),
            "seed {seed}"
        );
    }
    (most, bytes, differing)
}

#[test]
fn the_oracle_and_onnx_runtime_in_floats_are_seldom_a_step_apart() {
    let options = onnx_runtime();
    if options.find().is_none() {
        eprintln!("skipped: no ONNX Runtime");
        return;
    }
    let (mut bytes, mut differing) = (0, 0);
    for seed in 0..400 {
        let (most, compared, differ) = compare_oracle(seed, &options);
        assert!(most <= 1, "seed {seed}: {most} steps apart");
        bytes += compared;
        differing += differ;
    }
    eprintln!("{differing} of {bytes} bytes differ between exact arithmetic and floats");
    assert!(
        bytes > 10_000 && differing < bytes / 50,
        "{differing} of {bytes}"
    );
}
