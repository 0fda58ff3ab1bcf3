//! What others need for the networks of MLPerf Tiny, measured elsewhere and written down here.
//!
//! TensorFlow Lite Micro with CMSIS-NN: commits 90b983c2 and 4ab83cc3 (2026), arm-none-eabi-gcc 12.2, `-Os` core and
//! `-O2` kernels, only the int8 kernels of the model, on this same emulated board, counted with a plugin of the same
//! kind; modelled cycles by the same model, of the build with all kernels, which runs at most 0.1 % longer. Engine is its code and
//! constants without the model, load its start and `AllocateTensors`.
//!
//! Closed compilers: best latency of the MLPerf Tiny rounds up to v1.3 on a NUCLEO-L4R5ZI (Cortex-M4, 120 MHz), times
//! the clock: measured on silicon with its flash, so not the same as modelled cycles. For the person detector the best
//! removes dead channels, which a network with random weights has not.
//!
//! emlearn 0.23.2: its loadable form with leaves of 8 bits at `-O3`, mean over 64 samples; bytes are code and trees.
//!
//! A network is known by its shape: elements in and out, numbers of layers, weights, tree nodes.

use crate::onnx::proto::{DataType, DimensionValue, GraphProto, TypeValue, ValueInfoProto};
use serde::Serialize;

/// Another engine's figures for the same network; `None` where they are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Who, and on what.
    pub name: &'static str,
    /// Multiply-accumulates of one inference: all that the network has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<u64>,
    /// Instructions of one inference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// Cycles of one inference, by the same model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modelled_cycles: Option<u64>,
    /// Cycles of one inference on silicon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_cycles: Option<u64>,
    /// Bytes of memory for tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arena_bytes: Option<u64>,
    /// Bytes of stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_bytes: Option<u64>,
    /// Bytes of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_bytes: Option<u64>,
    /// Bytes of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_bytes: Option<u64>,
    /// Instructions until the first inference can start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_instructions: Option<u64>,
}

const UNKNOWN: Peer = Peer {
    name: "",
    macs: None,
    instructions: None,
    modelled_cycles: None,
    measured_cycles: None,
    arena_bytes: None,
    stack_bytes: None,
    plan_bytes: None,
    code_bytes: None,
    load_instructions: None,
};

/// A network and who runs it.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// What it is called.
    pub name: &'static str,
    shape: Shape,
    /// Who runs it, and what they need.
    pub peers: &'static [Peer],
}

/// What a network is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    inputs: u64,
    outputs: u64,
    convolutions: usize,
    dense: usize,
    /// Elements of constants with two dimensions or more.
    weights: u64,
    tree_nodes: usize,
    /// Whether values are quantized.
    is_quantized: bool,
}

const fn layers(io: [u64; 2], convolutions: usize, dense: usize, weights: u64) -> Shape {
    let [inputs, outputs] = io;
    Shape {
        inputs,
        outputs,
        convolutions,
        dense,
        weights,
        tree_nodes: 0,
        is_quantized: true,
    }
}

const fn forest(inputs: u64, tree_nodes: usize) -> Shape {
    Shape {
        inputs,
        outputs: 1,
        convolutions: 0,
        dense: 0,
        weights: 0,
        tree_nodes,
        is_quantized: false,
    }
}

/// TensorFlow Lite Micro: multiply-accumulates, instructions, modelled cycles, arena, stack, model, engine, load.
const fn tflite_micro(figures: [u64; 8]) -> Peer {
    let [
        macs,
        instructions,
        cycles,
        arena,
        stack,
        model,
        engine,
        load,
    ] = figures;
    Peer {
        name: "TFLM + CMSIS-NN",
        macs: Some(macs),
        instructions: Some(instructions),
        modelled_cycles: Some(cycles),
        arena_bytes: Some(arena),
        stack_bytes: Some(stack),
        plan_bytes: Some(model),
        code_bytes: Some(engine),
        load_instructions: Some(load),
        ..UNKNOWN
    }
}

const fn closed(name: &'static str, measured_cycles: u64) -> Peer {
    Peer {
        name,
        measured_cycles: Some(measured_cycles),
        ..UNKNOWN
    }
}

const fn emlearn(instructions: u64, bytes: u64, stack: u64) -> Peer {
    Peer {
        name: "emlearn, loadable",
        instructions: Some(instructions),
        plan_bytes: Some(bytes),
        stack_bytes: Some(stack),
        ..UNKNOWN
    }
}

