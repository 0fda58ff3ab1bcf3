//! Lengths of time as people write them: `"500ms"`, `"90s"`, `"1m"`, `"12h"`, `"1d"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const UNITS: [Unit; 5] = [
    Unit {
        suffix: "ms",
        ms: 1,
    },
    Unit {
        suffix: "s",
        ms: 1_000,
    },
    Unit {
        suffix: "m",
        ms: 60_000,
    },
    Unit {
        suffix: "h",
        ms: 3_600_000,
    },
    Unit {
        suffix: "d",
        ms: 86_400_000,
    },
];

struct Unit {
    suffix: &'static str,
    ms: u64,
}

/// A length of time in whole milliseconds, written in a recipe as a whole number and a unit
/// (`ms`, `s`, `m`, `h`, `d`; a day is 24 hours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The length in milliseconds.
    pub ms: u64,
}

impl Period {
    /// A length given in milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Period { ms }
    }
}

/// A text that is not a length of time; the text itself is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "found \"{text}\", expected a whole number and a unit, such as \"500ms\", \"1m\", \"12h\" or \"1d\""
)]
pub struct PeriodError {
    /// What was written.
    pub text: String,
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let error = || PeriodError {
            text: text.to_owned(),
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let unit = UNITS
            .iter()
            .find(|unit| unit.suffix == suffix.trim())
            .ok_or_else(error)?;
        let number: u64 = number.parse().map_err(|_| error())?;
        let ms = number.checked_mul(unit.ms).ok_or_else(error)?;
        Ok(Period { ms })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&Unit| self.ms > 0 && self.ms.is_multiple_of(unit.ms);
        match UNITS.iter().rev().find(fits) {
            Some(unit) => write!(f, "{}{}", self.ms / unit.ms, unit.suffix),
            None => write!(f, "{}ms", self.ms),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written_back() {
        for (text, ms) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("1m", 60_000),
            ("12h", 43_200_000),
            ("1d", 86_400_000),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.ms, ms);
            assert_eq!(period.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused_with_examples() {
        for text in [
            "",
            "1",
            "d",
            "1.5h",
            "-1s",
            "1w",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.to_string().contains("\"1d\""), "{error}");
        }
    }
}
