//! Devices, records and bundles for tests, made by the code that devices run.
#![allow(dead_code, reason = "each suite uses its own part")]

pub mod mosquitto;
pub mod reports;

use std::path::{Path, PathBuf};

use dunlin_fleet::{Device, Devices, Sender, Store};
use dunlin_monitor::{Monitor, Outcome};
use dunlin_wire::baseline::{Baseline, ChannelReference, FalseAlarms, Reference, Statistic};
use dunlin_wire::bundle::{
    self, Draft, Provenance, Requirements, SectionDraft, SectionKind, Signature,
};
use dunlin_wire::credential::Credential;
use dunlin_wire::golden::{GoldenDraft, Vector};
use dunlin_wire::record::{self, Body, Boot, Event, EventCode, Header, Loss, Window};
use dunlin_wire::schema::{Channel, ElementType, Schema};
use dunlin_wire::{BundleId, DeviceId, FirmwareId, PublicKey, Table};
use ed25519_dalek::{Signer, SigningKey};

pub const DAY_MS: u64 = 86_400_000;
/// 2015-02-11 00:00 UTC.
pub const START_MS: u64 = 1_423_612_800_000;
pub const CHANNELS: [&str; 2] = ["temperature", "CO2 <ppm>"];
pub const LABELS: [&str; 2] = ["empty", "occupied"];

pub fn device(number: u8) -> Device {
    Device {
        id: DeviceId([number; 8]),
        name: format!("room {number}"),
        credential: Credential([number; 32]),
    }
}

pub fn devices(numbers: impl IntoIterator<Item = u8>) -> Devices {
    numbers.into_iter().map(device).collect()
}

pub fn sender(device: &Device) -> Sender<'static> {
    Sender {
        transport: "test",
        device: device.id,
    }
}

pub fn header(device: &Device, boot: u32, sequence: u32, bundle: Option<BundleId>) -> Header {
    let time_ms = Some(START_MS + u64::from(sequence) * DAY_MS);
    Header {
        device: device.id,
        boot,
        sequence,
        bundle,
        firmware: FirmwareId([9; 8]),
        uptime_ms: 1000,
        time_ms,
        ..Header::default()
    }
}

