//! Samples that come as lines: from standard input or from whoever connects.
//!
//! Nothing is read until a model runs: only then is it known what a line holds.

use std::io::{self, BufRead, BufReader};
use std::sync::Arc;
use std::thread;

use crate::address::Listener;
use crate::events::{Asker, CurrentShape, Event, Gone};
use crate::log::log;
use crate::samples::{LineFormat, LineReader, next_line};

/// Bad lines of one source that are reported one by one; further ones are only counted.
const MAX_REPORTED: u64 = 20;

/// Reads standard input to its end in a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn read_stdin(format: LineFormat, shape: CurrentShape, device: Asker) -> io::Result<()> {
    thread::Builder::new().name("stdin".into()).spawn(move || {
        let outcome = read(&mut io::stdin().lock(), "stdin", format, &shape, &device);
        if outcome.is_ok() {
            let _ = device.tell(Event::InputEnded);
        }
    })?;
    Ok(())
}

/// Reads from one connection after another in a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn read_connections(
    listener: Listener,
    format: LineFormat,
    shape: CurrentShape,
    device: Asker,
) -> io::Result<()> {
    thread::Builder::new()
        .name("samples".into())
        .spawn(move || {
            let name = listener.address().to_string();
            loop {
                match listener.accept() {
                    Ok(stream) => {
                        let mut lines = BufReader::new(stream);
                        if read(&mut lines, &name, format, &shape, &device) == Err(Gone) {
                            return;
                        }
                    }
                    Err(error) => {
                        log(format_args!("{name}: {error}"));
                        thread::sleep(crate::serve::ACCEPT_PAUSE);
                    }
                }
            }
        })?;
    Ok(())
}

/// Reads lines until their end. A stream that breaks has ended.
fn read<R: BufRead>(
    stream: &mut R,
    name: &str,
    format: LineFormat,
    shape: &CurrentShape,
    device: &Asker,
) -> Result<(), Gone> {
    let mut reader = LineReader::new(format, (*shape.wait()).clone());
    let mut known = shape.wait();
    let mut buffer = Vec::new();
    let (mut number, mut bad) = (0u64, 0u64);
    loop {
        let line = match next_line(stream, &mut buffer) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                log(format_args!("{name}: {error}"));
                break;
            }
        };
        number += 1;
        let now = shape.wait();
        if !Arc::ptr_eq(&now, &known) {
            reader.reshape((*now).clone());
            known = now;
        }
        match line.and_then(|line| reader.take(&line)) {
            Ok(Some(sample)) => device.tell(Event::Sample(sample))?,
            Ok(None) => {}
            Err(error) => {
                bad += 1;
                if bad <= MAX_REPORTED {
                    log(format_args!("{name}: line {number}: {error}"));
                }
                device.tell(Event::BadLine)?;
            }
        }
    }
    if bad > 0 {
        log(format_args!(
            "{name}: {bad} of {number} lines could not be read"
        ));
    }
    Ok(())
}
