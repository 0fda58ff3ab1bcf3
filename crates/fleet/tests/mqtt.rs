//! Collecting through real brokers: the embedded one and mosquitto.

mod kit;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dunlin_fleet::{
    BrokerChoice, Collected, Collecting, Device, Event, FleetError, Password, Roster, Store, Until,
    collect_mqtt,
};
use kit::mosquitto::Mosquitto;
use kit::*;
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{Client, Connection, MqttOptions, PublishOptions, QoS};

const BUNDLE: dunlin_wire::BundleId = dunlin_wire::BundleId([0xb; 8]);
const PATIENCE: Duration = Duration::from_secs(20);

/// A collector in its own thread, stopped and joined by [`Running::stop`].
struct Running {
    folder: tempfile::TempDir,
    stop: std::sync::Arc<AtomicBool>,
    address: mpsc::Receiver<SocketAddr>,
    ready: mpsc::Receiver<()>,
    /// What was said about the devices file: how many it names, or why it cannot be read.
    said: mpsc::Receiver<Result<usize, String>>,
    thread: JoinHandle<Result<Collected, FleetError>>,
}

fn collect(choice: BrokerChoice, known: impl IntoIterator<Item = u8>) -> Running {
    collect_from(choice, devices(known).into())
}

fn collect_from(choice: BrokerChoice, known: Roster) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.sqlite");
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let (listening, address) = mpsc::channel();
    let (connected, ready) = mpsc::channel();
    let (say, said) = mpsc::channel();
    let flag = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut store = Store::create(&path).unwrap();
        let mut show = |event: Event<'_>| match event {
            Event::Listening { address } => listening.send(address).unwrap(),
            Event::Connected { .. } => connected.send(()).unwrap(),
            Event::DevicesRead { devices } => say.send(Ok(devices)).unwrap(),
            Event::DevicesUnread { error } => say.send(Err(error.to_string())).unwrap(),
            _ => {}
        };
        let collecting = Collecting {
            store: &mut store,
            devices: &known,
            until: Until {
                stop: &flag,
                idle: None,
            },
            show: &mut show,
        };
        collect_mqtt(collecting, &choice)
    });
    Running {
        folder,
        stop,
        address,
        ready,
        said,
        thread,
    }
}

impl Running {
    fn wait(&self) {
        self.ready
            .recv_timeout(PATIENCE)
            .expect("the collector connects");
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("fleet.sqlite")
    }

    fn stop(self) -> (tempfile::TempDir, Collected) {
        self.stop.store(true, Ordering::Relaxed);
        (self.folder, self.thread.join().unwrap().unwrap())
    }
}

/// A device's side of MQTT.
struct Uplink {
    client: Client,
    connection: Connection,
    device: Device,
}

impl Uplink {
    fn open(address: SocketAddr, device: Device, password: &str) -> Result<Self, String> {
        let id = device.id.to_string();
        let mut options = MqttOptions::new(id.clone(), (address.ip().to_string(), address.port()));
        options.set_credentials(id, password.to_owned());
        let (client, connection) = Client::builder(options).capacity(10).build();
        let mut uplink = Self {
            client,
            connection,
            device,
        };
        uplink.until(|packet| matches!(packet, Packet::ConnAck(_)).then_some(()))?;
        uplink
            .client
            .subscribe(format!("dunlin/{}/ack", uplink.device.id), QoS::AtLeastOnce)
            .unwrap();
        uplink.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(()))?;
        Ok(uplink)
    }

    fn until<T>(&mut self, mut wanted: impl FnMut(&Packet) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.connection.recv_timeout(Duration::from_millis(200)) {
                Ok(Ok(rumqttc::Event::Incoming(packet))) => {
                    if let Some(found) = wanted(&packet) {
                        return Ok(found);
                    }
                }
                Ok(Err(error)) => return Err(error.to_string()),
                _ => {}
            }
        }
        Err("nothing came in time".to_owned())
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        self.client
            .publish(topic, payload, PublishOptions::at_least_once())
            .unwrap();
    }

    fn send(&mut self, records: &[Vec<u8>]) {
        self.publish(
            &format!("dunlin/{}/records", self.device.id),
            packed(records),
        );
    }

    /// Waits until the broker has what was sent.
    fn delivered(&mut self) {
        self.until(|packet| matches!(packet, Packet::PubAck(_)).then_some(()))
            .unwrap();
    }

    /// Waits for an acknowledgement, checks its tag, and returns up to where it goes.
    fn acknowledged(&mut self) -> Result<u32, String> {
        let payload = self.until(|packet| match packet {
            Packet::Publish(publish) => Some(publish.payload.to_vec()),
            _ => None,
        })?;
        let mut body = minicbor::Decoder::new(&payload);
        assert_eq!(body.array().unwrap(), Some(2));
        let (up_to, tag) = (body.u32().unwrap(), body.bytes().unwrap());
        let known = &self.device;
        if known
            .credential
            .confirms_acknowledgement(known.id, up_to, tag)
        {
            Ok(up_to)
        } else {
            Err("a wrong tag".to_owned())
        }
    }
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn embedded(known: impl IntoIterator<Item = u8>) -> (Running, SocketAddr) {
    embedded_from(devices(known).into())
}

