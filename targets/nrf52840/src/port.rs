//! The link: UARTE 0, one byte at a time, with hardware flow control.
//!
//! Flow control holds the other side back while a page is erased or the sensor is read; without it
//! bytes would be lost and frames asked for again.

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use nrf52840_hal::pac::UARTE0;
use nrf52840_hal::uarte::{Error, UarteRx, UarteTx};

/// Both directions of the UART.
pub struct Serial {
    /// To the workstation.
    pub transmit: UarteTx<UARTE0>,
    /// From the workstation.
    pub receive: UarteRx<UARTE0>,
}

impl ErrorType for Serial {
    type Error = Error;
}

impl ReadReady for Serial {
    fn read_ready(&mut self) -> Result<bool, Error> {
        self.receive.read_ready()
    }
}

impl Read for Serial {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        self.receive.read(bytes)
    }
}

impl WriteReady for Serial {
    fn write_ready(&mut self) -> Result<bool, Error> {
        self.transmit.write_ready()
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.transmit.write(bytes.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.transmit.flush()
    }
}
