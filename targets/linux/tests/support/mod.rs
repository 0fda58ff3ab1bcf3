//! A device process under test: started in a folder of its own, spoken to over its link.

#![allow(dead_code)]

pub mod bench;
#[path = "../../../../crates/runtime/tests/support/bundle.rs"]
pub mod bundle;
pub mod onnx;

use dunlin_link::Link;
use dunlin_wire::DeviceId;
use dunlin_wire::credential::Credential;
use dunlin_wire::provision::{MAX_PROVISION_BYTES, Provision};
use dunlin_wire::record::{Body, Kind, Record, Window};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub const DEVICE: DeviceId = DeviceId([0xa6; 8]);
pub const CREDENTIAL: Credential = Credential([0xc5; 32]);
pub const TARGET: &str = dunlin_agent::options::DEFAULT_TARGET;
/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The bundle of the runtime's own tests, made for this target.
pub fn plan_bundle(version: u32) -> Vec<u8> {
    bundle::Recipe {
        target: TARGET,
        ..bundle::Recipe::version(version)
    }
    .build()
}

/// A provisioned device's folder.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let provision = Provision {
            device: DEVICE,
            credential: CREDENTIAL,
            trusted: [bundle::public_key()].into_iter().collect(),
        };
        let mut block = [0; MAX_PROVISION_BYTES];
        let length = provision.encode(&mut block).expect("fits");
        std::fs::write(folder.path().join("provision.bin"), &block[..length]).expect("writes");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file beside the device's own.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path
    }

    /// An agent with a link, more arguments and standard input open.
    pub fn start(&self, arguments: &[&str]) -> Agent {
        let mut agent = Agent::spawn(self.path(), arguments);
        agent.wait_for_link();
        agent
    }

    /// The slot that was written last.
    pub fn newest_slot(&self) -> &'static str {
        let written = |slot: &&str| {
            let file = std::fs::metadata(self.path().join(slot)).expect("a slot");
            file.modified().expect("a time")
        };
        let slots = ["slot-0.bin", "slot-1.bin"].into_iter();
        slots.max_by_key(written).expect("two slots")
    }

    /// Spoils a byte in the middle of the bundle in a slot.
    pub fn damage(&self, slot: &str) {
        let path = self.path().join(slot);
        let mut content = std::fs::read(&path).expect("a slot");
        content[4096 + 700] ^= 1;
        std::fs::write(&path, content).expect("writes");
    }
}

/// A running agent; killed when dropped.
pub struct Agent {
    child: Child,
    pub stdin: Option<ChildStdin>,
    said: Receiver<String>,
    pub address: String,
}

impl Agent {
    pub fn spawn(state: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin-agent"))
            .args(["run", "--listen", "tcp:127.0.0.1:0", "--state"])
            .arg(state)
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let (tell, said) = channel();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Self {
            stdin: child.stdin.take(),
            child,
            said,
            address: String::new(),
        }
    }

    /// The first line from now on that holds `text`.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.said.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before.push(line),
                Err(_) => break,
            }
        }
        panic!("the agent never said `{text}`, only {before:#?}")
    }

    /// Waits until the link is served and remembers where.
    pub fn wait_for_link(&mut self) {
        let line = self.wait_for("link on ");
        let address = line.split("link on ").nth(1).expect("an address").trim();
        self.address = address.to_owned();
    }

    /// Whether a line that holds `text` has come since it was asked last.
    pub fn says(&mut self, text: &str) -> bool {
        self.said.try_iter().any(|line| line.contains(text))
    }

    pub fn link(&self) -> Link {
        Link::open(&self.address).expect("answers")
    }

    pub fn put(&self, bundle: &[u8]) {
        let mut link = self.link();
        link.put_bundle(bundle, |_| ()).expect("takes the bundle");
        link.activate().expect("runs the bundle");
    }

    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(text.as_bytes()).expect("reads");
        stdin.flush().expect("reads");
    }

    /// A kill that nothing can prepare for.
    pub fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }

    /// Waits for the process to end by itself.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("asks") {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("the agent does not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .expect("sh")
                .success()
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All records on the device, checked for order and tags.
pub fn records(link: &mut Link) -> Vec<Vec<u8>> {
    let (mut all, mut sequence) = (Vec::new(), 0);
    loop {
        let page = link.records_since(sequence).expect("answers");
        for record in page.records {
            let (parsed, _) = Record::parse(&record).expect("a record");
            assert!(parsed.confirmed_by(&CREDENTIAL));
            assert_eq!(parsed.header().device, DEVICE);
            assert!(parsed.header().sequence > sequence, "in order");
            sequence = parsed.header().sequence;
            all.push(record);
        }
        if !page.more {
            return all;
        }
    }
}

pub fn bodies<B: Body>(records: &[Vec<u8>], kind: Kind) -> Vec<B> {
    let parsed = records
        .iter()
        .map(|record| Record::parse(record).expect("a record").0);
    parsed
        .filter(|record| record.header().kind == kind)
        .map(|record| record.body().expect("a body"))
        .collect()
}

pub fn windows(records: &[Vec<u8>]) -> Vec<Window> {
    bodies(records, Kind::WINDOW)
}

/// Waits until `read` gives something.
pub fn eventually<T>(what: &str, mut read: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = read() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never happened: {what}")
}
