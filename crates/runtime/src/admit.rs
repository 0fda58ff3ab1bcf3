//! What a bundle must be before it runs here.

use crate::backend::{Backend, Model};
use crate::device::Profile;
use crate::flash::FlashFault;
use crate::slot::Announcement;
use crate::state::State;
use core::cmp::Ordering;
use dunlin_engine::LoadError;
use dunlin_monitor::{Monitor, MonitorError};
use dunlin_wire::baseline::{Baseline, BaselineError};
use dunlin_wire::bundle::{self, Bundle, BundleError, Manifest, SectionKind};
use dunlin_wire::golden::{Golden, GoldenError, Vector};
use dunlin_wire::schema::{Schema, SchemaError};
use dunlin_wire::{BundleId, PublicKey};

/// Why a bundle does not run here. The device goes on with what it had.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ActivateError {
    /// No bundle was announced.
    NoTransfer,
    /// The transfer is not complete; both in bytes.
    Incomplete {
        /// Bytes announced.
        needed: u32,
        /// Bytes held.
        got: u32,
    },
    /// The bytes are not a bundle, or not one of a key this device trusts.
    Bundle(BundleError),
    /// Older than what has run here.
    OlderVersion {
        /// The newest version that was activated here.
        held: u32,
        /// The bundle's.
        offered: u32,
    },
    /// Another bundle of the same version was activated here: a version names one bundle for good.
    VersionTaken {
        /// The newest version that was activated here.
        held: u32,
        /// The bundle's, the same.
        offered: u32,
    },
    /// Its head is not that of the bundle announced.
    OtherBundle,
    /// Made for another target.
    WrongTarget,
    /// Its weights are packed for other kernels.
    WrongKernelClass,
    /// A section this device needs is not there.
    MissingSection {
        /// Which.
        kind: SectionKind,
    },
    /// The plan is in a format this firmware does not know.
    UnsupportedPlan {
        /// The format this firmware knows.
        known: u32,
        /// The plan's.
        got: u32,
    },
    /// The plan calls a kernel that this firmware does not have.
    MissingKernel {
        /// The kernel's code.
        kernel: u32,
    },
    /// The plan wants more arena than there is; both in bytes.
    ArenaTooSmall {
        /// Bytes wanted.
        needed: usize,
        /// Bytes there are.
        got: usize,
    },
    /// The plan wants more stack than there is; both in bytes.
    StackTooSmall {
        /// Bytes wanted.
        needed: usize,
        /// Bytes there are.
        got: usize,
    },
    /// The engine refuses the plan.
    Plan(LoadError),
    /// A target's own backend refuses the model.
    Backend {
        /// The backend's code.
        code: u32,
    },
    /// The schema cannot be used.
    Schema(SchemaError),
    /// The baseline cannot be used.
    Baseline(BaselineError),
    /// The baseline is one for another schema.
    Monitor(MonitorError),
    /// The golden vectors cannot be read.
    Golden(GoldenError),
    /// Schema and model disagree about the input's size; both in values.
    InputMismatch {
        /// The schema's.
        schema: usize,
        /// The model's.
        model: usize,
    },
    /// The input is longer than the device's buffer; both in values.
    InputTooLong {
        /// What the buffer takes.
        limit: usize,
        /// The input's.
        got: usize,
    },
    /// The outputs are longer than the device's buffer; both in bytes.
    OutputTooLong {
        /// What the buffer takes.
        limit: usize,
        /// The outputs'.
        got: usize,
    },
    /// The sensor does not have as many channels as the schema.
    ChannelMismatch {
        /// The sensor's.
        sensor: usize,
        /// The schema's.
        schema: usize,
    },
    /// The model does not give what a golden vector says.
    SelfTestFailed {
        /// Which vector, from 0.
        vector: usize,
    },
    /// The flash memory failed.
    Flash(FlashFault),
}

/// What is compared with the bundle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions<'c> {
    pub profile: &'c Profile<'c>,
    pub trusted: &'c [PublicKey],
    /// Channels of the device's own sensor, if it has one.
    pub sensor_channels: Option<usize>,
    pub input_elements: usize,
    pub output_bytes: usize,
}

