extern crate std;
use super::*;
use crate::BundleId;
use crate::identity::{DeviceId, FirmwareId};
use crate::limits::{MAX_MESSAGE_BYTES, MAX_RECORD_BYTES};
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| std::format!("{byte:02x}"))
        .collect()
}

const INFO_EXAMPLE: Info<'static> = Info {
    protocol: PROTOCOL,
    device: DeviceId([1, 2, 3, 4, 5, 6, 7, 8]),
    firmware: FirmwareId([9; 8]),
    target: "qemu-cortex-m4f",
    bundle: Some(ActiveBundle {
        id: BundleId([3; 8]),
        name: "occupancy",
        version: 4,
        input_bytes: 20,
        output_bytes: 12,
    }),
    lowest_version: 4,
    boot: 2,
    uptime_ms: 123_456,
    time_ms: None,
    last_sequence: 17,
    acknowledged_sequence: 12,
    limits: Limits {
        bundle_bytes: 1 << 18,
        arena_bytes: 65_536,
        stack_bytes: 8192,
        message_bytes: 2304,
    },
    stack_used_bytes: 0,
    provisioned: true,
    recording_fault: None,
};

fn requests() -> Vec<Request<'static>> {
    vec![
        Request::Info,
        Request::PutBegin {
            total_bytes: 70_000,
            digest: [0xaa; 32],
        },
        Request::PutChunk {
            offset: 2048,
            bytes: &[1, 2, 3],
        },
        Request::Activate,
        Request::RecordsSince { sequence: 12 },
        Request::Acknowledge {
            up_to: 17,
            tag: [0x55; 16],
        },
        Request::Time { unix_ms: -1 },
        Request::Observe(Samples {
            input_bytes: 4,
            packed: &[1, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9],
        }),
        Request::Infer {
            input: &[0, 0, 128, 63],
        },
        Request::CloseWindow,
        Request::Unknown { code: 200 },
    ]
}

fn replies() -> Vec<Reply<'static>> {
    vec![
        Reply::Refused(Refusal::with(Reason::ArenaTooSmall, 70_000, 65_536)),
        Reply::Info(INFO_EXAMPLE),
        Reply::PutBegin { held_bytes: 4096 },
        Reply::PutChunk { held_bytes: 6144 },
        Reply::Activate {
            bundle: BundleId([3; 8]),
        },
        Reply::Records {
            records: Records {
                packed: &[2, 0, 7, 8, 0, 0],
            },
            more: true,
        },
        Reply::Acknowledge { up_to: 17 },
        Reply::Time,
        Reply::Observe {
            samples: 80,
            windows_closed: 1,
        },
        Reply::Infer {
            output: &[1, 0, 0, 0],
            latency_us: 312,
        },
        Reply::CloseWindow { closed: true },
        Reply::Unknown { code: 200 },
    ]
}

fn encoded<T>(
    message: T,
    encode: impl Fn(&T, &mut [u8]) -> Result<usize, MessageError>,
) -> Vec<u8> {
    let mut out = [0; MAX_MESSAGE_BYTES];
    let length = encode(&message, &mut out).expect("fits");
    out[..length].to_vec()
}

