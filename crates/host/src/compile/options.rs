//! What a compilation is asked for.

use dunlin_engine::KernelId;

/// What the target offers; none where it does not matter.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Most bytes of plan.
    pub plan_bytes: Option<usize>,
    /// Most bytes of arena.
    pub arena_bytes: Option<usize>,
    /// Most bytes of stack.
    pub stack_bytes: Option<usize>,
    /// Kernels of the target's firmware; none for all that this engine has.
    pub kernels: Option<Vec<KernelId>>,
}

/// How the leaves of tree ensembles are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaves {
    /// `f32` as in the model: scores are the model's, summed in its order.
    #[default]
    Exact,
    /// One byte per class and distinct leaf. A leaf is off by at most half a step, a step is
    /// 1/255 of the largest leaf value, so with `t` trees a score is off by at most `t/510` of
    /// that value: for averaged votes 1/510, less than 1/256. Not for negative values.
    Compact,
}

/// Options of [`compile`](super::compile()).
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// The target's budgets.
    pub limits: Limits,
    /// Leaves of tree ensembles.
    pub leaves: Leaves,
    /// New rows of a call, where the plan is to take a stream instead of whole windows.
    pub streaming: Option<usize>,
    /// Whether to use the reference kernels only: the same results, slowly.
    pub reference: bool,
    /// Whether to keep channels that are constant or that nobody reads: the same results, slowly.
    pub keep_channels: bool,
}
