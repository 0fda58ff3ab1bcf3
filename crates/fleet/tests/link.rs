//! Collecting over a link, from a device that speaks the protocol over TCP.

mod kit;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunlin_fleet::{
    Collected, Collecting, Devices, Event, FleetError, Polling, Store, Until, collect_link,
};
use dunlin_wire::frame::{self, Decoder};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::link::{
    Info, Limits, Message, PROTOCOL, Reason, Records, Refusal, Reply, Request,
};
use dunlin_wire::record::Record;
use kit::*;

const BUNDLE: dunlin_wire::BundleId = dunlin_wire::BundleId([0xb; 8]);
/// Records of one reply.
const PAGE: usize = 2;

/// A device with records, which forgets what is acknowledged with the right tag.
struct Served {
    device: dunlin_fleet::Device,
    /// By sequence number, as the device's store has them, whatever the bytes say.
    records: Vec<(u32, Vec<u8>)>,
    acknowledged: u32,
    time_ms: Option<i64>,
    /// Whether it hangs up in place of carrying out an acknowledgement.
    hangs_up: bool,
}

impl Served {
    fn answer(&mut self, request: Request<'_>, packed_records: &mut Vec<u8>) -> Option<Answer> {
        Some(match request {
            Request::Info => Answer::Info,
            Request::Time { unix_ms } => {
                self.time_ms = Some(unix_ms);
                Answer::Time
            }
            Request::RecordsSince { sequence } => {
                let later: Vec<Vec<u8>> = self
                    .records
                    .iter()
                    .filter(|(number, _)| *number > sequence)
                    .map(|(_, bytes)| bytes.clone())
                    .collect();
                *packed_records = packed(&later[..later.len().min(PAGE)]);
                Answer::Records {
                    more: later.len() > PAGE,
                }
            }
            Request::Acknowledge { .. } if std::mem::take(&mut self.hangs_up) => return None,
            Request::Acknowledge { up_to, tag }
                if self
                    .device
                    .credential
                    .confirms_acknowledgement(self.device.id, up_to, &tag) =>
            {
                self.records.retain(|(number, _)| *number > up_to);
                self.acknowledged = self.acknowledged.max(up_to);
                Answer::Acknowledge
            }
            _ => Answer::Refused,
        })
    }

    fn info(&self) -> Info<'static> {
        Info {
            protocol: PROTOCOL,
            device: self.device.id,
            firmware: dunlin_wire::FirmwareId([9; 8]),
            target: "local",
            bundle: None,
            lowest_version: 0,
            boot: 1,
            uptime_ms: 1,
            time_ms: self.time_ms,
            last_sequence: self
                .records
                .last()
                .map_or(self.acknowledged, |(number, _)| *number),
            acknowledged_sequence: self.acknowledged,
            limits: Limits {
                bundle_bytes: 0,
                arena_bytes: 0,
                stack_bytes: 0,
                message_bytes: MAX_MESSAGE_BYTES as u32,
            },
            stack_used_bytes: 0,
            provisioned: true,
            recording_fault: None,
        }
    }
}

enum Answer {
    Info,
    Time,
    Records { more: bool },
    Acknowledge,
    Refused,
}

fn number_of(record: &[u8]) -> u32 {
    Record::parse(record).unwrap().0.header().sequence
}

fn serve(served: Served) -> (String, Arc<Mutex<Served>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let served = Arc::new(Mutex::new(served));
    let shared = served.clone();
    std::thread::spawn(move || {
        listener
            .incoming()
            .for_each(|stream| drop(talk(stream.unwrap(), &shared)))
    });
    (address, served)
}

