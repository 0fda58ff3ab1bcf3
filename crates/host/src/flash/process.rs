//! Devices that are processes: started, watched, ended.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::target::{FlashMethod, Link, Target};

use super::process_table::{has_ended, has_in_environment};
use super::{FlashError, FlashOptions, LINK_FILE, Lifetime, Progress, Step, provision};

/// Name of the file with the process id.
const PID_FILE: &str = "pid";
/// Name of the file the process writes to.
const LOG_FILE: &str = "device.log";
/// Environment variable by which a process is known to be the device of a state folder.
const STATE_VARIABLE: &str = "DUNLIN_DEVICE_STATE";
/// How long a process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Ports devices on this machine listen on: below those of outgoing connections on Linux (32,768) and IANA's (49,152).
const DEVICE_PORTS: Range<u16> = 20_000..32_768;
/// How many of them are tried.
const PORT_ATTEMPTS: usize = 100;
/// Bytes of the log that are shown when a device does not come up.
const SHOWN_LOG_BYTES: usize = 2000;

/// A process that is a device. Ended when dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    program: String,
    state: PathBuf,
}

/// Starts the target's program with its state in `options.state`; returns where it will answer.
pub(super) fn start(
    options: &FlashOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<(String, Running), FlashError> {
    let state = options
        .state
        .canonicalize()
        .map_err(FlashError::io(options.state))?;
    let port = free_port().map_err(FlashError::io("127.0.0.1"))?;
    let command = command_line(options, &state, port)?;
    progress.step(Step::Running { command: &command });
    let running = spawn(&command, &state, options.lifetime)?;
    let link_url = match options.target.link {
        Link::Unix => format!("unix:{}", state.join("link.sock").display()),
        Link::Tcp | Link::Serial { .. } => format!("tcp:127.0.0.1:{port}"),
    };
    Ok((link_url, running))
}

/// Launcher, program and arguments, each found.
fn command_line(
    options: &FlashOptions<'_>,
    state: &Path,
    port: u16,
) -> Result<Vec<String>, FlashError> {
    let target = options.target;
    let image = image(options)?;
    let mut run = target.run.clone();
    if runs_here(target) {
        run.launcher.clear();
    }
    for part in options.upload.map(|url| ["--mqtt", url]).iter().flatten() {
        run.arguments.push((*part).to_owned());
    }
    match run.launcher.first() {
        Some(tool) if find_tool(tool).is_none() => Err(missing(tool)),
        _ => Ok(run.command(&image, state, port)),
    }
}

/// The program or firmware to start or to write.
pub(super) fn image(options: &FlashOptions<'_>) -> Result<PathBuf, FlashError> {
    let target = options.target;
    let path = match (options.image, &target.run.image) {
        (Some(image), _) => image.to_owned(),
        (None, Some(image)) => options.root.join(image),
        (None, None) => std::env::current_exe().map_err(FlashError::io("this program"))?,
    };
    match path.is_file() {
        true => Ok(path),
        false => Err(FlashError::MissingImage {
            path,
            target: target.name.clone(),
        }),
    }
}

/// Whether this machine runs the target's programs itself.
fn runs_here(target: &Target) -> bool {
    let machine = |triple: &str| triple.split('-').next().map(str::to_owned);
    let own = match std::env::consts::ARCH {
        "arm" => "armv7",
        other => other,
    };
    target.flash == FlashMethod::Agent
        && cfg!(target_os = "linux")
        && target.triple.as_deref().and_then(machine).as_deref() == Some(own)
}

fn spawn(command: &[String], state: &Path, lifetime: Lifetime) -> Result<Running, FlashError> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| missing("the program"))?;
    let log_path = state.join(LOG_FILE);
    let log = File::create(&log_path).map_err(FlashError::io(&log_path))?;
    let errors = log.try_clone().map_err(FlashError::io(&log_path))?;
    let mut process = Command::new(program);
    process
        .args(arguments)
        .env(STATE_VARIABLE, state)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    if lifetime == Lifetime::Detached {
        separate(&mut process);
    }
    let child = process.spawn().map_err(FlashError::io(program))?;
    let running = Running {
        child,
        program: program.clone(),
        state: state.to_owned(),
    };
    provision::write_text(&state.join(PID_FILE), &running.id().to_string())?;
    Ok(running)
}

/// Keeps the terminal's interrupt from a process that is to outlive this one.
#[cfg(unix)]
fn separate(process: &mut Command) {
    use std::os::unix::process::CommandExt;
    process.process_group(0);
}

