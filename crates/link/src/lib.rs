//! Opens a link to a device and asks it.
//!
//! Runs on the workstation, in the collector and in tests; one thread, blocking, one request under
//! way at a time. A request costs one frame each way; what does not come back in time is asked for
//! again with the same id, and bytes that are not a frame are passed over.
//!
//! ```no_run
//! use dunlin_link::Link;
//!
//! let mut link = Link::open("tcp:127.0.0.1:5555")?;
//! let info = link.info()?;
//! println!("{} is a {}", info.device, info.target);
//! let bundle = std::fs::read("occupancy-qemu-cortex-m4f.bundle")?;
//! link.put_bundle(&bundle, |progress| println!("{} of {}", progress.held_bytes, progress.total_bytes))?;
//! println!("now runs {}", link.activate()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Architecture invariants
//! - Knows frames and messages of `dunlin-wire`, nothing of what records or bundles hold.
//! - Keeps no credential: an acknowledgement's tag is the caller's.
//! - No thread and no retry that the caller cannot bound through [`Options`].
#![forbid(unsafe_code)]

mod address;
mod answers;
mod error;
mod port;
mod session;

pub use address::{Address, AddressError, DEFAULT_BAUD};
pub use answers::{ActiveBundle, Inference, Info, Observed, Progress, RecordsPage};
pub use dunlin_wire::link::{Limits, Reason, Refusal, Sample};
pub use error::LinkError;
pub use port::Port;
pub use session::{Link, Options};