fn talk(mut stream: TcpStream, served: &Mutex<Served>) -> std::io::Result<()> {
    let mut decoder = Decoder::new(vec![0; MAX_MESSAGE_BYTES + frame::CHECKSUM_BYTES]);
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        let Ok(Some(message)) = decoder.push(byte[0]) else {
            continue;
        };
        let request = Message::<Request>::decode(message).unwrap();
        let (mut served, mut records) = (served.lock().unwrap(), Vec::new());
        let Some(answer) = served.answer(request.body, &mut records) else {
            return Ok(());
        };
        let body = match answer {
            Answer::Info => Reply::Info(served.info()),
            Answer::Time => Reply::Time,
            Answer::Records { more } => Reply::Records {
                records: Records { packed: &records },
                more,
            },
            Answer::Acknowledge => Reply::Acknowledge {
                up_to: served.acknowledged,
            },
            Answer::Refused => Reply::Refused(Refusal {
                code: Reason::UnknownRequest as u16,
                needed: 0,
                got: 0,
            }),
        };
        let (mut message, mut line) = ([0; MAX_MESSAGE_BYTES], [0; MAX_FRAME_BYTES]);
        let length = Message {
            id: request.id,
            body,
        }
        .encode(&mut message)
        .unwrap();
        let length = frame::encode(&message[..length], &mut line).unwrap();
        stream.write_all(&line[..length])?;
    }
    Ok(())
}

fn served(records: Vec<Vec<u8>>) -> Served {
    numbered(
        records
            .into_iter()
            .map(|record| (number_of(&record), record))
            .collect(),
    )
}

fn numbered(records: Vec<(u32, Vec<u8>)>) -> Served {
    Served {
        device: device(1),
        records,
        acknowledged: 0,
        time_ms: None,
        hangs_up: false,
    }
}

fn collect_once(
    store: &mut Store,
    known: &Devices,
    address: &str,
) -> Result<Collected, FleetError> {
    let stop = AtomicBool::new(false);
    let collecting = Collecting {
        store,
        devices: &known.clone().into(),
        until: Until {
            stop: &stop,
            idle: None,
        },
        show: &mut |_| {},
    };
    collect_link(collecting, address, Polling::Once)
}

#[test]
fn all_pages_are_collected_and_acknowledged() {
    let mut shelf = Shelf::new();
    let (address, served) = serve(served(week(&device(1), BUNDLE, 2)));
    let collected = collect_once(&mut shelf.store, &devices([1]), &address).unwrap();
    assert_eq!(
        (
            collected.stored,
            collected.refused,
            collected.acknowledgements
        ),
        (9, 0, 5)
    );
    let served = served.lock().unwrap();
    assert_eq!((served.records.len(), served.acknowledged), (0, 9));
    assert!(served.time_ms.unwrap() > 1_600_000_000_000);
    assert_eq!(number(&shelf.path(), "SELECT count(*) FROM windows"), 7);
}

#[test]
fn a_link_that_breaks_before_the_acknowledgement_costs_nothing() {
    let mut shelf = Shelf::new();
    let (address, served) = serve(Served {
        hangs_up: true,
        ..served(week(&device(1), BUNDLE, 2))
    });
    let error = collect_once(&mut shelf.store, &devices([1]), &address).unwrap_err();
    assert!(matches!(error, FleetError::Link(_)), "{error}");
    assert_eq!(
        served.lock().unwrap().records.len(),
        9,
        "the device still has them"
    );
    let collected = collect_once(&mut shelf.store, &devices([1]), &address).unwrap();
    assert_eq!((collected.stored, collected.duplicates), (7, 2));
    assert_eq!(number(&shelf.path(), "SELECT count(*) FROM records"), 9);
    assert_eq!(served.lock().unwrap().records.len(), 0);
}

/// Records of a room, the ones at `places` damaged beyond their headers or, where `unreadable`,
/// wholly.
fn damaged(places: &[usize], unreadable: bool) -> Vec<(u32, Vec<u8>)> {
    let mut records: Vec<(u32, Vec<u8>)> = [3, 4, 5, 40, 41, 42, 43]
        .map(|sequence| (sequence, boot_record(&device(1), 1, sequence)))
        .into();
    for &place in places {
        let (sequence, bytes) = &mut records[place];
        if unreadable {
            *bytes = format!("rubbish {sequence}").into_bytes();
        } else {
            *bytes.last_mut().unwrap() ^= 1;
        }
    }
    records
}

