//! Bytes on a serial line: COBS, length limit, CRC-32.
//!
//! ```text
//! frame = COBS(message ‖ CRC-32(message) little-endian) ‖ 0x00
//! ```
//!
//! A zero byte stands only at the end of a frame, so a reader that has lost its place finds it
//! again at the next zero. Zeros in a row are empty frames and mean nothing; a writer may send one
//! to end whatever the reader holds half-read.
//!
//! Runs everywhere. The decoder keeps what it holds in the caller's buffer, takes one byte at a
//! time and does a constant amount of work for each, except at the end of a frame, where it checks
//! the CRC over all of it (two table look-ups a byte).
//!
//! ```
//! use dunlin_wire::frame::{Decoder, encode};
//!
//! let mut line = [0; 32];
//! let length = encode(b"a\0b", &mut line)?;
//! let mut decoder = Decoder::new([0; 16]);
//! let mut seen = 0;
//! for &byte in &line[..length] {
//!     if let Some(message) = decoder.push(byte)? {
//!         assert_eq!(message, b"a\0b");
//!         seen += 1;
//!     }
//! }
//! assert_eq!(seen, 1);
//! # Ok::<(), dunlin_wire::frame::FrameError>(())
//! ```

/// Bytes of the checksum that follows a message inside a frame.
pub const CHECKSUM_BYTES: usize = 4;
/// Ends every frame and stands nowhere else.
pub const DELIMITER: u8 = 0;
/// Data bytes of the longest COBS block.
const LONGEST_BLOCK: u8 = 254;

/// Bytes on the line of a message of `message_bytes` at most: checksum, COBS overhead, delimiter.
pub const fn encoded_bytes(message_bytes: usize) -> usize {
    let payload = message_bytes + CHECKSUM_BYTES;
    payload + payload / LONGEST_BLOCK as usize + 2
}

/// Why bytes are not a frame, or a message cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The frame, or the message to be framed, does not fit the buffer.
    TooLong {
        /// Bytes the buffer has.
        limit: usize,
    },
    /// A delimiter came before the block it stands in was complete.
    BrokenBlock,
    /// Shorter than its checksum.
    TooShort {
        /// Bytes between two delimiters, after COBS.
        got: usize,
    },
    /// The message's CRC-32 is not the one sent with it.
    WrongChecksum {
        /// CRC-32 in the frame.
        sent: u32,
        /// CRC-32 of the message in the frame.
        computed: u32,
    },
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong { limit } => {
                write!(f, "a frame is longer than the buffer's {limit} bytes")
            }
            Self::BrokenBlock => write!(f, "a frame ended inside a block"),
            Self::TooShort { got } => {
                write!(f, "a frame of {got} bytes has no room for its checksum")
            }
            Self::WrongChecksum { sent, computed } => {
                write!(
                    f,
                    "a frame's checksum is {sent:08x}, its message's is {computed:08x}"
                )
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Writes `message` as one frame into `out` and returns its length.
///
/// [`encoded_bytes`] says how much `out` needs at most.
///
/// # Errors
/// [`FrameError::TooLong`] when `out` is too small; its content is then of no use.
pub fn encode(message: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
    let checksum = crc32(message).to_le_bytes();
    let mut stuffing = Stuffing::start(out)?;
    for &byte in message.iter().chain(&checksum) {
        stuffing.push(byte)?;
    }
    stuffing.finish()
}

/// COBS writer: `code_at` is the place of the current block's code byte.
struct Stuffing<'a> {
    out: &'a mut [u8],
    code_at: usize,
    length: usize,
}

impl<'a> Stuffing<'a> {
    fn start(out: &'a mut [u8]) -> Result<Self, FrameError> {
        let mut stuffing = Self {
            out,
            code_at: 0,
            length: 0,
        };
        stuffing.put(0)?;
        Ok(stuffing)
    }

