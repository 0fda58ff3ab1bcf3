//! Texts to numbers.

use crate::recipe::Data;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberFormat {
    pub(super) decimal: char,
    pub(super) thousands: Option<char>,
}

impl From<&Data> for NumberFormat {
    fn from(data: &Data) -> Self {
        NumberFormat {
            decimal: data.decimal,
            thousands: data.thousands,
        }
    }
}

impl NumberFormat {
    /// The finite number a text stands for, rounded to the nearest `f64`.
    pub(super) fn parse(&self, text: &str) -> Option<f64> {
        let text = text.trim();
        let plain = self.decimal == '.' && self.thousands.is_none();
        let number: f64 = if plain {
            text.parse().ok()?
        } else {
            self.normal(text)?.parse().ok()?
        };
        number.is_finite().then_some(number)
    }

    /// Whether a text stands for infinity or for no number: `inf`, `NaN`, `1e999`.
    pub(super) fn is_not_finite(text: &str) -> bool {
        let number = text.trim().parse::<f64>();
        number.is_ok_and(|number| !number.is_finite())
    }

    /// The text with a dot as decimal separator and no thousands separators; `None` where they
    /// stand in the wrong places.
    fn normal(&self, text: &str) -> Option<String> {
        if self.decimal != '.' && self.thousands != Some('.') && text.contains('.') {
            return None;
        }
        let (whole, fraction) = text.split_once(self.decimal).unwrap_or((text, ""));
        let dot = if fraction.is_empty() { "" } else { "." };
        let Some(separator) = self.thousands else {
            return Some(format!("{whole}{dot}{fraction}"));
        };
        let well_placed = whole
            .split(separator)
            .skip(1)
            .all(|digits| digits.len() == 3);
        let good = well_placed && !fraction.contains(separator);
        good.then(|| format!("{}{dot}{fraction}", whole.replace(separator, "")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: NumberFormat = NumberFormat {
        decimal: '.',
        thousands: None,
    };
    const COMMA: NumberFormat = NumberFormat {
        decimal: ',',
        thousands: None,
    };
    const GERMAN: NumberFormat = NumberFormat {
        decimal: ',',
        thousands: Some('.'),
    };

    #[test]
    fn numbers_are_read_in_their_format() {
        assert_eq!(PLAIN.parse(" -1.5e3 "), Some(-1500.0));
        assert_eq!(COMMA.parse("-1,5e3"), Some(-1500.0));
        assert_eq!(GERMAN.parse("1.234.567,5"), Some(1_234_567.5));
        assert_eq!(GERMAN.parse("12"), Some(12.0));
        assert_eq!(COMMA.parse("15e2"), Some(1500.0));
        assert_eq!(
            NumberFormat {
                decimal: '.',
                thousands: Some(',')
            }
            .parse("1,234.5"),
            Some(1234.5)
        );
    }

    #[test]
    fn what_is_not_a_finite_number_is_none() {
        for text in [
            "",
            "abc",
            "1,5",
            "inf",
            "-infinity",
            "NaN",
            "1e999",
            "0x10",
            "1_000",
            "1 2",
        ] {
            assert_eq!(PLAIN.parse(text), None, "{text}");
        }
        for text in ["1.5", "1,2,3"] {
            assert_eq!(COMMA.parse(text), None, "{text}");
        }
        for text in ["1.5", "1.23,4", "1,234.567"] {
            assert_eq!(GERMAN.parse(text), None, "{text}");
        }
    }
}
