//! What the graph knows of a recurrent layer.

use dunlin_engine::format::OpCode;

/// One direction of a layer.
///
/// Inputs of an open layer: x `[steps, n]`, W `[rows, n]`, R `[rows, hidden]`, the biases of W and
/// then of R `[2·rows]`, and the initial state, all or nothing: h, of an LSTM also c. A closed one
/// has the operands of its kernel's variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Recurrent {
    pub cell: Cell,
    /// Number of units.
    pub hidden: usize,
    pub reverse: bool,
    /// Gives the state behind the last step instead of every step's.
    pub last: bool,
    /// Goes on from the state of the run before.
    pub keeps: bool,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Perhaps with the last cell as one more row of the output.
    Lstm {
        with_cell: bool,
    },
    Gru {
        linear_before_reset: bool,
    },
}

/// Which variant of the kernel runs the layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// Not decided yet; `passes::integer` decides.
    Open,
    Floats,
    FloatsByI8 {
        zero_points: [i32; 2],
    },
    I8 {
        zero_points: [i32; 2],
        scale: f32,
        zero_point: i32,
    },
}

/// Bytes before a state: whether the layer has begun.
const MARK_BYTES: usize = 4;

impl Recurrent {
    pub fn opcode(&self) -> OpCode {
        match self.cell {
            Cell::Lstm { .. } => OpCode::Lstm,
            Cell::Gru { .. } => OpCode::Gru,
        }
    }

    pub fn variant(&self) -> u8 {
        match self.form {
            Form::Open | Form::Floats => 0,
            Form::FloatsByI8 { .. } => 1,
            Form::I8 { .. } => 2,
        }
    }

    /// Parameter words of the kernel.
    pub fn words(&self) -> Vec<u32> {
        let own = match self.cell {
            Cell::Lstm { with_cell } => with_cell,
            Cell::Gru {
                linear_before_reset,
            } => linear_before_reset,
        };
        let mut words = [self.reverse, self.last, own].map(u32::from).to_vec();
        match self.form {
            Form::Open | Form::Floats => {}
            Form::FloatsByI8 { zero_points } => words.extend(zero_points.map(i32::cast_unsigned)),
            Form::I8 {
                zero_points,
                scale,
                zero_point,
            } => {
                words.extend(zero_points.map(i32::cast_unsigned));
                words.extend([scale.to_bits(), zero_point.cast_unsigned()]);
            }
        }
        words
    }

    /// Bytes of the kernel's scratch.
    pub fn scratch_bytes(&self) -> usize {
        let beside_state = match self.cell {
            Cell::Lstm { .. }
            | Cell::Gru {
                linear_before_reset: false,
            } => 4,
            Cell::Gru { .. } => 0,
        };
        let state = if self.variant() == 2 { 1 } else { 4 };
        MARK_BYTES + self.hidden * (beside_state + state)
    }
}
