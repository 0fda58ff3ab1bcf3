//! What a device says about itself.

use super::Refusal;
use crate::identity::{BundleId, DeviceId, FirmwareId};
use minicbor::{Decode, Encode};

/// Who a device is, what it runs, what it can hold and how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Info<'a> {
    /// Version of the protocol it speaks, [`super::PROTOCOL`].
    #[n(0)]
    pub protocol: u8,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
    /// The firmware build it runs.
    #[n(2)]
    pub firmware: FirmwareId,
    /// Name of its target, for example `qemu-cortex-m4f`.
    #[b(3)]
    pub target: &'a str,
    /// The bundle that runs, if there is one.
    #[b(4)]
    pub bundle: Option<ActiveBundle<'a>>,
    /// The newest version that was activated: older bundles are refused, and others of this version.
    #[n(5)]
    pub lowest_version: u32,
    /// How often the device has started.
    #[n(6)]
    pub boot: u32,
    /// Time since it started, ms.
    #[n(7)]
    pub uptime_ms: u64,
    /// Time of day, ms since 1970-01-01 UTC, if it was told.
    #[n(8)]
    pub time_ms: Option<i64>,
    /// Sequence number of the newest record; 0 when there is none yet.
    #[n(9)]
    pub last_sequence: u32,
    /// Records up to this sequence number are acknowledged.
    #[n(10)]
    pub acknowledged_sequence: u32,
    /// Memory it can give.
    #[n(11)]
    pub limits: Limits,
    /// Stack used so far at the deepest, bytes; 0 where it is not measured.
    #[n(12)]
    pub stack_used_bytes: u32,
    /// Whether it has an identity and a credential of its own; without, nothing it says is authentic,
    /// and it neither makes records nor hands any out.
    #[n(13)]
    pub provisioned: bool,
    /// Why it records nothing; `None` when it does. It runs its bundle all the same.
    #[n(14)]
    pub recording_fault: Option<Refusal>,
}

/// The bundle that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ActiveBundle<'a> {
    /// The bundle.
    #[n(0)]
    pub id: BundleId,
    /// Its name.
    #[b(1)]
    pub name: &'a str,
    /// Its version.
    #[n(2)]
    pub version: u32,
    /// Bytes of one model input.
    #[n(3)]
    pub input_bytes: u32,
    /// Bytes of all model outputs.
    #[n(4)]
    pub output_bytes: u32,
}

/// Memory a device can give to a bundle and a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Limits {
    /// Bytes of the longest bundle.
    #[n(0)]
    pub bundle_bytes: u32,
    /// Bytes of the engine's arena.
    #[n(1)]
    pub arena_bytes: u32,
    /// Bytes of stack the engine may use.
    #[n(2)]
    pub stack_bytes: u32,
    /// Bytes of the longest message, before framing.
    #[n(3)]
    pub message_bytes: u32,
}