pub fn encoded<B: Body>(device: &Device, header: &Header, body: &B) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    let length = record::encode(header, body, &device.credential, &mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

pub fn boot_record(device: &Device, boot: u32, sequence: u32) -> Vec<u8> {
    encoded(
        device,
        &header(device, boot, sequence, None),
        &Boot::default(),
    )
}

pub fn loss_record(
    device: &Device,
    sequence: u32,
    first_sequence: u32,
    last_sequence: u32,
) -> Vec<u8> {
    encoded(
        device,
        &header(device, 1, sequence, None),
        &Loss {
            first_sequence,
            last_sequence,
        },
    )
}

pub fn event_record(device: &Device, sequence: u32, bundle: BundleId) -> Vec<u8> {
    let event = Event {
        code: EventCode::ACTIVATED,
        detail: 0,
        bundle: Some(bundle),
    };
    encoded(device, &header(device, 1, sequence, Some(bundle)), &event)
}

/// What a device says when so many records could not be written.
pub fn unwritten_record(device: &Device, sequence: u32, records: u32) -> Vec<u8> {
    let event = Event {
        code: EventCode::NOT_WRITTEN,
        detail: records,
        bundle: None,
    };
    encoded(device, &header(device, 1, sequence, None), &event)
}

/// A record of a kind that nobody knows yet, made from a known one by changing the kind in its bytes.
pub fn unknown_record(device: &Device, sequence: u32) -> Vec<u8> {
    use dunlin_wire::credential::Domain;
    let mut bytes = encoded(
        device,
        &header(device, 1, sequence, None),
        &Loss {
            first_sequence: 1,
            last_sequence: 1,
        },
    );
    let covered = bytes.len() - 17;
    let at = bytes.windows(3).position(|head| head == [5, 2, 6]).unwrap();
    bytes[at + 1] = 23;
    let tag = device.credential.tag(Domain::Record, &[&bytes[..covered]]);
    bytes[covered + 1..].copy_from_slice(&tag);
    assert_eq!(record::Record::parse(&bytes).unwrap().0.header().kind.0, 23);
    bytes
}

/// A baseline whose channels were even over 0 to 15 in training.
pub fn baseline() -> Vec<u8> {
    let even = ChannelReference {
        edges: std::array::from_fn(|i| i as f32 + 0.5),
        counts: [90; 16],
        threshold: 0.5,
    };
    let reference = Reference {
        statistic: Statistic::PSI,
        window_ms: DAY_MS,
        minimum_samples: 200,
        false_alarms: FalseAlarms {
            target: 0.05,
            expected: 0.17,
            lower: 0.005,
            upper: 0.52,
            blocks: 5,
            exceedances: 0,
        },
        channels: &[even; 2],
        prediction_counts: &[800, 640],
        prediction_threshold: 0.4,
    };
    let mut bytes = vec![0; 1024];
    let length = reference.encode(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

pub fn schema() -> Schema<'static> {
    let channel = |name| Channel {
        name,
        unit: "K",
        minimum: -10.0,
        maximum: 100.0,
    };
    Schema {
        steps: 1,
        element: ElementType::F32,
        sample_period_ms: 60_000,
        stuck_after: 0,
        channels: CHANNELS.map(channel).into_iter().collect(),
        labels: LABELS.into_iter().collect(),
    }
}

/// What a monitor makes of a day: 288 inputs; `shift` moves the second channel.
pub fn window(day: u64, shift: f32) -> Window {
    let baseline = baseline();
    let mut monitor = Monitor::new(&schema(), Baseline::parse(&baseline).unwrap()).unwrap();
    observe(&mut monitor, day, shift);
    monitor.finish(START_MS + (day + 1) * DAY_MS).unwrap()
}

pub fn observe(monitor: &mut Monitor<'_>, day: u64, shift: f32) {
    for index in 0..288_u64 {
        let value = ((index + day) % 16) as f32;
        let outcome = Outcome::Answer {
            label: Some((index % 9 / 5) as u32),
            confidence: 0.93,
            latency_us: 40 + index as u32,
        };
        let time_ms = START_MS + day * DAY_MS + index * 300_000;
        monitor.observe(time_ms, &[value, (value + shift).min(90.0)], outcome);
    }
}

pub fn window_record(device: &Device, sequence: u32, bundle: BundleId, window: &Window) -> Vec<u8> {
    encoded(device, &header(device, 1, sequence, Some(bundle)), window)
}

/// A week of a device: quiet days, then `drifted` days with the second channel moved.
pub fn week(device: &Device, bundle: BundleId, drifted: u32) -> Vec<Vec<u8>> {
    let mut records = vec![boot_record(device, 1, 1), event_record(device, 2, bundle)];
    for day in 0..7_u32 {
        let shift = if day >= 7 - drifted { 8.0 } else { 0.0 };
        records.push(window_record(
            device,
            day + 3,
            bundle,
            &window(day.into(), shift),
        ));
    }
    records
}

pub fn packed(records: &[Vec<u8>]) -> Vec<u8> {
    records
        .iter()
        .flat_map(|record| {
            (record.len() as u16)
                .to_le_bytes()
                .into_iter()
                .chain(record.iter().copied())
        })
        .collect()
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

pub fn public_key() -> PublicKey {
    PublicKey(signing_key().verifying_key().to_bytes())
}

/// Writes a signed bundle with the schema and baseline above.
pub fn bundle_file(folder: &Path) -> (PathBuf, BundleId) {
    let (schema, golden, baseline) = (schema_section(), golden_section(), baseline());
    let section = |kind, content| SectionDraft { kind, content };
    let sections = [
        section(SectionKind::PLAN, &[0xa5; 40]),
        section(SectionKind::SCHEMA, &schema),
        section(SectionKind::BASELINE, &baseline),
        section(SectionKind::GOLDEN, &golden),
    ];
    let draft = Draft {
        name: "occupancy",
        version: 3,
        target: "local",
        kernel_class: "reference",
        requires: Requirements::default(),
        provenance: Provenance {
            tool: "test",
            ..Provenance::default()
        },
        sections: &sections,
    };
    let mut file = vec![0; bundle::assembled_bytes(&draft).unwrap()];
    let sign = |message: &[u8]| Signature(signing_key().sign(message).to_bytes());
    let assembled = bundle::assemble(&draft, public_key().id(), &mut file, sign).unwrap();
    let path = folder.join("occupancy-local.bundle");
    std::fs::write(&path, &file).unwrap();
    (path, assembled.id)
}

fn schema_section() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let length = schema().encode(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

fn golden_section() -> Vec<u8> {
    let outputs: Table<&[u8], 4> = [&[0; 4][..], &[0; 8]].into_iter().collect();
    let draft = GoldenDraft {
        tolerance: 0.0,
        elements: &[ElementType::I32, ElementType::F32],
        vectors: &[Vector {
            input: &[0; 8],
            outputs,
        }],
    };
    let mut bytes = vec![0; 1024];
    let length = draft.encode(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// A store in a folder, with what is needed to fill it.
pub struct Shelf {
    pub folder: tempfile::TempDir,
    pub store: Store,
}

impl Shelf {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("fleet.sqlite")).unwrap();
        Self { folder, store }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("fleet.sqlite")
    }

    /// Everything in every table, in an order that does not depend on how it came.
    pub fn dump(&self) -> String {
        dump(&self.path())
    }
}

pub fn dump(path: &Path) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut tables: Vec<String> = column(
        &connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    tables
        .iter_mut()
        .for_each(|table| *table = format!("{table}\n{}\n", rows(&connection, table).join("\n")));
    tables.concat()
}

fn rows(connection: &rusqlite::Connection, table: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM {table}"))
        .unwrap();
    let columns = statement.column_count();
    let read = |row: &rusqlite::Row<'_>| {
        Ok((0..columns)
            .map(|at| format!("{:?}", row.get_ref_unwrap(at)))
            .collect::<Vec<_>>()
            .join(" "))
    };
    let mut rows: Vec<String> = statement
        .query_map([], read)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    rows.sort();
    rows
}

pub fn column(connection: &rusqlite::Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

pub fn number(path: &Path, query: &str) -> i64 {
    rusqlite::Connection::open(path)
        .unwrap()
        .query_row(query, [], |row| row.get(0))
        .unwrap()
}
