//! Bytes on a serial line: COBS, length limit, CRC-32.
