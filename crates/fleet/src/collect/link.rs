//! Records fetched from one device over its link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_link::{Info, Link};
use dunlin_wire::DeviceId;

use super::{Collected, Collecting, Event, now_ms, renewed};
use crate::{Devices, FleetError, Ingested, Roster, Sender, Store};

/// How often to ask a device for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// Until it has no more, then end.
    Once,
    /// Again and again.
    Every(Duration),
}

/// Asks the device at `address` (as [`Link::open`] takes it) for its records until it is time to stop:
/// sets its time, takes its records in, and acknowledges them when they are on the disk. Returns
/// who it was last and what was done.
///
/// Asking begins at what the device itself holds to be acknowledged, so a database that was lost,
/// or a device whose store was, costs nothing but records sent twice.
///
/// # Errors
/// When the device is unknown, when the database fails, or, when polling once or before the device
/// was ever reached, when the link fails. Afterwards a link that fails is opened anew.
pub fn collect_link(
    collecting: Collecting<'_>,
    address: &str,
    polling: Polling,
) -> Result<Collected, FleetError> {
    let Collecting {
        store,
        devices,
        until,
        show,
    } = collecting;
    let mut collector = Collector {
        store,
        roster: devices,
        devices: devices.devices(),
        address,
        show,
        collected: Collected::default(),
        last_heard: Instant::now(),
    };
    collector.visit()?;
    let Polling::Every(period) = polling else {
        return Ok(collector.collected);
    };
    while !until.reached(collector.last_heard) {
        until.sleep(period);
        match collector.visit() {
            Err(FleetError::Link(error)) => (collector.show)(Event::Interrupted {
                reason: &error.to_string(),
            }),
            other => other?,
        }
    }
    Ok(collector.collected)
}

struct Collector<'a> {
    store: &'a mut Store,
    roster: &'a Roster,
    devices: Arc<Devices>,
    address: &'a str,
    show: &'a mut dyn FnMut(Event<'_>),
    collected: Collected,
    last_heard: Instant,
}

impl Collector<'_> {
    /// One connection: everything the device has now.
    fn visit(&mut self) -> Result<(), FleetError> {
        let mut link = Link::open(self.address)?;
        let info = link.info()?;
        self.devices = renewed(self.roster, self.store, self.show)?;
        self.known(info.device)?;
        (self.show)(Event::Connected { to: self.address });
        link.set_time(now_ms())?;
        let sender = Sender {
            transport: self.address,
            device: info.device,
        };
        self.store.note_contact(&self.devices, sender, now_ms())?;
        self.drain(&mut link, &info)
    }

    fn known(&self, device: DeviceId) -> Result<(), FleetError> {
        self.devices
            .get(device)
            .map(|_| ())
            .ok_or(FleetError::Stranger { device })
    }

    /// Page after page until the device has no more.
    fn drain(&mut self, link: &mut Link, info: &Info) -> Result<(), FleetError> {
        let mut since = info.acknowledged_sequence;
        let mut safe = true;
        loop {
            let page = link.records_since(since)?;
            let Some(head) = page.records.first() else {
                return Ok(());
            };
            let ingested = self.take(link, (info.device, since), &page.records)?;
            if let Some(up_to) = ingested.safe_up_to.filter(|_| safe) {
                self.acknowledge(link, info.device, up_to)?;
            }
            safe &= !ingested.held_up;
            (self.show)(Event::Ingested {
                device: info.device,
                ingested: &ingested,
            });
            if !page.more {
                return Ok(());
            }
            since = match ingested.last.filter(|last| *last > since) {
                Some(last) => last,
                None => beyond(link, since, head)?,
            };
        }
    }

    /// Takes a page in; one that holds something refused is fetched and taken in once more, so that
    /// damage on the way is told from damage on the device.
    fn take(
        &mut self,
        link: &mut Link,
        (device, since): (DeviceId, u32),
        records: &[Vec<u8>],
    ) -> Result<Ingested, FleetError> {
        let mut ingested = self.ingest(device, records)?;
        self.collected.add(&ingested);
        self.last_heard = Instant::now();
        if ingested.held_up {
            let again = link.records_since(since)?;
            let second = self.ingest(device, &again.records)?;
            self.collected.stored += second.stored;
            ingested.stored += second.stored;
            ingested.held_up = second.held_up;
            ingested.last = second.last;
            ingested.safe_up_to = second.safe_up_to;
        }
        Ok(ingested)
    }

    fn ingest(&mut self, device: DeviceId, records: &[Vec<u8>]) -> Result<Ingested, FleetError> {
        let sender = Sender {
            transport: self.address,
            device,
        };
        let records = records.iter().map(Vec::as_slice);
        self.store.ingest(&self.devices, sender, now_ms(), records)
    }

    fn acknowledge(
        &mut self,
        link: &mut Link,
        device: DeviceId,
        up_to: u32,
    ) -> Result<(), FleetError> {
        let Some(known) = self.devices.get(device) else {
            return Ok(());
        };
        self.store.note_acknowledged(device, up_to)?;
        link.acknowledge(up_to, known.credential.acknowledgement(device, up_to))?;
        self.collected.acknowledgements += 1;
        Ok(())
    }
}

/// The sequence number of `head`, which comes first after `since` and does not tell its number: the
/// lowest one after which the device begins with something else. Asks twice as often as the number
/// of digits of the distance, and once for a neighbour.
fn beyond(link: &mut Link, since: u32, head: &[u8]) -> Result<u32, FleetError> {
    let mut comes_after = |number: u32| -> Result<bool, FleetError> {
        let page = link.records_since(number)?;
        Ok(page.records.first().is_some_and(|first| first == head))
    };
    let (mut low, mut step) = (since, 1_u32);
    let mut high = since.saturating_add(1);
    while high < u32::MAX && comes_after(high)? {
        low = high;
        step = step.saturating_mul(2);
        high = high.saturating_add(step);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if comes_after(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high)
}
