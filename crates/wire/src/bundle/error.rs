//! Why a bundle is refused.

use core::fmt;

use super::{MANIFEST_FORMAT, SectionKind};
use crate::KeyId;
use crate::golden::GoldenError;
use crate::limits::{MAX_MANIFEST_BYTES, MAX_NAME_BYTES, SECTION_ALIGNMENT};
use crate::schema::SchemaError;

/// Why bytes are not a bundle to be trusted. Positions count from the bundle's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// The first bytes are not a bundle's.
    NotABundle,
    /// Fewer bytes than the header announces.
    Truncated {
        /// Bytes announced, or those of a header.
        needed: usize,
        /// Bytes there.
        got: usize,
    },
    /// More bytes than the header announces.
    TrailingBytes {
        /// Bytes announced.
        expected: usize,
        /// Bytes there.
        got: usize,
    },
    /// The signed manifest is longer than the format allows.
    ManifestTooLarge {
        /// Bytes announced.
        got: usize,
    },
    /// Not the CBOR that the format describes.
    Malformed {
        /// Where it departs from it.
        position: usize,
    },
    /// The protected header is not that of EdDSA with an 8-byte key id.
    UnsupportedSignature,
    /// Signed by a key that is not among the trusted ones, or that is one of Ed25519's weak keys.
    UnknownKey {
        /// The key that the bundle names.
        key: KeyId,
    },
    /// The signature does not belong to this manifest.
    BadSignature,
    /// The manifest is of a format unknown here.
    UnsupportedFormat {
        /// Format found.
        got: u32,
    },
    /// A name in the manifest is empty, too long or not printable.
    UnfitName {
        /// Which one.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// A section does not start where the one before it ends.
    SectionMisplaced {
        /// The section.
        kind: SectionKind,
        /// Where it should start.
        expected: usize,
        /// Where the manifest puts it.
        got: usize,
    },
    /// A section reaches beyond the bundle's end.
    SectionOutOfBounds {
        /// The section.
        kind: SectionKind,
    },
    /// Two sections of one kind.
    DuplicateSection {
        /// The kind.
        kind: SectionKind,
    },
    /// The sections end before the bundle does.
    UnclaimedBytes {
        /// First byte that belongs to no section.
        position: usize,
    },
    /// A byte between two sections is not zero.
    PaddingNotZero {
        /// The byte.
        position: usize,
    },
    /// A section's bytes are not the ones that were signed.
    SectionHashMismatch {
        /// The section.
        kind: SectionKind,
    },
    /// A section that every bundle has is not there.
    MissingSection {
        /// The kind; [`SectionKind::PLAN`] stands for "plan or ONNX".
        kind: SectionKind,
    },
    /// The schema section is not one.
    Schema(SchemaError),
    /// The golden section is not one.
    Golden(GoldenError),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotABundle => f.write_str("not a bundle: expected a file that starts with DUNLINB1; make one with `dunlin package`"),
            Self::Truncated { needed, got } => write!(f, "bundle is cut off: expected {needed} bytes, got {got}; transfer it again"),
            Self::TrailingBytes { expected, got } => write!(f, "bundle has bytes after its end: expected {expected} bytes, got {got}; transfer it again"),
            Self::ManifestTooLarge { got } => write!(f, "the signed manifest has {got} bytes, expected at most {MAX_MANIFEST_BYTES}; shorten names or sections"),
            Self::Malformed { position } => write!(f, "bundle is not the expected CBOR at byte {position}: it was altered or is no bundle; transfer or package it again"),
            Self::UnsupportedSignature => f.write_str("bundle is not signed with EdDSA and an 8-byte key id; package it with `dunlin package`"),
            Self::UnknownKey { key } => write!(f, "bundle is signed by key {key}, which is not trusted here; sign it with a trusted key or trust that one"),
            Self::BadSignature => f.write_str("the signature does not fit the manifest: the bundle was altered or signed by another key; package it again"),
            Self::UnsupportedFormat { got } => write!(f, "manifest format {got}, expected {MANIFEST_FORMAT}; update this software or package for it"),
            Self::UnfitName { field, length } => write!(f, "the manifest's {field} has {length} bytes, expected 1 to {MAX_NAME_BYTES} without control characters"),
            Self::SectionMisplaced { kind, expected, got } => write!(f, "{kind} starts at byte {got}, expected {expected} (multiples of {SECTION_ALIGNMENT}, in order, without gaps)"),
            Self::SectionOutOfBounds { kind } => write!(f, "{kind} reaches beyond the bundle's end"),
            Self::DuplicateSection { kind } => write!(f, "more than one {kind}, expected one"),
            Self::UnclaimedBytes { position } => write!(f, "bytes from {position} on belong to no section"),
            Self::PaddingNotZero { position } => write!(f, "byte {position} lies between sections and is not zero: the bundle was altered; transfer it again"),
            Self::SectionHashMismatch { kind } => write!(f, "{kind} is not what was signed: the bundle was altered; transfer it again"),
            Self::MissingSection { kind: SectionKind::PLAN } => f.write_str("bundle has neither a plan nor an ONNX model, expected at least one"),
            Self::MissingSection { kind } => write!(f, "bundle has no {kind}, expected one"),
            Self::Schema(error) => error.fmt(f),
            Self::Golden(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BundleError {}
