//! Refused bytes of known devices, kept for a person to look at.

use rusqlite::{Transaction, params};

use super::Sender;
use crate::Refusal;
use crate::error::Fault;

/// Bytes of quarantine per known device, at most, [`ROW_BYTES`] for each item included.
pub const MAX_QUARANTINE_BYTES: u64 = 1024 * 1024;

/// What an item costs besides its own bytes.
const ROW_BYTES: u64 = 64;

/// How a refused item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// On the disk with this transaction, for the first time.
    Now,
    /// On the disk since an earlier transaction.
    Before,
    /// Not: the device's quarantine is full.
    No,
}

/// Keeps refused bytes, or counts them when they are there. Costs a look at all that is kept of
/// the device.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    (sender, received_ms): (Sender<'_>, i64),
    refusal: &Refusal,
    bytes: &[u8],
) -> Result<Kept, Fault> {
    let device = sender.device.to_string();
    let counted = transaction
        .prepare_cached(
            "UPDATE quarantine SET count = count + 1, last_ms = max(last_ms, ?3)
             WHERE device = ?1 AND bytes = ?2",
        )?
        .execute(params![device, bytes, received_ms])?;
    if counted > 0 {
        return Ok(Kept::Before);
    }
    if held_bytes(transaction, &device)? + ROW_BYTES + bytes.len() as u64 > MAX_QUARANTINE_BYTES {
        return Ok(Kept::No);
    }
    transaction
        .prepare_cached("INSERT INTO quarantine VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7)")?
        .execute(params![
            device,
            refusal.boot,
            refusal.sequence,
            refusal.reason.name(),
            sender.transport,
            received_ms,
            bytes
        ])?;
    Ok(Kept::Now)
}

fn held_bytes(transaction: &Transaction<'_>, device: &str) -> Result<u64, Fault> {
    let held: i64 = transaction
        .prepare_cached(
            "SELECT coalesce(sum(length(bytes) + ?2), 0) FROM quarantine WHERE device = ?1",
        )?
        .query_row(params![device, ROW_BYTES as i64], |row| row.get(0))?;
    Ok(u64::try_from(held).unwrap_or(u64::MAX / 2))
}