/// A bundle that may run.
#[derive(Debug)]
pub(crate) struct Admitted<'a, M> {
    pub id: BundleId,
    pub name: &'a str,
    pub version: u32,
    pub model: M,
    pub channels: usize,
    pub labels: usize,
    pub sample_period_ms: u64,
    sections: Sections<'a>,
}

/// Sections that were verified and will be read once more.
#[derive(Debug, Clone, Copy)]
struct Sections<'a> {
    schema: &'a [u8],
    golden: &'a [u8],
    baseline: Option<&'a [u8]>,
}

/// Verifies a bundle and checks that it can run here; all but version and golden vectors.
///
/// Each step that needs a lot of stack is a function of its own that is never inlined, so that
/// they need it one after another.
pub(crate) fn admit<'a, B: Backend>(
    bytes: &'a [u8],
    backend: &mut B,
    conditions: &Conditions<'_>,
) -> Result<Admitted<'a, B::Model<'a>>, ActivateError> {
    let bundle = verify(bytes, conditions.trusted)?;
    let sections = Sections {
        schema: section(&bundle, SectionKind::SCHEMA)?,
        golden: section(&bundle, SectionKind::GOLDEN)?,
        baseline: bundle.baseline(),
    };
    let admitted = Admitted {
        id: bundle.id(),
        name: bundle.manifest().name,
        version: bundle.manifest().version,
        model: load(&bundle, backend, conditions.profile)?,
        channels: 0,
        labels: 0,
        sample_period_ms: 0,
        sections,
    };
    let admitted = admitted.with_schema(conditions)?;
    sections.check_monitor()?;
    Ok(admitted)
}

/// The first bytes of a bundle, and what was said of it before they came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub head: &'a [u8],
    pub announced: Announcement,
}

/// Verifies the head of the bundle that was announced and checks all that a head tells: that it is
/// for this target, that the backend could load it, and its version.
#[inline(never)]
pub(crate) fn admit_head<B: Backend>(
    offer: Offer<'_>,
    backend: &B,
    conditions: &Conditions<'_>,
    state: &State,
) -> Result<(), ActivateError> {
    let total_bytes = offer.announced.total_bytes as usize;
    let head = bundle::verify_head(offer.head, total_bytes, conditions.trusted)
        .map_err(ActivateError::Bundle)?;
    if head.digest().0 != offer.announced.digest {
        return Err(ActivateError::OtherBundle);
    }
    let manifest = head.manifest();
    check_target(manifest, conditions.profile)?;
    backend.check(manifest, conditions.profile)?;
    check_version(manifest.version, head.id(), state)
}

fn check_target(manifest: &Manifest<'_>, profile: &Profile<'_>) -> Result<(), ActivateError> {
    if manifest.target == profile.target {
        Ok(())
    } else {
        Err(ActivateError::WrongTarget)
    }
}

#[inline(never)]
fn verify<'a>(bytes: &'a [u8], trusted: &[PublicKey]) -> Result<Bundle<'a>, ActivateError> {
    bundle::verify(bytes, trusted).map_err(ActivateError::Bundle)
}

fn section<'a>(bundle: &Bundle<'a>, kind: SectionKind) -> Result<&'a [u8], ActivateError> {
    bundle
        .section(kind)
        .ok_or(ActivateError::MissingSection { kind })
}

#[inline(never)]
fn load<'a, B: Backend>(
    bundle: &Bundle<'a>,
    backend: &mut B,
    profile: &Profile<'_>,
) -> Result<B::Model<'a>, ActivateError> {
    check_target(bundle.manifest(), profile)?;
    backend.load(bundle, profile)
}

impl<'a, M: Model> Admitted<'a, M> {
    /// Takes over what the schema says, when model and device agree with it.
    #[inline(never)]
    fn with_schema(mut self, conditions: &Conditions<'_>) -> Result<Self, ActivateError> {
        let schema = Schema::parse(self.sections.schema).map_err(ActivateError::Schema)?;
        check_sizes(&schema, &self.model, conditions)?;
        self.channels = schema.channels.len();
        self.labels = schema.labels.len();
        self.sample_period_ms = schema.sample_period_ms;
        Ok(self)
    }

