//! Names of kernels.

use crate::format::OpCode;

/// A kernel: which op, which version of its semantics, which variant.
///
/// A variant fixes the element types and how constants are laid out. Variants of one op and
/// version with the same element types give the same bytes. The code is
/// `opcode << 16 | version << 8 | variant`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelId(u32);

impl KernelId {
    /// The kernel with these parts.
    pub const fn new(opcode: u16, version: u8, variant: u8) -> Self {
        Self((opcode as u32) << 16 | (version as u32) << 8 | variant as u32)
    }

    /// The kernel with this code; every code is a valid name, whether or not a kernel has it.
    pub const fn from_code(code: u32) -> Self {
        Self(code)
    }

    /// The code, as it stands in plans and manifests.
    pub const fn code(self) -> u32 {
        self.0
    }

    /// The op's code.
    pub const fn opcode(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Version of the op's semantics.
    pub const fn version(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Element types and layout of the constants, numbered per op in `FORMAT.md`.
    pub const fn variant(self) -> u8 {
        self.0 as u8
    }
}

impl core::fmt::Display for KernelId {
    /// `name.version.variant`, with the number where the op has no name here.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match OpCode::from_code(self.opcode()) {
            Some(op) => f.write_str(op.name())?,
            None => write!(f, "op{}", self.opcode())?,
        }
        write!(f, ".{}.{}", self.version(), self.variant())
    }
}

impl core::fmt::Debug for KernelId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
