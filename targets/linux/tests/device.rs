//! The agent as a black box: a process, its link, its standard input, and kills.

mod support;

use dunlin_wire::record::{Boot, Kind, Record};
use std::io::Write;
use support::{Agent, Folder, TARGET, bodies, eventually, plan_bundle, records, windows};

const START_MS: i64 = 1_700_000_000_000;

/// Lines one second apart, so that ten fill a window of the test bundle.
fn lines(from: i64, count: i64) -> String {
    (from..from + count)
        .map(|at| format!("{},{},{}\n", START_MS + 1000 * at, at % 7, 3))
        .collect()
}

#[test]
fn lines_become_windows_that_survive_a_kill() {
    let folder = Folder::new();
    let mut agent = folder.start(&["--stdin", "csv"]);
    agent.put(&plan_bundle(1));
    agent.write(&lines(0, 35));
    let mut link = agent.link();
    let before = eventually("three windows", || {
        let records = records(&mut link);
        (windows(&records).len() == 3).then_some(records)
    });
    for window in windows(&before) {
        assert_eq!(
            (window.inputs, window.errors, window.partial),
            (10, 0, false)
        );
        assert_eq!(window.channels.len(), 2);
        assert_eq!(window.channels[1].mean(), Some(3.0));
        assert_eq!(window.predictions.iter().sum::<u32>(), 10);
    }
    let running = link
        .info()
        .expect("answers")
        .bundle
        .expect("a bundle runs")
        .id;
    agent.kill();

    let again = folder.start(&[]);
    let mut link = again.link();
    let info = link.info().expect("answers");
    assert_eq!(info.boot, 2);
    assert_eq!(info.target, TARGET);
    assert_eq!(info.bundle.expect("it still runs").id, running);
    let after = records(&mut link);
    assert_eq!(after[..before.len()], before, "byte for byte");
    assert_eq!(bodies::<Boot>(&after, Kind::BOOT).len(), 2);
}

#[test]
fn kills_at_any_moment_lose_nothing_that_was_seen() {
    let folder = Folder::new();
    folder.start(&[]).put(&plan_bundle(1));
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut windows_seen = 0;
    for round in 0..12 {
        let mut agent = folder.start(&["--stdin", "csv"]);
        let mut link = agent.link();
        let held = records(&mut link);
        assert_eq!(
            held[..seen.len().min(held.len())],
            seen[..],
            "round {round}"
        );
        let feed = lines(round * 1000, 400);
        let mut stdin = agent.stdin.take().expect("open");
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(feed.as_bytes());
        });
        let pause = std::time::Duration::from_millis(7 * round as u64);
        std::thread::sleep(pause);
        seen = records(&mut link);
        agent.kill();
        feeder.join().expect("ends");
        windows_seen = windows_seen.max(windows(&seen).len());
    }
    assert!(
        windows_seen > 10,
        "only {windows_seen} windows were at risk"
    );
}

#[test]
fn bad_lines_are_counted_and_the_next_ones_read() {
    let folder = Folder::new();
    let mut agent = folder.start(&["--stdin", "csv"]);
    agent.put(&plan_bundle(1));
    agent.write(&lines(0, 4));
    agent.write(&format!("no,numbers,here\n{},2,3,4\n\n", START_MS + 4000));
    agent.write(&format!("{},,3\n", START_MS + 4000));
    agent.write(&lines(5, 10));
    assert!(
        agent
            .wait_for("line 5")
            .contains("neither unix milliseconds nor a date")
    );
    assert!(
        agent
            .wait_for("line 6")
            .contains("4 fields where 2 values, or a time and 2 values, were expected")
    );
    let mut link = agent.link();
    let window = eventually("a window", || windows(&records(&mut link)).pop());
    assert_eq!((window.inputs, window.errors), (12, 2));
    assert_eq!(window.channels[0].missing, 1);
}

