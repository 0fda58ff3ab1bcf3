//! `pad`: a border around a tensor, or a part of it where the border is negative.
//!
//! Input 0 in the arena, output of the same element type apart from it. Parameters: mode, value,
//! elements before the input along each of the four axes `i32`. Output element `i` along an axis
//! is input element `i - before`. Where there is none, mode 0 writes the value (a word whose low
//! bytes are the element), mode 1 takes the nearest element along the axis, mode 2 the one as far
//! on the other side of the nearest. Variant 0 is `f32`, variant 1 `i8`. One step per output
//! element.

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::bytes::copy;
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static F32: Kernel = Kernel {
    id: KernelId::new(OpCode::Pad as u16, 1, 0),
    check: |op| check_op(op, DType::F32),
    run,
};
pub(in crate::kernels) static I8: Kernel = Kernel {
    id: KernelId::new(OpCode::Pad as u16, 1, 1),
    check: |op| check_op(op, DType::I8),
    run,
};

const CONSTANT: u32 = 0;
const EDGE: u32 = 1;
const REFLECT: u32 = 2;

fn before(op: &Op) -> Option<[i64; 4]> {
    let word = |axis: usize| op.parameters().i32(axis + 2).map(i64::from);
    Some([word(0)?, word(1)?, word(2)?, word(3)?])
}

fn check_op(op: &Op, element: DType) -> Result<u64, OpFault> {
    op.has(1, 6)?;
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(element)?;
    check(y.dtype() == element, OpFault::Type)?;
    let mode = op.parameters().need_u32(0)?;
    check(mode <= REFLECT, OpFault::Parameters)?;
    let before = before(op).ok_or(OpFault::Parameters)?;
    for ((before, extent), result) in before.into_iter().zip(x.info.dims()).zip(y.dims()) {
        let last = i64::from(extent).saturating_sub(1);
        let reach = i64::from(result).saturating_sub(before).saturating_sub(1);
        let reflects = before <= last && reach <= last.saturating_mul(2);
        check(mode != REFLECT || reflects, OpFault::Parameters)?;
    }
    op.output_is_apart()?;
    Ok(y.elements() as u64)
}

/// The element of an axis that stands at a place inside or outside of it, if the mode has one.
fn element(mode: u32, place: i64, extent: u32) -> Option<usize> {
    let last = i64::from(extent).saturating_sub(1);
    let place = match mode {
        CONSTANT => place,
        EDGE => place.max(0).min(last),
        _ if place < 0 => place.saturating_neg(),
        _ if place > last => last.saturating_mul(2).saturating_sub(place),
        _ => place,
    };
    usize::try_from(place).ok().filter(|_| place <= last)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, y) = (op.input(0)?.info, op.output(0)?);
    let (mode, value) = (op.parameters().u32(0)?, op.parameters().u32(1)?);
    let (before, value) = (before(op)?, value.to_le_bytes());
    let (input, output) = split(arena, x.range(), y.range())?;
    let size = y.dtype().bytes();
    elementwise::for_each_index(y.dims(), |number, index| {
        let mut from = Some(0_usize);
        for ((i, before), extent) in index.into_iter().zip(before).zip(x.dims()) {
            let at = element(mode, (i as i64).saturating_sub(before), extent);
            from = from.zip(at).map(|(from, at)| from * extent as usize + at);
        }
        let source = match from {
            Some(from) => input.get(from.checked_mul(size)?..)?,
            None => &value,
        };
        let to = number.checked_mul(size)?;
        copy(source, output.get_mut(to..to.checked_add(size)?)?);
        Some(())
    })
}