#[test]
fn golden_requests() {
    let golden = [
        "8319010001f6",
        concat!(
            "8319010002821a00011170",
            "5820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        ),
        "83190100038219080043010203",
        "8319010004f6",
        "83190100050c",
        "831901000682115055555555555555555555555555555555",
        "831901000720",
        "831901000882044c010000000000000009090909",
        "8319010009440000803f",
        "831901000af6",
        "8319010018c8f6",
    ];
    for (request, golden) in requests().into_iter().zip(golden) {
        let bytes = encoded(
            Message {
                id: 256,
                body: request,
            },
            Message::<Request>::encode,
        );
        assert_eq!(hex(&bytes), golden, "{request:?}");
    }
    assert_eq!(requests().len(), golden.len());
}

#[test]
fn golden_info_of_a_board_without_an_identity() {
    let info = Info {
        provisioned: false,
        recording_fault: Some(Refusal::new(Reason::Unprovisioned)),
        ..INFO_EXAMPLE
    };
    let body = Reply::Info(info);
    let bytes = encoded(Message { id: 1, body }, Message::<Reply>::encode);
    assert!(hex(&bytes).starts_with("830101ae0001"), "{}", hex(&bytes));
    assert!(
        hex(&bytes).ends_with("0c000df40e8318600000"),
        "{}",
        hex(&bytes)
    );
    assert_eq!(
        Message::<Reply<'_>>::decode(&bytes).map(|reply| reply.body),
        Ok(body)
    );
}

#[test]
fn golden_replies() {
    let golden = [
        "8301008318331a000111701a00010000",
        concat!(
            "830101ad00010148010203040506070802480909090909090909036f71656d752d636f727465782d6d34",
            "6604a50048030303030303030301696f63637570616e637902040314040c05040602071a0001e2400911",
            "0a0c0ba4001a00040000011a0001000002192000031909000c000df5",
        ),
        "830102191000",
        "830103191800",
        "830104480303030303030303",
        "83010582f546020007080000",
        "83010611",
        "830107f6",
        "83010882185001",
        "830109824401000000190138",
        "83010af5",
        "830118c8f6",
    ];
    for (reply, golden) in replies().into_iter().zip(golden) {
        let bytes = encoded(Message { id: 1, body: reply }, Message::<Reply>::encode);
        assert_eq!(hex(&bytes), golden, "{reply:?}");
    }
    assert_eq!(replies().len(), golden.len());
}

#[test]
fn decoding_undoes_encoding() {
    for body in requests() {
        let bytes = encoded(Message { id: 9, body }, Message::<Request>::encode);
        assert_eq!(
            Message::<Request>::decode(&bytes),
            Ok(Message { id: 9, body })
        );
    }
    for body in replies() {
        let bytes = encoded(Message { id: 65_535, body }, Message::<Reply>::encode);
        assert_eq!(
            Message::<Reply>::decode(&bytes),
            Ok(Message { id: 65_535, body })
        );
    }
}

#[test]
fn a_message_cut_anywhere_is_malformed() {
    for body in requests() {
        let bytes = encoded(Message { id: 9, body }, Message::<Request>::encode);
        for length in 0..bytes.len() {
            assert!(
                Message::<Request>::decode(&bytes[..length]).is_err(),
                "{body:?} cut to {length}"
            );
        }
    }
}

#[test]
fn a_malformed_body_still_tells_the_id() {
    let bytes = [0x83, 0x19, 0x01, 0x00, 0x05, 0xf5];
    assert!(matches!(
        Message::<Request>::decode(&bytes),
        Err(MessageError::Malformed { id: Some(256), .. })
    ));
}

#[test]
fn samples_that_do_not_divide_are_malformed() {
    let samples = Samples {
        input_bytes: 5,
        packed: &[0; 12],
    };
    let bytes = encoded(
        Message {
            id: 1,
            body: Request::Observe(samples),
        },
        Message::<Request>::encode,
    );
    assert!(Message::<Request>::decode(&bytes).is_err());
}

#[test]
fn records_that_reach_past_the_block_are_malformed() {
    let records = Records { packed: &[4, 0, 1] };
    let bytes = encoded(
        Message {
            id: 1,
            body: Reply::Records {
                records,
                more: false,
            },
        },
        Message::<Reply>::encode,
    );
    assert!(Message::<Reply>::decode(&bytes).is_err());
}

#[test]
fn the_longest_record_fits_a_message() {
    let mut packed = vec![0; RECORD_LENGTH_BYTES + MAX_RECORD_BYTES];
    packed[..2].copy_from_slice(&(MAX_RECORD_BYTES as u16).to_le_bytes());
    let body = Reply::Records {
        records: Records { packed: &packed },
        more: true,
    };
    let bytes = encoded(Message { id: 65_535, body }, Message::<Reply>::encode);
    assert!(bytes.len() <= packed.len() + MAX_OVERHEAD_BYTES);
}

#[test]
fn every_reason_keeps_its_code() {
    let codes: Vec<u16> = Reason::ALL.iter().map(|&reason| reason as u16).collect();
    assert_eq!(
        codes,
        [
            1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42,
            43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64,
            65, 80, 81, 82, 96, 97
        ]
    );
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    assert_eq!(
        Refusal::with(Reason::ArenaTooSmall, 70_000, 65_536).to_string(),
        "the device has an arena of 65536 bytes, the plan needs 70000"
    );
    assert_eq!(
        Refusal {
            code: 999,
            needed: 1,
            got: 2
        }
        .to_string(),
        "the device refused with code 999 (1, 2)"
    );
}

#[test]
fn a_message_that_does_not_fit_is_refused() {
    let message = Message {
        id: 1,
        body: Request::Infer { input: &[0; 40] },
    };
    assert_eq!(
        message.encode(&mut [0; 20]),
        Err(MessageError::TooLong { limit: 20 })
    );
}

proptest! {
    #[test]
    fn any_bytes_give_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::<Request>::decode(&bytes);
        let _ = Message::<Reply>::decode(&bytes);
    }

    #[test]
    fn a_flipped_byte_gives_a_message_or_an_error(which in 0usize..11, at in any::<proptest::sample::Index>(), flip in 1u8..=255) {
        let mut bytes = encoded(Message { id: 3, body: requests()[which] }, Message::<Request>::encode);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(Message { body: Request::Observe(samples), .. }) = Message::<Request>::decode(&bytes) {
            prop_assert!(samples.iter().all(|sample| sample.input.len() == usize::from(samples.input_bytes)));
        }
    }
}
