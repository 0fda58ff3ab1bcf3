//! The device side on Linux: the same runtime as a process.
//!
//! Runs on aarch64, armv7 and x86-64 Linux, as `dunlin-agent` or as `dunlin agent`. The device is the
//! `dunlin-runtime` crate, unchanged: this crate brings flash in files, a link over sockets, samples
//! from text, an upload over MQTT, and tract for models that come as ONNX.
//!
//! ```text
//!  stdin, sockets ─ lines ─►┐
//!  link (tcp, unix) ────────┼─► queue ─► the device's thread ─► flash files
//!  upload (MQTT) ◄──────────┘             (runtime, engine, tract)
//! ```
//!
//! Costs: 1 MiB of arena, half a MiB of buffers, the written pages of the flash files in memory, one
//! thread for the device and one for each source, connection and upload. What is slow to answer
//! slows only the one who asks.
//!
//! ```no_run
//! use dunlin_agent::options::{Action, Command};
//! use clap::Parser;
//!
//! let Action::Run(options) = Command::parse_from([
//!     "dunlin-agent", "run", "--state", "state", "--listen", "tcp:127.0.0.1:7001", "--stdin", "csv",
//! ]).action;
//! dunlin_agent::run(&options)?;
//! # Ok::<(), dunlin_agent::AgentError>(())
//! ```
//!
//! # Architecture invariants
//! - One thread owns the device; everyone else asks it through one bounded queue.
//! - Nothing is kept in memory that would have to be saved at the end: ending, even by a kill or a
//!   power cut, loses the open window and nothing else.
//! - Records leave the store only on the collector's tagged acknowledgement.
//! - What comes from outside (lines, frames, messages of a broker) can be refused but never ends the
//!   process.
#![forbid(unsafe_code)]

pub mod address;
mod agent;
pub mod backend;
mod bare_model;
mod events;
pub mod file_flash;
mod install;
mod log;
pub mod onnx;
pub mod options;
mod pipe;
pub mod provision;
mod records;
pub mod samples;
mod serve;
mod sources;
pub mod state_folder;
pub mod upload;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use dunlin_wire::provision::Provision;

use address::{ListenAddress, Listener};
use agent::{AgentParts, Failure, KERNEL_CLASS};
use events::{Asker, CurrentShape, Event};
use log::log;
use options::{Action, Command, RunOptions};
use records::DeviceRecords;
use upload::{UploadOptions, Uploader};

pub use bare_model::BareModelError;

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The device's identity.
    #[error(transparent)]
    Provision(#[from] provision::ProvisionError),
    /// The device's flash.
    #[error(transparent)]
    State(#[from] state_folder::StateError),
    /// The runtime does not start on this flash.
    #[error("the device's flash cannot be used: {0}")]
    Flash(dunlin_runtime::FlashFault),
    /// The model of `--model`.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BareModelError,
    },
    /// The bundle of `--bundle` or the model of `--model` does not run here.
    #[error("{}: refused: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the device says.
        reason: String,
    },
    /// No bundle runs, and none can come.
    #[error(
        "no bundle runs: {reason}, and without --listen none can come; start with --bundle FILE or --model FILE"
    )]
    NoBundle {
        /// Why none does.
        reason: String,
    },
    /// A file that was named.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address to listen on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: ListenAddress,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread or no signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// The program: parses `arguments`, the first of which is the program's name, and does what they
/// say. Exit status 0 after a clean end, 2 after an error.
pub fn main_with<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let Action::Run(options) = Command::parse_from(arguments).action;
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Is the device until SIGTERM, SIGINT, SIGHUP or, with `until_end`, the end of standard input.
///
/// Threads that serve connections and sources end with the process.
///
/// # Errors
/// [`AgentError`], before anything was served.
pub fn run(options: &RunOptions) -> Result<(), AgentError> {
    let provision = provision::read(&options.state)?;
    let (device, inbox) = events::queue();
    let shape = CurrentShape::default();
    let outside = Outside::open(options, &provision, device.clone(), shape.clone())?;
    stop_on_signals(device)?;
    let parts = parts(options, provision, inbox, shape)?;
    let mut uploader = None;
    let outcome = agent::run(parts, |acknowledged| {
        uploader = outside.serve(acknowledged);
        uploader.as_ref().map(Uploader::waker)
    });
    drop(uploader);
    options
        .listen
        .iter()
        .chain(&options.samples)
        .for_each(ListenAddress::forget);
    outcome.map_err(|failure| described(failure, options))
}

