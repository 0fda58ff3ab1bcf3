//! What `lstm` and `gru` share: one direction of a recurrent layer over the rows of a tensor.
//!
//! | operand | variant 0 | variant 1 | variant 2 |
//! |---|---|---|---|
//! | `x [steps, inputs]` in the arena | `f32` | `f32` | `i8` |
//! | weights `W [rows, inputs]`, `R [rows, hidden]` | `f32` | `i8` | `i8` |
//! | | bias `f32 [4·hidden]` | bias `f32 [4·hidden]` | factors `[1 or rows, 20]` bytes |
//! | | | scales of `W`, of `R`: `f32 [1 or rows]` | offsets `[4·hidden, 12]` bytes |
//! | initial `h [hidden]`, left out for 0.0 | `f32` | `f32` | `i8` |
//! | output `[steps or 1, hidden]` | `f32` | `f32` | `i8` |
//!
//! A row of `W` and `R` belongs to one gate of one unit. What a gate sees of `x_t` and of the
//! state `h`, its pre-activation, is
//!
//! - variant 0: `(Σ x·w + Σ h·r) + bias`, `f32`, sums from element 0 upwards, starting at 0.0;
//! - variant 1: `((Σ x·(w - w₀))·s_w + (Σ h·(r - r₀))·s_r) + bias`, likewise, integers as `f32`;
//! - variant 2: the `f32` nearest to `(P·Σ x(w - w₀) + Q·Σ h(r - r₀) + C) / 2^shift`, ties to
//!   even, the numerator an exact integer. A factor entry is `P` and `Q`, `u64`, and the shift,
//!   `u32` of at most 126; an offset entry is `C`, 12 bytes in two's complement. The zero points
//!   of `x` and `h` and the bias are in `C`; a bias finer than one step of the numerator is off
//!   by less than one.
//!
//! Logistic function, hyperbolic tangent and what follows are `f32` operations as the op's module
//! states them. Variants 0 and 1 keep `h` as `f32`. Variant 2 quantises every new `h` with the
//! output's scale and zero point, rounded half to even, saturated, and goes on with that: state
//! and output are the same integers. (ONNX has no word for the state between steps.)
//!
//! Parameters: reverse (1: from the last row to the first), last (1: the output is the state
//! behind the last step alone), one word of the op, then in variant 1 `w₀`, `r₀` and in variant 2
//! `w₀`, `r₀`, scale `f32` and zero point of the output.
//!
//! Scratch, bytes: a word that is 1 once the layer has begun, the cell (`lstm`), `h`, then `r·h`
//! of a `gru` that resets first. Where it lies in the bytes that are kept from run to run, a run goes on from the
//! state that the last one left; where not, every run begins with the initial state. Every
//! operand in the arena lies apart from the others.

use super::dot::{add_products, correction, dot_rows, dot_rows_f32};
use crate::bytes::{array, chunk, copy, f32_at, f32s, put, u32_at};
use crate::error::OpFault;
use crate::exact;
use crate::format::{DType, MAX_ROW};
use crate::op::{Op, check, split};

/// Bytes before the state: whether the layer has begun.
const MARK_BYTES: usize = 4;
const BEGUN: u32 = 1;
const FACTOR_BYTES: usize = 20;
const OFFSET_BYTES: usize = 12;
/// Largest shift, so that `2^-shift` is a normal `f32`.
const MAX_SHIFT: u32 = 126;
/// Words before those of a variant.
const COMMON_WORDS: usize = 3;

/// What differs between the ops.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// Rows of `W` per unit.
    pub gates: usize,
    /// Whether a cell is kept beside `h`.
    pub has_cell: bool,
    /// Whether a float per unit follows `h`.
    pub has_product: bool,
    /// Rows of the output behind those of `h`.
    pub extra_rows: usize,
}

/// How a variant counts: operands before the initial state and parameter words.
fn counts(variant: u8) -> (u8, usize) {
    match variant {
        0 => (4, COMMON_WORDS),
        1 => (6, COMMON_WORDS + 2),
        _ => (5, COMMON_WORDS + 4),
    }
}