#[test]
fn samples_come_over_a_socket_as_json() {
    let folder = Folder::new();
    let socket = folder.path().join("samples");
    let address = format!("unix:{}", socket.display());
    let agent = folder.start(&["--samples", &address, "--samples-format", "json"]);
    agent.put(&plan_bundle(1));
    for part in 0..2 {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("connects");
        for at in 8 * part..8 * (part + 1) {
            let time = START_MS + 1000 * at;
            writeln!(stream, r#"{{"time":{time},"b":2,"a":{at}}}"#).expect("reads");
        }
    }
    let mut link = agent.link();
    let window = eventually("a window", || windows(&records(&mut link)).pop());
    assert_eq!(window.inputs, 10);
    assert_eq!(window.channels[0].mean(), Some(4.5));
    assert_eq!(window.channels[1].mean(), Some(2.0));
}

#[test]
fn a_terminate_signal_ends_it_cleanly_and_one_agent_holds_a_folder() {
    let folder = Folder::new();
    let mut agent = folder.start(&[]);
    let mut second = Agent::spawn(folder.path(), &[]);
    assert_eq!(second.end().code(), Some(2));
    assert!(second.wait_for("error").contains("in use by another agent"));
    agent.signal("TERM");
    assert_eq!(agent.end().code(), Some(0));
    let again = folder.start(&[]);
    assert_eq!(again.link().info().expect("answers").boot, 2);
}

#[test]
fn ends_with_standard_input_where_asked() {
    let folder = Folder::new();
    let bundle = folder.file("model.bundle", &plan_bundle(1));
    let bundle = bundle.to_str().expect("text");
    let mut agent = folder.start(&["--stdin", "csv", "--until-end", "--bundle", bundle]);
    agent.write(&lines(0, 25));
    drop(agent.stdin.take());
    assert_eq!(agent.end().code(), Some(0));
    let again = folder.start(&["--bundle", bundle]);
    assert_eq!(windows(&records(&mut again.link())).len(), 2);
}

#[test]
fn garbage_on_the_link_disturbs_nobody() {
    let folder = Folder::new();
    let agent = folder.start(&[]);
    let host = agent.address.strip_prefix("tcp:").expect("tcp");
    let mut stranger = std::net::TcpStream::connect(host).expect("connects");
    let noise: Vec<u8> = (0..20_000u32).map(|at| (at * at >> 3) as u8).collect();
    stranger.write_all(&noise).expect("reads");
    let mut links: Vec<_> = (0..4).map(|_| agent.link()).collect();
    for turn in 0..40 {
        let link = &mut links[turn % 4];
        assert_eq!(link.info().expect("answers").device, support::DEVICE);
    }
}

#[test]
fn a_device_that_was_never_flashed_says_so() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut agent = Agent::spawn(folder.path(), &[]);
    assert_eq!(agent.end().code(), Some(2));
    assert!(agent.wait_for("error").contains("not provisioned"));
}

#[test]
fn a_refused_bundle_leaves_the_old_one_running() {
    let folder = Folder::new();
    let agent = folder.start(&[]);
    agent.put(&plan_bundle(2));
    let mut link = agent.link();
    let running = link.info().expect("answers").bundle.expect("runs").id;
    for refused in [plan_bundle(1), altered(plan_bundle(3))] {
        let put = link.put_bundle(&refused, |_| ());
        put.and_then(|()| link.activate()).expect_err("refuses");
        assert_eq!(
            link.info().expect("answers").bundle.expect("runs").id,
            running
        );
    }
    let events = records(&mut link);
    let kinds = events
        .iter()
        .map(|record| Record::parse(record).expect("a record").0.header().kind);
    assert!(kinds.filter(|kind| *kind == Kind::EVENT).count() >= 2);
}

fn altered(mut bundle: Vec<u8>) -> Vec<u8> {
    let middle = bundle.len() / 2;
    bundle[middle] ^= 1;
    bundle
}

