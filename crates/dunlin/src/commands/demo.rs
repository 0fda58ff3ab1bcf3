//! `dunlin demo`: the whole loop on a simulated machine, in a few minutes.

use super::fleet::FleetArguments;
use super::report;
use super::{build, evaluate, model, recipe, train};
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use dunlin_fleet::report::Judgement;
use dunlin_fleet::{Collecting, Polling, ReportOptions, Until, collect_link};
use dunlin_host::data::Examples;
use dunlin_host::flash::{self, FlashOptions, FlashedDevice, Step};
use dunlin_host::recipe::Recipe;
use dunlin_host::simulate::{self, Condition, Phase};
use dunlin_host::stages;
use dunlin_host::stream::{StreamOptions, stream};
use dunlin_host::target::Target;
use dunlin_link::Link;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// The recipe of the demonstration, so that the command works from any folder.
const RECIPE: &str = include_str!("../../../../models/machine/recipe.toml");
/// Monitoring windows before and after the machine changes.
const WINDOWS: usize = 6;
/// The file that tells a demonstration's folder.
const MARKER: &str = "demonstration.txt";
/// The target of the emulated board.
const BOARD: &str = "qemu-cortex-m4f";

#[derive(Args)]
#[command(after_help = "Example:\n  dunlin demo --device local")]
pub struct Arguments {
    /// Where everything is written
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    folder: PathBuf,
    /// The device
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    device: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The emulated board where its tools are installed, else a local process
    Auto,
    /// The emulated Cortex-M4F board
    Qemu,
    /// A process on this machine that runs the same runtime
    Local,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let recipe = Recipe::parse(RECIPE, Path::new("models/machine/recipe.toml"))?;
        let target = self.target()?;
        let fleet = self.fresh_fleet()?;

        heading(
            "1 data",
            "a rotating machine's vibration, SIMULATED: healthy, imbalance, misalignment, bearing wear",
        )?;
        let splits = recipe::load(&recipe, None)?;
        output::line(format!(
            "{} windows of {} samples × {} axes to learn from, {} to tune, {} to judge",
            splits.train.len(),
            splits.train.schema.steps,
            splits.train.schema.channels.len(),
            splits.validation.len(),
            splits
                .tests
                .iter()
                .map(|(_, part)| part.len())
                .sum::<usize>(),
        ))?;

        heading("2 train, quantize, evaluate", "")?;
        let mut run = train::train(&self.folder.join("runs"), &recipe, &splits)?;
        build::quantize(&mut run, &recipe, &splits)?;
        let evaluation = evaluate::evaluate(&mut run, &recipe, &splits)?;
        evaluate::print(&run, &evaluation)?;

        heading("3 calibrate, compile, sign", "")?;
        let key = model::signing_key(&fleet.keys, model::DEFAULT_KEY)?;
        build::bundles(
            &mut run,
            &recipe,
            &splits,
            std::slice::from_ref(&target),
            &key,
        )?;

        heading("4 flash", &target.summary)?;
        let bundle = run.path(&stages::bundle_file(&run, &target));
        let device = self.flash(&fleet, &target, &bundle)?;
        output::line(format!(
            "{} runs bundle {} at {}",
            device.device, device.bundle, device.link_url
        ))?;

        heading(
            "5 monitor",
            &format!("{WINDOWS} windows of a healthy machine, then {WINDOWS} with a worn bearing"),
        )?;
        let mut link = Link::open(&device.link_url)?;
        let streamed = self.stream(&mut link, &recipe, &splits.train)?;
        drop(link);
        output::line(format!(
            "{streamed} monitoring windows closed on the device"
        ))?;
        let verdict = self.collect(&fleet, &device)?;
        device.stop()?;
        Ok(verdict)
    }

    /// A fleet of its own, empty. What an earlier demonstration left is removed; a folder that is not a
    /// demonstration's is left alone.
    fn fresh_fleet(&self) -> Result<FleetArguments> {
        let fleet = FleetArguments {
            fleet: self.folder.join("fleet"),
            keys: self.folder.join("keys"),
        };
        let marker = self.folder.join(MARKER);
        let is_empty =
            |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none());
        if self.folder.exists() && !marker.exists() && !is_empty(&self.folder) {
            anyhow::bail!(
                "{}: not empty and not left by a demonstration; name another folder with --folder DIR",
                self.folder.display()
            );
        }
        std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        std::fs::write(
            &marker,
            "A demonstration's folder: the next one removes what is in it.\n",
        )
        .with_context(|| marker.display().to_string())?;
        if fleet.fleet.exists() {
            flash::stop(&fleet.state("demo"))?;
            std::fs::remove_dir_all(&fleet.fleet)
                .with_context(|| fleet.fleet.display().to_string())?;
        }
        Ok(fleet)
    }

    /// The target asked for; the emulated board where it can be built and run.
    fn target(&self) -> Result<Target> {
        match self.device {
            Kind::Qemu => board(),
            Kind::Local => {
                output::line(
                    "device: a local process; `dunlin demo --device qemu` takes the emulated Cortex-M4F board",
                )?;
                Ok(Target::find("local")?)
            }
            Kind::Auto => match missing_for_the_board().as_slice() {
                [] => board().or_else(|error| instead_of_the_board(&format!("{error:#}"))),
                missing => instead_of_the_board(&format!("missing: {}", missing.join(", "))),
            },
        }
    }

    fn flash(&self, fleet: &FleetArguments, target: &Target, path: &Path) -> Result<FlashedDevice> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let trusted = fleet.trusted()?;
        fleet.store()?.register_bundle(path, &trusted)?;
        let (devices, state) = (fleet.devices_file(), fleet.state("demo"));
        let options = FlashOptions {
            name: "demo",
            devices: &devices,
            state: &state,
            trusted: &trusted,
            ..FlashOptions::new(target, &bytes)
        };
        let bar = Bar::new("flash", 0);
        Ok(flash::flash(&options, &mut |step: Step<'_>| {
            bar.say(step.to_string())
        })?)
    }

    /// Streams a machine that wears out half-way; gives the number of windows that closed.
    fn stream(&self, link: &mut Link, recipe: &Recipe, like: &Examples) -> Result<u64> {
        let examples = changing_machine(recipe, like);
        let bar = Bar::new("stream", examples.len() as u64);
        let done = stream(
            link,
            &examples,
            &StreamOptions::default(),
            &mut |streamed| bar.set(streamed.samples),
        )?;
        Ok(done.windows_closed)
    }

    /// Collects, reports, and says whether the drift is where it was put.
    fn collect(&self, fleet: &FleetArguments, device: &FlashedDevice) -> Result<Outcome> {
        heading("6 collect and report", "")?;
        let devices = fleet.devices()?;
        let mut store = fleet.store()?;
        store.register_devices(&devices)?;
        let stop = AtomicBool::new(false);
        let collecting = Collecting {
            store: &mut store,
            devices: &devices,
            until: Until {
                stop: &stop,
                idle: None,
            },
            show: &mut |_| (),
        };
        let collected = collect_link(collecting, &device.link_url, Polling::Once)?;
        output::line(format!("{} records stored", collected.stored))?;
        let made = report::make(&store, ReportOptions::default())?;
        let path = self.folder.join("report.html");
        std::fs::write(&path, made.html()).with_context(|| path.display().to_string())?;
        output::line(made.terminal(report::terminal()).trim_end())?;
        let judged: Vec<bool> = made
            .devices
            .iter()
            .flat_map(|device| &device.windows)
            .filter_map(|window| drifted(window.judgement))
            .collect();
        let seen = expected_at_the_change(&judged);
        output::line(if seen {
            "the drift is seen where it was put: none before the bearing wore, in every window after"
        } else {
            "the drift is NOT seen exactly where it was put"
        })?;
        output::line(format!("report: {}", path.display()))?;
        Ok(Outcome::of(seen))
    }
}

