//! Small graphs, against values worked out by hand or in double precision.

use super::{compiled, f32_bytes, f32_values, pseudo_random, run};
use crate::onnx::builder::{
    Extent, GraphBuilder, Value, float, floats, int, ints, string, strings,
};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

/// A model with an open batch of `width` floats and one float output.
fn model(width: usize, build: impl FnOnce(&mut GraphBuilder, &Value) -> Value) -> ModelProto {
    let mut graph = GraphBuilder::new("test");
    let extents = [Extent::Named("batch"), Extent::Fixed(width)];
    let input = graph.input("input", DataType::Float, &extents);
    let result = build(&mut graph, &input);
    graph.output(&result, "result", DataType::Float, &extents);
    graph.finish()
}

fn result(model: &ModelProto, input: &[f32]) -> Vec<f32> {
    f32_values(&run(&compiled(model).plan, &f32_bytes(input))[0])
}

fn constant(graph: &mut GraphBuilder, values: &[f32]) -> Value {
    graph.constant_f32("c", &[values.len()], values)
}

#[test]
fn a_standardised_layer_with_relu_is_two_ops() {
    let model = model(2, |graph, input| {
        let (mean, deviation) = (constant(graph, &[1.0, 2.0]), constant(graph, &[2.0, 4.0]));
        let centred = graph.node("Sub", &[input, &mean], vec![]);
        let standard = graph.node("Div", &[&centred, &deviation], vec![]);
        let weights = graph.constant_f32("w", &[2, 2], &[1.0, -1.0, 2.0, 0.5]);
        let product = graph.node("MatMul", &[&standard, &weights], vec![]);
        let bias = constant(graph, &[0.25, -0.25]);
        let sum = graph.node("Add", &[&product, &bias], vec![]);
        graph.node("Relu", &[&sum], vec![])
    });
    let report = compiled(&model).report;
    let kernels: Vec<&str> = report.ops.iter().map(|op| op.kernel.as_str()).collect();
    assert_eq!(kernels, ["scale.1.0", "fully_connected.1.0"]);
    assert_eq!(report.nodes[4].became, "fully_connected.1.0");
    assert_eq!(result(&model, &[3.0, 6.0]), [3.25, 0.0]);
    assert_eq!(report.arena_bytes, 16);
}

#[test]
fn statistics_of_three_axes_match_double_precision() {
    const STEPS: usize = 32;
    let model = model(STEPS * 3, |graph, input| {
        let shape = graph.constant_i64("shape", &[3], &[-1, STEPS as i64, 3]);
        let window = graph.node("Reshape", &[input, &shape], vec![]);
        let reduced = || vec![ints("axes", vec![1]), int("keepdims", 0)];
        let centre = graph.node(
            "ReduceMean",
            &[&window],
            vec![ints("axes", vec![1]), int("keepdims", 1)],
        );
        let centred = graph.node("Sub", &[&window, &centre], vec![]);
        let squared = graph.node("Mul", &[&centred, &centred], vec![]);
        let mean = graph.node("ReduceMean", &[&squared], reduced());
        let rms = graph.node("Sqrt", &[&mean], vec![]);
        let absolute = graph.node("Abs", &[&centred], vec![]);
        let peak = graph.node("ReduceMax", &[&absolute], reduced());
        let crest = graph.node("Div", &[&peak, &rms], vec![]);
        graph.node("Concat", &[&rms, &crest], vec![int("axis", 1)])
    });
    let input: Vec<f32> = pseudo_random(7).take(STEPS * 3).collect();
    let output = result(&model, &input);
    for axis in 0..3 {
        let values: Vec<f64> = input
            .iter()
            .skip(axis)
            .step_by(3)
            .map(|&v| f64::from(v))
            .collect();
        let mean = values.iter().sum::<f64>() / STEPS as f64;
        let rms = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / STEPS as f64).sqrt();
        let peak = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max);
        assert!(
            (f64::from(output[axis]) - rms).abs() < 1e-6,
            "rms of axis {axis}"
        );
        assert!(
            (f64::from(output[axis + 3]) - peak / rms).abs() < 1e-5,
            "crest of axis {axis}"
        );
    }
}

