//! Writing CBOR into a caller's buffer.

use minicbor::encode::write::Cursor;

/// The buffer given is too small for what was to be written; it holds nothing of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Bytes of the buffer.
    pub got: usize,
}

impl core::fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "a buffer of {} bytes is too small for what is to be written",
            self.got
        )
    }
}

impl core::error::Error for BufferTooSmall {}

/// Writes `value` and returns how many bytes it took.
pub(crate) fn into<T: minicbor::Encode<()>>(
    buffer: &mut [u8],
    value: &T,
) -> Result<usize, BufferTooSmall> {
    let got = buffer.len();
    let mut cursor = Cursor::new(buffer);
    minicbor::encode(value, &mut cursor).map_err(|_| BufferTooSmall { got })?;
    Ok(cursor.position())
}
