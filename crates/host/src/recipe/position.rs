//! Where in a recipe's text a key stands.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// A place in a text.
pub(super) struct Place {
    /// The line, from 1.
    pub(super) line: usize,
    /// The character of the line, from 1.
    pub(super) column: usize,
}

/// The text of a recipe with the place of each of its keys.
pub(super) struct Positions<'t> {
    text: &'t str,
    root: Option<Spanned<DeTable<'t>>>,
}

impl<'t> Positions<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Positions {
            text,
            root: DeTable::parse(text).ok(),
        }
    }

    /// The place of a key such as `data.column[2].unit`, or of the nearest table around it that is
    /// written in the text.
    pub(super) fn place(&self, key: &str) -> Place {
        let Some(root) = &self.root else {
            return self.place_of(0);
        };
        let mut span = 0..0;
        let mut table = Some(root.get_ref());
        for part in key.split('.') {
            let (name, index) = split_index(part);
            let Some((at, value)) = table.and_then(|table| table.get_key_value(name)) else {
                break;
            };
            span = at.span();
            let Some(value) = element(value, index) else {
                break;
            };
            if index.is_some() {
                span = value.span();
            }
            table = value.get_ref().as_table();
        }
        self.place_of(span.start)
    }

    /// An error of the TOML parser or of a type, as a problem.
    pub(super) fn syntax_problem(&self, path: &Path, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        let Place { line, column } = self.place_of(span.start);
        Problem {
            file: path.to_owned(),
            line,
            column,
            key: self.key_at(&span).unwrap_or_default(),
            message: error.message().replace('\n', "; "),
        }
    }

    fn place_of(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Place {
            line: 1 + before.matches('\n').count(),
            column: 1 + line.chars().count(),
        }
    }

    fn key_at(&self, span: &Range<usize>) -> Option<String> {
        let mut keys = Vec::new();
        find(self.root.as_ref()?.get_ref(), span, &mut keys).then(|| keys.join("."))
    }
}

fn split_index(part: &str) -> (&str, Option<usize>) {
    let Some((name, rest)) = part.split_once('[') else {
        return (part, None);
    };
    (name, rest.trim_end_matches(']').parse().ok())
}

fn element<'a, 't>(
    value: &'a Spanned<DeValue<'t>>,
    index: Option<usize>,
) -> Option<&'a Spanned<DeValue<'t>>> {
    match index {
        None => Some(value),
        Some(index) => value.get_ref().as_array()?.get(index),
    }
}

/// Finds the deepest key whose name or value begins where `span` begins.
fn find(table: &DeTable<'_>, span: &Range<usize>, keys: &mut Vec<String>) -> bool {
    table.iter().any(|(key, value)| {
        keys.push(key.get_ref().to_string());
        let found = inside(value, span, keys)
            || key.span().start == span.start
            || value.span().start == span.start;
        if !found {
            keys.pop();
        }
        found
    })
}

fn inside(value: &Spanned<DeValue<'_>>, span: &Range<usize>, keys: &mut Vec<String>) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => find(table, span, keys),
        DeValue::Array(array) => array.iter().enumerate().any(|(index, element)| {
            let name = keys.pop().unwrap_or_default();
            keys.push(format!("{name}[{index}]"));
            let found = inside(element, span, keys) || element.span().start == span.start;
            if !found {
                keys.pop();
                keys.push(name);
            }
            found
        }),
        _ => false,
    }
}
