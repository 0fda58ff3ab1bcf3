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
use dunlin_wire::schema::Schema;

use crate::data::{Examples, InputSchema};

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
    #[error(
        "an example has {got} bytes, the model on the device takes {expected}; stream the data of the recipe that the model was made from"
    )]
    InputLength {
        /// Bytes the device's model takes.
        expected: usize,
        /// Bytes of one example.
        got: usize,
    },
    /// The model on the device takes other channels, or more or fewer steps of them.
    #[error(
        "the data has {got}, the model on the device takes {expected}; stream the data of the recipe that the model was made from"
    )]
    Schema {
        /// What the model takes.
        expected: String,
        /// What an example has in its place.
        got: String,
    },
    /// The link failed or the device refused.
    #[error(
        "{} of {} samples were observed and {} monitoring windows closed, then: {source}",
        .streamed.samples, .streamed.total, .streamed.windows_closed
    )]
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
        let before = streamed;
        let observed = link.observe(batch, |so_far| {
            streamed.samples = before.samples + so_far.samples;
            streamed.windows_closed = before.windows_closed + so_far.windows_closed;
        });
        observed.map_err(|source| StreamError::Link { streamed, source })?;
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

/// Whether a model whose bundle has this schema takes inputs of `data`: the same steps of the same channels in the same
/// order. Units and ranges may differ, since a device judges by its own.
///
/// # Errors
/// [`StreamError::Schema`], with the first difference.
pub fn check_schema(data: &InputSchema, model: &Schema<'_>) -> Result<(), StreamError> {
    let mismatch = |expected, got| Err(StreamError::Schema { expected, got });
    let expected: Vec<&str> = model.channels.iter().map(|channel| channel.name).collect();
    let got: Vec<&str> = data
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    let differs = |at: &usize| expected.get(*at) != got.get(*at);
    if let Some(at) = (0..expected.len().max(got.len())).find(differs) {
        return mismatch(channel_at(&expected, at), channel_at(&got, at));
    }
    if model.steps as usize != data.steps {
        return mismatch(
            format!("{} steps of every channel", model.steps),
            format!("{} steps", data.steps),
        );
    }
    Ok(())
}

fn channel_at(names: &[&str], at: usize) -> String {
    let channel = names
        .get(at)
        .map_or("nothing".to_owned(), |name| format!("`{name}`"));
    format!("{channel} as channel {} of {}", at + 1, names.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ChannelSchema;
    use dunlin_wire::schema::{Channel, ElementType};

    fn data(names: &[&str]) -> InputSchema {
        let channel = |name: &&str| ChannelSchema {
            name: (*name).to_owned(),
            unit: String::new(),
            minimum: 0.0,
            maximum: 1.0,
        };
        InputSchema {
            steps: 1,
            channels: names.iter().map(channel).collect(),
            sample_period_ms: 0,
            stuck_after: 0,
        }
    }

    fn model(names: &'static [&'static str], steps: u32) -> Schema<'static> {
        let channel = |name: &&'static str| Channel {
            name,
            ..Channel::default()
        };
        Schema {
            steps,
            element: ElementType::F32,
            channels: names.iter().map(channel).collect(),
            ..Schema::default()
        }
    }

    #[test]
    fn channels_are_compared_by_name_and_place() {
        let model_of = |names| model(names, 1);
        assert!(check_schema(&data(&["light", "co2"]), &model_of(&["light", "co2"])).is_ok());
        for (names, parts) in [
            (
                &["co2", "light"][..],
                ["`co2` as channel 1", "`light` as channel 1"],
            ),
            (
                &["light", "heat"],
                ["`heat` as channel 2", "`co2` as channel 2"],
            ),
            (
                &["light"],
                ["nothing as channel 2 of 1", "`co2` as channel 2 of 2"],
            ),
            (
                &["light", "co2", "x"],
                ["`x` as channel 3 of 3", "nothing as channel 3 of 2"],
            ),
        ] {
            let said = check_schema(&data(names), &model_of(&["light", "co2"]));
            let said = said.expect_err("differs").to_string();
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }

    #[test]
    fn steps_are_compared() {
        let said = check_schema(&data(&["light"]), &model(&["light"], 4));
        assert!(said.expect_err("differs").to_string().contains("4 steps"));
    }
}