#[test]
fn a_spectrum_by_matrix_products_matches_double_precision() {
    const STEPS: usize = 16;
    let basis: Vec<f32> = (0..STEPS * 4)
        .map(|i| ((i / 4 * (i % 4)) as f32 * std::f32::consts::TAU / STEPS as f32).cos())
        .collect();
    let model = model(STEPS * 2, |graph, input| {
        let shape = graph.constant_i64("shape", &[3], &[0, STEPS as i64, 2]);
        let window = graph.node("Reshape", &[input, &shape], vec![]);
        let channels = graph.node("Transpose", &[&window], vec![ints("perm", vec![0, 2, 1])]);
        let cosines = graph.constant_f32("basis", &[STEPS, 4], &basis);
        let lines = graph.node("MatMul", &[&channels, &cosines], vec![]);
        let power = graph.node("Mul", &[&lines, &lines], vec![]);
        let tiny = graph.constant_f32("tiny", &[], &[1e-6]);
        let kept = graph.node("Add", &[&power, &tiny], vec![]);
        let logarithm = graph.node("Log", &[&kept], vec![]);
        graph.node("Flatten", &[&logarithm], vec![])
    });
    let input: Vec<f32> = pseudo_random(3).take(STEPS * 2).collect();
    for (place, value) in result(&model, &input).into_iter().enumerate() {
        let (channel, line) = (place / 4, place % 4);
        let product = |t: usize| f64::from(input[t * 2 + channel]) * f64::from(basis[t * 4 + line]);
        let expected = ((0..STEPS).map(product).sum::<f64>().powi(2) + 1e-6).ln();
        assert!(
            (f64::from(value) - expected).abs() < 1e-4,
            "{value} for {expected}"
        );
    }
}

#[test]
fn a_constant_on_the_left_of_a_product_works() {
    let model = model(4, |graph, input| {
        let shape = graph.constant_i64("shape", &[3], &[1, 2, 2]);
        let matrix = graph.node("Reshape", &[input, &shape], vec![]);
        let left = graph.constant_f32("left", &[1, 2], &[10.0, 1.0]);
        graph.node("MatMul", &[&left, &matrix], vec![])
    });
    assert_eq!(result(&model, &[1.0, 2.0, 3.0, 4.0]), [13.0, 24.0]);
}

