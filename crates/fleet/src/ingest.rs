//! Taking records in: checked, stored once, counted; and up to where they may be acknowledged.
//!
//! # What an acknowledgement rests on
//!
//! A device forgets what is acknowledged. So before a number is acknowledged, every record up to it
//! that the device handed out must be on the disk here:
//!
//! - An authentic record is stored; one whose (device, boot, sequence) is taken by other bytes goes
//!   beside the first. Both survive.
//! - A refused item (a tag that does not fit, a header that cannot be read, another device's record)
//!   changes nothing, but it may be a damaged record that sits in the device's store in front of good
//!   ones, and would hold them up for ever. Its bytes are kept in quarantine, and what follows it is
//!   acknowledged once **the same bytes have come in an earlier batch**: damage on the way does not
//!   come twice alike, so the device has nothing better to send. The first time it comes, or when the
//!   device's quarantine is full ([`MAX_QUARANTINE_BYTES`]), nothing behind it is acknowledged.
//! - The acknowledged number is always that of an authentic record, stored before the acknowledgement
//!   is made. What a refused item says of itself is never believed: a stranger who writes "record
//!   4000" into a device's stream gets nothing forgotten. A device whose only records are damaged
//!   keeps them until it has made a good one.
//!
//! Who could abuse it: whoever can write into a device's stream (an open broker, a wire) can fill the
//! device's quarantine, 1 MiB, and so hold up records behind a later damaged one; nothing is lost, and
//! the report says so. To have something forgotten that was never stored, he needs an authentic
//! record that the device made after it, and must keep the ones between from arriving; then he can do
//! it by leaving them out, with or without refused items, because a device's store may have holes.
//! The report shows such a hole as missing records. Against that helps only a broker with access
//! lists, where no one else reads and writes a device's topics.

mod quarantine;
mod rows;

use std::collections::HashSet;

use dunlin_wire::DeviceId;
use dunlin_wire::link::{RECORD_LENGTH_BYTES, Records};
use dunlin_wire::record::Record;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::Fault;
use crate::{Devices, FleetError, Refusal, RefusalReason, Store};
use quarantine::Kept;
pub use quarantine::MAX_QUARANTINE_BYTES;
use rows::{Rows, see};

/// Rows that count refusals, at most. Refusals beyond are counted without naming a device, so that
/// a stranger who invents names cannot fill the disk.
pub const MAX_REFUSAL_ROWS: u32 = 1000;

/// Who sends a batch of records, and how.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Name of the transport, for the record's row: `mqtt`, or the link's address.
    pub transport: &'a str,
    /// The device at the other end. A record of another one is refused.
    pub device: DeviceId,
}

/// What became of a batch of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ingested {
    /// New records stored.
    pub stored: u64,
    /// Records that were there already, byte for byte.
    pub duplicates: u64,
    /// Authentic records with the key of a stored one but other content; kept beside it and reported.
    pub conflicts: u64,
    /// Stored records of a kind, or with a body, that this version does not understand.
    pub not_understood: u64,
    /// What was not taken in.
    pub refused: Vec<Refusal>,
    /// Refused items whose bytes went into quarantine with this batch.
    pub quarantined: u64,
    /// Whether a refused item holds up the acknowledgement of what follows it. It no longer does
    /// when its same bytes come again, unless the quarantine is full or the sender a stranger.
    pub held_up: bool,
    /// The sequence number of the first authentic record of the batch.
    pub first: Option<u32>,
    /// The highest sequence number of an authentic record of the batch.
    pub last: Option<u32>,
    /// The sequence number up to which the device may forget its records, as far as this batch
    /// goes: that of the last authentic record that no refused item holds up. `None` when there is
    /// nothing to acknowledge.
    pub safe_up_to: Option<u32>,
}

enum Outcome {
    Stored { understood: bool },
    Duplicate,
    Conflict,
}

impl Store {
    /// Takes in whole records, in the order in which the device sent them, oldest first.
    ///
    /// One transaction, which is on the disk when this returns: only then may `safe_up_to` be
    /// acknowledged. Each record is stored once for its (device, boot, sequence), however often and
    /// in whatever order it comes. What is not authentic changes nothing but a count; its bytes go
    /// into the quarantine of a known sender.
    /// `received_ms` is the collector's time, ms since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the database fails; then nothing of the batch was stored. Bad records are no errors but
    /// [`Ingested::refused`].
    pub fn ingest<'r>(
        &mut self,
        devices: &Devices,
        sender: Sender<'_>,
        received_ms: i64,
        records: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Ingested, FleetError> {
        self.writing(|transaction| {
            let mut batch = Batch {
                rows: Rows {
                    transaction,
                    sender,
                    received_ms,
                },
                devices,
                kept_now: HashSet::new(),
                ingested: Ingested::default(),
            };
            records
                .into_iter()
                .try_for_each(|bytes| batch.take(bytes))?;
            Ok(batch.ingested)
        })
    }

    /// [`Store::ingest`] for records packed as [`Records`]. A length that points past the end is
    /// refused together with what follows.
    ///
    /// # Errors
    /// As [`Store::ingest`].
    pub fn ingest_packed(
        &mut self,
        devices: &Devices,
        sender: Sender<'_>,
        received_ms: i64,
        packed: &[u8],
    ) -> Result<Ingested, FleetError> {
        let records: Vec<&[u8]> = Records { packed }.iter().collect();
        let whole: usize = records
            .iter()
            .map(|record| RECORD_LENGTH_BYTES + record.len())
            .sum();
        let broken = packed.get(whole..).filter(|rest| !rest.is_empty());
        self.ingest(
            devices,
            sender,
            received_ms,
            records.into_iter().chain(broken),
        )
    }

