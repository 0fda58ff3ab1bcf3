//! `gru`: a layer of gated recurrent units, one direction.
//!
//! Operands, variants, parameters and state are those of `recurrent`. Gates in the order of ONNX,
//! one block of `hidden` rows each: update `z`, reset `r`, candidate `n`. Parameter 2 is ONNX's
//! `linear_before_reset`. The bias has four blocks: `z` and `r` (those of `W` and `R` summed), `n`
//! of `W`, `n` of `R`; where parameter 2 is 0, the last is in the third and is not read. Per step
//! and unit
//!
//! ```text
//! z, r = sigmoid of their pre-activations
//! n = tanh(a + r·b)      parameter 2 is 1: a is the candidate's part of x, b that of h
//! n = tanh(a)            parameter 2 is 0: a is the candidate's pre-activation of x and r·h
//! h = (1 - z)·n + z·h    two products, one difference, one sum
//! ```
//!
//! `f32` operations in this order, `sigmoid` and `tanh` as the ops of that name; in variant 2 `h`
//! is the `f32` nearest to what its code stands for. Variant 2 does not take 0 in parameter 2.
//! `steps·(inputs + hidden)·4·hidden` steps at
//! most.

use super::Kernel;
use super::recurrent::{Cell, Layer, check_layer};
use super::unary::sigmoid;
use crate::KernelId;
use crate::bytes::put;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, check};

pub(in crate::kernels) static F32: Kernel = kernel(0);
pub(in crate::kernels) static F32_BY_I8: Kernel = kernel(1);
pub(in crate::kernels) static I8: Kernel = kernel(2);

const fn kernel(variant: u8) -> Kernel {
    Kernel {
        id: KernelId::new(OpCode::Gru as u16, 1, variant),
        check: check_op,
        run,
    }
}

fn cell(is_linear: bool) -> Cell {
    Cell {
        gates: 3,
        has_cell: false,
        has_product: !is_linear,
        extra_rows: 0,
    }
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let linear = op.parameters().need_u32(2)?;
    let least = if op.record().kernel.variant() == 2 {
        1
    } else {
        0
    };
    check((least..=1).contains(&linear), OpFault::Parameters)?;
    check_layer(op, cell(linear == 1))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let is_linear = op.parameters().u32(2)? == 1;
    let layer = Layer::of(op, cell(is_linear))?;
    layer.initialise(op, arena)?;
    let reset = (!is_linear).then_some(layer.product);
    for step in 0..layer.steps {
        let (x, y) = layer.rows(step)?;
        if let Some(reset) = reset {
            reset_state(&layer, arena, reset, x)?;
        }
        for units in pairs(layer.hidden) {
            let candidates = match reset {
                Some(reset) => candidates(&layer, arena, units, (x, reset))?,
                None => linear_candidates(&layer, arena, units, x)?,
            };
            let updates = gates(&layer, arena, (0, units), x)?;
            for ((unit, update), candidate) in units.into_iter().zip(updates).zip(candidates) {
                let h = (1.0 - update) * candidate + update * layer.state(arena, unit)?;
                layer.write(arena, y, unit, h)?;
            }
        }
        layer.advance(arena, y)?;
    }
    Some(())
}

/// All units in pairs; an odd one is its own neighbour and computed twice.
fn pairs(hidden: usize) -> impl Iterator<Item = [usize; 2]> {
    let last = hidden.saturating_sub(1);
    let pair = move |first: usize| [first, first.saturating_add(1).min(last)];
    (0..hidden).step_by(2).map(pair)
}

/// Rows of two units in a block.
fn rows(layer: &Layer, block: usize, [a, b]: [usize; 2]) -> Option<[usize; 2]> {
    let first = layer.hidden.checked_mul(block)?;
    Some([first.checked_add(a)?, first.checked_add(b)?])
}

/// `z` or `r`.
fn gates(
    layer: &Layer,
    arena: &[u8],
    (block, units): (usize, [usize; 2]),
    x: usize,
) -> Option<[f32; 2]> {
    let rows = rows(layer, block, units)?;
    let sums = layer.gates(arena, rows, 0, (Some(x), Some(layer.h)))?;
    Some(sums.map(sigmoid))
}

/// Writes `r·h`.
fn reset_state(layer: &Layer, arena: &mut [u8], to: usize, x: usize) -> Option<()> {
    for units in pairs(layer.hidden) {
        let resets = gates(layer, arena, (1, units), x)?;
        for (unit, reset) in units.into_iter().zip(resets) {
            let product = reset * layer.state(arena, unit)?;
            let at = to.checked_add(unit.checked_mul(4)?)?;
            put(arena, at, product.to_le_bytes())?;
        }
    }
    Some(())
}

fn candidates(
    layer: &Layer,
    arena: &[u8],
    units: [usize; 2],
    (x, reset): (usize, usize),
) -> Option<[f32; 2]> {
    let rows = rows(layer, 2, units)?;
    let sums = layer.gates(arena, rows, 0, (Some(x), Some(reset)))?;
    Some(sums.map(libm::tanhf))
}

fn linear_candidates(layer: &Layer, arena: &[u8], units: [usize; 2], x: usize) -> Option<[f32; 2]> {
    let resets = gates(layer, arena, (1, units), x)?;
    let rows = rows(layer, 2, units)?;
    let input = layer.gates(arena, rows, 0, (Some(x), None))?;
    let recurrent = layer.gates(arena, rows, layer.hidden, (None, Some(layer.h)))?;
    let sum = |which: usize| Some(input.get(which)? + resets.get(which)? * recurrent.get(which)?);
    Some([sum(0)?, sum(1)?].map(libm::tanhf))
}
