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
        for unit in 0..layer.hidden {
            let candidate = match reset {
                Some(reset) => candidate(&layer, arena, unit, (x, reset))?,
                None => linear_candidate(&layer, arena, unit, x)?,
            };
            let update = layer.sigmoid(arena, unit, x)?;
            let h = (1.0 - update) * candidate + update * layer.state(arena, unit)?;
            layer.write(arena, y, unit, h)?;
        }
        layer.advance(arena, y)?;
    }
    Some(())
}

/// Writes `r·h`.
fn reset_state(layer: &Layer, arena: &mut [u8], to: usize, x: usize) -> Option<()> {
    for unit in 0..layer.hidden {
        let reset = layer.sigmoid(arena, layer.hidden.checked_add(unit)?, x)?;
        let product = reset * layer.state(arena, unit)?;
        put(
            arena,
            to.checked_add(unit.checked_mul(4)?)?,
            product.to_le_bytes(),
        )?;
    }
    Some(())
}

fn candidate(layer: &Layer, arena: &[u8], unit: usize, (x, h): (usize, usize)) -> Option<f32> {
    let row = layer.hidden.checked_mul(2)?.checked_add(unit)?;
    let sum = layer.gate(arena, row, row, (Some(x), Some(h)))?;
    Some(libm::tanhf(sum))
}

fn linear_candidate(layer: &Layer, arena: &[u8], unit: usize, x: usize) -> Option<f32> {
    let hidden = layer.hidden;
    let reset = layer.sigmoid(arena, hidden.checked_add(unit)?, x)?;
    let row = hidden.checked_mul(2)?.checked_add(unit)?;
    let input = layer.gate(arena, row, row, (Some(x), None))?;
    let bias = row.checked_add(hidden)?;
    let recurrent = layer.gate(arena, row, bias, (None, Some(layer.h)))?;
    Some(libm::tanhf(input + reset * recurrent))
}
