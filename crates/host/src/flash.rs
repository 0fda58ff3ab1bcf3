//! Puts a bundle, or a firmware with it, on a device: one verb for every kind.
//!
//! Runs on the workstation. What is done follows from the target's descriptor:
//!
//! | method | the device is | how it gets there |
//! |---|---|---|
//! | `process` | this very program, running as an agent | started, with its state in a folder |
//! | `agent` | the cross-built agent, under qemu-user where the machine is another | started, or copied to a folder to be installed |
//! | `qemu` | the firmware on an emulated board | started in QEMU |
//! | `probe-rs` | a board on a debug probe | firmware and identity written by probe-rs |
//!
//! Then, for all of them: the device answers on its link, takes the bundle, tries it on its golden
//! vectors and runs it. A device that runs already is updated where it runs.
//!
//! | file in the state folder | what |
//! |---|---|
//! | `provision.bin` | identity, credential and trusted keys; mode 0600, written once |
//! | `link` | address of the running device |
//! | `pid` | process of the running device |
//! | `device.log` | what the process says |
//! | `flash.lock` | locked while the device is flashed |
//!
//! ```no_run
//! # fn run(bundle: &[u8], keys: &[dunlin_wire::PublicKey]) -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::flash::{FlashOptions, Lifetime, Step, flash};
//! use dunlin_host::target::Target;
//!
//! let target = Target::find("local")?;
//! let options = FlashOptions {
//!     name: "kitchen",
//!     devices: "devices.json".as_ref(),
//!     state: "devices/kitchen".as_ref(),
//!     trusted: keys,
//!     lifetime: Lifetime::Detached,
//!     ..FlashOptions::new(&target, bundle)
//! };
//! let device = flash(&options, &mut |step: Step<'_>| eprintln!("{step}"))?;
//! println!("{} answers at {}", device.device, device.link_url);
//! # Ok(())
//! # }
//! ```
//!
//! **Architecture invariants**: nothing is sent to a device before the bundle is verified here; a
//! credential never stands on a command line, in an error or in a log; a process is ended only when
//! it is certain that it is the device's; an identity lies in one place, so that no two devices have
//! the same; a new device that could not be flashed leaves nothing behind.

mod error;
mod install;
mod probe;
mod process;
mod process_table;
mod provision;
mod step;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_link::{Info, Link};
use dunlin_wire::bundle;
use dunlin_wire::{BundleId, DeviceId, PublicKey};

use crate::keys::Device;
use crate::target::{self, FlashMethod, Target};

pub use error::FlashError;
pub use process::stop;
pub use provision::forget;
pub use step::{Progress, Step};

use process::Running;
use provision::{Enrolment, Home};

/// Name of the file that holds the address of a running device.
const LINK_FILE: &str = "link";
/// Pause between two attempts to reach a device that is starting.
const RETRY: Duration = Duration::from_millis(50);

/// What to put where.
#[derive(Debug, Clone, Copy)]
pub struct FlashOptions<'a> {
    /// The kind of device.
    pub target: &'a Target,
    /// The bundle it shall run.
    pub bundle: &'a [u8],
    /// What people call the device; it is registered under this name the first time.
    pub name: &'a str,
    /// The devices file of the collector.
    pub devices: &'a Path,
    /// The device's folder; made where there is none.
    pub state: &'a Path,
    /// Public keys the device shall trust, at least the bundle's.
    pub trusted: &'a [PublicKey],
    /// Folder the descriptor's paths are relative to.
    pub root: &'a Path,
    /// Program or firmware to use in place of the descriptor's.
    pub image: Option<&'a Path>,
    /// Where the device answers, for one that is not started from here: `serial:PATH[:BAUD]`,
    /// `tcp:HOST:PORT` or `unix:PATH`.
    pub link: Option<&'a str>,
    /// Broker to which an agent that is started here uploads its records, `mqtt://HOST[:PORT]`.
    pub upload: Option<&'a str>,
    /// Whether the device outlives this program.
    pub lifetime: Lifetime,
    /// How long a device may take until it answers.
    pub patience: Duration,
}

impl<'a> FlashOptions<'a> {
    /// A device named after its target, in the current folder, that ends with this program.
    pub fn new(target: &'a Target, bundle: &'a [u8]) -> Self {
        Self {
            target,
            bundle,
            name: &target.name,
            devices: Path::new("devices.json"),
            state: Path::new("device"),
            trusted: &[],
            root: Path::new("."),
            image: None,
            link: None,
            upload: None,
            lifetime: Lifetime::Attached,
            patience: Duration::from_secs(20),
        }
    }
}

/// How long a device that is a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until [`FlashedDevice`] is dropped.
    Attached,
    /// Until [`stop`].
    Detached,
}

