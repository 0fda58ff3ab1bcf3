//! A UART that moves one byte at a time, as the port that the runtime wants.

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

/// The four things a UART can be asked.
pub trait ByteLine {
    /// What can go wrong.
    type Error: embedded_io::Error;

    /// Whether a byte has come.
    ///
    /// # Errors
    /// The line's own.
    fn may_read(&mut self) -> Result<bool, Self::Error>;

    /// Takes the byte that has come; only asked after [`ByteLine::may_read`] said so.
    ///
    /// # Errors
    /// The line's own.
    fn read_byte(&mut self) -> Result<u8, Self::Error>;

    /// Whether there is room for a byte.
    ///
    /// # Errors
    /// The line's own.
    fn may_write(&mut self) -> Result<bool, Self::Error>;

    /// Sends a byte; only asked after [`ByteLine::may_write`] said so.
    ///
    /// # Errors
    /// The line's own.
    fn write_byte(&mut self, byte: u8) -> Result<(), Self::Error>;
}

/// A [`ByteLine`] with the traits of `embedded-io`: reads and writes one byte a call.
#[derive(Debug)]
pub struct BytePort<L>(pub L);

impl<L: ByteLine> ErrorType for BytePort<L> {
    type Error = L::Error;
}

impl<L: ByteLine> ReadReady for BytePort<L> {
    fn read_ready(&mut self) -> Result<bool, L::Error> {
        self.0.may_read()
    }
}

impl<L: ByteLine> Read for BytePort<L> {
    /// Waits for one byte.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, L::Error> {
        let Some(byte) = bytes.first_mut() else {
            return Ok(0);
        };
        while !self.0.may_read()? {}
        *byte = self.0.read_byte()?;
        Ok(1)
    }
}

impl<L: ByteLine> WriteReady for BytePort<L> {
    fn write_ready(&mut self) -> Result<bool, L::Error> {
        self.0.may_write()
    }
}

impl<L: ByteLine> Write for BytePort<L> {
    /// Waits for room for one byte.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, L::Error> {
        let Some(byte) = bytes.first() else {
            return Ok(0);
        };
        while !self.0.may_write()? {}
        self.0.write_byte(*byte)?;
        Ok(1)
    }

    /// Waits until there is room again.
    fn flush(&mut self) -> Result<(), L::Error> {
        while !self.0.may_write()? {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::convert::Infallible;
    use std::collections::VecDeque;
    use std::vec::Vec;

    /// Ready at every other look.
    #[derive(Default)]
    struct Slow {
        incoming: VecDeque<u8>,
        sent: Vec<u8>,
        looks: usize,
    }

    impl Slow {
        fn is_ready(&mut self) -> bool {
            self.looks += 1;
            self.looks.is_multiple_of(2)
        }
    }

    impl ByteLine for Slow {
        type Error = Infallible;

        fn may_read(&mut self) -> Result<bool, Infallible> {
            Ok(self.is_ready() && !self.incoming.is_empty())
        }

        fn read_byte(&mut self) -> Result<u8, Infallible> {
            Ok(self
                .incoming
                .pop_front()
                .expect("only asked when there is one"))
        }

        fn may_write(&mut self) -> Result<bool, Infallible> {
            Ok(self.is_ready())
        }

        fn write_byte(&mut self, byte: u8) -> Result<(), Infallible> {
            self.sent.push(byte);
            Ok(())
        }
    }

    #[test]
    fn bytes_go_one_by_one_and_only_when_the_line_is_ready() {
        let mut port = BytePort(Slow::default());
        port.0.incoming.extend(*b"abc");
        let mut bytes = [0; 3];
        port.read_exact(&mut bytes).expect("three bytes");
        assert_eq!(bytes, *b"abc");
        port.write_all(b"xyz").expect("writes");
        port.flush().expect("flushes");
        assert_eq!(port.read(&mut []), Ok(0));
        assert_eq!(port.0.sent, b"xyz");
    }
}
