//! Where the agent listens: `tcp:HOST:PORT` or `unix:PATH`, as the workstation writes it too.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `tcp:HOST:PORT`; port 0 takes a free one.
    Tcp {
        /// `HOST:PORT`.
        authority: String,
    },
    /// `unix:PATH`
    Unix {
        /// Path of the socket.
        path: PathBuf,
    },
}

/// Text is not a place to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected tcp:HOST:PORT or unix:PATH")]
pub struct ListenAddressError;

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        match text.split_once(':') {
            Some(("tcp", authority)) => {
                let (host, port) = authority.rsplit_once(':').ok_or(ListenAddressError)?;
                port.parse::<u16>().map_err(|_| ListenAddressError)?;
                match host.is_empty() {
                    true => Err(ListenAddressError),
                    false => Ok(Self::Tcp {
                        authority: authority.to_owned(),
                    }),
                }
            }
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix { path: path.into() }),
            _ => Err(ListenAddressError),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { authority } => write!(f, "tcp:{authority}"),
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ListenAddress {
    /// Removes what a place leaves behind when nobody listens there any more: a socket's file.
    pub fn forget(&self) {
        if let Self::Unix { path } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// An open place to listen. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    address: ListenAddress,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One end of an accepted connection.
pub trait Stream: Read + Write + Send {
    /// Makes a read or a write fail that waits longer than this.
    ///
    /// # Errors
    /// The system's.
    fn limit_waits(&self, longest: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit_waits(&self, longest: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(longest))?;
        self.set_write_timeout(Some(longest))
    }
}

impl Stream for UnixStream {
    fn limit_waits(&self, longest: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(longest))?;
        self.set_write_timeout(Some(longest))
    }
}

impl Listener {
    /// Listens. A socket file that nobody serves any more is replaced.
    ///
    /// # Errors
    /// The system's, for an address in use, one that is not this machine's, or a path that cannot be made.
    pub fn open(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp { authority } => {
                let listener = TcpListener::bind(authority.as_str())?;
                let authority = listener.local_addr()?.to_string();
                Ok(Self {
                    kind: Kind::Tcp(listener),
                    address: ListenAddress::Tcp { authority },
                })
            }
            ListenAddress::Unix { path } => {
                let listener = match UnixListener::bind(path) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        if UnixStream::connect(path).is_ok() {
                            return Err(error);
                        }
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)?
                    }
                    other => other?,
                };
                Ok(Self {
                    kind: Kind::Unix(listener),
                    address: address.clone(),
                })
            }
        }
    }

    /// Where it listens: with the port that was taken where 0 was asked for.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The system's.
    pub fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, _): (TcpStream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Kind::Unix(listener) => Ok(Box::new(listener.accept()?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.address.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written_in_one_way() {
        for text in ["tcp:127.0.0.1:0", "tcp:[::1]:7001", "unix:/run/a:b"] {
            assert_eq!(
                text.parse::<ListenAddress>().map(|at| at.to_string()),
                Ok(text.into())
            );
        }
        for text in [
            "",
            "tcp:",
            "tcp:host",
            "tcp::1",
            "tcp:host:x",
            "unix:",
            "serial:/dev/x",
            "7001",
        ] {
            assert_eq!(
                text.parse::<ListenAddress>(),
                Err(ListenAddressError),
                "{text}"
            );
        }
    }

    #[test]
    fn takes_a_free_port_and_says_which() {
        let any = "tcp:127.0.0.1:0".parse().expect("address");
        let listener = Listener::open(&any).expect("listens");
        assert_ne!(listener.address(), &any);
        assert!(Listener::open(listener.address()).is_err(), "in use");
    }

    #[test]
    fn replaces_a_dead_socket_but_not_a_living_one() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("link");
        let address = ListenAddress::Unix { path: path.clone() };
        drop(UnixListener::bind(&path).expect("left behind"));
        assert!(path.exists());
        let listener = Listener::open(&address).expect("replaces it");
        assert!(Listener::open(&address).is_err());
        drop(listener);
        assert!(!path.exists());
    }
}
