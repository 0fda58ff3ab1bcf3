//! What flashing is doing, for who watches.

use std::fmt;

use dunlin_link::Info;
use dunlin_wire::BundleId;

use crate::keys::Device;

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
