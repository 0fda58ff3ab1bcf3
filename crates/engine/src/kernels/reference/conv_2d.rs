//! `conv_2d`: sums of products of the windows of an image with filters, plus a bias.
//! `conv_transpose_2d`: the same with transposed windows, so that every pixel scales a filter
//! around its place and the results are summed.
//!
//! Inputs `x [1, h, w, c]` in the arena and `weights [n, kernel rows, kernel columns, c/groups]`
//! constant, output `[1, h', w', n]` apart from `x`. Filter `i` sees the channels of group
//! `i / (n/groups)`; depthwise is `groups = c`. A filter has at most [`MAX_ROW`] weights.
//! `h'·w'` times the number of weights in steps.
//!
//! | variant | `x`, weights → output | further constants | parameters |
//! |---|---|---|---|
//! | 0 | `f32`, `f32` → `f32` | `bias f32 [n]` | minimum, maximum, window |
//! | 1 | `i8`, `i8` → `i8` | multipliers, offsets | w₀, divisor, y₀, minimum, maximum, x₀, window |
//! | 2 | `i8`, `i8` → `f32` | multipliers, offsets | w₀, minimum, maximum, x₀, window |
//!
//! `window.rs` has the window's six words, `rescale.rs` what follows the sum in variants 1 and 2.
//! Products are summed tap by tap, row by row, in a tap from channel 0 upwards. Variant 0 starts
//! at 0.0, leaves out taps outside of the image and adds the bias last. In variants 1 and 2 a tap
//! outside of the image sees x₀, which stands for 0.0; so `Q` holds `-x₀·Σ(w - w₀)` over all taps.

use super::dot::{correction, dot_constant, dot_rows, dot_rows_f32};
use super::rescale::{self, Channels, ToF32, ToI8};
use super::window::{Spec, Taps, Window, pixels};
use super::{Kernel, clamp};
use crate::KernelId;
use crate::bytes::{f32_at, pieces_mut};
use crate::error::OpFault;
use crate::format::{DType, MAX_ROW, OpCode};
use crate::op::{Op, check, split};

macro_rules! kernels {
    ($op:ident, $f32:ident, $i8:ident, $i8_to_f32:ident) => {
        pub(in crate::kernels) static $f32: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 0),
            check: check_f32,
            run: run_f32,
        };
        pub(in crate::kernels) static $i8: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 1),
            check: check_i8,
            run: run_i8,
        };
        pub(in crate::kernels) static $i8_to_f32: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 2),
            check: check_i8_to_f32,
            run: run_i8_to_f32,
        };
    };
}

kernels!(Conv2d, F32, I8, I8_TO_F32);
kernels!(
    ConvTranspose2d,
    TRANSPOSE_F32,
    TRANSPOSE_I8,
    TRANSPOSE_I8_TO_F32
);

/// Words before the window: those of the variant and, for integers, x₀.
const F32_WORDS: usize = 2;
const I8_WORDS: usize = ToI8::WORDS + 1;
const I8_TO_F32_WORDS: usize = ToF32::WORDS + 1;

fn spec(op: &Op, word: usize) -> Option<Spec> {
    let [_, rows, columns, _] = op.input(1)?.info.dims();
    Some(Spec {
        word,
        kernel: [rows, columns],
        transposed: op.record().kernel.opcode() == OpCode::ConvTranspose2d as u16,
    })
}

/// Checks the window behind `word` words, types and shapes; gives the steps of one run.
fn check_shapes(op: &Op, word: usize, element: DType, output: DType) -> Result<u64, OpFault> {
    let (x, w, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    x.in_arena(element)?;
    w.is_constant(element)?;
    check(y.dtype() == output, OpFault::Type)?;
    Window::check(op, spec(op, word).ok_or(OpFault::Operands)?)?;
    let ([filters, ..], channels) = (w.info.dims(), x.info.columns());
    let groups = channels.checked_div(w.info.columns()).unwrap_or(0);
    let filters = filters as usize;
    let fits = groups.saturating_mul(w.info.columns()) == channels
        && filters == y.columns()
        && filters.checked_rem(groups) == Some(0)
        && w.info.elements() <= filters.saturating_mul(MAX_ROW as usize);
    check(fits, OpFault::Shape)?;
    op.output_is_apart()?;
    Ok((y.rows() as u64).saturating_mul(w.info.elements() as u64))
}

fn check_f32(op: &Op) -> Result<u64, OpFault> {
    op.has(3, F32_WORDS + Window::WORDS)?;
    let bias = op.need_input(2)?;
    bias.is_constant(DType::F32)?;
    bias.has_elements(op.need_output(0)?.columns())?;
    let parameters = op.parameters();
    let limits = (parameters.need_f32(0)?, parameters.need_f32(1)?);
    check(limits.0 <= limits.1, OpFault::Parameters)?;
    check_shapes(op, F32_WORDS, DType::F32, DType::F32)
}

fn check_i8(op: &Op) -> Result<u64, OpFault> {
    op.has(4, I8_WORDS + Window::WORDS)?;
    ToI8::check(op)?;
    check_zero_point(op, ToI8::WORDS)?;
    check_shapes(op, I8_WORDS, DType::I8, DType::I8)
}

fn check_i8_to_f32(op: &Op) -> Result<u64, OpFault> {
    op.has(4, I8_TO_F32_WORDS + Window::WORDS)?;
    ToF32::check(op)?;
    check_zero_point(op, ToF32::WORDS)?;
    check_shapes(op, I8_TO_F32_WORDS, DType::I8, DType::F32)
}

fn check_zero_point(op: &Op, word: usize) -> Result<(), OpFault> {
    let zero_point = op.parameters().need_i32(word)?;
    check(rescale::is_code(zero_point), OpFault::Parameters)
}

fn run_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let biases = op.input(2)?.constant?;
    let (minimum, maximum) = (op.parameters().f32(0)?, op.parameters().f32(1)?);
    let bias = |index: usize| f32_at(biases, index.checked_mul(4)?);
    for_each_filter(op, arena, (F32_WORDS, sum_f32), bias, |sum, bias, y| {
        *y = clamp::limit(sum + bias, minimum, maximum).to_le_bytes();
    })
}

