//! Lines for the person who runs the agent, on standard error.

use std::fmt::Arguments;
use std::io::Write;

/// Writes one line; a closed standard error is nobody's problem.
pub(crate) fn log(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "dunlin-agent: {line}");
}