/// A failure with the file that it is about.
fn described(failure: Failure, options: &RunOptions) -> AgentError {
    match failure {
        Failure::Flash(fault) => AgentError::Flash(fault),
        Failure::NoBundle(reason) => AgentError::NoBundle { reason },
        Failure::FirstBundle(reason) => AgentError::Refused {
            path: options
                .bundle
                .as_ref()
                .or(options.model.as_ref())
                .cloned()
                .unwrap_or_default(),
            reason,
        },
    }
}

/// Everything that asks the device, open and not served yet.
struct Outside<'o> {
    options: &'o RunOptions,
    device: Asker,
    shape: CurrentShape,
    links: Vec<Listener>,
    samples: Vec<Listener>,
    upload: Option<UploadOptions>,
}

impl<'o> Outside<'o> {
    fn open(
        options: &'o RunOptions,
        provision: &Provision,
        device: Asker,
        shape: CurrentShape,
    ) -> Result<Self, AgentError> {
        Ok(Self {
            options,
            device,
            shape,
            links: open_all(&options.listen)?,
            samples: open_all(options.samples.as_slice())?,
            upload: upload_options(options, provision),
        })
    }

    /// Starts the threads; `acknowledged` is the last sequence number that is safe with a collector.
    fn serve(self, acknowledged: u32) -> Option<Uploader> {
        let (device, shape) = (self.device, self.shape);
        let idle = Duration::from_secs(self.options.idle_timeout.into());
        for link in self.links {
            log(format_args!("link on {}", link.address()));
            report(serve::serve(link, device.clone(), idle));
        }
        for listener in self.samples {
            log(format_args!("samples on {}", listener.address()));
            let format = self.options.samples_format;
            report(sources::read_connections(
                listener,
                format,
                shape.clone(),
                device.clone(),
            ));
        }
        if let Some(format) = self.options.stdin {
            report(sources::read_stdin(format, shape, device.clone()));
        }
        let (source, say) = (DeviceRecords(device), |line: &str| {
            log(format_args!("{line}"))
        });
        report(Uploader::start(self.upload?, acknowledged, source, say))
    }
}

fn report<T>(started: io::Result<T>) -> Option<T> {
    started
        .map_err(|error| log(format_args!("cannot start a thread: {error}")))
        .ok()
}

fn parts(
    options: &RunOptions,
    mut provision: Provision,
    inbox: events::Inbox,
    shape: CurrentShape,
) -> Result<AgentParts<'_>, AgentError> {
    let (regions, first_bundle) = match &options.model {
        Some(path) => {
            let failed = |source| AgentError::Model {
                path: path.clone(),
                source,
            };
            let bare =
                bare_model::bundle(&read(path)?, &options.target, KERNEL_CLASS).map_err(failed)?;
            provision.trusted = [bare.key].into_iter().collect();
            (
                state_folder::open_for_bare_model(&options.state)?,
                Some(bare.bytes),
            )
        }
        None => {
            let bundle = options.bundle.as_ref().map(read).transpose()?;
            (state_folder::open(&options.state)?, bundle)
        }
    };
    Ok(AgentParts {
        provision,
        target: &options.target,
        regions,
        inbox,
        shape,
        first_bundle,
        until_end: options.until_end,
        has_link: !options.listen.is_empty(),
    })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, AgentError> {
    std::fs::read(path).map_err(|source| AgentError::File {
        path: path.clone(),
        source,
    })
}

fn open_all(addresses: &[ListenAddress]) -> Result<Vec<Listener>, AgentError> {
    let open = |address: &ListenAddress| {
        Listener::open(address).map_err(|source| AgentError::Listen {
            address: address.clone(),
            source,
        })
    };
    addresses.iter().map(open).collect()
}

fn upload_options(options: &RunOptions, provision: &Provision) -> Option<UploadOptions> {
    let broker = options.mqtt.clone()?;
    let password = provision.credential.password(provision.device);
    let password = password.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(UploadOptions {
        broker,
        device: provision.device,
        password,
    })
}

/// SIGTERM, SIGINT and SIGHUP; a second agent in one process would need a handler of its own.
fn stop_on_signals(device: Asker) -> io::Result<()> {
    let stop = move || {
        let _ = device.tell(Event::Stop);
    };
    ctrlc::set_handler(stop).map_err(io::Error::other)
}