#[test]
fn records_damaged_on_the_device_are_kept_in_quarantine_and_passed_over() {
    for unreadable in [false, true] {
        for places in [&[0][..], &[3], &[0, 1, 2, 3], &[2, 3, 4]] {
            let mut shelf = Shelf::new();
            let (address, served) = serve(numbered(damaged(places, unreadable)));
            let collected = collect_once(&mut shelf.store, &devices([1]), &address).unwrap();
            let bad = places.len() as u64;
            assert_eq!(
                (collected.stored, collected.quarantined),
                (7 - bad, bad),
                "{places:?}"
            );
            assert!(collected.refused >= bad);
            assert_eq!(served.lock().unwrap().acknowledged, 43);
            let kept = number(&shelf.path(), "SELECT count(*) FROM quarantine");
            assert_eq!(kept as u64, bad);
        }
    }
}

#[test]
fn a_damaged_record_with_no_good_one_behind_it_stays_on_the_device() {
    let mut shelf = Shelf::new();
    let (address, served) = serve(numbered(damaged(&[5, 6], false)));
    collect_once(&mut shelf.store, &devices([1]), &address).unwrap();
    let served = served.lock().unwrap();
    assert_eq!((served.acknowledged, served.records.len()), (41, 2));
}

#[test]
fn a_stranger_is_not_collected_from() {
    let mut shelf = Shelf::new();
    let (address, served) = serve(served(vec![boot_record(&device(1), 1, 1)]));
    let error = collect_once(&mut shelf.store, &devices([2]), &address).unwrap_err();
    assert!(
        matches!(error, FleetError::Stranger { device } if device == kit::device(1).id),
        "{error}"
    );
    assert_eq!(served.lock().unwrap().acknowledged, 0);
    assert_eq!(number(&shelf.path(), "SELECT count(*) FROM records"), 0);
}

#[test]
fn a_device_without_records_is_no_error() {
    let mut shelf = Shelf::new();
    let (address, _served) = serve(served(Vec::new()));
    assert_eq!(
        collect_once(&mut shelf.store, &devices([1]), &address).unwrap(),
        Collected::default()
    );
    let report = dunlin_fleet::report(&shelf.store, Default::default(), 0).unwrap();
    assert_eq!(report.overview.silent, 0, "it was heard of");
    assert!(
        report.findings[0].contains("0 records so far"),
        "{:?}",
        report.findings
    );
}

#[test]
fn following_goes_on_until_the_device_is_silent() {
    let mut shelf = Shelf::new();
    let (address, served) = serve(Served {
        hangs_up: false,
        ..served(vec![boot_record(&device(1), 1, 1)])
    });
    let (stop, late) = (AtomicBool::new(false), served.clone());
    let mut interruptions = 0;
    let mut show = |event: Event<'_>| match event {
        Event::Ingested { .. } => {
            let mut late = late.lock().unwrap();
            if late.acknowledged == 1 {
                late.records.push((2, boot_record(&device(1), 1, 2)));
                late.hangs_up = true;
            }
        }
        Event::Interrupted { .. } => interruptions += 1,
        _ => {}
    };
    let until = Until {
        stop: &stop,
        idle: Some(Duration::from_secs(1)),
    };
    let polling = Polling::Every(Duration::from_millis(50));
    let collecting = Collecting {
        store: &mut shelf.store,
        devices: &devices([1]).into(),
        until,
        show: &mut show,
    };
    let collected = collect_link(collecting, &address, polling).unwrap();
    assert_eq!(
        (collected.stored, collected.duplicates, interruptions),
        (2, 1, 1)
    );
    assert_eq!(served.lock().unwrap().acknowledged, 2);
}
