//! The whole firmware in QEMU: a bundle is put, runs, observes, leaves records, outlives a restart.
//!
//! Needs `qemu-system-arm` and the image of `cargo xtask build qemu-cortex-m4f`, or another image
//! named by `DUNLIN_FIRMWARE`.

#[path = "../../../crates/runtime/tests/support/bundle.rs"]
#[allow(dead_code)]
mod bundle;

use bundle::{PERIOD_MS, Recipe, WINDOW_MS};
use dunlin_link::{Address, Link, LinkError, Options, Reason, Sample};
use dunlin_wire::credential::Credential;
use dunlin_wire::provision::{MAX_PROVISION_BYTES, Provision};
use dunlin_wire::record::{Kind, Record, Window};
use dunlin_wire::{BundleId, DeviceId};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEVICE: DeviceId = DeviceId([0xee; 8]);
const CREDENTIAL: Credential = Credential([0x77; 32]);
const START_MS: i64 = 1_700_000_000_000;

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A running board; ends with the value.
struct Board {
    qemu: Child,
    port: u16,
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn image() -> PathBuf {
    let built = "../../target/cross/thumbv7em-none-eabihf/release/dunlin-qemu-cortex-m4f";
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(built);
    std::env::var_os("DUNLIN_FIRMWARE").map_or(built, PathBuf::from)
}

/// Why these tests cannot run here, if so.
fn missing() -> Option<String> {
    if !image().is_file() {
        return Some(format!(
            "no firmware at {}: cargo xtask build qemu-cortex-m4f",
            image().display()
        ));
    }
    let qemu = Command::new("qemu-system-arm")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    qemu.is_err()
        .then(|| "no qemu-system-arm: apt-get install qemu-system-arm".to_owned())
}

impl Board {
    /// Starts a board with its flash and its identity in `state`.
    fn start(state: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let (flash, provision) = (state.join("flash.img"), state.join("provision.bin"));
        let qemu = Command::new("qemu-system-arm")
            .args([
                "-machine",
                "mps2-an386,memory-backend=mps.ram",
                "-nographic",
                "-monitor",
                "none",
                "-object",
            ])
            .arg(format!(
                "memory-backend-file,id=mps.ram,size=16M,mem-path={},share=on",
                flash.display()
            ))
            .arg("-device")
            .arg(format!(
                "loader,file={},addr=0x21000000,force-raw=on",
                provision.display()
            ))
            .arg("-serial")
            .arg(format!(
                "tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on"
            ))
            .arg("-kernel")
            .arg(image())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("QEMU starts");
        Self { qemu, port }
    }

