//! `fully_connected` variant 3: `i8` → `i8` with packed weights.
//!
//! Inputs `x [rows, k]` in the arena and the groups of `n` channels, `u8`; output `[rows, n]`.
//! Parameters: rows, k, n, limits (two `i8` in the low bytes), and once more where `x`, the
//! groups and the output lie, so that a run need not look it up. `rows·n·k` steps.
//!
//! One row is read as it lies, up to the next multiple of four bytes; the output lies apart.
//! Several rows are computed two by two from a scratch tensor of 16 bytes per four inputs, and `n` more
//! where the rows are odd; the output may overlap `x` where it stays behind what is still to be
//! read ([`Walk`]).

use super::pixels::Walk;
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::kernels::Kernel;
use crate::op::{Op, check, disjoint, split, split_mut};
use core::ops::Range;
use dunlin_kernels::{Column, GROUP, Layer, fill, group_bytes, multiply_pair, multiply_row};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::FullyConnected as u16, 1, 3),
    check: check_op,
    run,
};

const WORDS: usize = 7;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let words = op.parameters().words::<WORDS>();
    let [rows, k, n, _, places @ ..] = words.ok_or(OpFault::Parameters)?.map(|word| word as usize);
    let Operands {
        x,
        y,
        constants,
        scratch,
    } = Operands::check(op, WORDS, rows != 1)?;
    let shapes = x.rows() == rows && x.columns() == k && y.rows() == rows && y.columns() == n;
    check(shapes, OpFault::Shape)?;
    let lie_there = [0, 1, 2].map(|position| op.offset(position)) == places.map(Some);
    check(lie_there, OpFault::Parameters)?;
    let expected = n.div_ceil(GROUP).saturating_mul(group_bytes(steps(k)));
    check(constants == expected, OpFault::Constant)?;
    if rows == 1 {
        check(disjoint(&x.range(), &y.range()), OpFault::Aliasing)?;
    } else {
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
    let words = op.parameters().words::<WORDS>()?;
    let [rows, k, n, _, x, groups, y] = words.map(|word| word as usize);
    let [_, _, _, limited, ..] = words;
    let layer = Layer {
        groups: op.tables.constants.get(groups..)?,
        steps: steps(k),
    };
    let limits = Limits(limited);
    if rows != 1 {
        let scratch = op.offset(3)?;
        let work = Rows {
            layer,
            k,
            n,
            limits,
            scratch: scratch..scratch.checked_add(scratch_bytes(rows, k, n))?,
        };
        return work.run(arena, rows, [x, y]);
    }
    let x_end = x.checked_add(k.next_multiple_of(4))?;
    let (inputs, out) = split(arena, x..x_end, y..y.checked_add(n)?)?;
    multiply_row(&layer, inputs, out);
    limits.hold(out);
    Some(())
}

/// A layer over several rows.
struct Rows<'a> {
    layer: Layer<'a>,
    k: usize,
    n: usize,
    limits: Limits,
    scratch: Range<usize>,
}

impl Rows<'_> {
    /// Computes `rows` rows of inputs from `x` on to outputs from `y` on.
    fn run(&self, arena: &mut [u8], rows: usize, [mut x, mut y]: [usize; 2]) -> Option<()> {
        let n = self.n;
        for _ in 0..rows / 2 {
            let next = x.checked_add(self.k)?;
            gather(arena, x..next, &self.scratch, Column::First)?;
            x = next.checked_add(self.k)?;
            gather(arena, next..x, &self.scratch, Column::Second)?;
            let end = y.checked_add(n.checked_mul(2)?)?;
            let (columns, out) = split(arena, self.scratch.clone(), y..end)?;
            let (first, second) = out.split_at_mut_checked(n)?;
            multiply_pair(&self.layer, columns, first, second);
            self.limits.hold(out);
            y = end;
        }
        if !rows.is_multiple_of(2) {
            gather(
                arena,
                x..x.checked_add(self.k)?,
                &self.scratch,
                Column::First,
            )?;
            let end = y.checked_add(n)?;
            let (scratch, out) = split_mut(arena, self.scratch.clone(), y..end)?;
            let (columns, unwanted) = scratch.split_at_mut_checked(self.layer.steps * 8)?;
            multiply_pair(&self.layer, columns, out, unwanted);
            self.limits.hold(out);
        }
        Some(())
    }
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
