//! The device: sample, window, run, observe, store, send; and bundles that replace one another.
//!
//! ```text
//!  sensor ─► input ─► model ─► monitor ─► record ─► store ─► link ─► collector
//!                       ▲                                     │
//!                       └── bundle in slot 0 or 1 ◄── transfer ┘
//! ```
//!
//! Joins `dunlin_engine` and `dunlin_monitor` on one board. A target brings flash
//! ([`MappedFlash`]), a byte port ([`Port`]), a sensor ([`SampleSource`]), a clock ([`Board`]) and
//! memory ([`Buffers`]); everything else is here and tested on a workstation.
//!
//! Runs on anything with flash for two slots. Costs 10 kB of RAM for messages, 3 kB for the open
//! window, the arena and one input as large as the target wants, and on a Cortex-M4 24 kB of stack
//! at the deepest, while a bundle is verified and its monitor set up.
//!
//! ```
//! # use dunlin_runtime::{Backend, Board, Device, MappedFlash, Next, Parts, Port, SampleSource};
//! fn run<F: MappedFlash, P: Port, S: SampleSource, B: Backend>(
//!     parts: Parts<'_, F, P, S, B>,
//!     board: &mut impl Board,
//! ) -> Result<core::convert::Infallible, dunlin_runtime::FlashFault> {
//!     let mut device = Device::start(parts, board)?;
//!     loop {
//!         let mut session = device.session();
//!         while session.poll(board) == Next::Continue {}
//!     }
//! }
//! ```
//!
//! # Updates
//! A bundle's head comes first and whole: signature, target, needs and version are checked in RAM
//! before anything is erased. The bundle is then written to the slot that does not run, verified
//! there, held against what this device is and has run before, and tried on its golden vectors; only
//! then does one small cell in flash make it the one that runs. Power may fail at any write: the old bundle runs, or the new one. What
//! is refused is forgotten, with its own [`ActivateError`], and the device goes on with what it had.
//! At every start the bundle is verified again; when it no longer can be, the one before it runs.
//!
//! # Architecture invariants
//! - No allocation, no unsafe code, no global state; time is asked of the [`Board`] that is passed in.
//! - A bundle is read in place. The slot that runs is borrowed for as long as its [`Session`] lives,
//!   so nothing here can write to it.
//! - Nothing of a bundle is looked at before its signature and hashes were verified, and nothing of
//!   it is run before its golden vectors gave the bytes they must.
//! - The device only answers; it never speaks first.
//! - What it hands out as its records proves who made it, or is not handed out. Where records cannot
//!   be made or kept, the model runs on and the answer to who it is says why.
//! - Who asks need not prove who he is, so what a request without a proof can have written or erased
//!   is bounded: `dunlin_wire`'s `FORMAT-link.md` says what somebody on the wire can and cannot do.
#![no_std]
#![forbid(unsafe_code)]

mod admit;
mod allowance;
mod answer;
mod backend;
mod device;
mod flash;
mod records;
mod refusal;
mod session;
mod slot;
mod source;
mod state;
mod wire;

pub use admit::ActivateError;
pub use backend::{Backend, EngineBackend, Model, PlanModel, RunFailed};
pub use device::{Board, Buffers, Device, Parts, Profile, RECEIVE_BYTES};
pub use flash::{FlashFault, MappedFlash, Regions};
pub use session::{Next, ObserveError, Session};
pub use source::{NoSource, SampleSource, Sampled};
pub use wire::Port;
