//! `lookup`: any function of one byte, as a table of its 256 results.
//!
//! Input 0: `i8`, any shape, in the arena. Input 1: constant `i8 [256]`; the result for the code
//! `q` is entry `q` read as an unsigned byte, so entries 0 to 127 are those of the codes 0 to 127
//! and entry 128 is that of -128. Output: `i8` of the input's shape, may replace the input. No
//! parameters. One step per element.

use super::Kernel;
use crate::KernelId;
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Lookup as u16, 1, 0),
    check: check_op,
    run,
};

const CODES: usize = 256;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 0)?;
    let (x, table, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    x.in_arena(DType::I8)?;
    table.is_constant(DType::I8)?;
    table.has_elements(CODES)?;
    check(y.dtype() == DType::I8, OpFault::Type)?;
    check(x.info.has_shape(y.dims()), OpFault::Shape)?;
    op.output_may_replace_an_input()?;
    Ok(y.elements() as u64)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let table = op.input(1)?.constant?.first_chunk::<CODES>()?;
    let (x, y) = (op.input(0)?.info.range(), op.output(0)?.range());
    if x == y {
        map_in_place(table, arena.get_mut(y)?);
        return Some(());
    }
    let (input, output) = split(arena, x, y)?;
    for (x, y) in input.iter().zip(output) {
        *y = result(table, *x);
    }
    Some(())
}

/// Four elements at a time: one load and one store of a word for four loads from the table.
fn map_in_place(table: &[u8; CODES], bytes: &mut [u8]) {
    let (words, tail) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = word.map(|x| result(table, x));
    }
    for x in tail {
        *x = result(table, *x);
    }
}

#[inline(always)]
fn result(table: &[u8; CODES], x: u8) -> u8 {
    table.get(usize::from(x)).copied().unwrap_or(0)
}
