//! Memory that ops need beside their operands, and where they spare some.

use super::graph::Op;
use super::packing::depthwise::plane_bytes;
use dunlin_engine::Walk;

/// Bytes of scratch that the engine's kernel asks for.
pub(crate) fn scratch_bytes(op: &Op) -> usize {
    match *op {
        Op::FullyConnectedPacked { rows, k, n, .. } if rows > 1 => {
            k.div_ceil(4) * 16 + if rows % 2 == 0 { 0 } else { n }
        }
        Op::Conv2dPacked { ref geometry, .. } => geometry.column_bytes(),
        Op::DepthwisePacked { ref geometry, .. } => plane_bytes(geometry),
        Op::Recurrent(layer) => layer.scratch_bytes(),
        Op::TreeEnsemble { packing, .. } => packing.scratch_bytes(),
        _ => 0,
    }
}

/// Whether an op's scratch stays from run to run.
pub(crate) fn keeps_scratch(op: &Op) -> bool {
    matches!(op, Op::Recurrent(layer) if layer.keeps)
}

/// Whether an op's result stays from run to run.
pub(crate) fn keeps_result(op: &Op) -> bool {
    *op == Op::History
}

/// Least distance from the start of the output to that of the first input at which both may overlap; none where they
/// must lie apart.
pub(crate) fn lead(op: &Op) -> Option<i64> {
    match *op {
        Op::FullyConnectedPacked { rows, k, n, .. } if rows > 1 => {
            Walk::over_rows(rows, k, n).lead()
        }
        Op::Conv2dPacked { ref geometry, .. } => Walk::over_image(&geometry.words()).lead(),
        _ => None,
    }
}