#[test]
fn a_field_too_many_is_an_error_in_the_window_and_shifts_nothing() {
    let folder = Folder::new();
    let mut agent = folder.start(&["--stdin", "csv"]);
    agent.put(&plan_bundle(1));
    agent.write("time,a,b\n");
    agent.write(&lines(0, 4));
    agent.write(&format!("7,{},1,3\n", START_MS + 4000));
    agent.write(&lines(5, 10));
    let said = agent.wait_for("line 6");
    assert!(said.contains("4 fields where the header names 3"), "{said}");
    let mut link = agent.link();
    let window = eventually("a window", || windows(&records(&mut link)).pop());
    assert_eq!((window.inputs, window.errors), (10, 1));
    assert_eq!(window.channels[1].mean(), Some(3.0));
}

#[test]
fn a_device_without_a_good_bundle_says_so_and_serves_its_link() {
    let folder = Folder::new();
    let mut agent = Agent::spawn(folder.path(), &["--stdin", "csv"]);
    let said = agent.wait_for("no bundle runs");
    assert!(
        said.contains("none was activated here") && said.contains("dunlin flash"),
        "{said}"
    );
    agent.wait_for_link();
    agent.put(&plan_bundle(1));
    agent.kill();

    folder.damage(folder.newest_slot());
    let mut agent = Agent::spawn(folder.path(), &[]);
    let said = agent.wait_for("no bundle runs");
    assert!(
        said.contains("refused") && said.contains("altered"),
        "{said}"
    );
    agent.wait_for_link();
    assert_eq!(agent.link().info().expect("answers").bundle, None);
}

#[test]
fn a_device_that_fell_back_says_so() {
    let folder = Folder::new();
    let agent = folder.start(&[]);
    agent.put(&plan_bundle(1));
    let mut link = agent.link();
    let first = link.info().expect("answers").bundle.expect("runs").id;
    agent.put(&plan_bundle(2));
    agent.kill();

    folder.damage(folder.newest_slot());
    let mut agent = Agent::spawn(folder.path(), &[]);
    let said = agent.wait_for("does not run");
    assert!(said.contains(&first.to_string()), "{said}");
    agent.wait_for_link();
    let runs = agent.link().info().expect("answers").bundle;
    assert_eq!(runs.expect("the one before").id, first);
}

#[test]
fn a_bundle_file_that_is_refused_ends_the_agent_with_its_name_and_the_reason() {
    let folder = Folder::new();
    folder.start(&[]).put(&plan_bundle(2));
    for (name, content, reason) in [
        ("altered.bundle", altered(plan_bundle(3)), "altered"),
        ("older.bundle", plan_bundle(1), "version"),
        ("text.bundle", b"not a bundle".to_vec(), "bundle"),
    ] {
        let file = folder.file(name, &content);
        let file = file.to_str().expect("text");
        let mut agent = Agent::spawn(folder.path(), &["--bundle", file]);
        assert_eq!(agent.end().code(), Some(2), "{name}");
        let said = agent.wait_for("error: ");
        assert!(said.contains(file) && said.contains(reason), "{said}");
    }
    let runs = folder.start(&[]).link().info().expect("answers").bundle;
    assert_eq!(runs.expect("the old one").version, 2);
}

#[test]
fn without_a_bundle_and_without_a_link_there_is_nothing_to_wait_for() {
    let folder = Folder::new();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dunlin-agent"))
        .args(["run", "--stdin", "csv", "--until-end", "--state"])
        .arg(folder.path())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--bundle FILE"), "{said}");
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out_for_ever() {
    let folder = Folder::new();
    let mut agent = folder.start(&["--idle-timeout", "1"]);
    let host = agent.address.strip_prefix("tcp:").expect("tcp").to_owned();
    let connect = |_| std::net::TcpStream::connect(&host).expect("connects");
    let dead: Vec<_> = (0..17).map(connect).collect();
    let said = agent.wait_for("connections are open");
    assert!(said.contains("16"), "{said}");
    let info = eventually("a place for one more", || {
        dunlin_link::Link::open(&agent.address)
            .and_then(|mut link| link.info())
            .ok()
    });
    assert_eq!(info.device, support::DEVICE);
    drop(dead);
}
