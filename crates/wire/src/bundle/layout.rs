//! Where sections stand, and that they are what the manifest says.

use super::{BundleError, Manifest, Section};
use crate::Digest;
use crate::limits::SECTION_ALIGNMENT;

/// The next position at which a section may start; `None` beyond the largest.
pub(crate) fn align(position: usize) -> Option<usize> {
    position.checked_next_multiple_of(SECTION_ALIGNMENT)
}

/// Checks that the sections follow one another from `signed_end` and fill a file of `total_bytes`.
pub(super) fn check_places(
    manifest: &Manifest<'_>,
    signed_end: usize,
    total_bytes: usize,
) -> Result<(), BundleError> {
    let mut end = signed_end;
    for (index, section) in manifest.sections.iter().enumerate() {
        let kind = section.kind;
        let mut earlier = manifest.sections.iter().take(index);
        if earlier.any(|earlier| earlier.kind == kind) {
            return Err(BundleError::DuplicateSection { kind });
        }
        let expected = align(end).ok_or(BundleError::SectionOutOfBounds { kind })?;
        if section.offset as usize != expected {
            return Err(BundleError::SectionMisplaced {
                kind,
                expected,
                got: section.offset as usize,
            });
        }
        end = expected
            .checked_add(section.length as usize)
            .filter(|&end| end <= total_bytes)
            .ok_or(BundleError::SectionOutOfBounds { kind })?;
    }
    if end == total_bytes {
        Ok(())
    } else {
        Err(BundleError::UnclaimedBytes { position: end })
    }
}

/// Checks padding and every section's hash, for sections whose places were checked.
pub(super) fn check_bytes(
    bytes: &[u8],
    signed_end: usize,
    manifest: &Manifest<'_>,
) -> Result<(), BundleError> {
    let mut end = signed_end;
    for section in manifest.sections.iter() {
        let kind = section.kind;
        let content = slice(bytes, section).ok_or(BundleError::SectionOutOfBounds { kind })?;
        let start = section.offset as usize;
        let padding = bytes.get(end..start).unwrap_or_default();
        if let Some(at) = padding.iter().position(|&byte| byte != 0) {
            return Err(BundleError::PaddingNotZero { position: end + at });
        }
        if Digest::of(content) != section.sha256 {
            return Err(BundleError::SectionHashMismatch { kind });
        }
        end = start + content.len();
    }
    Ok(())
}

/// The bytes of a section.
pub(super) fn slice<'a>(bytes: &'a [u8], section: &Section) -> Option<&'a [u8]> {
    let offset = section.offset as usize;
    bytes.get(offset..offset.checked_add(section.length as usize)?)
}
