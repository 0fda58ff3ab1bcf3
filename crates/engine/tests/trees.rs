//! Tree ensembles, from tables written by hand.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use proptest::prelude::*;
use support::{F32, PlanBuilder, f32_bytes, f32_values, kernel, run};

const LAST: u8 = 0x80;
const LEAF: u32 = 1 << 31;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn halves(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|half| half.to_le_bytes()).collect()
}

/// An op with two features, two scores of steps and a label.
fn plan(variant: u8, groups: &[Vec<u8>], parameters: [u32; 3]) -> Vec<u8> {
    let mut plan = PlanBuilder::default();
    let x = plan.arena(F32, &[1, 2]);
    let scores = plan.arena(F32, &[1, 2]);
    let label = plan.arena(DType::I32, &[1]);
    let mut inputs = vec![x];
    for group in groups {
        inputs.push(plan.constant(DType::U8, &[group.len() as u32], group));
    }
    let scratch = match variant {
        0 | 1 | 4 | 5 => vec![plan.arena(DType::U8, &[256])],
        _ => Vec::new(),
    };
    let kernel = kernel(OpCode::TreeEnsemble, variant);
    plan.op_with_scratch(kernel, &inputs, (&[scores, label], &scratch), &parameters);
    plan.port(label, Role::Label);
    plan.port(scores, Role::Probabilities);
    plan.build()
}

fn step(value: f32) -> [u32; 3] {
    [1, value.to_bits(), 0]
}

fn scores(plan: &[u8], x: [f32; 2]) -> Vec<f32> {
    f32_values(&run(plan, &f32_bytes(&x))[1])
}

/// A branch: threshold, feature, left, right.
type Branch = (f32, u32, u32, u32);

fn direct(branches: &[Branch], roots: &[u16], rows: &[[u8; 2]]) -> Vec<u8> {
    let counts = [branches.len(), roots.len(), rows.len(), 0].map(|count| count as u32);
    let thresholds: Vec<u32> = branches.iter().map(|branch| branch.0.to_bits()).collect();
    let link = |&(_, feature, left, right): &Branch| left | right << 12 | feature << 24;
    let links: Vec<u32> = branches.iter().map(link).collect();
    let tables = [words(&counts), words(&thresholds), words(&links)];
    [tables.concat(), halves(roots), rows.concat()].concat()
}

#[test]
fn thresholds_send_equal_and_negative_numbers_left_and_nans_right() {
    let group = direct(&[(0.5, 1, 1, 2)], &[0], &[]);
    let plan = plan(3, &[group], step(1.0));
    let left = [0.5, 0.0, -0.0, -1.0, f32::NEG_INFINITY, f32::MIN_POSITIVE];
    for value in left {
        assert_eq!(scores(&plan, [9.0, value]), [1.0, 0.0], "{value}");
    }
    let right = [0.5_f32.next_up(), f32::INFINITY, f32::NAN, -f32::NAN];
    for value in right {
        assert_eq!(scores(&plan, [0.0, value]), [0.0, 1.0], "{value}");
    }
}

#[test]
fn a_leaf_adds_a_unit_or_a_row_and_the_label_is_the_first_largest() {
    let rows = [[0, 3], [1 | LAST, 5], [1 | LAST, 200]];
    let group = direct(&[(1.0, 0, 3, 2), (2.0, 1, 5, 2)], &[0, 1], &rows);
    let plan = plan(3, &[group], [7, 0.5_f32.to_bits(), 0]);
    let outputs = |x: [f32; 2]| run(&plan, &f32_bytes(&x));
    // Codes: 0 and 1 are units, 2 the row of entries 0 and 1, 4 that of entry 2; places follow 2 branches.
    assert_eq!(f32_values(&outputs([2.0, 3.0])[1]), [7.0, 0.0]);
    assert_eq!(f32_values(&outputs([0.0, 0.0])[1]), [0.0, 3.5 + 2.5]);
    assert_eq!(outputs([0.0, 0.0])[0], 1_i32.to_le_bytes());
    assert_eq!(outputs([2.0, 3.0])[0], 0_i32.to_le_bytes());
}

/// A tree without branches whose leaf is a row of floats by their places, and the values.
fn shared(row: &[(u8, u16)], values: &[f32]) -> Vec<u8> {
    let counts = [0, 1, row.len() as u32, values.len() as u32];
    let mut group = [words(&counts), halves(&[2])].concat();
    for (score, place) in row {
        group.push(*score);
        group.extend(place.to_le_bytes());
    }
    [group, f32_bytes(values)].concat()
}

