//! Agents that go to another machine: a folder to copy there.

use std::path::{Path, PathBuf};

use crate::target::FlashMethod;

use super::process::image;
use super::{FlashError, FlashOptions, provision};

/// Copies agent, identity and bundle to `folder` and writes down how to start them; returns the
/// files.
pub(super) fn copy(options: &FlashOptions<'_>, folder: &Path) -> Result<Vec<PathBuf>, FlashError> {
    if options.target.flash != FlashMethod::Agent {
        return Err(FlashError::NotInstallable {
            target: options.target.name.clone(),
        });
    }
    let state = folder.join("state");
    std::fs::create_dir_all(&state).map_err(FlashError::io(&state))?;
    let copies = [
        (image(options)?, folder.join("dunlin-agent")),
        (provision::path(options.state), provision::path(&state)),
    ];
    let mut files = Vec::new();
    for (from, to) in copies {
        std::fs::copy(&from, &to).map_err(FlashError::io(&to))?;
        files.push(to);
    }
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
