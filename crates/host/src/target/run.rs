//! The command line of a target's program.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How the program is started: `launcher… image arguments…`.
///
/// In `launcher` and `arguments`, `{state}` stands for the folder that keeps the device's state and
/// `{port}` for the TCP port of its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program, relative to the repository; none for the command that is running.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// What runs the image where this machine cannot; empty for nothing.
    #[serde(default)]
    pub launcher: Vec<String>,
    /// What the program is told.
    #[serde(default)]
    pub arguments: Vec<String>,
}

impl Run {
    /// The command line: launcher, `image`, arguments, with every placeholder filled in. `image`
    /// overrides the descriptor's.
    pub fn command(&self, image: &Path, state: &Path, port: u16) -> Vec<String> {
        let fill = |part: &String| {
            part.replace("{state}", &state.to_string_lossy())
                .replace("{port}", &port.to_string())
        };
        let image = image.to_string_lossy().into_owned();
        self.launcher
            .iter()
            .map(fill)
            .chain([image])
            .chain(self.arguments.iter().map(fill))
            .collect()
    }

    /// What stands in braces in the launcher or the arguments and is neither `state` nor `port`, with its key.
    pub(super) fn unknown_placeholder(&self) -> Option<(&'static str, &str)> {
        let launcher = self.launcher.iter().map(|part| ("run.launcher", part));
        let arguments = self.arguments.iter().map(|part| ("run.arguments", part));
        launcher
            .chain(arguments)
            .find_map(|(key, part)| Some((key, unknown_placeholder(part)?)))
    }
}

fn unknown_placeholder(part: &str) -> Option<&str> {
    part.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .find(|name| !["state", "port"].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let run = Run {
            image: None,
            launcher: vec!["emulate".to_owned(), "--port={port}".to_owned()],
            arguments: vec!["--state".to_owned(), "{state}".to_owned()],
        };
        let command = run.command(Path::new("agent"), Path::new("/s"), 7001);
        assert_eq!(
            command,
            ["emulate", "--port=7001", "agent", "--state", "/s"]
        );
    }
}