    /// Notes that a known device answered, whether or not it had records.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_contact(
        &mut self,
        devices: &Devices,
        sender: Sender<'_>,
        now_ms: i64,
    ) -> Result<(), FleetError> {
        self.writing(|transaction| see(transaction, devices, sender, now_ms))
    }

    /// Counts what was turned away before it came to a record.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_refusals(
        &mut self,
        transport: &str,
        received_ms: i64,
        refusals: &[Refusal],
    ) -> Result<(), FleetError> {
        self.writing(|transaction| {
            refusals
                .iter()
                .try_for_each(|refusal| count_refusal(transaction, transport, received_ms, refusal))
        })
    }

    /// The last sequence number of the device that [`Store::note_acknowledged`] was told; 0 for none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn acknowledged(&self, device: DeviceId) -> Result<u32, FleetError> {
        self.reading(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT acknowledged FROM devices WHERE device = ?1")?;
            Ok(statement
                .query_row(params![device.to_string()], |row| row.get(0))
                .optional()?
                .unwrap_or(0))
        })
    }

    /// Keeps up to where the device's records are about to be acknowledged.
    ///
    /// A power cut may take this back: then records are acknowledged later, or twice, and none is lost.
    ///
    /// # Errors
    /// When the database fails; then the acknowledgement must not be given.
    pub fn note_acknowledged(&mut self, device: DeviceId, up_to: u32) -> Result<(), FleetError> {
        self.write_soon(
            "UPDATE devices SET acknowledged = max(acknowledged, ?2) WHERE device = ?1",
            params![device.to_string(), up_to],
        )
    }

    /// Writes the known devices' names, so that a report also shows who was never heard of.
    ///
    /// # Errors
    /// When the database fails.
    pub fn register_devices(&mut self, devices: &Devices) -> Result<(), FleetError> {
        self.writing(|transaction| {
            for device in devices.iter() {
                transaction.execute(
                    "INSERT INTO devices (device, name) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET name = ?2",
                    params![device.id.to_string(), device.name],
                )?;
            }
            Ok(())
        })
    }
}

struct Batch<'a> {
    rows: Rows<'a>,
    devices: &'a Devices,
    /// What went into quarantine with this batch.
    kept_now: HashSet<Vec<u8>>,
    ingested: Ingested,
}

impl Batch<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match self.check(bytes) {
            Ok(record) => self.accept(&record),
            Err(refusal) => self.refuse(refusal, bytes),
        }
    }

    fn accept(&mut self, record: &Record<'_>) -> Result<(), Fault> {
        let Rows {
            transaction,
            sender,
            received_ms,
        } = self.rows;
        see(transaction, self.devices, sender, received_ms)?;
        let outcome = self.rows.store(record)?;
        let ingested = &mut self.ingested;
        match outcome {
            Outcome::Stored { understood } => {
                ingested.stored += 1;
                ingested.not_understood += u64::from(!understood);
            }
            Outcome::Duplicate => ingested.duplicates += 1,
            Outcome::Conflict => ingested.conflicts += 1,
        }
        let sequence = record.header().sequence;
        ingested.first.get_or_insert(sequence);
        ingested.last = ingested.last.max(Some(sequence));
        if !ingested.held_up {
            ingested.safe_up_to = ingested.safe_up_to.max(Some(sequence));
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal, bytes: &[u8]) -> Result<(), Fault> {
        let Rows {
            transaction,
            sender,
            received_ms,
        } = self.rows;
        count_refusal(transaction, sender.transport, received_ms, &refusal)?;
        let kept = if self.devices.get(sender.device).is_some() {
            quarantine::keep(transaction, (sender, received_ms), &refusal, bytes)?
        } else {
            Kept::No
        };
        if kept == Kept::Now {
            self.kept_now.insert(bytes.to_vec());
            self.ingested.quarantined += 1;
        }
        let came_before = kept == Kept::Before && !self.kept_now.contains(bytes);
        self.ingested.held_up |= !came_before;
        self.ingested.refused.push(refusal);
        Ok(())
    }

    fn check<'r>(&self, bytes: &'r [u8]) -> Result<Record<'r>, Refusal> {
        let sender = self.rows.sender.device;
        let (record, rest) =
            Record::parse(bytes).map_err(|error| Refusal::unread(Some(sender), error.into()))?;
        let header = record.header();
        if !rest.is_empty() {
            return Err(Refusal::of(
                header,
                RefusalReason::Malformed {
                    position: bytes.len() - rest.len(),
                },
            ));
        }
        if header.device != sender {
            return Err(Refusal::of(header, RefusalReason::WrongSender { sender }));
        }
        let device = self
            .devices
            .get(sender)
            .ok_or_else(|| Refusal::of(header, RefusalReason::Stranger))?;
        if !record.confirmed_by(&device.credential) {
            return Err(Refusal::of(header, RefusalReason::BadTag));
        }
        Ok(record)
    }
}

fn count_refusal(
    transaction: &Transaction<'_>,
    transport: &str,
    received_ms: i64,
    refusal: &Refusal,
) -> Result<(), Fault> {
    let rows: u32 = transaction.query_row("SELECT count(*) FROM refusals", [], |row| row.get(0))?;
    let named = refusal
        .device
        .filter(|_| rows < MAX_REFUSAL_ROWS)
        .map_or_else(String::new, |device| device.to_string());
    transaction
        .prepare_cached(
            "INSERT INTO refusals VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT DO UPDATE SET
             count = count + 1, first_ms = min(first_ms, ?4), last_ms = max(last_ms, ?4)",
        )?
        .execute(params![
            transport,
            named,
            refusal.reason.name(),
            received_ms
        ])?;
    Ok(())
}