    fn push(&mut self, byte: u8) -> Result<(), FrameError> {
        if self.length - self.code_at > LONGEST_BLOCK as usize {
            self.next_block()?;
        }
        if byte == DELIMITER {
            self.next_block()
        } else {
            self.put(byte)
        }
    }

    fn next_block(&mut self) -> Result<(), FrameError> {
        self.close_block();
        self.code_at = self.length;
        self.put(0)
    }

    fn close_block(&mut self) {
        let code = (self.length - self.code_at) as u8;
        if let Some(slot) = self.out.get_mut(self.code_at) {
            *slot = code;
        }
    }

    fn put(&mut self, byte: u8) -> Result<(), FrameError> {
        let limit = self.out.len();
        *self
            .out
            .get_mut(self.length)
            .ok_or(FrameError::TooLong { limit })? = byte;
        self.length += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<usize, FrameError> {
        self.close_block();
        self.put(DELIMITER)?;
        Ok(self.length)
    }
}

/// Finds frames in a stream of bytes; a broken one costs no other.
///
/// `B` is the buffer for one message with its checksum, [`CHECKSUM_BYTES`] longer than the longest
/// message to be read: an array, a slice or a vector.
#[derive(Debug)]
pub struct Decoder<B> {
    buffer: B,
    length: usize,
    /// Data bytes until the next code byte.
    block_left: u8,
    /// Whether the current block stands for a zero after its data.
    zero_after_block: bool,
    /// Whether anything came since the last delimiter.
    started: bool,
    overrun: bool,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Decoder<B> {
    /// A decoder that waits for the first byte of a frame.
    pub fn new(buffer: B) -> Self {
        Self {
            buffer,
            length: 0,
            block_left: 0,
            zero_after_block: false,
            started: false,
            overrun: false,
        }
    }

    /// Takes the next byte; returns a message when that byte ended a whole frame.
    ///
    /// # Errors
    /// When the byte ended something that is not a frame. The decoder has then already let go of it
    /// and is ready for the next.
    pub fn push(&mut self, byte: u8) -> Result<Option<&[u8]>, FrameError> {
        if byte == DELIMITER {
            return self.end();
        }
        if self.block_left > 0 {
            self.block_left -= 1;
            self.keep(byte);
        } else {
            self.begin_block(byte);
        }
        Ok(None)
    }

    fn begin_block(&mut self, code: u8) {
        if self.started && self.zero_after_block {
            self.keep(DELIMITER);
        }
        self.started = true;
        self.block_left = code - 1;
        self.zero_after_block = code <= LONGEST_BLOCK;
    }

    fn keep(&mut self, byte: u8) {
        match self.buffer.as_mut().get_mut(self.length) {
            Some(slot) => {
                *slot = byte;
                self.length += 1;
            }
            None => self.overrun = true,
        }
    }

    fn end(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let (length, started, whole, overrun) = (
            self.length,
            self.started,
            self.block_left == 0,
            self.overrun,
        );
        (self.length, self.block_left, self.started, self.overrun) = (0, 0, false, false);
        if !started {
            return Ok(None);
        }
        let buffer = self.buffer.as_ref();
        if overrun {
            return Err(FrameError::TooLong {
                limit: buffer.len(),
            });
        }
        if !whole {
            return Err(FrameError::BrokenBlock);
        }
        check(buffer.get(..length).unwrap_or_default()).map(Some)
    }
}

fn check(payload: &[u8]) -> Result<&[u8], FrameError> {
    let (message, sent) = payload
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(FrameError::TooShort { got: payload.len() })?;
    let (sent, computed) = (u32::from_le_bytes(*sent), crc32(message));
    if sent != computed {
        return Err(FrameError::WrongChecksum { sent, computed });
    }
    Ok(message)
}

/// CRC-32/ISO-HDLC: polynomial 0x04c11db7 reflected, all ones before and after.
///
/// Two look-ups in a table of 16 words for each byte.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32_continue(0, bytes)
}

/// CRC-32 of some bytes followed by `bytes`, from the CRC-32 of the first; that of nothing is 0.
pub fn crc32_continue(before: u32, bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!before, |crc, &byte| nibble(nibble(crc ^ u32::from(byte))))
}

