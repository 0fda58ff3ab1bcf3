//! Upload to a real broker: records leave the store on the collector's word and on nothing else.

mod support;

use dunlin_wire::link::Records;
use dunlin_wire::record::Record;
use minicbor::Encoder;
use minicbor::encode::write::Cursor;
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{Client, Connection, MqttOptions, PublishOptions, QoS};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{CREDENTIAL, DEVICE, Folder, PATIENCE, eventually, plan_bundle, records};

const START_MS: i64 = 1_700_000_000_000;

/// A mosquitto that asks for the device's own login.
struct Mosquitto {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Mosquitto {
    /// `None`, with a word on why, where there is no mosquitto.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let passwords = folder.path().join("passwords");
        if !password_file(&passwords) {
            eprintln!("skipped: mosquitto is not installed");
            return None;
        }
        let configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\n",
            passwords.display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), configuration).expect("writes");
        let child = spawn(folder.path())?;
        Some(Self {
            child,
            port,
            folder,
        })
    }

    fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    fn stop(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("ends");
    }

    fn restart(&mut self) {
        self.child = spawn(self.folder.path()).expect("starts again");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path) -> Option<Child> {
    let program = ["mosquitto", "/usr/sbin/mosquitto"]
        .into_iter()
        .find_map(|program| {
            Command::new(program)
                .arg("-c")
                .arg(folder.join("mosquitto.conf"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
    if program.is_none() {
        eprintln!("skipped: mosquitto is not installed");
    }
    program
}

fn password_file(path: &Path) -> bool {
    let password: String = CREDENTIAL
        .password(DEVICE)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let add = |create: &[&str], user: &str, password: &str| {
        let added = Command::new("mosquitto_passwd")
            .args(create)
            .arg("-b")
            .arg(path)
            .args([user, password])
            .stderr(Stdio::null())
            .status();
        added.is_ok_and(|status| status.success())
    };
    add(&["-c"], &DEVICE.to_string(), &password) && add(&[], "collector", "collector")
}

/// The other side: takes what the device publishes and acknowledges when told to.
struct Collector {
    client: Client,
    connection: Connection,
    /// By sequence number; every record must be the same each time it comes.
    got: BTreeMap<u32, Vec<u8>>,
    messages: usize,
}

impl Collector {
    fn connect(port: u16) -> Self {
        let mut options = MqttOptions::new("collector", ("127.0.0.1", port));
        options
            .set_credentials("collector", "collector")
            .set_keep_alive(5);
        options.set_max_packet_size(Some(256 * 1024));
        let (client, connection) = Client::builder(options).capacity(32).build();
        let mut collector = Self {
            client,
            connection,
            got: BTreeMap::new(),
            messages: 0,
        };
        collector.subscribe();
        collector
    }

    fn subscribe(&mut self) {
        self.client
            .subscribe("dunlin/+/records", QoS::AtLeastOnce)
            .expect("queues");
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no broker");
            match self.connection.recv_timeout(Duration::from_millis(100)) {
                Ok(Ok(rumqttc::Event::Incoming(Packet::SubAck(_)))) => return,
                Ok(Err(_)) => std::thread::sleep(Duration::from_millis(100)),
                _ => {}
            }
        }
    }

    /// Takes what comes until `done` says so.
    fn take_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "never happened: {what}; {} came",
                self.got.len()
            );
            let event = self.connection.recv_timeout(Duration::from_millis(50));
            if let Ok(Ok(rumqttc::Event::Incoming(Packet::Publish(publish)))) = event {
                assert_eq!(publish.topic, format!("dunlin/{DEVICE}/records").as_bytes());
                self.take(&publish.payload);
            }
        }
    }

    fn take(&mut self, payload: &[u8]) {
        self.messages += 1;
        for record in (Records { packed: payload }).iter() {
            let (parsed, _) = Record::parse(record).expect("a record");
            assert!(parsed.confirmed_by(&CREDENTIAL));
            let before = self.got.insert(parsed.header().sequence, record.to_vec());
            assert!(
                before.is_none_or(|before| before == record),
                "the same record again"
            );
        }
    }

    fn last(&self) -> u32 {
        self.got.keys().last().copied().unwrap_or(0)
    }

    fn acknowledge(&mut self, up_to: u32, tag: [u8; 16]) {
        let mut body = [0; 32];
        let mut encoder = Encoder::new(Cursor::new(&mut body[..]));
        encoder
            .array(2)
            .and_then(|e| e.u32(up_to))
            .and_then(|e| e.bytes(&tag))
            .expect("fits");
        let length = encoder.writer().position();
        let body = body[..length].to_vec();
        let topic = format!("dunlin/{DEVICE}/ack");
        self.client
            .publish(topic, body, PublishOptions::at_least_once())
            .expect("queues");
    }
}

