//! `max_pool_2d`: the largest element of every window of an image, channel by channel.
//! `average_pool_2d`: their mean.
//!
//! Input `x [1, h, w, c]` in the arena, output `[1, h', w', c]` of the same type apart from it. A
//! window has at most [`MAX_ROW`] taps. A step per tap and output element.
//!
//! | op | variant | parameters |
//! |---|---|---|
//! | `max_pool_2d` | 0 `f32`, 1 `i8` | kernel, window |
//! | `average_pool_2d` | 0 `f32` | kernel, window, margins |
//! | `average_pool_2d` | 1 `i8` | kernel, window, margins, ratio, x₀ |
//!
//! The kernel is rows and columns, `window.rs` has the window's six words. Taps outside of the
//! image do not count for a maximum; without any tap on the image it is the least number of the
//! type. A NaN never wins. The mean is the sum over the taps on the image divided by the number of
//! taps on the image or within the margins around it: top, left, bottom, right; without any it is
//! 0. In `f32` the sum starts at 0.0 and runs row by row. In `i8` the eight words of the ratio
//! (`ratio.rs`) make a result of `Σ (x - x₀)·factor`, with the divisor times that number; the
//! divisor is below 2^40.

use super::ratio::{self, Ratio};
use super::window::{Spec, Window, pixels};
use super::{Kernel, rescale};
use crate::KernelId;
use crate::bytes::pieces_mut;
use crate::error::OpFault;
use crate::format::{DType, MAX_ROW, OpCode};
use crate::op::{Kind, Op, Signature, check, disjoint, split};
use dunlin_kernels::{LANES, sum_channels};

pub(in crate::kernels) static MAX_F32: Kernel = Kernel {
    id: KernelId::new(OpCode::MaxPool2d as u16, 1, 0),
    check: |op| check_op(op, DType::F32, MARGINS),
    run: run_max_f32,
};
pub(in crate::kernels) static MAX_I8: Kernel = Kernel {
    id: KernelId::new(OpCode::MaxPool2d as u16, 1, 1),
    check: |op| check_op(op, DType::I8, MARGINS),
    run: run_max_i8,
};
pub(in crate::kernels) static AVERAGE_F32: Kernel = Kernel {
    id: KernelId::new(OpCode::AveragePool2d as u16, 1, 0),
    check: |op| check_op(op, DType::F32, RATIO),
    run: run_average_f32,
};
pub(in crate::kernels) static AVERAGE_I8: Kernel = Kernel {
    id: KernelId::new(OpCode::AveragePool2d as u16, 1, 1),
    check: check_average_i8,
    run: run_average_i8,
};

/// Words: kernel, window, margins, ratio, x₀; where each begins.
const WINDOW: usize = 2;
const MARGINS: usize = WINDOW + Window::WORDS;
const RATIO: usize = MARGINS + 4;
const ZERO_POINT: usize = RATIO + ratio::WORDS;
/// Bits of a divisor, so that one times the taps of a window and shifted stays below 2^118.
const DIVISOR_BITS: u32 = 40;
/// Channels that run through a window together.
const BLOCK: usize = 16;

fn spec(op: &Op) -> Option<Spec> {
    Some(Spec {
        word: WINDOW,
        kernel: [op.parameters().u32(0)?, op.parameters().u32(1)?],
        transposed: false,
    })
}

fn check_op(op: &Op, element: DType, words: usize) -> Result<u64, OpFault> {
    let kind = Kind::placed(element);
    op.is(Signature::new(&[kind], &[kind], &[], words))?;
    let (x, y) = (op.at(0), op.at(1));
    check(x.columns() == y.columns(), OpFault::Shape)?;
    let spec = spec(op).ok_or(OpFault::Parameters)?;
    let [rows, columns] = spec.kernel;
    let taps = u64::from(rows).saturating_mul(u64::from(columns));
    check(taps <= u64::from(MAX_ROW), OpFault::Parameters)?;
    Window::check(op, spec)?;
    check(disjoint(&x.range(), &y.range()), OpFault::Aliasing)?;
    Ok(y.elements() as u64 * taps)
}

fn check_average_i8(op: &Op) -> Result<u64, OpFault> {
    let steps = check_op(op, DType::I8, ZERO_POINT + 1)?;
    Ratio::of(op, RATIO).ok_or(OpFault::Parameters)?;
    let divisor = ratio::long(&op.parameters(), RATIO + 2).ok_or(OpFault::Parameters)?;
    let zero_point = op.parameters().need_i32(ZERO_POINT)?;
    let fits = divisor >> DIVISOR_BITS == 0 && rescale::is_code(zero_point);
    check(fits, OpFault::Parameters)?;
    Ok(steps)
}

fn run_max_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let larger = |best: f32, x: [u8; 4]| {
        let x = f32::from_le_bytes(x);
        if x > best { x } else { best }
    };
    let write = |best: f32, _| best.to_le_bytes();
    for_each_window(op, arena, f32::NEG_INFINITY, larger, write)
}

fn run_max_i8(op: &Op, arena: &mut [u8]) -> Option<()> {
    let larger = |best: i8, [x]: [u8; 1]| best.max(x as i8);
    for_each_window(op, arena, i8::MIN, larger, |best, _| [best as u8])
}

fn run_average_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let add = |sum: f32, x: [u8; 4]| sum + f32::from_le_bytes(x);
    let write = |sum: f32, taps: u32| (sum / taps as f32).to_le_bytes();
    for_each_window(op, arena, 0.0, add, write)
}

