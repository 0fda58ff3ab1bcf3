//! Which kernels a firmware is linked with, and how one is found.

use super::{KERNELS, Kernel};
use crate::KernelId;
use crate::format::OpCode;

static ALL: KernelSet = KernelSet::new(KERNELS);

/// The kernels a firmware is linked with.
///
/// [`KernelSet::all`] has every kernel. A firmware for known models saves flash with fewer:
///
/// ```
/// use dunlin_engine::{Kernel, KernelId, KernelSet};
///
/// static KERNELS: [&Kernel; 2] = KernelSet::select([0x0001_0101, 0x0003_0100]);
/// static SET: KernelSet = KernelSet::new(&KERNELS);
/// assert!(SET.ids().any(|id| id == KernelId::from_code(0x0001_0101)));
/// ```
pub struct KernelSet {
    /// Position of each op's first kernel; an op's kernels end where those of the next begin.
    first: [u8; OP_CODES + 2],
    kernels: &'static [&'static Kernel],
}

/// The largest op code.
const OP_CODES: usize = {
    match OpCode::ALL {
        [.., last] => *last as usize,
        [] => 0,
    }
};

impl KernelSet {
    /// Every kernel of this engine.
    pub fn all() -> &'static KernelSet {
        &ALL
    }

    /// A set of these kernels, which must be in code order.
    ///
    /// # Panics
    /// While compiling, if they are not in order or are more than 255.
    pub const fn new(kernels: &'static [&'static Kernel]) -> KernelSet {
        assert!(kernels.len() < 256, "a set holds 255 kernels");
        let mut first = [0; OP_CODES + 2];
        let mut position = 0;
        let mut code = 0;
        while code < first.len() {
            while position < kernels.len() && (at(kernels, position).id.opcode() as usize) < code {
                assert!(
                    position == 0
                        || at(kernels, position - 1).id.code() < at(kernels, position).id.code(),
                    "kernels must be in code order"
                );
                position += 1;
            }
            first[code] = position as u8;
            code += 1;
        }
        KernelSet { first, kernels }
    }

    /// The kernels with these codes, for [`KernelSet::new`]; what is not selected is not linked.
    ///
    /// # Panics
    /// While compiling, if this engine has no such kernel.
    pub const fn select<const N: usize>(codes: [u32; N]) -> [&'static Kernel; N] {
        let mut selected = [at(KERNELS, 0); N];
        let mut index = 0;
        while index < N {
            let mut position = 0;
            while at(KERNELS, position).id.code() != codes[index] {
                position += 1;
            }
            selected[index] = at(KERNELS, position);
            index += 1;
        }
        selected
    }

    /// The kernels of the set, in code order.
    pub fn ids(&self) -> impl Iterator<Item = KernelId> {
        self.kernels.iter().map(|kernel| kernel.id)
    }

    #[inline(never)]
    pub(crate) fn find(&self, id: KernelId) -> Option<&'static Kernel> {
        let code = usize::from(id.opcode());
        let from = usize::from(*self.first.get(code)?);
        let variants = self.kernels.get(from..)?;
        // Where no variant is left out, one stands at its number.
        let likely = variants.get(usize::from(id.variant()));
        if let Some(kernel) = likely.filter(|kernel| kernel.id == id) {
            return Some(kernel);
        }
        let mut variants = variants.iter();
        variants
            .find(|kernel| kernel.id >= id)
            .copied()
            .filter(|kernel| kernel.id == id)
    }
}

impl core::fmt::Debug for KernelSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// A kernel of a list, while compiling.
const fn at(kernels: &[&'static Kernel], position: usize) -> &'static Kernel {
    kernels[position]
}
