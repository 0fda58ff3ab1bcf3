//! Agents that go to another machine: a folder to copy there.

use std::path::{Path, PathBuf};

use crate::target::FlashMethod;

use super::process::image;
use super::{FlashError, FlashOptions, provision};

/// The program to copy, of a target that is installed by copying.
pub(super) fn program(options: &FlashOptions<'_>) -> Result<PathBuf, FlashError> {
    match options.target.flash {
        FlashMethod::Agent => image(options),
        _ => Err(FlashError::NotInstallable {
            target: options.target.name.clone(),
        }),
    }
}

/// Copies agent and bundle to `folder`, in which the identity lies already, and writes down how to start them;
/// returns the files.
pub(super) fn copy(
    options: &FlashOptions<'_>,
    program: &Path,
    folder: &Path,
) -> Result<Vec<PathBuf>, FlashError> {
    let agent = folder.join("dunlin-agent");
    std::fs::copy(program, &agent).map_err(FlashError::io(&agent))?;
    let mut files = vec![agent, provision::path(&folder.join("state"))];
    for (name, content) in [
        ("model.bundle", options.bundle),
        ("INSTALL.txt", NOTE.as_bytes()),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(FlashError::io(&path))?;
        files.push(path);
    }
    Ok(files)
}

const NOTE: &str = "\
Copy this folder to the device, for example:

    scp -r FOLDER root@DEVICE:/opt/dunlin

and start it there:

    cd /opt/dunlin
    ./dunlin-agent run --state state --bundle model.bundle --listen tcp:127.0.0.1:7001

`./dunlin-agent run --help` shows how samples come in (--stdin, --samples) and how records get to a
collector (--mqtt). The folder `state` holds the device's identity and its records: keep it private,
keep it on a disk that survives a restart, and use it on one device only.
";
