//! The engine on this machine.

use dunlin_engine::format::{DType, Role};
use dunlin_engine::{Plan, TensorInfo};

use super::{Answer, Backend, BackendError};

/// A plan, run by the engine here: the definition that devices are held to.
#[derive(Debug)]
pub struct Local<'p> {
    plan: Plan<'p>,
    arena: Vec<u8>,
}

/// Bytes to which an arena is aligned, so that it suits every kernel.
const ALIGNMENT: usize = 16;

impl<'p> Local<'p> {
    /// Loads a plan and allocates its arena.
    ///
    /// # Errors
    /// When the plan cannot be loaded.
    pub fn load(plan: &'p [u8]) -> Result<Self, BackendError> {
        let plan = Plan::load(plan).map_err(|error| BackendError::new("local", error))?;
        Ok(Self {
            plan,
            arena: vec![0; plan.requirements().arena_bytes + ALIGNMENT],
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan<'p> {
        &self.plan
    }

    /// Runs one input, as the first of a stream, and returns the bytes of every output, in the plan's order.
    ///
    /// # Errors
    /// When the input has another length than the plan's.
    pub fn outputs(&mut self, input: &[f32]) -> Result<Vec<Vec<u8>>, BackendError> {
        let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.run_bytes(&bytes)
    }

    /// Runs one input, given as the bytes that the plan takes, and returns the bytes of every
    /// output, in the plan's order.
    ///
    /// # Errors
    /// When the input has another length than the plan's.
    pub fn run_bytes(&mut self, input: &[u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        let plan = self.plan;
        let arena = self.run_over(input)?;
        let bytes = |range| arena.get(range).map(<[u8]>::to_vec).unwrap_or_default();
        Ok(plan.outputs().map(|output| bytes(output.range())).collect())
    }

    /// Answers one input, given as the bytes that the plan takes.
    ///
    /// # Errors
    /// When the input has another length than the plan's.
    pub fn answer(&mut self, input: &[u8]) -> Result<Answer, BackendError> {
        let plan = self.plan;
        let arena = self.run_over(input)?;
        let label = plan.label(arena).map(|label| label as i32);
        let scores = scores(&plan);
        let bytes = scores
            .and_then(|scores| arena.get(scores.range()))
            .unwrap_or_default();
        Ok(Answer {
            label,
            scores: floats(bytes),
        })
    }

    fn run_over(&mut self, input: &[u8]) -> Result<&[u8], BackendError> {
        let expected = self.plan.input().range().len();
        if input.len() != expected {
            let got = input.len();
            let reason = format!("an input of {got} bytes, the plan takes {expected}");
            return Err(BackendError::new("local", reason));
        }
        let start = self.arena.as_ptr().align_offset(ALIGNMENT) % ALIGNMENT;
        let arena = self.arena.get_mut(start..).unwrap_or_default();
        let place = arena.get_mut(self.plan.input().range()).unwrap_or_default();
        place.copy_from_slice(input);
        self.plan
            .reset(arena)
            .and_then(|()| self.plan.run(arena))
            .map_err(|error| BackendError::new("local", error))?;
        Ok(arena)
    }
}

impl Backend for Local<'_> {
    fn name(&self) -> &str {
        "local"
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        let expected = self.plan.input().elements();
        if input.len() != expected {
            let reason = format!(
                "an input of {} values, the plan takes {expected}",
                input.len()
            );
            return Err(BackendError::new("local", reason));
        }
        let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.answer(&bytes)
    }
}

/// The probabilities, or else the first float output.
fn scores(plan: &Plan<'_>) -> Option<TensorInfo> {
    let probabilities = plan
        .outputs()
        .find(|output| output.role == Role::Probabilities);
    probabilities.or_else(|| plan.outputs().find(|output| output.dtype == DType::F32))
}

/// Little-endian binary32 values.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|chunk| f32::from_le_bytes(*chunk))
        .collect()
}
