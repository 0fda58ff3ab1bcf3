//! Bundles that come over the link: announced, admitted by their signed head, written to the spare
//! slot, judged as a whole and activated.
//!
//! Who sends them need not prove anything, so nothing is erased before the head has come whole, is
//! signed by a trusted key, and is one that this device would run.

use super::Core;
use crate::admit::{ActivateError, Offer, admit, admit_head, check_version};
use crate::allowance::MAX_TRANSFERS;
use crate::backend::{Backend, Model};
use crate::device::Board;
use crate::flash::MappedFlash;
use crate::slot::{Announcement, TransferError};
use crate::state::Choice;
use dunlin_wire::BundleId;
use dunlin_wire::link::Refusal;
use dunlin_wire::record::{Event, EventCode};

/// What was announced since the session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// Nothing.
    None,
    /// A bundle whose head has not come: nothing was written for it.
    Announced(Announcement),
    /// The bundle that the spare slot is being filled with, or holds.
    Spare,
    /// The bundle that runs: nothing needs to come.
    Running {
        /// As announced.
        total_bytes: u32,
    },
}

impl<F: MappedFlash, B: Backend> Core<'_, '_, F, B> {
    /// Takes an announcement and says how much of that very bundle is held. Writes nothing.
    pub fn put_begin(&mut self, announcement: Announcement) -> Result<u32, TransferError> {
        let total_bytes = announcement.total_bytes;
        self.spare.check_length(total_bytes)?;
        let running = self.active.as_ref().map(|active| active.id);
        let held_bytes;
        (self.transfer, held_bytes) = if running == Some(announcement.bundle()) {
            (Transfer::Running { total_bytes }, total_bytes)
        } else if self.spare.announced() == Some(announcement) {
            (Transfer::Spare, self.spare.held_bytes())
        } else {
            (Transfer::Announced(announcement), 0)
        };
        Ok(held_bytes)
    }

    /// Takes the next bytes of what was announced and says how much is held.
    pub fn put_chunk(&mut self, offset: u32, bytes: &[u8]) -> Result<u32, Refusal> {
        match self.transfer {
            Transfer::None => return Err(TransferError::NoTransfer.into()),
            Transfer::Running { total_bytes: held } => {
                return Err(TransferError::WrongOffset { held, got: offset }.into());
            }
            Transfer::Announced(announcement) => {
                check_offset(0, offset)?;
                self.begin(announcement, bytes)?;
            }
            Transfer::Spare if self.spare.held_bytes() == 0 => {
                check_offset(0, offset)?;
                self.admit_head(self.spare.announced(), bytes)?;
            }
            Transfer::Spare => {}
        }
        self.spare.put(offset, bytes).map_err(Refusal::from)
    }

    /// Lets the spare slot go for a bundle whose head is in `bytes`, if that may run here.
    fn begin(&mut self, announcement: Announcement, bytes: &[u8]) -> Result<(), Refusal> {
        self.admit_head(Some(announcement), bytes)?;
        if !self.allowance.take_transfer() {
            let limit = MAX_TRANSFERS.into();
            return Err(TransferError::TooManyTransfers { limit }.into());
        }
        self.spare.begin(announcement)?;
        self.transfer = Transfer::Spare;
        Ok(())
    }

    fn admit_head(
        &self,
        announced: Option<Announcement>,
        head: &[u8],
    ) -> Result<(), ActivateError> {
        let offer = Offer {
            head,
            announced: announced.ok_or(ActivateError::NoTransfer)?,
        };
        let state = self.state.newest();
        admit_head(offer, self.backend, &self.conditions, &state)
    }

    /// Checks the bundle in the spare slot and makes it the one to run. One that is refused is let go
    /// of, unless it is the one to fall back on. For the bundle that runs there is nothing to do.
    pub fn activate(
        &mut self,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<BundleId, ActivateError> {
        if let Transfer::Running { .. } = self.transfer {
            return self.confirm_running();
        }
        match self.judge_spare() {
            Ok((choice, version)) => {
                let _ = self.close_window(record, board);
                self.state
                    .activate(choice, version)
                    .map_err(ActivateError::Flash)?;
                self.allowance.give_transfers_back();
                let event = Event {
                    code: EventCode::ACTIVATED,
                    detail: 0,
                    bundle: Some(choice.bundle),
                };
                self.note(event, record, board);
                self.reload = true;
                Ok(choice.bundle)
            }
            Err(error) => {
                self.let_go(error, record, board)?;
                Err(error)
            }
        }
    }

    fn confirm_running(&self) -> Result<BundleId, ActivateError> {
        let running = self.active.as_ref().ok_or(ActivateError::NoTransfer)?;
        check_version(running.version, running.id, &self.state.newest())?;
        Ok(running.id)
    }

    /// Forgets a whole bundle that was refused, and records that, once for each bundle.
    fn let_go(
        &mut self,
        error: ActivateError,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<(), ActivateError> {
        let is_whole = !matches!(
            error,
            ActivateError::NoTransfer | ActivateError::Incomplete { .. }
        );
        let Some(announced) = self.spare.announced().filter(|_| is_whole) else {
            return Ok(());
        };
        if self.is_to_fall_back_on(announced.bundle()) {
            return Ok(());
        }
        self.transfer = Transfer::None;
        self.spare.forget().map_err(ActivateError::Flash)?;
        if self.allowance.take_refusal(announced.bundle()) {
            let event = Event {
                code: EventCode::REFUSED,
                detail: error.refusal().code.into(),
                bundle: Some(announced.bundle()),
            };
            self.note(event, record, board);
        }
        Ok(())
    }

    fn is_to_fall_back_on(&self, bundle: BundleId) -> bool {
        let slot = self.spare_index;
        self.state.newest().previous == Some(Choice { slot, bundle })
    }

    fn judge_spare(&mut self) -> Result<(Choice, u32), ActivateError> {
        if let Transfer::Announced(Announcement { total_bytes, .. }) = self.transfer {
            return Err(ActivateError::Incomplete {
                needed: total_bytes,
                got: 0,
            });
        }
        let announced = self.spare.announced().ok_or(ActivateError::NoTransfer)?;
        if self.transfer == Transfer::None && self.is_to_fall_back_on(announced.bundle()) {
            return Err(ActivateError::NoTransfer);
        }
        let bytes = self.spare.bundle().map_err(|error| match error {
            TransferError::Incomplete { total, held } => ActivateError::Incomplete {
                needed: total,
                got: held,
            },
            _ => ActivateError::NoTransfer,
        })?;
        let mut admitted = admit(bytes, self.backend, &self.conditions)?;
        let choice = Choice {
            slot: self.spare_index,
            bundle: admitted.id,
        };
        check_version(admitted.version, admitted.id, &self.state.newest())?;
        self.filled = 0;
        let tested = admitted.self_test(self.workspace);
        if let Some(active) = &mut self.active {
            active.model.reset(self.workspace.arena);
        }
        tested?;
        Ok((choice, admitted.version))
    }
}

/// Whether a chunk starts where what is held ends.
fn check_offset(held: u32, got: u32) -> Result<(), TransferError> {
    if got == held {
        Ok(())
    } else {
        Err(TransferError::WrongOffset { held, got })
    }
}
