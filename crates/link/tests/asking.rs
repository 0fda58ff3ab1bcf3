//! A link against a device that is nothing but a script, over a Unix socket pair.
#![cfg(unix)]

use dunlin_link::{Link, LinkError, Options, Reason, Refusal, Sample};
use dunlin_wire::frame::{self, Decoder};
use dunlin_wire::identity::{BundleId, DeviceId, FirmwareId};
use dunlin_wire::limits::MAX_FRAME_BYTES;
use dunlin_wire::link::{Info, Limits, Message, PROTOCOL, Records, Reply, Request};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

const PATIENCE: Options = Options {
    connect_timeout: Duration::from_secs(1),
    timeout: Duration::from_millis(100),
    activate_timeout: Duration::from_millis(100),
    attempts: 3,
};

fn line(id: u16, body: Reply<'_>) -> Vec<u8> {
    let (mut message, mut line) = ([0; 4096], vec![0; MAX_FRAME_BYTES]);
    let length = Message { id, body }.encode(&mut message).expect("fits");
    let length = frame::encode(&message[..length], &mut line).expect("fits");
    line.truncate(length);
    line
}

fn info(message_bytes: u32) -> Reply<'static> {
    Reply::Info(Info {
        protocol: PROTOCOL,
        device: DeviceId([1; 8]),
        firmware: FirmwareId([2; 8]),
        target: "script",
        bundle: None,
        lowest_version: 0,
        boot: 1,
        uptime_ms: 5,
        time_ms: None,
        last_sequence: 0,
        acknowledged_sequence: 0,
        limits: Limits {
            bundle_bytes: 100,
            arena_bytes: 0,
            stack_bytes: 0,
            message_bytes,
        },
        stack_used_bytes: 0,
        provisioned: true,
        recording_fault: None,
    })
}

/// Answers every request with the bytes `answer` gives; ends when the link is dropped and returns
/// how many requests came.
fn device(
    mut answer: impl FnMut(u16, Request<'_>) -> Vec<u8> + Send + 'static,
) -> (Link, JoinHandle<usize>) {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    let serving = std::thread::spawn(move || {
        let (mut decoder, mut bytes, mut requests) = (Decoder::new(vec![0; 4096]), [0; 256], 0);
        loop {
            let length = theirs.read(&mut bytes).unwrap_or(0);
            if length == 0 {
                return requests;
            }
            for &byte in &bytes[..length] {
                if let Some(message) = decoder.push(byte).expect("the link sends frames") {
                    let request = Message::<Request<'_>>::decode(message).expect("and messages");
                    requests += 1;
                    let _ = theirs.write_all(&answer(request.id, request.body));
                }
            }
        }
    });
    (Link::over(Box::new(ours), PATIENCE), serving)
}

#[test]
fn a_lost_reply_is_asked_for_again_with_the_same_id() {
    let mut first = None;
    let (mut link, serving) = device(move |id, _| match first.replace(id) {
        None => Vec::new(),
        Some(before) => {
            assert_eq!(before, id);
            line(id, Reply::Time)
        }
    });
    link.set_time(1).expect("answered the second time");
    drop(link);
    assert_eq!(serving.join().expect("no assertion failed"), 2);
}

#[test]
fn garbage_and_replies_to_other_requests_are_passed_over() {
    let (mut link, _) = device(|id, _| {
        let mut bytes = vec![9, 9, 9, 0, 1, 2, 0, 0];
        bytes.extend(line(
            id.wrapping_add(1),
            Reply::CloseWindow { closed: false },
        ));
        bytes.extend(line(id, Reply::CloseWindow { closed: true }));
        bytes
    });
    assert!(link.close_window().expect("found among the garbage"));
}

#[test]
fn silence_ends_after_the_stated_attempts_and_names_what_was_heard() {
    let (mut link, serving) = device(|_, _| vec![5, 5, 0]);
    let error = link.info().expect_err("nobody answers").to_string();
    assert_eq!(
        error,
        "no reply after 3 attempts of 100ms (received last: a frame ended inside a block)"
    );
    drop(link);
    assert_eq!(serving.join().expect("no assertion failed"), 3);
}

#[test]
fn a_refusal_keeps_its_reason() {
    let refusal = Refusal::with(Reason::SelfTestFailed, 0, 3);
    let (mut link, _) = device(move |id, _| line(id, Reply::Refused(refusal)));
    let refused = link.activate().expect_err("refused");
    assert!(matches!(refused, LinkError::Refused(got) if got == refusal));
    assert_eq!(
        refused.to_string(),
        "the device got another result for golden vector 3"
    );
}

#[test]
fn the_wrong_kind_of_reply_is_an_error() {
    let (mut link, _) = device(|id, _| line(id, Reply::Time));
    assert!(matches!(link.info(), Err(LinkError::WrongReply)));
}

#[test]
fn a_closed_port_is_an_error_at_once() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    drop(theirs);
    let mut link = Link::over(Box::new(ours), PATIENCE);
    assert!(matches!(link.info(), Err(LinkError::Io(_))));
}

