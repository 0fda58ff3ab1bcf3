//! The threads that speak MQTT.

use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dunlin_wire::DeviceId;
use minicbor::Decoder;
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{Client, Connection, ConnectionError, MqttOptions, PublishOptions, QoS};

use super::state::{Backoff, FIRST_RECONNECT, LAST_RECONNECT, UploadState};
use super::url::BrokerUrl;

/// Requests the MQTT client queues: the messages in flight, a subscription, a goodbye.
const QUEUE: usize = 4 * super::state::MAX_IN_FLIGHT;
/// How long an idle uploader sleeps when nobody wakes it.
const IDLE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_S: u16 = 30;
const MAX_PACKET_BYTES: u32 = 256 * 1024;

/// Where to upload, and as whom.
#[derive(Clone)]
pub struct UploadOptions {
    /// The broker.
    pub broker: BrokerUrl,
    /// The device: client id, user name and part of the topics.
    pub device: DeviceId,
    /// Password in hexadecimal digits.
    pub password: String,
}

/// Records as the device hands them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// [`dunlin_wire::link::Records`]; empty when there is nothing.
    pub packed: Vec<u8>,
    /// Sequence number of the last record.
    pub last: u32,
}

/// The device is closing and answers no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing;

/// What the uploader needs of the device.
pub trait RecordSource: Send + 'static {
    /// Whole records above `sequence`, oldest first, as many as fit one message.
    ///
    /// # Errors
    /// [`Closing`].
    fn records_since(&mut self, sequence: u32) -> Result<Batch, Closing>;

    /// Passes on the collector's acknowledgement; returns what is acknowledged now, or why the
    /// device refuses it.
    ///
    /// # Errors
    /// [`Closing`].
    fn acknowledge(&mut self, up_to: u32, tag: [u8; 16]) -> Result<Result<u32, String>, Closing>;
}

enum Event {
    Mqtt {
        connection: u64,
        event: Result<Box<Packet>, ConnectionError>,
    },
    Wake,
    Stop,
}

