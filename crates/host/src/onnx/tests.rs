use super::builder::{self, Extent, GraphBuilder};
use super::proto::{DataType, ModelProto};
use super::*;
use proptest::prelude::*;
use std::path::PathBuf;

fn shared_models() -> Vec<PathBuf> {
    let root = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/models"
    ));
    let folders = [root.to_owned(), root.join("imported")];
    let entries = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "onnx")
    });
    paths.sort();
    paths
}

#[test]
fn reading_and_writing_real_files_loses_nothing_declared() {
    let paths = shared_models();
    if paths.is_empty() {
        eprintln!("skipped: no models beside the repository");
        return;
    }
    let mut nodes = 0;
    for path in &paths {
        let model = read(path).unwrap();
        assert_eq!(
            decode(&encode(&model)).unwrap(),
            model,
            "{}",
            path.display()
        );
        nodes += model.graph().unwrap().node.len();
    }
    assert!(
        paths.len() >= 10 && nodes > 100,
        "{} files, {nodes} nodes",
        paths.len()
    );
}

#[test]
fn initializers_of_real_files_can_be_read_with_their_types() {
    let paths = shared_models();
    if paths.is_empty() {
        eprintln!("skipped: no models beside the repository");
        return;
    }
    let mut read_values = 0;
    for path in &paths {
        let model = read(path).unwrap();
        for tensor in &model.graph().unwrap().initializer {
            read_values += match tensor.element_type().unwrap() {
                DataType::Float => tensor.to_f32().unwrap().len(),
                DataType::Int64 => tensor.to_i64().unwrap().len(),
                DataType::Int32 => tensor.to_i32().unwrap().len(),
                DataType::Int8 => tensor.to_i8().unwrap().len(),
                DataType::Uint8 => tensor.to_u8().unwrap().len(),
                _ => 0,
            };
        }
    }
    assert!(read_values > 100_000, "{read_values} values read");
}

#[test]
fn a_tensor_whose_values_do_not_fill_its_shape_is_refused() {
    let tensor = builder::tensor("weights", DataType::Float, &[2, 3], vec![0; 20]);
    assert!(matches!(tensor.to_f32(), Err(OnnxError::Tensor { name, .. }) if name == "weights"));
    assert!(tensor.to_i8().is_err());
}

#[test]
fn constants_of_the_same_wish_get_different_names() {
    let mut graph = GraphBuilder::new("names");
    let first = graph.constant_f32("scale", &[1], &[1.0]);
    let second = graph.constant_f32("scale", &[1], &[2.0]);
    assert_ne!(first, second);
}

fn small_model(values: &[f32], integers: &[i64], bytes: &[i8]) -> ModelProto {
    let mut graph = GraphBuilder::new("property");
    let input = graph.input(
        "input",
        DataType::Float,
        &[Extent::Named("batch"), Extent::Fixed(values.len())],
    );
    let weights = graph.constant_f32("weights", &[values.len()], values);
    graph.constant_i8("quantized", &[bytes.len()], bytes);
    let shape = graph.constant_i64("shape", &[integers.len()], integers);
    let attributes = vec![
        builder::int("axis", integers.first().copied().unwrap_or(0)),
        builder::ints("axes", integers.to_vec()),
        builder::floats("values", values.to_vec()),
        builder::float("alpha", 0.0),
        builder::string("mode", "linear"),
        builder::strings("modes", &["BRANCH_LEQ", "LEAF"]),
    ];
    let product = graph.node("Mul", &[&input, &weights], attributes);
    let reshaped = graph.node("Reshape", &[&product, &shape], vec![]);
    graph.output(
        &reshaped,
        "output",
        DataType::Float,
        &[Extent::Named("batch")],
    );
    let mut model = graph.finish();
    builder::set_metadata(&mut model, "labels", "[\"a\",\"b\"]");
    model
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same_model(
        values in prop::collection::vec(-1e30f32..1e30, 0..40),
        integers in prop::collection::vec(any::<i64>(), 0..10),
        bytes in prop::collection::vec(any::<i8>(), 0..40),
    ) {
        let model = small_model(&values, &integers, &bytes);
        let back = decode(&encode(&model)).unwrap();
        prop_assert_eq!(&back, &model);
        let graph = back.graph().unwrap();
        prop_assert_eq!(graph.initializer("weights").unwrap().to_f32().unwrap(), values);
        prop_assert_eq!(graph.initializer("quantized").unwrap().to_i8().unwrap(), bytes);
        prop_assert_eq!(graph.node[0].ints("axes").unwrap(), &integers[..]);
        prop_assert_eq!(graph.node[0].float("alpha"), Some(0.0));
        prop_assert_eq!(back.opset("ai.onnx"), Some(builder::OPSET));
    }

    #[test]
    fn damaged_bytes_give_an_error_or_a_model_and_never_a_panic(
        position in 0usize..400, value in any::<u8>(),
    ) {
        let mut bytes = encode(&small_model(&[1.0, 2.0], &[2], &[3]));
        let position = position % bytes.len();
        bytes[position] = value;
        if let Ok(model) = decode(&bytes) {
            for tensor in model.graph.iter().flat_map(|graph| &graph.initializer) {
                let _ = (tensor.to_f32(), tensor.to_i64(), tensor.to_i8(), tensor.shape());
            }
        }
    }
}

#[test]
fn a_file_that_is_no_model_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for content in [&b"no model at all"[..], b""] {
        let path = folder.path().join("notes.onnx");
        std::fs::write(&path, content).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}: not an ONNX model: ", path.display())),
            "{error}"
        );
    }
}
