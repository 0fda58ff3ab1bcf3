//! What exporters write around the ops: against exact arithmetic, or values worked out here.

use super::exact::Evaluator;
use super::{compiled, f32_bytes, f32_values, pseudo_random, run};
use crate::onnx::builder::{
    Extent, GraphBuilder, Value, float, floats, int, ints, string, value_info,
};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

/// A model of one input of this type and shape and of one output, of which nothing is said.
fn model(
    element: DataType,
    shape: &[usize],
    build: impl FnOnce(&mut GraphBuilder, &Value) -> Value,
) -> ModelProto {
    let mut graph = GraphBuilder::new("exported");
    let extents: Vec<Extent> = shape.iter().map(|&extent| Extent::Fixed(extent)).collect();
    let input = graph.input("input", element, &extents);
    let result = build(&mut graph, &input);
    let mut model = graph.finish();
    let output = value_info(result.name(), DataType::Float, &[]);
    model.graph.as_mut().expect("a graph").output.push(output);
    model
}

fn result(model: &ModelProto, input: &[f32]) -> Vec<f32> {
    f32_values(&run(&compiled(model).plan, &f32_bytes(input))[0])
}

/// Quantization of an activation: scale, zero point, and whether bytes are unsigned.
type Quantization = (f32, i32, bool);

fn constants(graph: &mut GraphBuilder, (scale, zero, unsigned): Quantization) -> (Value, Value) {
    let scale = graph.constant_f32("scale", &[], &[scale]);
    let zero = match unsigned {
        true => graph.constant_u8("zero", &[], &[zero as u8]),
        false => graph.constant_i8("zero", &[], &[zero as i8]),
    };
    (scale, zero)
}

fn quantize(graph: &mut GraphBuilder, x: &Value, quantization: Quantization) -> Value {
    let (scale, zero) = constants(graph, quantization);
    graph.node("QuantizeLinear", &[x, &scale, &zero], vec![])
}

fn dequantize(graph: &mut GraphBuilder, x: &Value, quantization: Quantization) -> Value {
    let (scale, zero) = constants(graph, quantization);
    graph.node("DequantizeLinear", &[x, &scale, &zero], vec![])
}

/// Holds a model from bytes to bytes against exact arithmetic, on all bytes in some order.
fn assert_exact(model: &ModelProto, unsigned: bool) {
    let plan = compiled(model).plan;
    let elements = dunlin_engine::Plan::load(&plan).unwrap().input().elements();
    let mut seen = std::collections::HashSet::new();
    for start in [0, 77_usize, 130] {
        let input: Vec<i8> = (0..elements)
            .map(|i| ((start + i * 37) % 256) as u8 as i8)
            .collect();
        let bytes: Vec<u8> = input.iter().map(|&code| code as u8).collect();
        let ours: Vec<i8> = run(&plan, &bytes)[0].iter().map(|&b| b as i8).collect();
        assert_eq!(ours, Evaluator::new(model).last_bytes(&input, unsigned));
        seen.extend(ours);
    }
    assert!(seen.len() > 8, "the results hardly differ: {seen:?}");
}

/// Weights `[n, c, 3, 3]` as floats behind a quantization of their own, as training with
/// quantization leaves them.
fn trained_weights(graph: &mut GraphBuilder, unsigned: bool) -> Value {
    let values: Vec<f32> = pseudo_random(8).take(4 * 2 * 9).collect();
    let weights = graph.constant_f32("weights", &[4, 2, 3, 3], &values);
    let (scales, zeros, axis) = match unsigned {
        true => (
            graph.constant_f32("scale", &[], &[0.008]),
            graph.constant_u8("zero", &[], &[131]),
            vec![],
        ),
        false => (
            graph.constant_f32("scale", &[4], &[0.008, 0.02, 0.0079, 0.1]),
            graph.constant_i8("zero", &[4], &[0; 4]),
            vec![int("axis", 0)],
        ),
    };
    let codes = graph.node("QuantizeLinear", &[&weights, &scales, &zeros], axis.clone());
    graph.node("DequantizeLinear", &[&codes, &scales, &zeros], axis)
}