    /// Waits until the board listens.
    fn link(&self) -> Link {
        let address: Address = format!("tcp:127.0.0.1:{}", self.port)
            .parse()
            .expect("an address");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Link::open_with(
                &address,
                Options {
                    timeout: Duration::from_secs(5),
                    ..Options::default()
                },
            ) {
                Ok(link) => return link,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

fn provision(state: &Path) {
    let trusted = [bundle::public_key()].into_iter().collect();
    let mut block = [0; MAX_PROVISION_BYTES];
    let length = Provision {
        device: DEVICE,
        credential: CREDENTIAL,
        trusted,
    }
    .encode(&mut block)
    .expect("fits");
    std::fs::write(state.join("provision.bin"), &block[..length]).expect("writes");
}

fn recipe(version: u32) -> Recipe {
    Recipe {
        target: "qemu-cortex-m4f",
        ..Recipe::version(version)
    }
}

fn id_of(file: &[u8]) -> BundleId {
    dunlin_wire::bundle::verify(file, &[bundle::public_key()])
        .expect("a good bundle")
        .id()
}

fn install(link: &mut Link, file: &[u8]) -> Result<BundleId, LinkError> {
    link.put_bundle(file, |_| ())?;
    link.activate()
}

/// All records, in order; every one is the device's own.
fn records(link: &mut Link) -> Vec<Vec<u8>> {
    let (mut all, mut sequence) = (Vec::new(), 0);
    loop {
        let page = link.records_since(sequence).expect("records");
        for record in &page.records {
            let (parsed, _) = Record::parse(record).expect("a record");
            assert!(parsed.confirmed_by(&CREDENTIAL));
            assert_eq!(parsed.header().device, DEVICE);
            assert_eq!(parsed.header().sequence, sequence + 1);
            sequence += 1;
        }
        all.extend(page.records);
        if !page.more {
            return all;
        }
    }
}

fn windows(records: &[Vec<u8>]) -> Vec<Window> {
    let parsed = records
        .iter()
        .map(|record| Record::parse(record).expect("a record").0);
    parsed
        .filter(|record| record.header().kind == Kind::WINDOW)
        .map(|record| record.body().expect("a window"))
        .collect()
}

/// Inputs of all sizes, among them what is not a number, and those that are halfway between classes.
fn inputs() -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u32
    };
    let special = [
        [0.0, -0.0],
        [f32::MAX, f32::MAX],
        [f32::INFINITY, 1.0],
        [f32::MIN_POSITIVE / 2.0, 1.0],
    ];
    let odd = (0..200).map(|_| {
        [
            f32::from_bits(random() & 0xbfff_ffff),
            f32::from_bits(random() & 0xbfff_ffff),
        ]
    });
    special
        .into_iter()
        .chain(odd)
        .filter(|values| values.iter().all(|value| !value.is_nan()))
        .map(|v| f32_bytes(&v))
        .collect()
}

#[test]
fn a_bundle_runs_observes_leaves_records_and_outlives_a_restart() {
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let state = tempfile::tempdir().expect("a folder");
    provision(state.path());
    let file = recipe(3).build();

    let board = Board::start(state.path());
    let mut link = board.link();
    let info = link.info().expect("info");
    assert_eq!(
        (info.device, info.target.as_str(), info.bundle, info.boot),
        (DEVICE, "qemu-cortex-m4f", None, 1)
    );
    assert_eq!(install(&mut link, &file).expect("activated"), id_of(&file));

    let mut compared = 0;
    for input in inputs() {
        let expected = bundle::plan::run(&recipe(3).plan, &input).concat();
        assert_eq!(
            link.infer(&input).expect("an inference").output,
            expected,
            "{input:?}"
        );
        compared += 1;
    }
    assert!(compared > 150, "{compared} inputs compared");

    let input = f32_bytes(&[1.0, 2.0]);
    let samples: Vec<Sample<'_>> = (0..25)
        .map(|n| Sample {
            time_ms: START_MS + n * PERIOD_MS as i64,
            input: &input,
        })
        .collect();
    let observed = link.observe(&samples, |_| ()).expect("observed");
    assert_eq!((observed.samples, observed.windows_closed), (25, 2));
    assert!(link.close_window().expect("closed"));
    let windows = windows(&records(&mut link));
    assert_eq!(
        windows
            .iter()
            .map(|window| window.inputs)
            .collect::<Vec<_>>(),
        [10, 10, 5]
    );
    assert_eq!(WINDOW_MS, 10 * PERIOD_MS);

    let used = link.info().expect("info").stack_used_bytes;
    eprintln!("stack used: {used} bytes");
    assert!((1000..30_000).contains(&used), "{used} bytes of stack");
    drop(board);

    let board = Board::start(state.path());
    let mut link = board.link();
    let info = link.info().expect("info");
    assert_eq!(
        (info.boot, info.bundle.map(|bundle| bundle.id)),
        (2, Some(id_of(&file)))
    );
    let newest = records(&mut link).len() as u32;
    assert_eq!(info.last_sequence, newest);
    assert_eq!(
        link.acknowledge(newest, CREDENTIAL.acknowledgement(DEVICE, newest))
            .expect("acknowledged"),
        newest
    );
    let forged = link.acknowledge(newest, [0; 16]).expect_err("forged");
    assert!(
        matches!(forged, LinkError::Refused(refusal) if refusal.reason() == Some(Reason::BadTag))
    );
}

#[test]
fn a_transfer_goes_on_after_the_board_lost_power_and_wrong_bundles_change_nothing() {
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let state = tempfile::tempdir().expect("a folder");
    provision(state.path());
    let (old, mut long) = (recipe(1).build(), recipe(2));
    let mut plan = bundle::plan::small_plan();
    plan.constant(dunlin_engine::format::DType::F32, &[5000], &[0; 20_000]);
    long.plan = plan.build();
    let new = long.build();

    let board = Board::start(state.path());
    let mut link = board.link();
    install(&mut link, &old).expect("activated");
    let mut seen = 0;
    let mut cut = Some(board);
    let broken = link.put_bundle(&new, |progress| {
        seen = progress.held_bytes;
        if seen > 12_000 {
            drop(cut.take());
        }
    });
    assert!(broken.is_err() && seen > 12_000);

    let board = Board::start(state.path());
    let mut link = board.link();
    assert_eq!(
        link.info().expect("info").bundle.map(|bundle| bundle.id),
        Some(id_of(&old))
    );
    let mut first = None;
    link.put_bundle(&new, |progress| {
        first.get_or_insert(progress.held_bytes);
    })
    .expect("the rest");
    let stretch = 2 * 4096;
    assert_eq!(
        first,
        Some(seen / stretch * stretch),
        "goes on behind the last whole stretch"
    );
    assert_eq!(link.activate().expect("activated"), id_of(&new));

    let mut altered = recipe(9).build();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let older = recipe(1).build();
    for (file, reason) in [
        (altered, Reason::SectionHashMismatch),
        (older, Reason::OlderVersion),
    ] {
        let refused = install(&mut link, &file).expect_err("refused");
        assert!(
            matches!(&refused, LinkError::Refused(refusal) if refusal.reason() == Some(reason)),
            "{refused}"
        );
        assert_eq!(
            link.info().expect("info").bundle.map(|bundle| bundle.id),
            Some(id_of(&new))
        );
    }
}
