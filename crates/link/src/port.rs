//! The bytes below the frames.

use crate::address::Address;
use crate::error::LinkError;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Anything that carries bytes both ways and can stop waiting.
pub trait Port: Read + Write + Send {
    /// A read that has waited this long ends with [`io::ErrorKind::TimedOut`] or
    /// [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// When the port cannot be set so.
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()>;
}

impl Port for TcpStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        TcpStream::set_read_timeout(self, Some(timeout))
    }
}

#[cfg(unix)]
impl Port for std::os::unix::net::UnixStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        std::os::unix::net::UnixStream::set_read_timeout(self, Some(timeout))
    }
}

impl Port for Box<dyn serialport::SerialPort> {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        Ok(self.set_timeout(timeout)?)
    }
}

/// Opens what `address` names.
pub(crate) fn open(
    address: &Address,
    connect_timeout: Duration,
) -> Result<Box<dyn Port>, LinkError> {
    let opened = match address {
        Address::Tcp { authority } => open_tcp(authority, connect_timeout),
        Address::Unix { path } => open_unix(path),
        Address::Serial { path, baud } => open_serial(path, *baud, connect_timeout),
    };
    opened.map_err(|source| LinkError::Open {
        address: address.to_string(),
        source,
    })
}

fn open_tcp(authority: &str, timeout: Duration) -> io::Result<Box<dyn Port>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in std::net::ToSocketAddrs::to_socket_addrs(authority)? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(unix)]
fn open_unix(path: &std::path::Path) -> io::Result<Box<dyn Port>> {
    Ok(Box::new(std::os::unix::net::UnixStream::connect(path)?))
}

#[cfg(not(unix))]
fn open_unix(_path: &std::path::Path) -> io::Result<Box<dyn Port>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no Unix sockets",
    ))
}

fn open_serial(path: &str, baud: u32, timeout: Duration) -> io::Result<Box<dyn Port>> {
    let port = serialport::new(path, baud).timeout(timeout).open()?;
    Ok(Box::new(port))
}
