//! `quantize_linear` and `dequantize_linear`: between `f32` and `i8`.
//!
//! Parameters of both: scale `f32` (normal, positive), zero point `i32` in -128..=127.
//! `quantize_linear` gives `x / scale`, rounded half to even as a real number, plus the zero
//! point, saturated to -128..=127; a NaN gives the zero point. `dequantize_linear` gives
//! `(q - zero point)·scale`, rounded once. Output: the shape of the input, apart from it. One step
//! per element.

use super::Kernel;
use crate::KernelId;
use crate::bytes::f32s;
use crate::error::OpFault;
use crate::exact;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static QUANTIZE: Kernel = Kernel {
    id: KernelId::new(OpCode::QuantizeLinear as u16, 1, 0),
    check: |op| check_op(op, DType::F32, DType::I8),
    run: quantize,
};

pub(in crate::kernels) static DEQUANTIZE: Kernel = Kernel {
    id: KernelId::new(OpCode::DequantizeLinear as u16, 1, 0),
    check: |op| check_op(op, DType::I8, DType::F32),
    run: dequantize,
};

fn check_op(op: &Op, from: DType, to: DType) -> Result<u64, OpFault> {
    op.has(1, 2)?;
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(from)?;
    check(y.dtype() == to, OpFault::Type)?;
    check(x.info.has_shape(y.dims()), OpFault::Shape)?;
    let (scale, zero_point) = (op.parameters().need_f32(0)?, op.parameters().need_i32(1)?);
    let positive = scale > 0.0 && scale.is_normal();
    check(
        positive && (-128..=127).contains(&zero_point),
        OpFault::Parameters,
    )?;
    op.output_is_apart()?;
    Ok(y.elements() as u64)
}

fn quantize(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (scale, zero_point) = (op.parameters().f32(0)?, op.parameters().i32(1)?);
    let (input, output) = split(arena, op.input(0)?.info.range(), op.output(0)?.range())?;
    for (x, q) in f32s(input).zip(output) {
        let code = exact::round_quotient(x, scale).saturating_add(zero_point);
        *q = code.clamp(-128, 127) as i8 as u8;
    }
    Some(())
}

fn dequantize(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (scale, zero_point) = (op.parameters().f32(0)?, op.parameters().i32(1)?);
    let (input, output) = split(arena, op.input(0)?.info.range(), op.output(0)?.range())?;
    for (&q, x) in input.iter().zip(output.as_chunks_mut().0) {
        let steps = i32::from(q as i8).saturating_sub(zero_point);
        *x = (steps as f32 * scale).to_le_bytes();
    }
    Some(())
}