/// A device that runs the bundle.
#[derive(Debug)]
pub struct FlashedDevice {
    /// Where it answers, for `dunlin_link::Link::open`.
    pub link_url: String,
    /// Who it is.
    pub device: DeviceId,
    /// What it runs.
    pub bundle: BundleId,
    process: Option<Running>,
}

impl FlashedDevice {
    /// Process of the device, where it is one that was started just now.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Running::id)
    }

    /// Ends the device's process, if this flashing started it: asks it to end, and kills it after
    /// five seconds.
    ///
    /// # Errors
    /// [`FlashError::Io`] when the system refuses.
    pub fn stop(mut self) -> Result<(), FlashError> {
        match self.process.take() {
            Some(mut process) => process.stop(),
            None => Ok(()),
        }
    }
}

/// Brings a device up with a bundle. Blocks until it runs, seconds as a rule.
///
/// # Errors
/// [`FlashError`]: says which tool is missing and which package has it, or what the device refused. A
/// process started here is ended again; a device that ran before goes on with what it had; a device
/// that is new is not known afterwards.
pub fn flash(
    options: &FlashOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<FlashedDevice, FlashError> {
    let bundle = check_bundle(options)?;
    check_upload(options)?;
    let remembered = remembered_link(options);
    let options = &FlashOptions {
        link: options.link.or(remembered.as_deref()),
        ..*options
    };
    let enrolment = provision::enrol(options, home(options), progress)?;
    let mut reached = reach(options, &enrolment, progress)?;
    let running = reached.activate(options.bundle, bundle, progress)?;
    if options.link.is_some() {
        provision::write_text(&options.state.join(LINK_FILE), &reached.link_url)?;
    }
    enrolment.keep();
    let process = reached.process.take();
    Ok(FlashedDevice {
        link_url: reached.link_url,
        device: reached.info.device,
        bundle: running,
        process: process.and_then(|process| process.leave(options.lifetime)),
    })
}

/// Only an agent that is started here can be told where to upload.
fn check_upload(options: &FlashOptions<'_>) -> Result<(), FlashError> {
    let is_agent = matches!(
        options.target.flash,
        FlashMethod::Process | FlashMethod::Agent
    );
    match options.upload {
        Some(_) if !is_agent || options.link.is_some() => Err(FlashError::NoUpload {
            target: options.target.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// Where a device that does not live in its state folder answered last.
fn remembered_link(options: &FlashOptions<'_>) -> Option<String> {
    let lives_here = provision::path(options.state).exists();
    let link = std::fs::read_to_string(options.state.join(LINK_FILE)).ok()?;
    (!lives_here).then(|| link.trim().to_owned())
}

/// Where the device's identity belongs: a process's in its state folder, a board's on the board.
fn home<'a>(options: &FlashOptions<'a>) -> Home<'a> {
    match (options.target.flash, options.link) {
        (FlashMethod::ProbeRs, _) => Home::Board(options.state),
        (_, Some(_)) => Home::Device(options.state),
        (_, None) => Home::Folder(options.state),
    }
}

/// Copies what a device needs to a folder, with a note on how to install it, in place of starting
/// it. For targets that run the agent. The identity is put there and nowhere else; a device that is
/// in the folder already gets the program and the bundle anew.
///
/// # Errors
/// [`FlashError`]; [`FlashError::LivesHere`] or [`FlashError::LivesElsewhere`] for a known device, of
/// which this would make a second one.
pub fn install(
    options: &FlashOptions<'_>,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>, FlashError> {
    check_bundle(options)?;
    let image = install::program(options)?;
    let state = folder.join("state");
    let enrolment = provision::enrol(options, Home::Folder(&state), progress)?;
    let files = install::copy(options, &image, folder)?;
    enrolment.keep();
    Ok(files)
}

/// What flashing needs to know of a bundle that is fit for the target.
#[derive(Clone, Copy)]
struct Checked {
    id: BundleId,
    version: u32,
}

fn check_bundle(options: &FlashOptions<'_>) -> Result<Checked, FlashError> {
    let bundle = bundle::verify(options.bundle, options.trusted)?;
    let made_for = bundle.manifest().target;
    if made_for != options.target.name {
        return Err(FlashError::OtherTarget {
            made_for: made_for.to_owned(),
            target: options.target.name.clone(),
        });
    }
    Ok(Checked {
        id: bundle.id(),
        version: bundle.manifest().version,
    })
}

/// A device that answers.
struct Reached {
    link: Link,
    link_url: String,
    info: Info,
    process: Option<Running>,
}

impl Reached {
    /// Has the device run the bundle, unless it does; returns what runs.
    fn activate(
        &mut self,
        bytes: &[u8],
        bundle: Checked,
        progress: &mut dyn Progress,
    ) -> Result<BundleId, FlashError> {
        let running = self.info.bundle.as_ref().map(|active| active.id);
        if running == Some(bundle.id) {
            progress.step(Step::Unchanged { bundle: bundle.id });
            return Ok(bundle.id);
        }
        if bundle.version < self.info.lowest_version {
            return Err(FlashError::Older {
                offered: bundle.version,
                lowest: self.info.lowest_version,
            });
        }
        self.link.put_bundle(bytes, |sent| {
            progress.step(Step::Putting { progress: sent })
        })?;
        progress.step(Step::Activating);
        let bundle = self.link.activate()?;
        progress.step(Step::Activated { bundle });
        Ok(bundle)
    }
}

fn reach(
    options: &FlashOptions<'_>,
    enrolment: &Enrolment<'_>,
    progress: &mut dyn Progress,
) -> Result<Reached, FlashError> {
    let reached = match already_running(options, &enrolment.device) {
        Some(_) if options.upload.is_some() => {
            return Err(FlashError::StillRuns {
                name: enrolment.device.name.clone(),
            });
        }
        Some(reached) => reached,
        None => {
            let (link_url, mut process) = bring_up(options, enrolment, progress)?;
            let (link, info) = wait_for(&link_url, options, enrolment, process.as_mut())?;
            Reached {
                link,
                link_url,
                info,
                process,
            }
        }
    };
    progress.step(Step::Connected {
        link_url: &reached.link_url,
        info: &reached.info,
    });
    Ok(reached)
}

/// The device of this state folder, if it runs and answers.
fn already_running(options: &FlashOptions<'_>, device: &Device) -> Option<Reached> {
    if options.link.is_some() {
        return None;
    }
    let link_url = std::fs::read_to_string(options.state.join(LINK_FILE)).ok()?;
    let link_url = link_url.trim().to_owned();
    let mut link = Link::open(&link_url).ok()?;
    let info = link.info().ok()?;
    (info.device == device.id).then_some(Reached {
        link,
        link_url,
        info,
        process: None,
    })
}

/// Starts the device, or writes its firmware; returns where it will answer.
fn bring_up(
    options: &FlashOptions<'_>,
    enrolment: &Enrolment<'_>,
    progress: &mut dyn Progress,
) -> Result<(String, Option<Running>), FlashError> {
    let method = options.target.flash;
    match (method, options.link) {
        (FlashMethod::ProbeRs, None) => {
            probe::check_tool(options)?;
            Err(FlashError::NoLink {
                target: options.target.name.clone(),
            })
        }
        (FlashMethod::ProbeRs, Some(link)) => {
            let link_url = with_baud(link, options.target);
            probe::check_tool(options)?;
            if !enrolment.is_new {
                check_board(&link_url, &enrolment.device)?;
            }
            probe::write(options, progress)?;
            Ok((link_url, None))
        }
        (_, Some(link)) => Ok((link.to_owned(), None)),
        (FlashMethod::Process | FlashMethod::Agent | FlashMethod::Qemu, None) => {
            let (link_url, running) = process::start(options, progress)?;
            provision::write_text(&options.state.join(LINK_FILE), &link_url)?;
            Ok((link_url, Some(running)))
        }
    }
}

/// A board that is known must say so before its identity is written again: it could be another one.
fn check_board(link_url: &str, device: &Device) -> Result<(), FlashError> {
    let answer = Link::open(link_url).and_then(|mut link| link.info());
    let found = match answer {
        Ok(info) if info.device == device.id => return Ok(()),
        Ok(info) => format!("device {} answers there", info.device),
        Err(error) => error.to_string(),
    };
    Err(FlashError::OtherBoard {
        name: device.name.clone(),
        link_url: link_url.to_owned(),
        found,
    })
}

/// `serial:PATH` with the target's baud rate where none stands.
fn with_baud(link: &str, target: &Target) -> String {
    match (link.strip_prefix("serial:"), target.link) {
        (Some(path), target::Link::Serial { baud }) if !path.contains(':') => {
            format!("{link}:{baud}")
        }
        _ => link.to_owned(),
    }
}

/// Asks until the device answers; gives up when its process has ended or the time is over.
fn wait_for(
    link_url: &str,
    options: &FlashOptions<'_>,
    enrolment: &Enrolment<'_>,
    mut process: Option<&mut Running>,
) -> Result<(Link, Info), FlashError> {
    let expected = enrolment.device.id;
    let deadline = Instant::now() + options.patience;
    loop {
        let attempt = Link::open(link_url).and_then(|mut link| Ok((link.info()?, link)));
        let error = match attempt {
            Ok((info, link)) if info.device == expected => return Ok((link, info)),
            Ok((info, _)) => {
                return Err(FlashError::Stranger {
                    expected,
                    got: info.device,
                });
            }
            Err(error) => error,
        };
        if let Some(process) = process.as_deref_mut() {
            process.check()?;
        }
        if Instant::now() >= deadline {
            return Err(FlashError::Silent {
                link_url: link_url.to_owned(),
                source: error,
                output: process.map_or_else(String::new, |process| process.said()),
            });
        }
        std::thread::sleep(RETRY);
    }
}
