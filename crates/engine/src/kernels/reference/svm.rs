//! `svm`: support vector machines in four steps.
//!
//! | variant | inputs → output | parameters |
//! |---|---|---|
//! | 0 kernel | `x f32 [1, n]`, vectors `[m, n]` → `[1, m]` | kind, γ, c₀, degree |
//! | 1 decisions | kernel `[1, m]`, coefficients `[c - 1, m]`, ρ `[p]`, counts `i32 [c]` → `[1, p]` | – |
//! | 2 votes | decisions `[1, p]`, labels `i32 [c]` → `i32 [1]` | – |
//! | 3 probabilities | decisions `[1, p]`, A `[p]`, B `[p]` → `[c + 2, c]` | – |
//!
//! Input 0 is `f32` in the arena, the others are constants, `f32` unless said; `c` is 2 to 256
//! classes, `p = c(c - 1)/2` their pairs, (0, 1), (0, 2), …, (1, 2), …. Outputs are apart from input 0.
//!
//! Kernels, `Σ` from feature 0 upwards: 0 linear `Σxv`; 1 polynomial `(γ·Σxv + c₀)^degree`, by
//! products for degrees 2 and 3; 2 radial `exp(-γ·Σ(x - v)²)`; 3 sigmoid `tanh(γ·Σxv + c₀)`. The
//! decision of (i, j) is the sum of the `f32` products of the vectors of class i with row `j - 1` of
//! the coefficients, then of those of class j with row i, then ρ, summed in `f64` and rounded to
//! `f32`. Class i has the vote of (i, j) if its decision is above 0, else j has it; the first class
//! with the most votes gives the label.
//!
//! Probabilities are Platt's, `1 - logistic(A·decision + B)` limited to 10^-7 from 0 and 1, coupled
//! by at most 100 rounds of the method of Wu, Lin and Weng. They are row 0 of the output; the rows
//! behind are room for the iteration. Steps: `2nm`, `2m(c - 1)`, `c²`, `300·c²`.

use super::{Kernel, clamp};
use crate::KernelId;
use crate::bytes::{f32_at, f32s, pieces, put};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: id(0),
    check: check_kernel,
    run: run_kernel,
};
pub(in crate::kernels) static DECISIONS: Kernel = Kernel {
    id: id(1),
    check: check_decisions,
    run: run_decisions,
};
pub(in crate::kernels) static VOTES: Kernel = Kernel {
    id: id(2),
    check: check_votes,
    run: run_votes,
};
pub(in crate::kernels) static PROBABILITIES: Kernel = Kernel {
    id: id(3),
    check: check_probabilities,
    run: run_probabilities,
};

const MAX_CLASSES: usize = 256;
/// Rounds of the coupling of probabilities.
const MAX_ROUNDS: usize = 100;

const fn id(variant: u8) -> KernelId {
    KernelId::new(OpCode::Svm as u16, 1, variant)
}

fn pairs(classes: usize) -> usize {
    classes.saturating_mul(classes.saturating_sub(1)) / 2
}

/// Position of the pair of `first` and a later class.
fn pair(classes: usize, first: usize, second: usize) -> usize {
    let before = first.saturating_mul(classes.saturating_mul(2).saturating_sub(first + 1)) / 2;
    (before + second).saturating_sub(first + 1)
}

/// Input 0 in the arena, the output apart from it, and both of the element types given.
fn check_input(op: &Op, output: DType) -> Result<(), OpFault> {
    op.need_input(0)?.in_arena(DType::F32)?;
    check(op.need_output(0)?.dtype() == output, OpFault::Type)?;
    op.output_is_apart()
}

fn check_constant(op: &Op, position: usize, elements: usize) -> Result<(), OpFault> {
    let constant = op.need_input(position)?;
    constant.is_constant(DType::F32)?;
    constant.has_elements(elements)
}

fn check_classes(classes: usize) -> Result<(), OpFault> {
    check((2..=MAX_CLASSES).contains(&classes), OpFault::Shape)
}

fn check_kernel(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 4)?;
    check_input(op, DType::F32)?;
    check(op.parameters().need_u32(0)? <= 3, OpFault::Parameters)?;
    let features = op.need_input(0)?.info.elements();
    let vectors = op.need_output(0)?.elements();
    check_constant(op, 1, features.saturating_mul(vectors))?;
    Ok((features as u64)
        .saturating_mul(vectors as u64)
        .saturating_mul(2))
}

