//! An ONNX file on the engine, tract and ONNX Runtime, compared as floats within a tolerance.

use super::ports::{is_bytes, with_float_input, with_float_outputs};
use super::{
    Answer, Backend, BackendError, Local, OnnxRuntime, OnnxRuntimeOptions, Rival, Skipped,
    Tolerance, Tract, Verification, verify,
};
use crate::compile::{CompileOptions, compile};
use crate::onnx::proto::{DataType, GraphProto, ModelProto};

/// Compares the engine with both libraries on `inputs`, the first float output and the label.
///
/// Where the model takes bytes, inputs are their integers; where it gives bytes, the floats that they stand for are
/// compared.
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
    let takes_bytes = graph.true_inputs().find(|&input| is_bytes(input));
    let takes_bytes = takes_bytes.and_then(|input| input.element_type());
    let model = &with_float_outputs(model);
    let compiled = compile(model, &CompileOptions::default()).map_err(|error| failed(&error))?;
    let mut reference = Reference {
        local: Local::load(&compiled.plan)?,
        has_names,
        takes_bytes,
    };
    let bytes = crate::onnx::encode(&with_float_input(&plain(model)));
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

/// The engine.
struct Reference<'p> {
    local: Local<'p>,
    /// The label is left out where the model gives names of classes.
    has_names: bool,
    /// What the input's integers become.
    takes_bytes: Option<DataType>,
}

impl Backend for Reference<'_> {
    fn name(&self) -> &str {
        self.local.name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        let answer = match self.takes_bytes {
            None => self.local.run(input)?,
            Some(element) => {
                let lowest = if element == DataType::Uint8 { 128 } else { 0 };
                let code = |&value: &f32| (value as i16 - lowest) as i8 as u8;
                self.local
                    .answer(&input.iter().map(code).collect::<Vec<u8>>())?
            }
        };
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
    fn bytes_are_compared_as_what_they_stand_for() {
        let mut graph = GraphBuilder::new("bytes");
        let extents = [Extent::Fixed(1), Extent::Fixed(3)];
        let input = graph.input("input", DataType::Uint8, &extents);
        let scale = graph.constant_f32("scale", &[], &[0.1]);
        let zero = graph.constant_u8("zero", &[], &[100]);
        let real = graph.node("DequantizeLinear", &[&input, &scale, &zero], vec![]);
        let shares = graph.node("Softmax", &[&real], vec![]);
        let step = graph.constant_f32("step", &[], &[1.0 / 256.0]);
        let least = graph.constant_i8("least", &[], &[-128]);
        let codes = graph.node("QuantizeLinear", &[&shares, &step, &least], vec![]);
        graph.output(&codes, "codes", DataType::Int8, &extents);
        let inputs = vec![vec![0.0, 255.0, 250.0], vec![100.0, 110.0, 90.0]];
        let options = OnnxRuntimeOptions::default();
        let step = Tolerance::Absolute(1.0 / 256.0);
        let found = verify_file(&graph.finish(), &inputs, step, &options).unwrap();
        assert!(found.passed(), "{found}");
        let tract = &found.comparisons[0];
        assert_eq!((tract.inputs, tract.values), (2, 6));
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