fn embedded_from(known: Roster) -> (Running, SocketAddr) {
    let running = collect_from(BrokerChoice::Embedded { listen: loopback() }, known);
    let address = running
        .address
        .recv_timeout(PATIENCE)
        .expect("the broker listens");
    running.wait();
    (running, address)
}

/// Sends a week, loses the answer, sends it again; then a device that was away sends too.
fn upload_twice(address: SocketAddr, password: impl Fn(&Device) -> String, running: &Running) {
    let (first, second) = (device(1), device(2));
    let records = week(&first, BUNDLE, 2);
    let mut uplink = Uplink::open(address, first.clone(), &password(&first)).unwrap();
    uplink.send(&records);
    assert_eq!(uplink.acknowledged(), Ok(9));
    assert_eq!(
        number(&running.path(), "SELECT count(*) FROM records"),
        9,
        "stored before it was acknowledged"
    );
    drop(uplink);
    let mut uplink = Uplink::open(address, first.clone(), &password(&first)).unwrap();
    uplink.send(&records[..5]);
    assert_eq!(uplink.acknowledged(), Ok(5));
    let mut uplink = Uplink::open(address, second.clone(), &password(&second)).unwrap();
    for record in week(&second, BUNDLE, 0) {
        uplink.send(&[record]);
        uplink.acknowledged().unwrap();
    }
    assert_eq!(number(&running.path(), "SELECT count(*) FROM records"), 18);
}

#[test]
fn the_embedded_broker_carries_records_and_acknowledgements() {
    let (running, address) = embedded([1, 2]);
    upload_twice(address, Device::password, &running);
    let (_folder, collected) = running.stop();
    assert_eq!(
        (
            collected.stored,
            collected.duplicates,
            collected.refused,
            collected.acknowledgements
        ),
        (18, 5, 0, 11)
    );
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens after the stop"
    );
}

#[test]
fn strangers_are_turned_away_by_the_embedded_broker() {
    let (running, address) = embedded([1]);
    let (known, stranger) = (device(1), device(5));
    assert!(Uplink::open(address, stranger.clone(), &stranger.password()).is_err());
    assert!(Uplink::open(address, known.clone(), "").is_err());
    assert!(Uplink::open(address, known.clone(), &stranger.password()).is_err());
    let mut uplink = Uplink::open(address, known.clone(), &known.password()).unwrap();
    uplink.send(&[boot_record(&known, 1, 1)]);
    assert_eq!(uplink.acknowledged(), Ok(1));
    let (folder, collected) = running.stop();
    assert_eq!((collected.stored, collected.refused), (1, 3));
    let path = folder.path().join("fleet.sqlite");
    assert_eq!(number(&path, "SELECT count(*) FROM records"), 1);
    assert_eq!(
        number(
            &path,
            "SELECT sum(count) FROM refusals WHERE reason = 'login'"
        ),
        3
    );
}