fn run_average_i8(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters().chunk()?;
    let (ratio, x0) = (Ratio::of(op, RATIO)?, op.parameters().i32(ZERO_POINT)?);
    let (x, y) = (op.at(0), op.at(1));
    let [_, height, width, channels] = x.dims().map(|extent| extent as usize);
    let [_, rows, columns, _] = y.dims().map(|extent| extent as usize);
    let (input, mut output) = split(arena, x.range(), y.range())?;
    for row in 0..rows {
        let down = Along::of(words, [0, row, height])?;
        for column in 0..columns {
            let right = Along::of(words, [1, column, width])?;
            let taps = down.counted.wrapping_mul(right.counted).max(1);
            let zeros = x0.wrapping_mul(down.inside.wrapping_mul(right.inside).cast_signed());
            let pixel = down.first.wrapping_mul(width).wrapping_add(right.first);
            let mut first = 0;
            while first < channels {
                let start = pixel.wrapping_mul(channels).wrapping_add(first);
                let input = input.get(start..).unwrap_or_default();
                let sums = sums([&down, &right], [width, channels], input);
                let few = (channels - first).min(LANES);
                let (block, rest) = core::mem::take(&mut output).split_at_mut_checked(few)?;
                for (y, sum) in block.iter_mut().zip(sums) {
                    *y = ratio.code_of_sum(sum.wrapping_sub(zeros), taps);
                }
                (output, first) = (rest, first + few);
            }
        }
    }
    Some(())
}

/// The taps of a window along rows or columns.
struct Along {
    /// The first element under a tap, and how many taps are on the image.
    first: usize,
    inside: u32,
    /// Elements from one to the next.
    step: usize,
    /// Taps on the image or within the margins.
    counted: u32,
}

impl Along {
    /// Along rows (axis 0) or columns (axis 1), for a result of an image of this extent.
    #[inline(never)]
    fn of(words: &[[u8; 4]; ZERO_POINT + 1], [axis, result, extent]: [usize; 3]) -> Option<Self> {
        let word = |first: usize| words.get(first + axis).copied().map(i32::from_le_bytes);
        let (taps, step) = (word(0)?, word(WINDOW + 2)?);
        let (before, behind) = (
            word(MARGINS)?.cast_unsigned(),
            word(MARGINS + 2)?.cast_unsigned(),
        );
        let mut at = (result as i32)
            .wrapping_mul(word(WINDOW)?)
            .wrapping_sub(word(WINDOW + 4)?);
        let mut along = Along {
            first: 0,
            inside: 0,
            step: step as usize,
            counted: 0,
        };
        for _ in 0..taps {
            let is_counted = match at {
                ..0 => at.unsigned_abs() <= before,
                _ => (at as usize) < extent || (at as usize).wrapping_sub(extent) < behind as usize,
            };
            along.counted += u32::from(is_counted);
            if (at.cast_unsigned() as usize) < extent {
                if along.inside == 0 {
                    along.first = at.cast_unsigned() as usize;
                }
                along.inside += 1;
            }
            at = at.wrapping_add(step);
        }
        Some(along)
    }
}

/// Sums of four channels under the taps on the image; `input` begins with the first one's.
#[inline(never)]
fn sums(
    [down, right]: [&Along; 2],
    [width, channels]: [usize; 2],
    mut input: &[u8],
) -> [i32; LANES] {
    let mut sums = [0_i32; LANES];
    let pitch = right.step.wrapping_mul(channels);
    let below = down.step.wrapping_mul(width).wrapping_mul(channels);
    for _ in 0..down.inside {
        let more = sum_channels(input, pitch, right.inside as usize);
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = sum.wrapping_add(more);
        }
        input = input.get(below..).unwrap_or_default();
    }
    sums
}

fn margins(op: &Op) -> [u32; 4] {
    [0, 1, 2, 3].map(|word| op.parameters().u32(MARGINS + word).unwrap_or(0))
}

/// Folds the elements under the taps of every window from `empty` on, and writes what `write`
/// makes of the result and the number of taps within the margins, at least 1.
#[inline(always)]
fn for_each_window<T: Copy, const N: usize>(
    op: &Op,
    arena: &mut [u8],
    empty: T,
    fold: impl Fn(T, [u8; N]) -> T,
    write: impl Fn(T, u32) -> [u8; N],
) -> Option<()> {
    let (x, y, window) = (
        op.input(0)?.info,
        op.output(0)?,
        Window::read(op, spec(op)?)?,
    );
    let margins = margins(op);
    let pixel = y.columns().checked_mul(N)?;
    let (input, output) = split(arena, x.range(), y.range())?;
    for (at, results) in pixels(y).zip(pieces_mut(output, pixel)) {
        let taps = window.count(at, margins).max(1);
        let mut first = 0;
        for block in results.as_chunks_mut::<N>().0.chunks_mut(BLOCK) {
            let mut folded = [empty; BLOCK];
            for place in window.taps(at).flatten() {
                let start = place.checked_mul(pixel)?.checked_add(first)?;
                let elements = input.get(start..)?.as_chunks().0.get(..block.len())?;
                for (folded, element) in folded.iter_mut().zip(elements) {
                    *folded = fold(*folded, *element);
                }
            }
            for (y, folded) in block.iter_mut().zip(folded) {
                *y = write(folded, taps);
            }
            first += BLOCK * N;
        }
    }
    Some(())
}
