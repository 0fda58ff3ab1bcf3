//! `fully_connected` variants 3 to 5: `i8` → `i8` with packed weights. In variant 3 ties are rounded up, in variants 4 and 5
//! they go to the even or the odd result.
//!
//! Input `x [rows, k]` in the arena; output `[rows, n]`. Parameters: rows, k, n, limits (two `i8` in the low bytes), once
//! more where `x` and the output lie, so that a run need not look it up, and where the groups of `n` channels lie in the
//! constants. `rows·n·k` steps.
//!
//! One row is read as it lies, up to the next multiple of four bytes; the output lies apart.
//! Several rows are computed two by two from a scratch tensor of 16 bytes per four inputs, and `n` more
//! where the rows are odd; the output may overlap `x` where it stays behind what is still to be
//! read ([`Walk`]). From an output that begins behind `x`, or with it, and whose rows are no smaller, the walk
//! goes from the last row to the first.

use super::pairs::Pairs;
use super::pixels::Walk;
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::kernels::Kernel;
use crate::op::{Op, check, disjoint, split};
use dunlin_kernels::{Column, Layer, Runs, UP, fill, fill_pair, multiply_row};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::FullyConnected as u16, 2, 3),
    check: check_op,
    run: run::<UP>,
};
pub(in crate::kernels) static EVEN: Kernel = Kernel {
    id: KernelId::new(OpCode::FullyConnected as u16, 2, 4),
    check: check_op,
    run: run::<{ dunlin_kernels::EVEN }>,
};
pub(in crate::kernels) static ODD: Kernel = Kernel {
    id: KernelId::new(OpCode::FullyConnected as u16, 2, 5),
    check: check_op,
    run: run::<{ dunlin_kernels::ODD }>,
};

const WORDS: usize = 7;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let words = op.parameters().words::<WORDS>();
    let [rows, k, n, _, places @ ..] = words.ok_or(OpFault::Parameters)?.map(|word| word as usize);
    let operands = Operands::check(op, WORDS, rows != 1)?;
    let (x, y) = (operands.x, operands.y);
    let shapes = x.rows() == rows && x.columns() == k && y.rows() == rows && y.columns() == n;
    check(shapes, OpFault::Shape)?;
    let [x_place, y_place, _] = places;
    let lie_there = x.offset() == x_place && y.offset() == y_place;
    check(lie_there, OpFault::Parameters)?;
    // The tensors' ranges: they lie there and have these shapes, in bytes.
    let range =
        |place: usize, columns: usize| place..place.wrapping_add(rows.wrapping_mul(columns));
    let (x, y) = (&range(x_place, k), &range(y_place, n));
    let lies = if rows == 1 {
        operands.hold_groups(steps(k), n)?;
        disjoint(x, y)
    } else {
        operands.hold_pairs(steps(k), n, rows)?;
        Walk::is_backward([k, n], [x.start, y.start]) || Walk::over_rows(rows, k, n).allows(x, y)
    };
    check(lies, OpFault::Aliasing)?;
    Ok(rows as u64 * n as u64 * k as u64)
}

/// Steps of two inputs for `k` of them, filled up to whole runs of four.
fn steps(k: usize) -> usize {
    k.div_ceil(4) * 2
}

fn run<const TIES: u8>(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters().words::<WORDS>()?;
    let [rows, k, n, _, x, y, groups] = words.map(|word| word as usize);
    let [_, _, _, limited, ..] = words;
    let limits = Limits(limited);
    if rows != 1 {
        let mut pairs = Pairs::<TIES>::of(op, [steps(k), n, rows], limits, arena)?;
        return run_rows(&mut pairs, [rows, k], [x, y]);
    }
    let layer = Layer::new(op.tables.constants.get(groups..)?, steps(k), n)?;
    let x_end = x.checked_add(k.next_multiple_of(4))?;
    let (inputs, out) = split(arena, x..x_end, y..y.checked_add(n)?)?;
    multiply_row::<TIES>(&layer, inputs, out)?;
    limits.hold(out);
    Some(())
}

/// Computes `rows` rows of `k` inputs from `x` on to outputs from `y` on, two by two; a last row without a neighbour
/// is computed with nothing.
#[inline(never)]
fn run_rows<const TIES: u8>(
    pairs: &mut Pairs<TIES>,
    [rows, k]: [usize; 2],
    [x, y]: [usize; 2],
) -> Option<()> {
    let is_backward = Walk::is_backward([k, pairs.filters], [x, y]);
    let count = rows.div_ceil(2);
    for index in 0..count {
        let row = 2 * if is_backward {
            count - 1 - index
        } else {
            index
        };
        let x = x.wrapping_add(row.wrapping_mul(k));
        let y = y.wrapping_add(row.wrapping_mul(pairs.filters));
        if row + 1 == rows {
            let inputs = pairs.arena.at(x, k)?;
            fill(pairs.columns, Column::First, inputs);
            pairs.write_last(y)?;
            continue;
        }
        let inputs = pairs.arena.at(x, k.wrapping_mul(2))?;
        widen_two(inputs, k, pairs.columns)?;
        pairs.write(y)?;
    }
    Some(())
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
