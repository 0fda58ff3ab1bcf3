//! An MQTT 5 broker inside the collector, which admits known devices only.
//!
//! A device presents itself with its id as client id and as user name, and with the hexadecimal
//! form of its credential's password. Anyone else is turned away before a session exists and
//! counted. Messages live in memory; what a device sent is safe only once it has the collector's
//! acknowledgement, so nothing is lost with the broker.
//!
//! The broker knows no access list: a device that was admitted can publish under another's topic
//! and read what others publish. Records are tagged with each device's key, so it cannot make any;
//! but it can fill another's quarantine, and by repeating another's newer records while older ones
//! are kept from arriving it can have those acknowledged unseen (see `ingest`). Neither connection
//! nor records are encrypted. Where that matters, use a broker with access lists and TLS in front.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rumqttd::protocol::v5::V5;
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use tokio::sync::oneshot;

use crate::FleetError;

/// Bytes of one message the broker and the collector take, at most.
pub const MAX_UPLOAD_BYTES: usize = 256 * 1024;
/// Devices that may be connected to the embedded broker at once.
pub const MAX_CONNECTIONS: usize = 1000;

const SEGMENT_BYTES: usize = 1024 * 1024;
const SEGMENTS: usize = 16;
const IN_FLIGHT: usize = 100;
const CONNECT_TIMEOUT_MS: u16 = 5000;
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// What someone said when connecting. The password is never shown.
pub(crate) struct Login {
    pub client: String,
    pub user: String,
    pub password: String,
}

/// A broker that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Listens on `address` (port 0 for a free one) and lets in those whom `admit` accepts.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(
        address: SocketAddr,
        admit: impl Fn(Login) -> bool + Send + Sync + 'static,
    ) -> Result<Self, FleetError> {
        let address = TcpListener::bind(address)
            .and_then(|listener| listener.local_addr())
            .map_err(|error| FleetError::Listen { address, error })?;
        let (stop, stopped) = oneshot::channel();
        let (failure, failures) = mpsc::channel();
        let settings = settings(address, admit);
        let thread = std::thread::Builder::new()
            .name("mqtt broker".to_owned())
            .spawn(move || serve(settings, stopped, &failure))
            .map_err(|error| FleetError::Listen { address, error })?;
        let broker = Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        };
        broker.wait_until_it_listens(&failures)?;
        Ok(broker)
    }

    /// Where a client on this machine reaches the broker.
    pub fn local_address(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    /// Where the broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait_until_it_listens(&self, failures: &mpsc::Receiver<String>) -> Result<(), FleetError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(reason) = failures.try_recv() {
                return Err(FleetError::Broker { reason });
            }
            if TcpStream::connect_timeout(&self.local_address(), START_TIMEOUT).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(FleetError::Broker {
                    reason: format!("did not listen on {} in time", self.address),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn settings(
    address: SocketAddr,
    admit: impl Fn(Login) -> bool + Send + Sync + 'static,
) -> ServerSettings {
    let mut connections = ConnectionSettings {
        connection_timeout_ms: CONNECT_TIMEOUT_MS,
        max_payload_size: MAX_UPLOAD_BYTES,
        max_inflight_count: IN_FLIGHT,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let admit = Arc::new(admit);
    connections.set_auth_handler(move |client, user, password| {
        std::future::ready(admit(Login {
            client,
            user,
            password,
        }))
    });
    ServerSettings {
        name: "mqtt broker".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    }
}

/// The two topics exist from the start; others are refused.
fn router() -> RouterConfig {
    RouterConfig {
        max_connections: MAX_CONNECTIONS,
        max_outgoing_packet_count: 200,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        initialized_filters: Some(vec![
            "dunlin/+/records".to_owned(),
            "dunlin/+/ack".to_owned(),
        ]),
        ..RouterConfig::default()
    }
}

/// Serves until told to stop, then drops the runtime and every connection with it. The router's
/// own thread has no way to be told; it stays asleep until the process ends.
fn serve(settings: ServerSettings, stopped: oneshot::Receiver<()>, failure: &mpsc::Sender<String>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return drop(failure.send(error.to_string())),
    };
    runtime.block_on(async {
        let mut server = Server::new(settings, Router::new(0, router()).spawn(), V5);
        tokio::select! {
            result = server.start(LinkType::Remote) => {
                if let Err(error) = result {
                    let _ = failure.send(error.to_string());
                }
            }
            _ = stopped => {}
        }
    });
}
