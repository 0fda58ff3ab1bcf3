//! Transpositions and reshapes move towards the outputs until they meet their inverse.
//!
//! A convolution is imported with a transposition before it and one behind it. Between two of
//! them stand ops on single elements, which do not care about the order: behind such an op the
//! transposition computes the same. So every transposition and reshape moves down past them,
//! two in a row become one, and one that changes nothing goes. What is left moves into the
//! weights of a fully connected layer behind it, or becomes a copy. Nothing is rounded otherwise
//! than before: a reduction only lets one through that keeps the order of what it sums.

use super::super::graph::{Border, Content, Graph, Node, Op, Value, ValueId, strides};
use super::turn::{self, Turn};

pub(super) fn settle(graph: &mut Graph) {
    while (0..graph.nodes.len()).any(|at| step(graph, at)) {
        graph.remove_unused();
    }
}

/// Moves a view past node `at` or joins it with one; false where nothing can be done.
fn step(graph: &mut Graph, at: usize) -> bool {
    match graph.nodes[at].op {
        Op::Reshape | Op::Transpose { .. } => join(graph, at),
        Op::Unary(_)
        | Op::Clamp { .. }
        | Op::QuantizeLinear { .. }
        | Op::DequantizeLinear { .. } => pass_element(graph, at),
        Op::Activation { .. } => pass_element(graph, at),
        Op::Binary(_) => pass_binary(graph, at),
        Op::Reduce { .. } => pass_reduction(graph, at),
        Op::Concat { .. } => pass_concat(graph, at),
        Op::Pad { .. } => pass_border(graph, at),
        Op::FullyConnected { .. } => turn_weights(graph, at),
        _ => false,
    }
}

/// A view that computes a value, and what it looks at.
fn view(graph: &Graph, value: ValueId) -> Option<(Turn, ValueId)> {
    let node = &graph.nodes[graph.producer(value)?];
    let source = node.inputs[0];
    let turn = match &node.op {
        Op::Reshape => Turn::Shape(graph.values[value].shape.clone()),
        Op::Transpose { order } => Turn::Order(order.clone()),
        _ => return None,
    };
    Some((turn, source))
}

fn origins(graph: &Graph, value: ValueId) -> Vec<usize> {
    let producer = graph.producer(value);
    producer.map_or_else(Vec::new, |at| graph.nodes[at].origins.clone())
}

/// A value like `model` of another shape.
fn add_like(graph: &mut Graph, model: ValueId, shape: Vec<usize>) -> ValueId {
    let value = Value {
        shape,
        content: Content::Computed,
        ..graph.values[model].clone()
    };
    graph.values.push(value);
    graph.values.len() - 1
}

/// Two views in a row become one; one that changes nothing is passed by.
fn join(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let Some((second, x)) = view(graph, node.output) else {
        return false;
    };
    if second.keeps(&graph.values[x].shape) {
        return bypass(graph, at);
    }
    let Some((first, source)) = view(graph, x) else {
        return false;
    };
    let shape = graph.values[source].shape.clone();
    let sources = [origins(graph, x), node.origins.clone()].concat();
    if let Some(joined) = first.then(&second, &shape) {
        graph.nodes[at] = Node {
            op: joined.op(),
            inputs: vec![source],
            output: node.output,
            origins: sources,
        };
        return true;
    }
    // A transposition moves behind a reshape that keeps its axes together.
    let (Turn::Order(order), Turn::Shape(to)) = (&first, &second) else {
        return false;
    };
    let Some((reshaped, order)) = turn::exchange(&shape, order, to) else {
        return false;
    };
    let outer = |shape: &[usize]| shape.len().saturating_sub(4);
    let turned = &graph.values[node.output].shape;
    let has_room = |shape: &[usize]| shape[..outer(shape)].iter().all(|&extent| extent == 1);
    if !has_room(&reshaped) || !has_room(turned) {
        return false;
    }
    let middle = add_like(graph, node.output, reshaped);
    let reshape = Node {
        op: Op::Reshape,
        inputs: vec![source],
        output: middle,
        origins: node.origins.clone(),
    };
    let transpose = Node {
        op: Op::Transpose { order },
        inputs: vec![middle],
        output: node.output,
        origins: sources,
    };
    graph.nodes.splice(at..=at, [reshape, transpose]);
    true
}