/// A bundle's header, and something in the place of all the rest.
fn bundle_of(bytes: u32) -> Vec<u8> {
    let mut bundle: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
    bundle[..8].copy_from_slice(&dunlin_wire::bundle::MAGIC);
    bundle[8..12].copy_from_slice(&20_u32.to_le_bytes());
    bundle[12..16].copy_from_slice(&bytes.to_le_bytes());
    bundle
}

#[test]
fn a_transfer_goes_on_where_the_device_says() {
    let bundle = bundle_of(2000);
    let named = dunlin_wire::Digest::of(&bundle[16..36]).0;
    let expected = bundle.clone();
    let (mut link, serving) = device(move |id, request| match request {
        Request::Info => line(id, info(120)),
        Request::PutBegin {
            total_bytes,
            digest,
        } => {
            assert_eq!((total_bytes, digest), (2000, named));
            line(id, Reply::PutBegin { held_bytes: 1500 })
        }
        Request::PutChunk { offset, bytes } => {
            let (from, to) = (offset as usize, offset as usize + bytes.len());
            assert_eq!(bytes, &expected[from..to]);
            line(
                id,
                Reply::PutChunk {
                    held_bytes: to as u32,
                },
            )
        }
        Request::Activate => line(
            id,
            Reply::Activate {
                bundle: BundleId([7; 8]),
            },
        ),
        other => panic!("not asked for: {other:?}"),
    });
    let mut seen = Vec::new();
    link.put_bundle(&bundle, |progress| seen.push(progress.held_bytes))
        .expect("put");
    assert_eq!(seen, [1500, 1600, 1700, 1800, 1900, 2000]);
    assert_eq!(link.activate().expect("activated"), BundleId([7; 8]));
    drop(link);
    assert_eq!(serving.join().expect("no assertion failed"), 8);
}

#[test]
fn a_transfer_that_does_not_move_ends() {
    let (mut link, _) = device(|id, request| match request {
        Request::Info => line(id, info(2304)),
        Request::PutBegin { .. } => line(id, Reply::PutBegin { held_bytes: 10 }),
        _ => line(id, Reply::PutChunk { held_bytes: 10 }),
    });
    assert!(matches!(
        link.put_bundle(&bundle_of(50), |_| ()),
        Err(LinkError::Stuck { held_bytes: 10 })
    ));
}

#[test]
fn what_is_no_bundle_is_not_sent() {
    let (mut link, _) = device(|_, request| panic!("not asked for: {request:?}"));
    assert!(matches!(
        link.put_bundle(&[0; 50], |_| ()),
        Err(LinkError::Bundle(
            dunlin_wire::bundle::BundleError::NotABundle
        ))
    ));
}

#[test]
fn samples_are_sent_in_order_in_as_many_messages_as_they_need() {
    let mut next = 0;
    let (mut link, serving) = device(move |id, request| match request {
        Request::Observe(samples) => {
            let times: Vec<i64> = samples.iter().map(|sample| sample.time_ms).collect();
            assert_eq!(times, (next..next + times.len() as i64).collect::<Vec<_>>());
            next += times.len() as i64;
            line(
                id,
                Reply::Observe {
                    samples: times.len() as u16,
                    windows_closed: 1,
                },
            )
        }
        other => panic!("not asked for: {other:?}"),
    });
    let samples: Vec<Sample<'_>> = (0..300)
        .map(|time_ms| Sample {
            time_ms,
            input: &[0; 20],
        })
        .collect();
    let mut reports = Vec::new();
    let observed = link
        .observe(&samples, |so_far| reports.push(so_far.samples))
        .expect("observed");
    assert_eq!((observed.samples, observed.windows_closed), (300, 3));
    assert_eq!((reports.len(), reports.last()), (3, Some(&300)));
    drop(link);
    assert_eq!(serving.join().expect("no assertion failed"), 3);
}

#[test]
fn what_was_observed_before_a_failure_is_told() {
    let mut messages = 0;
    let (mut link, _) = device(move |id, request| match request {
        Request::Observe(samples) => {
            messages += 1;
            let count = samples.iter().count();
            let observed = Reply::Observe {
                samples: count as u16,
                windows_closed: 0,
            };
            let failed = Refusal::with(Reason::StorageFailed, count as u32, 7);
            line(
                id,
                if messages == 1 {
                    observed
                } else {
                    Reply::Refused(failed)
                },
            )
        }
        other => panic!("not asked for: {other:?}"),
    });
    let samples: Vec<Sample<'_>> = (0..200)
        .map(|time_ms| Sample {
            time_ms,
            input: &[0; 20],
        })
        .collect();
    let mut reports = Vec::new();
    let failed = link.observe(&samples, |so_far| reports.push(so_far.samples));
    assert!(matches!(failed, Err(LinkError::Refused(_))), "{failed:?}");
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[1], reports[0] + 7, "seven of the second message");
}

#[test]
fn a_page_of_records_is_owned() {
    let (mut link, _) = device(|id, request| match request {
        Request::RecordsSince { sequence: 4 } => line(
            id,
            Reply::Records {
                records: Records {
                    packed: &[1, 0, 9, 2, 0, 8, 7],
                },
                more: true,
            },
        ),
        other => panic!("not asked for: {other:?}"),
    });
    let page = link.records_since(4).expect("a page");
    assert_eq!((page.records, page.more), (vec![vec![9], vec![8, 7]], true));
}
