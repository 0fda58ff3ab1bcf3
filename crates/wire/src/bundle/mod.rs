//! The signed file that goes to a device: container, manifest, signature.
//!
//! ```text
//!  0      8           12          16                              aligned to 16
//!  ├──────┼───────────┼───────────┼──────────────────┬───┬────────┬───┬─────────┬ ┄
//!  │ magic│ manifest  │ total     │ COSE_Sign1       │ 0 │ section│ 0 │ section │
//!  │      │ bytes  LE │ bytes  LE │  (CBOR manifest) │   │        │   │         │
//!  └──────┴───────────┴───────────┴──────────────────┴───┴────────┴───┴─────────┴ ┄
//! ```
//!
//! Sections follow one another in the manifest's order, each at the next multiple of
//! [`SECTION_ALIGNMENT`]; padding is zero and the last section ends the file. So every byte is
//! signed, hashed or fixed, and altering any one of them is noticed.
//!
//! [`verify`] runs on devices and workstations: one Ed25519 verification, one SHA-256 over the
//! manifest and one over every section, in place. On a Cortex-M4, optimised for size and with compact
//! hashes, that is 36 KiB of code, 12 KiB of stack and 2.2 million instructions for a short bundle.
//! [`assemble`] is its inverse, for those who hold a signing key. `FORMAT.md` holds the CDDL.
//!
//! # Example
//! ```
//! use dunlin_wire::bundle::{self, BundleError};
//! assert_eq!(bundle::verify(b"anything but a bundle", &[]), Err(BundleError::NotABundle));
//! ```
//!
//! # Architecture invariants
//! - A [`Bundle`] or a [`Head`] exists only verified: there is no view of an unverified one.
//! - The manifest is decoded after its signature was verified, sections after their hashes were.
//! - What a device has (version, target, kernels, memory) is not judged here but where it is known.

mod assemble;
mod cose;
mod error;
mod layout;
mod manifest;
#[cfg(test)]
mod tests;

pub use assemble::{AssembleError, Assembled, Draft, SectionDraft, assemble, assembled_bytes};
pub use cose::Signature;
pub use error::BundleError;
pub use manifest::{MANIFEST_FORMAT, Manifest, Provenance, Requirements, Section, SectionKind};

use crate::golden::{Golden, GoldenError};
use crate::limits::MAX_MANIFEST_BYTES;
#[cfg(doc)]
use crate::limits::SECTION_ALIGNMENT;
use crate::schema::{Schema, SchemaError};
use crate::{BundleId, Digest, KeyId, PublicKey};

/// The first bytes of every bundle.
pub const MAGIC: [u8; 8] = *b"DUNLINB1";
/// Bytes before the COSE_Sign1.
pub const HEADER_BYTES: usize = 16;

/// A verified bundle, read in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    head: Head<'a>,
}

/// The verified beginning of a bundle: what it is, needs and consists of. Its sections are not looked
/// at, and need not have come yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head<'a> {
    digest: Digest,
    key: KeyId,
    manifest: Manifest<'a>,
}

impl<'a> Head<'a> {
    /// SHA-256 of the COSE_Sign1, and so of all of the bundle's content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Names the bundle: the first bytes of its digest.
    pub fn id(&self) -> BundleId {
        BundleId(self.digest.prefix())
    }

    /// What the bundle is, needs and was made from.
    pub fn manifest(&self) -> &Manifest<'a> {
        &self.manifest
    }
}

/// Verifies the beginning of a bundle of `total_bytes`: header, signature by one of the `trusted`
/// keys, manifest, and that its sections fill the rest of the file. `head` holds the header and the
/// COSE_Sign1, at most [`HEADER_BYTES`]` + `[`MAX_MANIFEST_BYTES`]; what follows is not looked at.
///
/// # Errors
/// Each reason for refusal has its variant in [`BundleError`]; the first one found is returned.
pub fn verify_head<'a>(
    head: &'a [u8],
    total_bytes: usize,
    trusted: &[PublicKey],
) -> Result<Head<'a>, BundleError> {
    Signed::verify(head, total_bytes, trusted)?.head(total_bytes)
}

/// Verifies a bundle: header, signature by one of the `trusted` keys, manifest, the place and hash
/// of every section, and that schema, golden vectors and a model are there and well formed.
///
/// # Errors
/// Each reason for refusal has its variant in [`BundleError`]; the first one found is returned.
pub fn verify<'a>(bytes: &'a [u8], trusted: &[PublicKey]) -> Result<Bundle<'a>, BundleError> {
    Signed::verify(bytes, bytes.len(), trusted)?.bundle(bytes)
}

/// A COSE_Sign1 whose signature was verified.
///
/// A manifest takes a kilobyte of stack wherever it passes, and a signature's verification eight:
/// the steps are functions that are never inlined, so that they take it one after the other.
struct Signed<'a> {
    bytes: &'a [u8],
    payload: &'a [u8],
    /// Where the payload starts in the bundle.
    payload_at: usize,
    key: KeyId,
}

impl<'a> Signed<'a> {
    #[inline(never)]
    fn verify(
        head: &'a [u8],
        total_bytes: usize,
        trusted: &[PublicKey],
    ) -> Result<Self, BundleError> {
        let bytes = signed_within(head, total_bytes)?;
        let sign1 = cose::Sign1::parse(bytes, HEADER_BYTES)?;
        sign1.verify(trusted)?;
        Ok(Self {
            bytes,
            payload: sign1.payload,
            payload_at: HEADER_BYTES + sign1.payload_at,
            key: sign1.key,
        })
    }