/// Lets the users of node `at` use its operand; false where it is an output of the graph.
fn bypass(graph: &mut Graph, at: usize) -> bool {
    let (from, to) = (graph.nodes[at].output, graph.nodes[at].inputs[0]);
    let used = graph.nodes.iter().any(|node| node.inputs.contains(&from));
    for node in &mut graph.nodes {
        let users = node.inputs.iter_mut().filter(|input| **input == from);
        users.for_each(|input| *input = to);
    }
    used
}

/// Puts `op` on the viewed values in the place of node `at`, and the view behind it.
fn put_before_view(graph: &mut Graph, at: usize, op: Op, inputs: Vec<ValueId>, moved: Moved) {
    let node = graph.nodes[at].clone();
    let middle = add_like(graph, node.output, moved.shape);
    let first = Node {
        op,
        inputs,
        output: middle,
        origins: node.origins,
    };
    let second = Node {
        op: moved.view.op(),
        inputs: vec![middle],
        output: node.output,
        origins: moved.origins,
    };
    graph.nodes.splice(at..=at, [first, second]);
}

/// A view on its way past an op.
struct Moved {
    /// Shape of the op's result before the view.
    shape: Vec<usize>,
    view: Turn,
    origins: Vec<usize>,
}

fn pass_element(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let Some((view, source)) = view(graph, node.inputs[0]) else {
        return false;
    };
    let moved = Moved {
        shape: graph.values[source].shape.clone(),
        view,
        origins: origins(graph, node.inputs[0]),
    };
    put_before_view(graph, at, node.op, vec![source], moved);
    true
}

/// A border around a transposition stands around the same axes before it.
fn pass_border(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let Op::Pad { border, element } = node.op else {
        return false;
    };
    let Some((Turn::Order(order), source)) = view(graph, node.inputs[0]) else {
        return false;
    };
    let back = turn::inverse(&order);
    let border = Border {
        fill: border.fill,
        before: back.iter().map(|&axis| border.before[axis]).collect(),
    };
    let moved = Moved {
        shape: turn::undo(&order, &graph.values[node.output].shape),
        view: Turn::Order(order),
        origins: origins(graph, node.inputs[0]),
    };
    put_before_view(graph, at, Op::Pad { border, element }, vec![source], moved);
    true
}

/// Both operands are viewed alike, or the other one can be viewed the other way round at no cost.
fn pass_binary(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let result = graph.values[node.output].shape.clone();
    let views = node.inputs.iter().filter_map(|&input| {
        let (turn, _) = view(graph, input)?;
        Some((turn, origins(graph, input)))
    });
    for (turn, origins) in views.collect::<Vec<_>>() {
        let Some(before) = source_shape(graph, &node, &turn, &result) else {
            continue;
        };
        let operands: Option<Vec<Untwisted>> = node
            .inputs
            .iter()
            .map(|&input| untwisted(graph, input, &turn, &result))
            .collect();
        let Some(operands) = operands else {
            continue;
        };
        let inputs = operands.into_iter().map(|operand| made(graph, at, operand));
        let inputs: Vec<ValueId> = inputs.collect();
        let moved = Moved {
            shape: before,
            view: turn,
            origins,
        };
        let at = graph
            .nodes
            .iter()
            .position(|other| other.output == node.output)
            .unwrap_or(at);
        put_before_view(graph, at, node.op, inputs, moved);
        return true;
    }
    false
}

/// Shape of the result before a view: that of the operand that has the result's own shape.
fn source_shape(graph: &Graph, node: &Node, turn: &Turn, result: &[usize]) -> Option<Vec<usize>> {
    match turn {
        Turn::Order(order) if order.len() == result.len() => Some(turn::undo(order, result)),
        Turn::Order(_) => None,
        Turn::Shape(_) => node.inputs.iter().find_map(|&input| {
            let (own, source) = view(graph, input)?;
            let is_whole = own == *turn && graph.values[input].shape == result;
            is_whole.then(|| graph.values[source].shape.clone())
        }),
    }
}

/// An operand before the view.
enum Untwisted {
    Value(ValueId),
    /// A constant whose axes are in another order.
    Picked(ValueId, Picks),
    /// A computed value under another shape.
    Reshaped(ValueId, Vec<usize>),
}

/// How the elements of a constant are picked from another's.
struct Picks {
    shape: Vec<usize>,
    places: Vec<usize>,
    /// Where every axis of the other one goes, extents of one that were left out included.
    axes: Vec<usize>,
}

