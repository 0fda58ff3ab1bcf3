//! Frames in and out of a byte port, without waiting.

use dunlin_wire::frame::{self, Decoder, crc32};
use embedded_io::{Read, ReadReady, Write, WriteReady};

/// Bytes taken from the port in one go before the sensor gets its turn.
const BYTES_PER_POLL: usize = 512;

/// A port that carries bytes and says when it can.
pub trait Port: Read + ReadReady + Write + WriteReady {}

impl<P: Read + ReadReady + Write + WriteReady> Port for P {}

/// The message answered last, by what tells two messages apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answered {
    length: usize,
    crc: u32,
}

#[derive(Debug)]
pub(crate) struct Wire<'d, P> {
    port: P,
    decoder: Decoder<&'d mut [u8]>,
    /// The last reply, framed.
    line: &'d mut [u8],
    line_bytes: usize,
    sent_bytes: usize,
    answered: Option<Answered>,
}

impl<'d, P: Port> Wire<'d, P> {
    pub fn new(port: P, receive: &'d mut [u8], transmit: &'d mut [u8]) -> Self {
        Self {
            port,
            decoder: Decoder::new(receive),
            line: transmit,
            line_bytes: 0,
            sent_bytes: 0,
            answered: None,
        }
    }

    /// Sends what there is to send, takes what there is to take, and has the first message that is
    /// whole answered: `answer` gets the message, room for the reply and scratch memory, and
    /// returns the reply's length, or `None` for no reply. What follows that message stays in the
    /// port, because the answer may have changed who is to take it.
    pub fn poll(
        &mut self,
        reply: &mut [u8],
        mut answer: impl FnMut(&[u8], &mut [u8], &mut [u8]) -> Option<usize>,
    ) {
        for _ in 0..BYTES_PER_POLL {
            if !self.send() {
                return;
            }
            let mut byte = [0];
            if !matches!(self.port.read_ready(), Ok(true))
                || !matches!(self.port.read(&mut byte), Ok(1))
            {
                return;
            }
            let [byte] = byte;
            let Ok(Some(message)) = self.decoder.push(byte) else {
                continue;
            };
            let answering = Answered {
                length: message.len(),
                crc: crc32(message),
            };
            self.sent_bytes = 0;
            if self.answered != Some(answering) {
                (self.answered, self.line_bytes) = (None, 0);
                if let Some(length) = answer(message, reply, self.line) {
                    let framed = frame::encode(reply.get(..length).unwrap_or_default(), self.line);
                    (self.answered, self.line_bytes) = (Some(answering), framed.unwrap_or(0));
                }
            }
            self.send();
            return;
        }
    }

    /// Sends as much as the port takes; whether nothing is left. A port that fails loses the reply,
    /// and whoever asked asks again.
    fn send(&mut self) -> bool {
        while let Some(rest) = self
            .line
            .get(self.sent_bytes..self.line_bytes)
            .filter(|rest| !rest.is_empty())
        {
            if matches!(self.port.write_ready(), Ok(false)) {
                return false;
            }
            match self.port.write(rest) {
                Ok(0) | Err(_) => self.sent_bytes = self.line_bytes,
                Ok(written) => self.sent_bytes += written,
            }
            if self.sent_bytes >= self.line_bytes {
                let _ = self.port.flush();
            }
        }
        true
    }
}
