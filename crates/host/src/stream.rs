//! Feeds a data set to a device as if its own sensor had measured it.
//!
//! The device takes the samples' own times, so a week of data passes in seconds and its monitoring
//! windows close as they would have in the field.
//!
//! Costs one link message for as many samples as fit it, one under way at a time.
//!
//! ```no_run
//! # fn run(examples: &dunlin_host::data::Examples) -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::stream::{StreamOptions, stream};
//!
//! let mut link = dunlin_link::Link::open("tcp:127.0.0.1:7001")?;
//! let done = stream(&mut link, examples, &StreamOptions::default(), &mut |streamed| {
//!     eprint!("\r{} of {}", streamed.samples, streamed.total);
//! })?;
//! println!("{} windows", done.windows_closed);
//! # Ok(())
//! # }
//! ```
//!
//! **Architecture invariants**: knows the link and examples, nothing of records; sends each sample
//! once and in the order given.

use dunlin_link::{Link, LinkError, Sample};

use crate::data::Examples;

/// Bytes of one `f32` on the link.
const VALUE_BYTES: usize = size_of::<f32>();

/// How to stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Samples between two reports of progress; at least 1.
    pub batch: usize,
    /// Whether to close the window that the last samples opened. A window that is not whole is
    /// marked as partial and not judged.
    pub close_window: bool,
    /// Milliseconds to add to every time: data of the past can be played as if it were now.
    pub shift_ms: i64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            batch: 256,
            close_window: true,
            shift_ms: 0,
        }
    }
}

/// How far streaming has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streamed {
    /// Samples the device has observed.
    pub samples: u64,
    /// Samples there are.
    pub total: u64,
    /// Monitoring windows that closed meanwhile.
    pub windows_closed: u64,
}

/// Streaming ended early. What was streamed before stays observed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// No bundle runs on the device.
    #[error("the device runs no model; `dunlin flash` puts one there")]
    NoModel,
    /// The model on the device takes another input.
    #[error("an example has {got} bytes, the model on the device takes {expected}")]
    InputLength {
        /// Bytes the device's model takes.
        expected: usize,
        /// Bytes of one example.
        got: usize,
    },
    /// The link failed or the device refused.
    #[error("after {} of {} samples: {source}", .streamed.samples, .streamed.total)]
    Link {
        /// What was done before.
        streamed: Streamed,
        /// What went wrong.
        source: LinkError,
    },
}

/// Has the device behind `link` observe every example, in order, and reports after every batch.
///
/// # Errors
/// [`StreamError`].
pub fn stream(
    link: &mut Link,
    examples: &Examples,
    options: &StreamOptions,
    progress: &mut dyn FnMut(Streamed),
) -> Result<Streamed, StreamError> {
    let mut streamed = Streamed {
        total: examples.len() as u64,
        ..Streamed::default()
    };
    check_model(link, examples, streamed)?;
    let inputs = little_endian(&examples.inputs);
    let input_bytes = examples.schema.width() * VALUE_BYTES;
    let samples: Vec<Sample<'_>> = examples
        .time_ms
        .iter()
        .zip(inputs.chunks_exact(input_bytes.max(1)))
        .map(|(time_ms, input)| Sample {
            time_ms: time_ms + options.shift_ms,
            input,
        })
        .collect();
    for batch in samples.chunks(options.batch.max(1)) {
        let observed = link
            .observe(batch)
            .map_err(|source| StreamError::Link { streamed, source })?;
        streamed.samples += observed.samples;
        streamed.windows_closed += observed.windows_closed;
        progress(streamed);
    }
    if options.close_window {
        let closed = link
            .close_window()
            .map_err(|source| StreamError::Link { streamed, source })?;
        streamed.windows_closed += u64::from(closed);
        progress(streamed);
    }
    Ok(streamed)
}

fn check_model(
    link: &mut Link,
    examples: &Examples,
    streamed: Streamed,
) -> Result<(), StreamError> {
    let info = link
        .info()
        .map_err(|source| StreamError::Link { streamed, source })?;
    let expected = info.bundle.ok_or(StreamError::NoModel)?.input_bytes;
    let got = examples.schema.width() * VALUE_BYTES;
    if got != expected {
        return Err(StreamError::InputLength { expected, got });
    }
    Ok(())
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