/// One weight matrix and how a row of it becomes a sum.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    weights: &'a [u8],
    columns: usize,
    zero_point: i32,
    /// Of 8-bit weights that meet floats.
    scales: Option<&'a [u8]>,
    is_float: bool,
}

impl<'a> Matrix<'a> {
    /// The weights that are operand 1 or 2.
    #[inline(never)]
    fn of(op: &Op<'a>, position: usize) -> Option<Matrix<'a>> {
        let weights = op.input(position)?;
        let word = COMMON_WORDS.checked_add(position)?.checked_sub(1)?;
        Some(Matrix {
            weights: weights.constant?,
            columns: weights.info.columns(),
            zero_point: op.parameters().i32(word).unwrap_or(0),
            scales: constant(op, position.checked_add(3)?),
            is_float: op.record().kernel.variant() == 0,
        })
    }

    /// Sums of two rows with the vector that starts at `start`.
    #[inline(never)]
    fn floats(&self, arena: &[u8], rows: [usize; 2], start: usize) -> Option<[f32; 2]> {
        let vector = arena.get(start..)?.get(..self.columns.wrapping_mul(4))?;
        if self.is_float {
            let [a, b] = self.rows(rows, self.columns.wrapping_mul(4))?;
            return Some(dot_rows_f32([0.0; 2], vector, [a, b]));
        }
        let [a, b] = self.rows(rows, self.columns)?;
        let code = |&code: &u8| i32::from(code as i8).wrapping_sub(self.zero_point) as f32;
        let weights = a.iter().map(code).zip(b.iter().map(code));
        let [first, second] = add_products([0.0; 2], f32s(vector), weights);
        let scales = self.scales?;
        let scale = |row: usize| match scales.len() {
            4 => f32_at(scales, 0),
            _ => f32_at(scales, row.checked_mul(4)?),
        };
        let [row, next] = rows;
        Some([first * scale(row)?, second * scale(next)?])
    }

    /// As [`floats`](Self::floats), of integers: below 2^31 in magnitude for rows up to [`MAX_ROW`].
    #[inline(never)]
    fn integers(&self, arena: &[u8], rows: [usize; 2], start: usize) -> Option<[i32; 2]> {
        let vector = arena.get(start..)?.get(..self.columns)?;
        let rows = self.rows(rows, self.columns)?;
        Some(dot_rows(vector, rows, correction(vector, self.zero_point)))
    }

    /// Two rows of so many bytes.
    #[inline(always)]
    fn rows(&self, [a, b]: [usize; 2], bytes: usize) -> Option<[&'a [u8]; 2]> {
        let row = |row: usize| self.weights.get(row.wrapping_mul(bytes)..)?.get(..bytes);
        Some([row(a)?, row(b)?])
    }
}

/// The bytes of a constant operand.
#[inline(never)]
fn constant<'a>(op: &Op<'a>, position: usize) -> Option<&'a [u8]> {
    op.input(position)?.constant
}

/// What a gate adds to its products, and how the sum becomes a float.
#[derive(Clone, Copy)]
enum Bias<'a> {
    Float(&'a [u8]),
    Exact {
        factors: &'a [u8],
        offsets: &'a [u8],
    },
}

/// A checked layer: where its parts lie.
pub(super) struct Layer<'a> {
    pub steps: usize,
    pub hidden: usize,
    /// Offset of the cell in the arena.
    pub cell: usize,
    /// Offset of the state.
    pub h: usize,
    /// Offset of `r·h`.
    pub product: usize,
    reverse: bool,
    last: bool,
    x: usize,
    y: usize,
    input: Matrix<'a>,
    recurrent: Matrix<'a>,
    bias: Bias<'a>,
    /// Scale and zero point of an `i8` state.
    quantization: Option<(f32, i32)>,
}

