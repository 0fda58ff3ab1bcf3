//! Who a device is: one name, one kind, one identity in one place, and nothing left of what failed.

mod support;

use dunlin_host::flash::{FlashError, FlashOptions, Lifetime, Step, flash, forget, install, stop};
use dunlin_host::keys::Devices;
use dunlin_host::target::{FlashMethod, Target};
use dunlin_link::Link;
use dunlin_wire::PublicKey;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::bench::{Bench, bundle, target};

fn quiet(_: Step<'_>) {}

fn known(bench: &Bench) -> Vec<String> {
    let devices = Devices::read(&bench.devices).expect("reads");
    devices.iter().map(|device| device.name.clone()).collect()
}

#[test]
fn a_name_stays_with_its_kind_of_device() {
    let (bench, local, other) = (Bench::new(), target("local"), target("linux-aarch64"));
    let (first, second) = (bundle(1, "local"), bundle(1, "linux-aarch64"));
    let device = flash(&bench.options(&local, &first), &mut quiet).expect("flashes");
    let refused = flash(&bench.options(&other, &second), &mut quiet).expect_err("another kind");
    let said = refused.to_string();
    assert!(matches!(refused, FlashError::OtherKind { .. }), "{said}");
    for part in [
        "`kitchen` is a local",
        "linux-aarch64",
        "--name",
        "--forget kitchen",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let devices = Devices::read(&bench.devices).expect("reads");
    assert_eq!(
        devices.named("kitchen").map(|known| known.id),
        Some(device.device)
    );

    device.stop().expect("ends");
    forget(&bench.devices, "kitchen", &bench.state).expect("forgets");
    let again = flash(&bench.options(&other, &second), &mut quiet).expect("begins anew");
    assert_eq!(known(&bench), ["kitchen"]);
    again.stop().expect("ends");
}

#[test]
fn what_was_installed_is_not_started_here_and_what_lives_here_is_not_installed() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let folder = |name: &str| bench.folder.path().join(name);
    let options = bench.options(&target, &bundle);
    install(&options, &folder("one"), &mut quiet).expect("copies");
    assert!(!bench.state.exists(), "the identity is in one place");
    install(&options, &folder("one"), &mut quiet).expect("brings the folder up to date");
    let elsewhere = install(&options, &folder("two"), &mut quiet).expect_err("a second one");
    assert!(
        matches!(elsewhere, FlashError::LivesElsewhere { .. }),
        "{elsewhere}"
    );
    assert!(!folder("two").exists());
    let here = flash(&options, &mut quiet).expect_err("a second one");
    assert!(matches!(here, FlashError::LivesElsewhere { .. }), "{here}");
    assert!(here.to_string().contains("--link"), "{here}");

    let state = folder("cellar");
    let cellar = FlashOptions {
        name: "cellar",
        state: &state,
        ..options
    };
    let running = flash(&cellar, &mut quiet).expect("flashes");
    let refused = install(&cellar, &folder("three"), &mut quiet).expect_err("it runs here");
    assert!(matches!(refused, FlashError::LivesHere { .. }), "{refused}");
    running.stop().expect("ends");
    let refused = install(&cellar, &folder("three"), &mut quiet).expect_err("its records are here");
    assert!(refused.to_string().contains("cellar"), "{refused}");
    assert!(!folder("three").exists());
}

#[test]
fn an_installed_device_is_updated_at_its_link_and_found_there_again() {
    let (bench, target) = (Bench::new(), target("local"));
    let (first, second) = (bundle(1, "local"), bundle(2, "local"));
    let folder = bench.folder.path().join("far");
    let state = folder.join("state");
    install(&bench.options(&target, &first), &folder, &mut quiet).expect("copies");
    let there = FlashOptions {
        state: &state,
        ..bench.options(&target, &first)
    };
    let far = flash(&there, &mut quiet).expect("stands for the other machine");
    let linked = FlashOptions {
        link: Some(&far.link_url),
        ..bench.options(&target, &second)
    };
    let updated = flash(&linked, &mut quiet).expect("updates");
    assert_eq!(
        (updated.device, updated.link_url),
        (far.device, far.link_url.clone())
    );
    assert!(
        !bench.state.join("provision.bin").exists(),
        "no copy of its identity"
    );
    let again = flash(&bench.options(&target, &second), &mut quiet).expect("is found");
    assert_eq!(again.bundle, updated.bundle);
    let stranger = FlashOptions {
        name: "attic",
        ..linked
    };
    let refused = flash(&stranger, &mut quiet).expect_err("never had an identity");
    assert!(refused.to_string().contains("--install"), "{refused}");
    assert_eq!(known(&bench), ["kitchen"]);
}

#[test]
fn what_failed_leaves_nothing_behind() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let options = bench.options(&target, &bundle);
    let mut broken = target.clone();
    broken.run.arguments.push("--no-such-option".into());
    let keys: Vec<PublicKey> = (1..30).map(|n| PublicKey([n; 32])).collect();
    let keys = [&bench.trusted[..], &keys].concat();
    let failing = [
        FlashOptions {
            image: Some(Path::new("/no/such/agent")),
            ..options
        },
        FlashOptions {
            target: &broken,
            ..options
        },
        FlashOptions {
            trusted: &keys,
            ..options
        },
    ];
    for failing in failing {
        flash(&failing, &mut quiet).expect_err("fails");
        assert_eq!(known(&bench), [""; 0]);
        assert!(!bench.state.exists(), "no identity is left");
    }
    let folder = bench.folder.path().join("to copy");
    install(&failing[0], &folder, &mut quiet).expect_err("fails");
    assert_eq!(known(&bench), [""; 0]);
    assert!(!folder.exists());

    let kept = flash(&options, &mut quiet).expect("the name is free");
    let id = kept.device;
    kept.stop().expect("ends");
    flash(&failing[1], &mut quiet).expect_err("fails");
    let device = Devices::read(&bench.devices).expect("reads");
    assert_eq!(
        device.named("kitchen").map(|known| known.id),
        Some(id),
        "one that was known before stays"
    );
    assert!(bench.state.join("provision.bin").exists());
}

