//! Flashing and streaming, as the workstation does it, with this agent as the device.

mod support;

use dunlin_host::data::{ChannelSchema, Examples, InputSchema};
use dunlin_host::flash::{FlashError, FlashOptions, Lifetime, Step, flash, install, stop};
use dunlin_host::keys::Devices;
use dunlin_host::stream::{StreamError, StreamOptions, Streamed, stream};
use dunlin_host::target::{FlashMethod, Target};
use dunlin_link::Link;
use dunlin_wire::PublicKey;
use dunlin_wire::record::{Record, Window};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::bench::{AGENT, Bench, bundle, target};
use support::bundle::{Recipe, public_key};

#[test]
fn a_device_is_provisioned_started_and_runs_the_bundle_until_it_is_let_go() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let mut steps = Vec::new();
    let mut note = |step: Step<'_>| {
        steps.push(match step {
            Step::Provisioned { is_new, .. } => format!("provisioned {is_new}"),
            Step::Running { .. } => "running".into(),
            Step::Connected { .. } => "connected".into(),
            Step::Putting { .. } => "putting".into(),
            Step::Unchanged { .. } => "unchanged".into(),
            Step::Activating => "activating".into(),
            Step::Activated { .. } => "activated".into(),
        });
    };
    let device = flash(&bench.options(&target, &bundle), &mut note).expect("flashes");
    steps.dedup();
    let expected = [
        "provisioned true",
        "running",
        "connected",
        "putting",
        "activating",
        "activated",
    ];
    assert_eq!(steps, expected);

    let registered = Devices::read(&bench.devices).expect("reads");
    assert_eq!(
        registered.find("kitchen").map(|known| known.id),
        Some(device.device)
    );
    let mode = std::fs::metadata(bench.state.join("provision.bin"))
        .expect("file")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let info = Link::open(&device.link_url)
        .expect("opens")
        .info()
        .expect("answers");
    assert_eq!(info.bundle.map(|active| active.id), Some(device.bundle));

    let link_url = device.link_url.clone();
    drop(device);
    assert!(Link::open(&link_url).is_err(), "its process is gone");
    assert!(!bench.state.join("pid").exists());
}

