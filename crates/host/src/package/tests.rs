use dunlin_wire::bundle::{self, BundleError};

use super::*;
use crate::data::ChannelSchema;
use crate::verify::{Answer, Backend, BackendError};

struct First;

impl Backend for First {
    fn name(&self) -> &str {
        "first"
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        Ok(Answer {
            label: Some(0),
            scores: vec![input[0], 1.0 - input[0]],
        })
    }
}

fn key() -> SecretKey {
    SecretKey::generate().unwrap()
}

fn schema() -> InputSchema {
    let channel = |name: &str| ChannelSchema {
        name: name.to_owned(),
        unit: "ppm".to_owned(),
        minimum: 0.0,
        maximum: 5000.0,
    };
    InputSchema {
        steps: 1,
        channels: vec![channel("CO2"), channel("VOC")],
        sample_period_ms: 60_000,
        stuck_after: 30,
    }
}

struct Fixture {
    target: Target,
    schema: InputSchema,
    labels: Vec<String>,
    golden: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let inputs = [[0.25_f32, 1.0], [0.75, 2.0]];
        Self {
            target: Target::find("local").unwrap(),
            schema: schema(),
            labels: vec!["empty".to_owned(), "occupied".to_owned()],
            golden: golden::from_backend(&mut First, 0.001, inputs.iter().map(|input| &input[..]))
                .unwrap(),
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            name: "occupancy",
            version: 3,
            previous: Some(Previous {
                version: 2,
                path: Path::new("occupancy-2.bundle"),
            }),
            target: &self.target,
            plan: None,
            onnx: Some(b"a model"),
            schema: &self.schema,
            labels: &self.labels,
            baseline: None,
            golden: &self.golden,
            made_from: MadeFrom {
                recipe: Digest([1; 32]),
                data: Digest([2; 32]),
                model: Digest([3; 32]),
            },
        }
    }
}

#[test]
fn a_packaged_bundle_is_verified_and_shown() {
    let (fixture, key) = (Fixture::new(), key());
    let packaged = package(&fixture.parts(), &key).unwrap();
    let shown = show(&packaged.bytes, &[key.public()]).unwrap();
    assert_eq!(shown.id, packaged.id.to_string());
    assert_eq!((shown.name.as_str(), shown.version), ("occupancy", 3));
    assert_eq!(shown.channels, ["CO2 [ppm]", "VOC [ppm]"]);
    assert_eq!(
        shown
            .sections
            .iter()
            .map(|section| section.kind.as_str())
            .collect::<Vec<_>>(),
        ["onnx", "schema", "golden"]
    );
    assert!(shown.to_string().contains("occupied"));
    assert_eq!(serde_json::to_value(&shown).unwrap()["golden_vectors"], 2);
}

/// Logistic regression of two channels.
fn plan() -> Vec<u8> {
    use crate::compile::{CompileOptions, compile};
    use crate::onnx::builder::{Extent, GraphBuilder, int};
    use crate::onnx::proto::DataType;

    let mut graph = GraphBuilder::new("model");
    let rows = [Extent::Named("batch"), Extent::Fixed(2)];
    let input = graph.input("input", DataType::Float, &rows);
    let weights = graph.constant_f32("weights", &[2, 2], &[2.0, 0.5, -0.25, 1.5]);
    let bias = graph.constant_f32("bias", &[2], &[0.125, 0.0]);
    let logits = graph.node("Gemm", &[&input, &weights, &bias], vec![]);
    let probabilities = graph.node("Softmax", &[&logits], vec![int("axis", 1)]);
    let label = graph.node(
        "ArgMax",
        &[&logits],
        vec![int("axis", 1), int("keepdims", 0)],
    );
    graph.output(&label, "label", DataType::Int64, &[Extent::Named("batch")]);
    graph.output(&probabilities, "probabilities", DataType::Float, &rows);
    compile(&graph.finish(), &CompileOptions::default())
        .unwrap()
        .plan
}

