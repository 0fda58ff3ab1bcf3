//! Lays out branches that compare ranks: columns, pieces, leaf table.

use super::leaf_table::Leaves;
use super::leaves::{Codes, Rows};
use super::tree::{Branch, Flat, FlatNode};
use super::{PackFault, bytes_of, fault, half_bytes_of};
use dunlin_kernels::{MAX_LEAVES, WINDOW};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

const MAX_COLUMNS: usize = 256;
/// Features for each that is tested, up to which every feature gets a column of a grid.
const MAX_UNUSED: usize = 4;
/// Keys of a column, so that a rank is a byte.
const MAX_KEYS: usize = 255;
/// Instructions of a Cortex-M4 for an input.
const GRID_COLUMN: usize = 6;
const COLUMN: usize = 20;
/// Nodes before the last piece of a group.
const MAX_NODES: usize = u16::MAX as usize;
/// Leaf codes, and pieces, of a group.
const MAX_TARGETS: usize = 1 << 15;
const LEAF: u32 = 1 << 31;
const GOES_ON: u16 = 1 << 15;

/// Groups of as many trees as their numbers allow.
pub(super) fn pack(
    trees: &[Flat],
    codes: &Codes,
    features: usize,
) -> Result<Vec<Vec<u8>>, PackFault> {
    if let Some(group) = pack_group(trees, codes, features) {
        return Ok(vec![group]);
    }
    if trees.len() < 2 {
        let reason = "a tree has more than 65,280 thresholds, 256 features or 32,768 leaves";
        return Err(fault(reason, "limit the depth"));
    }
    let (first, second) = trees.split_at(trees.len() / 2);
    let halves = [first, second].map(|half| pack(half, codes, features));
    Ok(halves.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
}

/// The keys each feature is compared with, apart for NaNs that go left and right.
pub(super) struct Columns {
    keys: BTreeMap<(usize, bool), Vec<i32>>,
    grid: Option<Grid>,
}

/// Keys `base + i·2^shift`.
#[derive(Clone, Copy)]
struct Grid {
    base: i32,
    shift: u32,
}

/// The columns of all branches, where they are not too many.
pub(super) fn columns(trees: &[Flat], features: usize) -> Option<Columns> {
    let mut keys: BTreeMap<(usize, bool), BTreeSet<i32>> = BTreeMap::new();
    for (_, branch) in trees.iter().flat_map(Flat::branches) {
        let column = (branch.feature, branch.nan_goes_left);
        keys.entry(column).or_default().insert(branch.key);
    }
    let keys: BTreeMap<_, Vec<i32>> = keys
        .into_iter()
        .map(|(column, keys)| (column, keys.into_iter().collect()))
        .collect();
    let grid = grid(&keys).filter(|_| features <= MAX_COLUMNS.min(MAX_UNUSED * keys.len()));
    let columns = Columns { keys, grid };
    (columns.count() <= MAX_COLUMNS).then_some(columns)
}

/// The coarsest grid that has every key, where 255 steps suffice.
fn grid(keys: &BTreeMap<(usize, bool), Vec<i32>>) -> Option<Grid> {
    let all = || keys.values().flatten().copied();
    let (base, last) = (all().min()?, all().max()?);
    let differences = all().fold(0, |bits, key| bits | key.wrapping_sub(base));
    let shift = differences.trailing_zeros().min(31);
    let fits = base >= 0 && (last - base) >> shift < MAX_KEYS as i32;
    let nan_goes_right = keys.keys().all(|&(_, nan_goes_left)| !nan_goes_left);
    (fits && nan_goes_right).then_some(Grid { base, shift })
}

impl Columns {
    /// How many there are, each of at most 255 keys.
    fn count(&self) -> usize {
        let parts = |keys: &Vec<i32>| keys.len().div_ceil(MAX_KEYS);
        self.keys.values().map(parts).sum()
    }

    /// Instructions of a Cortex-M4 that map the inputs.
    pub fn instructions(&self, features: usize) -> usize {
        match self.grid {
            Some(_) => GRID_COLUMN * features,
            None => COLUMN * self.count(),
        }
    }

    /// Column and rank of every test.
    fn places(&self) -> HashMap<(usize, bool, i32), (usize, usize)> {
        let mut places = HashMap::new();
        let mut column = 0;
        for (&(feature, nan), keys) in &self.keys {
            for (index, &key) in keys.iter().enumerate() {
                let place = match self.grid {
                    Some(grid) => (feature, ((key - grid.base) >> grid.shift) as usize),
                    None => (column + index / MAX_KEYS, index % MAX_KEYS),
                };
                places.insert((feature, nan, key), place);
            }
            column += keys.len().div_ceil(MAX_KEYS);
        }
        places
    }

    /// The column table and the key table, both empty where there is a grid.
    fn tables(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut columns, mut table) = (Vec::new(), Vec::new());
        if self.grid.is_some() {
            return (columns, table);
        }
        for (&(feature, nan_goes_left), keys) in &self.keys {
            let feature = (feature as u16).to_le_bytes();
            for keys in keys.chunks(MAX_KEYS) {
                let count = keys.len() as u8;
                columns.extend([feature[0], feature[1], count, u8::from(nan_goes_left)]);
                table.extend(keys.iter().flat_map(|key| key.to_le_bytes()));
            }
        }
        (columns, table)
    }
}

/// Pieces of trees, in the order in which they are entered.
struct Writer<'t> {
    trees: &'t [Flat],
    codes: &'t Codes,
    places: HashMap<(usize, bool, i32), (usize, usize)>,
    nodes: Vec<u32>,
    pieces: Vec<u16>,
    /// Where the pieces that are not yet written begin: tree and node.
    waiting: VecDeque<(usize, usize)>,
    leaves: Leaves,
    rows: Rows,
}

