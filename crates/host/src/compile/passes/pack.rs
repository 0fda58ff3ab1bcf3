//! Integer layers whose requantisation can be proved take the engine's packed kernels.
//!
//! A convolution of single pixels is a fully connected layer over all pixels. One with a filter per
//! channel is computed plane by plane. A few other groups become one, and dilated filters per
//! channel larger ones, with weights of zero. More groups, transposed windows and layers without a
//! proof keep their reference kernel.

use super::super::constant::Data;
use super::super::cost;
use super::super::graph::{Graph, Node, Op};
use super::super::packing::depthwise::Planes;
use super::super::packing::groups::{pack, places};
use super::super::packing::requantisation::{Exact, fit};
use super::super::packing::zeros::{MOST_GROUPS, MOST_TAPS, in_one_group, undilated};
use super::super::packing::{Geometry, IntegerLayer, depthwise};
use super::Reasons;
use dunlin_engine::format::MAX_ROW;

/// Packs what can be packed, and says of every integer layer why or why not.
pub(super) fn run(graph: &mut Graph) -> Reasons {
    let mut reasons = Reasons::default();
    for at in 0..graph.nodes.len() {
        let packed = match graph.nodes[at].op {
            Op::FullyConnectedI8 { .. } => fully_connected(graph, at),
            Op::Conv2dI8 { .. } => convolution(graph, at),
            _ => continue,
        };
        let reason = match packed {
            Ok(packed) => replace_constants(graph, at, packed),
            Err(reason) => format!("reference: {reason}"),
        };
        let reasons = reasons.entry(graph.nodes[at].output);
        reasons.or_default().push(reason);
    }
    reasons
}

/// A packed kernel, its constants, and how it computes the layer.
struct Packed {
    op: Op,
    bytes: Vec<u8>,
    how: String,
}

/// Gives a node another op, whose inputs are the first one and the packed constants.
fn replace_constants(graph: &mut Graph, at: usize, packed: Packed) -> String {
    let name = graph.values[graph.nodes[at].inputs[1]].name.clone();
    let Packed { op, bytes, how } = packed;
    let constants = graph.add_constant(&name, &[bytes.len()], Data::Bytes(bytes));
    let channels = graph.values[graph.nodes[at].output].columns();
    let node: &mut Node = &mut graph.nodes[at];
    node.op = op;
    node.inputs = vec![node.inputs[0], constants];
    format!("packed{how}: all {channels} channels have a one-multiply requantisation")
}

const NO_LAYER: &str = "its constants are no integer layer's";

fn fully_connected(graph: &Graph, at: usize) -> Result<Packed, String> {
    let node = &graph.nodes[at];
    let x = &graph.values[node.inputs[0]];
    let rows = x.elements() / x.columns().max(1);
    let how = if rows == 1 { "" } else { " over rows" };
    let layer = IntegerLayer::of(graph, node).ok_or(NO_LAYER)?;
    over_rows(&layer, rows, how)
}

/// The layer over rows of inputs.
fn over_rows(layer: &IntegerLayer, rows: usize, how: &str) -> Result<Packed, String> {
    let k = layer.weights.first().ok_or(NO_LAYER)?.len();
    let packed = pack(layer, &places(1, k));
    let (bytes, ties) = packed.ok_or_else(|| obstacle(layer, true))?;
    let op = Op::FullyConnectedPacked {
        rows,
        k,
        n: layer.weights.len(),
        limits: layer.limits,
        ties,
        macs: layer.macs,
    };
    let how = format!("{how}{}", ties.words());
    Ok(Packed { op, bytes, how })
}

fn convolution(graph: &Graph, at: usize) -> Result<Packed, String> {
    let node = &graph.nodes[at];
    let layer = IntegerLayer::of(graph, node).ok_or("windows are transposed")?;
    let geometry = Geometry::of(graph, node).ok_or("it is not over an image")?;
    let in_group = graph.values[node.inputs[1]].columns().max(1);
    let groups = geometry.channels / in_group;
    if groups == 1 {
        return one_group(&layer, geometry, "");
    }
    if groups == geometry.channels && geometry.filters == geometry.channels {
        return by_channel(&layer, geometry);
    }
    let Some(joined) = in_one_group(&layer, &geometry, groups) else {
        return Err(format!(
            "no packed kernel has {groups} groups of {in_group} channels, and no more than {MOST_GROUPS} become one"
        ));
    };
    let how = format!(", {groups} groups as one with zeros,");
    let packed = one_group(&joined, geometry, &how)?;
    let as_one = Node {
        op: packed.op.clone(),
        ..node.clone()
    };
    match cost::cycles(graph, &as_one) < cost::cycles(graph, node) {
        true => Ok(packed),
        false => Err(format!(
            "{groups} groups of {in_group} channels take longer as one with zeros"
        )),
    }
}