fn lines(from: i64, count: i64) -> String {
    (from..from + count)
        .map(|at| format!("{},{},{}\n", START_MS + 1000 * at, at % 7, 3))
        .collect()
}

#[test]
fn records_go_up_and_are_deleted_on_the_collectors_word_only() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let mut collector = Collector::connect(broker.port);
    let folder = Folder::new();
    let mut agent = folder.start(&["--stdin", "csv", "--mqtt", &broker.url()]);
    agent.put(&plan_bundle(1));
    agent.write(&lines(0, 45));
    let mut link = agent.link();
    let stored = eventually("four windows", || {
        let stored = records(&mut link);
        (support::windows(&stored).len() == 4).then_some(stored)
    });
    collector.take_until("all records", |collector| {
        collector.got.len() >= stored.len()
    });
    assert_eq!(collector.got.values().cloned().collect::<Vec<_>>(), stored);

    let last = collector.last();
    collector.acknowledge(last, [0; 16]);
    collector.take_until("a refusal", |_| agent.says("an acknowledgement is refused"));
    assert_eq!(link.info().expect("answers").acknowledged_sequence, 0);

    collector.acknowledge(last - 1, CREDENTIAL.acknowledgement(DEVICE, last - 1));
    collector.take_until("the acknowledgement", |_| {
        link.info().expect("answers").acknowledged_sequence == last - 1
    });
    agent.kill();
    collector.got.clear();
    let _again = folder.start(&["--mqtt", &broker.url()]);
    collector.take_until("the next boot", |collector| collector.last() > last);
    assert_eq!(
        collector.got.keys().next(),
        Some(&last),
        "what is safe is not sent again"
    );
}

#[test]
fn what_a_broker_lost_is_sent_again_and_sampling_goes_on_meanwhile() {
    let Some(mut broker) = Mosquitto::start() else {
        return;
    };
    let mut first = Collector::connect(broker.port);
    let folder = Folder::new();
    let mut agent = folder.start(&["--stdin", "csv", "--mqtt", &broker.url()]);
    agent.put(&plan_bundle(1));
    agent.write(&lines(0, 15));
    let mut link = agent.link();
    eventually("a window", || {
        (support::windows(&records(&mut link)).len() == 1).then_some(())
    });
    let held = records(&mut link).len();
    first.take_until("the first records", |collector| collector.got.len() >= held);
    let seen = first.got.clone();
    drop(first);

    broker.stop();
    agent.wait_for("next attempt in");
    agent.write(&lines(15, 30));
    eventually("windows without a broker", || {
        (support::windows(&records(&mut link)).len() == 4).then_some(())
    });
    broker.restart();
    let mut second = Collector::connect(broker.port);
    let stored = records(&mut link);
    second.take_until("all records, the old ones too", |collector| {
        collector.got.len() >= stored.len()
    });
    assert_eq!(second.got.values().cloned().collect::<Vec<_>>(), stored);
    assert!(
        seen.iter()
            .all(|(sequence, record)| second.got.get(sequence) == Some(record))
    );

    let last = second.last();
    second.acknowledge(last, CREDENTIAL.acknowledgement(DEVICE, last));
    second.take_until("the acknowledgement", |_| {
        link.info().expect("answers").acknowledged_sequence == last
    });
    assert!(second.messages < 20, "{} messages", second.messages);
}

#[test]
fn a_stranger_to_the_broker_keeps_its_records_and_tries_again() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    std::fs::write(broker.folder.path().join("passwords"), "").expect("writes");
    let reload = format!("kill -HUP {}", broker.child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &reload])
            .status()
            .expect("sh")
            .success()
    );
    std::thread::sleep(Duration::from_millis(200));
    let folder = Folder::new();
    let mut agent = folder.start(&["--mqtt", &broker.url()]);
    for _ in 0..2 {
        let line = agent.wait_for("next attempt in");
        assert!(line.contains(&broker.url()), "{line}");
    }
    assert!(!records(&mut agent.link()).is_empty());
}