/// A devices file, put in place whole as provisioning does.
fn write_devices(path: &std::path::Path, known: impl IntoIterator<Item = u8>) {
    let entries: Vec<String> = known
        .into_iter()
        .map(device)
        .map(|device| {
            let key: String = device
                .credential
                .0
                .map(|byte| format!("{byte:02x}"))
                .concat();
            let (id, name) = (device.id, device.name);
            format!(r#"{{"device": "{id}", "name": "{name}", "key": "{key}"}}"#)
        })
        .collect();
    replace(path, &format!(r#"{{"devices": [{}]}}"#, entries.join(", ")));
}

/// Writes a file at once, so that nobody reads it half written.
fn replace(path: &std::path::Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn a_device_that_was_flashed_meanwhile_is_let_in_and_nobody_loses_a_session() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("devices.json");
    write_devices(&path, [1]);
    let (running, address) = embedded_from(Roster::read(&path).unwrap());
    let (first, second) = (device(1), device(2));
    let mut old = Uplink::open(address, first.clone(), &first.password()).unwrap();
    old.send(&[boot_record(&first, 1, 1)]);
    assert_eq!(old.acknowledged(), Ok(1));
    assert!(Uplink::open(address, second.clone(), &second.password()).is_err());
    write_devices(&path, [1, 2]);
    let mut new = Uplink::open(address, second.clone(), &second.password()).unwrap();
    new.send(&[boot_record(&second, 1, 1)]);
    assert_eq!(new.acknowledged(), Ok(1));
    old.send(&[boot_record(&first, 1, 2)]);
    assert_eq!(old.acknowledged(), Ok(2), "in the session it had");
    assert_eq!(running.said.recv_timeout(PATIENCE), Ok(Ok(2)));
    replace(&path, "{");
    let broken = running.said.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(broken.contains("devices.json"), "{broken}");
    let mut again = Uplink::open(address, second.clone(), &second.password()).unwrap();
    again.send(&[boot_record(&second, 1, 2)]);
    assert_eq!(again.acknowledged(), Ok(2), "the last good devices hold");
    assert!(running.said.try_recv().is_err(), "it is said once");
    let database = running.path();
    let (_folder, collected) = running.stop();
    assert_eq!((collected.stored, collected.refused), (4, 1));
    let named = "SELECT count(*) FROM devices WHERE name = 'room 2'";
    assert_eq!(number(&database, named), 1);
}

#[test]
fn what_follows_a_lost_message_is_acknowledged_only_when_the_device_begins_again() {
    let (running, address) = embedded([1]);
    let room = device(1);
    let records: Vec<Vec<u8>> = (1..=6)
        .map(|sequence| boot_record(&room, 1, sequence))
        .collect();
    let mut uplink = Uplink::open(address, room.clone(), &room.password()).unwrap();
    uplink.send(&records[0..2]);
    assert_eq!(uplink.acknowledged(), Ok(2));
    uplink.send(&records[4..6]);
    uplink.send(&records[2..4]);
    uplink.send(&records[4..6]);
    assert_eq!(
        (uplink.acknowledged(), uplink.acknowledged()),
        (Ok(4), Ok(6))
    );
    let (_folder, collected) = running.stop();
    assert_eq!(
        (
            collected.stored,
            collected.duplicates,
            collected.acknowledgements
        ),
        (6, 2, 3)
    );
}

#[test]
fn a_damaged_record_at_the_head_does_not_hold_up_what_follows() {
    let (running, address) = embedded([1]);
    let room = device(1);
    for unreadable in [false, true] {
        let first = if unreadable { 10 } else { 1 };
        let mut records: Vec<Vec<u8>> = (first..first + 5)
            .map(|sequence| boot_record(&room, 1, sequence))
            .collect();
        if unreadable {
            records[0] = b"rubbish".to_vec();
        } else {
            *records[0].last_mut().unwrap() ^= 1;
        }
        let mut uplink = Uplink::open(address, room.clone(), &room.password()).unwrap();
        uplink.send(&records);
        uplink.send(&records);
        assert_eq!(uplink.acknowledged(), Ok(first + 4));
        uplink.send(&[boot_record(&room, 1, first + 5)]);
        assert_eq!(uplink.acknowledged(), Ok(first + 5));
    }
    let (folder, collected) = running.stop();
    assert_eq!((collected.stored, collected.quarantined), (10, 2));
    let path = folder.path().join("fleet.sqlite");
    assert_eq!(
        number(&path, "SELECT count(*) FROM quarantine WHERE count = 2"),
        2
    );
}

#[test]
fn a_device_cannot_speak_for_another() {
    let (running, address) = embedded([1, 2]);
    let (liar, other) = (device(1), device(2));
    let mut forged = device(1);
    forged.id = other.id;
    let mut uplink = Uplink::open(address, liar.clone(), &liar.password()).unwrap();
    uplink.publish(
        &format!("dunlin/{}/records", other.id),
        packed(&[boot_record(&forged, 1, 1)]),
    );
    uplink.publish(
        &format!("dunlin/{}/records", other.id),
        packed(&[boot_record(&liar, 1, 1)]),
    );
    uplink.send(&[boot_record(&liar, 1, 1)]);
    assert_eq!(uplink.acknowledged(), Ok(1));
    let (folder, collected) = running.stop();
    assert_eq!(
        (
            collected.stored,
            collected.refused,
            collected.acknowledgements
        ),
        (1, 2, 1)
    );
    let connection = rusqlite::Connection::open(folder.path().join("fleet.sqlite")).unwrap();
    assert_eq!(
        column(&connection, "SELECT reason FROM refusals ORDER BY reason"),
        ["bad tag", "wrong sender"]
    );
    assert_eq!(
        column(&connection, "SELECT device FROM records"),
        [liar.id.to_string()]
    );
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let taken = TcpListener::bind(loopback()).unwrap();
    let running = collect(
        BrokerChoice::Embedded {
            listen: taken.local_addr().unwrap(),
        },
        [1],
    );
    let result = running.thread.join().unwrap();
    assert!(
        matches!(result, Err(FleetError::Listen { .. })),
        "{result:?}"
    );
}

#[test]
fn a_broker_that_is_not_there_is_an_error_without_secrets() {
    let port = TcpListener::bind(loopback())
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("mqtt://127.0.0.1:{port}").parse().unwrap();
    let login = Some(("me".to_owned(), Password("secret".to_owned())));
    let error = collect(BrokerChoice::Remote { url, login }, [1])
        .thread
        .join()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, FleetError::Mqtt { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

fn remote(mosquitto: &Mosquitto, login: Option<(String, Password)>) -> BrokerChoice {
    BrokerChoice::Remote {
        url: format!("mqtt://{}", mosquitto.address).parse().unwrap(),
        login,
    }
}

#[test]
fn mosquitto_carries_records_and_acknowledgements() {
    let Some(mosquitto) = Mosquitto::start(None) else {
        eprintln!("skipped: mosquitto is not installed");
        return;
    };
    let running = collect(remote(&mosquitto, None), [1, 2]);
    running.wait();
    upload_twice(mosquitto.address, Device::password, &running);
    let stranger = device(5);
    let mut uplink = Uplink::open(mosquitto.address, stranger.clone(), "").unwrap();
    uplink.send(&[boot_record(&stranger, 1, 1)]);
    uplink.delivered();
    let mut uplink = Uplink::open(mosquitto.address, device(1), "").unwrap();
    uplink.send(&[boot_record(&device(1), 2, 10)]);
    assert_eq!(uplink.acknowledged(), Ok(10));
    let (folder, collected) = running.stop();
    assert_eq!(
        (
            collected.stored,
            collected.duplicates,
            collected.refused,
            collected.acknowledgements
        ),
        (19, 5, 1, 12)
    );
    assert_eq!(
        number(
            &folder.path().join("fleet.sqlite"),
            "SELECT sum(count) FROM refusals WHERE reason = 'stranger'"
        ),
        1
    );
}

#[test]
fn mosquitto_with_a_login_admits_the_collector_that_has_it() {
    let Some(mosquitto) = Mosquitto::start(Some("right")) else {
        eprintln!("skipped: mosquitto or mosquitto_passwd is not installed");
        return;
    };
    let login = |password: &str| Some(("collector".to_owned(), Password(password.to_owned())));
    let error = collect(remote(&mosquitto, login("wrong")), [1])
        .thread
        .join()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, FleetError::Mqtt { .. }), "{error}");
    let running = collect(remote(&mosquitto, login("right")), [1]);
    running.wait();
    running.stop();
}

#[test]
fn the_collector_comes_back_when_a_broker_does() {
    let Some(mut mosquitto) = Mosquitto::start(None) else {
        eprintln!("skipped: mosquitto is not installed");
        return;
    };
    let running = collect(remote(&mosquitto, None), [1]);
    running.wait();
    mosquitto.restart();
    running.wait();
    let mut uplink = Uplink::open(mosquitto.address, device(1), "").unwrap();
    uplink.send(&[boot_record(&device(1), 1, 1)]);
    assert_eq!(uplink.acknowledged(), Ok(1));
    let (_folder, collected) = running.stop();
    assert_eq!(collected.stored, 1);
}