#[test]
fn a_plan_is_packaged_with_what_it_needs_and_what_it_answers() {
    let (mut fixture, key, plan) = (Fixture::new(), key(), plan());
    fixture.target = Target::find("qemu-cortex-m4f").unwrap();
    let inputs = [[0.25_f32, 1.0], [0.75, -2.0]];
    fixture.golden = golden::from_plan(&plan, inputs.iter().map(|input| &input[..])).unwrap();
    let parts = Parts {
        plan: Some(&plan),
        onnx: None,
        ..fixture.parts()
    };
    let packaged = package(&parts, &key).unwrap();

    let shown = show(&packaged.bytes, &[key.public()]).unwrap();
    assert!(!shown.kernels.is_empty() && shown.arena_bytes > 0 && shown.plan_format > 0);
    let trusted = [key.public()];
    let golden = bundle::verify(&packaged.bytes, &trusted)
        .unwrap()
        .golden()
        .unwrap();
    assert_eq!(
        (golden.len(), golden.tolerance(), golden.elements().len()),
        (2, 0.0, 2)
    );
    let mut local = crate::verify::Local::load(&plan).unwrap();
    for (vector, input) in golden.vectors().zip(&inputs) {
        let outputs = local.outputs(input).unwrap();
        assert!(vector.outputs.iter().eq(outputs.iter()));
    }

    let mut tight = fixture.target.clone();
    tight.budget.arena_bytes = u64::from(shown.arena_bytes) - 1;
    let error = package(
        &Parts {
            target: &tight,
            ..parts
        },
        &key,
    )
    .unwrap_err();
    assert!(
        matches!(error, PackageError::OverBudget { what: "arena", .. }),
        "{error}"
    );
    let mut wider = fixture.schema.clone();
    wider.steps = 2;
    let error = package(
        &Parts {
            schema: &wider,
            ..parts
        },
        &key,
    )
    .unwrap_err();
    assert!(
        matches!(
            error,
            PackageError::InputWidth {
                expected: 4,
                got: 2
            }
        ),
        "{error}"
    );
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    let (fixture, key) = (Fixture::new(), key());
    let one = package(&fixture.parts(), &key).unwrap();
    assert_eq!(package(&fixture.parts(), &key).unwrap(), one);
    let newer = Parts {
        version: 4,
        ..fixture.parts()
    };
    assert_ne!(package(&newer, &key).unwrap().id, one.id);
}

#[test]
fn an_older_version_is_refused_and_an_equal_one_is_not() {
    let (fixture, key) = (Fixture::new(), key());
    let of_version = |version, previous: Option<u32>| {
        let previous = previous.map(|version| Previous {
            version,
            path: Path::new("runs/x/x.bundle"),
        });
        let parts = Parts {
            version,
            previous,
            ..fixture.parts()
        };
        package(&parts, &key)
    };
    for (version, previous) in [(1, 2), (3, u32::MAX)] {
        let error = of_version(version, Some(previous)).unwrap_err();
        assert!(
            matches!(error, PackageError::VersionOlder { .. }),
            "{error}"
        );
        assert!(
            error.to_string().starts_with("runs/x/x.bundle: "),
            "{error}"
        );
    }
    assert!(matches!(of_version(0, None), Err(PackageError::NoVersion)));
    for (version, previous) in [(2, Some(2)), (1, None), (u32::MAX, Some(u32::MAX))] {
        assert!(of_version(version, previous).is_ok(), "{version}");
    }
}

