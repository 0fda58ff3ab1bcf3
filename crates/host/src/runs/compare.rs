//! What differs between two runs.

use super::Record;
use crate::evaluate::metrics::Estimate;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Settings of the recipes that differ, by key.
    pub settings: Vec<Difference>,
    /// Whether both saw the same data.
    pub same_data: bool,
    /// Measures of tests that both were judged by.
    pub measures: Vec<MeasureDifference>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key with its tables, such as `train.mlp.hidden`.
    pub key: String,
    /// As the first run has it; `None` when it does not.
    pub first: Option<String>,
    /// As the second run has it.
    pub second: Option<String>,
}

/// A measure of both runs on one test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasureDifference {
    /// Name of the test.
    pub test: String,
    /// Name of the measure.
    pub measure: String,
    /// Of the first run.
    pub first: Estimate,
    /// Of the second run.
    pub second: Estimate,
    /// Whether the intervals lie apart. Intervals that overlap may still hide a difference: both runs answered the
    /// same examples.
    pub apart: bool,
}

/// Compares two runs.
pub fn compare(first: &Record, second: &Record) -> Comparison {
    Comparison {
        settings: settings(&first.recipe, &second.recipe),
        same_data: first.data_hash == second.data_hash,
        measures: measures(first, second),
    }
}

fn settings(first: &str, second: &str) -> Vec<Difference> {
    let (first, second) = (flat(first), flat(second));
    let keys: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|&key| first.get(key) != second.get(key));
    differing
        .map(|key| Difference {
            key: key.clone(),
            first: first.get(key).cloned(),
            second: second.get(key).cloned(),
        })
        .collect()
}

/// Every value of a TOML text by its full key; a text that is not TOML has none.
fn flat(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        flatten("", &toml::Value::Table(table), &mut all);
    }
    all
}

fn flatten(key: &str, value: &toml::Value, all: &mut BTreeMap<String, String>) {
    let below = |name: &str| {
        if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        }
    };
    match value {
        toml::Value::Table(table) => table
            .iter()
            .for_each(|(name, value)| flatten(&below(name), value, all)),
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| flatten(&format!("{key}[{index}]"), item, all));
        }
        other => {
            all.insert(key.to_owned(), other.to_string());
        }
    }
}

fn measures(first: &Record, second: &Record) -> Vec<MeasureDifference> {
    let (Some(a), Some(b)) = (&first.evaluation, &second.evaluation) else {
        return Vec::new();
    };
    let both = a
        .tests
        .iter()
        .filter_map(|test| Some((test.name.as_str(), &test.metrics, b.test(&test.name)?)));
    both.flat_map(|(test, a, b)| {
        let pairs = a.all_named().into_iter().zip(b.all_named());
        pairs.filter_map(move |((measure, first), (_, second))| {
            difference(test, measure, first?, second?)
        })
    })
    .collect()
}

fn difference(
    test: &str,
    measure: &str,
    first: Estimate,
    second: Estimate,
) -> Option<MeasureDifference> {
    let apart = match (first.interval, second.interval) {
        (Some(a), Some(b)) => a.high < b.low || b.high < a.low,
        _ => false,
    };
    Some(MeasureDifference {
        test: test.to_owned(),
        measure: measure.to_owned(),
        first,
        second,
        apart,
    })
}
