//! What the system says of a process that is not a child: from `/proc` on Linux, from `ps` on other
//! Unix systems.

#[cfg(not(unix))]
compile_error!("devices that are processes are ended by signals: dunlin-host needs a Unix system");

#[cfg(target_os = "linux")]
pub(super) use proc::{has_ended, has_in_environment};
#[cfg(not(target_os = "linux"))]
pub(super) use ps::{has_ended, has_in_environment};

#[cfg(target_os = "linux")]
mod proc {
    /// Whether a process is gone or a zombie. One that is ending loses its environment first and its
    /// sockets later.
    pub fn has_ended(id: u32) -> bool {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
            return true;
        };
        let state = text.rsplit(')').next().unwrap_or_default().trim_start();
        state.starts_with(['Z', 'X'])
    }

    /// Whether a process was started with this `NAME=value`.
    pub fn has_in_environment(id: u32, entry: &str) -> bool {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|known| known == entry.as_bytes())
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod ps {
    use std::process::Command;

    /// As the other one. POSIX names the option; the letter for a zombie is the same everywhere.
    pub fn has_ended(id: u32) -> bool {
        let state = shown(&["-o", "stat="], id);
        state.is_empty() || state.starts_with('Z')
    }

    /// As the other one. `e` shows the environment behind the arguments, parted by blanks; so a value
    /// is looked for with what must stand before and behind it.
    pub fn has_in_environment(id: u32, entry: &str) -> bool {
        let (shown, wanted) = (shown(&["eww", "-o", "args="], id), format!(" {entry}"));
        shown.match_indices(&wanted).any(|(at, found)| {
            let behind = shown[at + found.len()..].chars().next();
            behind.is_none_or(char::is_whitespace)
        })
    }

    fn shown(options: &[&str], id: u32) -> String {
        let output = Command::new("ps")
            .args(options)
            .args(["-p", &id.to_string()])
            .output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{proc, ps};
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn both_ways_to_look_at_a_process_say_the_same() {
        if Command::new("ps").arg("--version").output().is_err() {
            eprintln!("skipped: there is no `ps` here");
            return;
        }
        let mut child = Command::new("sleep")
            .arg("60")
            .env("DUNLIN_TEST_STATE", "/a folder/b")
            .spawn()
            .expect("starts");
        let id = child.id();
        let entries = [
            ("DUNLIN_TEST_STATE=/a folder/b", true),
            ("DUNLIN_TEST_STATE=/a folder", false),
            ("TEST_STATE=/a folder/b", false),
        ];
        eventually("its environment", || {
            proc::has_in_environment(id, entries[0].0)
        });
        assert!(!proc::has_ended(id) && !ps::has_ended(id));
        assert!(ps::has_in_environment(id, entries[0].0));
        assert!(
            entries[2..]
                .iter()
                .all(|(entry, _)| !ps::has_in_environment(id, entry))
        );
        for (entry, is_there) in entries {
            assert_eq!(proc::has_in_environment(id, entry), is_there, "{entry}");
        }
        child.kill().expect("kills");
        eventually("a zombie", || proc::has_ended(id));
        assert!(ps::has_ended(id) && !ps::has_in_environment(id, entries[0].0));
        child.wait().expect("ends");
        assert!(proc::has_ended(id) && ps::has_ended(id));
    }
}
