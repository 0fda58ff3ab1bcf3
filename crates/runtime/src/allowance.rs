//! What requests that nobody has to prove may still have written, counted from the start on.
//!
//! Flash wears with every erase, so whoever is on the wire must not be able to cause any number of
//! them. The counts are kept in RAM: a restart gives everything back.

use dunlin_wire::{BundleId, Table};

/// Transfers that may be begun between activations.
pub(crate) const MAX_TRANSFERS: u8 = 16;
/// Records that tell of the clock in one start.
pub(crate) const MAX_CLOCK_RECORDS: u8 = 8;
/// Bundles whose refusal is recorded in one start.
pub(crate) const MAX_REFUSALS: usize = 8;

/// What was used up since the start.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    transfers: u8,
    clock_records: u8,
    refused: Table<BundleId, MAX_REFUSALS>,
}

impl Allowance {
    /// Whether one more transfer may erase the spare slot.
    pub fn take_transfer(&mut self) -> bool {
        take(&mut self.transfers, MAX_TRANSFERS)
    }

    /// A bundle was activated: only newer ones can be, so transfers are counted anew.
    pub fn give_transfers_back(&mut self) {
        self.transfers = 0;
    }

    /// Whether one more record may tell that the clock was set.
    pub fn take_clock_record(&mut self) -> bool {
        take(&mut self.clock_records, MAX_CLOCK_RECORDS)
    }

    /// Whether a record may tell that this bundle was refused: once for each.
    pub fn take_refusal(&mut self, bundle: BundleId) -> bool {
        !self.refused.contains(&bundle) && self.refused.push(bundle).is_ok()
    }
}

fn take(used: &mut u8, limit: u8) -> bool {
    let is_left = *used < limit;
    *used += u8::from(is_left);
    is_left
}
