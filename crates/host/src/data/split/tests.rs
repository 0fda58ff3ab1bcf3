use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::data::rows::CleanRow;

const OCCUPANCY: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/occupancy/recipe.toml"
));
const HOUR_MS: i64 = 3_600_000;

fn recipe(kind: &str, split: &str) -> Recipe {
    let (head, rest) = OCCUPANCY.split_once("[split]").unwrap();
    let (_, tail) = rest.split_once("[[features]]").unwrap();
    let group = "[[data.column]]\nname = \"g\"\nkind = \"group\"\n";
    let text = format!("{head}[split]\nkind = \"{kind}\"\n{split}\n{group}[[features]]{tail}");
    Recipe::parse(&text, Path::new("recipe.toml")).unwrap()
}

/// An hour between rows, `groups` groups in turn, every third row of class 1.
fn rows(count: usize, groups: usize) -> Rows {
    let mut rows = Rows::new(1);
    for row in 0..count {
        let group = row % groups;
        rows.push(
            0,
            CleanRow {
                values: vec![row as f32],
                label: u32::from(group.is_multiple_of(3)),
                time_ms: row as i64 * HOUR_MS,
                group: group as u32,
                line: row as u64 + 2,
            },
        );
    }
    rows
}

fn assert_partition(parts: &Parts, count: usize) {
    let all: Vec<usize> = [&parts.train, &parts.validation, &parts.test]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    assert_eq!(all.len(), count);
    assert_eq!(
        all.into_iter().collect::<BTreeSet<_>>(),
        (0..count).collect()
    );
    for part in [&parts.train, &parts.validation, &parts.test] {
        assert!(part.is_sorted());
    }
}

#[test]
fn time_gives_blocks_in_order() {
    let parts = split(
        &rows(100, 1),
        &recipe("time", "validation = 0.2\ntest = 0.1"),
    );
    assert_eq!(parts.train, (0..70).collect::<Vec<_>>());
    assert_eq!(parts.validation, (70..90).collect::<Vec<_>>());
    assert_eq!(parts.test, (90..100).collect::<Vec<_>>());
}

#[test]
fn rows_of_one_time_are_not_torn_apart() {
    let mut rows = rows(10, 1);
    rows.time_ms = vec![0, 1, 2, 3, 4, 5, 5, 5, 8, 9];
    let parts = split(&rows, &recipe("time", "validation = 0.3\ntest = 0.1"));
    assert_eq!(parts.validation, [5, 6, 7, 8]);
}

#[test]
fn chosen_days_validate() {
    let parts = split(
        &rows(72, 1),
        &recipe("time", "validation_days = [\"1970-01-02\"]\ntest = 0.1"),
    );
    assert_eq!(parts.validation, (24..48).collect::<Vec<_>>());
    assert_eq!(parts.test.len(), 7);
    assert_partition(&parts, 72);
}

#[test]
fn groups_stay_whole_and_every_class_is_in_every_part() {
    let rows = rows(300, 30);
    let parts = split(
        &rows,
        &recipe("group", "validation = 0.2\ntest = 0.2\nseed = 3"),
    );
    let groups = |part: &[usize]| {
        part.iter()
            .map(|&row| rows.group[row])
            .collect::<BTreeSet<_>>()
    };
    let (train, validation, test) = (
        groups(&parts.train),
        groups(&parts.validation),
        groups(&parts.test),
    );
    assert!(
        train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test)
    );
    assert_eq!((train.len(), validation.len(), test.len()), (18, 6, 6));
    for part in [&parts.train, &parts.validation, &parts.test] {
        assert_eq!(
            part.iter()
                .map(|&row| rows.labels[row])
                .collect::<BTreeSet<_>>()
                .len(),
            2
        );
    }
}

#[test]
fn stratified_keeps_the_share_of_each_class() {
    let rows = rows(300, 30);
    let parts = split(
        &rows,
        &recipe("stratified", "validation = 0.2\ntest = 0.1\nseed = 3"),
    );
    let ones = |part: &[usize]| part.iter().filter(|&&row| rows.labels[row] == 1).count();
    assert_eq!(
        (
            ones(&parts.train),
            ones(&parts.validation),
            ones(&parts.test)
        ),
        (70, 20, 10)
    );
}

#[test]
fn seeds_decide_and_repeat() {
    let rows = rows(300, 30);
    for kind in ["group", "stratified", "random"] {
        let with_seed = |seed: u64| {
            split(
                &rows,
                &recipe(
                    kind,
                    &format!("validation = 0.2\ntest = 0.2\nseed = {seed}"),
                ),
            )
        };
        assert_eq!(with_seed(1), with_seed(1), "{kind}");
        assert_ne!(with_seed(1), with_seed(2), "{kind}");
    }
}

proptest! {
    #[test]
    fn every_row_stands_in_exactly_one_part(
        count in 1usize..200,
        groups in 1usize..20,
        kind in prop::sample::select(vec!["time", "group", "stratified", "random"]),
        validation in 0.05f64..0.45,
        test in 0.05f64..0.45,
        seed in 0u32..1000,
    ) {
        let text = format!("validation = {validation}\ntest = {test}\nseed = {seed}");
        assert_partition(&split(&rows(count, groups), &recipe(kind, &text)), count);
    }
}
