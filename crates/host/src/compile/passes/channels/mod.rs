//! Channels that say nothing are removed, with every result as it was.
//!
//! [`ranges`] bounds the codes of every channel, from the input on: a layer's sum lies between the sums
//! of the least and of the largest products, and requantisation keeps order. Where both ends give one
//! code `v`, the channel is *constant*: a layer that reads it adds `Σ(w - w₀)·v` to every sum, which goes
//! into its `Q` as `P` times that. A tap on padding sees x₀ instead of `v`, so with padding that is exact
//! for `v = x₀` only. A channel is *unread* where all weights for it are `w₀`; what it holds adds nothing.
//!
//! A channel goes through ops that keep channels apart (filters per channel, pools, lookups, sums of
//! equal shapes, views): all values that such ops join lose it together, and only if every layer that
//! reads one of them can do without it ([`sets`]). Its row of weights, its multiplier and offset go with it;
//! what it was computed from may be unread then, so the search begins again.
//!
//! Packed kernels compute four channels together, so fewer are not always faster: of all removable
//! channels and of the most that leave whole groups, the choice whose modelled cost is lower is taken,
//! and none if nothing is gained. Nor is it taken where the arena would grow (a narrower tensor between two leaves a gap
//! before the inputs of the next) beyond what the target has, or at all if that is not known.

mod ranges;
mod removal;
mod sets;

use super::super::graph::Graph;
use super::super::options::CompileOptions;
use super::super::{cost, memory};
use super::Reasons;
use ranges::Ranges;
use sets::ChannelSet;

/// Channels that packed kernels compute together.
const GROUP: usize = 4;

/// Removes channels as long as that makes the graph faster, and says whose, and whose could go as well.
pub(super) fn remove(graph: &mut Graph, options: &CompileOptions) -> Reasons {
    let mut reasons = Reasons::default();
    while let Some((smaller, set, count)) = improved(graph, options) {
        let channels = set.channels;
        let what = format!("{count} of {channels} channels removed: constant or unread");
        note(&mut reasons, graph, &set, &what);
        *graph = smaller;
    }
    let ranges = Ranges::of(graph);
    for set in sets::find(graph) {
        let (count, channels) = (set.removable(graph, &ranges).len(), set.channels);
        if count > 0 {
            let but = "that would make it slower or the arena too large";
            let what = format!("{count} of {channels} channels could go, but {but}");
            note(&mut reasons, graph, &set, &what);
        }
    }
    reasons
}

/// Notes what became of a set's channels at every layer that computes them.
fn note(reasons: &mut Reasons, graph: &Graph, set: &ChannelSet, what: &str) {
    for layer in set.layers(graph) {
        let notes = reasons.entry(graph.nodes[layer].output);
        notes.or_default().push(what.to_owned());
    }
}

/// The graph with channels of one set removed, if that is better: the set, and how many.
fn improved(graph: &Graph, options: &CompileOptions) -> Option<(Graph, ChannelSet, usize)> {
    let ranges = Ranges::of(graph);
    let before = cost::expected_total(graph);
    let faster = sets::find(graph).into_iter().filter_map(|set| {
        let removable = set.removable(graph, &ranges);
        let (smaller, count) = best(graph, &set, &removable, &ranges)?;
        (cost::expected_total(&smaller) < before).then_some((smaller, set, count))
    });
    let mut faster = faster.peekable();
    faster.peek()?;
    let whole = Outcome::of(graph, options);
    faster.find(|(smaller, ..)| Outcome::of(smaller, options).is_better_than(&whole, options))
}

/// What comes of a graph when the passes behind this one have run.
struct Outcome {
    arena_bytes: usize,
    cycles: u64,
}

impl Outcome {
    fn of(graph: &Graph, options: &CompileOptions) -> Outcome {
        let mut graph = graph.clone();
        for (_, pass) in super::for_processor(options) {
            pass(&mut graph);
        }
        Outcome {
            arena_bytes: memory::plan(&graph).arena_bytes,
            cycles: cost::total(&graph),
        }
    }

    fn is_better_than(&self, other: &Outcome, options: &CompileOptions) -> bool {
        let room = options.limits.arena_bytes.unwrap_or(0);
        self.cycles < other.cycles && self.arena_bytes <= other.arena_bytes.max(room)
    }
}

/// The fastest graph without all of the channels, or with whole groups left.
fn best(
    graph: &Graph,
    set: &ChannelSet,
    removable: &[usize],
    ranges: &Ranges,
) -> Option<(Graph, usize)> {
    let most = removable.len().min(set.channels - 1);
    let left = (set.channels - most).next_multiple_of(GROUP);
    let whole = set.channels.saturating_sub(left);
    let counts = [most, whole].into_iter().filter(|&count| count > 0);
    let candidates = counts.filter_map(|count| {
        let smaller = removal::without(graph, set, &removable[..count], ranges)?;
        Some((smaller, count))
    });
    candidates.min_by_key(|(smaller, _)| cost::expected_total(smaller))
}

#[cfg(test)]
mod tests {
    use super::super::super::options::Limits;
    use super::*;

    #[test]
    fn faster_is_better_in_an_arena_that_does_not_grow_or_has_room() {
        let better = |(arena_bytes, cycles): (usize, u64), room: Option<usize>| {
            let options = CompileOptions {
                limits: Limits {
                    arena_bytes: room,
                    ..Limits::default()
                },
                ..CompileOptions::default()
            };
            let before = Outcome {
                arena_bytes: 100,
                cycles: 1000,
            };
            let after = Outcome {
                arena_bytes,
                cycles,
            };
            after.is_better_than(&before, &options)
        };
        assert!(better((100, 999), None) && !better((90, 1000), None));
        assert!(!better((104, 900), None) && !better((104, 900), Some(103)));
        assert!(better((104, 900), Some(104)));
    }
}
