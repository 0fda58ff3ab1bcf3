//! Records that devices publish on an MQTT 5 broker.
//!
//! A device publishes whole records, packed as [`dunlin_wire::link::Records`], on
//! `dunlin/<device id>/records`. When they are on the disk, and nothing before them can have got
//! lost, the collector publishes a tagged acknowledgement on `dunlin/<device id>/ack`. Both travel
//! at QoS 1. The broker's own acknowledgement to the device says nothing about the database, so a
//! device keeps its records until the tagged one comes.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use dunlin_wire::DeviceId;
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{Client, Connection, MqttOptions, PublishOptions, QoS};

use super::flow::Flows;
use super::{Collected, Collecting, Event, PATIENCE, Until, now_ms, renewed};
use crate::broker::{self, Broker, Login};
use crate::devices::{hexadecimal, same};
use crate::{Devices, FleetError, Ingested, Refusal, RefusalReason, Roster, Sender, Store};

const DEFAULT_PORT: u16 = 1883;
const RECORDS_FILTER: &str = "dunlin/+/records";
const COLLECTOR: &str = "dunlin-collector";
const RETRY: Duration = Duration::from_secs(1);
const DISCONNECT: Duration = Duration::from_secs(2);

/// A password, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Where a broker listens: `mqtt://HOST[:PORT]`, port 1883 unless given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for BrokerUrl {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let refuse = |reason| FleetError::BrokerUrl { reason };
        let rest = text
            .strip_prefix("mqtt://")
            .ok_or_else(|| refuse("it does not begin with mqtt://"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(refuse(
                "user name and password do not belong in the URL, where others can see them",
            ));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse()
                    .map_err(|_| refuse("the port is not a number"))?,
            ),
            _ => (rest, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(refuse("the host is missing or has a path"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "mqtt://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "mqtt://{}:{}", self.host, self.port)
        }
    }
}

/// Which broker to collect from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerChoice {
    /// The collector's own, which admits the devices it knows.
    Embedded {
        /// Where to listen; port 0 for a free one, see [`Event::Listening`].
        listen: SocketAddr,
    },
    /// One that runs elsewhere and decides itself whom it admits.
    Remote {
        /// Where.
        url: BrokerUrl,
        /// User name and password of the collector, where the broker asks for them.
        login: Option<(String, Password)>,
    },
}

/// Takes in what devices publish until it is time to stop. Blocks; reconnects when the broker is gone.
///
/// # Errors
/// When the broker cannot be reached or refuses the collector at the first attempt, when the
/// embedded broker cannot listen, or when the database fails.
pub fn collect_mqtt(
    collecting: Collecting<'_>,
    choice: &BrokerChoice,
) -> Result<Collected, FleetError> {
    let Collecting {
        store,
        devices,
        until,
        show,
    } = collecting;
    let (strangers, refused) = mpsc::channel();
    let (session, _broker) = match choice {
        BrokerChoice::Embedded { listen } => {
            let (session, broker) = embed(*listen, devices.clone(), strangers)?;
            show(Event::Listening {
                address: broker.address(),
            });
            (session, Some(broker))
        }
        BrokerChoice::Remote { url, login } => (Session::new(url.clone(), login.clone())?, None),
    };
    let mut collector = Collector {
        store,
        roster: devices,
        devices: devices.devices(),
        show,
        collected: Collected::default(),
        flows: Flows::default(),
        session,
        met: false,
    };
    collector.run(until, &refused)
}

/// Starts a broker that lets in the devices known at their login and, with a password drawn for this once, the
/// collector.
fn embed(
    listen: SocketAddr,
    devices: Roster,
    strangers: mpsc::Sender<Refusal>,
) -> Result<(Session, Broker), FleetError> {
    let secret = hexadecimal(&rand::random::<[u8; 16]>());
    let own = secret.clone();
    let broker = Broker::start(listen, move |login| {
        let admitted = is_collector(&login, &own)
            || devices
                .renewed()
                .admit(&login.client, &login.user, &login.password);
        if !admitted {
            let _ = strangers.send(Refusal::at_login(&login.user));
        }
        admitted
    })?;
    let address = broker.local_address();
    let url = BrokerUrl {
        host: address.ip().to_string(),
        port: address.port(),
    };
    Ok((
        Session::new(url, Some((COLLECTOR.to_owned(), Password(secret))))?,
        broker,
    ))
}

