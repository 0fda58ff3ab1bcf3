//! Depthwise layers widen as much at once as the arena has room for.
//!
//! Planes for all rows of four channels cost the least time. Where they would make the arena larger than planes of a
//! sixteenth of the layer's input do, the layer gets those: for all rows of one channel, or strip by
//! strip for four. Channels that are no multiple of four get theirs one by one.

use super::super::graph::{Graph, Op};
use super::super::memory::plan;
use super::super::packing::Geometry;
use super::super::packing::depthwise::{Planes, least_strip, plane_bytes};
use super::Reasons;

/// Bytes of input for one byte of planes.
const SHARE: usize = 16;

/// Gives every depthwise layer its planes, and says which and why.
pub(super) fn run(graph: &mut Graph) -> Reasons {
    let layers: Vec<(usize, Planes, Planes)> = (0..graph.nodes.len())
        .filter_map(|at| match graph.nodes[at].op {
            Op::DepthwisePacked {
                ref geometry,
                planes,
                ..
            } => Some((at, planes, small(geometry))),
            _ => None,
        })
        .collect();
    for &(at, _, small) in &layers {
        set(graph, at, small);
    }
    let least = if layers.is_empty() {
        0
    } else {
        plan(graph).arena_bytes
    };
    let mut reasons = Reasons::default();
    for (at, whole, small) in layers {
        set(graph, at, whole);
        let reason = match plan(graph).arena_bytes > least {
            true => {
                set(graph, at, small);
                let Planes { strip, lanes } = small;
                format!(
                    "planes of {lanes} at once for {strip} rows: more would make the arena larger"
                )
            }
            false => format!("planes of {} at once for all rows", whole.lanes),
        };
        reasons
            .entry(graph.nodes[at].output)
            .or_default()
            .push(reason);
    }
    reasons
}

fn set(graph: &mut Graph, at: usize, new: Planes) {
    if let Op::DepthwisePacked { ref mut planes, .. } = graph.nodes[at].op {
        *planes = new;
    }
}

/// Planes that take a [`SHARE`] of the input, or as little as there may be.
fn small(geometry: &Geometry) -> Planes {
    let ([rows, _], [height, width]) = (geometry.output, geometry.input);
    let room = height * width * geometry.channels / SHARE;
    let fits = |planes: &Planes| plane_bytes(geometry, *planes) <= room;
    let least = least_strip(geometry);
    let of = |strip: usize, lanes: usize| Planes { strip, lanes };
    let strips = |lanes: usize| (least..=rows).rev().map(move |strip| of(strip, lanes));
    let mut options = [of(rows, 1)]
        .into_iter()
        .chain(strips(Planes::whole(geometry).lanes))
        .chain(strips(1));
    options.find(fits).unwrap_or(of(least, 1))
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::{Element, Node};
    use super::super::super::packing::Ties;
    use super::*;
    use dunlin_kernels::LANES;

    fn layer(size: usize, channels: usize) -> Geometry {
        Geometry {
            input: [size, size],
            channels,
            output: [size, size],
            filters: channels,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [1, 1],
            zero: 0,
            ties: Ties::Up,
        }
    }

    /// A depthwise layer, an op that enlarges its results, and another depthwise layer.
    fn graph([small, large]: [usize; 2]) -> Graph {
        let mut graph = Graph::default();
        let image =
            |graph: &mut Graph, size| graph.add_value("image", Element::I8, &[1, size, size, 8]);
        let depthwise = |size| Op::DepthwisePacked {
            geometry: layer(size, 8),
            limits: (-128, 127),
            planes: Planes {
                strip: size,
                lanes: LANES,
            },
            macs: 0,
        };
        graph.input = image(&mut graph, small);
        let mut x = graph.input;
        for (op, size) in [
            (depthwise(small), small),
            (Op::Softmax, large),
            (depthwise(large), large),
        ] {
            let output = image(&mut graph, size);
            graph.nodes.push(Node {
                op,
                inputs: vec![x],
                output,
                origins: Vec::new(),
            });
            x = output;
        }
        graph.outputs = vec![x];
        graph
    }

    fn planes(graph: &Graph, at: usize) -> Planes {
        match graph.nodes[at].op {
            Op::DepthwisePacked { planes, .. } => planes,
            _ => panic!("another op"),
        }
    }

    #[test]
    fn a_layer_at_the_peak_goes_strip_by_strip_and_a_small_one_at_once() {
        let mut graph = graph([12, 40]);
        run(&mut graph);
        let [small, large] = [0, 2].map(|at| planes(&graph, at));
        assert_eq!((small.strip, small.lanes), (12, LANES));
        assert!(large.strip < 40, "{large:?}");
        assert!(plane_bytes(&layer(40, 8), large) <= 40 * 40 * 8 / 16);
    }

    #[test]
    fn all_rows_of_one_channel_come_before_strips_of_several() {
        let (many, few) = (small(&layer(20, 64)), small(&layer(20, 16)));
        assert_eq!((many.strip, many.lanes), (20, 1));
        assert!(few.strip < 20 && few.lanes == 1, "{few:?}");
    }

    #[test]
    fn channels_that_are_no_multiple_of_the_lanes_have_planes_one_by_one() {
        let single = |channels: usize| Geometry {
            kernel: [1, 1],
            padding: [0, 0],
            ..layer(12, channels)
        };
        assert_eq!(small(&single(16)).lanes, LANES);
        assert_eq!(small(&single(17)).lanes, 1);
    }

    #[test]
    fn strips_are_no_shorter_than_the_rows_they_share() {
        assert_eq!(least_strip(&layer(40, 8)), 2);
        let strided = Geometry {
            output: [20, 20],
            stride: [2, 2],
            padding: [0, 0],
            ..layer(40, 8)
        };
        assert_eq!(least_strip(&strided), 1);
        let high = Geometry {
            padding: [3, 1],
            ..layer(40, 8)
        };
        assert_eq!(least_strip(&high), 40);
    }
}
