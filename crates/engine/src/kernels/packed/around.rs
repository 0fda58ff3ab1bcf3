//! The arena around an op's scratch.

use crate::op::Op;

/// An arena without the scratch of an op, from which its input and output lie apart, perhaps over one another.
pub(super) struct Around<'m> {
    below: &'m mut [u8],
    above: &'m mut [u8],
    /// Bytes of scratch in between.
    scratch: usize,
}

impl<'m> Around<'m> {
    /// The arena without the first `bytes` of operand 2, and these.
    #[inline(never)]
    pub fn scratch(
        op: &Op,
        arena: &'m mut [u8],
        bytes: usize,
    ) -> Option<(Around<'m>, &'m mut [u8])> {
        let (below, rest) = arena.split_at_mut_checked(op.offset(2)?)?;
        let (scratch, above) = rest.split_at_mut_checked(bytes)?;
        let around = Around {
            below,
            above,
            scratch: bytes,
        };
        Some((around, scratch))
    }

    /// The `bytes` bytes at `start` of the arena, none of which is scratch.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn at(&mut self, start: usize, bytes: usize) -> Option<&mut [u8]> {
        let cut = self.below.len();
        let (side, start) = match start < cut {
            true => (&mut *self.below, start),
            false => (
                &mut *self.above,
                start.wrapping_sub(cut).wrapping_sub(self.scratch),
            ),
        };
        side.get_mut(start..)?.get_mut(..bytes)
    }
}
