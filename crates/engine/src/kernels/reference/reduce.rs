//! `reduce_mean`, `reduce_sum`, `reduce_max`, `reduce_min`: one axis to one element.
//!
//! Input 0: `f32` in the arena, seen as `[outer, reduced, inner]`, which are the parameters.
//! Output: `f32` of `outer·inner` elements, apart from the input. Sums run from element 0 of the
//! axis upwards, starting at 0.0; the mean is the sum divided by `reduced`. A NaN never wins a
//! maximum or minimum after the first element. One step per input element.

use super::Kernel;
use crate::KernelId;
use crate::bytes::{f32_at, pieces, pieces_mut};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Kind, Op, Signature, check, disjoint, split};

macro_rules! kernel {
    ($name:ident, $op:ident, $function:expr) => {
        pub(in crate::kernels) static $name: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 0),
            check: check_op,
            run: |op, arena| run(op, arena, $function),
        };
    };
}

kernel!(MEAN, ReduceMean, |sum: Axis| sum.total()
    / sum.length as f32);
kernel!(SUM, ReduceSum, |axis: Axis| axis.total());
kernel!(MAX, ReduceMax, |axis: Axis| axis
    .pick(|value, best| value > best));
kernel!(MIN, ReduceMin, |axis: Axis| axis
    .pick(|value, best| value < best));

/// The elements of one axis: `length` of them, `stride` elements apart.
struct Axis<'a> {
    bytes: &'a [u8],
    length: usize,
    stride: usize,
}

impl Axis<'_> {
    fn values(&self) -> impl Iterator<Item = f32> {
        (0..self.length).map_while(|i| f32_at(self.bytes, 4 * i * self.stride))
    }

    fn total(&self) -> f32 {
        self.values().fold(0.0, |sum, value| sum + value)
    }

    fn pick(&self, wins: impl Fn(f32, f32) -> bool) -> f32 {
        self.values()
            .reduce(|best, value| if wins(value, best) { value } else { best })
            .unwrap_or(0.0)
    }
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    check_operands(op, DType::F32, SIZES)
}

/// Parameter words of the sizes.
const SIZES: usize = 3;

/// An input in the arena and an output apart from it, of one element type and the sizes said, and so many parameter
/// words.
pub(super) fn check_operands(op: &Op, element: DType, words: usize) -> Result<u64, OpFault> {
    let kind = Kind::placed(element);
    op.is(Signature::new(&[kind], &[kind], &[], words))?;
    let (x, y) = (op.at(0), op.at(1));
    let [outer, reduced, inner] = sizes(op).ok_or(OpFault::Parameters)?;
    let (kept, all) = (outer.checked_mul(inner), x.elements());
    check(kept == Some(y.elements()), OpFault::Shape)?;
    check(
        y.elements().checked_mul(reduced) == Some(all),
        OpFault::Shape,
    )?;
    check(disjoint(&x.range(), &y.range()), OpFault::Aliasing)?;
    Ok(all as u64)
}

pub(super) fn sizes(op: &Op) -> Option<[usize; 3]> {
    let word = |position| op.parameters().u32(position).map(|size| size as usize);
    Some([word(0)?, word(1)?, word(2)?])
}

#[inline(never)]
fn run(op: &Op, arena: &mut [u8], f: fn(Axis) -> f32) -> Option<()> {
    let [_, length, stride] = sizes(op)?;
    let (input, output) = split(arena, op.input(0)?.info.range(), op.output(0)?.range())?;
    let blocks = pieces(input, length.checked_mul(stride)?.checked_mul(4)?);
    for (block, results) in blocks.zip(pieces_mut(output, stride.checked_mul(4)?)) {
        for (position, y) in results.as_chunks_mut().0.iter_mut().enumerate() {
            let bytes = block.get(4 * position..)?;
            *y = f(Axis {
                bytes,
                length,
                stride,
            })
            .to_le_bytes();
        }
    }
    Some(())
}
