//! What a device answered, owned.

use dunlin_wire::link::{self, Limits, Refusal};
use dunlin_wire::{BundleId, DeviceId, FirmwareId};

/// Who a device is, what it runs, what it can hold and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The device.
    pub device: DeviceId,
    /// The firmware build it runs.
    pub firmware: FirmwareId,
    /// Name of its target, for example `qemu-cortex-m4f`.
    pub target: String,
    /// The bundle that runs, if there is one.
    pub bundle: Option<ActiveBundle>,
    /// The newest version that was activated: older bundles are refused, and others of this version.
    pub lowest_version: u32,
    /// How often the device has started.
    pub boot: u32,
    /// Time since it started, ms.
    pub uptime_ms: u64,
    /// Time of day, ms since 1970-01-01 UTC, if it was told.
    pub time_ms: Option<i64>,
    /// Sequence number of the newest record; 0 when there is none yet.
    pub last_sequence: u32,
    /// Records up to this sequence number are acknowledged.
    pub acknowledged_sequence: u32,
    /// Memory it can give.
    pub limits: Limits,
    /// Stack used so far at the deepest, bytes; 0 where it is not measured.
    pub stack_used_bytes: u32,
    /// Whether it has an identity and a credential of its own; without, it makes no records.
    pub provisioned: bool,
    /// Why it records nothing; `None` when it does.
    pub recording_fault: Option<Refusal>,
}

/// The bundle that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveBundle {
    /// The bundle.
    pub id: BundleId,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Bytes of one model input.
    pub input_bytes: usize,
    /// Bytes of all model outputs.
    pub output_bytes: usize,
}

impl From<link::Info<'_>> for Info {
    fn from(info: link::Info<'_>) -> Self {
        Self {
            device: info.device,
            firmware: info.firmware,
            target: info.target.to_owned(),
            bundle: info.bundle.map(ActiveBundle::from),
            lowest_version: info.lowest_version,
            boot: info.boot,
            uptime_ms: info.uptime_ms,
            time_ms: info.time_ms,
            last_sequence: info.last_sequence,
            acknowledged_sequence: info.acknowledged_sequence,
            limits: info.limits,
            stack_used_bytes: info.stack_used_bytes,
            provisioned: info.provisioned,
            recording_fault: info.recording_fault,
        }
    }
}

impl From<link::ActiveBundle<'_>> for ActiveBundle {
    fn from(bundle: link::ActiveBundle<'_>) -> Self {
        Self {
            id: bundle.id,
            name: bundle.name.to_owned(),
            version: bundle.version,
            input_bytes: bundle.input_bytes as usize,
            output_bytes: bundle.output_bytes as usize,
        }
    }
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes the device holds.
    pub held_bytes: u32,
    /// Bytes of the whole bundle.
    pub total_bytes: u32,
}

/// As many records as fitted one reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsPage {
    /// Whole records with their tags, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Whether there are more.
    pub more: bool,
}

/// What became of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// Samples the device observed.
    pub samples: u64,
    /// Windows they completed.
    pub windows_closed: u64,
}

/// One inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// The plan's outputs one after another: label as little-endian `i32`, then one little-endian
    /// `f32` probability for each label.
    pub output: Vec<u8>,
    /// How long the engine took, µs.
    pub latency_us: u32,
}

impl Inference {
    /// The predicted label's index.
    pub fn label(&self) -> Option<i32> {
        self.output
            .first_chunk()
            .map(|bytes| i32::from_le_bytes(*bytes))
    }

    /// The probability of each label.
    pub fn probabilities(&self) -> impl Iterator<Item = f32> {
        self.output
            .get(4..)
            .unwrap_or_default()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
    }
}
