//! Texts to times and back.

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;

use super::source::Cell;
use crate::recipe::Time;

/// Times farther from 1970 than this (about 3,000 years) are not times.
const FARTHEST_MS: u64 = 100_000_000_000_000;

/// Reads the times of one column as milliseconds since 1970-01-01 UTC; text and
/// typed times are cut off there, numbers are rounded.
pub(super) struct TimeReader {
    format: String,
    offset: Offset,
}

impl TimeReader {
    pub(super) fn new(time: &Time) -> Self {
        let seconds = offset_seconds(&time.offset).unwrap_or(0);
        TimeReader {
            format: time.format.clone(),
            offset: Offset::from_seconds(seconds).unwrap_or(Offset::UTC),
        }
    }

    /// Reads times that carry no offset as UTC.
    pub(super) fn utc(format: &str) -> Self {
        TimeReader {
            format: format.to_owned(),
            offset: Offset::UTC,
        }
    }

    /// The time in a cell; `None` when it is not one.
    pub(super) fn read(&self, cell: &Cell) -> Option<i64> {
        match cell {
            Cell::TimeMs(ms) => Some(*ms).filter(|ms| ms.unsigned_abs() < FARTHEST_MS),
            Cell::Null => None,
            Cell::Number(number) => self.number(*number),
            Cell::Text(text) => match self.format.as_str() {
                "unix" | "unix_ms" => self.number(text.trim().parse().ok()?),
                format => self.text(format, text.trim()),
            },
        }
    }

    fn number(&self, number: f64) -> Option<i64> {
        let ms = match self.format.as_str() {
            "unix" => number * 1000.0,
            "unix_ms" => number,
            _ => return None,
        };
        (ms.abs() < FARTHEST_MS as f64).then_some(ms.round() as i64)
    }

    fn text(&self, format: &str, text: &str) -> Option<i64> {
        let fields = BrokenDownTime::parse(format, text).ok()?;
        let civil = fields.to_datetime().ok()?;
        let offset = fields.offset().unwrap_or(self.offset);
        Some(offset.to_timestamp(civil).ok()?.as_millisecond())
    }
}

/// A time as people read it, in UTC.
pub(super) fn show(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// The seconds east of UTC of an offset such as `+01:00`; `None` when it is not one.
pub(crate) fn offset_seconds(offset: &str) -> Option<i32> {
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let two_digits = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten();
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then(|| sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Order;

    fn read(format: &str, offset: &str, text: &str) -> Option<i64> {
        let time = Time {
            column: "t".into(),
            format: format.into(),
            offset: offset.into(),
            order: Order::Reject,
        };
        TimeReader::new(&time).read(&Cell::Text(text.into()))
    }

    #[test]
    fn times_are_read_in_their_offset() {
        assert_eq!(
            read("%Y-%m-%d %H:%M:%S", "+00:00", "2015-02-04 17:51:00"),
            Some(1_423_072_260_000)
        );
        assert_eq!(
            read("%Y-%m-%d %H:%M:%S", "+01:00", "2015-02-04 18:51:00"),
            Some(1_423_072_260_000)
        );
        assert_eq!(
            read(
                "%Y-%m-%dT%H:%M:%S%:z",
                "+05:00",
                "2015-02-04T18:51:00+01:00"
            ),
            Some(1_423_072_260_000)
        );
        assert_eq!(
            read("%d.%m.%Y", "+00:00", "04.02.2015"),
            Some(1_423_008_000_000)
        );
        assert_eq!(
            read("unix", "+00:00", "1423072260.25"),
            Some(1_423_072_260_250)
        );
        assert_eq!(read("unix", "+00:00", "1.001"), Some(1001));
        assert_eq!(
            read("unix_ms", "+00:00", "1423072260250"),
            Some(1_423_072_260_250)
        );
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "2015-02-30 00:00:00",
            "2015-02-04",
            "yesterday",
            "1423072260",
        ] {
            assert_eq!(read("%Y-%m-%d %H:%M:%S", "+00:00", text), None, "{text}");
        }
        assert_eq!(read("unix", "+00:00", "inf"), None);
        assert_eq!(TimeReader::utc("unix").read(&Cell::TimeMs(i64::MIN)), None);
    }

    #[test]
    fn offsets_are_read_and_others_refused() {
        assert_eq!(offset_seconds("-03:30"), Some(-12_600));
        for text in ["", "Z", "+1:00", "01:00", "+01", "+24:00", "+01:60"] {
            assert_eq!(offset_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(show(1_423_072_260_000), "2015-02-04T17:51:00Z");
    }
}