/// Checks an op of either kind; gives its steps. `op_word` is parameter 2.
pub(super) fn check_layer(op: &Op, cell: Cell) -> Result<u64, OpFault> {
    let variant = op.record().kernel.variant();
    let (fixed, words) = counts(variant);
    let initial = if cell.has_cell { 2 } else { 1 };
    let given = op.record().inputs == fixed.saturating_add(initial);
    let inputs = if given { op.record().inputs } else { fixed };
    op.has_operands(inputs, 1)?;
    op.has_parameters(words)?;
    let hidden = check_shapes(op, cell)?;
    if given {
        check_initial(op, fixed.into(), hidden)?;
    }
    match variant {
        0 => op.need_input(3)?.is_constant(DType::F32)?,
        1 => check_scales(op)?,
        _ => check_exact(op)?,
    }
    let bias = op.need_input(if variant == 2 { 4 } else { 3 })?;
    let bias_bytes = if variant == 2 { OFFSET_BYTES } else { 1 };
    bias.has_elements(hidden.saturating_mul(4).saturating_mul(bias_bytes))?;
    op.arena_operands_are_apart()?;
    let (x, weights) = (op.need_input(0)?, op.need_input(1)?);
    let row = weights.info.columns().saturating_add(hidden) as u64;
    let gates = weights.info.rows().saturating_add(hidden) as u64;
    Ok((x.info.rows() as u64).saturating_mul(row.saturating_mul(gates)))
}

/// Shapes of input, weights, output and state; gives the number of units.
#[inline(never)]
fn check_shapes(op: &Op, cell: Cell) -> Result<usize, OpFault> {
    let variant = op.record().kernel.variant();
    let (x, w, r) = (op.need_input(0)?, op.need_input(1)?, op.need_input(2)?);
    let outer = if variant == 2 { DType::I8 } else { DType::F32 };
    let weights = if variant == 0 { DType::F32 } else { DType::I8 };
    x.in_arena(outer)?;
    w.is_constant(weights)?;
    r.is_constant(weights)?;
    let y = op.need_output(0)?;
    check(y.dtype() == outer, OpFault::Type)?;
    let hidden = r.info.columns();
    let rows = hidden.saturating_mul(cell.gates);
    let (reverse, last) = (op.parameters().need_u32(0)?, op.parameters().need_u32(1)?);
    check(reverse <= 1 && last <= 1, OpFault::Parameters)?;
    let steps = if last == 1 { 1 } else { x.info.rows() };
    let fits = r.info.rows() == rows
        && w.info.rows() == rows
        && w.info.columns() == x.info.columns()
        && x.info.columns().max(hidden) <= MAX_ROW as usize
        && y.columns() == hidden
        && y.rows() == steps.saturating_add(cell.extra_rows);
    check(fits, OpFault::Shape)?;
    let state = op.scratch(0).ok_or(OpFault::Operands)?;
    let floats = usize::from(cell.has_cell).saturating_add(cell.has_product.into());
    let unit = outer.bytes().saturating_add(floats.saturating_mul(4));
    let bytes = hidden.saturating_mul(unit).saturating_add(MARK_BYTES);
    check(state.dtype() == DType::U8, OpFault::Type)?;
    check(state.elements() >= bytes, OpFault::Shape)?;
    Ok(hidden)
}

#[inline(never)]
fn check_initial(op: &Op, first: usize, hidden: usize) -> Result<(), OpFault> {
    let h_type = op.need_output(0)?.dtype();
    for position in first..usize::from(op.record().inputs) {
        let initial = op.need_input(position)?;
        initial.is_constant(if position == first {
            h_type
        } else {
            DType::F32
        })?;
        initial.has_elements(hidden)?;
    }
    Ok(())
}

fn check_zero_points(op: &Op) -> Result<(), OpFault> {
    let byte = |word| Ok((-128..=127).contains(&op.parameters().need_i32(word)?));
    check(
        byte(COMMON_WORDS)? && byte(COMMON_WORDS + 1)?,
        OpFault::Parameters,
    )
}

#[inline(never)]
fn check_scales(op: &Op) -> Result<(), OpFault> {
    check_zero_points(op)?;
    op.need_input(3)?.is_constant(DType::F32)?;
    let rows = op.need_input(1)?.info.rows();
    for position in 4..6 {
        let scales = op.need_input(position)?;
        scales.is_constant(DType::F32)?;
        let entries = scales.info.elements();
        check(entries == 1 || entries == rows, OpFault::Shape)?;
    }
    Ok(())
}

