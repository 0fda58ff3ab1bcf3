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
//! it is certain that it is the device's.

mod error;
mod install;
mod probe;
mod process;
mod provision;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_link::{Info, Link};
use dunlin_wire::bundle;
use dunlin_wire::{BundleId, DeviceId, PublicKey};

use crate::keys::Device;
use crate::target::{self, FlashMethod, Target};

pub use error::FlashError;
pub use process::stop;

use process::Running;

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

/// What flashing is doing. Displayed, it is a line for people.
#[derive(Debug)]
pub enum Step<'a> {
    /// The device has its identity.
    Provisioned {
        /// Who it is.
        device: &'a Device,
        /// Whether it was drawn just now.
        is_new: bool,
    },
    /// A program is started.
    Running {
        /// The command line.
        command: &'a [String],
    },
    /// The device answers.
    Connected {
        /// Where.
        link_url: &'a str,
        /// What it says about itself.
        info: &'a Info,
    },
    /// The bundle is on its way.
    Putting {
        /// How far.
        progress: dunlin_link::Progress,
    },
    /// The device runs this bundle already.
    Unchanged {
        /// The bundle.
        bundle: BundleId,
    },
    /// The device verifies the bundle and tries it on its golden vectors.
    Activating,
    /// The device runs the bundle.
    Activated {
        /// The bundle.
        bundle: BundleId,
    },
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provisioned {
                device,
                is_new: true,
            } => {
                write!(f, "device {} ({}) is registered", device.name, device.id)
            }
            Self::Provisioned {
                device,
                is_new: false,
            } => {
                write!(f, "device {} ({}) is known", device.name, device.id)
            }
            Self::Running { command } => write!(f, "running {}", command.join(" ")),
            Self::Connected { link_url, info } => {
                write!(
                    f,
                    "{} answers at {link_url}, boot {}",
                    info.target, info.boot
                )?;
                match info.recording_fault {
                    Some(fault) => write!(f, "; it records nothing: {fault}"),
                    None => Ok(()),
                }
            }
            Self::Putting { progress } => {
                write!(
                    f,
                    "bundle: {} of {} bytes",
                    progress.held_bytes, progress.total_bytes
                )
            }
            Self::Unchanged { bundle } => write!(f, "bundle {bundle} runs there already"),
            Self::Activating => f.write_str("verifying and trying the bundle on the device"),
            Self::Activated { bundle } => write!(f, "bundle {bundle} runs"),
        }
    }
}

/// Who is told how far flashing is.
pub trait Progress {
    /// The next step begins, or one goes on.
    fn step(&mut self, step: Step<'_>);
}

impl<F: FnMut(Step<'_>)> Progress for F {
    fn step(&mut self, step: Step<'_>) {
        self(step);
    }
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
/// process started here is ended again; a device that ran before goes on with what it had.
pub fn flash(
    options: &FlashOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<FlashedDevice, FlashError> {
    check_bundle(options)?;
    let device = provision::enrol(options, progress)?;
    let mut device = reach(options, &device, progress)?;
    device.activate(options.bundle, progress)?;
    let process = device
        .process
        .take()
        .and_then(|process| process.leave(options.lifetime));
    Ok(FlashedDevice {
        link_url: device.link_url,
        device: device.info.device,
        bundle: device.bundle,
        process,
    })
}

/// Copies what a device needs to a folder, with a note on how to install it, in place of starting
/// it. For targets that run the agent.
///
/// # Errors
/// [`FlashError`].
pub fn install(
    options: &FlashOptions<'_>,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>, FlashError> {
    check_bundle(options)?;
    provision::enrol(options, progress)?;
    install::copy(options, folder)
}

fn check_bundle(options: &FlashOptions<'_>) -> Result<BundleId, FlashError> {
    let bundle = bundle::verify(options.bundle, options.trusted)?;
    let made_for = bundle.manifest().target;
    if made_for != options.target.name {
        return Err(FlashError::OtherTarget {
            made_for: made_for.to_owned(),
            target: options.target.name.clone(),
        });
    }
    Ok(bundle.id())
}

/// A device that answers.
struct Reached {
    link: Link,
    link_url: String,
    info: Info,
    bundle: BundleId,
    process: Option<Running>,
}

impl Reached {
    fn activate(&mut self, bundle: &[u8], progress: &mut dyn Progress) -> Result<(), FlashError> {
        let running = self.info.bundle.as_ref().map(|active| active.id);
        if running == Some(self.bundle) {
            progress.step(Step::Unchanged {
                bundle: self.bundle,
            });
            return Ok(());
        }
        self.link.put_bundle(bundle, |sent| {
            progress.step(Step::Putting { progress: sent })
        })?;
        progress.step(Step::Activating);
        self.bundle = self.link.activate()?;
        progress.step(Step::Activated {
            bundle: self.bundle,
        });
        Ok(())
    }
}

fn reach(
    options: &FlashOptions<'_>,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<Reached, FlashError> {
    if let Some(reached) = already_running(options, device)? {
        progress.step(Step::Connected {
            link_url: &reached.link_url,
            info: &reached.info,
        });
        return Ok(reached);
    }
    let (link_url, mut process) = bring_up(options, progress)?;
    let (link, info) = wait_for(&link_url, device.id, options.patience, process.as_mut())?;
    progress.step(Step::Connected {
        link_url: &link_url,
        info: &info,
    });
    let bundle = check_bundle(options)?;
    Ok(Reached {
        link,
        link_url,
        info,
        bundle,
        process,
    })
}

/// The device of this state folder, if it runs and answers.
fn already_running(
    options: &FlashOptions<'_>,
    device: &Device,
) -> Result<Option<Reached>, FlashError> {
    if options.link.is_some() {
        return Ok(None);
    }
    let Ok(link_url) = std::fs::read_to_string(options.state.join(LINK_FILE)) else {
        return Ok(None);
    };
    let link_url = link_url.trim().to_owned();
    let Ok(mut link) = Link::open(&link_url) else {
        return Ok(None);
    };
    match link.info() {
        Ok(info) if info.device == device.id => {
            let bundle = check_bundle(options)?;
            Ok(Some(Reached {
                link,
                link_url,
                info,
                bundle,
                process: None,
            }))
        }
        _ => Ok(None),
    }
}

/// Starts the device, or writes its firmware; returns where it will answer.
fn bring_up(
    options: &FlashOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<(String, Option<Running>), FlashError> {
    let method = options.target.flash;
    match (method, options.link) {
        (FlashMethod::ProbeRs, None) => Err(FlashError::NoLink {
            target: options.target.name.clone(),
        }),
        (FlashMethod::ProbeRs, Some(link)) => {
            probe::write(options, progress)?;
            Ok((with_baud(link, options.target), None))
        }
        (_, Some(link)) => Ok((link.to_owned(), None)),
        (FlashMethod::Process | FlashMethod::Agent | FlashMethod::Qemu, None) => {
            let (link_url, running) = process::start(options, progress)?;
            provision::write_text(&options.state.join(LINK_FILE), &link_url)?;
            Ok((link_url, Some(running)))
        }
    }
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
    expected: DeviceId,
    patience: Duration,
    mut process: Option<&mut Running>,
) -> Result<(Link, Info), FlashError> {
    let deadline = Instant::now() + patience;
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
            });
        }
        std::thread::sleep(RETRY);
    }
}