/// Whether a window drifted; `None` for one that was not judged.
fn drifted(judgement: Judgement) -> Option<bool> {
    match judgement {
        Judgement::Quiet => Some(false),
        Judgement::Drifted => Some(true),
        Judgement::Partial | Judgement::TooFew => None,
    }
}

/// Whether the first windows are quiet and the later ones drift.
fn expected_at_the_change(judged: &[bool]) -> bool {
    let (before, after) = judged.split_at(WINDOWS.min(judged.len()));
    judged.len() == 2 * WINDOWS
        && before.iter().all(|drift| !drift)
        && after.iter().all(|drift| *drift)
}

/// A machine that is not in the training data: healthy, then with a worn bearing.
fn changing_machine(recipe: &Recipe, like: &Examples) -> Examples {
    let settings = &recipe.data.simulation.clone().unwrap_or_default();
    let inputs_per_window =
        (recipe.monitor.window.ms as f64 / simulate::window_ms(settings)).ceil() as usize;
    let windows = WINDOWS * inputs_per_window;
    let unseen = (Condition::ALL.len() * settings.sessions) as u32;
    let phases = [
        Phase {
            windows,
            ..Phase::default()
        },
        Phase {
            condition: Condition::Bearing,
            severity: 1.0,
            windows,
            ..Phase::default()
        },
    ];
    let mut examples = Examples::new(like.schema.clone(), like.label_names.clone());
    for window in simulate::stream(settings, unseen, &phases) {
        examples.inputs.extend(&window.values);
        examples.labels.push(
            Condition::ALL
                .iter()
                .position(|of| *of == window.condition)
                .unwrap_or(0) as u32,
        );
        examples.time_ms.push(window.time_ms);
        examples.group.push(window.session);
    }
    examples
}

fn heading(title: &str, detail: &str) -> Result<()> {
    output::line(format!(
        "\n== {title}{}{detail}",
        if detail.is_empty() { "" } else { ": " }
    ))
}

/// What is not installed of what the emulated board needs.
fn missing_for_the_board() -> Vec<&'static str> {
    let on_path = |program: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let mut missing: Vec<&str> = ["qemu-system-arm", "arm-none-eabi-ld", "cargo"]
        .into_iter()
        .filter(|program| !on_path(program))
        .collect();
    if !Path::new("crates/xtask").is_dir() {
        missing.push("the source folder as the current folder");
    }
    missing
}

/// The emulated board, its firmware built.
fn board() -> Result<Target> {
    build_firmware()?;
    Ok(Target::find(BOARD)?)
}

/// The local process, with the reason why it is not the board, and how to get that.
fn instead_of_the_board(reason: &str) -> Result<Target> {
    output::line(format!(
        "device: a local process. For the emulated Cortex-M4F board: cargo xtask setup ({reason})"
    ))?;
    Ok(Target::find("local")?)
}

/// Builds the firmware through the one place for cross builds.
fn build_firmware() -> Result<()> {
    output::line(
        "device: the emulated Cortex-M4F board mps2-an386 in QEMU; `--device local` takes a local process",
    )?;
    let bar = Bar::new("building the firmware (about a minute the first time)", 0);
    let output = Command::new("cargo")
        .args(["xtask", "build", BOARD])
        .output()
        .context("cargo xtask build")?;
    drop(bar);
    anyhow::ensure!(
        output.status.success(),
        "cargo xtask build {BOARD}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