fn nibble(crc: u32) -> u32 {
    (crc >> 4) ^ CRC_TABLE[(crc & 15) as usize]
}

const CRC_TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = (crc >> 1) ^ (if crc & 1 == 1 { 0xedb8_8320 } else { 0 });
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; encoded_bytes(message.len())];
        let length = encode(message, &mut out).expect("the buffer has the stated size");
        out.truncate(length);
        out
    }

    fn read(line: &[u8], capacity: usize) -> Vec<Result<Vec<u8>, FrameError>> {
        let mut decoder = Decoder::new(vec![0; capacity]);
        line.iter()
            .filter_map(|&byte| {
                decoder
                    .push(byte)
                    .map(|m| m.map(<[u8]>::to_vec))
                    .transpose()
            })
            .collect()
    }

    #[test]
    fn crc_of_the_check_string_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32_continue(crc32(b"1234"), b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn golden_frame() {
        assert_eq!(
            framed(b"\x01\0\x02"),
            [2, 1, 6, 2, 0x09, 0xd2, 0x8d, 0x10, 0]
        );
    }

    #[test]
    fn no_zero_stands_inside_a_frame_and_none_is_longer_than_stated() {
        for length in [0, 1, 249, 250, 251, 253, 254, 255, 508, 1000] {
            for fill in [0, 1, 255] {
                let frame = framed(&vec![fill; length]);
                assert_eq!(
                    frame.iter().position(|&b| b == 0),
                    Some(frame.len() - 1),
                    "{length} of {fill}"
                );
                assert_eq!(
                    read(&frame, length + CHECKSUM_BYTES),
                    [Ok(vec![fill; length])]
                );
            }
        }
    }

    #[test]
    fn empty_frames_are_passed_over() {
        let mut line = vec![0, 0, 0];
        line.extend(framed(b"x"));
        line.extend([0, 0]);
        assert_eq!(read(&line, 16), [Ok(b"x".to_vec())]);
    }

    #[test]
    fn a_frame_longer_than_the_buffer_is_refused_and_the_next_is_read() {
        let mut line = framed(&[7; 40]);
        line.extend(framed(b"next"));
        assert_eq!(
            read(&line, 8),
            [Err(FrameError::TooLong { limit: 8 }), Ok(b"next".to_vec())]
        );
    }

    #[test]
    fn a_frame_cut_short_is_refused_and_the_next_is_read() {
        let mut line = framed(b"first one")[..5].to_vec();
        line.push(DELIMITER);
        line.extend(framed(b"next"));
        assert_eq!(
            read(&line, 64),
            [Err(FrameError::BrokenBlock), Ok(b"next".to_vec())]
        );
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        let mut out = [0; 10];
        assert_eq!(
            encode(&[1; 6], &mut out),
            Err(FrameError::TooLong { limit: 10 })
        );
        assert_eq!(encode(&[1; 4], &mut out), Ok(10));
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 1..5)) {
            let line: Vec<u8> = messages.iter().flat_map(|m| framed(m)).collect();
            let seen: Vec<Vec<u8>> = read(&line, 604).into_iter().map(|m| m.expect("whole frames")).collect();
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn a_changed_byte_never_yields_another_message(
            message in proptest::collection::vec(any::<u8>(), 1..300), at in any::<proptest::sample::Index>(), flip in 1u8..=255,
        ) {
            let mut line = framed(&message);
            let at = at.index(line.len());
            line[at] ^= flip;
            line.push(DELIMITER);
            prop_assert!(read(&line, 304).into_iter().all(|m| m.is_err()));
        }

        #[test]
        fn after_any_garbage_the_second_delimited_frame_is_read(garbage in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut line = garbage;
            line.push(DELIMITER);
            line.extend(framed(b"found"));
            prop_assert_eq!(read(&line, 64).pop(), Some(Ok(b"found".to_vec())));
        }
    }
}
