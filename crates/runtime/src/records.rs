//! Records: made with the device's identity, kept in the store, handed out and forgotten.

use crate::flash::FlashFault;
use crate::state::unfit;
use dunlin_monitor::store::{Region, Store, StoreError};
use dunlin_wire::credential::Credential;
use dunlin_wire::limits::MAX_RECORD_BYTES;
use dunlin_wire::link::RECORD_LENGTH_BYTES;
use dunlin_wire::record::{self, Body, Event, EventCode, Header};
use dunlin_wire::{BundleId, DeviceId, FirmwareId};
use embedded_storage::nor_flash::NorFlash;

/// What stands in every header, apart from what the store counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub device: DeviceId,
    pub firmware: FirmwareId,
    pub bundle: Option<BundleId>,
    pub uptime_ms: u64,
    pub time_ms: Option<u64>,
}

/// A page of packed records and whether there are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    pub bytes: usize,
    pub more: bool,
}

/// Why nothing is recorded, or handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// There is no secret that would make a record authentic.
    Unprovisioned,
    /// The region does not suit or fails.
    Flash(FlashFault),
}

impl From<FlashFault> for RecordFault {
    fn from(fault: FlashFault) -> Self {
        Self::Flash(fault)
    }
}

/// The store of records, or the reason why there is none: a device goes on without.
#[derive(Debug)]
pub(crate) struct Records<F> {
    flash: F,
    store: Result<Store, RecordFault>,
    /// Why the last record was not stored.
    failed: Option<FlashFault>,
    /// Records that were not stored and that no record tells of yet.
    unwritten: u32,
    /// The number of the last of them, until the flash was asked whether it is there after all.
    doubtful: Option<u32>,
}

impl<F: NorFlash> Records<F> {
    /// Finds the store; without a secret of its own a device keeps none.
    pub fn open(mut flash: F, is_provisioned: bool) -> Self {
        let store = match is_provisioned {
            true => mount(&mut flash).map_err(RecordFault::Flash),
            false => Err(RecordFault::Unprovisioned),
        };
        Self {
            flash,
            store,
            failed: None,
            unwritten: 0,
            doubtful: None,
        }
    }

    /// Why nothing is recorded now.
    pub fn fault(&self) -> Option<RecordFault> {
        let none = self.store.as_ref().err().copied();
        none.or(self.failed.map(RecordFault::Flash))
    }

    /// How often the device has started with its store; 0 without one.
    pub fn boot(&self) -> u32 {
        self.store.as_ref().map_or(0, Store::boot)
    }

    pub fn last_sequence(&self) -> u32 {
        self.next_sequence().saturating_sub(1)
    }

    pub fn acknowledged(&self) -> u32 {
        self.store.as_ref().map_or(0, Store::acknowledged)
    }

    fn next_sequence(&self) -> u32 {
        self.store.as_ref().map_or(0, Store::next_sequence)
    }

    /// The header of the next record, whose number the flash decides after a write that failed.
    pub fn header(&mut self, origin: Origin) -> Header {
        self.look_again();
        Header {
            device: origin.device,
            boot: self.boot(),
            sequence: self.next_sequence(),
            bundle: origin.bundle,
            firmware: origin.firmware,
            uptime_ms: origin.uptime_ms,
            time_ms: origin.time_ms,
            ..Header::default()
        }
    }

    /// A write that is said to have failed may have happened: then it is not counted as missing.
    fn look_again(&mut self) {
        let Ok(store) = &mut self.store else {
            return;
        };
        if store.look_again_if_suspect(&mut self.flash).is_ok()
            && let Some(sequence) = self.doubtful.take()
            && store.next_sequence() > sequence
        {
            self.unwritten = self.unwritten.saturating_sub(1);
        }
    }

    /// Makes a record and stores it; a loss that this or an earlier append caused is told of in a
    /// record of its own. Nothing happens without a store.
    pub fn append<B: Body>(
        &mut self,
        origin: Origin,
        body: &B,
        credential: &Credential,
        buffer: &mut [u8],
    ) -> Result<(), FlashFault> {
        let length = record::encode(&self.header(origin), body, credential, buffer)
            .map_err(|_| FlashFault::Failed)?;
        self.append_encoded(buffer.get(..length).unwrap_or_default())?;
        self.report_missing(origin, credential, buffer)
    }

