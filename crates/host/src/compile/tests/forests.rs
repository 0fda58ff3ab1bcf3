//! Random forests against a plain walk over their nodes.

use super::{f32_bytes, f32_values, run};
use crate::compile::{CompileOptions, Compiled, Leaves, compile};
use crate::onnx::builder::{Extent, GraphBuilder, floats, int, ints, strings};
use crate::onnx::proto::{AttributeProto, AttributeType, DataType, ModelProto};

const MODES: [&str; 6] = [
    "BRANCH_LEQ",
    "BRANCH_LT",
    "BRANCH_GTE",
    "BRANCH_GT",
    "BRANCH_EQ",
    "BRANCH_NEQ",
];

#[derive(Clone, Debug)]
enum Node {
    Branch {
        mode: usize,
        feature: usize,
        value: f32,
        nan_holds: bool,
        holds: usize,
        fails: usize,
    },
    Leaf(Vec<f32>),
}

/// What a forest is grown from.
#[derive(Clone, Debug)]
struct Soil {
    features: usize,
    width: usize,
    trees: usize,
    branches: usize,
    modes: usize,
    nan_flags: bool,
    thresholds: fn(&mut Random) -> f32,
    weights: fn(&mut Random) -> f32,
    /// Weights of a leaf.
    filled: usize,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn grow(random: &mut Random, soil: &Soil, branches: usize, nodes: &mut Vec<Node>) -> usize {
    let place = nodes.len();
    if branches == 0 {
        let mut leaf = vec![0.0; soil.width];
        for _ in 0..soil.filled {
            leaf[random.below(soil.width)] = (soil.weights)(random);
        }
        nodes.push(Node::Leaf(leaf));
        return place;
    }
    nodes.push(Node::Leaf(Vec::new()));
    let left = random.below(branches);
    let (mode, feature) = (random.below(soil.modes), random.below(soil.features));
    let value = (soil.thresholds)(random);
    let nan_holds = soil.nan_flags && random.below(2) == 0;
    let holds = grow(random, soil, left, nodes);
    let fails = grow(random, soil, branches - 1 - left, nodes);
    nodes[place] = Node::Branch {
        mode,
        feature,
        value,
        nan_holds,
        holds,
        fails,
    };
    place
}

fn forest(random: &mut Random, soil: &Soil) -> Vec<Vec<Node>> {
    let tree = |_| {
        let mut nodes = Vec::new();
        let branches = random.below(soil.branches + 1);
        grow(random, soil, branches, &mut nodes);
        nodes
    };
    (0..soil.trees).map(tree).collect()
}

fn leaf_of<'t>(tree: &'t [Node], x: &[f32]) -> &'t [f32] {
    let mut place = 0;
    loop {
        match &tree[place] {
            Node::Leaf(values) => return values,
            Node::Branch {
                mode,
                feature,
                value,
                nan_holds,
                holds,
                fails,
            } => {
                let x = x[*feature];
                let passes = match mode {
                    0 => x <= *value,
                    1 => x < *value,
                    2 => x >= *value,
                    3 => x > *value,
                    4 => x == *value,
                    _ => x != *value,
                };
                let passes = passes || *nan_holds && x.is_nan();
                place = if passes { *holds } else { *fails };
            }
        }
    }
}

fn scores(forest: &[Vec<Node>], x: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for tree in forest {
        for (sum, value) in sums.iter_mut().zip(leaf_of(tree, x)) {
            *sum += value;
        }
    }
    sums
}

fn first_largest(scores: &[f32]) -> i32 {
    let largest = (1..scores.len()).fold(0, |best, index| {
        if scores[index] > scores[best] {
            index
        } else {
            best
        }
    });
    largest as i32
}

