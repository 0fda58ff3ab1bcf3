//! Installs what a fresh Debian machine with Rust lacks.

use crate::cross;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program the tests call, and the Debian packages that bring it.
struct Tool {
    program: &'static str,
    packages: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "qemu-system-arm",
        packages: "qemu-system-arm",
    },
    Tool {
        program: "qemu-system-riscv32",
        packages: "qemu-system-misc",
    },
    Tool {
        program: "riscv64-unknown-elf-ld",
        packages: "binutils-riscv64-unknown-elf",
    },
    Tool {
        program: "qemu-aarch64",
        packages: "qemu-user",
    },
    Tool {
        program: "arm-none-eabi-ld",
        packages: "gcc-arm-none-eabi",
    },
    Tool {
        program: "aarch64-linux-gnu-gcc",
        packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    },
    Tool {
        program: "arm-linux-gnueabihf-gcc",
        packages: "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross",
    },
    Tool {
        program: "mosquitto",
        packages: "mosquitto",
    },
    Tool {
        program: "openssl",
        packages: "openssl",
    },
];

/// Debian's own Rust, for building the standard library where rustup cannot fetch a target.
const DEBIAN_RUST: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// Python packages that judge our files from outside: pinned, so that a test run is repeatable.
const PYTHON_PACKAGES: &[&str] = &[
    "onnx==1.23.2",
    "onnxruntime==1.32.0",
    "scikit-learn==1.9.1",
    "pycose==1.1.0",
    "cbor2==6.3.0",
];

/// The workspace's root folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// The interpreter of the Python environment that the tests use.
pub fn python() -> PathBuf {
    root().join("target/python/bin/python")
}

/// Installs every missing tool and the Python environment.
///
/// # Errors
/// Says which command failed and what to install by hand.
pub fn run() -> Result<(), String> {
    install_packages(&missing_packages())?;
    install_python()
}

fn missing_packages() -> Vec<&'static str> {
    let tools = TOOLS
        .iter()
        .filter(|tool| !is_on_path(tool.program))
        .flat_map(|tool| tool.packages.split(' '));
    let rust = if can_build_for_devices() {
        &[]
    } else {
        DEBIAN_RUST
    };
    tools.chain(rust.iter().copied()).collect()
}

/// Whether some toolchain has, or can build, the standard library of every target: rustup's, which is asked to fetch
/// what it lacks, else Debian's.
fn can_build_for_devices() -> bool {
    let missing: Vec<&str> = cross::triples()
        .filter(|triple| !rustup_has(triple))
        .collect();
    missing.is_empty() || rustup_fetches(&missing) || Path::new(cross::DEBIAN_LIBRARY).exists()
}

fn rustup_fetches(triples: &[&str]) -> bool {
    println!("rustup targets: {}", triples.join(" "));
    let added = Command::new("rustup")
        .args(["target", "add"])
        .args(triples)
        .stdin(Stdio::null())
        .output();
    added.is_ok_and(|output| output.status.success())
}

/// Whether rustup has this target installed for the toolchain in use.
pub fn rustup_has(triple: &str) -> bool {
    let listed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    listed.is_ok_and(|out| {
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .any(|line| line == triple)
    })
}

/// Whether a program of this name is found on the path.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn install_packages(packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_on_path("apt-get") {
        return Err(format!(
            "not a Debian system; install the equivalents of: {list}"
        ));
    }
    println!("missing Debian packages: {list}");
    confirm("install them now?")?;
    apt_get(&["update", "-qq"])?;
    apt_get(
        &[
            &["install", "-y", "-qq", "--no-install-recommends"],
            packages,
        ]
        .concat(),
    )
}

/// Asks on a terminal; anywhere else, and in continuous integration, goes on.
fn confirm(question: &str) -> Result<(), String> {
    if std::env::var_os("CI").is_some() || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    print!("{question} [Y/n] ");
    std::io::stdout()
        .flush()
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| error.to_string())?;
    match answer.trim() {
        "" | "y" | "Y" | "yes" => Ok(()),
        _ => Err("nothing was installed".into()),
    }
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = match is_root() {
        true => Command::new("apt-get"),
        false => {
            let mut sudo = Command::new("sudo");
            sudo.arg("apt-get");
            sudo
        }
    };
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    call(&mut command)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.starts_with(b"0"))
}

fn install_python() -> Result<(), String> {
    let marker = root().join("target/python/installed.txt");
    let wanted = PYTHON_PACKAGES.join("\n");
    if std::fs::read_to_string(&marker).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!(
        "Python packages into target/python: {}",
        PYTHON_PACKAGES.join(" ")
    );
    if !python().exists() {
        let folder = root().join("target/python");
        let made = call(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        made.map_err(|error| format!("{error}; on Debian: apt-get install python3-venv"))?;
    }
    let mut pip = Command::new(python());
    call(
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(PYTHON_PACKAGES),
    )?;
    std::fs::write(&marker, wanted).map_err(|error| format!("{}: {error}", marker.display()))
}

/// Runs a command to its end.
///
/// # Errors
/// Says which command failed and how.
pub fn call(command: &mut Command) -> Result<(), String> {
    let text = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{text}: {status}")),
        Err(error) => Err(format!("{text}: {error}")),
    }
}
