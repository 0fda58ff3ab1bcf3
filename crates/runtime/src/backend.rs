//! What runs a model: the engine, or something a target brings.

use crate::admit::ActivateError;
use crate::device::Profile;
use dunlin_engine::{KernelId, LoadError, Plan, format, supported_kernels};
use dunlin_wire::bundle::{Bundle, Manifest, SectionKind};

/// Turns a verified bundle into a model.
///
/// [`EngineBackend`] runs plans and is all a microcontroller needs; a Linux target may bring one
/// that also runs ONNX.
pub trait Backend {
    /// A model that reads the bundle in place.
    type Model<'a>: Model;

    /// Checks what the signed manifest alone says of the model, before the rest of the bundle is
    /// taken: whatever is refused here erases nothing. Accepts everything unless a backend says more.
    ///
    /// # Errors
    /// The reason why [`Backend::load`] would refuse it.
    fn check(&self, _manifest: &Manifest<'_>, _profile: &Profile<'_>) -> Result<(), ActivateError> {
        Ok(())
    }

    /// Checks that the bundle's model can run within `profile` and prepares it.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn load<'a>(
        &mut self,
        bundle: &Bundle<'a>,
        profile: &Profile<'_>,
    ) -> Result<Self::Model<'a>, ActivateError>;
}

/// A model that is ready to run.
pub trait Model {
    /// Values of one input.
    fn input_elements(&self) -> usize;

    /// Bytes of all outputs, one after another.
    fn output_bytes(&self) -> usize;

    /// Runs once: reads `input`, [`Model::input_elements`] long, and fills `output`,
    /// [`Model::output_bytes`] long, with the outputs one after another, little-endian. What
    /// `arena` holds before and after means nothing, but for what a streaming model keeps there.
    ///
    /// # Errors
    /// [`RunFailed`]; what `output` holds then means nothing.
    fn run(&mut self, input: &[f32], arena: &mut [u8], output: &mut [u8]) -> Result<(), RunFailed>;

    /// Forgets the inputs so far: to be called before the first run in an arena and after anything
    /// else has used it. A model whose runs do not know of each other needs nothing here.
    fn reset(&mut self, _arena: &mut [u8]) {}
}

/// A model could not be run on an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFailed;

/// Runs the plan of a bundle through `dunlin_engine`.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineBackend;

impl Backend for EngineBackend {
    type Model<'a> = PlanModel<'a>;

    fn check(&self, manifest: &Manifest<'_>, profile: &Profile<'_>) -> Result<(), ActivateError> {
        check_requirements(manifest, profile)
    }

    fn load<'a>(
        &mut self,
        bundle: &Bundle<'a>,
        profile: &Profile<'_>,
    ) -> Result<PlanModel<'a>, ActivateError> {
        check_requirements(bundle.manifest(), profile)?;
        let section = bundle.plan().ok_or(ActivateError::MissingSection {
            kind: SectionKind::PLAN,
        })?;
        let plan = Plan::load(section).map_err(|error| match error {
            LoadError::MissingKernel(kernel) => ActivateError::MissingKernel {
                kernel: kernel.code(),
            },
            other => ActivateError::Plan(other),
        })?;
        let model = PlanModel { plan };
        check_memory(
            plan.requirements().arena_bytes,
            plan.requirements().stack_bytes,
            profile,
        )?;
        Ok(model)
    }
}

/// What the manifest says it needs, before the plan itself is looked at.
fn check_requirements(manifest: &Manifest<'_>, profile: &Profile<'_>) -> Result<(), ActivateError> {
    let requires = &manifest.requires;
    if manifest.kernel_class != profile.kernel_class {
        return Err(ActivateError::WrongKernelClass);
    }
    if requires.plan_format != u32::from(format::FORMAT) {
        return Err(ActivateError::UnsupportedPlan {
            known: format::FORMAT.into(),
            got: requires.plan_format,
        });
    }
    let known = |code: u32| supported_kernels().any(|kernel: KernelId| kernel.code() == code);
    if let Some(&kernel) = requires.kernels.iter().find(|&&code| !known(code)) {
        return Err(ActivateError::MissingKernel { kernel });
    }
    check_memory(
        requires.arena_bytes as usize,
        requires.stack_bytes as usize,
        profile,
    )
}

fn check_memory(
    arena_bytes: usize,
    stack_bytes: usize,
    profile: &Profile<'_>,
) -> Result<(), ActivateError> {
    if arena_bytes > profile.arena_bytes {
        return Err(ActivateError::ArenaTooSmall {
            needed: arena_bytes,
            got: profile.arena_bytes,
        });
    }
    if stack_bytes > profile.stack_bytes {
        return Err(ActivateError::StackTooSmall {
            needed: stack_bytes,
            got: profile.stack_bytes,
        });
    }
    Ok(())
}

/// A plan, read in place from its bundle.
#[derive(Debug, Clone, Copy)]
pub struct PlanModel<'a> {
    plan: Plan<'a>,
}

impl Model for PlanModel<'_> {
    fn input_elements(&self) -> usize {
        self.plan.input().elements()
    }

    fn output_bytes(&self) -> usize {
        self.plan.outputs().map(|output| output.bytes()).sum()
    }

    fn run(&mut self, input: &[f32], arena: &mut [u8], output: &mut [u8]) -> Result<(), RunFailed> {
        let place = arena.get_mut(self.plan.input().range()).ok_or(RunFailed)?;
        for (bytes, value) in place.as_chunks_mut().0.iter_mut().zip(input) {
            *bytes = value.to_le_bytes();
        }
        self.plan.run(arena).map_err(|_| RunFailed)?;
        let mut rest = output;
        for tensor in self.plan.outputs() {
            let bytes = arena.get(tensor.range()).ok_or(RunFailed)?;
            let (to, tail) = rest.split_at_mut_checked(bytes.len()).ok_or(RunFailed)?;
            to.copy_from_slice(bytes);
            rest = tail;
        }
        Ok(())
    }

    fn reset(&mut self, arena: &mut [u8]) {
        // An arena that is too small is refused at the next run.
        let _ = self.plan.reset(arena);
    }
}
