//! Runs what a bundle holds: its plan through the engine, or else its ONNX model through tract.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use dunlin_runtime::{ActivateError, Backend, EngineBackend, Model, PlanModel, Profile, RunFailed};
use dunlin_wire::BundleId;
use dunlin_wire::bundle::{Bundle, Manifest, SectionKind};

use crate::log::log;
use crate::onnx::{OnnxModel, probabilities};
use crate::samples::Shape;

/// [`ActivateError::Backend`]: tract could not load the model; standard error says why.
pub const CODE_ONNX: u32 = 1;

/// The outputs begin with the label, as a little-endian `i32`.
const LABEL_BYTES: usize = 4;
/// Stands for the label of a model without classes.
const NO_LABEL: i32 = -1;

/// Bundles whose shapes are remembered: two slots and what was tried last.
const MAX_SHAPES: usize = 4;

/// The input shapes of the bundles that were looked at last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shapes(Rc<RefCell<Vec<(BundleId, Shape)>>>);

impl Shapes {
    /// The shape of a bundle that was loaded.
    pub fn of(&self, bundle: BundleId) -> Option<Shape> {
        self.0
            .borrow()
            .iter()
            .find(|(id, _)| *id == bundle)
            .map(|(_, shape)| shape.clone())
    }

    fn remember(&self, bundle: &Bundle<'_>) {
        let Ok(schema) = bundle.schema() else { return };
        let shape = Shape {
            steps: schema.steps as usize,
            channels: schema
                .channels
                .iter()
                .map(|channel| channel.name.to_owned())
                .collect(),
        };
        let mut shapes = self.0.borrow_mut();
        shapes.retain(|(id, _)| *id != bundle.id());
        shapes.insert(0, (bundle.id(), shape));
        shapes.truncate(MAX_SHAPES);
    }
}

/// Both ways to run a model. Keeps the last ONNX model it loaded: translating one takes long, and a
/// device looks at its bundle more than once.
#[derive(Debug, Default)]
pub struct LinuxBackend {
    engine: EngineBackend,
    loaded: Option<(BundleId, Arc<OnnxModel>)>,
    shapes: Shapes,
}

impl Backend for LinuxBackend {
    type Model<'a> = LinuxModel<'a>;

    fn check(&self, manifest: &Manifest<'_>, profile: &Profile<'_>) -> Result<(), ActivateError> {
        match manifest.section(SectionKind::PLAN) {
            Some(_) => self.engine.check(manifest, profile),
            None => Ok(()),
        }
    }

    fn load<'a>(
        &mut self,
        bundle: &Bundle<'a>,
        profile: &Profile<'_>,
    ) -> Result<LinuxModel<'a>, ActivateError> {
        self.shapes.remember(bundle);
        match bundle.onnx() {
            Some(section) if bundle.plan().is_none() => {
                self.load_onnx(bundle.id(), section).map(LinuxModel::Onnx)
            }
            _ => self.engine.load(bundle, profile).map(LinuxModel::Plan),
        }
    }
}

impl LinuxBackend {
    /// A handle on the shapes of the bundles this one looks at.
    pub(crate) fn shapes(&self) -> Shapes {
        self.shapes.clone()
    }

    fn load_onnx(&mut self, id: BundleId, section: &[u8]) -> Result<Arc<OnnxModel>, ActivateError> {
        if let Some((_, model)) = self.loaded.as_ref().filter(|(loaded, _)| *loaded == id) {
            return Ok(Arc::clone(model));
        }
        let model = OnnxModel::load(section).map_err(|error| {
            log(format_args!("bundle {id}: {error}"));
            ActivateError::Backend { code: CODE_ONNX }
        })?;
        let model = Arc::new(model);
        self.loaded = Some((id, Arc::clone(&model)));
        Ok(model)
    }
}

/// A model that is ready to run.
#[derive(Debug, Clone)]
pub enum LinuxModel<'a> {
    /// Through the engine.
    Plan(PlanModel<'a>),
    /// Through tract.
    Onnx(Arc<OnnxModel>),
}

impl Model for LinuxModel<'_> {
    fn input_elements(&self) -> usize {
        match self {
            Self::Plan(plan) => plan.input_elements(),
            Self::Onnx(model) => model.input_values(),
        }
    }

    fn output_bytes(&self) -> usize {
        match self {
            Self::Plan(plan) => plan.output_bytes(),
            Self::Onnx(model) => onnx_output_bytes(model),
        }
    }

    fn run(&mut self, input: &[f32], arena: &mut [u8], output: &mut [u8]) -> Result<(), RunFailed> {
        match self {
            Self::Plan(plan) => plan.run(input, arena, output),
            Self::Onnx(model) => run_onnx(model, input, output),
        }
    }

    fn reset(&mut self, arena: &mut [u8]) {
        if let Self::Plan(plan) = self {
            plan.reset(arena);
        }
    }
}

/// Bytes of what [`run_onnx`] writes.
pub(crate) fn onnx_output_bytes(model: &OnnxModel) -> usize {
    LABEL_BYTES + size_of::<f32>() * model.scores()
}

/// Writes the answer as plans do: label as `i32`, then one `f32` per class. Scores of a classifier
/// that are not probabilities are turned into some; a model without classes answers label -1 and
/// its number.
pub(crate) fn run_onnx(
    model: &OnnxModel,
    input: &[f32],
    output: &mut [u8],
) -> Result<(), RunFailed> {
    let answer = model.run(input).map_err(|_| RunFailed)?;
    let label = match answer.label {
        Some(label) => i32::try_from(label).map_err(|_| RunFailed)?,
        None => NO_LABEL,
    };
    let scores = match model.classifies() {
        true => probabilities(&answer.scores),
        false => answer.scores,
    };
    let bytes = label
        .to_le_bytes()
        .into_iter()
        .chain(scores.iter().flat_map(|s| s.to_le_bytes()));
    if output.len() != LABEL_BYTES + size_of::<f32>() * scores.len() {
        return Err(RunFailed);
    }
    output
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from);
    Ok(())
}