    /// Stores a record that was made with [`Records::header`], or counts it as not written. Nothing
    /// happens without a store.
    pub fn append_encoded(&mut self, record: &[u8]) -> Result<(), FlashFault> {
        let sequence = self.next_sequence();
        let stored = self.write(record);
        if stored.is_err() {
            self.unwritten = self.unwritten.saturating_add(1);
            self.doubtful = Some(sequence);
        }
        stored
    }

    fn write(&mut self, record: &[u8]) -> Result<(), FlashFault> {
        let Ok(store) = &mut self.store else {
            return Ok(());
        };
        let sequence = store.next_sequence();
        let stored = store
            .append(&mut self.flash, sequence, record)
            .map_err(fault);
        self.failed = stored.err();
        stored
    }

    /// Tells in records of their own what was not written and what was dropped, if nothing does yet.
    pub fn report_missing(
        &mut self,
        origin: Origin,
        credential: &Credential,
        buffer: &mut [u8],
    ) -> Result<(), FlashFault> {
        self.report_unwritten(origin, credential, buffer)?;
        self.report_loss(origin, credential, buffer)
    }

    fn report_unwritten(
        &mut self,
        origin: Origin,
        credential: &Credential,
        buffer: &mut [u8],
    ) -> Result<(), FlashFault> {
        let header = self.header(origin);
        if self.unwritten == 0 {
            return Ok(());
        }
        let event = Event {
            code: EventCode::NOT_WRITTEN,
            detail: self.unwritten,
            bundle: None,
        };
        let length =
            record::encode(&header, &event, credential, buffer).map_err(|_| FlashFault::Failed)?;
        self.write(buffer.get(..length).unwrap_or_default())?;
        self.unwritten = 0;
        Ok(())
    }

    /// Stores a loss record when records were dropped that nobody had and nothing tells of yet.
    fn report_loss(
        &mut self,
        origin: Origin,
        credential: &Credential,
        buffer: &mut [u8],
    ) -> Result<(), FlashFault> {
        let Ok(store) = &self.store else {
            return Ok(());
        };
        let Some(loss) = store.lost(&mut self.flash).map_err(fault)? else {
            return Ok(());
        };
        let length = record::encode(&self.header(origin), &loss, credential, buffer)
            .map_err(|_| FlashFault::Failed)?;
        self.write(buffer.get(..length).unwrap_or_default())?;
        self.store.as_mut().map_or(Ok(()), |store| {
            store
                .loss_reported(&mut self.flash, loss.last_sequence)
                .map_err(fault)
        })
    }

    /// Remembers that everything up to `up_to` has arrived.
    pub fn acknowledge(&mut self, up_to: u32) -> Result<(), RecordFault> {
        let store = self.store.as_mut().map_err(|fault| *fault)?;
        store
            .acknowledge(&mut self.flash, up_to)
            .map_err(|error| fault(error).into())
    }

    /// Packs records above `sequence`, each after its length, until the next one does not fit.
    pub fn pack(&mut self, sequence: u32, block: &mut [u8]) -> Result<Packed, RecordFault> {
        let store = self.store.as_ref().map_err(|fault| *fault)?;
        let mut cursor = store.after(&mut self.flash, sequence).map_err(fault)?;
        let mut bytes = 0;
        loop {
            let Some(room) = block
                .get_mut(bytes..)
                .filter(|room| room.len() > RECORD_LENGTH_BYTES)
            else {
                return Ok(Packed { bytes, more: true });
            };
            let (length, room) = room.split_at_mut(RECORD_LENGTH_BYTES);
            match store.read_next(&mut self.flash, &mut cursor, room) {
                Ok(Some(stored)) => {
                    length.copy_from_slice(&(stored.bytes.len() as u16).to_le_bytes());
                    bytes += RECORD_LENGTH_BYTES + stored.bytes.len();
                }
                Ok(None) => return Ok(Packed { bytes, more: false }),
                Err(StoreError::BufferTooSmall { .. }) if bytes > 0 => {
                    return Ok(Packed { bytes, more: true });
                }
                Err(error) => return Err(fault(error).into()),
            }
        }
    }
}

/// Finds the store in a region whose pages hold the longest record.
fn mount<F: NorFlash>(flash: &mut F) -> Result<Store, FlashFault> {
    let region = Region::whole(flash, MAX_RECORD_BYTES).map_err(unfit)?;
    Store::mount(flash, region).map_err(fault)
}

fn fault<E>(error: StoreError<E>) -> FlashFault {
    match error {
        StoreError::Region(error) => unfit(error),
        _ => FlashFault::Failed,
    }
}
