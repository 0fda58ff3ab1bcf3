//! Records: made with the device's identity, kept in the store, handed out and forgotten.

use crate::flash::FlashFault;
use crate::state::unfit;
use dunlin_monitor::store::{Region, Store, StoreError};
use dunlin_wire::credential::Credential;
use dunlin_wire::limits::MAX_RECORD_BYTES;
use dunlin_wire::link::RECORD_LENGTH_BYTES;
use dunlin_wire::record::{self, Body, Header};
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

#[derive(Debug)]
pub(crate) struct Records<F> {
    flash: F,
    store: Store,
}

impl<F: NorFlash> Records<F> {
    pub fn open(mut flash: F) -> Result<Self, FlashFault> {
        let region = Region::whole(&flash, MAX_RECORD_BYTES).map_err(unfit)?;
        let store = Store::mount(&mut flash, region).map_err(fault)?;
        Ok(Self { flash, store })
    }

    pub fn boot(&self) -> u32 {
        self.store.boot()
    }

    pub fn last_sequence(&self) -> u32 {
        self.store.next_sequence().saturating_sub(1)
    }

    pub fn acknowledged(&self) -> u32 {
        self.store.acknowledged()
    }

    /// The header of the next record.
    pub fn header(&self, origin: Origin) -> Header {
        Header {
            device: origin.device,
            boot: self.store.boot(),
            sequence: self.store.next_sequence(),
            bundle: origin.bundle,
            firmware: origin.firmware,
            uptime_ms: origin.uptime_ms,
            time_ms: origin.time_ms,
            ..Header::default()
        }
    }

    /// Makes a record and stores it; a loss that this or an earlier append caused is told of in a
    /// record of its own.
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
        self.report_loss(origin, credential, buffer)
    }

    /// Stores a record that was made with [`Records::header`].
    pub fn append_encoded(&mut self, record: &[u8]) -> Result<(), FlashFault> {
        self.store
            .append(&mut self.flash, self.store.next_sequence(), record)
            .map_err(fault)
    }

    /// Stores a loss record when records were dropped that nobody had and nothing tells of yet.
    pub fn report_loss(
        &mut self,
        origin: Origin,
        credential: &Credential,
        buffer: &mut [u8],
    ) -> Result<(), FlashFault> {
        let Some(loss) = self.store.lost(&mut self.flash).map_err(fault)? else {
            return Ok(());
        };
        let length = record::encode(&self.header(origin), &loss, credential, buffer)
            .map_err(|_| FlashFault::Failed)?;
        self.append_encoded(buffer.get(..length).unwrap_or_default())?;
        self.store
            .loss_reported(&mut self.flash, loss.last_sequence)
            .map_err(fault)
    }

    pub fn acknowledge(&mut self, up_to: u32) -> Result<(), FlashFault> {
        self.store
            .acknowledge(&mut self.flash, up_to)
            .map_err(fault)
    }

    /// Packs records above `sequence`, each after its length, until the next one does not fit.
    pub fn pack(&mut self, sequence: u32, block: &mut [u8]) -> Result<Packed, FlashFault> {
        let mut cursor = self.store.after(&mut self.flash, sequence).map_err(fault)?;
        let mut bytes = 0;
        loop {
            let Some(room) = block
                .get_mut(bytes..)
                .filter(|room| room.len() > RECORD_LENGTH_BYTES)
            else {
                return Ok(Packed { bytes, more: true });
            };
            let (length, room) = room.split_at_mut(RECORD_LENGTH_BYTES);
            match self.store.read_next(&mut self.flash, &mut cursor, room) {
                Ok(Some(stored)) => {
                    length.copy_from_slice(&(stored.bytes.len() as u16).to_le_bytes());
                    bytes += RECORD_LENGTH_BYTES + stored.bytes.len();
                }
                Ok(None) => return Ok(Packed { bytes, more: false }),
                Err(StoreError::BufferTooSmall { .. }) if bytes > 0 => {
                    return Ok(Packed { bytes, more: true });
                }
                Err(error) => return Err(fault(error)),
            }
        }
    }
}

fn fault<E>(_: StoreError<E>) -> FlashFault {
    FlashFault::Failed
}
