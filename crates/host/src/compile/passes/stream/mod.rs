//! A graph over a window of a stream becomes one over the window's new rows.
//!
//! A value *flows* where its last rows can be computed from the last rows of what it is made
//! from, and are then the same in every window they lie in: convolutions and pools without
//! padding along time, ops on single elements or rows, recurrent layers that run forwards. Such a
//! value is computed for the new rows only, and the invariant is that these are the last rows the
//! whole window would have given. A convolution over `k` rows takes them from a `history`, which
//! keeps the rows between calls; where an op needs the window as a whole (a pool over all of it, a
//! dense layer, a layer that runs backwards), a history gives it the window and the rest of the
//! graph stays as it was. Once every history is full, a call therefore gives the bytes that the
//! plan over the window gives for the last rows that came. Before that, rows which have not come
//! are bytes of 0 wherever a history keeps them.
//!
//! A recurrent layer goes on from its state, so behind one a call's result is that of a window
//! which began with the stream, not of the last rows alone. Where another layer runs backwards, which has
//! to begin with the window's end, none goes on, and results are those of the last window.

mod rules;

use super::super::error::Refusal;
use super::super::graph::{Content, Graph, Node, Op, Value, ValueId};
use super::super::report::{StreamEnd, StreamingReport, total_macs};
use rules::{Advance, Flow};
use std::collections::HashMap;

/// Rewrites the graph to take `rows` new rows a call, along the axis that leaves the least to do.
pub(in super::super) fn rewrite(
    graph: &mut Graph,
    rows: usize,
) -> Result<StreamingReport, Refusal> {
    let shape = graph.values[graph.input].shape.clone();
    let long_enough = |axis: &usize| rows > 0 && shape[*axis] > rows;
    let candidates = (0..shape.len()).filter(long_enough);
    let streams = candidates.filter_map(|axis| Stream::build(graph, axis, rows));
    let best = streams.min_by_key(|(stream, _)| total_macs(&stream.graph));
    let Some((stream, report)) = best else {
        let reason = format!("an input of shape {shape:?} has no window of more than {rows} rows");
        return Err(Refusal {
            node: graph.values[graph.input].name.clone(),
            op: "graph".to_owned(),
            reason,
            nearest: "stream fewer rows, along the first axis behind the batch".to_owned(),
        });
    };
    *graph = stream.graph;
    graph.remove_unused();
    Ok(report)
}

struct Stream {
    graph: Graph,
    flows: HashMap<ValueId, Flow>,
    /// Histories made so far, by what they keep and how many rows of it.
    histories: HashMap<(ValueId, usize), ValueId>,
    nodes: Vec<Node>,
    ends: Vec<StreamEnd>,
}

impl Stream {
    /// The graph for new rows along `axis`; none where a history would be needed before the axis
    /// is the outermost.
    fn build(original: &Graph, axis: usize, rows: usize) -> Option<(Stream, StreamingReport)> {
        let mut stream = Stream {
            graph: original.clone(),
            flows: HashMap::new(),
            histories: HashMap::new(),
            nodes: Vec::new(),
            ends: Vec::new(),
        };
        let window = original.values[original.input].shape[axis];
        let flow = Flow {
            axis,
            step: rows,
            window,
        };
        stream.start(original.input, flow);
        for node in &original.nodes {
            stream.push(original, node)?;
        }
        stream.finish(original)?;
        let flowing = stream
            .nodes
            .iter()
            .filter(|node| stream.computes_rows(node));
        let report = StreamingReport {
            rows,
            axis,
            window_rows: window,
            kept_bytes: 0,
            flowing_ops: flowing.count(),
            goes_on: stream
                .nodes
                .iter()
                .any(|node| matches!(node.op, Op::Recurrent(layer) if layer.keeps)),
            window_macs: total_macs(original),
            ends: std::mem::take(&mut stream.ends),
        };
        stream.graph.nodes = std::mem::take(&mut stream.nodes);
        Some((stream, report))
    }

    fn computes_rows(&self, node: &Node) -> bool {
        node.op != Op::History && self.flows.contains_key(&node.output)
    }