static NETWORKS: &[Network] = &[
    Network {
        name: "kws: keyword spotting, DS-CNN",
        shape: layers([490, 12], 9, 1, 22_016),
        peers: &[
            tflite_micro([
                2_656_768, 7_696_752, 9_060_529, 22_820, 1_524, 53_936, 52_070, 789_020,
            ]),
            closed("X-CUBE-AI 9.0, L4R5", 5_182_800),
        ],
    },
    Network {
        name: "ic: image classification, ResNet-8",
        shape: layers([3_072, 10], 9, 1, 77_360),
        peers: &[
            tflite_micro([
                12_501_632, 29_863_886, 36_119_770, 54_996, 1_524, 98_496, 49_874, 539_944,
            ]),
            closed("X-CUBE-AI 9.0, L4R5", 19_814_400),
        ],
    },
    Network {
        name: "ad: anomaly detection, autoencoder",
        shape: layers([640, 640], 0, 10, 264_192),
        peers: &[
            tflite_micro([
                264_192, 582_883, 718_301, 2_580, 1_028, 276_976, 26_926, 83_473,
            ]),
            closed("Plumerai, L4R5", 486_000),
        ],
    },
    Network {
        name: "hello: a sine",
        shape: layers([1, 1], 0, 3, 288),
        peers: &[tflite_micro([
            288, 3_504, 4_790, 772, 1_028, 2_704, 26_926, 27_634,
        ])],
    },
    Network {
        name: "vww: person detection, MobileNetV1-0.25 at 96x96",
        shape: layers([27_648, 2], 27, 1, 208_112),
        peers: &[
            tflite_micro([
                7_489_664, 24_101_545, 28_650_677, 100_708, 1_524, 333_288, 52_070, 3_521_059,
            ]),
            closed("X-CUBE-AI 9.0, L4R5", 10_671_600),
        ],
    },
    Network {
        name: "rf_bc_10: forest of 10 trees",
        shape: forest(30, 300),
        peers: &[emlearn(1_022, 1_764, 236)],
    },
    Network {
        name: "rf_digits_100: forest of 100 trees",
        shape: forest(64, 20_604),
        peers: &[emlearn(18_774, 99_696, 236)],
    },
];

/// The network of this shape, if it is one of those that others were measured with.
pub fn recognize(graph: &GraphProto) -> Option<&'static Network> {
    let shape = shape(graph);
    NETWORKS.iter().find(|network| network.shape == shape)
}

fn shape(graph: &GraphProto) -> Shape {
    let nodes = |ops: &[&str]| {
        graph
            .node
            .iter()
            .filter(|node| ops.contains(&node.op_type.as_str()))
            .count()
    };
    let trees = graph
        .node
        .iter()
        .filter_map(|node| node.ints("nodes_featureids"));
    let is_weights = |element: i32, rank: usize| {
        rank >= 2 && [DataType::Int8 as i32, DataType::Float as i32].contains(&element)
    };
    let weights = graph
        .initializer
        .iter()
        .filter(|tensor| is_weights(tensor.data_type, tensor.dims.len()))
        .map(|tensor| {
            tensor
                .dims
                .iter()
                .map(|extent| extent.unsigned_abs())
                .product::<u64>()
        });
    Shape {
        inputs: graph.true_inputs().next().map_or(0, elements),
        outputs: graph.output.first().map_or(0, elements),
        convolutions: nodes(&["Conv", "QLinearConv"]),
        dense: nodes(&["MatMul", "Gemm"]),
        weights: weights.sum(),
        tree_nodes: trees.map(<[i64]>::len).sum(),
        is_quantized: nodes(&["QuantizeLinear"]) > 0,
    }
}

/// Elements of an input or output, named extents being 1.
fn elements(value: &ValueInfoProto) -> u64 {
    let Some(TypeValue::Tensor(tensor)) =
        value.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return 0;
    };
    let extents = tensor.shape.iter().flat_map(|shape| &shape.dim);
    extents
        .map(|extent| match extent.value {
            Some(DimensionValue::Value(value)) => value.unsigned_abs(),
            _ => 1,
        })
        .product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx;
    use std::path::Path;

    #[test]
    fn the_reference_networks_are_known_by_their_shape_and_others_are_not() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
        if !folder.is_dir() {
            eprintln!("skipped: {} is not there", folder.display());
            return;
        }
        for (file, name) in [
            ("kws_int8_qdq", Some("kws")),
            ("ic_int8_qdq", Some("ic")),
            ("ad_int8_qdq", Some("ad")),
            ("hello_int8_qdq", Some("hello")),
            ("rf_bc_10", Some("rf_bc_10")),
            ("rf_digits_100", Some("rf_digits_100")),
            ("kws_fp32", None),
            ("imported/pt_mlp", None),
        ] {
            let model = onnx::read(&folder.join(format!("{file}.onnx"))).expect(file);
            let network = recognize(model.graph().expect("a graph"));
            let known = network.map(|network| network.name.split(':').next().unwrap_or_default());
            assert_eq!(known, name, "{file}");
        }
    }
}
