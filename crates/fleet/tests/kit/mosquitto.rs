//! A mosquitto of our own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs on a free port and ends with the value.
pub struct Mosquitto {
    pub address: SocketAddr,
    program: &'static str,
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mosquitto {
    /// `password` asks for a login; the password is that of user `collector`. `None` where mosquitto
    /// is not installed.
    pub fn start(password: Option<&str>) -> Option<Self> {
        let program = installed()?;
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let access = match password {
            Some(password) => {
                let file = password_file(folder.path(), password)?;
                format!(
                    "allow_anonymous false\npassword_file {}\nuser root\n",
                    file.display()
                )
            }
            None => "allow_anonymous true\n".to_owned(),
        };
        let listener = format!("listener {} 127.0.0.1\n", address.port());
        std::fs::write(configuration(folder.path()), listener + &access).unwrap();
        let child = spawn(program, folder.path());
        let mosquitto = Self {
            address,
            program,
            child,
            folder,
        };
        mosquitto.wait();
        Some(mosquitto)
    }

    /// Ends it and starts it again at the same place.
    pub fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.program, self.folder.path());
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(
                Instant::now() < deadline,
                "mosquitto does not listen on {}",
                self.address
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn installed() -> Option<&'static str> {
    let programs = [
        "/usr/sbin/mosquitto",
        "/usr/local/sbin/mosquitto",
        "/opt/homebrew/sbin/mosquitto",
        "mosquitto",
    ];
    programs
        .into_iter()
        .find(|program| quiet(program).arg("-h").status().is_ok())
}

fn configuration(folder: &Path) -> PathBuf {
    folder.join("mosquitto.conf")
}

fn password_file(folder: &Path, password: &str) -> Option<PathBuf> {
    let file = folder.join("passwords");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&file)
        .args(["collector", password])
        .status();
    made.is_ok_and(|status| status.success()).then_some(file)
}

fn spawn(program: &str, folder: &Path) -> Child {
    quiet(program)
        .arg("-c")
        .arg(configuration(folder))
        .spawn()
        .unwrap()
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
