//! `mat_mul`: products of matrices, either of them constant or computed.
//!
//! Inputs `a [.., m, k]` and `b [.., k, n]`, `f32`; output `[batch, m, n]`, apart from both.
//! Parameters: batch, m, k, n, whether `a` is batched, whether `b` is (0 or 1; an operand that is
//! not is used for every product). Products are summed from element 0 of `k` upwards, starting at
//! 0.0. `batch·m·k·n` steps.

use super::Kernel;
use crate::KernelId;
use crate::bytes::{f32_at, put};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::MatMul as u16, 1, 0),
    check: check_op,
    run,
};

/// The parameters.
pub(super) struct Sizes {
    pub batch: usize,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub a_batched: usize,
    pub b_batched: usize,
}

impl Sizes {
    pub fn of(op: &Op) -> Option<Self> {
        let word = |position| op.parameters().u32(position).map(|size| size as usize);
        let (a_batched, b_batched) = (word(4)?, word(5)?);
        if a_batched > 1 || b_batched > 1 {
            return None;
        }
        Some(Self {
            batch: word(0)?,
            m: word(1)?,
            k: word(2)?,
            n: word(3)?,
            a_batched,
            b_batched,
        })
    }

    /// Element counts of `a`, `b` and the output; none where one overflows.
    fn elements(&self) -> Option<[usize; 3]> {
        let count = |batched, rows: usize, columns| {
            let times = if batched == 1 { self.batch } else { 1 };
            rows.checked_mul(columns)?.checked_mul(times)
        };
        Some([
            count(self.a_batched, self.m, self.k)?,
            count(self.b_batched, self.k, self.n)?,
            count(1, self.m, self.n)?,
        ])
    }
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 6)?;
    check_operands(op, DType::F32)
}

/// Two inputs, at least one in the arena, and an output apart from them, of one element type and
/// the sizes said.
pub(super) fn check_operands(op: &Op, element: DType) -> Result<u64, OpFault> {
    let (a, b, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    let types_fit = [a.info, b.info, y]
        .iter()
        .all(|tensor| tensor.dtype() == element);
    check(
        types_fit && (a.constant.is_none() || b.constant.is_none()),
        OpFault::Type,
    )?;
    let sizes = Sizes::of(op).ok_or(OpFault::Parameters)?;
    let [in_a, in_b, in_y] = sizes.elements().ok_or(OpFault::Parameters)?;
    a.has_elements(in_a)?;
    b.has_elements(in_b)?;
    check(y.elements() == in_y, OpFault::Shape)?;
    op.output_is_apart()?;
    Ok((in_y as u64).saturating_mul(sizes.k as u64))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (a, b, y) = (op.input(0)?, op.input(1)?, op.output(0)?);
    let Sizes {
        batch,
        m,
        k,
        n,
        a_batched,
        b_batched,
    } = Sizes::of(op)?;
    let mut place = y.range().start;
    for matrix in 0..batch {
        let (a_start, b_start) = (matrix * a_batched * m * k, matrix * b_batched * k * n);
        for row in 0..m {
            for column in 0..n {
                let left = a.bytes(arena)?.get(4 * (a_start + row * k)..)?;
                let right = b.bytes(arena)?.get(4 * (b_start + column)..)?;
                let sum = dot(left, right, k, n);
                put(arena, place, sum.to_le_bytes())?;
                place += 4;
            }
        }
    }
    Some(())
}

/// A row of `a` times a column of `b`.
fn dot(row: &[u8], column: &[u8], k: usize, stride: usize) -> f32 {
    let products =
        (0..k).map_while(|i| Some(f32_at(row, 4 * i)? * f32_at(column, 4 * i * stride)?));
    products.fold(0.0, |sum, product| sum + product)
}
