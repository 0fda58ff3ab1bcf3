//! Support vector machines and linear models against double precision.

use super::{compiled, f32_bytes, f32_values, npz, pseudo_random, run, shared_models};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, Value, floats, int, ints, string, strings};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto, NodeProto};

/// A support vector classifier, evaluated in double precision from its node.
struct Machine<'n> {
    node: &'n NodeProto,
    starts: Vec<usize>,
    gamma: f64,
}

impl Machine<'_> {
    fn of(node: &NodeProto) -> Machine<'_> {
        let counts = node.ints("vectors_per_class").unwrap();
        let starts = counts.iter().scan(0, |start, &count| {
            *start += count as usize;
            Some(*start)
        });
        Machine {
            node,
            starts: std::iter::once(0).chain(starts).collect(),
            gamma: f64::from(node.floats("kernel_params").unwrap()[0]),
        }
    }

    fn classes(&self) -> usize {
        self.starts.len() - 1
    }

    fn decisions(&self, x: &[f32]) -> Vec<f64> {
        let vectors = self.node.floats("support_vectors").unwrap().chunks(x.len());
        let kernel: Vec<f64> = vectors
            .map(|vector| {
                let pairs = x.iter().zip(vector);
                let squares = pairs.map(|(&x, &v)| (f64::from(x) - f64::from(v)).powi(2));
                (-self.gamma * squares.sum::<f64>()).exp()
            })
            .collect();
        let coefficients = self.node.floats("coefficients").unwrap();
        let weigh = |line: usize, class: usize| -> f64 {
            let range = self.starts[class]..self.starts[class + 1];
            let line = &coefficients[line * kernel.len()..];
            range.map(|i| f64::from(line[i]) * kernel[i]).sum()
        };
        let offsets = self.node.floats("rho").unwrap();
        let pairs = (0..self.classes()).flat_map(|i| (i + 1..self.classes()).map(move |j| (i, j)));
        let decision = |((i, j), &offset): ((usize, usize), &f32)| {
            weigh(j - 1, i) + weigh(i, j) + f64::from(offset)
        };
        pairs.zip(offsets).map(decision).collect()
    }

    fn votes(&self, decisions: &[f64]) -> Vec<f64> {
        let mut votes = vec![0.0; self.classes()];
        let pairs = (0..self.classes()).flat_map(|i| (i + 1..self.classes()).map(move |j| (i, j)));
        for ((i, j), &decision) in pairs.zip(decisions) {
            votes[if decision > 0.0 { i } else { j }] += 1.0;
        }
        votes
    }
}

fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[test]
fn a_support_vector_machine_of_scikit_learn_gives_its_labels_and_scores() {
    let Some(folder) = shared_models() else {
        return;
    };
    let model = onnx::read(&folder.join("imported/skl_svc.onnx")).unwrap();
    let node = &model.graph().unwrap().node[0];
    let machine = Machine::of(node);
    let samples = npz::read(&folder.join("rf_digits_100_samples.npz"));
    let compiled = compiled(&model);
    let (mut seen, mut right) = ([0; 10], 0);
    let rows = samples["inputs"].shape[0];
    for row in 0..rows {
        // The machine was trained on the digits' own range, the forest on 64 times it.
        let input = f32_values(samples["inputs"].row(row)).into_iter();
        let input: Vec<f32> = input.map(|value| value / 64.0).collect();
        let outputs = run(&compiled.plan, &f32_bytes(&input));
        let decisions = machine.decisions(&input);
        let votes = machine.votes(&decisions);
        let label = first_largest(&votes);
        assert_eq!(outputs[0], (label as i32).to_le_bytes(), "sample {row}");
        seen[label] += 1;
        right += usize::from(samples["y"].row(row)[0] == label as u8);
        // scikit-learn's one-against-rest scores: votes and a fraction by the decisions.
        let mut confidences = [0.0; 10];
        let pairs = (0..10).flat_map(|i| (i + 1..10).map(move |j| (i, j)));
        for ((i, j), decision) in pairs.zip(&decisions) {
            confidences[i] += decision;
            confidences[j] -= decision;
        }
        for (class, score) in f32_values(&outputs[1]).into_iter().enumerate() {
            let confidence: f64 = confidences[class];
            let expected = votes[class] + confidence / (3.0 * (confidence.abs() + 1.0));
            assert!(
                (f64::from(score) - expected).abs() < 1e-4,
                "{score} for {expected}"
            );
        }
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    assert!(right >= 60, "only {right} of {rows} digits are recognised");
    eprintln!(
        "skl_svc: {rows} labels equal, {} ops",
        compiled.report.ops.len()
    );
}

#[test]
fn a_logistic_regression_of_scikit_learn_matches_double_precision() {
    let Some(folder) = shared_models() else {
        return;
    };
    let model = onnx::read(&folder.join("imported/skl_logreg.onnx")).unwrap();
    let nodes = &model.graph().unwrap().node;
    let row = |node: usize, name: &str| nodes[node].floats(name).unwrap().to_vec();
    let (offset, scale) = (row(0, "offset"), row(0, "scale"));
    let (weights, bias) = (row(1, "coefficients"), row(1, "intercepts"));
    let plan = compiled(&model).plan;
    for seed in 0..50 {
        let input: Vec<f32> = pseudo_random(seed)
            .map(|x| x.abs() * 16.0)
            .take(64)
            .collect();
        let standard = |i: usize| f64::from(input[i] - offset[i]) * f64::from(scale[i]);
        let scores: Vec<f64> = (0..10)
            .map(|class| {
                let weight = |i: usize| f64::from(weights[class * 64 + i]) * standard(i);
                (0..64).map(weight).sum::<f64>() + f64::from(bias[class])
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        let outputs = run(&plan, &f32_bytes(&input));
        assert_eq!(outputs[0], (first_largest(&scores) as i32).to_le_bytes());
        for (ours, score) in f32_values(&outputs[1]).into_iter().zip(&scores) {
            let expected = (score - largest).exp() / total;
            assert!(
                (f64::from(ours) - expected).abs() < 1e-5,
                "{ours} for {expected}"
            );
        }
    }
}

fn machine_model(
    op: &str,
    attributes: Vec<AttributeProto>,
    outputs: &[(&str, usize)],
) -> ModelProto {
    let mut graph = GraphBuilder::new("machine");
    let extents = |width| [Extent::Named("batch"), Extent::Fixed(width)];
    let input = graph.input("input", DataType::Float, &extents(2));
    let values: Vec<Value> = graph.ml_node(op, &[&input], attributes, outputs.len());
    for (value, &(name, width)) in values.iter().zip(outputs) {
        let element = if name == "label" {
            DataType::Int64
        } else {
            DataType::Float
        };
        graph.output(value, name, element, &extents(width));
    }
    graph.finish()
}

/// Two support vectors for each of two classes, at (±1, 0) and (0, ±1).
fn two_classes(mut more: Vec<AttributeProto>) -> ModelProto {
    let mut attributes = vec![
        ints("vectors_per_class", vec![2, 2]),
        floats(
            "support_vectors",
            vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0],
        ),
        floats("coefficients", vec![1.0, 1.0, -1.0, -1.0]),
        floats("rho", vec![0.25]),
        string("kernel_type", "POLY"),
        floats("kernel_params", vec![1.0, 0.0, 2.0]),
    ];
    attributes.append(&mut more);
    machine_model("SVMClassifier", attributes, &[("label", 1), ("scores", 2)])
}

#[test]
fn two_classes_give_the_decision_and_its_negative_or_probabilities() {
    let classes = || strings("classlabels_strings", &["even", "odd"]);
    let model = two_classes(vec![classes()]);
    let compiled_model = compiled(&model);
    assert_eq!(compiled_model.report.class_names, ["even", "odd"]);
    // 2x² - 2y² + 1/4.
    for (x, decision, label) in [([1.0, 0.5], 1.75, 0), ([0.5, 1.0], -1.25, 1)] {
        let outputs = run(&compiled_model.plan, &f32_bytes(&x));
        assert_eq!(outputs[0], i32::to_le_bytes(label));
        assert_eq!(f32_values(&outputs[1]), [-decision, decision]);
    }
    let platt = vec![
        classes(),
        floats("prob_a", vec![-1.5]),
        floats("prob_b", vec![0.5]),
    ];
    let outputs = run(&compiled(&two_classes(platt)).plan, &f32_bytes(&[1.0, 0.5]));
    let probabilities = f32_values(&outputs[1]);
    let expected = 1.0 / (1.0 + (-1.5_f64 * 1.75 + 0.5).exp());
    assert!(
        (f64::from(probabilities[0]) - expected).abs() < 0.005,
        "{probabilities:?}"
    );
    assert!((probabilities[0] + probabilities[1] - 1.0).abs() < 1e-6);
}

#[test]
fn a_regressor_adds_weighted_kernels_and_one_class_takes_the_sign() {
    let attributes = |one_class| {
        vec![
            int("n_supports", 2),
            floats("support_vectors", vec![1.0, 0.0, 0.0, 2.0]),
            floats("coefficients", vec![0.5, -1.0]),
            floats("rho", vec![0.125]),
            string("kernel_type", "RBF"),
            floats("kernel_params", vec![0.5, 0.0, 3.0]),
            int("one_class", one_class),
        ]
    };
    let model = machine_model("SVMRegressor", attributes(0), &[("y", 1)]);
    let expected = |x: [f64; 2]| {
        let radial = |v: [f64; 2]| (-0.5 * ((x[0] - v[0]).powi(2) + (x[1] - v[1]).powi(2))).exp();
        0.5 * radial([1.0, 0.0]) - radial([0.0, 2.0]) + 0.125
    };
    for x in [[0.5_f32, 0.25], [0.0, 2.0], [3.0, 3.0]] {
        let wide = expected(x.map(f64::from));
        let y = f32_values(&run(&compiled(&model).plan, &f32_bytes(&x))[0]);
        assert!((f64::from(y[0]) - wide).abs() < 1e-6);
        let one_class = machine_model("SVMRegressor", attributes(1), &[("y", 1)]);
        let sign = f32_values(&run(&compiled(&one_class).plan, &f32_bytes(&x))[0]);
        assert_eq!(f64::from(sign[0]), wide.signum());
    }
}

#[test]
fn rows_are_divided_by_their_norm() {
    for (norm, expected) in [("L1", 7.0), ("L2", 5.0), ("MAX", 3.0)] {
        let attributes = vec![string("norm", norm)];
        let model = machine_model("Normalizer", attributes, &[("y", 2)]);
        let y = f32_values(&run(&compiled(&model).plan, &f32_bytes(&[3.0, -4.0]))[0]);
        assert_eq!(y, [3.0 / expected, -4.0 / expected], "{norm}");
    }
}
