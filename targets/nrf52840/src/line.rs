//! The link: UARTE 0, one byte at a time, with hardware flow control.
//!
//! Flow control holds the other side back while a page is erased or the sensor is read; without it
//! bytes would be lost and frames asked for again.

use dunlin_firmware::ByteLine;
use embedded_io::{Read, ReadReady, Write, WriteReady};
use nrf52840_hal::pac::UARTE0;
use nrf52840_hal::uarte::{Error, UarteRx, UarteTx};

/// Both directions of the UART.
pub struct Serial {
    /// To the workstation.
    pub transmit: UarteTx<UARTE0>,
    /// From the workstation.
    pub receive: UarteRx<UARTE0>,
}

impl ByteLine for Serial {
    type Error = Error;

    fn may_read(&mut self) -> Result<bool, Error> {
        self.receive.read_ready()
    }

    fn read_byte(&mut self) -> Result<u8, Error> {
        let mut byte = [0];
        self.receive.read(&mut byte)?;
        Ok(byte[0])
    }

    fn may_write(&mut self) -> Result<bool, Error> {
        self.transmit.write_ready()
    }

    fn write_byte(&mut self, byte: u8) -> Result<(), Error> {
        self.transmit.write(&[byte]).map(drop)
    }
}
