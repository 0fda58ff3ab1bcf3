//! Taking records in: checked, stored once, counted.

use dunlin_wire::DeviceId;
use dunlin_wire::link::{RECORD_LENGTH_BYTES, Records};
use dunlin_wire::record::{Boot, Channel, Event, Kind, Loss, Record, Window};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{Devices, FleetError, Refusal, RefusalReason, Store};

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
    /// The sequence number of the first record of the batch, unless that was refused.
    pub first: Option<u32>,
    /// The sequence number up to which the device may forget its records: the last one before the
    /// first refused one. `None` when there is nothing to acknowledge.
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
    /// in whatever order it comes. What is not authentic changes nothing but a count.
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
        let mut batch = Batch {
            transaction: self.write()?,
            devices,
            sender,
            received_ms,
            ingested: Ingested::default(),
        };
        records
            .into_iter()
            .try_for_each(|bytes| batch.take(bytes))?;
        batch.finish()
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
        let transaction = self.write()?;
        see(&transaction, devices, sender, now_ms)?;
        Ok(transaction.commit()?)
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
        let transaction = self.write()?;
        refusals
            .iter()
            .try_for_each(|refusal| count_refusal(&transaction, transport, received_ms, refusal))?;
        Ok(transaction.commit()?)
    }

    /// The last sequence number of the device that [`Store::note_acknowledged`] was told; 0 for none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn acknowledged(&self, device: DeviceId) -> Result<u32, FleetError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT acknowledged FROM devices WHERE device = ?1")?;
        Ok(statement
            .query_row(params![device.to_string()], |row| row.get(0))
            .optional()?
            .unwrap_or(0))
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
        let transaction = self.write()?;
        for device in devices.iter() {
            transaction.execute(
                "INSERT INTO devices (device, name) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET name = ?2",
                params![device.id.to_string(), device.name],
            )?;
        }
        Ok(transaction.commit()?)
    }
}

struct Batch<'a> {
    transaction: Transaction<'a>,
    devices: &'a Devices,
    sender: Sender<'a>,
    received_ms: i64,
    ingested: Ingested,
}