fn pack_group(trees: &[Flat], codes: &Codes, features: usize) -> Option<Vec<u8>> {
    let columns = columns(trees, features)?;
    let mut writer = Writer {
        trees,
        codes,
        places: columns.places(),
        nodes: Vec::new(),
        pieces: Vec::new(),
        waiting: (0..trees.len()).map(|tree| (tree, 0)).collect(),
        leaves: Leaves::default(),
        rows: Rows::default(),
    };
    while let Some((tree, node)) = writer.waiting.pop_front() {
        writer.write_piece(tree, node);
        let leaves = writer.leaves.count() <= MAX_LEAVES && writer.nodes.len() <= MAX_NODES;
        let targets = codes.width + writer.rows.entries();
        if !leaves || targets.max(writer.pieces.len() + writer.waiting.len()) > MAX_TARGETS {
            return None;
        }
    }
    writer.finish(&columns)
}

impl Writer<'_> {
    /// Writes a piece from a node on; where it is full, other pieces go on.
    ///
    /// The first levels are written before everything else, so that there is room for walks of the least length, which
    /// nodes lengthen whose test adds nothing.
    fn write_piece(&mut self, tree: usize, root: usize) {
        self.pieces.push(self.nodes.len() as u16);
        let last_level = self.codes.least_nodes() - 1;
        let mut piece = vec![0_u32];
        let mut todo = vec![(root, 0, 0)];
        while let Some(place) = todo.len().checked_sub(1) {
            let is_first = |&(_, _, level): &(usize, usize, usize)| level < last_level;
            let (node, at, level) = todo.remove(todo.iter().rposition(is_first).unwrap_or(place));
            let next = piece.len();
            let branch = match self.trees[tree].nodes[node] {
                FlatNode::Branch(branch) => branch,
                FlatNode::Leaf(_) if level < last_level => {
                    piece[at] = (next as u32) << 16;
                    piece.push(0);
                    todo.push((node, next, level + 1));
                    continue;
                }
                FlatNode::Leaf(leaf) => {
                    let code = self.code(leaf);
                    piece[at] = LEAF | (self.leaves.single(code) as u32) << 16;
                    continue;
                }
            };
            let test = self.test(&branch);
            let children = [branch.left, branch.right];
            let are_leaves = children.iter().all(|&child| self.is_leaf(tree, child));
            if level >= last_level && (are_leaves || next + 2 > WINDOW) {
                let [left, right] = children.map(|child| self.end(tree, child));
                piece[at] = test | LEAF | (self.leaves.pair(left, right) as u32) << 16;
                continue;
            }
            piece[at] = test | (next as u32) << 16;
            piece.extend([0, 0]);
            let behind = level + 1;
            todo.extend([
                (branch.right, next + 1, behind),
                (branch.left, next, behind),
            ]);
        }
        self.nodes.extend(piece);
    }

    /// Column and complement of the rank.
    fn test(&self, branch: &Branch) -> u32 {
        let test = (branch.feature, branch.nan_goes_left, branch.key);
        let (column, rank) = self.places[&test];
        (column | (MAX_KEYS - rank) << 8) as u32
    }

    fn is_leaf(&self, tree: usize, node: usize) -> bool {
        matches!(self.trees[tree].nodes[node], FlatNode::Leaf(_))
    }

    /// An entry of the leaf table: a leaf's code, or a new piece.
    fn end(&mut self, tree: usize, node: usize) -> u16 {
        if let FlatNode::Leaf(leaf) = self.trees[tree].nodes[node] {
            return self.code(leaf);
        }
        let piece = self.pieces.len() + self.waiting.len();
        self.waiting.push_back((tree, node));
        piece as u16 | GOES_ON
    }

    fn code(&mut self, leaf: usize) -> u16 {
        self.codes.code(leaf, &mut self.rows) as u16
    }

    fn finish(mut self, columns: &Columns) -> Option<Vec<u8>> {
        let table = self.leaves.table();
        for node in self.nodes.iter_mut().filter(|node| **node & LEAF != 0) {
            let number = (*node & !LEAF) >> 16;
            let place = table.places[number as usize] as u32;
            *node = *node & (LEAF | 0xFFFF) | place << 16;
        }
        if table.codes.len() > MAX_LEAVES {
            return None;
        }
        let (column_table, keys) = columns.tables();
        let values = self.rows.all_values(self.codes);
        let counts = [
            self.nodes.len(),
            self.pieces.len(),
            self.trees.len(),
            column_table.len() / 4,
            keys.len() / 4,
            table.codes.len(),
            self.rows.entries(),
            values.len(),
        ];
        let grid = columns.grid.unwrap_or(Grid { base: 0, shift: 0 });
        let header = counts.map(|count| count as u32);
        let header = [&header[..], &[grid.base.cast_unsigned(), grid.shift]].concat();
        let mut bytes = bytes_of(&header);
        let first_node = bytes.len();
        bytes.extend(bytes_of(&self.nodes));
        bytes.extend([column_table, keys].concat());
        bytes.extend(half_bytes_of(&self.pieces));
        let leaves_end = bytes.len() + 2 * self.codes.leaf_room(table.codes.len());
        bytes.extend(half_bytes_of(&table.codes));
        bytes.extend(&self.rows.bytes);
        bytes.extend(bytes_of(&values));
        let last_window = self
            .pieces
            .last()
            .map_or(0, |&start| usize::from(start) + WINDOW);
        let end = bytes
            .len()
            .max(first_node + 4 * last_window)
            .max(leaves_end);
        bytes.resize(end, 0);
        Some(bytes)
    }
}