    /// A monitor whose first window begins with the first input; none without a baseline.
    #[inline(never)]
    pub fn monitor(&self) -> Option<Monitor<'a>> {
        self.sections.monitor().ok().flatten()
    }

    /// Runs every golden vector, each as the first input of a stream; all must give the outputs
    /// the bundle says. What another model kept in the arena is lost.
    pub fn self_test(&mut self, workspace: &mut Workspace<'_>) -> Result<(), ActivateError> {
        let golden = Golden::parse(self.sections.golden).map_err(ActivateError::Golden)?;
        let wrong = golden
            .vectors()
            .position(|vector| !reproduces(&golden, &vector, &mut self.model, workspace));
        wrong.map_or(Ok(()), |vector| {
            Err(ActivateError::SelfTestFailed { vector })
        })
    }
}

impl<'a> Sections<'a> {
    fn monitor(&self) -> Result<Option<Monitor<'a>>, ActivateError> {
        let Some(section) = self.baseline else {
            return Ok(None);
        };
        let schema = Schema::parse(self.schema).map_err(ActivateError::Schema)?;
        let baseline = Baseline::parse(section).map_err(ActivateError::Baseline)?;
        Monitor::new(&schema, baseline)
            .map(Some)
            .map_err(ActivateError::Monitor)
    }

    #[inline(never)]
    fn check_monitor(&self) -> Result<(), ActivateError> {
        self.monitor().map(|_| ())
    }
}

fn check_sizes(
    schema: &Schema<'_>,
    model: &impl Model,
    conditions: &Conditions<'_>,
) -> Result<(), ActivateError> {
    let (elements, channels) = (schema.input_elements(), schema.channels.len());
    if elements != model.input_elements() {
        return Err(ActivateError::InputMismatch {
            schema: elements,
            model: model.input_elements(),
        });
    }
    if elements > conditions.input_elements {
        return Err(ActivateError::InputTooLong {
            limit: conditions.input_elements,
            got: elements,
        });
    }
    if model.output_bytes() > conditions.output_bytes {
        return Err(ActivateError::OutputTooLong {
            limit: conditions.output_bytes,
            got: model.output_bytes(),
        });
    }
    match conditions.sensor_channels {
        Some(sensor) if sensor != channels => Err(ActivateError::ChannelMismatch {
            sensor,
            schema: channels,
        }),
        _ => Ok(()),
    }
}

/// Refuses what is older than anything that was activated here, and another bundle of the newest
/// version: only that very bundle may come again.
pub(crate) fn check_version(
    offered: u32,
    bundle: BundleId,
    state: &State,
) -> Result<(), ActivateError> {
    let held = state.lowest_version;
    let newest = state.active.map(|active| active.bundle);
    match offered.cmp(&held) {
        Ordering::Less => Err(ActivateError::OlderVersion { held, offered }),
        Ordering::Equal if newest.is_some_and(|newest| newest != bundle) => {
            Err(ActivateError::VersionTaken { held, offered })
        }
        _ => Ok(()),
    }
}

/// Room for one inference.
#[derive(Debug)]
pub(crate) struct Workspace<'w> {
    pub arena: &'w mut [u8],
    pub input: &'w mut [f32],
    pub output: &'w mut [u8],
}

fn reproduces<M: Model>(
    golden: &Golden<'_>,
    vector: &Vector<'_>,
    model: &mut M,
    workspace: &mut Workspace<'_>,
) -> bool {
    let (elements, output_bytes) = (model.input_elements(), model.output_bytes());
    let Some(input) = fill(workspace.input, vector.input).filter(|input| input.len() == elements)
    else {
        return false;
    };
    let Some(output) = workspace.output.get_mut(..output_bytes) else {
        return false;
    };
    model.reset(workspace.arena);
    if model.run(input, workspace.arena, output).is_err() {
        return false;
    }
    let mut rest = &*output;
    let all_accepted = vector.outputs.iter().enumerate().all(|(number, expected)| {
        let Some((got, tail)) = rest.split_at_checked(expected.len()) else {
            return false;
        };
        rest = tail;
        golden.accepts(number, expected, got)
    });
    all_accepted && rest.is_empty()
}

/// Writes little-endian values from `bytes` to the start of `values` and returns them; `None` when
/// they are not whole values or too many.
pub(crate) fn fill<'v>(values: &'v mut [f32], bytes: &[u8]) -> Option<&'v [f32]> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    let values = values.get_mut(..chunks.len()).filter(|_| rest.is_empty())?;
    values
        .iter_mut()
        .zip(chunks)
        .for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
    Some(values)
}