impl Batch<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), FleetError> {
        let record = match self.check(bytes) {
            Ok(record) => record,
            Err(refusal) => {
                self.ingested.refused.push(refusal);
                return Ok(());
            }
        };
        match self.store(&record)? {
            Outcome::Stored { understood } => {
                self.ingested.stored += 1;
                self.ingested.not_understood += u64::from(!understood);
            }
            Outcome::Duplicate => self.ingested.duplicates += 1,
            Outcome::Conflict => self.ingested.conflicts += 1,
        }
        if self.ingested.refused.is_empty() {
            self.ingested.first.get_or_insert(record.header().sequence);
            self.ingested.safe_up_to = self.ingested.safe_up_to.max(Some(record.header().sequence));
        }
        Ok(())
    }

    fn check<'r>(&self, bytes: &'r [u8]) -> Result<Record<'r>, Refusal> {
        let sender = self.sender.device;
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

    fn store(&self, record: &Record<'_>) -> Result<Outcome, FleetError> {
        see(
            &self.transaction,
            self.devices,
            self.sender,
            self.received_ms,
        )?;
        let understood = is_understood(record);
        if !self.insert(record, understood)? {
            return self.compare(record);
        }
        if let Ok(window) = record.body::<Window>() {
            self.insert_window(record, &window)?;
        }
        Ok(Outcome::Stored { understood })
    }

    fn insert(&self, record: &Record<'_>, understood: bool) -> Result<bool, FleetError> {
        let header = record.header();
        let rows = self
            .transaction
            .prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING")?
            .execute(params![
                header.device.to_string(),
                header.boot,
                header.sequence,
                header.kind.0,
                header.bundle.map(|bundle| bundle.to_string()),
                header.firmware.to_string(),
                integer(header.uptime_ms),
                header.time_ms.map(integer),
                self.received_ms,
                self.sender.transport,
                understood,
                record.bytes(),
            ])?;
        Ok(rows == 1)
    }

    /// A record whose key is taken: the same bytes again, or others, which are kept too.
    fn compare(&self, record: &Record<'_>) -> Result<Outcome, FleetError> {
        let (device, boot, sequence) = key(record);
        let stored: Vec<u8> = self
            .transaction
            .prepare_cached(
                "SELECT bytes FROM records WHERE device = ?1 AND boot = ?2 AND sequence = ?3",
            )?
            .query_row(params![device, boot, sequence], |row| row.get(0))?;
        if stored == record.bytes() {
            return Ok(Outcome::Duplicate);
        }
        let rows = self
            .transaction
            .prepare_cached(
                "INSERT INTO conflicts VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                device,
                boot,
                sequence,
                self.received_ms,
                self.sender.transport,
                record.bytes()
            ])?;
        Ok(if rows == 1 {
            Outcome::Conflict
        } else {
            Outcome::Duplicate
        })
    }

    fn insert_window(&self, record: &Record<'_>, window: &Window) -> Result<(), FleetError> {
        let (device, boot, sequence) = key(record);
        self.transaction
            .prepare_cached("INSERT INTO windows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)")?
            .execute(params![
                device,
                boot,
                sequence,
                record.header().bundle.map(|bundle| bundle.to_string()),
                integer(window.opened_ms),
                integer(window.span_ms),
                window.partial,
                window.judged,
                window.drifted(),
                window.inputs,
                window.errors,
                list(&window.predictions),
                window.prediction_score,
                window.prediction_drifted,
                list(&window.confidence.counts),
                list(&window.latency.counts),
            ])?;
        window
            .channels
            .iter()
            .enumerate()
            .try_for_each(|(index, channel)| self.insert_channel(record, index, channel))
    }

    fn insert_channel(
        &self,
        record: &Record<'_>,
        index: usize,
        channel: &Channel,
    ) -> Result<(), FleetError> {
        let (device, boot, sequence) = key(record);
        self.transaction
            .prepare_cached("INSERT INTO channel_windows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")?
            .execute(params![
                device,
                boot,
                sequence,
                index as i64,
                integer(channel.count()),
                channel.missing,
                channel.out_of_range,
                channel.stuck,
                channel.mean(),
                channel.variance(),
                finite(channel.minimum),
                finite(channel.maximum),
                list(&channel.histogram.counts),
                channel.score,
                channel.drifted,
            ])?;
        Ok(())
    }

    fn finish(self) -> Result<Ingested, FleetError> {
        for refusal in &self.ingested.refused {
            count_refusal(
                &self.transaction,
                self.sender.transport,
                self.received_ms,
                refusal,
            )?;
        }
        self.transaction.commit()?;
        Ok(self.ingested)
    }
}

/// Notes that the device was heard of. Goes before its first record, which refers to it.
fn see(
    transaction: &Transaction<'_>,
    devices: &Devices,
    sender: Sender<'_>,
    now_ms: i64,
) -> Result<(), FleetError> {
    let name = devices
        .get(sender.device)
        .map_or("", |device| device.name.as_str());
    transaction
        .prepare_cached(
            "INSERT INTO devices (device, name, first_seen_ms, last_seen_ms, transport) VALUES (?1, ?2, ?3, ?3, ?4)
             ON CONFLICT DO UPDATE SET name = ?2, transport = ?4,
             first_seen_ms = min(coalesce(first_seen_ms, ?3), ?3), last_seen_ms = max(coalesce(last_seen_ms, ?3), ?3)",
        )?
        .execute(params![sender.device.to_string(), name, now_ms, sender.transport])?;
    Ok(())
}

fn count_refusal(
    transaction: &Transaction<'_>,
    transport: &str,
    received_ms: i64,
    refusal: &Refusal,
) -> Result<(), FleetError> {
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

fn is_understood(record: &Record<'_>) -> bool {
    match record.header().kind {
        Kind::WINDOW => record.body::<Window>().is_ok(),
        Kind::LOSS => record.body::<Loss>().is_ok(),
        Kind::BOOT => record.body::<Boot>().is_ok(),
        Kind::EVENT => record.body::<Event>().is_ok(),
        _ => false,
    }
}

fn key(record: &Record<'_>) -> (String, u32, u32) {
    let header = record.header();
    (header.device.to_string(), header.boot, header.sequence)
}

/// SQLite's integers have a sign; what is larger becomes the largest.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn finite(value: f32) -> Option<f32> {
    Some(value).filter(|value| value.is_finite())
}

/// Counts as a JSON array, which SQLite's own functions can take apart.
fn list(counts: &[u32]) -> String {
    let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
    format!("[{}]", counts.join(","))
}
