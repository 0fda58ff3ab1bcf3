//! Memory that ops need beside their operands, and where they spare some.

use super::graph::Op;
use dunlin_engine::Walk;

/// Bytes of scratch that the engine's kernel asks for.
pub(crate) fn scratch_bytes(op: &Op) -> usize {
    match *op {
        Op::FullyConnectedPacked { rows, k, n, .. } if rows > 1 => {
            k.div_ceil(4) * 16 + if rows % 2 == 0 { 0 } else { n }
        }
        _ => 0,
    }
}

/// Least distance from the start of the output to that of the first input at which both may overlap; none where they
/// must lie apart.
pub(crate) fn lead(op: &Op) -> Option<i64> {
    match *op {
        Op::FullyConnectedPacked { rows, k, n, .. } if rows > 1 => {
            Walk::over_rows(rows, k, n).lead()
        }
        _ => None,
    }
}
