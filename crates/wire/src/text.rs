//! What a name, a unit or a label may be.

use crate::limits::MAX_NAME_BYTES;

/// Whether `text` may stand where the format wants a name: not longer than [`MAX_NAME_BYTES`] and
/// without control characters, so that it can be printed as it is.
pub(crate) fn is_printable(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}

/// [`is_printable`] and not empty.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && is_printable(text)
}