fn is_collector(login: &Login, secret: &str) -> bool {
    login.user == COLLECTOR
        && login.client == COLLECTOR
        && same(login.password.as_bytes(), secret.as_bytes())
}

/// The collector's own connection to a broker.
struct Session {
    name: String,
    client: Client,
    connection: Connection,
}

impl Session {
    fn new(url: BrokerUrl, login: Option<(String, Password)>) -> Result<Self, FleetError> {
        let name = url.to_string();
        let client_id = match &login {
            Some((user, _)) if user == COLLECTOR => COLLECTOR.to_owned(),
            _ => format!("{COLLECTOR}-{}", hexadecimal(&rand::random::<[u8; 4]>())),
        };
        let mut options = MqttOptions::new(client_id, (url.host, url.port));
        options.set_keep_alive(20);
        options.set_max_packet_size(Some(broker::MAX_UPLOAD_BYTES as u32));
        if let Some((user, password)) = login {
            options.set_credentials(user, password.0);
        }
        let (client, connection) =
            Client::builder(options)
                .unbounded()
                .try_build()
                .map_err(|error| FleetError::Mqtt {
                    broker: name.clone(),
                    reason: error.to_string(),
                })?;
        Ok(Self {
            name,
            client,
            connection,
        })
    }

    fn failed(&self, error: impl fmt::Display) -> FleetError {
        FleetError::Mqtt {
            broker: self.name.clone(),
            reason: error.to_string(),
        }
    }

    /// The next packet from the broker, `None` when there was none for a moment.
    fn next(&mut self) -> Result<Option<Packet>, rumqttc::ConnectionError> {
        match self.connection.recv_timeout(PATIENCE) {
            Ok(Ok(rumqttc::Event::Incoming(packet))) => Ok(Some(packet)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Ok(None),
        }
    }

    /// Sends what is queued and says goodbye.
    fn close(&mut self) {
        if self.client.disconnect().is_err() {
            return;
        }
        let end = Instant::now() + DISCONNECT;
        while Instant::now() < end
            && matches!(
                self.connection.recv_timeout(PATIENCE),
                Ok(Ok(_)) | Err(rumqttc::RecvTimeoutError::Timeout { .. })
            )
        {}
    }
}

struct Collector<'a> {
    store: &'a mut Store,
    roster: &'a Roster,
    devices: Arc<Devices>,
    show: &'a mut dyn FnMut(Event<'_>),
    collected: Collected,
    flows: Flows,
    session: Session,
    /// Whether the broker ever let the collector in.
    met: bool,
}