#[test]
fn weights_quantised_in_the_graph_and_unsigned_bytes_are_exact() {
    for unsigned in [false, true] {
        let element = match unsigned {
            true => DataType::Uint8,
            false => DataType::Int8,
        };
        let model = model(element, &[1, 2, 6, 5], |graph, input| {
            let zero = if unsigned { 120 } else { -8 };
            let x = dequantize(graph, input, (0.03, zero, unsigned));
            let weights = trained_weights(graph, unsigned);
            let y = graph.node("Conv", &[&x, &weights], vec![ints("pads", vec![1; 4])]);
            quantize(graph, &y, (0.07, zero + 10, unsigned))
        });
        let kernels = compiled(&model).report.kernels;
        let in_integers = kernels.iter().any(|kernel| kernel == "conv_2d.2.3");
        assert!(in_integers, "{kernels:?}");
        assert_exact(&model, unsigned);
    }
}

#[test]
fn pixels_cast_to_floats_and_scaled_are_exact() {
    let model = model(DataType::Uint8, &[1, 1, 16, 16], |graph, input| {
        let x = graph.node("Cast", &[input], vec![int("to", 1)]);
        let most = graph.constant_f32("most", &[], &[255.0]);
        let x = graph.node("Div", &[&x, &most], vec![]);
        quantize(graph, &x, (1.0 / 127.0, 3, true))
    });
    let report = compiled(&model).report;
    assert_eq!(report.kernels, ["lookup.1.0"]);
    assert_eq!(report.unsigned, ["input", "quantizelinear_2"]);
    assert!(report.to_string().contains("input: uint8 in the model"));
    assert_exact(&model, true);
}

#[test]
fn a_zero_point_left_out_is_that_of_the_input() {
    for (element, unsigned) in [(DataType::Uint8, true), (DataType::Int8, false)] {
        let model = model(element, &[256], |graph, input| {
            let scale = graph.constant_f32("scale", &[], &[0.5]);
            let x = graph.node("DequantizeLinear", &[input, &scale], vec![]);
            let y = graph.node("Relu", &[&x], vec![]);
            quantize(graph, &y, (0.61, 0, unsigned))
        });
        assert_exact(&model, unsigned);
    }
}

/// 255 steps of 3/255 are not quite 3, and 3 is a tie of the result.
#[test]
fn a_quantised_scalar_behind_a_convolution_keeps_its_real_value() {
    let model = model(DataType::Int8, &[1, 1, 8, 8], |graph, input| {
        let x = dequantize(graph, input, (0.069_378_08, -8, false));
        let weights = graph.constant_i8("weights", &[2, 1, 1, 1], &[2, -1]);
        let weights = dequantize(graph, &weights, (0.5, 0, false));
        let y = graph.node("Conv", &[&x, &weights], vec![]);
        let codes = quantize(graph, &y, (0.069_378_08, -8, false));
        let x = dequantize(graph, &codes, (0.069_378_08, -8, false));
        let three = graph.constant_i8("three", &[], &[127]);
        let three = dequantize(graph, &three, (0.011_764_706, -128, false));
        let sum = graph.node("Add", &[&x, &three], vec![]);
        quantize(graph, &sum, (0.023_529_412, -128, false))
    });
    assert_exact(&model, false);
}

#[test]
fn the_softmax_of_channels_needs_no_copies() {
    let model = model(DataType::Float, &[1, 3, 4, 4], |graph, input| {
        let weights: Vec<f32> = pseudo_random(3).take(15).collect();
        let weights = graph.constant_f32("weights", &[5, 3, 1, 1], &weights);
        let y = graph.node("Conv", &[input, &weights], vec![]);
        let y = graph.node("Softmax", &[&y], vec![int("axis", 1)]);
        graph.node("GlobalAveragePool", &[&y], vec![])
    });
    let report = compiled(&model).report;
    let copies = report
        .ops
        .iter()
        .filter(|op| op.kernel == "strided_copy.1.0");
    assert_eq!(copies.count(), 1, "{report}");
    let input: Vec<f32> = pseudo_random(5).take(48).collect();
    let sum: f32 = result(&model, &input).iter().sum();
    assert!((sum - 1.0).abs() < 1e-6);
}

/// Row by row, `(x - mean)/sqrt(variance + epsilon)`.
fn normalised(rows: &[f32], columns: usize) -> Vec<f64> {
    let normal = |row: &[f32]| {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / columns as f64;
        let square = |&x: &f32| (f64::from(x) - mean).powi(2);
        let variance = row.iter().map(square).sum::<f64>() / columns as f64;
        let each = move |&x: &f32| (f64::from(x) - mean) / (variance + 1e-5).sqrt();
        row.iter().map(each).collect::<Vec<f64>>()
    };
    rows.chunks_exact(columns).flat_map(normal).collect()
}