#[test]
fn a_running_device_is_updated_where_it_runs() {
    let (bench, target) = (Bench::new(), target("local"));
    let (first, second) = (bundle(1, "local"), bundle(2, "local"));
    let detached = |bundle| FlashOptions {
        lifetime: Lifetime::Detached,
        ..bench.options(&target, bundle)
    };
    let quiet = &mut |_: Step<'_>| ();
    let before = flash(&detached(&first), quiet).expect("flashes");
    let after = flash(&detached(&second), quiet).expect("updates");
    assert_eq!(
        (&before.link_url, before.device),
        (&after.link_url, after.device)
    );
    assert_ne!(before.bundle, after.bundle);
    let mut unchanged = false;
    let mut note = |step: Step<'_>| unchanged |= matches!(step, Step::Unchanged { .. });
    flash(&detached(&second), &mut note).expect("has it");
    assert!(unchanged);
    let refused = flash(&detached(&first), quiet).expect_err("older");
    assert!(
        matches!(
            refused,
            FlashError::Older {
                offered: 1,
                lowest: 2
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("raise `version`"), "{refused}");
    let info = Link::open(&after.link_url)
        .expect("opens")
        .info()
        .expect("answers");
    assert_eq!(
        (info.boot, info.bundle.map(|active| active.id)),
        (1, Some(after.bundle))
    );

    assert!(stop(&bench.state).expect("ends"));
    let answer = Link::open(&after.link_url).and_then(|mut link| link.info());
    assert!(!answer.is_ok_and(|info| info.device == after.device));
    assert!(!stop(&bench.state).expect("nothing to end"));
    let again = flash(&bench.options(&target, &second), quiet).expect("starts again");
    assert_eq!(again.device, after.device, "provisioned once");
    again.stop().expect("ends");
}

#[test]
fn data_is_streamed_in_windows_of_its_own_time() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let device = flash(&bench.options(&target, &bundle), &mut |_: Step<'_>| ()).expect("flashes");
    let mut link = Link::open(&device.link_url).expect("opens");
    let mut reports = Vec::new();
    let options = StreamOptions {
        batch: 16,
        ..StreamOptions::default()
    };
    let done = stream(&mut link, &examples(2, 35), &options, &mut |so_far| {
        reports.push(so_far)
    });
    assert_eq!(
        done.expect("streams"),
        Streamed {
            samples: 35,
            total: 35,
            windows_closed: 4
        }
    );
    let samples: Vec<u64> = reports.iter().map(|so_far| so_far.samples).collect();
    assert_eq!(samples, [16, 32, 35, 35]);
    let wrong = stream(&mut link, &examples(3, 5), &options, &mut |_| ());
    assert!(
        matches!(
            wrong,
            Err(StreamError::InputLength {
                expected: 8,
                got: 12
            })
        ),
        "{wrong:?}"
    );
}

#[test]
fn a_device_that_ends_while_data_is_streamed_is_reported_with_what_it_took() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let device = flash(&bench.options(&target, &bundle), &mut |_: Step<'_>| ()).expect("flashes");
    let mut link = Link::open(&device.link_url).expect("opens");
    let options = StreamOptions {
        batch: 16,
        ..StreamOptions::default()
    };
    let mut device = Some(device);
    let ended = stream(&mut link, &examples(2, 35), &options, &mut |_| {
        if let Some(device) = device.take() {
            device.stop().expect("ends");
        }
    });
    let error = ended.expect_err("the device is gone");
    let expected = Streamed {
        samples: 16,
        total: 35,
        windows_closed: 1,
    };
    assert!(
        matches!(&error, StreamError::Link { streamed, .. } if *streamed == expected),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(said.contains("16 of 35 samples"), "{said}");
}

fn examples(channels: usize, count: usize) -> Examples {
    let channel = |at: usize| ChannelSchema {
        name: format!("x{at}"),
        unit: String::new(),
        minimum: -100.0,
        maximum: 100.0,
    };
    let schema = InputSchema {
        steps: 1,
        channels: (0..channels).map(channel).collect(),
        sample_period_ms: 1000,
        stuck_after: 0,
    };
    Examples {
        inputs: (0..count * channels).map(|at| (at % 7) as f32).collect(),
        labels: vec![0; count],
        time_ms: (0..count as i64)
            .map(|at| 1_700_000_000_000 + 1000 * at)
            .collect(),
        group: vec![0; count],
        ..Examples::new(schema, vec!["left".into(), "right".into()])
    }
}

#[test]
fn what_cannot_be_flashed_says_why_before_anything_runs() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let quiet = &mut |_: Step<'_>| ();
    let options = bench.options(&target, &bundle);
    let reason = |options: &FlashOptions<'_>| {
        flash(options, &mut |_: Step<'_>| ())
            .expect_err("refused")
            .to_string()
    };
    let other = support::bench::target("nrf52840");
    assert!(reason(&bench.options(&other, &bundle)).contains("made for local, not for nrf52840"));
    let untrusted = FlashOptions {
        trusted: &[],
        ..options
    };
    assert!(matches!(
        flash(&untrusted, quiet),
        Err(FlashError::Bundle(_))
    ));
    assert!(!bench.devices.exists(), "nobody was registered");

    let nowhere = FlashOptions {
        image: Some(Path::new("/no/such/agent")),
        ..options
    };
    assert!(reason(&nowhere).contains("cargo xtask build local"));
    let mut emulated = target.clone();
    emulated.run.launcher = vec!["qemu-of-no-kind".into()];
    assert!(
        reason(&bench.options(&emulated, &bundle)).contains("`qemu-of-no-kind` is not installed")
    );
    let mut broken = target.clone();
    broken.run.arguments.push("--no-such-option".into());
    let ended = reason(&bench.options(&broken, &bundle));
    assert!(
        ended.contains("--no-such-option"),
        "with what the program said: {ended}"
    );

    let kept = flash(&options, quiet).expect("flashes");
    let other_device = FlashOptions {
        name: "cellar",
        ..options
    };
    assert!(matches!(
        flash(&other_device, quiet),
        Err(FlashError::OtherDevice { .. })
    ));
    kept.stop().expect("ends");
}

#[test]
fn a_known_device_learns_of_keys_that_came_to_be_trusted() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let quiet = &mut |_: Step<'_>| ();
    let options = bench.options(&target, &bundle);
    let first = flash(&options, quiet).expect("flashes");
    let id = first.device;
    first.stop().expect("ends");
    let before = std::fs::read(bench.state.join("provision.bin")).expect("provisioned");

    let trusted = [public_key(), PublicKey([9; 32])];
    let more_keys = FlashOptions {
        trusted: &trusted,
        ..options
    };
    let again = flash(&more_keys, quiet).expect("the same device");
    assert_eq!(again.device, id);
    again.stop().expect("ends");
    let after = std::fs::read(bench.state.join("provision.bin")).expect("provisioned");
    assert_ne!(before, after, "the new key is in it");
}

#[test]
fn a_board_is_written_by_probe_rs_and_then_takes_the_bundle_over_its_link() {
    let (bench, mut board, bundle) = (Bench::new(), target("nrf52840"), bundle(1, "nrf52840"));
    let quiet = &mut |_: Step<'_>| ();
    let running = flash(&bench.options(&board, &bundle), quiet).expect("stands for the board");
    let log = bench.folder.path().join("calls");
    let probe = script(
        bench.folder.path(),
        &format!("echo \"$@\" >> {}", log.display()),
    );
    let descriptor = Target::find("nrf52840").expect("built in");
    board.flash = FlashMethod::ProbeRs;
    board.memory = descriptor.memory;
    board.run.launcher = descriptor.run.launcher;
    board.run.launcher[0] = probe.display().to_string();

    let no_port = flash(&bench.options(&board, &bundle), quiet);
    let elsewhere = FlashOptions {
        link: Some(&running.link_url),
        ..bench.options(&board, &bundle)
    };
    let flashed = flash(&elsewhere, quiet).expect("flashes");
    assert_eq!(
        (flashed.device, flashed.bundle),
        (running.device, running.bundle)
    );
    assert!(
        no_port.is_ok(),
        "a device that answers already needs no port"
    );
    let link = std::fs::read_to_string(bench.state.join("link")).expect("is remembered");
    assert_eq!(link.trim(), running.link_url);
    std::fs::remove_file(bench.state.join("link")).expect("forgets");
    assert!(matches!(
        flash(&bench.options(&board, &bundle), quiet),
        Err(FlashError::NoLink { .. })
    ));

    let calls = std::fs::read_to_string(&log).expect("was called");
    let provision = bench.state.join("provision.bin").display().to_string();
    let expected = [
        format!("download --chip nRF52840_xxAA {AGENT}"),
        format!(
            "download --chip nRF52840_xxAA --binary-format bin --base-address 0x60000 {provision}"
        ),
        "reset --chip nRF52840_xxAA".to_owned(),
    ];
    assert_eq!(calls.lines().collect::<Vec<_>>(), expected);

    board.run.launcher[0] = script(bench.folder.path(), "echo no probe found >&2; exit 1")
        .display()
        .to_string();
    let failed = flash(
        &FlashOptions {
            link: Some(&running.link_url),
            ..bench.options(&board, &bundle)
        },
        quiet,
    );
    assert!(
        failed
            .expect_err("no probe")
            .to_string()
            .contains("no probe found")
    );
}

/// What a program that was built for another machine answers, and how its windows came out.
fn behaviour(target: &Target, image: &Path) -> (Vec<Vec<u8>>, Vec<Window>) {
    let bench = Bench::new();
    let bundle = Recipe {
        target: name_of(target),
        ..Recipe::version(1)
    }
    .build();
    let options = FlashOptions {
        image: Some(image),
        ..bench.options(target, &bundle)
    };
    let device = flash(&options, &mut |_: Step<'_>| ()).expect("flashes");
    let mut link = Link::open(&device.link_url).expect("opens");
    let inputs = examples(2, 35);
    let streamed = stream(&mut link, &inputs, &StreamOptions::default(), &mut |_| ());
    assert_eq!(streamed.expect("streams").windows_closed, 4);
    let records = link.records_since(0).expect("answers").records;
    let window = |record: &Vec<u8>| Record::parse(record).ok()?.0.body::<Window>().ok();
    let mut windows: Vec<Window> = records.iter().filter_map(window).collect();
    windows
        .iter_mut()
        .for_each(|window| window.latency = Default::default());
    let answers = (0..35).map(|at| {
        let input = support::f32_bytes(inputs.input(at).expect("an input"));
        link.infer(&input).expect("runs").output
    });
    (answers.collect(), windows)
}

fn name_of(target: &Target) -> &'static str {
    ["local", "linux-aarch64", "linux-armv7"]
        .into_iter()
        .find(|name| *name == target.name)
        .expect("a target of these tests")
}

#[test]
fn agents_for_other_machines_answer_with_the_same_bytes() {
    let (answers, windows) = behaviour(&target("local"), Path::new(AGENT));
    assert_eq!((answers.len(), windows.len()), (35, 4));
    assert!(
        answers.iter().any(|answer| *answer != answers[0]),
        "answers differ among themselves"
    );
    for name in ["linux-aarch64", "linux-armv7"] {
        let target = Target::find(name).expect("built in");
        let emulator = &target.run.launcher[0];
        let image = cross_image(&target);
        if !image.exists() || Command::new(emulator).arg("-version").output().is_err() {
            eprintln!("skipped: {} or {emulator} is not there", image.display());
            continue;
        }
        assert_eq!(
            behaviour(&target, &image),
            (answers.clone(), windows.clone()),
            "{name}"
        );
    }
}

/// Where `cargo xtask build` puts the program.
fn cross_image(target: &Target) -> PathBuf {
    let image = target.run.image.clone().expect("a program");
    match std::env::var_os("DUNLIN_CROSS_DIR") {
        Some(folder) => Path::new(&folder).join(image.strip_prefix("target/cross").expect("there")),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(image),
    }
}

fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("probe-rs");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("writes");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("may be run");
    path
}

#[test]
fn an_installed_folder_holds_all_that_a_device_needs() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let folder = bench.folder.path().join("to copy");
    let files = install(&bench.options(&target, &bundle), &folder, &mut |_: Step<
        '_,
    >| ());
    assert_eq!(files.expect("copies").len(), 4);
    let note = std::fs::read_to_string(folder.join("INSTALL.txt")).expect("a note");
    assert!(note.contains("./dunlin-agent run --state state --bundle model.bundle"));
    let arguments = [
        "run",
        "--state",
        "state",
        "--bundle",
        "model.bundle",
        "--stdin",
        "csv",
        "--until-end",
        "--target",
        "local",
    ];
    let output = Command::new(folder.join("dunlin-agent"))
        .args(arguments)
        .current_dir(&folder)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("runs"), "{said}");
}
