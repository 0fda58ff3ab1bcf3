//! What can be wrong with a line.

use super::lines::MAX_LINE_BYTES;

/// Why a line was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Wrong number of fields, or one field too many in front that is no time.
    #[error("{got} fields where {channels} values, or a time and {channels} values, were expected")]
    FieldCount {
        /// Channels of the model.
        channels: usize,
        /// Fields of the line.
        got: usize,
    },
    /// Another number of fields than the header names.
    #[error("{got} fields where the header names {expected}")]
    HeaderFieldCount {
        /// Fields of the header.
        expected: usize,
        /// Fields of the line.
        got: usize,
    },
    /// A field that is neither a number nor empty.
    #[error("`{text}` in field {field} is not a number")]
    NotANumber {
        /// Field, counted from 1, or the JSON key.
        field: String,
        /// What stands there, cut to 32 characters.
        text: String,
    },
    /// A time that is neither unix milliseconds nor a date.
    #[error("`{text}` is neither unix milliseconds nor a date like 2015-02-04T17:55:00Z")]
    NotATime {
        /// What stands there, cut to 32 characters.
        text: String,
    },
    /// A channel of the model has no field.
    #[error("there is no field for channel `{channel}`")]
    MissingChannel {
        /// The channel.
        channel: String,
    },
    /// Not JSON, or neither an array nor an object.
    #[error("not a JSON array or object: {reason}")]
    Json {
        /// What the parser said.
        reason: String,
    },
    /// Longer than [`MAX_LINE_BYTES`].
    #[error("longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotText,
}

/// The beginning of what stood there, for a message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}