#[test]
fn channels_and_groups_of_them_are_normalised() {
    let cases: [(&str, Vec<AttributeProto>, usize); 2] = [
        ("InstanceNormalization", vec![], 6),
        ("GroupNormalization", vec![int("num_groups", 2)], 18),
    ];
    for (op, attributes, columns) in cases {
        let (gain, offset) = (
            [0.5, 1.0, -2.0, 1.5, 0.25, 3.0],
            [0.0, 1.0, -1.0, 0.5, 2.0, 0.0],
        );
        let model = model(DataType::Float, &[1, 6, 2, 3], |graph, input| {
            let gain = graph.constant_f32("gain", &[6], &gain);
            let offset = graph.constant_f32("offset", &[6], &offset);
            graph.node(op, &[input, &gain, &offset], attributes)
        });
        let input: Vec<f32> = pseudo_random(6).take(36).collect();
        let expected = normalised(&input, columns);
        for (place, ours) in result(&model, &input).into_iter().enumerate() {
            let channel = place / 6;
            let expected = expected[place] * f64::from(gain[channel]) + f64::from(offset[channel]);
            assert!((f64::from(ours) - expected).abs() < 1e-5, "{op} at {place}");
        }
    }
}

#[test]
fn logarithms_of_sums_of_exponentials_do_not_overflow() {
    let input = [300.0, 299.0, 298.0, -300.0, -301.0, -299.5];
    let total = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
        f64::from(most) + sum.ln()
    };
    let soft = model(DataType::Float, &[2, 3], |graph, input| {
        graph.node("LogSoftmax", &[input], vec![int("axis", -1)])
    });
    for (place, ours) in result(&soft, &input).into_iter().enumerate() {
        let row = &input[place / 3 * 3..][..3];
        let expected = f64::from(input[place]) - total(row);
        assert!((f64::from(ours) - expected).abs() < 1e-4, "{place}: {ours}");
    }
    let sums = model(DataType::Float, &[2, 3], |graph, input| {
        let attributes = vec![ints("axes", vec![1]), int("keepdims", 0)];
        graph.node("ReduceLogSumExp", &[input], attributes)
    });
    let ours = result(&sums, &input);
    assert!((f64::from(ours[0]) - total(&input[..3])).abs() < 1e-4);
    assert!((f64::from(ours[1]) - total(&input[3..])).abs() < 1e-4);
}

#[test]
fn images_are_resized_to_the_nearest_pixel() {
    let mode = |name, rounding| {
        vec![
            string("mode", "nearest"),
            string("coordinate_transformation_mode", name),
            string("nearest_mode", rounding),
        ]
    };
    // Rows of 4 and columns of 2 by these scales; the place that each result is taken from.
    type Case = ([f32; 2], Vec<AttributeProto>, Vec<usize>, Vec<usize>);
    let cases: Vec<Case> = vec![
        (
            [1.0, 3.0],
            mode("half_pixel", "round_prefer_floor"),
            vec![0, 1, 2, 3],
            vec![0, 0, 0, 1, 1, 1],
        ),
        (
            [2.0, 1.0],
            mode("asymmetric", "floor"),
            vec![0, 0, 1, 1, 2, 2, 3, 3],
            vec![0, 1],
        ),
        (
            [2.0, 2.0],
            mode("tf_half_pixel_for_nn", "floor"),
            vec![0, 0, 1, 1, 2, 2, 3, 3],
            vec![0, 0, 1, 1],
        ),
        (
            [0.5, 1.0],
            mode("asymmetric", "floor"),
            vec![0, 2],
            vec![0, 1],
        ),
        (
            [0.5, 0.5],
            mode("half_pixel", "round_prefer_ceil"),
            vec![1, 3],
            vec![1],
        ),
    ];
    let input: Vec<f32> = (0..16).map(|value| value as f32).collect();
    for (scales, attributes, rows, columns) in cases {
        let model = model(DataType::Float, &[1, 2, 4, 2], |graph, input| {
            let scales = graph.constant_f32("scales", &[4], &[1.0, 1.0, scales[0], scales[1]]);
            let region = graph.constant_f32("region", &[0], &[]);
            graph.node("Resize", &[input, &region, &scales], attributes)
        });
        let place = |c: usize, y: usize, x: usize| input[(c * 4 + rows[y]) * 2 + columns[x]];
        let (height, width) = (rows.len(), columns.len());
        let expected = (0..2 * height * width)
            .map(|at| place(at / width / height, at / width % height, at % width));
        assert_eq!(
            result(&model, &input),
            expected.collect::<Vec<f32>>(),
            "{scales:?}"
        );
    }
}

