//! The signed statement at the head of a bundle.

use core::fmt;

use minicbor::{Decode, Encode};

use super::BundleError;
use crate::limits::{MAX_KERNELS, MAX_SECTIONS};
use crate::{Digest, Table, text};

/// The manifest format this crate writes and reads.
pub const MANIFEST_FORMAT: u32 = 1;

/// What a section holds, as a code that may be unknown here: an unknown section is checked like any
/// other and then left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct SectionKind(#[n(0)] pub u8);

impl SectionKind {
    /// The model compiled for one kernel class.
    pub const PLAN: Self = Self(1);
    /// The model as ONNX, for targets that run ONNX.
    pub const ONNX: Self = Self(2);
    /// Input channels and labels: [`crate::schema`].
    pub const SCHEMA: Self = Self(3);
    /// Reference distribution and drift thresholds: [`crate::baseline`].
    pub const BASELINE: Self = Self(4);
    /// Inputs and expected outputs: [`crate::golden`].
    pub const GOLDEN: Self = Self(5);

    /// Every kind known here, in the order in which they stand in a bundle.
    pub const ALL: [Self; 5] = [
        Self::PLAN,
        Self::ONNX,
        Self::SCHEMA,
        Self::BASELINE,
        Self::GOLDEN,
    ];
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::PLAN => "plan",
            Self::ONNX => "onnx",
            Self::SCHEMA => "schema",
            Self::BASELINE => "baseline",
            Self::GOLDEN => "golden",
            Self(code) => return write!(f, "section {code}"),
        })
    }
}

/// Where a section lies and what its bytes hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Section {
    /// What it holds.
    #[n(0)]
    pub kind: SectionKind,
    /// First byte, counted from the bundle's first byte; a multiple of the section alignment.
    #[n(1)]
    pub offset: u32,
    /// Length in bytes, without padding.
    #[n(2)]
    pub length: u32,
    /// SHA-256 of the section's bytes.
    #[n(3)]
    pub sha256: Digest,
}

/// What the device must have for the bundle to run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Requirements {
    /// Format of the plan section; 0 when there is none.
    #[n(0)]
    pub plan_format: u32,
    /// Bytes of the arena that the plan runs in; 0 when there is no plan.
    #[n(1)]
    pub arena_bytes: u32,
    /// Bytes of stack that running the plan may take; 0 when there is no plan.
    #[n(2)]
    pub stack_bytes: u32,
    /// Codes of the kernels that the plan calls, ascending, as the engine numbers them.
    #[n(3)]
    pub kernels: Table<u32, MAX_KERNELS>,
}

/// What the bundle was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Provenance<'a> {
    /// SHA-256 of the recipe file.
    #[n(0)]
    pub recipe: Digest,
    /// SHA-256 of the data's canonical content.
    #[n(1)]
    pub data: Digest,
    /// SHA-256 of the ONNX file that was compiled.
    #[n(2)]
    pub model: Digest,
    /// Name and version of the tool that made it.
    #[n(3)]
    pub tool: &'a str,
}

/// The signed statement: what this bundle is, what it needs and what every section hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Manifest<'a> {
    /// [`MANIFEST_FORMAT`].
    #[n(0)]
    pub format: u32,
    /// The model's name.
    #[n(1)]
    pub name: &'a str,
    /// Grows with every release of the model; a device takes no older one, and no other bundle of the
    /// same.
    #[n(2)]
    pub version: u32,
    /// The kind of device it is made for.
    #[n(3)]
    pub target: &'a str,
    /// The kernel class that the plan's weights are packed for.
    #[n(4)]
    pub kernel_class: &'a str,
    /// What the device must have.
    #[n(5)]
    pub requires: Requirements,
    /// The sections in file order.
    #[n(6)]
    pub sections: Table<Section, MAX_SECTIONS>,
    /// What it was made from.
    #[cbor(n(7), borrow)]
    pub provenance: Provenance<'a>,
}

impl<'a> Manifest<'a> {
    /// Decodes a manifest that starts at byte `origin` of the bundle.
    pub(super) fn parse(bytes: &'a [u8], origin: usize) -> Result<Self, BundleError> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let manifest: Self = decoder.decode().map_err(|error| BundleError::Malformed {
            position: origin + error.position().unwrap_or(decoder.position()),
        })?;
        if decoder.position() != bytes.len() {
            return Err(BundleError::Malformed {
                position: origin + decoder.position(),
            });
        }
        if manifest.format != MANIFEST_FORMAT {
            return Err(BundleError::UnsupportedFormat {
                got: manifest.format,
            });
        }
        manifest.check_names()?;
        Ok(manifest)
    }

    pub(super) fn check_names(&self) -> Result<(), BundleError> {
        let names = [
            ("name", self.name),
            ("target", self.target),
            ("kernel class", self.kernel_class),
            ("tool", self.provenance.tool),
        ];
        match names.into_iter().find(|(_, name)| !text::is_name(name)) {
            Some((field, name)) => Err(BundleError::UnfitName {
                field,
                length: name.len(),
            }),
            None => Ok(()),
        }
    }

    /// The section of a kind, if there is one.
    pub fn section(&self, kind: SectionKind) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind)
    }
}