#[test]
fn rows_of_floats_may_share_their_values() {
    let group = shared(&[(1, 1), (LAST, 0)], &[0.25, -3.0]);
    let plan = |group: &[u8]| plan(2, &[group.to_vec()], [0, 0, 0]);
    assert_eq!(scores(&plan(&group), [0.0; 2]), [0.25, -3.0]);
    let behind = shared(&[(1, 2), (LAST, 0)], &[0.25, -3.0]);
    refused(&plan(&behind), OpFault::Constant);
    let mut cut = group;
    cut.pop();
    refused(&plan(&cut), OpFault::Constant);
}

#[test]
fn a_nan_from_a_leaf_has_the_one_bit_pattern() {
    let nan = f32::from_bits(0xFFC0_0001);
    let group = shared(&[(0, 0), (LAST | 1, 1)], &[1.0, nan]);
    let outputs = run(&plan(2, &[group], [0, 0, 0]), &f32_bytes(&[0.0; 2]));
    let expected = [1.0_f32.to_bits(), 0x7FC0_0000];
    assert_eq!(outputs[1], words(&expected));
}

#[test]
fn a_grid_at_infinity_sends_only_nans_right() {
    let mut ranks = Ranks::example();
    (ranks.keys, ranks.columns) = (Vec::new(), Vec::new());
    ranks.grid = [f32::INFINITY.to_bits(), 0];
    // A leaf of each side: steps of score 0 on the left, of score 1 on the right.
    ranks.nodes = vec![255 << 8 | LEAF];
    let plan = ranks.plan();
    let numbers = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::MAX,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    for x in numbers {
        assert_eq!(scores(&plan, [x, 0.0]), [1.0, 0.0], "{x}");
    }
    for x in [f32::NAN, -f32::NAN] {
        assert_eq!(scores(&plan, [x, 0.0]), [0.0, 1.0], "{x}");
    }
}

#[test]
fn votes_are_added_one_by_one() {
    let group = direct(&[], &[1; 10], &[]);
    let votes = |form| {
        scores(
            &plan(
                3,
                std::slice::from_ref(&group),
                [1, 0.1_f32.to_bits(), form],
            ),
            [0.0; 2],
        )
    };
    let added = (0..10).fold(0.0_f32, |sum, _| sum + 0.1);
    assert_ne!(added, 10.0 * 0.1);
    assert_eq!(votes(0), [0.0, 1.0]);
    assert_eq!(votes(1), [0.0, added]);
    assert_eq!(votes(4), [0.0, 1.0]);
    assert_eq!(votes(5), [1.0 - added, added]);
    assert_eq!(votes(8), [-1.0, 1.0]);
}

#[test]
fn groups_add_to_the_same_scores() {
    let group = || direct(&[], &[0, 1], &[]);
    assert_eq!(
        scores(&plan(3, &[group(), group(), group()], step(1.0)), [0.0; 2]),
        [3.0, 3.0]
    );
}

fn refused(plan: &[u8], fault: OpFault) {
    assert_eq!(
        Plan::load(plan).unwrap_err(),
        LoadError::Op { op: 0, fault }
    );
}

#[test]
fn malformed_branches_are_refused() {
    let load = |branches: &[Branch], roots: &[u16], rows: &[[u8; 2]]| {
        Plan::load(&plan(3, &[direct(branches, roots, rows)], step(1.0))).map(|plan| plan.work())
    };
    let fault = Err(LoadError::Op {
        op: 0,
        fault: OpFault::Constant,
    });
    let fine: Branch = (0.5, 1, 1, 2);
    assert_eq!(load(&[fine], &[0], &[]), Ok(3));
    type Tables<'t> = (&'t [Branch], &'t [u16], &'t [[u8; 2]]);
    let wrong: [Tables; 8] = [
        (&[(0.5, 2, 1, 2)], &[0], &[]),
        (&[(0.5, 1, 0, 2)], &[0], &[]),
        (&[(0.5, 1, 1, 3)], &[0], &[]),
        (&[(0.5, 1, 2, 1), (0.5, 1, 1, 2)], &[0], &[]),
        (&[fine], &[3], &[]),
        (&[fine], &[0], &[[0, 1]]),
        (&[fine], &[0], &[[2 | LAST, 1]]),
        (&[fine], &[5], &[[LAST, 1]]),
    ];
    for (branches, roots, rows) in wrong {
        assert_eq!(
            load(branches, roots, rows),
            fault,
            "{branches:?} {roots:?} {rows:?}"
        );
    }
    let mut cut = direct(&[fine], &[0], &[]);
    cut.pop();
    refused(&plan(3, &[cut], step(1.0)), OpFault::Constant);
    let mut long = direct(&[fine], &[0], &[]);
    long[0] = 0xFF;
    refused(&plan(3, &[long], step(1.0)), OpFault::Constant);
}

