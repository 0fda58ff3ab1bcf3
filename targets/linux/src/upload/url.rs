//! Where a broker is.

use std::fmt;
use std::str::FromStr;

const DEFAULT_PORT: u16 = 1883;

/// `mqtt://HOST[:PORT]`, port 1883 where none stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Text is not the address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// Another scheme, or none.
    #[error("expected mqtt://HOST[:PORT]")]
    Scheme,
    /// The device's id and credential are the login; a second one has no place.
    #[error("no user name or password stands in the address: the device presents its own")]
    Login,
    /// Host missing, port not a number, or a path.
    #[error("expected mqtt://HOST[:PORT] with nothing after the port")]
    Authority,
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, BrokerUrlError> {
        let rest = text.strip_prefix("mqtt://").ok_or(BrokerUrlError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(BrokerUrlError::Login);
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| BrokerUrlError::Authority)?)
            }
            _ => (rest, DEFAULT_PORT),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(BrokerUrlError::Authority);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "mqtt://[{}]:{}", self.host, self.port),
            false => write!(f, "mqtt://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_and_port() {
        let read = |text: &str| text.parse::<BrokerUrl>().map(|url| (url.host, url.port));
        assert_eq!(
            read("mqtt://broker.local"),
            Ok(("broker.local".into(), 1883))
        );
        assert_eq!(
            read("mqtt://127.0.0.1:7883/"),
            Ok(("127.0.0.1".into(), 7883))
        );
        assert_eq!(read("mqtt://[::1]:7883"), Ok(("::1".into(), 7883)));
        assert_eq!(read("mqtt://[::1]"), Ok(("::1".into(), 1883)));
    }

    #[test]
    fn refuses_what_is_no_broker_and_logins() {
        let read = |text: &str| text.parse::<BrokerUrl>();
        assert_eq!(read("tcp://host"), Err(BrokerUrlError::Scheme));
        assert_eq!(read("mqtt://me:secret@host"), Err(BrokerUrlError::Login));
        for text in ["mqtt://", "mqtt://:1883", "mqtt://host:x", "mqtt://host/a"] {
            assert_eq!(read(text), Err(BrokerUrlError::Authority), "{text}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["mqtt://host:1883", "mqtt://[::1]:7883"] {
            assert_eq!(
                text.parse::<BrokerUrl>().map(|url| url.to_string()),
                Ok(text.into())
            );
        }
    }
}