    fn start(&mut self, value: ValueId, flow: Flow) {
        self.graph.values[value].shape[flow.axis] = flow.step;
        self.flows.insert(value, flow);
    }

    /// Adds a node for the new rows or, where that is not possible, for the window.
    fn push(&mut self, original: &Graph, node: &Node) -> Option<()> {
        let flowing = |id: &&ValueId| self.flows.contains_key(*id);
        if node.inputs.iter().find(flowing).is_none() {
            self.nodes.push(node.clone());
            return Some(());
        }
        match rules::advance(original, &self.flows, node) {
            Ok(advance) => self.take(node, advance),
            Err(reason) => {
                self.ends.push(StreamEnd {
                    node: original.values[node.output].name.clone(),
                    reason,
                });
                let mut whole = node.clone();
                for input in &mut whole.inputs {
                    *input = self.whole(original, *input)?;
                }
                self.nodes.push(whole);
                Some(())
            }
        }
    }

    fn take(&mut self, node: &Node, advance: Advance) -> Option<()> {
        let mut inputs = node.inputs.clone();
        if let Some(rows) = advance.input_rows {
            inputs[0] = self.last_rows(inputs[0], rows)?;
        }
        if let Some(flow) = advance.flow {
            self.start(node.output, flow);
        }
        self.nodes.push(Node {
            op: advance.op,
            inputs,
            output: node.output,
            origins: node.origins.clone(),
        });
        Some(())
    }

    /// The window of a value that flows; the value itself where it does not.
    fn whole(&mut self, original: &Graph, value: ValueId) -> Option<ValueId> {
        match self.flows.get(&value) {
            None => Some(value),
            Some(flow) => {
                debug_assert_eq!(original.values[value].shape[flow.axis], flow.window);
                self.last_rows(value, flow.window)
            }
        }
    }

    /// The last `rows` rows of a value that flows: itself, some of its rows, or a history of them.
    fn last_rows(&mut self, value: ValueId, rows: usize) -> Option<ValueId> {
        let flow = *self.flows.get(&value)?;
        if rows == flow.step {
            return Some(value);
        }
        if let Some(&history) = self.histories.get(&(value, rows)) {
            return Some(history);
        }
        let old = &self.graph.values[value];
        let (outer, inner) = old.shape.split_at(flow.axis);
        if outer.iter().any(|&extent| extent != 1) {
            return None;
        }
        let row: usize = inner[1..].iter().product();
        let op = match rows > flow.step {
            true => Op::History,
            false => Op::StridedCopy {
                base: (flow.step - rows) * row,
                strides: [0, 0, 0, 1],
            },
        };
        let copy = matches!(op, Op::StridedCopy { .. });
        let mut shape = old.shape.clone();
        shape[flow.axis] = rows;
        let made = self.add_like(
            value,
            if copy {
                vec![rows * row]
            } else {
                shape.clone()
            },
        );
        self.nodes.push(Node {
            op,
            inputs: vec![value],
            output: made,
            origins: Vec::new(),
        });
        let made = if copy {
            self.reshaped(made, shape)
        } else {
            made
        };
        self.histories.insert((value, rows), made);
        Some(made)
    }

    fn reshaped(&mut self, value: ValueId, shape: Vec<usize>) -> ValueId {
        let view = self.add_like(value, shape);
        self.nodes.push(Node {
            op: Op::Reshape,
            inputs: vec![value],
            output: view,
            origins: Vec::new(),
        });
        view
    }

    fn add_like(&mut self, model: ValueId, shape: Vec<usize>) -> ValueId {
        let value = Value {
            shape,
            content: Content::Computed,
            ..self.graph.values[model].clone()
        };
        self.graph.values.push(value);
        self.graph.values.len() - 1
    }

    /// Outputs are the window's.
    fn finish(&mut self, original: &Graph) -> Option<()> {
        for output in 0..original.outputs.len() {
            let value = original.outputs[output];
            if self.flows.contains_key(&value) {
                self.ends.push(StreamEnd {
                    node: original.values[value].name.clone(),
                    reason: "the output is the whole window".to_owned(),
                });
            }
            self.graph.outputs[output] = self.whole(original, value)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