/// What an operand is before a view of the result; none where that would be another copy.
fn untwisted(graph: &Graph, id: ValueId, turn: &Turn, result: &[usize]) -> Option<Untwisted> {
    let value = &graph.values[id];
    if let Some((own, source)) = view(graph, id)
        && own == *turn
        && (matches!(turn, Turn::Order(_)) || value.shape == result)
    {
        return Some(Untwisted::Value(source));
    }
    let Turn::Order(order) = turn else {
        return (value.elements() == 1 && value.shape.is_empty()).then_some(Untwisted::Value(id));
    };
    let missing = order.len().checked_sub(value.shape.len())?;
    let shape = [vec![1; missing], value.shape.clone()].concat();
    let before = turn::undo(order, &shape);
    if !value.is_computed() {
        let picks = Picks {
            places: turn::places(&shape, &turn::inverse(order)),
            shape: before,
            axes: order[missing..].to_vec(),
        };
        return Some(Untwisted::Picked(id, picks));
    }
    turn::keeps_elements(&shape, &turn::inverse(order)).then_some(Untwisted::Reshaped(id, before))
}

fn made(graph: &mut Graph, at: usize, operand: Untwisted) -> ValueId {
    match operand {
        Untwisted::Value(id) => id,
        Untwisted::Picked(id, picks) => picked(graph, id, &picks),
        Untwisted::Reshaped(id, shape) => {
            let output = add_like(graph, id, shape);
            let reshape = Node {
                op: Op::Reshape,
                inputs: vec![id],
                output,
                origins: graph.nodes[at].origins.clone(),
            };
            graph.nodes.insert(at, reshape);
            output
        }
    }
}

/// A constant with the elements of another, quantised ones with their scales.
fn picked(graph: &mut Graph, id: ValueId, picks: &Picks) -> ValueId {
    let value = graph.values[id].clone();
    let content = match value.content {
        Content::Constant(data) => Content::Constant(data.gather(&picks.places)),
        Content::Quantized(quantized) => {
            let axis = picks.axes.get(quantized.axis).copied().unwrap_or(0);
            Content::Quantized(quantized.gather(&picks.places, axis))
        }
        Content::Computed => return id,
    };
    let picked = graph.add_value(&value.name, value.element, &picks.shape);
    graph.values[picked].content = content;
    picked
}

/// `reduce(transpose(x))` reduces the axes where they were. The result is transposed with the
/// reduced axes kept, then reshaped.
fn pass_reduction(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let Op::Reduce {
        op, outer, reduced, ..
    } = node.op
    else {
        return false;
    };
    let Some((Turn::Order(order), source)) = view(graph, node.inputs[0]) else {
        return false;
    };
    let shape = graph.values[node.inputs[0]].shape.clone();
    let Some(axes) = turn::block(&shape, outer, reduced) else {
        return false;
    };
    let places: Vec<usize> = order[axes.clone()].to_vec();
    if places.windows(2).any(|pair| pair[1] != pair[0] + 1) {
        return false;
    }
    let before = graph.values[source].shape.clone();
    let (first, behind) = (places[0], places[0] + places.len());
    let mut kept = before.clone();
    kept[first..behind].fill(1);
    let op = Op::Reduce {
        op,
        outer: before[..first].iter().product(),
        reduced,
        inner: before[behind..].iter().product(),
    };
    let sources = origins(graph, node.inputs[0]);
    let sum = add_like(graph, node.output, kept.clone());
    let turned = add_like(
        graph,
        node.output,
        order.iter().map(|&axis| kept[axis]).collect(),
    );
    let new = |op: Op, input: ValueId, output: ValueId, origins: &[usize]| Node {
        op,
        inputs: vec![input],
        output,
        origins: origins.to_vec(),
    };
    let nodes = [
        new(op, source, sum, &node.origins),
        new(Op::Transpose { order }, sum, turned, &sources),
        new(Op::Reshape, turned, node.output, &node.origins),
    ];
    graph.nodes.splice(at..=at, nodes);
    true
}

