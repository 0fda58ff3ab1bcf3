//! Aligned plain text.

/// A table of text with a heading row. Columns are as wide as their widest cell; columns without
/// any text are left out. Where the rest is too wide for the screen, optional columns go, from the
/// right, and then the widest text is cut, with `…` at its end. Times and numbers are never cut.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    right: bool,
    cut: bool,
    optional: bool,
}

/// A cell's text and whether it asks for attention.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub text: String,
    pub alarm: bool,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            alarm: false,
        }
    }
}

const GAP: &str = "  ";
const NARROWEST: usize = 6;

impl Table {
    /// A column of text that may be cut.
    pub fn text(self, title: &'static str) -> Self {
        self.column(Column {
            title,
            right: false,
            cut: true,
            optional: false,
        })
    }

    /// A column of ids or times.
    pub fn left(self, title: &'static str) -> Self {
        self.column(Column {
            title,
            right: false,
            cut: false,
            optional: false,
        })
    }

    /// A column of numbers.
    pub fn right(self, title: &'static str) -> Self {
        self.column(Column {
            title,
            right: true,
            cut: false,
            optional: false,
        })
    }

    /// Lets the last column go where there is no room.
    pub fn optional(mut self) -> Self {
        if let Some(column) = self.columns.last_mut() {
            column.optional = true;
        }
        self
    }

    fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    pub fn render(&self, screen: usize, colour: bool, out: &mut String) {
        let widths = self.widths(screen);
        let header: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::from(column.title))
            .collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells = row.iter().zip(&self.columns).zip(&widths);
            let line: Vec<String> = cells
                .filter_map(|((cell, column), width)| Some(fit(cell, column, (*width)?, colour)))
                .collect();
            out.push_str(line.join(GAP).trim_end());
            out.push('\n');
        }
    }

    /// Width of every column; `None` for one that is left out.
    fn widths(&self, screen: usize) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| self.width(index, column))
            .collect();
        while total(&widths) > screen {
            let optional = widths
                .iter_mut()
                .zip(&self.columns)
                .rfind(|(width, column)| column.optional && width.is_some());
            let Some((width, _)) = optional else { break };
            *width = None;
        }
        while total(&widths) > screen {
            let texts = widths
                .iter_mut()
                .zip(&self.columns)
                .filter(|(_, column)| column.cut);
            let widest = texts
                .filter_map(|(width, _)| width.as_mut())
                .filter(|width| **width > NARROWEST)
                .max();
            let Some(width) = widest else { break };
            *width -= 1;
        }
        widths
    }

    fn width(&self, index: usize, column: &Column) -> Option<usize> {
        let widest = self
            .rows
            .iter()
            .filter_map(|row| row.get(index))
            .map(|cell| length(&cell.text))
            .max()
            .unwrap_or(0);
        (widest > 0).then(|| widest.max(length(column.title)))
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = || widths.iter().flatten();
    shown().sum::<usize>() + GAP.len() * shown().count().saturating_sub(1)
}

fn fit(cell: &Cell, column: &Column, width: usize, colour: bool) -> String {
    let text: String = if length(&cell.text) > width {
        cell.text
            .chars()
            .take(width.saturating_sub(1))
            .chain(['…'])
            .collect()
    } else {
        cell.text.clone()
    };
    let padding = " ".repeat(width.saturating_sub(length(&text)));
    let text = if colour && cell.alarm {
        format!("\x1b[1;31m{text}\x1b[0m")
    } else {
        text
    };
    if column.right {
        padding + &text
    } else {
        text + &padding
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(screen: usize, colour: bool) -> String {
        let mut table = Table::default()
            .text("NAME")
            .right("COUNT")
            .text("WHAT")
            .left("EMPTY")
            .left("MORE")
            .optional();
        table.push(vec![
            "a".into(),
            "1".into(),
            "short".into(),
            "".into(),
            "more".into(),
        ]);
        let alarm = Cell {
            text: "a long explanation of it".to_owned(),
            alarm: true,
        };
        table.push(vec![
            "longer".into(),
            "1000".into(),
            alarm,
            "".into(),
            "".into(),
        ]);
        let mut out = String::new();
        table.render(screen, colour, &mut out);
        out
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let expected = [
            "NAME    COUNT  WHAT                      MORE",
            "a           1  short                     more",
            "longer   1000  a long explanation of it",
            "",
        ];
        assert_eq!(rendered(80, false), expected.join("\n"));
    }

    #[test]
    fn a_narrow_screen_drops_what_is_optional_then_cuts_text_and_never_a_number() {
        let out = rendered(40, false);
        assert!(
            !out.contains("MORE") && out.contains("a long explanation of it"),
            "{out}"
        );
        let out = rendered(30, false);
        assert!(out.lines().all(|line| line.chars().count() <= 30), "{out}");
        assert!(
            out.contains("a long explan") && out.contains('…') && out.contains("1000"),
            "{out}"
        );
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        assert!(!rendered(80, false).contains('\x1b'));
        assert!(rendered(80, true).contains("\x1b[1;31ma long"));
    }
}