#[inline(never)]
fn check_exact(op: &Op) -> Result<(), OpFault> {
    check_zero_points(op)?;
    let parameters = op.parameters();
    let scale = parameters.need_f32(COMMON_WORDS + 2)?;
    let zero_point = parameters.need_i32(COMMON_WORDS + 3)?;
    let valid = scale > 0.0 && scale.is_normal() && (-128..=127).contains(&zero_point);
    check(valid, OpFault::Parameters)?;
    let (factors, rows) = (op.need_input(3)?, op.need_input(1)?.info.rows());
    factors.is_constant(DType::U8)?;
    op.need_input(4)?.is_constant(DType::U8)?;
    let bytes = factors.info.elements();
    let fits = bytes == FACTOR_BYTES || bytes == rows.saturating_mul(FACTOR_BYTES);
    check(fits, OpFault::Shape)?;
    let entries = factors.constant.unwrap_or_default();
    let shifts = entries.as_chunks::<FACTOR_BYTES>().0;
    let small = |entry: &[u8; FACTOR_BYTES]| u32_at(entry, 16).is_some_and(|s| s <= MAX_SHIFT);
    check(shifts.iter().all(small), OpFault::Constant)
}

impl<'a> Layer<'a> {
    /// The parts of a checked op.
    #[inline(never)]
    pub fn of(op: &Op<'a>, cell: Cell) -> Option<Layer<'a>> {
        let variant = op.record().kernel.variant();
        let (x, parameters) = (op.input(0)?.info, op.parameters());
        let is_exact = variant == 2;
        let state = op.scratch(0)?.range().start.checked_add(MARK_BYTES)?;
        let hidden = op.input(2)?.info.columns();
        let cells = if cell.has_cell { 4 } else { 0 };
        let h = state.checked_add(hidden.checked_mul(cells)?)?;
        let h_bytes = hidden.checked_mul(op.output(0)?.dtype().bytes())?;
        Some(Layer {
            steps: x.rows(),
            hidden,
            cell: state,
            h,
            product: h.checked_add(h_bytes)?,
            reverse: parameters.u32(0)? == 1,
            last: parameters.u32(1)? == 1,
            x: x.range().start,
            y: op.output(0)?.range().start,
            input: Matrix::of(op, 1)?,
            recurrent: Matrix::of(op, 2)?,
            bias: match is_exact {
                false => Bias::Float(constant(op, 3)?),
                true => Bias::Exact {
                    factors: constant(op, 3)?,
                    offsets: constant(op, 4)?,
                },
            },
            quantization: match is_exact {
                false => None,
                true => Some((
                    parameters.f32(COMMON_WORDS + 2)?,
                    parameters.i32(COMMON_WORDS + 3)?,
                )),
            },
        })
    }

    /// Writes the initial state unless one is kept.
    #[inline(never)]
    pub fn initialise(&self, op: &Op, arena: &mut [u8]) -> Option<()> {
        let scratch = op.scratch(0)?;
        let place = arena.get_mut(scratch.range())?;
        if op.is_kept(scratch) && u32_at(place, 0)? == BEGUN {
            return Some(());
        }
        put(place, 0, BEGUN.to_le_bytes())?;
        let (cells, h) = place
            .get_mut(MARK_BYTES..)?
            .split_at_mut_checked(self.h.checked_sub(self.cell)?)?;
        let h = h.get_mut(..self.h_bytes()?)?;
        let zero = self
            .quantization
            .map_or(0, |(_, zero_point)| zero_point as u8);
        cells.fill(0);
        h.fill(zero);
        let (fixed, _) = counts(op.record().kernel.variant());
        if let Some(initial) = op.input(fixed.into()) {
            copy(initial.constant?, h);
        }
        if let Some(initial) = op.input(usize::from(fixed).checked_add(1)?) {
            copy(initial.constant?, cells);
        }
        Some(())
    }

    /// Offsets of the row that step `step` reads and of the one it writes.
    pub fn rows(&self, step: usize) -> Option<(usize, usize)> {
        let row = match self.reverse {
            true => self.steps.checked_sub(step)?.checked_sub(1)?,
            false => step,
        };
        let x_bytes = self.input.columns.checked_mul(self.element_bytes())?;
        let x = self.x.checked_add(row.checked_mul(x_bytes)?)?;
        let to = if self.last { 0 } else { row };
        let y = self.y.checked_add(to.checked_mul(self.h_bytes()?)?)?;
        Some((x, y))
    }

    fn element_bytes(&self) -> usize {
        if self.quantization.is_some() { 1 } else { 4 }
    }

    fn h_bytes(&self) -> Option<usize> {
        self.hidden.checked_mul(self.element_bytes())
    }

    /// Pre-activations of two rows for the vectors at these offsets; where one is left out, its
    /// products are. `bias` is how far a row's bias lies behind the row's number.
    pub fn gates(
        &self,
        arena: &[u8],
        rows: [usize; 2],
        bias: usize,
        vectors: (Option<usize>, Option<usize>),
    ) -> Option<[f32; 2]> {
        let biases = rows.map(|row| row.wrapping_add(bias));
        match self.bias {
            Bias::Float(bias) => self.float_gates(arena, rows, (bias, biases), vectors),
            Bias::Exact { factors, offsets } => {
                let sums = self.sums(arena, rows, vectors)?;
                let sum = |[a, b]: [i32; 2], row: usize, bias: usize| {
                    let at = match factors.len() {
                        FACTOR_BYTES => 0,
                        _ => row.wrapping_mul(FACTOR_BYTES),
                    };
                    let offset = chunk(offsets, bias.wrapping_mul(OFFSET_BYTES))?;
                    exact_sum([a, b], chunk(factors, at)?, offset)
                };
                let ([a, c], [b, d]) = sums;
                let ([first, second], [bias, next]) = (rows, biases);
                Some([sum([a, b], first, bias)?, sum([c, d], second, next)?])
            }
        }
    }

    #[inline(never)]
    fn float_gates(
        &self,
        arena: &[u8],
        rows: [usize; 2],
        (values, biases): (&[u8], [usize; 2]),
        (x, h): (Option<usize>, Option<usize>),
    ) -> Option<[f32; 2]> {
        let part = |start: Option<usize>, matrix: &Matrix| match start {
            Some(start) => matrix.floats(arena, rows, start).map(Some),
            None => Some(None),
        };
        let [first, second] = match (part(x, &self.input)?, part(h, &self.recurrent)?) {
            (Some([a, b]), Some([c, d])) => [a + c, b + d],
            (input, recurrent) => input.or(recurrent)?,
        };
        let bias = |at: usize| f32_at(values, at.checked_mul(4)?);
        let [at, next] = biases;
        Some([first + bias(at)?, second + bias(next)?])
    }

    /// Sums of products with each vector.
    fn sums(
        &self,
        arena: &[u8],
        rows: [usize; 2],
        (x, h): (Option<usize>, Option<usize>),
    ) -> Option<([i32; 2], [i32; 2])> {
        let part = |start: Option<usize>, matrix: &Matrix| match start {
            Some(start) => matrix.integers(arena, rows, start),
            None => Some([0; 2]),
        };
        Some((part(x, &self.input)?, part(h, &self.recurrent)?))
    }

    /// The state of a unit as a float.
    pub fn state(&self, arena: &[u8], unit: usize) -> Option<f32> {
        match self.quantization {
            None => f32_at(arena, self.h.checked_add(unit.checked_mul(4)?)?),
            Some((scale, zero_point)) => {
                let [code] = array(arena, self.h.checked_add(unit)?)?;
                Some(i32::from(code as i8).saturating_sub(zero_point) as f32 * scale)
            }
        }
    }

    /// Writes a unit's new state to the row of the output that starts at `y`.
    pub fn write(&self, arena: &mut [u8], y: usize, unit: usize, h: f32) -> Option<()> {
        match self.quantization {
            None => put(arena, y.checked_add(unit.checked_mul(4)?)?, h.to_le_bytes()),
            Some((scale, zero_point)) => {
                let code = exact::round_quotient(h, scale).saturating_add(zero_point);
                let byte = code.clamp(-128, 127) as i8 as u8;
                put(arena, y.checked_add(unit)?, [byte])
            }
        }
    }

    /// The row written at `y` becomes the state of the next step.
    pub fn advance(&self, arena: &mut [u8], y: usize) -> Option<()> {
        let bytes = self.h_bytes()?;
        let (from, to) = (y..y.checked_add(bytes)?, self.h..self.h.checked_add(bytes)?);
        let (row, state) = split(arena, from, to)?;
        copy(row, state);
        Some(())
    }
}

/// `(P·a + Q·b + C) / 2^shift`, rounded to `f32` once.
#[inline(never)]
fn exact_sum(
    sums: [i32; 2],
    factors: &[u8; FACTOR_BYTES],
    offset: &[u8; OFFSET_BYTES],
) -> Option<f32> {
    match narrow_numerator(sums, factors, offset) {
        Some(numerator) => Some(exact::nearest(numerator, u32_at(factors, 16)?)),
        None => wide_sum(sums, factors, offset),
    }
}

/// The numerator's higher bits and lowest 32, from products of 64 bits, which take a processor of 32 bits few
/// instructions; none where sums or `C` might not leave room for that.
#[inline(always)]
fn narrow_numerator(
    sums: [i32; 2],
    factors: &[u8; FACTOR_BYTES],
    offset: &[u8; OFFSET_BYTES],
) -> Option<(i64, u32)> {
    let is_small = |sum: i32| sum.unsigned_abs() < 1 << 29;
    let (low, high) = (
        u32_at(offset, 0)?,
        array(offset, 4).map(i64::from_le_bytes)?,
    );
    if !sums.into_iter().all(is_small) || high.unsigned_abs() >= 1 << 62 {
        return None;
    }
    let products = |at: usize| {
        let factors = [u32_at(factors, at)?, u32_at(factors, at.wrapping_add(8))?];
        let [a, b] = sums.map(i64::from);
        let [p, q] = factors.map(i64::from);
        Some(a.wrapping_mul(p).wrapping_add(b.wrapping_mul(q)))
    };
    let lower = products(0)?.wrapping_add(low.into());
    let higher = products(4)?.wrapping_add(high).wrapping_add(lower >> 32);
    Some((higher, lower as u32))
}

/// As [`exact_sum`], with any factors.
#[cold]
#[inline(never)]
fn wide_sum(
    [a, b]: [i32; 2],
    factors: &[u8; FACTOR_BYTES],
    offset: &[u8; OFFSET_BYTES],
) -> Option<f32> {
    let factor = |at: usize| array(factors, at).map(u64::from_le_bytes).map(i128::from);
    let low = array(offset, 0).map(u64::from_le_bytes)?;
    let high = array(offset, 8).map(i32::from_le_bytes)?;
    let numerator = i128::from(a)
        .wrapping_mul(factor(0)?)
        .wrapping_add(i128::from(b).wrapping_mul(factor(8)?))
        .wrapping_add(i128::from(high) << 64 | i128::from(low));
    Some(exact::nearest_wide(numerator, u32_at(factors, 16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of which many are extreme.
    fn numbers() -> impl FnMut() -> u64 {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state >> 61 {
                0 => u64::MAX << (state & 63),
                1 => u64::MAX >> (state & 63),
                2 => 0,
                _ => state >> (state >> 40 & 63),
            }
        }
    }

    #[test]
    fn sums_of_64_bits_equal_those_of_128() {
        let mut next = numbers();
        let mut narrow = 0;
        for _ in 0..200_000 {
            let sums = [next() as i32, next() as i32];
            let shift = (next() % 127) as u32;
            let (mut factors, mut offset) = ([0; FACTOR_BYTES], [0; OFFSET_BYTES]);
            put(&mut factors, 0, next().to_le_bytes()).unwrap();
            put(&mut factors, 8, next().to_le_bytes()).unwrap();
            put(&mut factors, 16, shift.to_le_bytes()).unwrap();
            put(&mut offset, 0, next().to_le_bytes()).unwrap();
            put(&mut offset, 8, (next() as u32).to_le_bytes()).unwrap();
            let sum = exact_sum(sums, &factors, &offset).unwrap();
            let expected = wide_sum(sums, &factors, &offset).unwrap();
            assert_eq!(
                sum.to_bits(),
                expected.to_bits(),
                "{sums:?} {factors:?} {offset:?}"
            );
            narrow += u32::from(narrow_numerator(sums, &factors, &offset).is_some());
        }
        assert!(narrow > 50_000, "{narrow}");
    }
}