/// `concat(transpose(a), transpose(b))` joins along the axis where it was.
fn pass_concat(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let Op::Concat { outer } = node.op else {
        return false;
    };
    let Some((turn, _)) = node.inputs.iter().find_map(|&input| view(graph, input)) else {
        return false;
    };
    let Turn::Order(order) = &turn else {
        return false;
    };
    let result = graph.values[node.output].shape.clone();
    let shapes = node.inputs.iter().map(|&id| &graph.values[id].shape[..]);
    let Some(axis) = turn::joined_axis(&shapes.collect::<Vec<_>>(), &result, outer) else {
        return false;
    };
    let operands: Option<Vec<Untwisted>> = node
        .inputs
        .iter()
        .map(|&input| untwisted(graph, input, &turn, &result))
        .collect();
    let Some(operands) = operands else {
        return false;
    };
    let before = turn::undo(order, &result);
    let outer = before[..order[axis]].iter().product();
    let sources = node.inputs.iter().flat_map(|&input| origins(graph, input));
    let moved = Moved {
        shape: before,
        origins: sources.collect(),
        view: turn.clone(),
    };
    let inputs = operands.into_iter().map(|operand| made(graph, at, operand));
    let inputs: Vec<ValueId> = inputs.collect();
    let is_join = |other: &Node| other.output == node.output;
    let at = graph.nodes.iter().position(is_join).unwrap_or(at);
    put_before_view(graph, at, Op::Concat { outer }, inputs, moved);
    true
}

/// `fully_connected(reshape(transpose(x)))` of one row takes the elements as they lie, with the
/// weights in that order.
fn turn_weights(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let Some((Turn::Shape(row), turned)) = view(graph, node.inputs[0]) else {
        return false;
    };
    let Some((Turn::Order(order), source)) = view(graph, turned) else {
        return false;
    };
    let (columns, weights) = (row.last().copied().unwrap_or(1), node.inputs[1]);
    if columns != graph.values[source].elements() || graph.values[weights].is_computed() {
        return false;
    }
    // Element `i` of the row was element `from[i]` of the source.
    let from = turn::places(&graph.values[source].shape, &order);
    let mut at_source = vec![0; columns];
    from.iter()
        .enumerate()
        .for_each(|(to, &from)| at_source[from] = to);
    let Some(weights) = with_columns(graph, weights, &at_source) else {
        return false;
    };
    let straight = add_like(graph, node.inputs[0], row);
    let reshape = Node {
        op: Op::Reshape,
        inputs: vec![source],
        output: straight,
        origins: [origins(graph, turned), origins(graph, node.inputs[0])].concat(),
    };
    graph.nodes[at].inputs[..2].copy_from_slice(&[straight, weights]);
    graph.nodes.insert(at, reshape);
    true
}

/// Weights `[n, k]` whose column `i` is column `columns[i]` of others.
fn with_columns(graph: &mut Graph, weights: ValueId, columns: &[usize]) -> Option<ValueId> {
    let value = graph.values[weights].clone();
    let rows = value.elements() / columns.len();
    let places: Vec<usize> = (0..rows)
        .flat_map(|row| {
            columns
                .iter()
                .map(move |&column| row * columns.len() + column)
        })
        .collect();
    let content = match &value.content {
        Content::Quantized(quantized) if quantized.axis == 0 => {
            Content::Quantized(quantized.gather(&places, 0))
        }
        Content::Constant(data) => Content::Constant(data.gather(&places)),
        _ => return None,
    };
    graph.values.push(Value { content, ..value });
    Some(graph.values.len() - 1)
}

/// Transpositions that are left become copies with strides. A copy looks through a reshape to more
/// dimensions than a plan has: its strides count elements.
pub(super) fn lower(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        lower_transposition(graph, at);
    }
    for at in 0..graph.nodes.len() {
        let (op, x) = (&graph.nodes[at].op, graph.nodes[at].inputs[0]);
        let too_many = graph.values[x].shape.len() > 4;
        if let (Op::StridedCopy { .. }, Some((Turn::Shape(_), source)), true) =
            (op, view(graph, x), too_many)
        {
            graph.nodes[at].inputs[0] = source;
        }
    }
}

fn lower_transposition(graph: &mut Graph, at: usize) {
    let Op::Transpose { order } = &graph.nodes[at].op else {
        return;
    };
    let shape = &graph.values[graph.nodes[at].inputs[0]].shape;
    let own = strides(shape);
    let mut steps = [0; 4];
    for (step, &axis) in steps.iter_mut().rev().zip(order.iter().rev()) {
        *step = own[axis] as i64;
    }
    graph.nodes[at].op = match turn::keeps_elements(shape, order) {
        true => Op::Reshape,
        false => Op::StridedCopy {
            base: 0,
            strides: steps,
        },
    };
}