fn run_kernel(op: &Op, arena: &mut [u8]) -> Option<()> {
    let parameters = op.parameters();
    let (kind, gamma) = (parameters.u32(0)?, parameters.f32(1)?);
    let (addend, degree) = (parameters.f32(2)?, parameters.f32(3)?);
    let x = op.input(0)?.info;
    let (input, output) = split(arena, x.range(), op.output(0)?.range())?;
    let vectors = pieces(op.input(1)?.constant?, x.bytes());
    for (vector, y) in vectors.zip(output.as_chunks_mut().0) {
        let features = f32s(input).zip(f32s(vector));
        let value = match kind {
            2 => {
                let squares = features.map(|(x, v)| (x - v) * (x - v));
                libm::expf(-gamma * squares.fold(0.0, |sum, square| sum + square))
            }
            _ => {
                let sum = features.fold(0.0, |sum, (x, v)| sum + x * v);
                match kind {
                    0 => sum,
                    1 => power(gamma * sum + addend, degree),
                    _ => libm::tanhf(gamma * sum + addend),
                }
            }
        };
        *y = value.to_le_bytes();
    }
    Some(())
}

fn power(base: f32, degree: f32) -> f32 {
    if degree == 2.0 {
        base * base
    } else if degree == 3.0 {
        base * base * base
    } else {
        libm::powf(base, degree)
    }
}

fn check_decisions(op: &Op) -> Result<u64, OpFault> {
    op.has(4, 0)?;
    check_input(op, DType::F32)?;
    let counts = op.need_input(3)?;
    counts.is_constant(DType::I32)?;
    let classes = counts.info.elements();
    check_classes(classes)?;
    let vectors = op.need_input(0)?.info.elements();
    let total = (0..classes).try_fold(0_usize, |total, class| {
        total.checked_add(count(counts.constant?, class)?)
    });
    check(total == Some(vectors), OpFault::Constant)?;
    check_constant(op, 1, vectors.saturating_mul(classes.saturating_sub(1)))?;
    check_constant(op, 2, pairs(classes))?;
    check(
        op.need_output(0)?.elements() == pairs(classes),
        OpFault::Shape,
    )?;
    let steps = vectors
        .saturating_mul(classes)
        .saturating_add(pairs(classes));
    Ok((steps as u64).saturating_mul(2))
}

/// Vectors of a class.
fn count(counts: &[u8], class: usize) -> Option<usize> {
    let count = crate::bytes::u32_at(counts, class.checked_mul(4)?)?;
    usize::try_from(count.cast_signed()).ok()
}

fn run_decisions(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (coefficients, offsets) = (op.input(1)?.constant?, op.input(2)?.constant?);
    let counts = op.input(3)?;
    let (classes, counts) = (counts.info.elements(), counts.constant?);
    let x = op.input(0)?.info;
    let (row, output) = split(arena, x.range(), op.output(0)?.range())?;
    let mut results = output.as_chunks_mut().0.iter_mut().zip(f32s(offsets));
    let mut first_start = 0;
    for first in 0..classes {
        let first_count = count(counts, first)?;
        let mut second_start = first_start + first_count;
        for second in first + 1..classes {
            let second_count = count(counts, second)?;
            let of_first = (second - 1, first_start, first_count);
            let of_second = (first, second_start, second_count);
            let sum = weighted(row, coefficients, of_first, 0.0)?;
            let sum = weighted(row, coefficients, of_second, sum)?;
            let (y, offset) = results.next()?;
            *y = ((sum + f64::from(offset)) as f32).to_le_bytes();
            second_start += second_count;
        }
        first_start += first_count;
    }
    Some(())
}

/// `sum` and the products of a run of a row with the same run of a line of coefficients.
fn weighted(
    row: &[u8],
    coefficients: &[u8],
    (line, start, count): (usize, usize, usize),
    sum: f64,
) -> Option<f64> {
    let values = row.get(4 * start..)?.get(..4 * count)?;
    let line = coefficients.get(line * row.len() + 4 * start..)?;
    let products = f32s(values).zip(f32s(line));
    Some(products.fold(sum, |sum, (value, factor)| sum + f64::from(factor * value)))
}

fn check_votes(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 0)?;
    check_input(op, DType::I32)?;
    let labels = op.need_input(1)?;
    labels.is_constant(DType::I32)?;
    let classes = labels.info.elements();
    check_classes(classes)?;
    op.need_input(0)?.has_elements(pairs(classes))?;
    check(op.need_output(0)?.elements() == 1, OpFault::Shape)?;
    Ok((classes as u64).saturating_mul(classes as u64))
}

fn run_votes(op: &Op, arena: &mut [u8]) -> Option<()> {
    let labels = op.input(1)?;
    let classes = labels.info.elements();
    let decisions = op.input(0)?.bytes(arena)?;
    let wins = |first: usize, second: usize| {
        f32_at(decisions, 4 * pair(classes, first, second)).is_some_and(|d| d > 0.0)
    };
    let (mut best, mut most) = (0, 0);
    for class in 0..classes {
        let before = (0..class).filter(|&first| !wins(first, class)).count();
        let votes = before
            + (class + 1..classes)
                .filter(|&second| wins(class, second))
                .count();
        if votes > most {
            (best, most) = (class, votes);
        }
    }
    let label: [u8; 4] = crate::bytes::array(labels.constant?, 4 * best)?;
    put(arena, op.output(0)?.range().start, label)
}

