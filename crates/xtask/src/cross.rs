//! Builds for devices: `cargo xtask build TARGET…` and `cargo xtask size TARGET…`.
//!
//! One place for every cross build, one folder for what it makes: `target/cross`. Where rustup has
//! the target installed it builds with rustup's toolchain; otherwise with Debian's, which brings
//! the standard library as source.

use crate::setup;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Standard library source of Debian's toolchain.
pub const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/Cargo.lock";
/// Name under which rustup gets to know Debian's toolchain.
const DEBIAN_TOOLCHAIN: &str = "debian";

/// A kind of device this workspace builds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its name, that of its folder in `targets/` unless it shares `targets/linux`.
    pub name: &'static str,
    /// Rust's name for its instruction set and system.
    pub triple: &'static str,
    /// Program it makes.
    binary: &'static str,
    /// Linker, with the Debian package that brings it.
    linker: &'static str,
    linker_package: &'static str,
    is_firmware: bool,
}

/// Every target, in the order in which `all` builds them.
pub const TARGETS: &[Target] = &[
    firmware("qemu-cortex-m4f", "dunlin-qemu-cortex-m4f"),
    firmware("nrf52840", "dunlin-nrf52840"),
    Target {
        name: "linux-aarch64",
        triple: "aarch64-unknown-linux-gnu",
        binary: "dunlin-agent",
        linker: "aarch64-linux-gnu-gcc",
        linker_package: "gcc-aarch64-linux-gnu",
        is_firmware: false,
    },
    Target {
        name: "linux-armv7",
        triple: "armv7-unknown-linux-gnueabihf",
        binary: "dunlin-agent",
        linker: "arm-linux-gnueabihf-gcc",
        linker_package: "gcc-arm-linux-gnueabihf",
        is_firmware: false,
    },
];

const fn firmware(name: &'static str, binary: &'static str) -> Target {
    Target {
        name,
        triple: "thumbv7em-none-eabihf",
        binary,
        linker: "arm-none-eabi-ld",
        linker_package: "gcc-arm-none-eabi",
        is_firmware: true,
    }
}

impl Target {
    /// Finds a target by its name.
    ///
    /// # Errors
    /// Names the targets there are.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        TARGETS
            .iter()
            .find(|target| target.name == name)
            .ok_or_else(|| format!("no target `{name}`; there are: {}, all", names.join(", ")))
    }

    /// The program that [`build`] makes.
    pub fn image(&self) -> PathBuf {
        self.output(self.binary)
    }

    fn output(&self, binary: &str) -> PathBuf {
        let profile = if self.is_firmware {
            "release"
        } else {
            "device"
        };
        target_folder().join(self.triple).join(profile).join(binary)
    }

    fn folder(&self) -> PathBuf {
        if self.is_firmware {
            setup::root().join("targets").join(self.name)
        } else {
            setup::root()
        }
    }

    /// What is built, apart from the toolchain's own options.
    fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec!["build", "--target", self.triple];
        match self.is_firmware {
            true => arguments.push("--release"),
            false => arguments.extend(["--package", "dunlin-agent", "--profile", "device"]),
        }
        arguments
    }

    /// Parts of the standard library it needs where they are built from source.
    fn library(&self) -> &'static str {
        if self.is_firmware {
            "-Zbuild-std=core"
        } else {
            "-Zbuild-std=std,panic_abort,test"
        }
    }

    /// Cargo's environment variable for a setting of this triple.
    fn variable(&self, setting: &str) -> String {
        format!(
            "CARGO_TARGET_{}_{setting}",
            self.triple.to_uppercase().replace(['-', '.'], "_")
        )
    }
}

/// The targets that `names` stand for; `all` stands for every one.
///
/// # Errors
/// When a name is not a target's, or none is given.
pub fn targets(names: &[&str]) -> Result<Vec<&'static Target>, String> {
    match names {
        [] => Err("expected a target; `cargo xtask --help` lists them".into()),
        ["all"] => Ok(TARGETS.iter().collect()),
        names => names.iter().map(|name| Target::named(name)).collect(),
    }
}

/// Builds targets and prints the path of each image.
///
/// # Errors
/// Says which tool is missing and which package brings it, or which command failed.
pub fn build(names: &[&str]) -> Result<(), String> {
    for target in targets(names)? {
        build_one(target, &[], &[])?;
        println!("{}", target.image().display());
    }
    Ok(())
}

