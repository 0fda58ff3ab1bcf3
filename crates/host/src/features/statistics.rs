//! Numbers that describe a window of one channel.

use super::Windows;
use crate::onnx::builder::{self, GraphBuilder, Value};
use crate::recipe::Statistic;

/// Added to the squared variance under a kurtosis, so that a constant window gives 0 and not 0 / 0.
const LEAST_SQUARED_VARIANCE: f32 = 1e-20;

/// The name in reports.
pub(super) fn name(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Mean => "mean",
        Statistic::Deviation => "deviation",
        Statistic::Rms => "rms",
        Statistic::Magnitude => "magnitude",
        Statistic::Kurtosis => "kurtosis",
    }
}

/// The statistics one after another, each for all channels: `[batch, statistics × channels]`.
pub(super) fn emit(
    graph: &mut GraphBuilder,
    windows: &mut Windows,
    channels: &[usize],
    statistics: &[Statistic],
) -> Value {
    let values: Vec<Value> = statistics
        .iter()
        .map(|&statistic| one(graph, windows, channels, statistic))
        .collect();
    match values.as_slice() {
        [only] => only.clone(),
        many => graph.node(
            "Concat",
            &many.iter().collect::<Vec<_>>(),
            vec![builder::int("axis", 1)],
        ),
    }
}

fn one(
    graph: &mut GraphBuilder,
    windows: &mut Windows,
    channels: &[usize],
    statistic: Statistic,
) -> Value {
    match statistic {
        Statistic::Mean => {
            let series = windows.series(graph, channels);
            mean(graph, &series)
        }
        Statistic::Deviation => {
            let centred = windows.centred(graph, channels);
            root_mean_square(graph, &centred)
        }
        Statistic::Rms => {
            let series = windows.series(graph, channels);
            root_mean_square(graph, &series)
        }
        Statistic::Magnitude => {
            let series = windows.series(graph, channels);
            let magnitude = graph.node("Abs", &[&series], vec![]);
            mean(graph, &magnitude)
        }
        Statistic::Kurtosis => {
            let centred = windows.centred(graph, channels);
            kurtosis(graph, &centred)
        }
    }
}

fn mean(graph: &mut GraphBuilder, series: &Value) -> Value {
    graph.node(
        "ReduceMean",
        &[series],
        vec![builder::ints("axes", vec![2]), builder::int("keepdims", 0)],
    )
}

fn root_mean_square(graph: &mut GraphBuilder, series: &Value) -> Value {
    let squares = graph.node("Mul", &[series, series], vec![]);
    let mean_square = mean(graph, &squares);
    graph.node("Sqrt", &[&mean_square], vec![])
}

fn kurtosis(graph: &mut GraphBuilder, centred: &Value) -> Value {
    let squares = graph.node("Mul", &[centred, centred], vec![]);
    let fourth_powers = graph.node("Mul", &[&squares, &squares], vec![]);
    let variance = mean(graph, &squares);
    let fourth_moment = mean(graph, &fourth_powers);
    let squared_variance = graph.node("Mul", &[&variance, &variance], vec![]);
    let least = graph.constant_f32("least_squared_variance", &[], &[LEAST_SQUARED_VARIANCE]);
    let denominator = graph.node("Add", &[&squared_variance, &least], vec![]);
    graph.node("Div", &[&fourth_moment, &denominator], vec![])
}