#[test]
fn devices_flashed_at_the_same_time_are_all_known_and_answer() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let names: Vec<String> = (0..6).map(|at| format!("d{at}")).collect();
    let flashed = std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .map(|name| {
                let state = bench.folder.path().join(name);
                let (bench, target, bundle) = (&bench, &target, &bundle);
                scope.spawn(move || {
                    let options = FlashOptions {
                        name,
                        state: &state,
                        ..bench.options(target, bundle)
                    };
                    flash(&options, &mut quiet).expect("flashes")
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("flashed"))
            .collect::<Vec<_>>()
    });
    let devices = Devices::read(&bench.devices).expect("reads");
    assert_eq!(devices.iter().count(), names.len());
    for (name, device) in names.iter().zip(&flashed) {
        assert_eq!(
            devices.named(name).map(|known| known.id),
            Some(device.device)
        );
        let info = Link::open(&device.link_url).and_then(|mut link| link.info());
        assert_eq!(info.expect("answers").device, device.device);
    }
}

#[test]
fn one_device_is_flashed_by_one_at_a_time() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let options = bench.options(&target, &bundle);
    let mut refused = None;
    let mut meanwhile = |step: Step<'_>| {
        if matches!(step, Step::Running { .. }) {
            refused = flash(&options, &mut quiet).err();
        }
    };
    let device = flash(&options, &mut meanwhile).expect("flashes");
    assert!(
        matches!(refused, Some(FlashError::Busy { .. })),
        "{refused:?}"
    );
    assert!(
        bench.state.join("pid").exists(),
        "the first one's process is known"
    );
    assert_eq!(known(&bench), ["kitchen"]);
    device.stop().expect("ends");
}

#[test]
fn a_device_that_runs_is_not_forgotten_and_an_unknown_one_is_named() {
    let (bench, target, bundle) = (Bench::new(), target("local"), bundle(1, "local"));
    let options = FlashOptions {
        lifetime: Lifetime::Detached,
        ..bench.options(&target, &bundle)
    };
    flash(&options, &mut quiet).expect("flashes");
    let forgotten = |name| forget(&bench.devices, name, &bench.state);
    let refused = forgotten("kitchen").expect_err("runs");
    assert!(refused.to_string().contains("--stop kitchen"), "{refused}");
    assert!(stop(&bench.state).expect("ends"));
    let unknown = forgotten("..").expect_err("unknown");
    assert!(
        matches!(unknown, FlashError::NoSuchDevice { .. }),
        "{unknown}"
    );
    forgotten("kitchen").expect("forgets");
    assert!(known(&bench).is_empty() && !bench.state.exists());
}

#[test]
fn an_identity_is_not_written_to_a_second_board() {
    let (bench, mut board, bundle) = (Bench::new(), target("nrf52840"), bundle(1, "nrf52840"));
    let first = flash(&bench.options(&board, &bundle), &mut quiet).expect("stands for a board");
    let state = bench.folder.path().join("second");
    let other = FlashOptions {
        name: "second",
        state: &state,
        ..bench.options(&board, &bundle)
    };
    let second = flash(&other, &mut quiet).expect("stands for another board");

    let probe = bench.folder.path().join("probe-rs");
    std::fs::write(&probe, "#!/bin/sh\n").expect("writes");
    std::fs::set_permissions(&probe, PermissionsExt::from_mode(0o755)).expect("may be run");
    let descriptor = Target::find("nrf52840").expect("built in");
    board.flash = FlashMethod::ProbeRs;
    board.memory = descriptor.memory;
    board.run.launcher = descriptor.run.launcher;
    board.run.launcher[0] = probe.display().to_string();
    let at = |link| FlashOptions {
        link: Some(link),
        ..bench.options(&board, &bundle)
    };
    let own = flash(&at(&first.link_url), &mut quiet).expect("its own board");
    assert_eq!(own.device, first.device);
    for link in [second.link_url.as_str(), "tcp:127.0.0.1:1"] {
        let refused = flash(&at(link), &mut quiet).expect_err("another board");
        assert!(
            matches!(refused, FlashError::OtherBoard { .. }),
            "{refused}"
        );
        assert!(refused.to_string().contains("--name"), "{refused}");
    }
}
