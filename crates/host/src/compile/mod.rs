//! Compiles an ONNX model to a plan for the engine.
//!
//! Runs on the workstation. Cost: linear in the model's bytes, plus a search over ops that is quadratic in their
//! number; the models of small devices take milliseconds.
//!
//! ```no_run
//! use dunlin_host::compile::{compile, CompileOptions};
//! let model = dunlin_host::onnx::read(std::path::Path::new("model.onnx"))?;
//! let compiled = compile(&model, &CompileOptions::default())?;
//! println!("{}", compiled.report);
//! std::fs::write("plan.bin", &compiled.plan)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a model: [`import`] (types, shapes with batch 1, constants folded) → [`passes`] (fusions, each in a
//! file of its own) → [`memory`] (where every tensor lies) → [`encode`] (bytes) → the engine's own load check.
//!
//! **Architecture invariants**: every rewrite keeps every result bit for bit, except where its module says what it
//! costs; whatever cannot be compiled is refused with node, op, reason and the nearest thing that works; no plan
//! leaves that the engine has not loaded; the compiler computes nothing that the engine will compute, so there is no
//! second interpreter to disagree with.

mod byte_op;
mod constant;
mod cost;
mod encode;
mod error;
mod forest;
mod graph;
mod import;
mod memory;
mod needs;
mod options;
mod packing;
mod passes;
pub(crate) mod rational;
mod real;
mod recurrent;
mod report;
mod stack;

#[cfg(test)]
pub(crate) mod tests;

pub use error::{CompileError, Refusal, Resource};
pub use options::{CompileOptions, Leaves, Limits};
pub use passes::{Figures, PassReport};
pub use report::{CompileReport, NodeReport, OpReport, StreamEnd, StreamingReport};

use crate::onnx::proto::ModelProto;
use dunlin_engine::{KernelId, Plan};
use report::Compilation;

/// A plan and what it costs.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The plan's bytes, for [`dunlin_engine::Plan::load`].
    pub plan: Vec<u8>,
    /// What became of the model, and sizes.
    pub report: CompileReport,
}

/// Compiles a model with batch 1.
///
/// The same model and options give the same bytes.
///
/// # Errors
/// [`CompileError::Refused`] for the first thing a plan cannot hold, [`CompileError::OverBudget`] and
/// [`CompileError::MissingKernel`] where the plan does not fit the target's [`Limits`].
pub fn compile(model: &ModelProto, options: &CompileOptions) -> Result<Compiled, CompileError> {
    let imported = import::import(model, options)?;
    let mut graph = imported.graph;
    let rewritten = passes::run(&mut graph, options)?;
    let layout = memory::plan(&graph);
    let bytes = encode::encode(&graph, &layout, &imported.labels)?;
    let plan = Plan::load(&bytes).map_err(CompileError::Rejected)?;
    let proto = model.graph()?;
    let compilation = Compilation {
        nodes: &proto.node,
        inputs: proto
            .true_inputs()
            .map(|input| input.name.as_str())
            .collect(),
        outputs: proto
            .output
            .iter()
            .map(|output| output.name.as_str())
            .collect(),
        graph: &graph,
        layout: &layout,
        reasons: &rewritten.reasons,
    };
    let ops = compilation.op_reports();
    let needs = plan.requirements();
    let report = CompileReport {
        nodes: compilation.node_reports(),
        modelled_cycles: cost::total(&graph),
        macs: ops.iter().map(|op| op.macs).sum(),
        constants_bytes: ops.iter().map(|op| op.constant_bytes).sum(),
        ops,
        passes: rewritten.passes,
        streaming: rewritten.streaming.map(|streaming| StreamingReport {
            kept_bytes: needs.kept_bytes,
            ..streaming
        }),
        plan_bytes: bytes.len(),
        arena_bytes: needs.arena_bytes,
        arena_floor_bytes: layout.floor_bytes,
        stack_bytes: needs.stack_bytes,
        kernels: needs.kernels.map(|kernel| kernel.to_string()).collect(),
        class_names: imported.class_names,
        unsigned: report::unsigned_ports(&graph),
    };
    check_limits(&report, needs.kernels, &options.limits)?;
    Ok(Compiled {
        plan: bytes,
        report,
    })
}

/// Holds a plan against a target's budgets.
fn check_limits(
    report: &CompileReport,
    mut kernels: impl Iterator<Item = KernelId>,
    limits: &Limits,
) -> Result<(), CompileError> {
    let needs = [
        (Resource::Flash, report.plan_bytes, limits.plan_bytes),
        (Resource::Arena, report.arena_bytes, limits.arena_bytes),
        (Resource::Stack, report.stack_bytes, limits.stack_bytes),
    ];
    for (resource, needed, available) in needs {
        if let Some(available) = available.filter(|&available| needed > available) {
            return Err(CompileError::OverBudget {
                resource,
                needed,
                available,
            });
        }
    }
    let missing = |kernel: &KernelId| {
        limits
            .kernels
            .as_ref()
            .is_some_and(|known| !known.contains(kernel))
    };
    match kernels.find(missing) {
        Some(kernel) => Err(CompileError::MissingKernel {
            kernel: kernel.to_string(),
        }),
        None => Ok(()),
    }
}