#[test]
fn slices_gathers_and_splits_pick_elements() {
    let model = model(6, |graph, input| {
        let bounds = [[1], [6], [1], [2]].map(|value| graph.constant_i64("bound", &[1], &value));
        let [start, end, axis, step] = &bounds;
        let odd = graph.node("Slice", &[input, start, end, axis, step], vec![]);
        let indices = graph.constant_i64("indices", &[3], &[4, 5, 0]);
        let picked = graph.node("Gather", &[input, &indices], vec![int("axis", 1)]);
        graph.node("Concat", &[&odd, &picked], vec![int("axis", 1)])
    });
    assert_eq!(
        result(&model, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        [1.0, 3.0, 5.0, 4.0, 5.0, 0.0]
    );
}

#[test]
fn softmax_and_arg_max_give_probabilities_and_label() {
    let mut graph = GraphBuilder::new("classifier");
    let batch = Extent::Named("batch");
    let input = graph.input("input", DataType::Float, &[batch.clone(), Extent::Fixed(3)]);
    let probabilities = graph.node("Softmax", &[&input], vec![int("axis", -1)]);
    let label = graph.node(
        "ArgMax",
        &[&probabilities],
        vec![int("axis", 1), int("keepdims", 0)],
    );
    graph.output(
        &label,
        "label",
        DataType::Int64,
        std::slice::from_ref(&batch),
    );
    graph.output(
        &probabilities,
        "probabilities",
        DataType::Float,
        &[batch, Extent::Fixed(3)],
    );
    let plan = compiled(&graph.finish()).plan;
    let plan = dunlin_engine::Plan::load(&plan).unwrap();
    let mut arena = vec![0; plan.requirements().arena_bytes];
    arena[plan.input().range()].copy_from_slice(&f32_bytes(&[1.0, 3.0, 2.0]));
    plan.run(&mut arena).unwrap();
    assert_eq!(plan.label(&arena), Some(1));
    let total: f32 = (0..3)
        .filter_map(|class| plan.probability(&arena, class))
        .sum();
    assert!((total - 1.0).abs() < 1e-6);
    assert!((plan.probability(&arena, 1).unwrap() - 0.665_240_94).abs() < 1e-6);
}

#[test]
fn functions_of_one_element_match_double_precision() {
    type Function = fn(f64) -> f64;
    let cases: [(&str, Function); 7] = [
        ("Abs", f64::abs),
        ("Sqrt", f64::sqrt),
        ("Log", f64::ln),
        ("Exp", f64::exp),
        ("Neg", |x| -x),
        ("Tanh", f64::tanh),
        ("Sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
    ];
    let input: Vec<f32> = pseudo_random(1)
        .map(|x| x.abs() * 5.0 + 0.01)
        .take(64)
        .collect();
    for (op, expected) in cases {
        let model = model(64, |graph, input| graph.node(op, &[input], vec![]));
        for (y, &x) in result(&model, &input).into_iter().zip(&input) {
            let expected = expected(f64::from(x));
            assert!(
                (f64::from(y) - expected).abs() <= 2e-7 * expected.abs().max(1.0),
                "{op}({x}) = {y}"
            );
        }
    }
}

#[test]
fn a_scaler_and_a_linear_classifier_match_their_formula() {
    let attribute = |name, values: &[f32]| floats(name, values.to_vec());
    let mut graph = GraphBuilder::new("linear");
    let extents = [Extent::Named("batch"), Extent::Fixed(2)];
    let input = graph.input("input", DataType::Float, &extents);
    let scaled = &graph.ml_node(
        "Scaler",
        &[&input],
        vec![attribute("offset", &[1.0]), attribute("scale", &[0.5, 2.0])],
        1,
    )[0];
    let attributes: Vec<AttributeProto> = vec![
        attribute("coefficients", &[1.0, 0.0, 0.0, 1.0]),
        attribute("intercepts", &[0.0, 0.25]),
        ints("classlabels_ints", vec![7, 9]),
        string("post_transform", "SOFTMAX"),
        int("multi_class", 1),
    ];
    let outputs = graph.ml_node("LinearClassifier", &[scaled], attributes, 2);
    let normal = &graph.ml_node("Normalizer", &[&outputs[1]], vec![string("norm", "L1")], 1)[0];
    graph.output(
        &outputs[0],
        "label",
        DataType::Int64,
        &[Extent::Named("batch")],
    );
    graph.output(normal, "probabilities", DataType::Float, &extents);
    let outputs = run(&compiled(&graph.finish()).plan, &f32_bytes(&[3.0, 2.0]));
    assert_eq!(outputs[0], 9_i32.to_le_bytes());
    let probabilities = f32_values(&outputs[1]);
    let expected = 1.0 / (1.0 + 1.25_f64.exp());
    assert!(
        (f64::from(probabilities[0]) - expected).abs() < 1e-6,
        "{probabilities:?}"
    );
}

#[test]
fn clip_and_leaky_bounds_join_the_layer() {
    let model = model(1, |graph, input| {
        let weights = graph.constant_f32("w", &[2, 1], &[1.0, -1.0]);
        let attributes = vec![int("transB", 1), float("alpha", 2.0)];
        let product = graph.node("Gemm", &[input, &weights], attributes);
        let bounds = [-1.0, 6.0].map(|bound| graph.constant_f32("bound", &[], &[bound]));
        graph.node("Clip", &[&product, &bounds[0], &bounds[1]], vec![])
    });
    assert_eq!(compiled(&model).report.ops.len(), 1);
    assert_eq!(result(&model, &[4.0]), [6.0, -1.0]);
}

#[test]
fn a_turn_of_five_dimensions_with_batch_works() {
    let model = model(12, |graph, input| {
        let split = graph.constant_i64("shape", &[5], &[0, 1, 3, 2, 2]);
        let parts = graph.node("Reshape", &[input, &split], vec![]);
        let turned = graph.node(
            "Transpose",
            &[&parts],
            vec![ints("perm", vec![0, 1, 4, 3, 2])],
        );
        let flat = graph.constant_i64("shape", &[2], &[0, 12]);
        graph.node("Reshape", &[&turned, &flat], vec![])
    });
    let input: Vec<f32> = (0..12).map(|value| value as f32).collect();
    let expected = [0.0, 4.0, 8.0, 2.0, 6.0, 10.0, 1.0, 5.0, 9.0, 3.0, 7.0, 11.0];
    assert_eq!(result(&model, &input), expected);
}

#[test]
fn votes_of_trees_are_counted_and_labelled_by_their_largest_share() {
    let mut graph = GraphBuilder::new("votes");
    let batch = Extent::Named("batch");
    let input = graph.input("input", DataType::Float, &[batch.clone(), Extent::Fixed(2)]);
    let (tree, node) = (vec![0, 0, 0, 1], vec![0, 1, 2, 0]);
    let attributes = vec![
        ints("nodes_treeids", tree),
        ints("nodes_nodeids", node),
        ints("nodes_featureids", vec![1, 0, 0, 0]),
        floats("nodes_values", vec![0.5, 0.0, 0.0, 0.0]),
        ints("nodes_truenodeids", vec![1, 0, 0, 0]),
        ints("nodes_falsenodeids", vec![2, 0, 0, 0]),
        strings("nodes_modes", &["BRANCH_LT", "LEAF", "LEAF", "LEAF"]),
        ints("class_treeids", vec![0, 0, 1]),
        ints("class_nodeids", vec![1, 2, 0]),
        ints("class_ids", vec![1, 0, 1]),
        floats("class_weights", vec![1.0, 1.0, 1.0]),
        ints("classlabels_int64s", vec![0, 1]),
        string("post_transform", "NONE"),
    ];
    let votes = &graph.ml_node("TreeEnsembleClassifier", &[&input], attributes, 2)[1];
    let share = graph.constant_f32("share", &[], &[0.5]);
    let shares = graph.node("Mul", &[votes, &share], vec![]);
    let label = graph.node(
        "ArgMax",
        &[&shares],
        vec![int("axis", 1), int("keepdims", 0)],
    );
    graph.output(
        &label,
        "label",
        DataType::Int64,
        std::slice::from_ref(&batch),
    );
    graph.output(
        &shares,
        "probabilities",
        DataType::Float,
        &[batch, Extent::Fixed(2)],
    );
    let compiled = compiled(&graph.finish());
    assert_eq!(
        compiled.report.kernels,
        ["mul.1.0", "arg_max.1.0", "tree_ensemble.1.3"]
    );
    let plan = dunlin_engine::Plan::load(&compiled.plan).unwrap();
    for (second, label, share) in [
        (0.5_f32.next_down(), 1, 1.0),
        (0.5, 0, 0.5),
        (f32::NAN, 0, 0.5),
    ] {
        let mut arena = vec![0; plan.requirements().arena_bytes];
        arena[plan.input().range()].copy_from_slice(&f32_bytes(&[9.0, second]));
        plan.run(&mut arena).unwrap();
        assert_eq!(
            (plan.label(&arena), plan.probability(&arena, 1)),
            (Some(label), Some(share)),
            "{second}"
        );
    }
}
