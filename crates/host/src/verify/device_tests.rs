//! The same bytes on every kind of device that can be started here.

use std::path::Path;

use dunlin_link::Link;

use super::tests::{inputs, model, plan};
use super::{Device, Local, Rival, Tolerance, verify};
use crate::data::{ChannelSchema, InputSchema};
use crate::flash::{FlashError, FlashOptions, FlashedDevice, flash};
use crate::keys::SecretKey;
use crate::package::{MadeFrom, Package, Parts, golden, package};
use crate::target::Target;

fn schema() -> InputSchema {
    let channel = |name: &str| ChannelSchema {
        name: name.to_owned(),
        unit: String::new(),
        minimum: -10.0,
        maximum: 10.0,
    };
    InputSchema {
        steps: 1,
        channels: ["a", "b", "c", "d"].map(channel).to_vec(),
        sample_period_ms: 1000,
        stuck_after: 0,
    }
}

fn packaged(target: &Target, plan: &[u8], key: &SecretKey) -> Package {
    let inputs = inputs();
    let labels = ["x", "y", "z"].map(str::to_owned);
    let parts = Parts {
        name: "logistic",
        version: 1,
        previous: None,
        target,
        plan: Some(plan),
        onnx: None,
        schema: &schema(),
        labels: &labels,
        baseline: None,
        golden: &golden::from_plan(plan, inputs.iter().take(4).map(Vec::as_slice)).unwrap(),
        made_from: MadeFrom::default(),
    };
    package(&parts, key).unwrap()
}

/// A running device, or `None` where its program or emulator is not there.
fn started(
    target: &Target,
    bundle: &[u8],
    key: &SecretKey,
    folder: &Path,
) -> Option<FlashedDevice> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let options = FlashOptions {
        devices: &folder.join("devices.json"),
        state: &folder.join("state"),
        trusted: &[key.public()],
        root: root.as_ref(),
        ..FlashOptions::new(target, bundle)
    };
    match flash(&options, &mut |_: crate::flash::Step<'_>| {}) {
        Ok(device) => Some(device),
        Err(error @ (FlashError::MissingTool { .. } | FlashError::MissingImage { .. })) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{}: {error}", target.name),
    }
}

fn same_bytes_on(target: &str) {
    let target = Target::find(target).unwrap();
    let key = SecretKey::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (plan(&model(0.5)), plan(&model(0.5001)));
    let bundle = packaged(&target, &own, &key);
    let Some(device) = started(&target, &bundle.bytes, &key, folder.path()) else {
        return;
    };
    let compared = |plan: &[u8]| {
        let link = Link::open(&device.link_url).unwrap();
        let backend = Box::new(Device::over(link).unwrap());
        let mut rivals = [Rival {
            backend,
            tolerance: Tolerance::Exact,
        }];
        let inputs = inputs();
        verify(
            &mut Local::load(plan).unwrap(),
            &mut rivals,
            inputs.iter().map(Vec::as_slice),
        )
        .unwrap()
    };

    let found = compared(&own);
    assert!(found.passed(), "{found}");
    assert_eq!(found.comparisons[0].backend, target.name);
    assert_eq!(
        (found.comparisons[0].values, found.comparisons[0].differing),
        (800, 0)
    );
    assert!(
        !compared(&other).passed(),
        "another model on the device is noticed"
    );
}

#[test]
fn the_emulated_board_gives_the_same_bytes() {
    same_bytes_on("qemu-cortex-m4f");
}

#[test]
fn an_aarch64_agent_gives_the_same_bytes() {
    same_bytes_on("linux-aarch64");
}

#[test]
fn an_armv7_agent_gives_the_same_bytes() {
    same_bytes_on("linux-armv7");
}
