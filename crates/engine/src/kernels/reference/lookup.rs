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
use crate::op::{Kind, Op, Signature, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Lookup as u16, 1, 0),
    check: check_op,
    run,
};

const CODES: usize = 256;

const SIGNATURE: Signature = Signature::new(
    &[Kind::placed(DType::I8), Kind::constant(DType::I8)],
    &[Kind::placed(DType::I8)],
    &[],
    0,
);

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.is(SIGNATURE)?;
    check(op.at(1).elements() == CODES, OpFault::Shape)?;
    op.is_in_place_or_apart()
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let table = op.constant(1).first_chunk::<CODES>()?;
    map_in_place(table, op.in_place(arena, 2)?);
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
