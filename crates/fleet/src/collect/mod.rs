//! Fetching records from devices: over a link, or from an MQTT broker.

mod flow;
pub mod link;
pub mod mqtt;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dunlin_wire::DeviceId;
use serde::Serialize;

use crate::roster::News;
use crate::{Devices, FleetError, Ingested, Refusal, Roster, Store};

/// What happens while collecting, for whoever shows it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The embedded broker takes devices here.
    Listening {
        /// The address, with the port that was chosen.
        address: std::net::SocketAddr,
    },
    /// Connected to a broker or a device; records may come.
    Connected {
        /// Name of the broker or the link, without secrets.
        to: &'a str,
    },
    /// The connection is gone and will be tried again.
    Interrupted {
        /// Why.
        reason: &'a str,
    },
    /// Records of a device were taken in and are on the disk.
    Ingested {
        /// The device.
        device: DeviceId,
        /// What became of them.
        ingested: &'a Ingested,
    },
    /// Someone was turned away before sending a record.
    Refused(&'a Refusal),
    /// The devices file changed and was read again.
    DevicesRead {
        /// How many devices are known now.
        devices: usize,
    },
    /// The devices file changed and cannot be read: the devices known before still hold. Told once
    /// for every change.
    DevicesUnread {
        /// Why.
        error: &'a FleetError,
    },
}

/// What collecting works with.
pub struct Collecting<'a> {
    /// Where records go.
    pub store: &'a mut Store,
    /// Whose records are taken. A file that changes is read again, for logins and for records.
    pub devices: &'a Roster,
    /// When to stop.
    pub until: Until<'a>,
    /// Is told what happens.
    pub show: &'a mut dyn FnMut(Event<'_>),
}

/// What one call of a collecting function did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Collected {
    /// New records stored.
    pub stored: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Authentic records that contradict a stored one and were kept beside it.
    pub conflicts: u64,
    /// Records and logins refused.
    pub refused: u64,
    /// Refused records whose bytes were kept in quarantine.
    pub quarantined: u64,
    /// Acknowledgements given.
    pub acknowledgements: u64,
}

impl Collected {
    pub(crate) fn add(&mut self, ingested: &Ingested) {
        self.stored += ingested.stored;
        self.duplicates += ingested.duplicates;
        self.conflicts += ingested.conflicts;
        self.refused += ingested.refused.len() as u64;
        self.quarantined += ingested.quarantined;
    }
}

/// When to stop collecting.
#[derive(Debug, Clone, Copy)]
pub struct Until<'a> {
    /// Becomes true when the caller wants an end, for example from a signal handler. Looked at five
    /// times a second.
    pub stop: &'a AtomicBool,
    /// Ends after this long without a record; `None` goes on for ever.
    pub idle: Option<Duration>,
}

/// How often [`Until`] is looked at.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

impl Until<'_> {
    pub(crate) fn reached(&self, last_heard: Instant) -> bool {
        self.stop.load(Ordering::Relaxed)
            || self.idle.is_some_and(|idle| last_heard.elapsed() >= idle)
    }

    /// Sleeps for `period` or until the stop.
    pub(crate) fn sleep(&self, period: Duration) {
        let end = Instant::now() + period;
        while Instant::now() < end && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(PATIENCE.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// The devices as their file says now; new ones are registered, and what came of reading it is shown.
pub(crate) fn renewed(
    roster: &Roster,
    store: &mut Store,
    show: &mut dyn FnMut(Event<'_>),
) -> Result<Arc<Devices>, FleetError> {
    let devices = roster.renewed();
    match roster.news() {
        Some(News::Read(read)) => {
            store.register_devices(&read)?;
            show(Event::DevicesRead {
                devices: read.iter().count(),
            });
        }
        Some(News::Unread(error)) => show(Event::DevicesUnread { error: &error }),
        None => {}
    }
    Ok(devices)
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