/// Builds the firmware that measures one bundle on the emulated board; returns its image. `key` is
/// a file with the 32 bytes of the public key that signed it.
///
/// # Errors
/// As [`build`].
pub fn build_measure(bundle: &Path, key: &Path) -> Result<PathBuf, String> {
    let target = Target::named("qemu-cortex-m4f")?;
    let environment = [
        ("DUNLIN_MEASURE_BUNDLE", bundle),
        ("DUNLIN_MEASURE_KEY", key),
    ];
    build_one(
        target,
        &["--features", "measure", "--bin", "measure"],
        &environment,
    )?;
    Ok(target.output("measure"))
}

/// A core of which nothing but the bench image is built.
struct Core {
    name: &'static str,
    triple: &'static str,
    /// Options of the compiler beside those of the triple.
    flags: &'static str,
    linker: &'static str,
    linker_package: &'static str,
}

const CORES: &[Core] = &[
    core("qemu-cortex-m0", "thumbv6m-none-eabi", ""),
    core("qemu-cortex-m3", "thumbv7m-none-eabi", ""),
    core(
        "qemu-cortex-m7",
        "thumbv7em-none-eabihf",
        "-Ctarget-cpu=cortex-m7",
    ),
    core(
        "qemu-cortex-m33",
        "thumbv8m.main-none-eabihf",
        "-Ctarget-cpu=cortex-m33",
    ),
    Core {
        name: "qemu-riscv32",
        triple: "riscv32imac-unknown-none-elf",
        flags: "",
        linker: "riscv64-unknown-elf-ld",
        linker_package: "binutils-riscv64-unknown-elf",
    },
];

const fn core(name: &'static str, triple: &'static str, flags: &'static str) -> Core {
    Core {
        name,
        triple,
        flags,
        linker: "arm-none-eabi-ld",
        linker_package: "gcc-arm-none-eabi",
    }
}

/// Every triple that something is built for.
pub fn triples() -> impl Iterator<Item = &'static str> {
    let targets = TARGETS.iter().map(|target| target.triple);
    targets.chain(CORES.iter().map(|core| core.triple))
}

/// Builds the engine around the plan in `folder` and the stub without an engine for a target of `dunlin bench`; returns
/// both images.
///
/// # Errors
/// As [`build`].
pub fn build_bench(folder: &Path, name: &str) -> Result<(PathBuf, PathBuf), String> {
    let (image, stub) = ("bench", "bench-stub");
    if let Some(core) = CORES.iter().find(|core| core.name == name) {
        return build_core(core, folder);
    }
    let target = Target::named(name)?;
    build_one(
        target,
        &["--features", "bench", "--bin", image, "--bin", stub],
        &[("DUNLIN_BENCH", folder)],
    )?;
    Ok((target.output(image), target.output(stub)))
}

fn build_core(core: &Core, folder: &Path) -> Result<(PathBuf, PathBuf), String> {
    let target = Target {
        name: "qemu-cores",
        triple: core.triple,
        binary: "bench",
        linker: core.linker,
        linker_package: core.linker_package,
        is_firmware: true,
    };
    let flags = target.variable("RUSTFLAGS");
    let environment = [
        ("DUNLIN_BENCH", folder),
        ("DUNLIN_BENCH_BOARD", Path::new(core.name)),
        (flags.as_str(), Path::new(core.flags)),
    ];
    build_one(&target, &[], &environment)?;
    Ok((target.output("bench"), target.output("bench-stub")))
}

/// Programs that run on this machine what is built for a Linux target.
const LAUNCHERS: [(&str, &str); 2] = [
    ("linux-aarch64", "qemu-aarch64 -L /usr/aarch64-linux-gnu"),
    ("linux-armv7", "qemu-arm -L /usr/arm-linux-gnueabihf"),
];

/// The commands that run the tests of the engine's loops on every Linux target.
///
/// # Errors
/// As [`build`].
pub fn kernel_tests() -> Result<Vec<(&'static str, Command)>, String> {
    let command = |(name, launcher): (&'static str, &str)| {
        let target = Target::named(name)?;
        let mut cargo = toolchain(target)?;
        cargo
            .args(["test", "--target", target.triple])
            .args(["--package", "dunlin-kernels", "--lib", "--target-dir"])
            .arg(target_folder())
            .current_dir(setup::root())
            .env(target.variable("LINKER"), target.linker)
            .env(target.variable("RUNNER"), launcher)
            .stdin(Stdio::null());
        Ok((name, cargo))
    };
    LAUNCHERS.into_iter().map(command).collect()
}

