//! Records fetched from one device over its link.

use std::time::{Duration, Instant};

use dunlin_link::{Info, Link};
use dunlin_wire::DeviceId;

use super::{Collected, Event, Until, now_ms};
use crate::{Devices, FleetError, Sender, Store};

/// How often to ask a device for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// Until it has no more, then end.
    Once,
    /// Again and again.
    Every(Duration),
}

/// Asks the device at `address` (as [`Link::open`] takes it) for its records until `until` says so:
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
    store: &mut Store,
    devices: &Devices,
    address: &str,
    polling: Polling,
    until: Until<'_>,
    show: &mut dyn FnMut(Event<'_>),
) -> Result<Collected, FleetError> {
    let mut collector = Collector {
        store,
        devices,
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
    devices: &'a Devices,
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
        self.known(info.device)?;
        (self.show)(Event::Connected { to: self.address });
        link.set_time(now_ms())?;
        let sender = Sender {
            transport: self.address,
            device: info.device,
        };
        self.store.note_contact(self.devices, sender, now_ms())?;
        self.drain(&mut link, &info)
    }

    fn known(&self, device: DeviceId) -> Result<(), FleetError> {
        self.devices
            .get(device)
            .map(|_| ())
            .ok_or(FleetError::Stranger { device })
    }

    fn drain(&mut self, link: &mut Link, info: &Info) -> Result<(), FleetError> {
        let mut since = info.acknowledged_sequence;
        let mut safe = true;
        loop {
            let page = link.records_since(since)?;
            let Some(last) = page
                .records
                .iter()
                .filter_map(|bytes| sequence(bytes))
                .max()
                .filter(|last| *last > since)
            else {
                return self.refuse_unread(info, &page.records);
            };
            safe &= self.take(link, info.device, &page.records, safe)?;
            since = last;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Takes a page in and acknowledges it, unless an earlier one held something that was refused.
    /// Returns whether all of it is safe.
    fn take(
        &mut self,
        link: &mut Link,
        device: DeviceId,
        records: &[Vec<u8>],
        safe: bool,
    ) -> Result<bool, FleetError> {
        let sender = Sender {
            transport: self.address,
            device,
        };
        let ingested = self.store.ingest(
            self.devices,
            sender,
            now_ms(),
            records.iter().map(Vec::as_slice),
        )?;
        self.collected.add(&ingested);
        self.last_heard = Instant::now();
        if let Some((up_to, credential)) = ingested
            .safe_up_to
            .filter(|_| safe)
            .zip(self.devices.get(device).map(|known| &known.credential))
        {
            self.store.note_acknowledged(device, up_to)?;
            link.acknowledge(up_to, credential.acknowledgement(device, up_to))?;
            self.collected.acknowledgements += 1;
        }
        (self.show)(Event::Ingested {
            device,
            ingested: &ingested,
        });
        Ok(ingested.refused.is_empty())
    }

    /// A page without a single readable sequence number: count what it holds and go no further.
    fn refuse_unread(&mut self, info: &Info, records: &[Vec<u8>]) -> Result<(), FleetError> {
        if records.is_empty() {
            return Ok(());
        }
        let sender = Sender {
            transport: self.address,
            device: info.device,
        };
        let ingested = self.store.ingest(
            self.devices,
            sender,
            now_ms(),
            records.iter().map(Vec::as_slice),
        )?;
        self.collected.add(&ingested);
        (self.show)(Event::Ingested {
            device: info.device,
            ingested: &ingested,
        });
        Ok(())
    }
}

fn sequence(bytes: &[u8]) -> Option<u32> {
    dunlin_wire::record::Record::parse(bytes)
        .ok()
        .map(|(record, _)| record.header().sequence)
}
