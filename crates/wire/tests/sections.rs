//! Schema, golden vectors and bundle from outside: rules, golden bytes, altered bytes.

use dunlin_wire::bundle::{
    self, BundleError, Draft, Provenance, Requirements, SectionDraft, SectionKind, Signature,
};
use dunlin_wire::golden::{Golden, GoldenDraft, GoldenError, Vector};
use dunlin_wire::limits::{MAX_GOLDEN_VECTORS, MAX_INPUT_ELEMENTS};
use dunlin_wire::schema::{Channel, ElementType, Schema, SchemaError};
use dunlin_wire::{Digest, PublicKey, Table};
use ed25519_dalek::{Signer, SigningKey};

fn channel(name: &str) -> Channel<'_> {
    Channel {
        name,
        unit: "ppm",
        minimum: 0.0,
        maximum: 5000.0,
    }
}

fn schema() -> Schema<'static> {
    Schema {
        steps: 2,
        element: ElementType::F32,
        sample_period_ms: 60_000,
        stuck_after: 30,
        channels: ["CO2", "VOC"].map(channel).into_iter().collect(),
        labels: ["empty", "occupied"].into_iter().collect(),
    }
}

fn encoded(schema: &Schema<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let length = schema.encode(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

const ELEMENTS: [ElementType; 2] = [ElementType::I32, ElementType::F32];
const LABEL: [u8; 4] = 1_i32.to_le_bytes();
const PROBABILITIES: [u8; 8] = [0, 0, 0x80, 0x3e, 0, 0, 0x40, 0x3f];
const INPUTS: [[u8; 16]; 2] = [[1; 16], [2; 16]];

fn vectors() -> [Vector<'static>; 2] {
    let outputs = [&LABEL[..], &PROBABILITIES].into_iter().collect();
    [
        Vector {
            input: &INPUTS[0],
            outputs,
        },
        Vector {
            input: &INPUTS[1],
            outputs,
        },
    ]
}

fn encoded_golden(draft: &GoldenDraft<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let length = draft.encode(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

fn golden() -> Vec<u8> {
    encoded_golden(&GoldenDraft {
        tolerance: 0.0,
        elements: &ELEMENTS,
        vectors: &vectors(),
    })
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn trusted() -> [PublicKey; 1] {
    [PublicKey(key().verifying_key().to_bytes())]
}

fn sample_bundle() -> Vec<u8> {
    let (schema, golden) = (encoded(&schema()), golden());
    let draft = Draft {
        name: "occupancy",
        version: 7,
        target: "qemu-cortex-m4f",
        kernel_class: "reference",
        requires: Requirements {
            plan_format: 1,
            arena_bytes: 4096,
            stack_bytes: 512,
            kernels: [0x0001_0100, 0x0028_0102].into_iter().collect(),
        },
        provenance: Provenance {
            recipe: Digest([1; 32]),
            data: Digest([2; 32]),
            model: Digest([3; 32]),
            tool: "dunlin 0.1.0",
        },
        sections: &[
            SectionDraft {
                kind: SectionKind::PLAN,
                content: &[0xa5; 37],
            },
            SectionDraft {
                kind: SectionKind::SCHEMA,
                content: &schema,
            },
            SectionDraft {
                kind: SectionKind::BASELINE,
                content: &[7; 5],
            },
            SectionDraft {
                kind: SectionKind::GOLDEN,
                content: &golden,
            },
        ],
    };
    let mut file = vec![0; bundle::assembled_bytes(&draft).unwrap()];
    bundle::assemble(&draft, trusted()[0].id(), &mut file, |message| {
        Signature(key().sign(message).to_bytes())
    })
    .unwrap();
    file
}

#[test]
fn schema_bytes_of_format_1_are_kept() {
    let kept = include_bytes!("../golden/schema-1.bin");
    assert_eq!(Schema::parse(kept), Ok(schema()));
    assert_eq!(encoded(&schema()), kept);
}

#[test]
fn golden_bytes_of_format_1_are_kept() {
    let kept = include_bytes!("../golden/golden-1.bin");
    assert!(Golden::parse(kept).unwrap().vectors().eq(vectors()));
    assert_eq!(golden(), kept);
}

#[test]
fn bundle_bytes_of_format_1_are_kept() {
    let kept = include_bytes!("../golden/bundle-1.bin");
    let bundle = bundle::verify(kept, &trusted()).unwrap();
    assert_eq!(bundle.id().to_string(), "418ad0ce66bb7bcf");
    assert_eq!(bundle.key().to_string(), "b600306cfa76723f");
    assert_eq!(sample_bundle(), kept);
}

#[test]
fn element_types_are_pinned() {
    assert_eq!(
        [ElementType::F32, ElementType::I32].map(|element| (element.0, element.bytes())),
        [(1, Some(4)), (2, Some(4))]
    );
    assert_eq!(ElementType(3).bytes(), None);
}

#[test]
fn a_schema_is_held_to_each_of_its_rules() {
    let many = MAX_INPUT_ELEMENTS as u32;
    let with_channel = |channel| Schema {
        channels: [channel].into_iter().collect(),
        ..schema()
    };
    let cases = [
        (
            Schema {
                element: ElementType::I32,
                ..schema()
            },
            SchemaError::UnsupportedElement {
                got: ElementType::I32,
            },
        ),
        (
            Schema {
                steps: 0,
                ..schema()
            },
            SchemaError::InputSize {
                steps: 0,
                channels: 2,
            },
        ),
        (
            Schema {
                steps: many,
                ..schema()
            },
            SchemaError::InputSize {
                steps: many,
                channels: 2,
            },
        ),
        (
            Schema {
                steps: u32::MAX,
                ..schema()
            },
            SchemaError::InputSize {
                steps: u32::MAX,
                channels: 2,
            },
        ),
        (
            Schema {
                channels: Table::default(),
                ..schema()
            },
            SchemaError::InputSize {
                steps: 2,
                channels: 0,
            },
        ),
        (
            with_channel(channel("")),
            SchemaError::ChannelName { index: 0 },
        ),
        (
            with_channel(channel("a name of thirty-three characters")),
            SchemaError::ChannelName { index: 0 },
        ),
        (
            with_channel(Channel {
                unit: "\u{1b}[31m",
                ..channel("CO2")
            }),
            SchemaError::ChannelName { index: 0 },
        ),
        (
            with_channel(Channel {
                minimum: 2.0,
                maximum: 1.0,
                ..channel("CO2")
            }),
            SchemaError::ChannelRange { index: 0 },
        ),
        (
            with_channel(Channel {
                minimum: f32::NAN,
                ..channel("CO2")
            }),
            SchemaError::ChannelRange { index: 0 },
        ),
        (
            Schema {
                labels: ["a", ""].into_iter().collect(),
                ..schema()
            },
            SchemaError::LabelName { index: 1 },
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(Schema::parse(&encoded(&schema)), Err(expected));
    }
    assert!(
        with_channel(Channel {
            minimum: f32::NEG_INFINITY,
            maximum: f32::INFINITY,
            ..channel("CO2")
        })
        .check()
        .is_ok()
    );
}

#[test]
fn more_channels_than_the_format_allows_are_refused() {
    let mut bytes = vec![0xa1, 0x04, 0x91];
    bytes.extend([0xa0; 17]);
    assert!(matches!(
        Schema::parse(&bytes),
        Err(SchemaError::Malformed { .. })
    ));
}

#[test]
fn a_value_at_the_edge_of_its_range_is_in_range() {
    let co2 = channel("CO2");
    assert!(co2.contains(0.0) && co2.contains(5000.0));
    assert!(!co2.contains(-0.1) && !co2.contains(5000.5) && !co2.contains(f32::NAN));
}

#[test]
fn a_golden_section_is_held_to_each_of_its_rules() {
    let two = vectors();
    let draft = GoldenDraft {
        tolerance: 0.0,
        elements: &ELEMENTS,
        vectors: &two,
    };
    let short_input = [
        two[0],
        Vector {
            input: &[0; 8],
            ..two[1]
        },
    ];
    let odd_output = [Vector {
        outputs: [&LABEL[..3], &PROBABILITIES].into_iter().collect(),
        ..two[0]
    }];
    let one_output = [Vector {
        outputs: [&LABEL[..]].into_iter().collect(),
        ..two[0]
    }];
    let many = [two[0]; MAX_GOLDEN_VECTORS + 1];
    let cases = [
        (
            GoldenDraft {
                tolerance: -1.0,
                ..draft
            },
            GoldenError::Tolerance,
        ),
        (
            GoldenDraft {
                tolerance: f32::NAN,
                ..draft
            },
            GoldenError::Tolerance,
        ),
        (
            GoldenDraft {
                tolerance: f32::INFINITY,
                ..draft
            },
            GoldenError::Tolerance,
        ),
        (
            GoldenDraft {
                vectors: &[],
                ..draft
            },
            GoldenError::VectorCount { got: 0 },
        ),
        (
            GoldenDraft {
                vectors: &many,
                ..draft
            },
            GoldenError::VectorCount {
                got: MAX_GOLDEN_VECTORS + 1,
            },
        ),
        (
            GoldenDraft {
                elements: &[ElementType::I32, ElementType(9)],
                ..draft
            },
            GoldenError::UnsupportedElement {
                got: ElementType(9),
            },
        ),
        (
            GoldenDraft {
                vectors: &short_input,
                ..draft
            },
            GoldenError::Shape { vector: 1 },
        ),
        (
            GoldenDraft {
                vectors: &odd_output,
                ..draft
            },
            GoldenError::Shape { vector: 0 },
        ),
        (
            GoldenDraft {
                vectors: &one_output,
                ..draft
            },
            GoldenError::Shape { vector: 0 },
        ),
        (
            GoldenDraft {
                elements: &[],
                ..draft
            },
            GoldenError::Shape { vector: 0 },
        ),
    ];
    for (draft, expected) in cases {
        assert_eq!(Golden::parse(&encoded_golden(&draft)), Err(expected));
    }
}

#[test]
fn answers_are_accepted_by_bytes_or_within_the_tolerance() {
    let exact = golden();
    let exact = Golden::parse(&exact).unwrap();
    let loose = encoded_golden(&GoldenDraft {
        tolerance: 0.01,
        elements: &ELEMENTS,
        vectors: &vectors(),
    });
    let loose = Golden::parse(&loose).unwrap();
    let near = [0.255_f32.to_le_bytes(), 0.745_f32.to_le_bytes()].concat();
    let far = [0.27_f32.to_le_bytes(), 0.73_f32.to_le_bytes()].concat();
    let not_a_number = [f32::NAN.to_le_bytes(), 0.75_f32.to_le_bytes()].concat();

    assert!(exact.accepts(1, &PROBABILITIES, &PROBABILITIES));
    assert!(!exact.accepts(1, &PROBABILITIES, &near));
    assert!(loose.accepts(1, &PROBABILITIES, &near));
    assert!(!loose.accepts(1, &PROBABILITIES, &far));
    assert!(!loose.accepts(1, &PROBABILITIES, &not_a_number));
    assert!(!loose.accepts(1, &PROBABILITIES, &near[..4]));
    assert!(
        !loose.accepts(0, &LABEL, &0_i32.to_le_bytes()),
        "labels have no tolerance"
    );
}

/// A fixed sequence of mutations: flips, cuts, overwrites with edge values, insertions.
struct Mutations(u64);

impl Mutations {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn mutate(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.next(4) {
            let at = self.next(bytes.len());
            match self.next(5) {
                0 => bytes[at] ^= 1 << self.next(8),
                1 => bytes[at] = [0x00, 0x1b, 0x5f, 0x7f, 0x9b, 0xbf, 0xf9, 0xff][self.next(8)],
                2 => bytes.insert(at, self.next(256) as u8),
                3 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }
}

const ROUNDS: usize = 20_000;

#[test]
fn a_mutated_schema_is_refused_or_keeps_every_rule() {
    let original = encoded(&schema());
    let mut mutations = Mutations(0x5eed);
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        if let Ok(schema) = Schema::parse(&mutations.mutate(&original)) {
            assert_eq!(schema.check(), Ok(()));
            accepted += 1;
        }
    }
    assert!(
        (1..ROUNDS / 2).contains(&accepted),
        "{accepted} of {ROUNDS} accepted"
    );
}

#[test]
fn a_mutated_golden_section_is_refused_or_keeps_every_rule() {
    let original = golden();
    let mut mutations = Mutations(0x5eed);
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let bytes = mutations.mutate(&original);
        if let Ok(golden) = Golden::parse(&bytes) {
            assert_eq!(golden.vectors().count(), golden.len());
            assert!(
                golden
                    .vectors()
                    .all(|vector| vector.outputs.len() == golden.elements().len())
            );
            accepted += 1;
        }
    }
    assert!(
        (1..ROUNDS * 3 / 4).contains(&accepted),
        "{accepted} of {ROUNDS} accepted"
    );
}

#[test]
fn a_mutated_bundle_is_refused() {
    let original = sample_bundle();
    let mut mutations = Mutations(0x5eed);
    let mut refused = 0;
    for _ in 0..ROUNDS / 4 {
        let bytes = mutations.mutate(&original);
        if bytes != original {
            assert!(bundle::verify(&bytes, &trusted()).is_err());
            refused += 1;
        }
    }
    assert!(refused > ROUNDS / 5);
    assert!(matches!(
        bundle::verify(&original, &[]),
        Err(BundleError::UnknownKey { .. })
    ));
}