#[test]
fn parameters_that_fit_no_form_are_refused() {
    let group = |rows: &[[u8; 2]]| direct(&[], &[0], rows);
    let fault = |parameters, rows: &[[u8; 2]]| {
        refused(&plan(3, &[group(rows)], parameters), OpFault::Parameters);
    };
    fault([1, f32::NAN.to_bits(), 0], &[]);
    fault([1, f32::INFINITY.to_bits(), 0], &[]);
    fault([1, 0, 2], &[]);
    fault([1, 0, 12], &[]);
    fault([2, 0, 1], &[]);
    fault([1, 0, 1], &[[LAST, 1]]);
    refused(
        &plan(2, &[direct(&[], &[0], &[])], [1, 0, 1]),
        OpFault::Parameters,
    );
}

/// Tables of a group that compares ranks.
#[derive(Clone, Default)]
struct Ranks {
    nodes: Vec<u32>,
    pieces: Vec<u16>,
    trees: u32,
    columns: Vec<[u8; 4]>,
    keys: Vec<i32>,
    leaves: Vec<u16>,
    rows: Vec<[u8; 2]>,
    values: Vec<f32>,
    grid: [u32; 2],
    room: usize,
}

impl Ranks {
    /// One tree that goes left up to 1.0 in feature 0, and then up to 2.0 in feature 1; a NaN in
    /// feature 1 goes left.
    fn example() -> Self {
        let right = |column: u32, rank: u32| column | (255 - rank) << 8;
        Ranks {
            nodes: vec![right(0, 0) | 1 << 16, right(1, 0) | LEAF, 2 << 16 | LEAF],
            pieces: vec![0],
            trees: 1,
            columns: vec![[0, 0, 1, 0], [1, 0, 1, 1]],
            keys: vec![1.0_f32.to_bits() as i32, 2.0_f32.to_bits() as i32],
            leaves: vec![0, 1, 2],
            rows: vec![[0, 40], [1 | LAST, 50]],
            values: Vec::new(),
            grid: [0, 0],
            room: 256,
        }
    }

