//! `lstm`: a layer of long short-term memory, one direction.
//!
//! Operands, variants, parameters and state are those of `recurrent`; further input behind the
//! initial `h` (both or none): initial cell `c`, `f32 [hidden]`. Gates in the order of ONNX, one
//! block of `hidden` rows each: input, output, forget, cell. Parameter 2 is 1 where the output
//! has one row more, the cell behind the last step (variants 0 and 1). Per step and unit
//!
//! ```text
//! i, o, f = sigmoid of their pre-activations;  g = tanh of its
//! c = f·c + i·g          two products, one sum
//! h = o·tanh(c)
//! ```
//!
//! `f32` operations in this order, `sigmoid` and `tanh` as the ops of that name. A bias is the
//! sum of those of `W` and `R`, rounded once. `steps·(inputs + hidden)·5·hidden` steps at most.

use super::Kernel;
use super::recurrent::{Cell, Layer, check_layer};
use super::unary::sigmoid;
use crate::KernelId;
use crate::bytes::{copy, f32_at, put};
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, check, split};

pub(in crate::kernels) static F32: Kernel = kernel(0);
pub(in crate::kernels) static F32_BY_I8: Kernel = kernel(1);
pub(in crate::kernels) static I8: Kernel = kernel(2);

const fn kernel(variant: u8) -> Kernel {
    Kernel {
        id: KernelId::new(OpCode::Lstm as u16, 1, variant),
        check: check_op,
        run,
    }
}

/// `extra` is 1 where the cell is an output.
fn cell(extra: u32) -> Cell {
    Cell {
        gates: 4,
        has_cell: true,
        has_product: false,
        extra_rows: extra as usize,
    }
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let extra = op.parameters().need_u32(2)?;
    let most = if op.record().kernel.variant() == 2 {
        0
    } else {
        1
    };
    check(extra <= most, OpFault::Parameters)?;
    check_layer(op, cell(extra))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let cell = cell(op.parameters().u32(2)?);
    let layer = Layer::of(op, cell)?;
    layer.initialise(op, arena)?;
    for step in 0..layer.steps {
        let (x, y) = layer.rows(step)?;
        for unit in 0..layer.hidden {
            run_unit(&layer, arena, unit, (x, y))?;
        }
        layer.advance(arena, y)?;
    }
    if cell.extra_rows == 1 {
        let from = layer.cell..layer.h;
        let end = op.output(0)?.range().end;
        let to = end.checked_sub(from.len())?..end;
        let (cells, row) = split(arena, from, to)?;
        copy(cells, row);
    }
    Some(())
}

fn run_unit(layer: &Layer, arena: &mut [u8], unit: usize, (x, y): (usize, usize)) -> Option<()> {
    let row = |gate: usize| gate.checked_mul(layer.hidden)?.checked_add(unit);
    let both = (Some(x), Some(layer.h));
    let [input, output] = layer.gates(arena, [row(0)?, row(1)?], 0, both)?;
    let [forget, candidate] = layer.gates(arena, [row(2)?, row(3)?], 0, both)?;
    let at = layer.cell.checked_add(unit.checked_mul(4)?)?;
    let kept = sigmoid(forget) * f32_at(arena, at)?;
    let cell = kept + sigmoid(input) * libm::tanhf(candidate);
    put(arena, at, cell.to_le_bytes())?;
    layer.write(arena, y, unit, sigmoid(output) * libm::tanhf(cell))
}