/// A convolution whose filters see all channels.
fn one_group(layer: &IntegerLayer, mut geometry: Geometry, how: &str) -> Result<Packed, String> {
    if geometry.is_pointwise() {
        let pixels = geometry.outputs();
        return over_rows(
            layer,
            pixels,
            &format!("{how} as a layer over {pixels} pixels"),
        );
    }
    let (runs, run) = geometry.runs();
    let (inputs, most) = (runs * run.next_multiple_of(4), 2 * MAX_ROW as usize);
    if inputs > most {
        return Err(format!(
            "a column has {inputs} inputs, at most {most} are packed"
        ));
    }
    let packed = pack(layer, &places(runs, run));
    let (bytes, ties) = packed.ok_or_else(|| obstacle(layer, true))?;
    geometry.ties = ties;
    let op = Op::Conv2dPacked {
        geometry,
        limits: layer.limits,
        macs: layer.macs,
    };
    let how = format!(
        "{how} over columns of {} inputs{}",
        runs * run,
        ties.words()
    );
    Ok(Packed { op, bytes, how })
}

/// A convolution with a filter per channel.
fn by_channel(layer: &IntegerLayer, geometry: Geometry) -> Result<Packed, String> {
    if geometry.dilation != [1, 1] {
        let Some((layer, geometry)) = undilated(layer, &geometry) else {
            return Err(format!(
                "without its dilation a filter has more than {MOST_TAPS} times as many taps, most of them zeros"
            ));
        };
        let mut packed = by_channel(&layer, geometry)?;
        packed.how.push_str(", dilated by zeros");
        return Ok(packed);
    }
    let mut geometry = geometry;
    let bytes = depthwise::pack(layer, &mut geometry).ok_or_else(|| obstacle(layer, false))?;
    let op = Op::DepthwisePacked {
        planes: Planes::whole(&geometry),
        geometry,
        limits: layer.limits,
        macs: layer.macs,
    };
    let how = match geometry.is_3() {
        true => " plane by plane, 3 × 3 loop",
        false => " plane by plane, loop for any window",
    };
    let how = format!("{how}{}", geometry.ties.words());
    Ok(Packed { op, bytes, how })
}

/// Why a layer cannot be packed; `in_pairs` where two channels share a lane.
fn obstacle(layer: &IntegerLayer, in_pairs: bool) -> String {
    for index in 0..layer.weights.len() {
        let (exact, reach) = (layer.channel(index), layer.reach(index));
        if fit(&exact, reach, in_pairs && index & 1 == 1).is_none() {
            let why = match has_tie(&exact, reach) {
                true => "only some of its results begin at a tie",
                false => "none was found",
            };
            return format!("channel {index} has no one-multiply requantisation: {why}");
        }
    }
    "weights less their zero point, or sums, are too large for a lane".to_owned()
}

/// Most sums that are looked at.
const MOST_SUMS: i64 = 1 << 20;

/// Whether a sum between the saturated ones lies in the middle of two results.
fn has_tie(exact: &Exact, (low, high): (i64, i64)) -> bool {
    let first_above = |result: i32| {
        let (mut below, mut above) = (low - 1, high);
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            match exact.result(middle) > result {
                true => above = middle,
                false => below = middle,
            }
        }
        above
    };
    let denominator = exact.divisor << exact.shift.min(100);
    let is_tie = |sum: i64| {
        let numerator = i128::from(sum) * exact.factor + exact.offset;
        2 * numerator.rem_euclid(denominator) == denominator
    };
    let first = first_above(i32::from(i8::MIN));
    let sums = first - 1..=first_above(i32::from(i8::MAX) - 1);
    sums.take(MOST_SUMS as usize).any(is_tie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(divisor: i128) -> Exact {
        Exact {
            factor: 1,
            offset: 0,
            divisor,
            shift: 0,
            zero_point: 0,
        }
    }

    #[test]
    fn a_tie_is_told_from_none() {
        assert!(has_tie(&exact(16), (-1000, 1000)));
        assert!(!has_tie(&exact(17), (-1000, 1000)));
    }
}