/// The lists of a `TreeEnsembleClassifier` or `TreeEnsembleRegressor`.
fn node_lists(forest: &[Vec<Node>], prefix: &str) -> Vec<AttributeProto> {
    let mut lists: [Vec<i64>; 9] = std::array::from_fn(|_| Vec::new());
    let (mut values, mut weights, mut modes) = (Vec::new(), Vec::new(), Vec::new());
    for (tree, nodes) in forest.iter().enumerate() {
        for (id, node) in nodes.iter().enumerate() {
            let (feature, value, mode, holds, fails, nan) = match node {
                Node::Branch {
                    mode,
                    feature,
                    value,
                    nan_holds,
                    holds,
                    fails,
                } => (*feature, *value, MODES[*mode], *holds, *fails, *nan_holds),
                Node::Leaf(_) => (0, 0.0, "LEAF", 0, 0, false),
            };
            let row = [tree, id, feature, holds, fails, usize::from(nan)];
            for (list, value) in lists.iter_mut().zip(row) {
                list.push(value as i64);
            }
            values.push(value);
            modes.push(mode);
            let Node::Leaf(leaf) = node else { continue };
            for (target, &weight) in leaf.iter().enumerate() {
                lists[6].push(tree as i64);
                lists[7].push(id as i64);
                lists[8].push(target as i64);
                weights.push(weight);
            }
        }
    }
    let names = [
        "nodes_treeids",
        "nodes_nodeids",
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_falsenodeids",
        "nodes_missing_value_tracks_true",
    ];
    let leaf_names = ["treeids", "nodeids", "ids"].map(|name| format!("{prefix}_{name}"));
    let all_names = names
        .into_iter()
        .chain(leaf_names.iter().map(|name| &name[..]));
    let mut attributes: Vec<_> = all_names
        .zip(lists)
        .map(|(name, list)| ints(name, list))
        .collect();
    attributes.push(floats("nodes_values", values));
    attributes.push(floats(&format!("{prefix}_weights"), weights));
    attributes.push(strings("nodes_modes", &modes));
    attributes
}

fn model(op: &str, soil: &Soil, attributes: Vec<AttributeProto>, outputs: usize) -> ModelProto {
    let mut graph = GraphBuilder::new("forest");
    let batch = Extent::Named("batch");
    let extents = [batch.clone(), Extent::Fixed(soil.features)];
    let input = graph.input("x", DataType::Float, &extents);
    let results = graph.ml_node(op, &[&input], attributes, outputs);
    if outputs == 2 {
        graph.output(&results[0], "label", DataType::Int64, &[batch.clone()]);
    }
    let extents = [batch, Extent::Fixed(soil.width)];
    graph.output(&results[outputs - 1], "scores", DataType::Float, &extents);
    graph.finish()
}

fn classifier(forest: &[Vec<Node>], soil: &Soil) -> ModelProto {
    let mut attributes = node_lists(forest, "class");
    attributes.push(ints("classlabels_int64s", (0..soil.width as i64).collect()));
    model("TreeEnsembleClassifier", soil, attributes, 2)
}

fn regressor(forest: &[Vec<Node>], soil: &Soil) -> ModelProto {
    let mut attributes = node_lists(forest, "target");
    attributes.push(int("n_targets", soil.width as i64));
    model("TreeEnsembleRegressor", soil, attributes, 1)
}

fn with(model: &ModelProto, leaves: Leaves) -> Compiled {
    let options = CompileOptions {
        leaves,
        ..CompileOptions::default()
    };
    compile(model, &options).unwrap()
}

/// Thresholds, their neighbours, and everything that is special.
fn input(random: &mut Random, soil: &Soil) -> Vec<f32> {
    let specials = [
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        f32::from_bits(1),
        -f32::from_bits(1),
        f32::MAX,
        f32::MIN,
    ];
    let mut value = || {
        let threshold = (soil.thresholds)(random);
        match random.below(5) {
            0 => threshold,
            1 => threshold.next_up(),
            2 => threshold.next_down(),
            3 => specials[random.below(specials.len())],
            _ => threshold * 0.75,
        }
    };
    (0..soil.features).map(|_| value()).collect()
}

