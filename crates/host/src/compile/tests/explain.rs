//! What the report says of nodes, ops and passes.

use super::network::{Layer, Network};
use super::{compiled, compiled_for_reference, shared_models};
use crate::compile::CompileReport;
use crate::onnx;
use crate::onnx::builder::int;
use crate::onnx::proto::ModelProto;

/// A convolution of 3 × 3, then a mean over the image.
fn model(scale: f32) -> ModelProto {
    with_result(scale, 128.0 * scale)
}

fn with_result(scale: f32, result: f32) -> ModelProto {
    let (mut network, x) = Network::new([4, 6, 6], (scale, 0));
    let layer = Layer {
        filters: 8,
        channels: 4,
        groups: 1,
        kernel: 3,
        pad: 1,
        weights: (0..8 * 4 * 9).map(|i| (i * 37 % 101) as i8 - 50).collect(),
        scales: vec![scale; 8],
        bias: vec![0.0; 8],
        result: (result, -128),
    };
    let x = network.layer(&x, &layer);
    let mean = network.node("GlobalAveragePool", &[&x], vec![]);
    network.finish(&mean, (0.07, -128))
}

fn why<'r>(report: &'r CompileReport, operator: &str) -> &'r str {
    let node = report.nodes.iter().find(|node| node.op == operator);
    &node.expect("there is one").why
}

#[test]
fn a_packed_layer_says_what_was_proved_and_what_is_folded_into_it() {
    let report = compiled(&model(0.013)).report;
    let conv = why(&report, "Conv");
    assert!(
        conv.contains("conv_2d.2.3: packed over columns of 36 inputs: all 8 channels"),
        "{conv}"
    );
    assert!(why(&report, "Relu").starts_with("folded into Conv "));
    let constants: Vec<&str> = report.nodes.iter().map(|node| node.why.as_str()).collect();
    assert!(constants.iter().all(|why| !why.is_empty()), "{constants:?}");
    let op = &report.ops[report.ops.iter().position(|op| op.macs > 0).unwrap()];
    assert_eq!(op.macs, 36 * 8 * 36);
    assert!(op.scratch_bytes > 0 && op.constant_bytes > 8 * 36);
}

#[test]
fn a_layer_that_stays_with_the_reference_says_why() {
    let even = compiled(&model(0.0078125)).report;
    let conv = why(&even, "Conv");
    assert!(
        conv.contains("conv_2d.2.5: packed over columns of 36 inputs, ties to even: all 8"),
        "{conv}"
    );
    // 9/2048 of a result for a step: one threshold in nine is a tie.
    let tied = compiled(&with_result(0.75, 128.0)).report;
    let conv = why(&tied, "Conv");
    assert!(
        conv.contains(
            "reference: channel 0 has no one-multiply requantisation: only some of its results begin at a tie"
        ),
        "{conv}"
    );
    let asked = compiled_for_reference(&model(0.013)).report;
    assert!(why(&asked, "Conv").contains("only reference kernels were asked for"));
}

#[test]
fn passes_say_what_they_changed() {
    let report = compiled(&model(0.013)).report;
    let passes = || report.passes.iter();
    let pass = |name: &str| passes().find(|pass| pass.name.contains(name)).unwrap();
    let integers = pass("in integers");
    assert!(integers.changed && integers.after.ops < integers.before.ops);
    assert!(integers.after.constant_bytes < integers.before.constant_bytes);
    let packing = pass("pack integer layers");
    assert!(packing.after.modelled_cycles < packing.before.modelled_cycles / 2);
    let recurrent = pass("recurrent layers");
    assert!(!recurrent.changed && recurrent.before == recurrent.after);
    assert!(
        passes()
            .zip(passes().skip(1))
            .all(|(a, b)| a.after == b.before)
    );
    let text = report.to_string();
    assert!(text.contains("nothing to do: "), "{text}");
    assert_eq!(passes().last().unwrap().after.macs, report.macs);
}

#[test]
fn every_node_of_the_keyword_network_says_why() {
    let Some(folder) = shared_models() else {
        return;
    };
    let model = onnx::read(&folder.join("kws_int8_qdq.onnx")).unwrap();
    let report = compiled(&model).report;
    assert!(report.nodes.iter().all(|node| !node.why.is_empty()));
    assert!(
        report
            .ops
            .iter()
            .all(|op| !op.why.is_empty() && !op.node.is_empty())
    );
    let views = report.ops.iter().filter(|op| op.kernel == "reshape.1.0");
    assert_eq!(views.count(), 0, "the layer behind it reads the same rows");
    let overlaps = report.ops.iter().filter(|op| op.why.contains("its input"));
    assert!(overlaps.count() >= 4, "{report}");
}

#[test]
fn an_op_on_floats_says_which_quantization_it_lacks() {
    let (mut network, x) = Network::new([2, 3, 3], (0.1, 0));
    let root = network.node("Exp", &[&x], vec![]);
    let sum = network.node("ReduceSum", &[&root], vec![int("keepdims", 1)]);
    let quotient = network.node("Div", &[&root, &sum], vec![]);
    let report = compiled(&network.finish(&quotient, (0.1, 0))).report;
    assert!(why(&report, "Exp").contains("floats: its result is not quantised"));
    assert!(why(&report, "ReduceSum").contains("floats: its inputs are not quantised"));
}

#[test]
fn the_report_says_the_same_as_json() {
    let report = compiled(&model(0.013)).report;
    let json = serde_json::to_value(&report).expect("JSON");
    let conv = report.ops.iter().position(|op| op.macs > 0).unwrap();
    let op = &json["ops"][conv];
    assert_eq!(op["why"], report.ops[conv].why);
    assert_eq!(op["modelled_cycles"], report.ops[conv].modelled_cycles);
    assert_eq!(op["scratch_bytes"], report.ops[conv].scratch_bytes);
    let pass = json["passes"].as_array().unwrap().last().unwrap();
    assert_eq!(pass["after"]["modelled_cycles"], report.modelled_cycles);
    assert!(
        json["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|node| node["why"].is_string())
    );
}