/// Builds the image that holds the assembly to its definition and returns it.
///
/// # Errors
/// As [`build`].
pub fn build_check() -> Result<PathBuf, String> {
    let target = Target::named("qemu-cortex-m4f")?;
    let image = "check";
    build_one(target, &["--features", "check", "--bin", image], &[])?;
    Ok(target.output(image))
}

fn build_one(target: &Target, extra: &[&str], environment: &[(&str, &Path)]) -> Result<(), String> {
    if !setup::is_on_path(target.linker) {
        return Err(missing(target.linker, target.linker_package));
    }
    let mut cargo = toolchain(target)?;
    cargo
        .args(target.arguments())
        .args(extra)
        .arg("--target-dir")
        .arg(target_folder())
        .current_dir(target.folder())
        .envs(environment.iter().copied())
        .env(target.variable("LINKER"), target.linker)
        .stdin(Stdio::null());
    setup::call(&mut cargo)
}

/// What to say where a program is not installed.
pub fn missing(program: &str, packages: &str) -> String {
    format!(
        "`{program}` is not installed; on Debian: apt-get install {packages}, or `cargo xtask setup`"
    )
}

/// Where everything for devices is built.
pub fn target_folder() -> PathBuf {
    std::env::var_os("DUNLIN_CROSS_DIR")
        .map_or_else(|| setup::root().join("target/cross"), PathBuf::from)
}

/// Cargo of a toolchain that can build for the target, without the arguments that say what.
fn toolchain(target: &Target) -> Result<Command, String> {
    let has_rustup = setup::is_on_path("rustup");
    if has_rustup && setup::rustup_has(target.triple) {
        return Ok(Command::new("cargo"));
    }
    if !Path::new(DEBIAN_LIBRARY).exists() {
        let debian = missing(
            "cargo with the standard library's source",
            "rustc-web cargo-web rust-web-src",
        );
        return Err(match has_rustup {
            true => format!(
                "run `rustup target add {}`; where that cannot be fetched: {debian}",
                target.triple
            ),
            false => debian,
        });
    }
    let mut cargo = debian_cargo(has_rustup)?;
    cargo.env("RUSTC_BOOTSTRAP", "1").arg(target.library());
    Ok(cargo)
}

/// Debian's cargo. Cargo wants its options after the subcommand or before; `-Z` may stand before.
fn debian_cargo(has_rustup: bool) -> Result<Command, String> {
    if !has_rustup {
        return Ok(Command::new("/usr/bin/cargo"));
    }
    let listed = Command::new("rustup")
        .args(["toolchain", "list"])
        .output()
        .map_err(|error| format!("rustup: {error}"))?;
    let known = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|line| line.split(' ').next() == Some(DEBIAN_TOOLCHAIN));
    if !known {
        setup::call(Command::new("rustup").args(["toolchain", "link", DEBIAN_TOOLCHAIN, "/usr"]))?;
    }
    let mut cargo = Command::new("rustup");
    cargo
        .args(["run", DEBIAN_TOOLCHAIN, "cargo"])
        .env_remove("RUSTUP_TOOLCHAIN");
    Ok(cargo)
}

/// Bytes of a program by where they lie, as `size` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Code and constants: flash.
    pub text: u64,
    /// Variables with a value at start: flash and RAM.
    pub data: u64,
    /// Variables that start at zero: RAM.
    pub bss: u64,
}

impl Sizes {
    /// Bytes of flash.
    pub fn flash(&self) -> u64 {
        self.text + self.data
    }

    /// Bytes of RAM before any stack.
    pub fn ram(&self) -> u64 {
        self.data + self.bss
    }

    /// Reads the table that `size` prints in its Berkeley form.
    fn parse(table: &str) -> Option<Self> {
        let mut numbers = table.lines().nth(1)?.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            text: next()?,
            data: next()?,
            bss: next()?,
        })
    }
}

/// Builds targets and prints what their images take of flash and RAM, against the budgets in
/// `targets/NAME.toml`. `false` when one is over its budget.
///
/// # Errors
/// Says which command failed or which file could not be read.
pub fn size(names: &[&str]) -> Result<bool, String> {
    let mut within = true;
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>18} {:>18}",
        "target", "text", "data", "bss", "flash of budget", "RAM of budget"
    );
    for target in targets(names)? {
        build_one(target, &[], &[])?;
        let sizes = measure(&target.image())?;
        let budgets = Budgets::of(target)?;
        within &= budgets.hold(&sizes);
        println!(
            "{:<18} {:>9} {:>9} {:>9} {:>18} {:>18}",
            target.name,
            sizes.text,
            sizes.data,
            sizes.bss,
            against(sizes.flash(), budgets.flash_bytes),
            against(sizes.ram(), budgets.ram_bytes),
        );
    }
    Ok(within)
}

