//! What befell a device: starts, losses, bundles, its clock.

use minicbor::{Decode, Encode};

use super::is_zero;
use crate::BundleId;

/// Records that were dropped, because the store was full, before they were acknowledged. Losses may
/// overlap: each tells of all since the last acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Loss {
    /// The first that is gone.
    #[n(0)]
    pub first_sequence: u32,
    /// The last that is gone.
    #[n(1)]
    pub last_sequence: u32,
}

impl Loss {
    /// How many records are gone.
    pub fn records(&self) -> u32 {
        self.last_sequence
            .checked_sub(self.first_sequence)
            .map_or(0, |more| more.saturating_add(1))
    }
}

/// Why a device started, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct ResetReason(#[n(0)] pub u32);

impl ResetReason {
    /// Not known.
    pub const UNKNOWN: Self = Self(0);
    /// Power came.
    pub const POWER: Self = Self(1);
    /// The reset pin or a debugger.
    pub const EXTERNAL: Self = Self(2);
    /// The firmware asked for it.
    pub const SOFTWARE: Self = Self(3);
    /// The watchdog.
    pub const WATCHDOG: Self = Self(4);
}

/// The device started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Boot {
    /// Why.
    #[n(0)]
    pub reason: ResetReason,
}

/// What happened, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct EventCode(#[n(0)] pub u32);

impl EventCode {
    /// A bundle became active; `bundle` is the one.
    pub const ACTIVATED: Self = Self(1);
    /// The active bundle no longer runs, for what the refusal's code in `detail` says; `bundle` is the
    /// one. The one before it runs, if it can.
    pub const ROLLED_BACK: Self = Self(2);
    /// A bundle was refused; `detail` says why.
    pub const REFUSED: Self = Self(3);
    /// A bundle passed its probation; `bundle` is the one.
    pub const CONFIRMED: Self = Self(4);
    /// The clock was set.
    pub const CLOCK_SET: Self = Self(5);
    /// Records could not be written; `detail` says how many since this was told last. Those before a
    /// restart that came first are not counted.
    pub const NOT_WRITTEN: Self = Self(6);
}

/// Something happened to the device's bundle or clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Event {
    /// What.
    #[n(0)]
    pub code: EventCode,
    /// A number whose meaning depends on the code.
    #[cbor(n(1), skip_if = "is_zero")]
    pub detail: u32,
    /// The bundle concerned, if any.
    #[n(2)]
    pub bundle: Option<BundleId>,
}
