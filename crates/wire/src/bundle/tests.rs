extern crate std;

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

use super::layout::align;
use super::*;
use crate::Table;
use crate::golden::{GoldenDraft, Vector};
use crate::schema::{Channel, ElementType};

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn public_key(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

fn schema_section() -> Vec<u8> {
    let channel = |name| Channel {
        name,
        unit: "ppm",
        minimum: 0.0,
        maximum: 5000.0,
    };
    let schema = Schema {
        steps: 2,
        element: ElementType::F32,
        sample_period_ms: 60_000,
        stuck_after: 30,
        channels: ["co2", "voc"].map(channel).into_iter().collect(),
        labels: ["empty", "occupied"].into_iter().collect(),
    };
    let mut buffer = vec![0; 1024];
    let length = schema.encode(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

fn golden_section() -> Vec<u8> {
    let label = 1_i32.to_le_bytes();
    let probabilities = [0.25_f32.to_le_bytes(), 0.75_f32.to_le_bytes()].concat();
    let outputs: Table<&[u8], 4> = [&label[..], &probabilities].into_iter().collect();
    let vectors = [
        Vector {
            input: &[1; 16],
            outputs,
        },
        Vector {
            input: &[2; 16],
            outputs,
        },
    ];
    let draft = GoldenDraft {
        tolerance: 0.0,
        elements: &[ElementType::I32, ElementType::F32],
        vectors: &vectors,
    };
    let mut buffer = vec![0; 1024];
    let length = draft.encode(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

fn provenance() -> Provenance<'static> {
    Provenance {
        recipe: Digest([1; 32]),
        data: Digest([2; 32]),
        model: Digest([3; 32]),
        tool: "dunlin 0.1.0",
    }
}

fn section<'a>(kind: SectionKind, content: &'a [u8]) -> SectionDraft<'a> {
    SectionDraft { kind, content }
}

fn draft<'a>(sections: &'a [SectionDraft<'a>]) -> Draft<'a> {
    Draft {
        name: "occupancy",
        version: 7,
        target: "qemu-cortex-m4f",
        kernel_class: "reference",
        requires: Requirements {
            plan_format: 1,
            arena_bytes: 4096,
            stack_bytes: 512,
            kernels: [1, 2, 40].into_iter().collect(),
        },
        provenance: provenance(),
        sections,
    }
}

fn build(draft: &Draft<'_>, key: &SigningKey) -> Vec<u8> {
    let mut file = vec![0xee; assembled_bytes(draft).unwrap()];
    let sign = |message: &[u8]| Signature(key.sign(message).to_bytes());
    let assembled = assemble(draft, public_key(key).id(), &mut file, sign).unwrap();
    assert_eq!(assembled.length, file.len());
    file
}

const PLAN: [u8; 37] = [0xa5; 37];
const BASELINE: [u8; 5] = [7; 5];

fn sample() -> Vec<u8> {
    let (schema, golden) = (schema_section(), golden_section());
    build(
        &draft(&[
            section(SectionKind::PLAN, &PLAN),
            section(SectionKind::SCHEMA, &schema),
            section(SectionKind::BASELINE, &BASELINE),
            section(SectionKind::GOLDEN, &golden),
        ]),
        &signing_key(),
    )
}

fn check(bytes: &[u8]) -> Result<Bundle<'_>, BundleError> {
    verify(bytes, &[public_key(&signing_key())])
}

/// Signs `payload` as if it were a manifest and puts `sections` behind it.
fn forge(payload: &[u8], sections: &[u8]) -> Vec<u8> {
    let key = signing_key();
    let mut signed = vec![0; cose::encoded_bytes(payload.len())];
    let mut scratch = vec![0; payload.len() + 64];
    let sign = |message: &[u8]| Signature(key.sign(message).to_bytes());
    let unsigned = cose::Unsigned {
        payload,
        key: public_key(&key).id(),
    };
    cose::sign(unsigned, &mut signed, &mut scratch, sign).unwrap();
    container(&signed, sections)
}

fn container(signed: &[u8], sections: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.extend((signed.len() as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(signed);
    if !sections.is_empty() {
        file.resize(align(file.len()).unwrap(), 0);
        file.extend(sections);
    }
    let total = file.len() as u32;
    file[12..16].copy_from_slice(&total.to_le_bytes());
    file
}

/// A manifest changed by `edit`, signed again, in front of the sample's own sections.
fn resigned(edit: impl FnOnce(&mut Manifest<'_>)) -> Vec<u8> {
    let file = sample();
    let mut manifest = *check(&file).unwrap().manifest();
    let first = manifest.sections[0].offset as usize;
    edit(&mut manifest);
    let mut payload = [0; 4096];
    let length = crate::encode::into(&mut payload, &manifest).unwrap();
    forge(&payload[..length], &file[first..])
}

#[test]
fn what_was_assembled_is_read_back() {
    let file = sample();
    let bundle = check(&file).unwrap();
    assert_eq!(bundle.manifest().name, "occupancy");
    assert_eq!(bundle.manifest().version, 7);
    assert_eq!(bundle.manifest().target, "qemu-cortex-m4f");
    assert_eq!(bundle.manifest().kernel_class, "reference");
    assert_eq!(*bundle.manifest().requires.kernels, [1, 2, 40]);
    assert_eq!(bundle.manifest().provenance, provenance());
    assert_eq!(bundle.plan(), Some(&PLAN[..]));
    assert_eq!(bundle.baseline(), Some(&BASELINE[..]));
    assert_eq!(bundle.onnx(), None);
    assert_eq!(bundle.schema().unwrap().channels[1].name, "voc");
    assert_eq!(bundle.golden().unwrap().len(), 2);
    assert_eq!(bundle.key(), public_key(&signing_key()).id());
    assert_eq!(
        bundle.id().0,
        Digest::of(signed_bytes(&file).unwrap()).0[..8]
    );
    assert!(
        bundle
            .manifest()
            .sections
            .iter()
            .all(|section| section.offset % 16 == 0)
    );
}

#[test]
fn every_altered_byte_is_refused() {
    let file = sample();
    let mut refused = 0;
    for position in 0..file.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut altered = file.clone();
            altered[position] ^= mask;
            assert!(check(&altered).is_err(), "byte {position} with {mask:#x}");
            refused += 1;
        }
    }
    assert_eq!(refused, 3 * file.len());
    assert!(check(&file).is_ok());
}

#[test]
fn a_head_is_verified_before_the_sections_have_come() {
    let file = sample();
    let trusted = [public_key(&signing_key())];
    let end = HEADER_BYTES + signed_bytes(&file).expect("a bundle").len();
    let whole = check(&file).expect("verifies");
    let head = verify_head(&file[..end], file.len(), &trusted).expect("verifies");
    assert_eq!((head.id(), head.manifest()), (whole.id(), whole.manifest()));
    assert_eq!(digest(&file), Ok(head.digest()));
    for cut in 0..end {
        assert!(
            verify_head(&file[..cut], file.len(), &trusted).is_err(),
            "{cut} bytes"
        );
    }
    for bit in 0..8 * end {
        let mut altered = file[..end].to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(
            verify_head(&altered, file.len(), &trusted).is_err(),
            "bit {bit}"
        );
    }
    let (total, last) = (file.len(), file.len() - 1);
    assert_eq!(
        verify_head(&file[..end], last, &trusted),
        Err(BundleError::Truncated {
            needed: total,
            got: last
        })
    );
    assert_eq!(
        verify_head(&file[..end - 1], total, &trusted),
        Err(BundleError::Truncated {
            needed: end,
            got: end - 1
        })
    );
}

#[test]
fn every_truncation_is_refused() {
    let file = sample();
    for length in 0..file.len() {
        let error = check(&file[..length]).unwrap_err();
        let header_cut = length < HEADER_BYTES;
        let needed = if header_cut { HEADER_BYTES } else { file.len() };
        assert_eq!(
            error,
            BundleError::Truncated {
                needed,
                got: length
            }
        );
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut file = sample();
    file.push(0);
    let expected = file.len() - 1;
    assert_eq!(
        check(&file),
        Err(BundleError::TrailingBytes {
            expected,
            got: expected + 1
        })
    );
    let total = file.len() as u32;
    file[12..16].copy_from_slice(&total.to_le_bytes());
    assert_eq!(
        check(&file),
        Err(BundleError::UnclaimedBytes { position: expected })
    );
}

#[test]
fn a_key_that_is_not_trusted_is_refused_by_name() {
    let file = sample();
    let stranger = public_key(&SigningKey::from_bytes(&[1; 32]));
    let key = public_key(&signing_key()).id();
    assert_eq!(verify(&file, &[]), Err(BundleError::UnknownKey { key }));
    assert_eq!(
        verify(&file, &[stranger]),
        Err(BundleError::UnknownKey { key })
    );
    assert!(verify(&file, &[stranger, public_key(&signing_key())]).is_ok());
}

#[test]
fn a_signature_by_another_key_under_a_trusted_name_is_refused() {
    let (schema, golden) = (schema_section(), golden_section());
    let sections: [SectionDraft<'_>; 3] = [
        section(SectionKind::PLAN, &PLAN),
        section(SectionKind::SCHEMA, &schema),
        section(SectionKind::GOLDEN, &golden),
    ];
    let draft = draft(&sections);
    let mut file = vec![0; assembled_bytes(&draft).unwrap()];
    let thief = SigningKey::from_bytes(&[1; 32]);
    let sign = |message: &[u8]| Signature(thief.sign(message).to_bytes());
    assemble(&draft, public_key(&signing_key()).id(), &mut file, sign).unwrap();
    assert_eq!(check(&file), Err(BundleError::BadSignature));
}

#[test]
fn a_weak_trusted_key_verifies_nothing() {
    let file = sample();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = PublicKey(neutral);
    let mut altered = file.clone();
    let id_at = HEADER_BYTES + 1 + 1 + 1 + 5;
    altered[id_at..id_at + 8].copy_from_slice(&weak.id().0);
    assert_eq!(
        verify(&altered, &[weak]),
        Err(BundleError::UnknownKey { key: weak.id() })
    );
}

#[test]
fn an_altered_section_is_named() {
    let file = sample();
    let bundle = check(&file).unwrap();
    for section in bundle.manifest().sections.iter() {
        let mut altered = file.clone();
        altered[section.offset as usize] ^= 1;
        assert_eq!(
            check(&altered),
            Err(BundleError::SectionHashMismatch { kind: section.kind })
        );
    }
}

#[test]
fn padding_must_be_zero() {
    let file = sample();
    let position = check(&file).unwrap().manifest().sections[1].offset as usize - 1;
    let mut altered = file.clone();
    altered[position] = 1;
    assert_eq!(
        check(&altered),
        Err(BundleError::PaddingNotZero { position })
    );
}

#[test]
fn a_signed_manifest_may_still_break_the_rules() {
    let kind = SectionKind::PLAN;
    let cases: [(Vec<u8>, BundleError); 6] = [
        (
            resigned(|manifest| manifest.format = 2),
            BundleError::UnsupportedFormat { got: 2 },
        ),
        (
            resigned(|manifest| manifest.name = ""),
            BundleError::UnfitName {
                field: "name",
                length: 0,
            },
        ),
        (
            resigned(|manifest| manifest.target = "a\nb"),
            BundleError::UnfitName {
                field: "target",
                length: 3,
            },
        ),
        (
            resigned(|manifest| manifest.sections[0].length = u32::MAX),
            BundleError::SectionOutOfBounds { kind },
        ),
        (
            resigned(|manifest| manifest.sections[1].kind = kind),
            BundleError::DuplicateSection { kind },
        ),
        (
            resigned(|manifest| manifest.sections[2].kind = SectionKind(200)).clone(),
            BundleError::NotABundle,
        ),
    ];
    for (file, expected) in &cases[..5] {
        assert_eq!(check(file), Err(*expected));
    }
    let with_unknown_section = &cases[5].0;
    assert_eq!(
        check(with_unknown_section)
            .unwrap()
            .section(SectionKind(200)),
        Some(&BASELINE[..])
    );
}

#[test]
fn a_section_elsewhere_is_refused() {
    let file = resigned(|manifest| manifest.sections[1].offset += 16);
    let got = sample_offset(1) + 16;
    assert_eq!(
        check(&file),
        Err(BundleError::SectionMisplaced {
            kind: SectionKind::SCHEMA,
            expected: got - 16,
            got
        })
    );
}

fn sample_offset(index: usize) -> usize {
    let file = sample();
    check(&file).unwrap().manifest().sections[index].offset as usize
}

#[test]
fn a_missing_section_is_named() {
    let (schema, golden) = (schema_section(), golden_section());
    let all: [SectionDraft<'_>; 3] = [
        section(SectionKind::PLAN, &PLAN),
        section(SectionKind::SCHEMA, &schema),
        section(SectionKind::GOLDEN, &golden),
    ];
    for (index, SectionDraft { kind, .. }) in all.iter().enumerate() {
        let mut sections = all.to_vec();
        sections.remove(index);
        let file = build(&draft(&sections), &signing_key());
        assert_eq!(
            check(&file),
            Err(BundleError::MissingSection { kind: *kind })
        );
    }
}

#[test]
fn sections_that_are_not_what_they_say_are_refused() {
    let (schema, golden) = (schema_section(), golden_section());
    let file = build(
        &draft(&[
            section(SectionKind::ONNX, &PLAN),
            section(SectionKind::SCHEMA, &golden),
            section(SectionKind::GOLDEN, &golden),
        ]),
        &signing_key(),
    );
    assert!(matches!(check(&file), Err(BundleError::Schema(_))));
    let file = build(
        &draft(&[
            section(SectionKind::ONNX, &PLAN),
            section(SectionKind::SCHEMA, &schema),
            section(SectionKind::GOLDEN, &schema),
        ]),
        &signing_key(),
    );
    assert!(matches!(check(&file), Err(BundleError::Golden(_))));
}

#[test]
fn a_longer_encoding_of_the_same_signature_is_refused() {
    let file = sample();
    let signed = signed_bytes(&file).unwrap();
    let sections = &file[sample_offset(0)..];
    assert_eq!(container(signed, sections), file);

    let mut long_tag = vec![0xd8, 18];
    long_tag.extend(&signed[1..]);
    let mut long_array = vec![0xd2, 0x98, 4];
    long_array.extend(&signed[2..]);
    let mut long_protected = signed[..2].to_vec();
    long_protected.extend([0x58, 13]);
    long_protected.extend(&signed[3..]);
    let mut header_map = signed[..16].to_vec();
    header_map.extend([0xa1, 0x05, 0x00]);
    header_map.extend(&signed[17..]);
    for longer in [long_tag, long_array, long_protected, header_map] {
        assert!(matches!(
            check(&container(&longer, sections)),
            Err(BundleError::Malformed { .. })
        ));
    }
}

#[test]
fn an_unsigned_manifest_is_refused() {
    let file = sample();
    let signed = signed_bytes(&file).unwrap();
    let sections = &file[sample_offset(0)..];
    let payload = &signed[20..signed.len() - 66];
    assert!(matches!(
        check(&container(payload, sections)),
        Err(BundleError::Malformed { .. })
    ));
    let mut no_signature = signed.to_vec();
    no_signature.truncate(signed.len() - 66);
    no_signature.push(0x40);
    assert!(matches!(
        check(&container(&no_signature, sections)),
        Err(BundleError::Malformed { .. })
    ));
}

#[test]
fn another_algorithm_is_refused() {
    let mut file = sample();
    file[HEADER_BYTES + 5] = 0x26;
    assert_eq!(check(&file), Err(BundleError::UnsupportedSignature));
}

#[test]
fn a_manifest_beyond_the_limit_is_refused_unread() {
    let mut file = sample();
    file[8..12].copy_from_slice(&(MAX_MANIFEST_BYTES as u32 + 1).to_le_bytes());
    assert_eq!(
        check(&file),
        Err(BundleError::ManifestTooLarge {
            got: MAX_MANIFEST_BYTES + 1
        })
    );
}

#[test]
fn a_manifest_with_bytes_behind_it_is_malformed() {
    let file = forge(&[0xa0, 0x00], &[]);
    assert!(matches!(check(&file), Err(BundleError::Malformed { .. })));
}

#[test]
fn a_buffer_too_small_says_what_is_needed() {
    let sections: [SectionDraft<'_>; 1] = [section(SectionKind::PLAN, &PLAN)];
    let draft = draft(&sections);
    let needed = assembled_bytes(&draft).unwrap();
    let result = assemble(&draft, KeyId::default(), &mut vec![0; needed - 1], |_| {
        Signature([0; 64])
    });
    assert_eq!(
        result,
        Err(AssembleError::BufferTooSmall {
            needed,
            got: needed - 1
        })
    );
}

#[test]
fn more_sections_than_a_manifest_lists_are_refused() {
    let sections: Vec<SectionDraft<'_>> = (0..9)
        .map(|kind| section(SectionKind(kind), &PLAN[..]))
        .collect();
    assert_eq!(
        assembled_bytes(&draft(&sections)),
        Err(AssembleError::TooManySections { got: 9 })
    );
}

#[test]
fn section_codes_are_pinned() {
    let codes = SectionKind::ALL.map(|kind| (kind.0, kind.to_string()));
    let expected = [
        (1, "plan"),
        (2, "onnx"),
        (3, "schema"),
        (4, "baseline"),
        (5, "golden"),
    ];
    assert_eq!(codes, expected.map(|(code, name)| (code, name.to_string())));
    assert_eq!(SectionKind(9).to_string(), "section 9");
}

#[test]
fn errors_say_what_to_do() {
    let key = public_key(&signing_key()).id();
    let text = BundleError::UnknownKey { key }.to_string();
    assert!(
        text.contains(&key.to_string()) && text.contains("trust"),
        "{text}"
    );
    assert!(
        BundleError::UnsupportedFormat { got: 9 }
            .to_string()
            .contains("expected 1")
    );
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(check(&bytes).is_err());
        prop_assert!(check(&container(&bytes, &[])).is_err());
    }

    #[test]
    fn any_signed_payload_is_judged_without_a_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        sections in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        prop_assert!(check(&forge(&payload, &sections)).is_err());
    }

    #[test]
    fn sections_of_any_length_come_back(
        plan in proptest::collection::vec(any::<u8>(), 0..70_000),
        onnx in proptest::collection::vec(any::<u8>(), 0..300),
        version in any::<u32>(),
    ) {
        let (schema, golden) = (schema_section(), golden_section());
        let sections: [SectionDraft<'_>; 4] = [
            section(SectionKind::PLAN, &plan),
            section(SectionKind::ONNX, &onnx),
            section(SectionKind::SCHEMA, &schema),
            section(SectionKind::GOLDEN, &golden),
        ];
        let file = build(&Draft { version, ..draft(&sections) }, &signing_key());
        let bundle = check(&file).unwrap();
        prop_assert_eq!(bundle.plan(), Some(&plan[..]));
        prop_assert_eq!(bundle.onnx(), Some(&onnx[..]));
        prop_assert_eq!(bundle.manifest().version, version);
    }
}
