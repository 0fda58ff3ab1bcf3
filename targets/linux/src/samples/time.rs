//! Times as they stand in lines.

use super::LineError;
use super::error::shortened;

/// Unix milliseconds from a whole number of them or from a date; UTC where no zone stands.
///
/// # Errors
/// [`LineError::NotATime`].
pub fn parse_time(text: &str) -> Result<i64, LineError> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        return Ok(milliseconds);
    }
    if let Ok(zoned) = text.parse::<jiff::Timestamp>() {
        return Ok(zoned.as_millisecond());
    }
    text.parse::<jiff::civil::DateTime>()
        .ok()
        .filter(|_| text.contains(':'))
        .and_then(|civil| jiff::tz::TimeZone::UTC.to_timestamp(civil).ok())
        .map(|timestamp| timestamp.as_millisecond())
        .ok_or_else(|| LineError::NotATime {
            text: shortened(text),
        })
}

/// Whether this is a date rather than a number of milliseconds.
pub(super) fn is_date(text: &str) -> bool {
    text.parse::<i64>().is_err() && parse_time(text).is_ok()
}
