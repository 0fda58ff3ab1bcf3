//! Words and bars: results on standard output, progress on standard error where that is a terminal.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Writes a line to standard output. When the reader has gone, what is left to say is dropped and the command goes on
/// to its end.
///
/// # Errors
/// When the output cannot be written for another reason, such as a full disk.
pub fn line(text: impl std::fmt::Display) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("standard output"))
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON to standard output.
///
/// # Errors
/// As [`line`].
pub fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Tells a person what is going on; silent where standard error is no terminal.
pub fn notice(text: impl std::fmt::Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// Tells what a person or a log must not miss.
pub fn warning(text: impl std::fmt::Display) {
    eprintln!("warning: {text}");
}

/// An error and its causes in one line; a cause that the text before it already tells is not told twice.
pub fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error
        .chain()
        .map(ToString::to_string)
        .filter(|cause| !cause.is_empty())
    {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A progress bar on a terminal, nothing in a pipe.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar for `total` steps; 0 when the number is not known.
    pub fn new(what: &str, total: u64) -> Self {
        let bar = if total == 0 {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::new(total)
        };
        let template = match total {
            0 => "  {spinner} {msg} {elapsed}",
            _ => "  {msg} {bar:30} {pos}/{len} {eta}",
        };
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Bar(bar)
    }

    /// Sets how far the work has come.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Sets how much work there is, once that is known.
    pub fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// Says what is being done.
    pub fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
        self.0.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