#[test]
fn depth_and_space_are_exchanged() {
    let input: Vec<f32> = (0..48).map(|value| value as f32).collect();
    for (mode, is_by_depth) in [("DCR", false), ("CRD", true)] {
        let model = model(DataType::Float, &[1, 8, 2, 3], |graph, input| {
            let attributes = vec![int("blocksize", 2), string("mode", mode)];
            graph.node("DepthToSpace", &[input], attributes)
        });
        let expected = (0..48).map(|at| {
            let (channel, y, x) = (at / 24, at / 6 % 4, at % 6);
            let block = y % 2 * 2 + x % 2;
            let from = if is_by_depth {
                channel * 4 + block
            } else {
                block * 2 + channel
            };
            input[from * 6 + y / 2 * 3 + x / 2]
        });
        assert_eq!(
            result(&model, &input),
            expected.collect::<Vec<f32>>(),
            "{mode}"
        );
    }
    let model = model(DataType::Float, &[1, 2, 4, 6], |graph, input| {
        graph.node("SpaceToDepth", &[input], vec![int("blocksize", 2)])
    });
    let expected = (0..48).map(|at| {
        let (block, channel, y, x) = (at / 12, at / 6 % 2, at / 3 % 2, at % 3);
        input[channel * 24 + (y * 2 + block / 2) * 6 + x * 2 + block % 2]
    });
    assert_eq!(result(&model, &input), expected.collect::<Vec<f32>>());
}

/// `Expand` to a shape that says -1 where the extent stays, as PyTorch writes it.
#[test]
fn shapes_with_conditions_are_folded() {
    let model = model(DataType::Float, &[1, 3, 2], |graph, input| {
        let shape = graph.node("Shape", &[input], vec![int("end", 1)]);
        let kept = graph.constant_i64("kept", &[2], &[-1, -1]);
        let wanted = graph.node("Concat", &[&shape, &kept], vec![int("axis", 0)]);
        let three = graph.constant_i64("three", &[1], &[3]);
        let ones = graph.node("ConstantOfShape", &[&three], vec![]);
        let ones = graph.node("Cast", &[&ones], vec![int("to", 7)]);
        let one = graph.constant_i64("one", &[], &[1]);
        let ones = graph.node("Add", &[&ones, &one], vec![]);
        let minus = graph.node("Sub", &[&ones, &one], vec![]);
        let minus = graph.node("Sub", &[&minus, &one], vec![]);
        let is_kept = graph.node("Equal", &[&wanted, &minus], vec![]);
        let wanted = graph.node("Where", &[&is_kept, &ones, &wanted], vec![]);
        let token = graph.constant_f32("token", &[1, 1, 2], &[5.0, 6.0]);
        let token = graph.node("Expand", &[&token, &wanted], vec![]);
        graph.node("Concat", &[&token, input], vec![int("axis", 1)])
    });
    let expected = [5.0, 6.0, 1.0, 2.0, 3.0, 4.0, 7.0, 8.0];
    assert_eq!(result(&model, &expected[2..]), expected);
}

/// Queries, keys and values cut from one product, as vision transformers do.
#[test]
fn a_turn_of_five_axes_with_one_of_one_element_is_a_copy() {
    let model = model(DataType::Float, &[1, 3, 12], |graph, input| {
        let shape = graph.constant_i64("shape", &[5], &[1, 3, 3, 2, 2]);
        let split = graph.node("Reshape", &[input, &shape], vec![]);
        let perm = ints("perm", vec![2, 0, 3, 1, 4]);
        let turned = graph.node("Transpose", &[&split], vec![perm]);
        let second = graph.constant_i64("second", &[], &[1]);
        graph.node("Gather", &[&turned, &second], vec![int("axis", 0)])
    });
    let input: Vec<f32> = (0..36).map(|value| value as f32).collect();
    let expected = (0..12).map(|at| {
        let (head, step, element) = (at / 6, at / 2 % 3, at % 2);
        input[step * 12 + 4 + head * 2 + element]
    });
    assert_eq!(result(&model, &input), expected.collect::<Vec<f32>>());
}