#[test]
fn a_bundle_over_the_targets_budget_is_refused() {
    let mut fixture = Fixture::new();
    fixture.target.budget.flash_bytes = 200;
    let error = package(&fixture.parts(), &key()).unwrap_err();
    assert!(
        matches!(
            error,
            PackageError::OverBudget {
                what: "flash",
                budget: 200,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_target_that_runs_no_onnx_takes_none() {
    let mut fixture = Fixture::new();
    fixture.target = Target::find("qemu-cortex-m4f").unwrap();
    assert!(matches!(
        package(&fixture.parts(), &key()),
        Err(PackageError::NotForTarget { .. })
    ));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    let broken_plan = Parts {
        plan: Some(b"no plan"),
        ..fixture.parts()
    };
    assert!(matches!(
        package(&broken_plan, &key()),
        Err(PackageError::Plan(_))
    ));
    let broken_baseline = Parts {
        baseline: Some(b"no baseline"),
        ..fixture.parts()
    };
    assert!(matches!(
        package(&broken_baseline, &key()),
        Err(PackageError::Baseline(_))
    ));
    let no_model = Parts {
        onnx: None,
        ..fixture.parts()
    };
    assert!(matches!(
        package(&no_model, &key()),
        Err(PackageError::Refused(BundleError::MissingSection { .. }))
    ));
    let many: Vec<String> = (0..17).map(|label| label.to_string()).collect();
    let many_labels = Parts {
        labels: &many,
        ..fixture.parts()
    };
    assert!(matches!(
        package(&many_labels, &key()),
        Err(PackageError::TooMany { what: "labels", .. })
    ));
    let mut reversed = Fixture::new();
    reversed.schema.channels[0].minimum = 6000.0;
    assert!(matches!(
        package(&reversed.parts(), &key()),
        Err(PackageError::Schema(_))
    ));
}

#[test]
fn a_bundle_is_shown_to_those_who_trust_its_key_only() {
    let fixture = Fixture::new();
    let packaged = package(&fixture.parts(), &key()).unwrap();
    assert!(matches!(
        show(&packaged.bytes, &[key().public()]),
        Err(BundleError::UnknownKey { .. })
    ));
}

#[test]
fn another_cose_implementation_verifies_the_signature() {
    use coset::{CborSerializable, TaggedCborSerializable};
    use ed25519_dalek::{Signature, VerifyingKey};

    let (fixture, key) = (Fixture::new(), key());
    let packaged = package(&fixture.parts(), &key).unwrap();
    let signed = bundle::signed_bytes(&packaged.bytes).unwrap();
    let sign1 = coset::CoseSign1::from_tagged_slice(signed).unwrap();
    let algorithm = coset::iana::Algorithm::EdDSA;
    assert_eq!(
        sign1.protected.header.alg,
        Some(coset::RegisteredLabelWithPrivate::Assigned(algorithm))
    );
    assert_eq!(sign1.protected.header.key_id, key.public().id().0);
    let public = VerifyingKey::from_bytes(&key.public().0).unwrap();
    let verify = |signature: &[u8], message: &[u8]| {
        let signature = Signature::from_slice(signature)?;
        public.verify_strict(message, &signature)
    };
    assert!(sign1.verify_signature(b"", verify).is_ok());
    assert!(sign1.verify_signature(b"other data", verify).is_err());
    let manifest = coset::cbor::Value::from_slice(sign1.payload.as_deref().unwrap()).unwrap();
    assert_eq!(manifest.as_map().unwrap().len(), 8);
}

#[test]
fn pycose_verifies_the_signature() {
    let (fixture, key) = (Fixture::new(), key());
    let packaged = package(&fixture.parts(), &key).unwrap();
    let Some(python) = python_with("pycose") else {
        eprintln!("skipped: no Python with pycose found (DUNLIN_PYTHON, target/python)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signed.cose");
    let signed = bundle::signed_bytes(&packaged.bytes).unwrap().to_vec();
    let verdict = |bytes: &[u8], public: &str| {
        std::fs::write(&file, bytes).unwrap();
        let output = std::process::Command::new(&python)
            .args(["-c", PYCOSE])
            .arg(&file)
            .arg(public)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let public = key.public().to_string();
    assert_eq!(
        verdict(&signed, &public),
        format!("True EDDSA {} occupancy", key.public().id())
    );
    assert!(verdict(&signed, &self::key().public().to_string()).starts_with("False "));
    let mut altered = signed.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(verdict(&altered, &public).starts_with("False "));
}

/// Unpacks the tag itself: pycose 1.1 expects the list and dict that cbor2 gave before version 6.
const PYCOSE: &str = r"
import sys, cbor2
from pycose.messages import Sign1Message
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.headers import KID, Algorithm
tagged = cbor2.loads(open(sys.argv[1], 'rb').read())
assert tagged.tag == Sign1Message.cbor_tag
parts = [part if isinstance(part, bytes) else dict(part) for part in tagged.value]
message = Sign1Message.from_cose_obj(parts, False)
message.key = OKPKey(crv=Ed25519, x=bytes.fromhex(sys.argv[2]))
valid = message.verify_signature()
print(valid, message.phdr[Algorithm].fullname, message.phdr[KID].hex(), cbor2.loads(message.payload)[1])
";

/// A Python interpreter that has `package`: `DUNLIN_PYTHON`, then the one under `target/`.
fn python_with(package: &str) -> Option<std::path::PathBuf> {
    let set = std::env::var_os("DUNLIN_PYTHON").map(std::path::PathBuf::from);
    let own = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/python/bin/python"
    )
    .into();
    let import = format!("import {package}");
    set.into_iter().chain([own]).find(|python| {
        let tried = std::process::Command::new(python)
            .args(["-c", &import])
            .output();
        tried.is_ok_and(|output| output.status.success())
    })
}
