//! Where a device is: the text a user writes.

use std::path::PathBuf;
use std::str::FromStr;

/// Baud rate of a serial port when the address names none.
pub const DEFAULT_BAUD: u32 = 115_200;

/// A parsed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `tcp:HOST:PORT`
    Tcp {
        /// `HOST:PORT`.
        authority: String,
    },
    /// `unix:PATH`
    Unix {
        /// Path of the socket.
        path: PathBuf,
    },
    /// `serial:PATH` or `serial:PATH:BAUD`
    Serial {
        /// Path of the port, for example `/dev/ttyACM0`.
        path: String,
        /// Symbols a second.
        baud: u32,
    },
}

/// Text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: expected tcp:HOST:PORT, unix:PATH or serial:PATH[:BAUD]")]
pub struct AddressError {
    /// The text.
    pub text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refused = || AddressError {
            text: text.to_owned(),
        };
        let (kind, rest) = text
            .split_once(':')
            .filter(|(_, rest)| !rest.is_empty())
            .ok_or_else(refused)?;
        match kind {
            "tcp" => tcp(rest).ok_or_else(refused),
            "unix" => Ok(Self::Unix { path: rest.into() }),
            "serial" => Ok(serial(rest)),
            _ => Err(refused()),
        }
    }
}

fn tcp(rest: &str) -> Option<Address> {
    let (host, port) = rest.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
    Some(Address::Tcp {
        authority: rest.to_owned(),
    })
}

fn serial(rest: &str) -> Address {
    let with_baud = rest
        .rsplit_once(':')
        .and_then(|(path, baud)| Some((path, baud.parse().ok()?)));
    let (path, baud) = with_baud.unwrap_or((rest, DEFAULT_BAUD));
    Address::Serial {
        path: path.to_owned(),
        baud,
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { authority } => write!(f, "tcp:{authority}"),
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
            Self::Serial { path, baud } => write!(f, "serial:{path}:{baud}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| text.parse::<Address>();
        assert_eq!(
            read("tcp:[::1]:5555"),
            Ok(Address::Tcp {
                authority: "[::1]:5555".into()
            })
        );
        assert_eq!(
            read("unix:/tmp/a:b"),
            Ok(Address::Unix {
                path: "/tmp/a:b".into()
            })
        );
        assert_eq!(
            read("serial:/dev/ttyACM0"),
            Ok(Address::Serial {
                path: "/dev/ttyACM0".into(),
                baud: DEFAULT_BAUD
            })
        );
        assert_eq!(
            read("serial:COM3:9600"),
            Ok(Address::Serial {
                path: "COM3".into(),
                baud: 9600
            })
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "tcp",
            "tcp:",
            "tcp:localhost",
            "tcp::5",
            "tcp:host:99999",
            "usb:1",
            "/dev/ttyACM0",
        ] {
            assert_eq!(
                text.parse::<Address>(),
                Err(AddressError { text: text.into() })
            );
        }
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in [
            "tcp:localhost:80",
            "unix:/run/dunlin",
            "serial:/dev/ttyS0:9600",
        ] {
            assert_eq!(
                text.parse::<Address>().map(|address| address.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
