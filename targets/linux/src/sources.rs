//! Samples that come as lines: from standard input or from whoever connects.
//!
//! Nothing is read until a model runs: only then is it known what a line holds.

use std::io::{self, BufRead, BufReader};
use std::sync::Arc;
use std::thread;

use crate::address::Listener;
use crate::events::{Asker, CurrentShape, Event, Gone};
use crate::log::log;
use crate::samples::{LineError, LineFormat, LineReader, next_line};

/// Bad lines of one source that are reported one by one; further ones are only counted.
const MAX_REPORTED: u64 = 20;

/// Reads standard input to its end in a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn read_stdin(format: LineFormat, shape: CurrentShape, device: Asker) -> io::Result<()> {
    thread::Builder::new().name("stdin".into()).spawn(move || {
        let source = Source {
            name: "stdin".into(),
            format,
            shape,
            device: device.clone(),
        };
        let outcome = source.read(&mut io::stdin().lock());
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
            let source = Source {
                name: listener.address().to_string(),
                format,
                shape,
                device,
            };
            loop {
                match listener.accept() {
                    Ok(stream) => {
                        let mut lines = BufReader::new(stream);
                        if source.read(&mut lines) == Err(Gone) {
                            return;
                        }
                    }
                    Err(error) => {
                        log(format_args!("{}: {error}", source.name));
                        thread::sleep(crate::serve::ACCEPT_PAUSE);
                    }
                }
            }
        })?;
    Ok(())
}

/// Where lines come from and where they go.
struct Source {
    name: String,
    format: LineFormat,
    shape: CurrentShape,
    device: Asker,
}

/// Lines of one stream so far.
#[derive(Default)]
struct Count {
    lines: u64,
    bad: u64,
}

impl Source {
    /// Reads lines until their end. A stream that breaks has ended.
    fn read<R: BufRead>(&self, stream: &mut R) -> Result<(), Gone> {
        let mut known = self.shape.wait();
        let mut reader = LineReader::new(self.format, (*known).clone());
        let (mut buffer, mut count) = (Vec::new(), Count::default());
        while let Some(line) = self.next(stream, &mut buffer) {
            count.lines += 1;
            let now = self.shape.wait();
            if !Arc::ptr_eq(&now, &known) {
                reader.reshape((*now).clone());
                known = now;
            }
            match line.and_then(|line| reader.take(&line)) {
                Ok(Some(sample)) => self.device.tell(Event::Sample(sample))?,
                Ok(None) => {}
                Err(error) => self.report(&mut count, &error)?,
            }
        }
        if count.bad > 0 {
            log(format_args!(
                "{}: {} of {} lines could not be read",
                self.name, count.bad, count.lines
            ));
        }
        Ok(())
    }

    fn next<R: BufRead>(
        &self,
        stream: &mut R,
        buffer: &mut Vec<u8>,
    ) -> Option<Result<String, LineError>> {
        next_line(stream, buffer).unwrap_or_else(|error| {
            log(format_args!("{}: {error}", self.name));
            None
        })
    }

    /// Says which line is bad and why, and has it counted as an input that failed.
    fn report(&self, count: &mut Count, error: &LineError) -> Result<(), Gone> {
        count.bad += 1;
        if count.bad <= MAX_REPORTED {
            log(format_args!("{}: line {}: {error}", self.name, count.lines));
        }
        self.device.tell(Event::BadLine)
    }
}
