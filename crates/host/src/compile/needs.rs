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
        Op::DepthwisePacked {
            ref geometry,
            planes,
            ..
        } => plane_bytes(geometry, planes),
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

/// How far an output may reach into the first input, which its op reads before it writes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Least distance from the start of the output to that of the input where both overlap; none where the
    /// output may not begin before the input then.
    pub before: Option<i64>,
    /// The same from the start of the input to that of the output.
    pub behind: Option<i64>,
}

/// How far an op's output may reach into its first input; none where they must lie apart.
pub(crate) fn reach(op: &Op) -> Option<Reach> {
    match *op {
        Op::FullyConnectedPacked { rows, k, n, .. } if rows > 1 => Some(Reach {
            before: Some(Walk::over_rows(rows, k, n).lead() as i64),
            behind: Walk::is_backward([k, n], [0, 0]).then_some(0),
        }),
        Op::Conv2dPacked { ref geometry, .. } => Some(Reach {
            before: Some(Walk::over_image(&geometry.words().map(u32::to_le_bytes)).lead() as i64),
            behind: None,
        }),
        _ => None,
    }
}