impl Collector<'_> {
    fn run(
        &mut self,
        until: Until<'_>,
        strangers: &mpsc::Receiver<Refusal>,
    ) -> Result<Collected, FleetError> {
        let mut last_heard = Instant::now();
        while !until.reached(last_heard) {
            let next = self.session.next();
            self.devices = renewed(self.roster, self.store, self.show)?;
            self.note(strangers)?;
            match next {
                Ok(Some(Packet::Publish(publish))) => {
                    last_heard = Instant::now();
                    self.take(&publish.topic, &publish.payload)?;
                }
                Ok(Some(packet)) => self.watch(&packet)?,
                Ok(None) => {}
                Err(error) if self.met => {
                    (self.show)(Event::Interrupted {
                        reason: &error.to_string(),
                    });
                    until.sleep(RETRY);
                }
                Err(error) => return Err(self.session.failed(error)),
            }
        }
        self.session.close();
        self.note(strangers)?;
        Ok(self.collected)
    }

    /// Subscribes at every new session; a session that was lost is not resumed.
    fn watch(&mut self, packet: &Packet) -> Result<(), FleetError> {
        if let Packet::ConnAck(_) = packet {
            self.met = true;
            self.session
                .client
                .subscribe(RECORDS_FILTER, QoS::AtLeastOnce)
                .map_err(|error| self.session.failed(error))?;
        }
        if let Packet::SubAck(_) = packet {
            self.flows.restart();
            (self.show)(Event::Connected {
                to: &self.session.name,
            });
        }
        Ok(())
    }

    /// Counts who was turned away since the last look, in one transaction, however many they were.
    fn note(&mut self, strangers: &mpsc::Receiver<Refusal>) -> Result<(), FleetError> {
        let refusals: Vec<Refusal> = strangers.try_iter().collect();
        if refusals.is_empty() {
            Ok(())
        } else {
            self.refuse(&refusals)
        }
    }

    fn refuse(&mut self, refusals: &[Refusal]) -> Result<(), FleetError> {
        self.store.note_refusals("mqtt", now_ms(), refusals)?;
        self.collected.refused += refusals.len() as u64;
        refusals
            .iter()
            .for_each(|refusal| (self.show)(Event::Refused(refusal)));
        Ok(())
    }

    fn take(&mut self, topic: &[u8], payload: &[u8]) -> Result<(), FleetError> {
        let Some(device) = device_of(topic) else {
            return self.refuse(&[Refusal::unread(
                None,
                RefusalReason::Malformed { position: 0 },
            )]);
        };
        let sender = Sender {
            transport: "mqtt",
            device,
        };
        let ingested = self
            .store
            .ingest_packed(&self.devices, sender, now_ms(), payload)?;
        self.collected.add(&ingested);
        self.acknowledge(device, &ingested)?;
        (self.show)(Event::Ingested {
            device,
            ingested: &ingested,
        });
        Ok(())
    }

    fn acknowledge(&mut self, device: DeviceId, ingested: &Ingested) -> Result<(), FleetError> {
        let Some(first) = ingested.first else {
            return Ok(());
        };
        let follows = self
            .flows
            .follows(device, first, self.store.acknowledged(device)?);
        let Some(up_to) = ingested.safe_up_to.filter(|_| follows) else {
            return Ok(());
        };
        self.store.note_acknowledged(device, up_to)?;
        if let Some(body) = self.devices.acknowledgement(device, up_to) {
            let topic = format!("dunlin/{device}/ack");
            let sent = self
                .session
                .client
                .publish(topic, body, PublishOptions::at_least_once());
            sent.map_err(|error| self.session.failed(error))?;
            self.collected.acknowledgements += 1;
        }
        Ok(())
    }
}

fn device_of(topic: &[u8]) -> Option<DeviceId> {
    let topic = std::str::from_utf8(topic).ok()?;
    topic
        .strip_prefix("dunlin/")?
        .strip_suffix("/records")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_url_names_host_and_port() {
        let url = |text: &str| {
            text.parse::<BrokerUrl>()
                .map(|url| (url.host, url.port))
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            url("mqtt://broker.example"),
            Ok(("broker.example".to_owned(), 1883))
        );
        assert_eq!(
            url("mqtt://127.0.0.1:2883/"),
            Ok(("127.0.0.1".to_owned(), 2883))
        );
        assert_eq!(url("mqtt://[::1]:2883"), Ok(("::1".to_owned(), 2883)));
        assert_eq!(url("mqtt://[::1]"), Ok(("::1".to_owned(), 1883)));
        for wrong in [
            "broker:1883",
            "mqtt://",
            "mqtt://host:port",
            "mqtt://host/path",
            "mqtt://me:secret@host",
        ] {
            let message = url(wrong).unwrap_err();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_topic_names_a_device() {
        assert_eq!(
            device_of(b"dunlin/00112233445566ff/records"),
            "00112233445566ff".parse().ok()
        );
        for wrong in [
            "dunlin/0011/records",
            "dunlin/00112233445566ff/ack",
            "other/00112233445566ff/records",
            "",
        ] {
            assert_eq!(device_of(wrong.as_bytes()), None);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let choice = BrokerChoice::Remote {
            url: BrokerUrl {
                host: "host".to_owned(),
                port: 1,
            },
            login: Some(("me".to_owned(), Password("secret".to_owned()))),
        };
        assert!(!format!("{choice:?}").contains("secret"));
    }
}
