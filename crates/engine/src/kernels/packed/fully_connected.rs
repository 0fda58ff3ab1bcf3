//! `fully_connected` variant 3: `i8` → `i8` with packed weights.
//!
//! Inputs `x [rows, k]` in the arena and the groups of `n` channels, `u8`; output `[rows, n]`.
//! Parameters: rows, k, n, shift, limits (two `i8` in the low bytes). `rows·n·k` steps.
//!
//! One row is read as it lies, up to the next multiple of four bytes; the output lies apart.
//! Several rows are computed two by two from a scratch tensor of 16 bytes per four inputs, and `n` more
//! where the rows are odd; the output may overlap `x` where it stays behind what is still to be
//! read ([`Walk`]).

use super::pixels::Walk;
use super::{check_operands, layer, limit, limits};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::kernels::Kernel;
use crate::op::{Op, check, split, split_mut};
use core::ops::Range;
use dunlin_kernels::{Column, GROUP, Layer, fill, group_bytes, multiply_pair, multiply_row};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::FullyConnected as u16, 1, 3),
    check: check_op,
    run,
};

const WORDS: usize = 5;
const MAX_SHIFT: usize = 23;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let words = op
        .parameters()
        .words::<WORDS>()
        .ok_or(OpFault::Parameters)?;
    let [rows, k, n, shift, _] = words.map(|word| word as usize);
    check_operands(op, WORDS, rows != 1)?;
    let (x, y) = (op.need_input(0)?.info, op.need_output(0)?);
    let shapes = x.rows() == rows && x.columns() == k && y.rows() == rows && y.columns() == n;
    check(shapes, OpFault::Shape)?;
    check(shift <= MAX_SHIFT, OpFault::Parameters)?;
    let groups = op.need_input(1)?.info.elements();
    let expected = n.div_ceil(GROUP).saturating_mul(group_bytes(steps(k)));
    check(groups == expected, OpFault::Constant)?;
    if rows == 1 {
        op.output_is_apart()?;
    } else {
        let scratch = op.need_scratch(0)?.elements();
        check(scratch >= scratch_bytes(rows, k, n), OpFault::Shape)?;
        let walk = Walk::over_rows(rows, k, n);
        check(walk.allows(&x.range(), &y.range()), OpFault::Aliasing)?;
    }
    Ok(rows as u64 * n as u64 * k as u64)
}

/// Steps of two inputs for `k` of them, filled up to whole runs of four.
fn steps(k: usize) -> usize {
    k.div_ceil(4) * 2
}

/// Two columns, and outputs that nobody wants where the last row has no neighbour.
fn scratch_bytes(rows: usize, k: usize, n: usize) -> usize {
    steps(k) * 8 + if rows.is_multiple_of(2) { 0 } else { n }
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let [rows, k, n, shift, limited] = op.parameters().words()?;
    let [rows, k, n] = [rows, k, n].map(|word| word as usize);
    let layer = layer(op.constants_from(1)?, steps(k), shift);
    if rows != 1 {
        return run_rows(op, arena, &layer, [rows, k, n]);
    }
    let (x, y) = (op.offset(0)?, op.offset(2)?);
    let x_end = x.checked_add(k.next_multiple_of(4))?;
    let (inputs, out) = split(arena, x..x_end, y..y.checked_add(n)?)?;
    multiply_row(&layer, inputs, out);
    limit(out, limits(limited));
    Some(())
}

fn run_rows(op: &Op, arena: &mut [u8], layer: &Layer, [rows, k, n]: [usize; 3]) -> Option<()> {
    let [.., limited] = op.parameters().words::<WORDS>()?;
    let limits = limits(limited);
    let (mut x, mut y, scratch) = (op.offset(0)?, op.offset(2)?, op.offset(3)?);
    let scratch = scratch..scratch.checked_add(scratch_bytes(rows, k, n))?;
    for _ in 0..rows / 2 {
        let next = x.checked_add(k)?;
        gather(arena, x..next, &scratch, Column::First)?;
        x = next.checked_add(k)?;
        gather(arena, next..x, &scratch, Column::Second)?;
        let end = y.checked_add(n.checked_mul(2)?)?;
        let (columns, out) = split(arena, scratch.clone(), y..end)?;
        let (first, second) = out.split_at_mut_checked(n)?;
        multiply_pair(layer, columns, first, second);
        limit(out, limits);
        y = end;
    }
    if !rows.is_multiple_of(2) {
        gather(arena, x..x.checked_add(k)?, &scratch, Column::First)?;
        let (scratch, out) = split_mut(arena, scratch, y..y.checked_add(n)?)?;
        let (columns, unwanted) = scratch.split_at_mut_checked(steps(k) * 8)?;
        multiply_pair(layer, columns, out, unwanted);
        limit(out, limits);
    }
    Some(())
}

/// Widens a row into one of the two columns.
fn gather(
    arena: &mut [u8],
    row: Range<usize>,
    scratch: &Range<usize>,
    which: Column,
) -> Option<()> {
    let (inputs, columns) = split(arena, row, scratch.clone())?;
    fill(columns, which, inputs);
    Some(())
}