    /// Where the sections begin, but for padding.
    fn end(&self) -> usize {
        HEADER_BYTES + self.bytes.len()
    }

    #[inline(never)]
    fn head(&self, total_bytes: usize) -> Result<Head<'a>, BundleError> {
        let manifest = Manifest::parse(self.payload, self.payload_at)?;
        layout::check_places(&manifest, self.end(), total_bytes)?;
        Ok(Head {
            digest: Digest::of(self.bytes),
            key: self.key,
            manifest,
        })
    }

    #[inline(never)]
    fn bundle(&self, bytes: &'a [u8]) -> Result<Bundle<'a>, BundleError> {
        let head = self.head(bytes.len())?;
        layout::check_bytes(bytes, self.end(), &head.manifest)?;
        let bundle = Bundle { bytes, head };
        bundle.check_content()?;
        Ok(bundle)
    }
}

/// The COSE_Sign1 of a bundle, found by the header alone: nothing in it is verified.
///
/// # Errors
/// When the header is not a bundle's or announces other lengths than there are.
pub fn signed_bytes(bytes: &[u8]) -> Result<&[u8], BundleError> {
    signed_within(bytes, bytes.len())
}

/// SHA-256 of the COSE_Sign1 of a bundle, which names the bundle on the link; nothing is verified.
///
/// # Errors
/// As [`signed_bytes`].
pub fn digest(bytes: &[u8]) -> Result<Digest, BundleError> {
    signed_bytes(bytes).map(Digest::of)
}

/// The COSE_Sign1 in the first bytes of a bundle that has `got` bytes in all.
fn signed_within(head: &[u8], got: usize) -> Result<&[u8], BundleError> {
    if head.get(..MAGIC.len()).is_some_and(|magic| magic != MAGIC) {
        return Err(BundleError::NotABundle);
    }
    let (manifest_bytes, total) = lengths(head)?;
    if got < total {
        return Err(BundleError::Truncated { needed: total, got });
    }
    if got > total {
        return Err(BundleError::TrailingBytes {
            expected: total,
            got,
        });
    }
    if manifest_bytes > MAX_MANIFEST_BYTES {
        return Err(BundleError::ManifestTooLarge {
            got: manifest_bytes,
        });
    }
    let needed = HEADER_BYTES + manifest_bytes;
    head.get(HEADER_BYTES..needed)
        .ok_or(BundleError::Truncated {
            needed,
            got: head.len(),
        })
}

/// The header's two lengths: of the COSE_Sign1 and of the whole file.
fn lengths(head: &[u8]) -> Result<(usize, usize), BundleError> {
    let truncated = BundleError::Truncated {
        needed: HEADER_BYTES,
        got: head.len(),
    };
    let header = head.get(MAGIC.len()..HEADER_BYTES).ok_or(truncated)?;
    let mut fields = header
        .as_chunks()
        .0
        .iter()
        .map(|field| u32::from_le_bytes(*field) as usize);
    fields.next().zip(fields.next()).ok_or(truncated)
}

impl<'a> Bundle<'a> {
    fn check_content(&self) -> Result<(), BundleError> {
        if self.plan().is_none() && self.onnx().is_none() {
            return Err(BundleError::MissingSection {
                kind: SectionKind::PLAN,
            });
        }
        for kind in [SectionKind::SCHEMA, SectionKind::GOLDEN] {
            self.section(kind)
                .ok_or(BundleError::MissingSection { kind })?;
        }
        self.schema().map_err(BundleError::Schema)?;
        self.golden().map_err(BundleError::Golden)?;
        Ok(())
    }

    /// Names this bundle: a hash of its signed manifest, and so of all its content.
    pub fn id(&self) -> BundleId {
        self.head.id()
    }

    /// The key that signed it, one of those trusted.
    pub fn key(&self) -> KeyId {
        self.head.key
    }

    /// What the bundle is, needs and was made from.
    pub fn manifest(&self) -> &Manifest<'a> {
        &self.head.manifest
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of a section, if there is one of that kind.
    pub fn section(&self, kind: SectionKind) -> Option<&'a [u8]> {
        layout::slice(self.bytes, self.head.manifest.section(kind)?)
    }

    /// The compiled model, if there is one.
    pub fn plan(&self) -> Option<&'a [u8]> {
        self.section(SectionKind::PLAN)
    }

    /// The ONNX model, if there is one.
    pub fn onnx(&self) -> Option<&'a [u8]> {
        self.section(SectionKind::ONNX)
    }

    /// The reference distribution, if there is one; decode it with [`crate::baseline`].
    pub fn baseline(&self) -> Option<&'a [u8]> {
        self.section(SectionKind::BASELINE)
    }

    /// Input channels and labels. Decodes the section each time.
    ///
    /// # Errors
    /// None in practice: [`verify`] has decoded the section once.
    pub fn schema(&self) -> Result<Schema<'a>, SchemaError> {
        Schema::parse(self.section(SectionKind::SCHEMA).unwrap_or_default())
    }

    /// Inputs and the outputs that the device must reproduce. Walks the section each time.
    ///
    /// # Errors
    /// None in practice: [`verify`] has walked the section once.
    pub fn golden(&self) -> Result<Golden<'a>, GoldenError> {
        Golden::parse(self.section(SectionKind::GOLDEN).unwrap_or_default())
    }
}