fn against(got: u64, budget: Option<u64>) -> String {
    match budget {
        Some(budget) if got > budget => format!("{got} > {budget}"),
        Some(budget) => format!("{got} / {budget}"),
        None => format!("{got}"),
    }
}

fn measure(image: &Path) -> Result<Sizes, String> {
    let tool = "arm-none-eabi-size";
    let listed = Command::new(tool)
        .arg(image)
        .output()
        .map_err(|_| missing(tool, "binutils-arm-none-eabi"))?;
    let table = String::from_utf8_lossy(&listed.stdout);
    Sizes::parse(&table).ok_or_else(|| {
        format!(
            "{tool} {}: {}",
            image.display(),
            String::from_utf8_lossy(&listed.stderr)
        )
    })
}

/// What a firmware may take, from its target's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Budgets {
    flash_bytes: Option<u64>,
    ram_bytes: Option<u64>,
}

impl Budgets {
    fn of(target: &Target) -> Result<Self, String> {
        let path = setup::root()
            .join("targets")
            .join(format!("{}.toml", target.name));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Reads `flash_bytes` and `ram_bytes` under `[firmware]`; the rest of the file is for others, so
    /// no TOML library is needed for two lines.
    fn parse(text: &str) -> Self {
        let section = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != "[firmware]")
            .skip(1);
        let mut budgets = Self::default();
        for (key, value) in section
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
        {
            let digits = value
                .split('#')
                .next()
                .unwrap_or_default()
                .trim()
                .replace('_', "");
            match key.trim() {
                "flash_bytes" => budgets.flash_bytes = digits.parse().ok(),
                "ram_bytes" => budgets.ram_bytes = digits.parse().ok(),
                _ => {}
            }
        }
        budgets
    }

    fn hold(&self, sizes: &Sizes) -> bool {
        self.flash_bytes
            .is_none_or(|budget| sizes.flash() <= budget)
            && self.ram_bytes.is_none_or(|budget| sizes.ram() <= budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_sizes_is_read() {
        let table = "   text\t   data\t    bss\t    dec\t    hex\tfilename\n  61540\t     16\t  80204\t 141760\t  229c0\timage\n";
        let sizes = Sizes::parse(table).expect("three numbers");
        assert_eq!((sizes.flash(), sizes.ram()), (61_556, 80_220));
        assert_eq!(Sizes::parse("size: 'image': No such file"), None);
    }

    #[test]
    fn budgets_are_read_from_their_section_only() {
        let text = "ram_bytes = 1\n[firmware]\nflash_bytes = 65_536 # of 1 MiB\narena_bytes = 3\n[flash]\nram_bytes = 9\n";
        let budgets = Budgets::parse(text);
        assert_eq!(
            budgets,
            Budgets {
                flash_bytes: Some(65_536),
                ram_bytes: None
            }
        );
        assert!(budgets.hold(&Sizes {
            text: 65_000,
            data: 536,
            bss: 1 << 30
        }));
        assert!(!budgets.hold(&Sizes {
            text: 65_000,
            data: 537,
            bss: 0
        }));
    }

    #[test]
    fn every_firmware_has_budgets() {
        for target in TARGETS.iter().filter(|target| target.is_firmware) {
            let budgets = Budgets::of(target).expect("a descriptor");
            assert!(
                budgets.flash_bytes.is_some() && budgets.ram_bytes.is_some(),
                "{}",
                target.name
            );
        }
    }

    #[test]
    fn names_are_found_and_others_refused_with_a_list() {
        assert_eq!(targets(&["all"]).map(|all| all.len()), Ok(TARGETS.len()));
        assert_eq!(
            targets(&["linux-armv7"]).map(|found| found[0].triple),
            Ok("armv7-unknown-linux-gnueabihf")
        );
        let refused = targets(&["avr"]).expect_err("no such target");
        assert!(refused.contains("nrf52840"), "{refused}");
    }

    #[test]
    fn cargo_variables_are_written_as_cargo_reads_them() {
        let target = Target::named("qemu-cortex-m4f").expect("a target");
        assert_eq!(
            target.variable("LINKER"),
            "CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER"
        );
    }
}