fn any_float(random: &mut Random) -> f32 {
    let value = f32::from_bits(random.next() as u32);
    if value.is_nan() { -0.0 } else { value }
}

fn coarse(random: &mut Random) -> f32 {
    32.0 * (1 + random.below(31)) as f32
}

fn small(random: &mut Random) -> f32 {
    [-1.5, -0.0, 0.0, f32::from_bits(1), 1.0, f32::INFINITY, 2.5][random.below(7)]
}

fn positive(random: &mut Random) -> f32 {
    any_float(random).abs()
}

fn share(random: &mut Random) -> f32 {
    random.below(1000) as f32 / 999.0
}

fn signed_share(random: &mut Random) -> f32 {
    share(random) - 0.5
}

fn vote(_: &mut Random) -> f32 {
    0.1
}

const SOIL: Soil = Soil {
    features: 6,
    width: 3,
    trees: 7,
    branches: 40,
    modes: 1,
    nan_flags: false,
    thresholds: any_float,
    weights: share,
    filled: 2,
};

/// Forests of every kind the compiler tells apart, by what is likely to go wrong in them.
fn soils() -> Vec<(&'static str, Soil)> {
    let votes = Soil {
        weights: vote,
        filled: 1,
        ..SOIL
    };
    vec![
        ("any thresholds", SOIL),
        (
            "a few special thresholds, every mode, NaN both ways",
            Soil {
                thresholds: small,
                modes: 6,
                nan_flags: true,
                branches: 12,
                ..SOIL
            },
        ),
        (
            "thresholds on a grid, votes",
            Soil {
                thresholds: coarse,
                trees: 40,
                ..votes.clone()
            },
        ),
        (
            "few branches, positive thresholds, votes",
            Soil {
                thresholds: positive,
                branches: 6,
                features: 30,
                ..votes.clone()
            },
        ),
        (
            "few branches, positive thresholds, rows of leaves",
            Soil {
                thresholds: positive,
                branches: 6,
                features: 30,
                weights: signed_share,
                ..SOIL
            },
        ),
        (
            "more thresholds of a feature than a column has",
            Soil {
                branches: 900,
                features: 2,
                ..SOIL
            },
        ),
        (
            "more columns than a group has",
            Soil {
                features: 700,
                branches: 60,
                trees: 20,
                ..SOIL
            },
        ),
        (
            "deep trees, votes",
            Soil {
                branches: 250,
                trees: 20,
                ..votes.clone()
            },
        ),
        (
            "more scores than short rows name",
            Soil {
                width: 20,
                weights: signed_share,
                ..SOIL
            },
        ),
        (
            "votes for more scores than short rows name",
            Soil {
                width: 20,
                ..votes.clone()
            },
        ),
        (
            "a single score",
            Soil {
                width: 1,
                filled: 1,
                weights: signed_share,
                ..SOIL
            },
        ),
    ]
}

#[test]
fn forests_equal_a_plain_walk_bit_for_bit() {
    let mut kernels = std::collections::BTreeSet::new();
    for (name, soil) in soils() {
        let mut random = Random(0x1234_5678_9ABC_DEF1);
        for round in 0..6 {
            let forest = forest(&mut random, &soil);
            let as_classifier = soil.width > 1 && round % 2 == 0;
            let model = match as_classifier {
                true => classifier(&forest, &soil),
                false => regressor(&forest, &soil),
            };
            let compiled = with(&model, Leaves::Exact);
            kernels.extend(compiled.report.kernels.clone());
            assert_eq!(compiled.report.ops.len(), 1, "{name}");
            for _ in 0..200 {
                let x = input(&mut random, &soil);
                let outputs = run(&compiled.plan, &f32_bytes(&x));
                let expected = scores(&forest, &x, soil.width);
                let got = outputs.last().unwrap();
                assert_eq!(got, &f32_bytes(&expected), "{name}, {x:?}");
                if as_classifier {
                    let label = first_largest(&expected).to_le_bytes();
                    assert_eq!(outputs[0], label, "{name}, {x:?}");
                }
            }
        }
    }
    let all = [0, 1, 2, 3, 4, 5].map(|variant| format!("tree_ensemble.1.{variant}"));
    assert!(kernels.into_iter().eq(all), "a variant was not tested");
}