    /// The same with short rows: nodes that test nothing make every walk four nodes long.
    fn short_example() -> Self {
        let example = Self::example();
        let [first, second, third] = [0, 1, 2].map(|node| example.nodes[node]);
        let on = |node: u32| node << 16;
        Ranks {
            nodes: vec![first, on(3), on(4), on(5), on(6), second, third],
            rows: vec![short(40, 0), short(50, 1 | ENDS)],
            ..example
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let counts = [
            self.nodes.len() as u32,
            self.pieces.len() as u32,
            self.trees,
            self.columns.len() as u32,
            self.keys.len() as u32,
            self.leaves.len() as u32,
            self.rows.len() as u32,
            self.values.len() as u32,
        ];
        let keys: Vec<u32> = self.keys.iter().map(|key| key.cast_unsigned()).collect();
        let mut bytes = [words(&counts), words(&self.grid), words(&self.nodes)].concat();
        bytes.extend([self.columns.concat(), words(&keys)].concat());
        bytes.extend(
            [
                halves(&self.pieces),
                halves(&self.leaves),
                self.rows.concat(),
                f32_bytes(&self.values),
            ]
            .concat(),
        );
        bytes.resize(bytes.len().max(40 + 4 * self.room), 0);
        bytes
    }

    fn plan(&self) -> Vec<u8> {
        plan(1, &[self.bytes()], step(1.0))
    }
}

#[test]
fn ranks_decide_as_thresholds_do() {
    let plan = Ranks::example().plan();
    for x in [1.0, 0.5, -3.0, -0.0, f32::NEG_INFINITY] {
        assert_eq!(scores(&plan, [x, 2.0]), [1.0, 0.0], "{x}");
        assert_eq!(scores(&plan, [x, f32::NAN]), [1.0, 0.0], "{x}");
        assert_eq!(scores(&plan, [x, 2.0_f32.next_up()]), [0.0, 1.0], "{x}");
    }
    for x in [1.0_f32.next_up(), f32::INFINITY, f32::NAN, -f32::NAN] {
        assert_eq!(scores(&plan, [x, 0.0]), [40.0, 50.0], "{x}");
    }
}

#[test]
fn a_grid_counts_its_points_below_a_number() {
    let mut group = Ranks::example();
    let base = 1.0_f32.to_bits();
    group.grid = [base, 23];
    (group.keys, group.columns) = (Vec::new(), Vec::new());
    for rank in [0, 1, 7, 120] {
        group.nodes[0] = (255 - rank) << 8 | 1 << 16;
        let threshold = f32::from_bits(base + (rank << 23));
        let plan = group.plan();
        for x in [
            threshold,
            threshold.next_down(),
            0.0,
            -0.0,
            -5.0,
            f32::NEG_INFINITY,
        ] {
            assert_eq!(scores(&plan, [x, 1.0]), [1.0, 0.0], "{rank} {x}");
        }
        for x in [threshold.next_up(), f32::INFINITY, f32::NAN, -f32::NAN] {
            assert_eq!(scores(&plan, [x, 1.0]), [40.0, 50.0], "{rank} {x}");
        }
    }
}

/// In a short entry of a row, beside the score: the last one.
const ENDS: u16 = 0x8000;

/// A short entry of a row.
fn short(weight: u16, score: u16) -> [u8; 2] {
    let end = (score & ENDS) >> 4;
    (weight | end | score << 12).to_le_bytes()
}

#[test]
fn short_rows_add_what_long_ones_do() {
    let (long, short) = (Ranks::example().plan(), {
        let group = Ranks::short_example();
        plan(5, &[group.bytes()], step(1.0))
    });
    let numbers = [
        1.0,
        0.5,
        -3.0,
        -0.0,
        2.0,
        2.5,
        f32::INFINITY,
        f32::NAN,
        -f32::NAN,
    ];
    for x in numbers {
        for y in numbers {
            assert_eq!(scores(&short, [x, y]), scores(&long, [x, y]), "{x} {y}");
        }
    }
}

#[test]
fn short_rows_of_floats_name_their_values() {
    let mut group = Ranks::short_example();
    group.rows = vec![short(2, 0), short(1, 1 | ENDS)];
    group.values = vec![9.0, -0.5, 0.25, 9.0];
    let unit = [1.5_f32.to_bits(), 0, 0];
    let plan = plan(4, &[group.bytes(), group.bytes()], unit);
    assert_eq!(scores(&plan, [2.0, 0.0]), [0.5, -1.0]);
    assert_eq!(scores(&plan, [0.0, 0.0]), [3.0, 0.0]);
}

#[test]
fn malformed_short_trees_are_refused() {
    let load =
        |variant, group: &Ranks| Plan::load(&plan(variant, &[group.bytes()], step(1.0))).err();
    let example = Ranks::short_example();
    assert_eq!(load(5, &example), None);
    type Damage = fn(&mut Ranks);
    let damages: [(&str, Damage); 6] = [
        ("a leaf at the root", |g| g.nodes[0] |= LEAF),
        ("a leaf behind it", |g| g.nodes[2] = LEAF),
        ("a leaf at the third node", |g| g.nodes[4] = LEAF),
        ("a row that does not end", |g| g.rows[1] = short(50, 1)),
        ("a score that is not there", |g| g.rows[0] = short(40, 2)),
        ("too little behind the leaves", |g| {
            g.leaves.resize(600, 0);
            g.room = 0;
            g.nodes.resize(256, 255 << 8 | LEAF);
        }),
    ];
    let refused = Some(LoadError::Op {
        op: 0,
        fault: OpFault::Constant,
    });
    for (name, damage) in damages {
        let mut damaged = example.clone();
        damage(&mut damaged);
        assert_eq!(load(5, &damaged), refused, "{name}");
    }
    let mut floats = example.clone();
    floats.values = vec![1.0; 2];
    assert_eq!(load(4, &floats), None);
    floats.values = vec![1.0; 3];
    assert_eq!(load(4, &floats), refused);
}

#[test]
fn a_walk_goes_on_in_a_later_piece() {
    let mut group = Ranks::example();
    group.nodes = vec![255 << 8 | LEAF, 254 << 8 | 1 << 24 >> 8 | LEAF];
    group.nodes[1] = 1 | 255 << 8 | 2 << 16 | LEAF;
    group.pieces = vec![0, 1];
    group.leaves = vec![0x8001, 0, 0, 1];
    group.room = 257;
    let plan = group.plan();
    assert_eq!(scores(&plan, [2.0, 0.0]), [1.0, 0.0]);
    assert_eq!(scores(&plan, [0.0, 0.0]), [1.0, 0.0]);
    assert_eq!(scores(&plan, [0.0, 3.0]), [0.0, 1.0]);
}

#[test]
fn malformed_pieces_are_refused() {
    let example = Ranks::example();
    assert!(Plan::load(&example.plan()).is_ok());
    type Damage = fn(&mut Ranks);
    let damages: [(&str, Damage); 17] = [
        ("a child before its node", |g| g.nodes[0] = 255 << 8),
        ("a child behind the piece", |g| {
            g.nodes[0] = 255 << 8 | 2 << 16
        }),
        ("a leaf that is not there", |g| g.nodes[2] = 3 << 16 | LEAF),
        ("a right leaf that is not there", |g| {
            g.nodes[1] = 255 << 8 | 2 << 16 | LEAF
        }),
        ("a column that is not there", |g| g.nodes[0] |= 2),
        ("a code behind the rows", |g| g.leaves[2] = 4),
        ("a piece that is not behind", |g| g.leaves[2] = 0x8000),
        ("a piece that is not there", |g| g.leaves[2] = 0x8001),
        ("more trees than pieces", |g| g.trees = 2),
        ("a piece that begins elsewhere", |g| g.pieces[0] = 1),
        ("an empty piece", |g| g.pieces.push(3)),
        ("no room for the window", |g| g.room = 0),
        ("a feature that is not there", |g| {
            g.columns[1] = [2, 0, 1, 0]
        }),
        ("more keys than there are", |g| g.columns[1][2] = 2),
        ("columns beside a grid", |g| {
            g.keys.clear();
            g.columns = vec![[0, 0, 0, 0], [1, 0, 0, 0]];
        }),
        ("a shift beyond a word", |g| g.grid = [0, 32]),
        ("a row that does not end", |g| g.rows[1][0] = 1),
    ];
    for (name, damage) in damages {
        let mut damaged = example.clone();
        damage(&mut damaged);
        let fault = OpFault::Constant;
        let found = Plan::load(&damaged.plan()).err();
        assert_eq!(found, Some(LoadError::Op { op: 0, fault }), "{name}");
    }
}

proptest! {
    /// A walk over links reaches the leaf that a recursive walk reaches.
    #[test]
    fn linked_trees_equal_trees_in_pre_order(
        shape in prop::collection::vec((any::<u8>(), 0_u8..4, 0_u32..2), 1..40),
        x in prop::array::uniform2(-2_i8..5),
    ) {
        let x = x.map(f32::from);
        let mut tree = Tree { shape: &shape, branches: Vec::new(), leaves: 0 };
        let (_, reached) = tree.grow(shape.len(), Some(x));
        let n = shape.len() as u32;
        let rows: Vec<[u8; 2]> = (0..tree.leaves as u8).map(|leaf| [LAST, leaf]).collect();
        let placed = |place: Place| match place {
            Place::Branch(branch) => branch as u32,
            Place::Leaf(leaf) => n + 2 + leaf as u32,
        };
        let branches: Vec<Branch> = tree
            .branches
            .iter()
            .map(|&(threshold, feature, left, right)| (threshold, feature, placed(left), placed(right)))
            .collect();
        let plan = plan(3, &[direct(&branches, &[0], &rows)], step(1.0));
        prop_assert_eq!(scores(&plan, x)[0], reached.unwrap() as f32);
    }
}

#[derive(Clone, Copy)]
enum Place {
    Branch(usize),
    Leaf(usize),
}

struct Tree<'s> {
    shape: &'s [(u8, u8, u32)],
    branches: Vec<(f32, u32, Place, Place)>,
    leaves: usize,
}

impl Tree<'_> {
    /// Grows `branches` branches and follows `x` through them; gives the root and the leaf reached.
    fn grow(&mut self, branches: usize, x: Option<[f32; 2]>) -> (Place, Option<usize>) {
        if branches == 0 {
            self.leaves += 1;
            return (Place::Leaf(self.leaves - 1), x.map(|_| self.leaves - 1));
        }
        let index = self.branches.len();
        let (split, threshold, feature) = self.shape[index];
        let (left, threshold) = (usize::from(split) % branches, f32::from(threshold));
        self.branches
            .push((threshold, feature, Place::Leaf(0), Place::Leaf(0)));
        let goes_left = |x: &[f32; 2]| x[feature as usize] <= threshold;
        let (left_place, found) = self.grow(left, x.filter(goes_left));
        let (right_place, other) = self.grow(branches - 1 - left, x.filter(|x| !goes_left(x)));
        self.branches[index] = (threshold, feature, left_place, right_place);
        (Place::Branch(index), found.or(other))
    }
}
