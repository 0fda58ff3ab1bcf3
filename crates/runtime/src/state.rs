//! Which slot runs, kept in flash as one value that changes as a whole.

use crate::flash::FlashFault;
use dunlin_monitor::RegionError;
use dunlin_monitor::state::{Region, StateError, StateLog};
use dunlin_wire::BundleId;
use embedded_storage::nor_flash::NorFlash;

const STATE_BYTES: usize = 23;

/// A slot and the bundle that must be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub slot: usize,
    pub bundle: BundleId,
}

/// What is remembered about bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// What runs.
    pub active: Option<Choice>,
    /// What ran before, to fall back on.
    pub previous: Option<Choice>,
    /// The newest version that was activated, always that of `active`; it never goes down.
    pub lowest_version: u32,
    /// Whether a record tells that `active` does not run: there is one for each activation.
    pub is_setback_recorded: bool,
}

#[derive(Debug)]
pub(crate) struct Choices<F> {
    flash: F,
    log: StateLog<STATE_BYTES>,
    newest: State,
}

impl<F: NorFlash> Choices<F> {
    pub fn open(mut flash: F) -> Result<Self, FlashFault> {
        let region = Region::whole(&flash, STATE_BYTES).map_err(unfit)?;
        let log = StateLog::mount(&mut flash, region).map_err(fault)?;
        let newest = log
            .value()
            .and_then(|value| decode(value.try_into().ok()?))
            .unwrap_or_default();
        Ok(Self { flash, log, newest })
    }

    pub fn newest(&self) -> State {
        self.newest
    }

    /// Makes `active` what runs from now on, and what ran until now, the bundle of the other slot, what
    /// can be fallen back on.
    pub fn activate(&mut self, active: Choice, version: u32) -> Result<(), FlashFault> {
        let before = self.newest;
        let mut known = [before.active, before.previous].into_iter().flatten();
        let state = State {
            active: Some(active),
            previous: known.find(|choice| choice.slot != active.slot),
            lowest_version: before.lowest_version.max(version),
            is_setback_recorded: false,
        };
        self.write(state)
    }

    /// Remembers that a record tells that the active bundle does not run.
    pub fn setback_recorded(&mut self) -> Result<(), FlashFault> {
        self.write(State {
            is_setback_recorded: true,
            ..self.newest
        })
    }

    fn write(&mut self, state: State) -> Result<(), FlashFault> {
        self.log
            .write(&mut self.flash, &encode(state))
            .map_err(fault)?;
        self.newest = state;
        Ok(())
    }
}

fn fault<E>(error: StateError<E>) -> FlashFault {
    match error {
        StateError::Region(error) => unfit(error),
        _ => FlashFault::Failed,
    }
}

/// What is wrong with a region, in this crate's words.
pub(crate) fn unfit(error: RegionError) -> FlashFault {
    match error {
        RegionError::TooSmall { needed, got } => FlashFault::TooSmall { needed, got },
        _ => FlashFault::Failed,
    }
}

/// The lowest version, then twice: slot (0xff for none) and bundle, then whether a setback is recorded.
fn encode(state: State) -> [u8; STATE_BYTES] {
    let mut bytes = [0; STATE_BYTES];
    let choices = [state.active, state.previous]
        .into_iter()
        .flat_map(encode_choice);
    bytes
        .iter_mut()
        .zip(
            state
                .lowest_version
                .to_le_bytes()
                .into_iter()
                .chain(choices)
                .chain([u8::from(state.is_setback_recorded)]),
        )
        .for_each(|(to, from)| *to = from);
    bytes
}

fn encode_choice(choice: Option<Choice>) -> impl Iterator<Item = u8> {
    let (slot, bundle) = choice.map_or((0xff, [0; 8]), |choice| {
        (choice.slot as u8, choice.bundle.0)
    });
    core::iter::once(slot).chain(bundle)
}

fn decode(bytes: &[u8; STATE_BYTES]) -> Option<State> {
    let (lowest_version, rest) = bytes.split_first_chunk()?;
    let (active, rest) = rest.split_first_chunk()?;
    let (previous, recorded) = rest.split_first_chunk()?;
    Some(State {
        lowest_version: u32::from_le_bytes(*lowest_version),
        active: decode_choice(active),
        previous: decode_choice(previous),
        is_setback_recorded: recorded != [0],
    })
}

fn decode_choice(bytes: &[u8; 9]) -> Option<Choice> {
    let (slot, bundle) = bytes.split_first()?;
    let choice = Choice {
        slot: usize::from(*slot),
        bundle: BundleId(*bundle.first_chunk()?),
    };
    (choice.slot < 2).then_some(choice)
}
