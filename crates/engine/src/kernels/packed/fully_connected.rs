//! `fully_connected` variant 3: `i8` → `i8` with packed weights.
//!
//! Inputs `x [rows, k]` in the arena and the groups of `n` channels, `u8`; output `[rows, n]`.
//! Parameters: rows, k, n, limits (two `i8` in the low bytes), and once more where `x`, the
//! groups and the output lie, so that a run need not look it up. `rows·n·k` steps.
//!
//! One row is read as it lies, up to the next multiple of four bytes; the output lies apart.
//! Several rows are computed two by two from a scratch tensor of 16 bytes per four inputs, and `n` more
//! where the rows are odd; the output may overlap `x` where it stays behind what is still to be
//! read ([`Walk`]). From an output that begins behind `x`, or with it, and whose rows are no smaller, the walk
//! goes from the last row to the first.

use super::pairs::{Pairs, scratch_bytes};
use super::pixels::Walk;
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::kernels::Kernel;
use crate::op::{Op, check, disjoint, split};
use dunlin_kernels::{Column, GROUP, Layer, Runs, fill, fill_pair, group_bytes, multiply_row};

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
    let [x_place, groups_place, y_place] = places;
    let lie_there =
        x.offset() == x_place && y.offset() == y_place && op.offset(1) == Some(groups_place);
    check(lie_there, OpFault::Parameters)?;
    let expected = n.div_ceil(GROUP).saturating_mul(group_bytes(steps(k)));
    check(constants == expected, OpFault::Constant)?;
    if rows == 1 {
        check(disjoint(&x.range(), &y.range()), OpFault::Aliasing)?;
    } else {
        check(scratch >= scratch_bytes(rows, steps(k), n), OpFault::Shape)?;
        let walk = Walk::over_rows(rows, k, n);
        let (x, y) = (x.range(), y.range());
        let allowed = Walk::is_backward([k, n], [x.start, y.start]) || walk.allows(&x, &y);
        check(allowed, OpFault::Aliasing)?;
    }
    Ok(rows as u64 * n as u64 * k as u64)
}

/// Steps of two inputs for `k` of them, filled up to whole runs of four.
fn steps(k: usize) -> usize {
    k.div_ceil(4) * 2
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters().words::<WORDS>()?;
    let [rows, k, n, _, x, groups, y] = words.map(|word| word as usize);
    let [_, _, _, limited, ..] = words;
    let layer = Layer::new(op.tables.constants.get(groups..)?, steps(k), n)?;
    let limits = Limits(limited);
    if rows != 1 {
        let start = op.offset(3)?;
        let pairs = Pairs {
            layer,
            filters: n,
            limits,
            scratch: start..start.checked_add(scratch_bytes(rows, steps(k), n))?,
        };
        return run_rows(&pairs, arena, [rows, k], [x, y]);
    }
    let x_end = x.checked_add(k.next_multiple_of(4))?;
    let (inputs, out) = split(arena, x..x_end, y..y.checked_add(n)?)?;
    multiply_row(&layer, inputs, out)?;
    limits.hold(out);
    Some(())
}

/// Computes `rows` rows of `k` inputs from `x` on to outputs from `y` on.
#[inline(never)]
fn run_rows(
    pairs: &Pairs,
    arena: &mut [u8],
    [rows, k]: [usize; 2],
    [x, y]: [usize; 2],
) -> Option<()> {
    let (n, is_odd) = (pairs.filters, !rows.is_multiple_of(2));
    let is_backward = Walk::is_backward([k, n], [x, y]);
    let last = rows.checked_sub(1)?;
    let last = [
        x.checked_add(last.checked_mul(k)?)?,
        y.checked_add(last.checked_mul(n)?)?,
    ];
    if is_odd && is_backward {
        run_last(pairs, arena, k, last)?;
    }
    let (two_x, two_y) = (k.checked_mul(2)?, n.checked_mul(2)?);
    let pairs_before_last = (rows / 2).saturating_sub(1);
    let (mut x, mut y, step_x, step_y) = match is_backward {
        false => (x, y, two_x, two_y),
        true => (
            x.checked_add(pairs_before_last.checked_mul(two_x)?)?,
            y.checked_add(pairs_before_last.checked_mul(two_y)?)?,
            two_x.wrapping_neg(),
            two_y.wrapping_neg(),
        ),
    };
    for _ in 0..rows / 2 {
        let two = x..x.checked_add(two_x)?;
        let (inputs, columns) = split(arena, two, pairs.scratch.clone())?;
        widen_two(inputs, k, columns)?;
        pairs.write(arena, y)?;
        (x, y) = (x.wrapping_add(step_x), y.wrapping_add(step_y));
    }
    if is_odd && !is_backward {
        run_last(pairs, arena, k, last)?;
    }
    Some(())
}

/// Computes a row without a neighbour.
#[inline(never)]
fn run_last(pairs: &Pairs, arena: &mut [u8], k: usize, [x, y]: [usize; 2]) -> Option<()> {
    let row = x..x.checked_add(k)?;
    let (inputs, columns) = split(arena, row, pairs.scratch.clone())?;
    fill(columns, Column::First, inputs);
    pairs.write_last(arena, y)
}

/// Widens two rows of `k` inputs into both columns.
#[inline(always)]
fn widen_two(inputs: &[u8], k: usize, columns: &mut [u8]) -> Option<()> {
    if k.is_multiple_of(4) {
        let runs = Runs {
            count: 1,
            quads: k / 4,
            pitch: 0,
        };
        fill_pair(columns, &runs, inputs, k)?;
        return Some(());
    }
    let (first, second) = inputs.split_at_checked(k)?;
    fill(columns, Column::First, first);
    fill(columns, Column::Second, second);
    Some(())
}