/// Uploads until it is dropped.
pub struct Uploader {
    events: SyncSender<Event>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the uploader when there is a new record. Never blocks.
#[derive(Clone)]
pub struct Waker(SyncSender<Event>);

impl Waker {
    /// There is a new record.
    pub fn wake(&self) {
        let _ = self.0.try_send(Event::Wake);
    }
}

impl Uploader {
    /// Starts uploading what `source` holds above `acknowledged`; `log` takes a line for every
    /// change of the connection.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        options: UploadOptions,
        acknowledged: u32,
        source: impl RecordSource,
        log: impl Fn(&str) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (events, inbox) = sync_channel(QUEUE);
        let mut worker = Worker {
            topic: format!("dunlin/{}/records", options.device),
            options,
            source,
            state: UploadState::new(acknowledged),
            reconnect: Backoff::new(FIRST_RECONNECT, LAST_RECONNECT),
            connections: 0,
            events: events.clone(),
            inbox,
            log,
        };
        let thread = std::thread::Builder::new()
            .name("upload".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            events,
            thread: Some(thread),
        })
    }

    /// A handle that tells the uploader of new records.
    pub fn waker(&self) -> Waker {
        Waker(self.events.clone())
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker<S, L> {
    options: UploadOptions,
    topic: String,
    source: S,
    state: UploadState,
    reconnect: Backoff,
    connections: u64,
    events: SyncSender<Event>,
    inbox: Receiver<Event>,
    log: L,
}

/// Why a connection ended.
enum Ended {
    Stopped,
    Broken(String),
}

impl<S: RecordSource, L: Fn(&str)> Worker<S, L> {
    fn run(&mut self) {
        let mut started = Instant::now();
        while let Ended::Broken(reason) = self.connection() {
            self.state.disconnected();
            if started.elapsed() > LAST_RECONNECT {
                self.reconnect.reset();
            }
            let pause = self.reconnect.next(chance());
            (self.log)(&format!(
                "{}: {reason}; next attempt in {:.1} s",
                self.options.broker,
                pause.as_secs_f64()
            ));
            if self.pause(pause) {
                return;
            }
            started = Instant::now();
        }
    }

    /// Sleeps, unless told to stop; returns whether it was.
    fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(_) if !left.is_zero() => {}
                _ => return false,
            }
        }
    }

    fn connection(&mut self) -> Ended {
        self.connections += 1;
        let client = match self.dial() {
            Ok(client) => client,
            Err(reason) => return Ended::Broken(reason),
        };
        let ended = loop {
            if let Err(ended) = self.step(&client) {
                break ended;
            }
        };
        let _ = client.try_disconnect();
        ended
    }

    fn dial(&self) -> Result<Client, String> {
        let UploadOptions {
            broker,
            device,
            password,
        } = &self.options;
        let mut options = MqttOptions::new(device.to_string(), (broker.host.clone(), broker.port));
        options
            .set_keep_alive(KEEP_ALIVE_S)
            .set_credentials(device.to_string(), password.clone())
            .set_max_packet_size(Some(MAX_PACKET_BYTES));
        let (client, connection) = Client::builder(options)
            .capacity(QUEUE)
            .try_build()
            .map_err(|error| error.to_string())?;
        let (events, number) = (self.events.clone(), self.connections);
        std::thread::Builder::new()
            .name("mqtt".into())
            .spawn(move || forward(connection, number, &events))
            .map_err(|error| error.to_string())?;
        Ok(client)
    }

    fn step(&mut self, client: &Client) -> Result<(), Ended> {
        let now = Instant::now();
        if self.state.resend_if_due(now) {
            (self.log)("no acknowledgement from the collector; sending again");
        }
        let more = self.publish_next(client)?;
        let wait = match self.state.resend_at() {
            _ if more => Duration::ZERO,
            Some(at) => at.saturating_duration_since(now).min(IDLE),
            None => IDLE,
        };
        match self.inbox.recv_timeout(wait) {
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => Err(Ended::Stopped),
            Ok(Event::Mqtt { connection, event }) if connection == self.connections => {
                self.take(client, event)
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(()),
        }
    }

    /// Publishes one message, if one is wanted and there is one; returns whether it did.
    fn publish_next(&mut self, client: &Client) -> Result<bool, Ended> {
        let Some(after) = self.state.wanted() else {
            return Ok(false);
        };
        let batch = self
            .source
            .records_since(after)
            .map_err(|Closing| Ended::Stopped)?;
        if batch.packed.is_empty() {
            return Ok(false);
        }
        let sent = client.try_publish(
            self.topic.as_str(),
            batch.packed,
            PublishOptions::at_least_once(),
        );
        if sent.is_ok() {
            self.state.published(batch.last, Instant::now(), chance());
        }
        Ok(sent.is_ok())
    }

    fn take(
        &mut self,
        client: &Client,
        event: Result<Box<Packet>, ConnectionError>,
    ) -> Result<(), Ended> {
        match *event.map_err(|error| Ended::Broken(error.to_string()))? {
            Packet::ConnAck(_) => {
                let acknowledgements = format!("dunlin/{}/ack", self.options.device);
                client
                    .try_subscribe(acknowledgements.as_str(), QoS::AtLeastOnce)
                    .map_err(|error| Ended::Broken(error.to_string()))?;
            }
            Packet::SubAck(_) => {
                self.state.connected();
                (self.log)(&format!("{}: connected", self.options.broker));
            }
            Packet::Publish(publish) => self.acknowledge(&publish.payload)?,
            Packet::Disconnect(_) => {
                return Err(Ended::Broken("the broker ended the connection".into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn acknowledge(&mut self, body: &[u8]) -> Result<(), Ended> {
        let Some((up_to, tag)) = acknowledgement(body) else {
            (self.log)("an acknowledgement is malformed; ignored");
            return Ok(());
        };
        match self
            .source
            .acknowledge(up_to, tag)
            .map_err(|Closing| Ended::Stopped)?
        {
            Ok(safe) => {
                self.reconnect.reset();
                self.state.acknowledged(safe, Instant::now(), chance());
            }
            Err(reason) => (self.log)(&format!("an acknowledgement is refused: {reason}")),
        }
        Ok(())
    }
}

/// Drives one connection and passes on what comes, until it breaks or nobody listens.
fn forward(mut connection: Connection, number: u64, events: &SyncSender<Event>) {
    while let Ok(event) = connection.recv() {
        let event = match event {
            Ok(rumqttc::Event::Incoming(packet)) => Ok(Box::new(packet)),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        let broken = event.is_err();
        if events
            .send(Event::Mqtt {
                connection: number,
                event,
            })
            .is_err()
            || broken
        {
            return;
        }
    }
}

fn acknowledgement(body: &[u8]) -> Option<(u32, [u8; 16])> {
    let mut decoder = Decoder::new(body);
    let fields = decoder.array().ok()?;
    let up_to = decoder.u32().ok()?;
    let tag = decoder.bytes().ok()?.try_into().ok()?;
    (fields == Some(2) && decoder.position() == body.len()).then_some((up_to, tag))
}

/// A number nobody can foresee, from the seed the standard library draws for its hash tables.
fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_acknowledgement_and_nothing_else() {
        let mut body = vec![0x82, 0x19, 0x01, 0x00, 0x50];
        body.extend([9; 16]);
        assert_eq!(acknowledgement(&body), Some((256, [9; 16])));
        for end in 0..body.len() {
            assert_eq!(acknowledgement(&body[..end]), None, "{end}");
        }
        body.push(0);
        assert_eq!(acknowledgement(&body), None);
    }
}