fn run_i8(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (target, x0) = (ToI8::read(op)?, op.parameters().i32(ToI8::WORDS)?);
    let (channels, w0) = (Channels::of(op)?, rescale::weight_zero_point(op)?);
    let sums = |filters: Filters| sum_i8(filters, x0, w0);
    let each = |index| channels.get(index);
    for_each_filter(op, arena, (I8_WORDS, sums), each, |sum, channel, y| {
        target.write(channel.numerator(sum), channel.shift, y);
    })
}

fn run_i8_to_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (target, x0) = (ToF32::read(op)?, op.parameters().i32(ToF32::WORDS)?);
    let (channels, w0) = (Channels::of(op)?, rescale::weight_zero_point(op)?);
    let sums = |filters: Filters| sum_i8(filters, x0, w0);
    let each = |index| channels.get(index);
    for_each_filter(
        op,
        arena,
        (I8_TO_F32_WORDS, sums),
        each,
        |sum, channel, y| {
            target.write(channel.numerator(sum), channel.shift, y);
        },
    )
}

/// Two filters of a group over one window.
struct Filters<'a> {
    taps: Taps<'a>,
    weights: [&'a [u8]; 2],
    input: &'a [u8],
    /// Bytes of a pixel, bytes of the first channel in it, bytes of a tap.
    pixel: usize,
    first: usize,
    tap: usize,
}

/// What a tap lies on, and its weights.
enum Tap<'a> {
    Pixel(&'a [u8], [&'a [u8]; 2]),
    Outside([&'a [u8]; 2]),
}

impl<'a> Iterator for Filters<'a> {
    type Item = Tap<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Tap<'a>> {
        let place = self.taps.next()?;
        let [a, b] = self.weights;
        let ((a, a_rest), (b, b_rest)) =
            (a.split_at_checked(self.tap)?, b.split_at_checked(self.tap)?);
        self.weights = [a_rest, b_rest];
        let Some(place) = place else {
            return Some(Tap::Outside([a, b]));
        };
        let start = place.checked_mul(self.pixel)?.checked_add(self.first)?;
        let x = self.input.get(start..start.checked_add(self.tap)?)?;
        Some(Tap::Pixel(x, [a, b]))
    }
}

#[inline(never)]
fn sum_i8(filters: Filters, x0: i32, w0: i32) -> [i32; 2] {
    filters.fold([0; 2], |[a, b], tap| {
        let [a_more, b_more] = match tap {
            Tap::Pixel(x, weights) => dot_rows(x, weights, correction(x, w0)),
            Tap::Outside(weights) => weights.map(|weights| dot_constant(x0, weights, w0)),
        };
        [a.wrapping_add(a_more), b.wrapping_add(b_more)]
    })
}

fn sum_f32(filters: Filters) -> [f32; 2] {
    filters.fold([0.0; 2], |sums, tap| match tap {
        Tap::Pixel(x, weights) => dot_rows_f32(sums, x, weights),
        Tap::Outside(_) => sums,
    })
}

/// Gives `write` the sum of every filter over every window, the filter's own constants and the result.
#[inline(always)]
fn for_each_filter<C, S, const N: usize>(
    op: &Op,
    arena: &mut [u8],
    (word, sums): (usize, impl Fn(Filters) -> [S; 2]),
    constants: impl Fn(usize) -> Option<C>,
    write: impl Fn(S, C, &mut [u8; N]),
) -> Option<()> {
    let (x, w, y) = (op.input(0)?.info, op.input(1)?, op.output(0)?);
    let window = Window::read(op, spec(op, word)?)?;
    let (weights, size) = (w.constant?, x.dtype().bytes());
    let (pixel, tap) = (x.columns() * size, w.info.columns() * size);
    let filter_bytes = weights.len().checked_div(y.columns())?;
    let per_group = y.columns().checked_div(pixel.checked_div(tap)?)?;
    let (input, output) = split(arena, x.range(), y.range())?;
    for (at, results) in pixels(y).zip(pieces_mut(output, y.columns() * N)) {
        let results: &mut [[u8; N]] = results.as_chunks_mut().0;
        let mut index = 0;
        while index < results.len() {
            // A filter without a neighbour in its group is its own.
            let beside = index + usize::from((index + 1).checked_rem(per_group)? != 0);
            let filter = |index: usize| weights.get(index * filter_bytes..)?.get(..filter_bytes);
            let sums = sums(Filters {
                taps: window.taps(at),
                weights: [filter(index)?, filter(beside)?],
                input,
                pixel,
                first: index.checked_div(per_group)? * tap,
                tap,
            });
            for (place, sum) in (index..=beside).zip(sums) {
                write(sum, constants(place)?, results.get_mut(place)?);
            }
            index = beside + 1;
        }
    }
    Some(())
}
