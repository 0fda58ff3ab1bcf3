//! Records as rows.

use dunlin_wire::record::{Boot, Channel, Event, Kind, Loss, Record, Window};
use rusqlite::{Transaction, params};

use super::{Outcome, Sender};
use crate::Devices;
use crate::error::Fault;

/// Where rows go, and what they say of how their record came.
pub(super) struct Rows<'a> {
    pub transaction: &'a Transaction<'a>,
    pub sender: Sender<'a>,
    pub received_ms: i64,
}

impl Rows<'_> {
    /// Stores an authentic record once; the same bytes again are nothing new, other bytes under the
    /// same key are kept beside the first.
    pub fn store(&self, record: &Record<'_>) -> Result<Outcome, Fault> {
        let understood = is_understood(record);
        if !self.insert(record, understood)? {
            return self.compare(record);
        }
        if let Ok(window) = record.body::<Window>() {
            self.insert_window(record, &window)?;
        }
        Ok(Outcome::Stored { understood })
    }

    fn insert(&self, record: &Record<'_>, understood: bool) -> Result<bool, Fault> {
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
    fn compare(&self, record: &Record<'_>) -> Result<Outcome, Fault> {
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

    fn insert_window(&self, record: &Record<'_>, window: &Window) -> Result<(), Fault> {
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
    ) -> Result<(), Fault> {
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
}

/// Notes that the device was heard of. Goes before its first record, which refers to it.
pub(super) fn see(
    transaction: &Transaction<'_>,
    devices: &Devices,
    sender: Sender<'_>,
    now_ms: i64,
) -> Result<(), Fault> {
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
