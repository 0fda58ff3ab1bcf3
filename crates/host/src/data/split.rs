//! Which rows train, which tune, which judge.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::rows::Rows;
use super::time::offset_seconds;
use crate::recipe::{Recipe, Split, SplitKind};

const MS_PER_DAY: i64 = 86_400_000;

/// Row indices of each part, rising; every row stands in exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) train: Vec<usize>,
    pub(super) validation: Vec<usize>,
    /// Empty when files judge the model.
    pub(super) test: Vec<usize>,
}

/// Shares of the rows that do not train.
#[derive(Debug, Clone, Copy)]
struct Shares {
    validation: f64,
    test: f64,
}

/// Splits rows as the recipe says. The same rows, recipe and seed give the same parts.
pub(super) fn split(rows: &Rows, recipe: &Recipe) -> Parts {
    let split = &recipe.split;
    let shares = Shares {
        validation: split.validation.unwrap_or(0.0),
        test: split.test.unwrap_or(0.0),
    };
    let mut parts = match split.kind {
        SplitKind::Time if split.validation_days.is_empty() => by_time(rows, shares),
        SplitKind::Time => by_days(rows, split, shares, day_offset_ms(recipe)),
        SplitKind::Group => by_group(rows, shares, split.seed),
        SplitKind::Stratified => by_class(rows, shares, split.seed),
        SplitKind::Random => {
            let mut all: Vec<usize> = (0..rows.len()).collect();
            all.shuffle(&mut ChaCha8Rng::seed_from_u64(split.seed));
            cut(all, shares).into()
        }
    };
    for part in [&mut parts.train, &mut parts.validation, &mut parts.test] {
        part.sort_unstable();
    }
    parts
}

fn day_offset_ms(recipe: &Recipe) -> i64 {
    let offset = recipe
        .data
        .time
        .as_ref()
        .and_then(|time| offset_seconds(&time.offset));
    i64::from(offset.unwrap_or(0)) * 1000
}

/// How many of `count` things a share is, at least one if the share is not 0 and there are three.
fn share_of(count: usize, share: f64) -> usize {
    let least = usize::from(share > 0.0 && count >= 3);
    ((count as f64 * share).round() as usize).max(least)
}

/// Train first, then validation, then test.
fn cut<T>(mut all: Vec<T>, shares: Shares) -> PartsOf<T> {
    let test = share_of(all.len(), shares.test).min(all.len());
    let validation = share_of(all.len(), shares.validation).min(all.len() - test);
    let test = all.split_off(all.len() - test);
    let validation = all.split_off(all.len() - validation);
    PartsOf {
        train: all,
        validation,
        test,
    }
}

struct PartsOf<T> {
    train: Vec<T>,
    validation: Vec<T>,
    test: Vec<T>,
}

impl From<PartsOf<usize>> for Parts {
    fn from(parts: PartsOf<usize>) -> Self {
        Parts {
            train: parts.train,
            validation: parts.validation,
            test: parts.test,
        }
    }
}

/// Rows of one time stay together, on the later side of a cut.
fn by_time(rows: &Rows, shares: Shares) -> Parts {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows.time_ms[row]);
    let test_from = settle(
        rows,
        &order,
        order.len() - share_of(order.len(), shares.test).min(order.len()),
    );
    let validation = share_of(order.len(), shares.validation).min(test_from);
    let validation_from = settle(rows, &order, test_from - validation);
    let test = order.split_off(test_from);
    let validation = order.split_off(validation_from);
    Parts {
        train: order,
        validation,
        test,
    }
}

/// Moves a cut in front of the rows that have the time of the row at the cut.
fn settle(rows: &Rows, order: &[usize], mut at: usize) -> usize {
    let time = |position: usize| order.get(position).map(|&row| rows.time_ms[row]);
    while at > 0 && at < order.len() && time(at) == time(at - 1) {
        at -= 1;
    }
    at
}

fn by_days(rows: &Rows, split: &Split, shares: Shares, offset_ms: i64) -> Parts {
    let days: Vec<i64> = split
        .validation_days
        .iter()
        .filter_map(|day| days_since_1970(day))
        .collect();
    let chosen =
        |row: &usize| days.contains(&(rows.time_ms[*row] + offset_ms).div_euclid(MS_PER_DAY));
    let mut parts = by_time(
        rows,
        Shares {
            validation: 0.0,
            test: shares.test,
        },
    );
    (parts.validation, parts.train) = parts.train.into_iter().partition(chosen);
    parts
}

fn days_since_1970(day: &str) -> Option<i64> {
    let day: jiff::civil::Date = day.parse().ok()?;
    let midnight = jiff::tz::Offset::UTC
        .to_timestamp(day.to_datetime(jiff::civil::Time::midnight()))
        .ok()?;
    Some(midnight.as_second().div_euclid(86_400))
}

fn by_class(rows: &Rows, shares: Shares, seed: u64) -> Parts {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for row in 0..rows.len() {
        classes.entry(rows.labels[row]).or_default().push(row);
    }
    joined(classes.into_values(), shares, seed)
}

/// Draws whole groups, per class of their most frequent label.
fn by_group(rows: &Rows, shares: Shares, seed: u64) -> Parts {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for row in 0..rows.len() {
        members.entry(rows.group[row]).or_default().push(row);
    }
    let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (&group, rows_of_group) in &members {
        classes
            .entry(usual_label(rows, rows_of_group))
            .or_default()
            .push(group);
    }
    let groups: PartsOf<u32> = joined(classes.into_values(), shares, seed);
    let rows_of = |groups: Vec<u32>| {
        groups
            .iter()
            .flat_map(|group| members.get(group).cloned().unwrap_or_default())
            .collect()
    };
    Parts {
        train: rows_of(groups.train),
        validation: rows_of(groups.validation),
        test: rows_of(groups.test),
    }
}

fn usual_label(rows: &Rows, members: &[usize]) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for &row in members {
        *counts.entry(rows.labels[row]).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|&(label, count)| (count, std::cmp::Reverse(label)))
        .map_or(0, |(label, _)| label)
}

/// Shuffles and cuts each class by itself.
fn joined<T, P: From<PartsOf<T>>>(
    classes: impl Iterator<Item = Vec<T>>,
    shares: Shares,
    seed: u64,
) -> P {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut parts = PartsOf {
        train: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
    };
    for mut class in classes {
        class.shuffle(&mut random);
        let of_class = cut(class, shares);
        parts.train.extend(of_class.train);
        parts.validation.extend(of_class.validation);
        parts.test.extend(of_class.test);
    }
    parts.into()
}

#[cfg(test)]
mod tests;