#[cfg(not(unix))]
fn separate(_: &mut Command) {}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the process has ended, with the end of its log.
    pub fn check(&mut self) -> Result<(), FlashError> {
        match self
            .child
            .try_wait()
            .map_err(FlashError::io(&self.program))?
        {
            None => Ok(()),
            Some(status) => Err(FlashError::Program {
                program: self.program.clone(),
                status: status.to_string(),
                output: self.said(),
            }),
        }
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        end_of_log(&self.state)
    }

    /// Lets a detached process go; keeps an attached one.
    pub fn leave(self, lifetime: Lifetime) -> Option<Self> {
        match lifetime {
            Lifetime::Attached => Some(self),
            Lifetime::Detached => {
                std::mem::forget(self);
                None
            }
        }
    }

    /// Asks the process to end, kills it when it does not, and forgets where it answered.
    pub fn stop(&mut self) -> Result<(), FlashError> {
        let deadline = Instant::now() + GRACE;
        let io = |source| FlashError::Io {
            path: PathBuf::from(&self.program),
            source,
        };
        let mut asked = false;
        while self.child.try_wait().map_err(io)?.is_none() {
            if !std::mem::replace(&mut asked, true) {
                ask_to_end(self.child.id());
            }
            if Instant::now() >= deadline {
                self.child.kill().map_err(io)?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        forget(&self.state);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Ends the device of a state folder that was left running; returns whether there was one.
///
/// # Errors
/// [`FlashError::Io`] when the process cannot be looked at.
pub fn stop(state: &Path) -> Result<bool, FlashError> {
    let state = match state.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(FlashError::io(state))?,
    };
    let Some(id) = process_of(&state) else {
        forget(&state);
        return Ok(false);
    };
    let deadline = Instant::now() + GRACE;
    ask_to_end(id);
    while process_of(&state) == Some(id) {
        if Instant::now() >= deadline {
            signal("KILL", id);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    while !has_ended(id) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    forget(&state);
    Ok(true)
}

/// Whether the device of a state folder runs as a process of this machine.
pub(super) fn is_running(state: &Path) -> Result<bool, FlashError> {
    match state.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FlashError::Io {
            path: state.to_owned(),
            source,
        }),
        Ok(state) => Ok(process_of(&state).is_some()),
    }
}

/// The process in the pid file, if it lives and is the device of `state`: a number may have gone to
/// another process since.
fn process_of(state: &Path) -> Option<u32> {
    let id: u32 = std::fs::read_to_string(state.join(PID_FILE))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let expected = format!("{STATE_VARIABLE}={}", state.display());
    has_in_environment(id, &expected).then_some(id)
}

fn forget(state: &Path) {
    for file in [PID_FILE, LINK_FILE] {
        let _ = std::fs::remove_file(state.join(file));
    }
}

fn ask_to_end(id: u32) {
    signal("TERM", id);
}

/// The shell's own `kill` is everywhere, the program of that name is not.
fn signal(name: &str, id: u32) {
    let script = format!("kill -{name} {id}");
    let _ = Command::new("sh")
        .arg("-c")
        .arg(script)
        .stderr(Stdio::null())
        .status();
}

fn end_of_log(state: &Path) -> String {
    let log = std::fs::read(state.join(LOG_FILE)).unwrap_or_default();
    let start = log.len().saturating_sub(SHOWN_LOG_BYTES);
    String::from_utf8_lossy(&log[start..]).into_owned()
}

/// A port on which nobody listens, from [`DEVICE_PORTS`] where one is free: an outgoing connection could take one of
/// the system's own choice before the device does.
fn free_port() -> io::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut random = rand::rng();
    let mut drawn = (0..PORT_ATTEMPTS).map(|_| random.random_range(DEVICE_PORTS));
    match drawn.find(is_free) {
        Some(port) => Ok(port),
        None => Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()),
    }
}

/// The file that the shell would run for `tool`.
pub(super) fn find_tool(tool: &str) -> Option<PathBuf> {
    if tool.contains('/') {
        return Some(PathBuf::from(tool)).filter(|path| path.is_file());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(tool))
        .find(|path| path.is_file())
}

/// Says where a missing tool comes from.
pub(super) fn missing(tool: &str) -> FlashError {
    let name = Path::new(tool)
        .file_name()
        .map_or(tool.into(), |name| name.to_string_lossy());
    let hint = match &*name {
        "qemu-aarch64" | "qemu-arm" => "on Debian: apt-get install qemu-user",
        "qemu-system-arm" => "on Debian: apt-get install qemu-system-arm",
        "probe-rs" => "cargo install probe-rs-tools, or see https://probe.rs",
        _ => "the target's descriptor names it in [run]",
    };
    FlashError::MissingTool {
        tool: tool.to_owned(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let text = missing("qemu-system-arm").to_string();
        assert!(
            text.contains("`qemu-system-arm`") && text.contains("apt-get install"),
            "{text}"
        );
        assert!(
            missing("/opt/bin/probe-rs")
                .to_string()
                .contains("probe-rs-tools")
        );
        assert!(find_tool("sh").is_some());
        assert!(find_tool("no-such-tool-anywhere").is_none());
    }

    #[test]
    fn only_the_devices_own_process_is_ended() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let state = folder.path().canonicalize().expect("path");
        let mut stranger = Command::new("sleep").arg("60").spawn().expect("starts");
        provision::write_text(&state.join(PID_FILE), &stranger.id().to_string()).expect("writes");
        assert!(!stop(&state).expect("nothing to end"));
        assert!(
            stranger.try_wait().expect("asks").is_none(),
            "the stranger lives"
        );
        stranger
            .kill()
            .and_then(|()| stranger.wait())
            .expect("ends");

        let own = ["sleep", "60"].map(String::from);
        let running = spawn(&own, &state, Lifetime::Detached).expect("starts");
        let id = running.id();
        assert!(running.leave(Lifetime::Detached).is_none());
        let deadline = Instant::now() + GRACE;
        while process_of(&state) != Some(id) {
            assert!(Instant::now() < deadline, "it never showed whose it is");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal("TERM", id);
    }

    #[test]
    fn a_process_that_ends_early_is_reported_with_what_it_said() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let state = folder.path().canonicalize().expect("path");
        let command = ["sh", "-c", "echo no such model; exit 3"].map(String::from);
        let mut running = spawn(&command, &state, Lifetime::Attached).expect("starts");
        let error = loop {
            match running.check() {
                Ok(()) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.contains("no such model") && error.contains('3'),
            "{error}"
        );
    }
}
