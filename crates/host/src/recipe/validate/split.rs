//! `[split]`.

use std::collections::HashSet;

use super::super::{ColumnKind, Format, SplitKind};
use super::Check;
use super::data::absolute;

impl Check<'_, '_> {
    pub(super) fn split(&mut self) {
        let split = &self.recipe.split;
        self.fraction("split.validation", split.validation);
        self.fraction("split.test", split.test);
        let whole = split.validation.unwrap_or(0.0) + split.test.unwrap_or(0.0) < 1.0;
        self.require(whole, "split", || {
            "validation and test together leave no row to train".to_owned()
        });
        self.require(
            split.validation.is_some() == split.validation_days.is_empty(),
            "split.validation",
            || "give either validation (a share) or validation_days".to_owned(),
        );
        self.require(
            split.test.is_some() == split.test_file.is_empty(),
            "split.test",
            || "give either test (a share) or [[split.test_file]]".to_owned(),
        );
        self.split_kind();
        let mut names = HashSet::new();
        for (index, test) in split.test_file.iter().enumerate() {
            let key = format!("split.test_file[{index}]");
            self.require(names.insert(&test.name), format!("{key}.name"), || {
                format!("two tests are named \"{}\"", test.name)
            });
            self.require(test.file.is_relative(), format!("{key}.file"), || {
                absolute(&test.file.display().to_string())
            });
        }
    }

    fn split_kind(&mut self) {
        let (split, data) = (&self.recipe.split, &self.recipe.data);
        let timed = data.time.is_some() || data.format == Format::Simulated;
        self.require(timed || split.kind != SplitKind::Time, "split.kind", || {
            "a split by time needs [data.time]".to_owned()
        });
        self.require(
            split.kind == SplitKind::Time || split.validation_days.is_empty(),
            "split.validation_days",
            || "days can be chosen only with kind = \"time\"".to_owned(),
        );
        for (index, day) in split.validation_days.iter().enumerate() {
            let good = day.parse::<jiff::civil::Date>().is_ok();
            self.require(good, format!("split.validation_days[{index}]"), || {
                format!("found \"{day}\", expected a day such as \"2015-02-09\"")
            });
        }
        let grouped = data.format == Format::Simulated
            || data
                .column
                .iter()
                .any(|column| column.kind == ColumnKind::Group);
        self.require(
            grouped || split.kind != SplitKind::Group,
            "split.kind",
            || "a split by group needs a column with kind = \"group\"".to_owned(),
        );
        let rows = matches!(split.kind, SplitKind::Stratified | SplitKind::Random);
        self.require(!(rows && data.window.is_some()), "split.kind", || {
            "windows of several rows can be split only by time or by group".to_owned()
        });
    }
}