#[test]
fn the_class_of_the_largest_score_is_picked_from_a_list() {
    for chooser in ["ArrayFeatureExtractor", "Gather"] {
        let mut graph = GraphBuilder::new("chosen");
        let extents = [Extent::Named("batch"), Extent::Fixed(3)];
        let input = graph.input("input", DataType::Float, &extents);
        let place = graph.node(
            "ArgMax",
            &[&input],
            vec![int("axis", 1), int("keepdims", 0)],
        );
        let classes = graph.constant_i64("classes", &[3], &[7, -2, 40]);
        let inputs = [&classes, &place];
        let class = match chooser {
            "Gather" => graph.node("Gather", &inputs, vec![]),
            _ => graph.ml_node(chooser, &inputs, vec![], 1).remove(0),
        };
        let class = graph.node("Cast", &[&class], vec![int("to", 1)]);
        let flat = graph.constant_i64("flat", &[1], &[-1]);
        let class = graph.node("Reshape", &[&class, &flat], vec![]);
        let class = graph.node("Cast", &[&class], vec![int("to", 7)]);
        graph.output(&class, "label", DataType::Int64, &extents[..1]);
        let plan = compiled(&graph.finish()).plan;
        for (scores, label) in [([1.0, 3.0, 2.0], -2_i32), ([0.0, 0.0, 0.5], 40)] {
            let output = run(&plan, &f32_bytes(&scores));
            assert_eq!(output[0], label.to_le_bytes(), "{chooser}");
            let plan = dunlin_engine::Plan::load(&plan).unwrap();
            let role = plan.outputs().next().unwrap().role;
            assert_eq!(role, dunlin_engine::format::Role::Label, "{chooser}");
        }
    }
}

#[test]
fn the_largest_channel_of_every_pixel_is_found() {
    for (op, expected) in [("ArgMax", [1, 0, 1, 0]), ("ArgMin", [0, 1, 0, 1])] {
        let model = model(DataType::Float, &[1, 2, 2, 2], |graph, input| {
            graph.node(op, &[input], vec![int("axis", 1), int("keepdims", 0)])
        });
        let input = [0.0, 5.0, -2.0, 1.0, 1.0, 4.0, -1.0, 0.5];
        let output = run(&compiled(&model).plan, &f32_bytes(&input));
        let expected: Vec<u8> = expected
            .iter()
            .flat_map(|class: &i32| class.to_le_bytes())
            .collect();
        assert_eq!(output[0], expected, "{op}");
    }
}

/// Probabilities that may all be nought, as scikit-learn's converter guards them.
#[test]
fn a_sum_that_is_nought_is_replaced() {
    let model = model(DataType::Float, &[1, 3], |graph, input| {
        let axes = graph.constant_i64("axes", &[1], &[1]);
        let sum = graph.node("ReduceSum", &[input, &axes], vec![]);
        let is_some = graph.node("Cast", &[&sum], vec![int("to", 9)]);
        let is_none = graph.node("Not", &[&is_some], vec![]);
        let one = graph.node("Cast", &[&is_none], vec![int("to", 1)]);
        let sum = graph.node("Add", &[&sum, &one], vec![]);
        graph.node("Div", &[input, &sum], vec![])
    });
    assert_eq!(result(&model, &[0.0, 0.0, 0.0]), [0.0, 0.0, 0.0]);
    assert_eq!(result(&model, &[1.0, 0.0, 3.0]), [0.25, 0.0, 0.75]);
    assert_eq!(result(&model, &[1e-30, 0.0, 0.0]), [1.0, 0.0, 0.0]);
}

#[test]
fn a_gemm_adds_what_is_computed() {
    let model = model(DataType::Float, &[1, 2], |graph, input| {
        let weights = graph.constant_f32("weights", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let axes = vec![ints("axes", vec![1]), int("keepdims", 1)];
        let sum = graph.node("ReduceMax", &[input], axes);
        let attributes = vec![int("transB", 1), float("alpha", -2.0), float("beta", 0.5)];
        graph.node("Gemm", &[input, &weights, &sum], attributes)
    });
    assert_eq!(result(&model, &[1.0, 10.0]), [-37.0, -81.0]);
}

#[test]
fn values_above_a_threshold_are_one() {
    let model = model(DataType::Float, &[1, 4], |graph, input| {
        let attributes = vec![float("threshold", 1.5)];
        graph
            .ml_node("Binarizer", &[input], attributes, 1)
            .remove(0)
    });
    assert_eq!(
        result(&model, &[1.5, 1.500_000_2, -3.0, 9.0]),
        [0.0, 1.0, 0.0, 1.0]
    );
}

#[test]
fn a_scaler_with_lists_is_one_op() {
    let model = model(DataType::Float, &[1, 2], |graph, input| {
        let attributes = vec![floats("offset", vec![1.0, 2.0]), floats("scale", vec![2.0])];
        graph.ml_node("Scaler", &[input], attributes, 1).remove(0)
    });
    assert_eq!(result(&model, &[3.0, 5.0]), [4.0, 6.0]);
}