#[test]
fn compact_leaves_are_off_by_half_a_step_for_each_tree_at_most() {
    let mut compared = 0;
    for (name, soil) in soils() {
        let mut random = Random(0x0DDB_1A5E_5BAD_5EED);
        let forest = forest(&mut random, &soil);
        let is_negative =
            |node: &Node| matches!(node, Node::Leaf(leaf) if leaf.iter().any(|&w| w < 0.0));
        if forest.iter().flatten().any(is_negative) {
            let options = CompileOptions {
                leaves: Leaves::Compact,
                ..CompileOptions::default()
            };
            let refusal = compile(&regressor(&forest, &soil), &options).unwrap_err();
            assert!(refusal.to_string().contains("not negative"), "{refusal}");
            continue;
        }
        let compiled = with(&regressor(&forest, &soil), Leaves::Compact);
        for _ in 0..200 {
            let x = input(&mut random, &soil);
            let got = f32_values(&run(&compiled.plan, &f32_bytes(&x))[0]);
            for (got, expected) in got.iter().zip(scores(&forest, &x, soil.width)) {
                let off = (got - expected).abs();
                assert!(off <= soil.trees as f32 / 509.0, "{name}: {off}");
                compared += 1;
            }
        }
    }
    assert!(compared > 3000);
}

#[test]
fn two_classes_with_one_column_of_weights_have_both_scores() {
    let soil = Soil {
        width: 1,
        filled: 1,
        ..SOIL
    };
    for (weights, base) in [(share as fn(&mut Random) -> f32, 1.0), (signed_share, 0.0)] {
        let soil = Soil {
            weights,
            ..soil.clone()
        };
        let mut random = Random(77);
        let forest = forest(&mut random, &soil);
        let mut attributes = node_lists(&forest, "class");
        attributes.push(ints("classlabels_int64s", vec![0, 1]));
        let two = Soil {
            width: 2,
            ..soil.clone()
        };
        let compiled = with(
            &model("TreeEnsembleClassifier", &two, attributes, 2),
            Leaves::Exact,
        );
        assert_eq!(compiled.report.ops.len(), 1);
        for _ in 0..100 {
            let x = input(&mut random, &soil);
            let outputs = run(&compiled.plan, &f32_bytes(&x));
            let score = scores(&forest, &x, 1)[0];
            let expected = [base - score, score];
            assert_eq!(f32_values(&outputs[1]), expected);
            assert_eq!(outputs[0], first_largest(&expected).to_le_bytes());
        }
    }
}

