//! Lines out of a stream of bytes.

use std::io::{self, BufRead};

use super::LineError;

/// Longest line that is read, in bytes; a longer one is an error and its rest is skipped.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reads the next line into `line`, without its end. `Ok(None)` at the end of the stream,
/// `Ok(Some(Err(..)))` for a line that is too long or not text; reading can go on after it.
///
/// # Errors
/// The stream's own.
pub fn next_line<R: BufRead>(
    stream: &mut R,
    line: &mut Vec<u8>,
) -> io::Result<Option<Result<String, LineError>>> {
    line.clear();
    let mut too_long = false;
    loop {
        let available = match stream.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() && line.is_empty() && !too_long {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        too_long |= line.len() + taken > MAX_LINE_BYTES;
        if !too_long {
            line.extend_from_slice(&available[..taken]);
        }
        let finished = end.is_some() || available.is_empty();
        stream.consume(taken + usize::from(end.is_some()));
        if finished {
            break;
        }
    }
    Ok(Some(match String::from_utf8(std::mem::take(line)) {
        _ if too_long => Err(LineError::TooLong),
        Ok(text) => Ok(text),
        Err(_) => Err(LineError::NotText),
    }))
}
