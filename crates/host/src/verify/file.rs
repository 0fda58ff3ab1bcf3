//! An ONNX file that gives floats: the engine beside tract and ONNX Runtime.

use super::{
    Answer, Backend, BackendError, Local, OnnxRuntime, OnnxRuntimeOptions, Rival, Skipped,
    Tolerance, Tract, Verification, verify,
};
use crate::compile::{CompileOptions, compile};
use crate::onnx::proto::{DataType, GraphProto, ModelProto};

/// Compares the engine with both libraries on `inputs`, the first float output and the label.
///
/// A library that cannot load or run the model is skipped, with its words.
///
/// # Errors
/// When the model cannot be compiled, or an input does not fit.
pub fn verify_file(
    model: &ModelProto,
    inputs: &[Vec<f32>],
    tolerance: Tolerance,
    options: &OnnxRuntimeOptions,
) -> Result<Verification, BackendError> {
    let failed = |error: &dyn std::fmt::Display| BackendError::new("local", error);
    let graph = model.graph().map_err(|error| failed(&error))?;
    let has_names = graph.output.iter().any(is_text);
    let compiled = compile(model, &CompileOptions::default()).map_err(|error| failed(&error))?;
    let mut reference = Unnamed {
        local: Local::load(&compiled.plan)?,
        has_names,
    };
    let bytes = crate::onnx::encode(&plain(model));
    let loaded: [(&str, Result<Box<dyn Backend>, BackendError>); 2] = [
        (
            "tract",
            Tract::load(&bytes).map(|tract| Box::new(tract) as _),
        ),
        (
            "onnxruntime",
            OnnxRuntime::load(&bytes, options).map(|runtime| Box::new(runtime) as _),
        ),
    ];
    let (mut rivals, mut skipped) = (Vec::new(), Vec::new());
    for (name, backend) in loaded {
        let tried = backend.and_then(|mut backend| {
            let first = inputs.first().map(|input| backend.run(input));
            first.transpose().map(|_| backend)
        });
        match tried {
            Ok(backend) => rivals.push(Rival { backend, tolerance }),
            Err(error) => skipped.push(Skipped {
                backend: name.to_owned(),
                reason: error.reason,
            }),
        }
    }
    let inputs = inputs.iter().map(Vec::as_slice);
    let mut found = verify(&mut reference, &mut rivals, inputs)?;
    found.skipped = skipped;
    Ok(found)
}

/// The engine, whose label is left out where the model gives names of classes.
struct Unnamed<'p> {
    local: Local<'p>,
    has_names: bool,
}

impl Backend for Unnamed<'_> {
    fn name(&self) -> &str {
        self.local.name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        let answer = self.local.run(input)?;
        Ok(Answer {
            label: answer.label.filter(|_| !self.has_names),
            ..answer
        })
    }
}

fn is_text(output: &crate::onnx::proto::ValueInfoProto) -> bool {
    output.element_type() == Some(DataType::String)
}

/// The model with tensors as outputs: no maps from classes to probabilities, no names of classes.
fn plain(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        graph.output.retain(|output| !is_text(output));
        let maps: Vec<[String; 2]> = graph.node.iter().filter_map(mapped).collect();
        graph.node.retain(|node| mapped(node).is_none());
        for [from, to] in maps {
            rename(graph, &from, &to);
        }
    }
    model
}

/// What a `ZipMap` takes and gives.
fn mapped(node: &crate::onnx::proto::NodeProto) -> Option<[String; 2]> {
    let is_map = node.op_type == "ZipMap";
    is_map.then(|| Some([node.input.first()?.clone(), node.output.first()?.clone()]))?
}

/// Makes an output called `to` one of the tensor `from`.
fn rename(graph: &mut GraphProto, from: &str, to: &str) {
    for output in graph.output.iter_mut().filter(|output| output.name == to) {
        *output = crate::onnx::builder::value_info(from, DataType::Float, &[]);
        if let Some(crate::onnx::proto::TypeProto {
            value: Some(crate::onnx::proto::TypeValue::Tensor(tensor)),
            ..
        }) = &mut output.r#type
        {
            tensor.shape = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::builder::{Extent, GraphBuilder, strings};

    fn model(factor: f32) -> ModelProto {
        let mut graph = GraphBuilder::new("scaled");
        let extents = [Extent::Named("batch"), Extent::Fixed(3)];
        let input = graph.input("input", DataType::Float, &extents);
        let factor = graph.constant_f32("factor", &[1], &[factor]);
        let scaled = graph.node("Mul", &[&input, &factor], vec![]);
        let result = graph.node("Softmax", &[&scaled], vec![]);
        graph.output(&result, "result", DataType::Float, &extents);
        graph.finish()
    }

    #[test]
    fn a_float_model_is_compared_with_tract() {
        let inputs = vec![vec![0.5, -1.0, 2.0], vec![0.0, 0.25, -3.0]];
        let options = OnnxRuntimeOptions::default();
        let found = verify_file(&model(1.5), &inputs, Tolerance::Relative(1e-5), &options).unwrap();
        assert!(found.passed(), "{found}");
        assert_eq!(found.comparisons[0].backend, "tract");
        assert_eq!(
            (found.comparisons[0].inputs, found.comparisons[0].values),
            (2, 6)
        );
    }

    #[test]
    fn maps_and_names_are_taken_off_for_the_libraries() {
        let mut graph = GraphBuilder::new("mapped");
        let extents = [Extent::Named("batch"), Extent::Fixed(2)];
        let input = graph.input("input", DataType::Float, &extents);
        let scores = graph.node("Softmax", &[&input], vec![]);
        let names = vec![strings("classlabels_strings", &["no", "yes"])];
        let map = graph.ml_node("ZipMap", &[&scores], names, 1);
        graph.output(&map[0], "map", DataType::Float, &extents);
        graph.output(&input, "name", DataType::String, &extents);
        let plain = plain(&graph.finish());
        let graph = plain.graph().unwrap();
        assert_eq!(graph.output.len(), 1);
        assert_eq!(graph.producer(&graph.output[0].name), Some(0));
        assert!(graph.node.iter().all(|node| node.op_type != "ZipMap"));
    }
}
