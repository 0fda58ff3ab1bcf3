//! Calls the `dunlin` command as a user would, in a folder of its own, and reads what it prints.
//!
//! # Example
//! ```no_run
//! let place = test_end_to_end::Place::new().expect("the command is built");
//! let run = place.dunlin(&["data", "check", "models/machine"]);
//! assert_eq!(run.status, Some(0), "{run:?}");
//! ```
#![forbid(unsafe_code)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A folder for one test's runs, keys and fleet; devices left running there are stopped at the end.
pub struct Place {
    folder: TempDir,
    program: PathBuf,
}

/// What a call of the command came to.
#[derive(Debug)]
pub struct Finished {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

/// The workspace's root, in which the command is called: targets name their images relative to it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace is there")
}

/// Measurements that are not part of the repository, where they are.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(name);
    path.exists().then_some(path)
}

/// Whether a program is on the path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

impl Place {
    /// A new place; `None` where the command has not been built in this profile.
    pub fn new() -> Option<Place> {
        let test = std::env::current_exe().ok()?;
        let program = test.parent()?.parent()?.join("dunlin");
        let folder = tempfile::tempdir().ok()?;
        program.is_file().then_some(Place { folder, program })
    }

    /// A path in the place, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// The path of another program of the workspace, built beside the command.
    pub fn program(&self, name: &str) -> PathBuf {
        self.program.with_file_name(name)
    }

    /// Calls the command with these arguments and nothing else.
    pub fn dunlin(&self, arguments: &[&str]) -> Finished {
        self.dunlin_in(&root().to_string_lossy(), arguments)
    }

    /// Calls the command in another folder than the workspace's root.
    pub fn dunlin_in(&self, folder: &str, arguments: &[&str]) -> Finished {
        let mut command = self.command(arguments);
        finished(command.current_dir(folder).output())
    }

    /// Calls the command once with each of these arguments, all at the same time.
    pub fn at_once(&self, calls: &[Vec<&str>]) -> Vec<Finished> {
        let start = |arguments: &Vec<&str>| {
            let mut command = self.command(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the command starts")
        };
        let started: Vec<_> = calls.iter().map(start).collect();
        started
            .into_iter()
            .map(|child| finished(child.wait_with_output()))
            .collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(root())
            .stdin(Stdio::null());
        command
    }

    /// Calls the command with these arguments and this place's folders for those of `flags`
    /// (`runs`, `keys`, `fleet`), and expects success.
    pub fn done(&self, arguments: &[&str], flags: &[&str]) -> Finished {
        let folders: Vec<String> = flags
            .iter()
            .flat_map(|flag| [format!("--{flag}"), self.path(flag)])
            .collect();
        let all: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(folders.iter().map(String::as_str))
            .collect();
        let finished = self.dunlin(&all);
        assert_eq!(
            finished.status,
            Some(0),
            "dunlin {}\n{finished:?}",
            all.join(" ")
        );
        finished
    }

    /// The file in the place's newest run whose name ends so.
    pub fn run_file(&self, ending: &str) -> String {
        let runs = std::fs::read_dir(self.path("runs")).expect("there are runs");
        let newest = runs
            .flatten()
            .map(|entry| entry.path())
            .max()
            .expect("there is a run");
        let files = std::fs::read_dir(&newest).expect("the run is a folder");
        let found = files
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().ends_with(ending));
        found
            .unwrap_or_else(|| panic!("no {ending} in {}", newest.display()))
            .to_string_lossy()
            .into_owned()
    }
}

fn finished(output: std::io::Result<std::process::Output>) -> Finished {
    let output = output.expect("the command starts");
    Finished {
        status: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(devices) = std::fs::read_dir(self.path("fleet")) else {
            return;
        };
        for device in devices
            .flatten()
            .filter(|entry| entry.path().join("pid").exists())
        {
            let name = device.file_name().to_string_lossy().into_owned();
            self.dunlin(&["flash", "--stop", &name, "--fleet", &self.path("fleet")]);
        }
    }
}

impl Finished {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
