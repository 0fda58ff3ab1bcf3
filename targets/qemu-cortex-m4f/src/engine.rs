//! The engine as the harness measures it, with the kernels that the plan uses and no others.

use crate::harness::Subject;
use dunlin_engine::{Kernel, KernelSet, LoadError, Plan};

include!(concat!(env!("DUNLIN_BENCH"), "/kernels.rs"));

static KERNELS: [&Kernel; KERNEL_CODES.len()] = KernelSet::select(KERNEL_CODES);
static SET: KernelSet = KernelSet::new(&KERNELS);

/// The engine.
pub struct Engine;

impl Subject for Engine {
    type Loaded = Result<Plan<'static>, LoadError>;

    fn load(plan: &'static [u8]) -> Self::Loaded {
        Plan::load_with(plan, &SET)
    }

    fn run(plan: &Self::Loaded, arena: &mut [u8]) -> Option<()> {
        plan.as_ref().ok()?.run(arena).ok()
    }
}
