//! Writing a bundle into a caller's buffer.

use core::fmt;

use super::layout::align;
use super::{
    BundleError, HEADER_BYTES, MAGIC, MANIFEST_FORMAT, Manifest, Provenance, Requirements, Section,
};
use super::{SectionKind, Signature, cose};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_SECTIONS};
use crate::{BundleId, Digest, KeyId, Table, encode};

/// What a bundle is made of, before it is signed bytes.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The model's name.
    pub name: &'a str,
    /// Must grow with every release of the model.
    pub version: u32,
    /// The kind of device it is made for.
    pub target: &'a str,
    /// The kernel class that the plan's weights are packed for.
    pub kernel_class: &'a str,
    /// What the device must have.
    pub requires: Requirements,
    /// What it was made from.
    pub provenance: Provenance<'a>,
    /// The sections in the order in which they are written.
    pub sections: &'a [SectionDraft<'a>],
}

/// One section to be written.
#[derive(Debug, Clone, Copy)]
pub struct SectionDraft<'a> {
    /// What it holds.
    pub kind: SectionKind,
    /// Its bytes.
    pub content: &'a [u8],
}

/// What [`assemble`] has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assembled {
    /// The bundle's identity.
    pub id: BundleId,
    /// Bytes written, from the start of the buffer.
    pub length: usize,
}

/// Why a bundle was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssembleError {
    /// The buffer is shorter than [`assembled_bytes`].
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// More sections than a manifest can list.
    TooManySections {
        /// Sections given.
        got: usize,
    },
    /// The bundle would not fit 32-bit lengths.
    TooLarge,
    /// A name or the manifest's length breaks a rule of the format.
    Refused(BundleError),
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BufferTooSmall { needed, got } => {
                write!(f, "the bundle needs {needed} bytes, the buffer has {got}")
            }
            Self::TooManySections { got } => {
                write!(f, "{got} sections, expected at most {MAX_SECTIONS}")
            }
            Self::TooLarge => f.write_str("the bundle would have more than 4 GiB"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AssembleError {}

/// Bytes that [`assemble`] will write.
///
/// # Errors
/// As [`assemble`], but for the buffer.
pub fn assembled_bytes(draft: &Draft<'_>) -> Result<usize, AssembleError> {
    place(draft).map(|placed| placed.total_bytes)
}

/// Writes a bundle to the start of `buffer` and says what it wrote.
///
/// `sign` is given the bytes to sign and returns the Ed25519 signature by the key named `key`.
/// Nothing checks that it did; [`super::verify`] will. Hashes every section once; uses about 6 KiB
/// of stack.
///
/// # Errors
/// When the buffer is too small, or the draft breaks a rule of the format. The content of sections
/// is not looked at.
pub fn assemble(
    draft: &Draft<'_>,
    key: KeyId,
    buffer: &mut [u8],
    sign: impl FnOnce(&[u8]) -> Signature,
) -> Result<Assembled, AssembleError> {
    let Placed {
        manifest,
        total_bytes: needed,
    } = place(draft)?;
    let too_small = AssembleError::BufferTooSmall {
        needed,
        got: buffer.len(),
    };
    let file = buffer.get_mut(..needed).ok_or(too_small)?;
    file.fill(0);

    let mut payload = [0; MAX_MANIFEST_BYTES];
    let payload = encode_manifest(&manifest, &mut payload)?;
    let signed_end = HEADER_BYTES + cose::encoded_bytes(payload.len());
    let mut scratch = [0; MAX_MANIFEST_BYTES + 32];
    let signed = file.get_mut(HEADER_BYTES..signed_end).ok_or(too_small)?;
    let unsigned = cose::Unsigned { payload, key };
    cose::sign(unsigned, signed, &mut scratch, sign).ok_or(too_small)?;
    let id = BundleId(Digest::of(signed).prefix());

    write_header(file, (signed_end - HEADER_BYTES) as u32, needed as u32);
    for (section, SectionDraft { content, .. }) in manifest.sections.iter().zip(draft.sections) {
        let offset = section.offset as usize;
        file.get_mut(offset..offset + content.len())
            .ok_or(too_small)?
            .copy_from_slice(content);
    }
    Ok(Assembled { id, length: needed })
}

fn write_header(file: &mut [u8], manifest_bytes: u32, total_bytes: u32) {
    let header = MAGIC
        .into_iter()
        .chain(manifest_bytes.to_le_bytes())
        .chain(total_bytes.to_le_bytes());
    file.iter_mut()
        .zip(header)
        .for_each(|(to, from)| *to = from);
}

/// The manifest with every section placed. Offsets lengthen the manifest and the manifest moves the
/// offsets, so both grow until they fit; they do after a few rounds because neither ever shrinks.
fn place<'a>(draft: &Draft<'a>) -> Result<Placed<'a>, AssembleError> {
    let mut manifest = unplaced(draft)?;
    let mut payload = [0; MAX_MANIFEST_BYTES];
    loop {
        let signed_end =
            HEADER_BYTES + cose::encoded_bytes(encode_manifest(&manifest, &mut payload)?.len());
        if !move_sections(&mut manifest, signed_end)? {
            let last = manifest.sections.last();
            let total_bytes = last.map_or(signed_end, |last| {
                last.offset as usize + last.length as usize
            });
            return Ok(Placed {
                manifest,
                total_bytes,
            });
        }
    }
}

struct Placed<'a> {
    manifest: Manifest<'a>,
    total_bytes: usize,
}

fn unplaced<'a>(draft: &Draft<'a>) -> Result<Manifest<'a>, AssembleError> {
    let mut sections = Table::default();
    for &SectionDraft { kind, content } in draft.sections {
        let length = u32::try_from(content.len()).map_err(|_| AssembleError::TooLarge)?;
        let section = Section {
            kind,
            offset: 0,
            length,
            sha256: Digest::of(content),
        };
        let full = AssembleError::TooManySections {
            got: draft.sections.len(),
        };
        sections.push(section).map_err(|_| full)?;
    }
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        name: draft.name,
        version: draft.version,
        target: draft.target,
        kernel_class: draft.kernel_class,
        requires: draft.requires,
        sections,
        provenance: draft.provenance,
    };
    manifest.check_names().map_err(AssembleError::Refused)?;
    Ok(manifest)
}

/// Puts the sections behind byte `signed_end`, one after the other; says whether any moved.
fn move_sections(manifest: &mut Manifest<'_>, signed_end: usize) -> Result<bool, AssembleError> {
    let mut end = signed_end;
    let mut moved = false;
    for section in manifest.sections.iter_mut() {
        let offset = align(end)
            .and_then(|offset| u32::try_from(offset).ok())
            .ok_or(AssembleError::TooLarge)?;
        end = offset
            .checked_add(section.length)
            .ok_or(AssembleError::TooLarge)? as usize;
        moved |= section.offset < offset;
        section.offset = section.offset.max(offset);
    }
    Ok(moved)
}

fn encode_manifest<'b>(
    manifest: &Manifest<'_>,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], AssembleError> {
    let too_large = AssembleError::Refused(BundleError::ManifestTooLarge {
        got: MAX_MANIFEST_BYTES + 1,
    });
    let length = encode::into(buffer, manifest).map_err(|_| too_large)?;
    if cose::encoded_bytes(length) > MAX_MANIFEST_BYTES {
        let got = cose::encoded_bytes(length);
        return Err(AssembleError::Refused(BundleError::ManifestTooLarge {
            got,
        }));
    }
    buffer.get(..length).ok_or(too_large)
}