/// The lists of a `TreeEnsemble`: branches and leaves apart, a lone leaf as both sides of a branch.
fn leaf_lists(forest: &[Vec<Node>]) -> Vec<AttributeProto> {
    let mut lists: [Vec<i64>; 8] = std::array::from_fn(|_| Vec::new());
    let (mut splits, mut modes, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for nodes in forest {
        let first = splits.len() as i64;
        lists[6].push(first);
        let first_leaf = weights.len() as i64;
        let place = |wanted: usize| {
            let is_leaf = matches!(nodes[wanted], Node::Leaf(_));
            let before = nodes[..wanted].iter();
            let leaves = before.filter(|node| matches!(node, Node::Leaf(_))).count();
            match is_leaf {
                true => (first_leaf + leaves as i64, 1),
                false => (first + (wanted - leaves) as i64, 0),
            }
        };
        let mut branch = |row: [i64; 6], value: f32, mode: usize| {
            for (list, value) in lists.iter_mut().zip(row) {
                list.push(value);
            }
            splits.push(value);
            modes.push(mode as u8);
        };
        for node in nodes {
            if let Node::Branch {
                mode,
                feature,
                value,
                nan_holds,
                holds,
                fails,
            } = node
            {
                let (holds, fails) = (place(*holds), place(*fails));
                let nan = i64::from(*nan_holds);
                let row = [*feature as i64, holds.0, holds.1, fails.0, fails.1, nan];
                branch(row, *value, *mode);
            }
        }
        if let [Node::Leaf(_)] = nodes[..] {
            branch([0, first_leaf, 1, first_leaf, 1, 0], 0.0, 0);
        }
        for node in nodes {
            if let Node::Leaf(values) = node {
                let target = values.iter().position(|&value| value != 0.0).unwrap_or(0);
                lists[7].push(target as i64);
                weights.push(values[target]);
            }
        }
    }
    let names = [
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_trueleafs",
        "nodes_falsenodeids",
        "nodes_falseleafs",
        "nodes_missing_value_tracks_true",
        "tree_roots",
        "leaf_targetids",
    ];
    let mut attributes: Vec<_> = names
        .into_iter()
        .zip(lists)
        .map(|(name, list)| ints(name, list))
        .collect();
    attributes.push(tensor("nodes_splits", DataType::Float, f32_bytes(&splits)));
    attributes.push(tensor("leaf_weights", DataType::Float, f32_bytes(&weights)));
    attributes.push(tensor("nodes_modes", DataType::Uint8, modes));
    attributes
}

fn tensor(name: &str, element: DataType, raw: Vec<u8>) -> AttributeProto {
    let width = if element == DataType::Float { 4 } else { 1 };
    let shape = [raw.len() / width];
    AttributeProto {
        t: Some(crate::onnx::builder::tensor("", element, &shape, raw)),
        kind: AttributeType::Tensor as i32,
        ..floats(name, Vec::new())
    }
}

#[test]
fn the_operator_of_opset_5_equals_a_plain_walk() {
    let soil = Soil {
        thresholds: small,
        modes: 6,
        nan_flags: true,
        branches: 12,
        filled: 1,
        ..SOIL
    };
    let mut random = Random(4242);
    for aggregate in [0, 1] {
        let forest = forest(&mut random, &soil);
        let mut attributes = leaf_lists(&forest);
        attributes.push(int("n_targets", 3));
        attributes.push(int("aggregate_function", aggregate));
        let compiled = with(&model("TreeEnsemble", &soil, attributes, 1), Leaves::Exact);
        for _ in 0..300 {
            let x = input(&mut random, &soil);
            let expected = scores(&forest, &x, 3).into_iter();
            let expected: Vec<f32> = match aggregate {
                0 => expected.map(|sum| sum / soil.trees as f32).collect(),
                _ => expected.collect(),
            };
            let got = &run(&compiled.plan, &f32_bytes(&x))[0];
            assert_eq!(f32_values(got), expected, "{x:?}");
        }
    }
}

#[test]
fn averages_are_divided_before_base_values_are_added() {
    let mut random = Random(11);
    let forest = forest(&mut random, &SOIL);
    let mut attributes = node_lists(&forest, "target");
    attributes.push(int("n_targets", 3));
    attributes.push(crate::onnx::builder::string(
        "aggregate_function",
        "AVERAGE",
    ));
    attributes.push(floats("base_values", vec![1.0, -2.0, 0.25]));
    let compiled = with(
        &model("TreeEnsembleRegressor", &SOIL, attributes, 1),
        Leaves::Exact,
    );
    for _ in 0..100 {
        let x = input(&mut random, &SOIL);
        let sums = scores(&forest, &x, 3);
        let base = [1.0, -2.0, 0.25];
        let expected: Vec<f32> = sums
            .iter()
            .zip(base)
            .map(|(sum, base)| sum / SOIL.trees as f32 + base)
            .collect();
        assert_eq!(
            f32_values(&run(&compiled.plan, &f32_bytes(&x))[0]),
            expected
        );
    }
}
