//! The heading, `[data]` and `[target]`.

use std::collections::HashSet;

use super::super::{Column, ColumnKind, Format};
use super::Check;

impl Check<'_, '_> {
    pub(super) fn heading(&mut self) {
        let name = &self.recipe.name;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = !name.is_empty() && name.len() <= 32 && name.bytes().all(allowed);
        self.require(good, "name", || {
            format!("found \"{name}\", expected 1 to 32 characters of a-z, 0-9 and -")
        });
        self.require(self.recipe.version > 0, "version", || {
            "found 0, expected a version from 1".to_owned()
        });
    }

    pub(super) fn data(&mut self) {
        let data = &self.recipe.data;
        let simulated = data.format == Format::Simulated;
        self.require(simulated || !data.files.is_empty(), "data.files", || {
            "no file is named; list at least one, relative to the data directory".to_owned()
        });
        self.require(!simulated || data.files.is_empty(), "data.files", || {
            "simulated data has no files; remove the list or change data.format".to_owned()
        });
        for (index, file) in data.files.iter().enumerate() {
            self.require(file.is_relative(), format!("data.files[{index}]"), || {
                absolute(&file.display().to_string())
            });
        }
        self.text_format();
        if let Some(window) = data.window {
            let good = window.steps > 0 && window.stride > 0;
            self.require(good, "data.window", || {
                "steps and stride must be at least 1".to_owned()
            });
            self.require(!simulated, "data.window", || {
                "simulated data has its steps in data.simulation".to_owned()
            });
        }
    }

    fn text_format(&mut self) {
        let data = &self.recipe.data;
        let ascii = data
            .delimiter
            .is_none_or(|delimiter| delimiter.is_ascii() && delimiter != '"');
        self.require(ascii, "data.delimiter", || {
            "expected one ASCII character such as \",\", \";\" or \"\\t\"".to_owned()
        });
        self.require(matches!(data.decimal, '.' | ','), "data.decimal", || {
            format!("found \"{}\", expected \".\" or \",\"", data.decimal)
        });
        self.require(
            data.thousands != Some(data.decimal),
            "data.thousands",
            || "the thousands separator cannot be the decimal separator".to_owned(),
        );
        let known = |label: &String| encoding_rs::Encoding::for_label(label.as_bytes()).is_some();
        self.require(data.encoding.as_ref().is_none_or(known), "data.encoding", || {
            "unknown encoding; expected a label such as \"utf-8\", \"utf-16le\" or \"windows-1252\"".to_owned()
        });
        if let Some(time) = &data.time {
            let good = crate::data::offset_seconds(&time.offset).is_some();
            self.require(good, "data.time.offset", || {
                format!(
                    "found \"{}\", expected an offset such as \"+01:00\"",
                    time.offset
                )
            });
        }
    }

    pub(super) fn columns(&mut self) {
        let data = &self.recipe.data;
        self.require(data.channels().next().is_some(), "data.column", || {
            "no column is a number; give each input of the model a [[data.column]] with kind = \"number\"".to_owned()
        });
        let mut seen = HashSet::new();
        for (index, column) in data.column.iter().enumerate() {
            let new = seen.insert(&column.name);
            self.require(new, format!("data.column[{index}].name"), || {
                format!("the column \"{}\" is described twice", column.name)
            });
            self.column(index, column);
        }
        let groups = data
            .column
            .iter()
            .filter(|column| column.kind == ColumnKind::Group)
            .count();
        self.require(groups <= 1, "data.column", || {
            format!("{groups} columns are groups, expected one at most")
        });
    }

    fn column(&mut self, index: usize, column: &Column) {
        let key = format!("data.column[{index}]");
        let target = &self.recipe.target.column;
        let time = self
            .recipe
            .data
            .time
            .as_ref()
            .is_some_and(|time| time.column == column.name);
        self.require(!time, format!("{key}.name"), || {
            format!(
                "\"{}\" is the time column of [data.time]; remove it here",
                column.name
            )
        });
        let label = (column.name == *target) == (column.kind == ColumnKind::Label);
        self.require(label, format!("{key}.kind"), || {
            format!("the label is the column of [target], \"{target}\"; there is no other")
        });
        self.range(&key, column);
    }

    fn range(&mut self, key: &str, column: &Column) {
        if let (Some(minimum), Some(maximum)) = (column.minimum, column.maximum) {
            self.require(minimum < maximum, format!("{key}.minimum"), || {
                format!("found {minimum}, expected less than the maximum {maximum}")
            });
        }
        let bounds = [column.minimum, column.maximum].into_iter().flatten();
        let single = bounds
            .clone()
            .all(|bound| bound.abs() <= f64::from(f32::MAX));
        self.require(single, key, || {
            format!(
                "\"{}\" has a bound beyond ±{:e}, which single precision does not hold; give the range the sensor can deliver",
                column.name,
                f32::MAX
            )
        });
        let complete = column.kind != ColumnKind::Number
            || (column.minimum.is_some() && column.maximum.is_some());
        self.require(complete, key, || {
            format!(
                "\"{}\" has no minimum or no maximum; give the range the sensor can deliver",
                column.name
            )
        });
    }

    pub(super) fn target(&mut self) {
        let target = &self.recipe.target;
        self.require(target.labels.len() >= 2, "target.labels", || {
            "expected at least two labels".to_owned()
        });
        let distinct: HashSet<_> = target.labels.iter().collect();
        self.require(
            distinct.len() == target.labels.len(),
            "target.labels",
            || "a label stands there twice".to_owned(),
        );
        let paired = target.values.is_empty() || target.values.len() == target.labels.len();
        self.require(paired, "target.values", || {
            format!(
                "found {} values for {} labels, expected one each",
                target.values.len(),
                target.labels.len()
            )
        });
        let distinct: HashSet<String> = target
            .values
            .iter()
            .map(|value| format!("{value:?}"))
            .collect();
        self.require(
            distinct.len() == target.values.len(),
            "target.values",
            || "a value stands there twice; each label needs one of its own".to_owned(),
        );
    }
}

pub(super) fn absolute(file: &str) -> String {
    format!(
        "found \"{file}\", expected a path relative to the data directory; give the directory with --data"
    )
}