fn check_probabilities(op: &Op) -> Result<u64, OpFault> {
    op.has(3, 0)?;
    check_input(op, DType::F32)?;
    let output = op.need_output(0)?;
    let classes = output.columns();
    check_classes(classes)?;
    check(output.rows() == classes + 2, OpFault::Shape)?;
    op.need_input(0)?.has_elements(pairs(classes))?;
    check_constant(op, 1, pairs(classes))?;
    check_constant(op, 2, pairs(classes))?;
    let square = (classes as u64).saturating_mul(classes as u64);
    Ok(square.saturating_mul(3 * MAX_ROUNDS as u64))
}

fn run_probabilities(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (a, b) = (op.input(1)?.constant?, op.input(2)?.constant?);
    let output = op.output(0)?;
    let (decisions, room) = split(arena, op.input(0)?.info.range(), output.range())?;
    let classes = output.columns();
    let mut coupling = Coupling { room, classes };
    let mut platt = f32s(decisions).zip(f32s(a).zip(f32s(b)));
    for first in 0..classes {
        for second in first + 1..classes {
            let (decision, (a, b)) = platt.next()?;
            let share = platt_probability(decision * a + b);
            coupling.set(2 + first, second, share)?;
            coupling.set(2 + second, first, 1.0 - share)?;
        }
    }
    coupling.solve()
}

/// `1 - logistic(value)`, kept away from 0 and 1.
fn platt_probability(value: f32) -> f32 {
    const NEAREST: f32 = 1.0e-7;
    let logistic = 1.0 / (1.0 + libm::expf(-value.abs()));
    let logistic = if value < 0.0 {
        1.0 - logistic
    } else {
        logistic
    };
    clamp::limit(1.0 - logistic, NEAREST, 1.0 - NEAREST)
}

/// Rows of `classes` floats: the probabilities, their products with `Q`, and the shares of every
/// pair with the diagonal of `Q` between them.
struct Coupling<'a> {
    room: &'a mut [u8],
    classes: usize,
}

impl Coupling<'_> {
    fn at(&self, row: usize, column: usize) -> Option<f32> {
        f32_at(self.room, 4 * (row * self.classes + column))
    }

    fn set(&mut self, row: usize, column: usize, value: f32) -> Option<()> {
        put(
            self.room,
            4 * (row * self.classes + column),
            value.to_le_bytes(),
        )
    }

    /// An element of `Q`.
    fn q(&self, i: usize, j: usize) -> Option<f32> {
        match i == j {
            true => self.at(2 + i, i),
            false => Some(-self.at(2 + j, i)? * self.at(2 + i, j)?),
        }
    }

    fn solve(&mut self) -> Option<()> {
        let classes = self.classes;
        let tolerance = 0.005 / classes as f32;
        for i in 0..classes {
            let mut diagonal = 0.0;
            for j in (0..classes).filter(|&j| j != i) {
                let share = self.at(2 + j, i)?;
                diagonal += share * share;
            }
            self.set(2 + i, i, diagonal)?;
            self.set(0, i, 1.0 / classes as f32)?;
        }
        for _ in 0..MAX_ROUNDS {
            let product = self.multiply()?;
            if self.largest_error(product)? < tolerance {
                break;
            }
            self.improve(product)?;
        }
        Some(())
    }

    /// Writes `Qp` and gives `pᵀQp`.
    fn multiply(&mut self) -> Option<f32> {
        let mut product = 0.0;
        for i in 0..self.classes {
            let mut sum = 0.0;
            for j in 0..self.classes {
                sum += self.q(i, j)? * self.at(0, j)?;
            }
            self.set(1, i, sum)?;
            product += self.at(0, i)? * sum;
        }
        Some(product)
    }

    fn largest_error(&self, product: f32) -> Option<f32> {
        let mut largest = 0.0;
        for i in 0..self.classes {
            let error = (self.at(1, i)? - product).abs();
            if error > largest {
                largest = error;
            }
        }
        Some(largest)
    }

    fn improve(&mut self, mut product: f32) -> Option<()> {
        for i in 0..self.classes {
            let (diagonal, own) = (self.q(i, i)?, self.at(1, i)?);
            let step = (-own + product) / diagonal;
            let scale = 1.0 + step;
            self.set(0, i, self.at(0, i)? + step)?;
            product = (product + step * (step * diagonal + 2.0 * own)) / scale / scale;
            for j in 0..self.classes {
                let updated = (self.at(1, j)? + step * self.q(i, j)?) / scale;
                self.set(1, j, updated)?;
                self.set(0, j, self.at(0, j)? / scale)?;
            }
        }
        Some(())
    }
}
