//! Features declared in a recipe, as ONNX nodes.
//!
//! Runs on the workstation; what it emits runs wherever the model runs, because features are part of the model's
//! graph. There is one definition of each feature, the nodes: training gets its values by running them.
//!
//! Cost of what is emitted: a statistic is a pass or two over a window; a spectrum of `b` bands over `n` steps takes
//! about `2n²/b + 4nb` multiplications per channel and `8b² + n²/b² + 5n` floats of constants once.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::{data, features::Features, recipe::Recipe};
//! let recipe = Recipe::read("models/machine/recipe.toml".as_ref())?;
//! let splits = data::load(&recipe, &data::LoadOptions::default())?;
//! let features = Features::fit(&recipe.features, &splits.train)?;
//! let values = features.apply(&splits.train.inputs)?;
//! assert_eq!(values.len(), splits.train.len() * features.width());
//! # Ok(()) }
//! ```
//!
//! **Architecture invariants**: no feature is computed in two places; nothing is fitted on anything but the
//! examples handed in; only operators the compiler knows are emitted.

mod spectrum;
mod statistics;

use crate::data::{Examples, InputSchema};
use crate::onnx::OnnxError;
use crate::onnx::builder::{self, Extent, GraphBuilder, Value};
use crate::onnx::proto::{DataType, ModelProto};
use crate::onnx::session::Session;
use crate::recipe::{Feature, Statistic};
use spectrum::Spectrum;
use std::collections::BTreeMap;

/// Why features cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// A channel is not in the data.
    #[error("features name the channel {name:?}, which the data does not have")]
    UnknownChannel {
        /// The name.
        name: String,
    },
    /// A window cannot be cut into that many bands.
    #[error("{bands} bands: twice the number of bands must divide the {steps} steps of a window")]
    Bands {
        /// Bands asked for.
        bands: usize,
        /// Steps of a window.
        steps: usize,
    },
    /// `standardize` comes before there is anything to scale.
    #[error("standardize must come after the features it scales")]
    NothingToScale,
    /// There are no examples to fit on.
    #[error("there are no examples to fit features on")]
    NoExamples,
    /// A feature is not a finite number for some training example.
    #[error("feature {name:?} is not finite for example {example} of the training part")]
    NotFinite {
        /// Name of the feature.
        name: String,
        /// Index of the example.
        example: usize,
    },
    /// The nodes could not be run.
    #[error(transparent)]
    Run(#[from] OnnxError),
}

/// The steps from a raw input to what the model's core sees, with fitted numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    schema: InputSchema,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Spectrum {
        channels: Vec<usize>,
        bands: usize,
    },
    Statistics {
        channels: Vec<usize>,
        statistics: Vec<Statistic>,
    },
    Standardize {
        mean: Vec<f32>,
        factor: Vec<f32>,
    },
}

impl Features {
    /// Resolves channels and fits means and deviations on `examples`, which is the training part and nothing else.
    ///
    /// # Errors
    /// [`FeatureError`].
    pub fn fit(declared: &[Feature], examples: &Examples) -> Result<Features, FeatureError> {
        if examples.is_empty() {
            return Err(FeatureError::NoExamples);
        }
        let mut features = Features {
            schema: examples.schema.clone(),
            steps: Vec::new(),
        };
        let computes = declared
            .iter()
            .any(|feature| *feature != Feature::Standardize);
        for feature in declared {
            let step = match feature {
                Feature::Spectrum { channels, bands } => features.spectrum(channels, *bands)?,
                Feature::Statistics {
                    channels,
                    statistics,
                } => Step::Statistics {
                    channels: features.channels(channels)?,
                    statistics: statistics.clone(),
                },
                Feature::Standardize if computes && features.steps.is_empty() => {
                    return Err(FeatureError::NothingToScale);
                }
                Feature::Standardize => features.standardize(examples)?,
            };
            features.steps.push(step);
        }
        Ok(features)
    }

    /// Values per example.
    pub fn width(&self) -> usize {
        self.names().len()
    }

    /// Names of the values, in order.
    pub fn names(&self) -> Vec<String> {
        let channel = |index: usize| {
            self.schema
                .channels
                .get(index)
                .map_or("", |channel| channel.name.as_str())
        };
        let mut names = Vec::new();
        for step in &self.steps {
            match step {
                Step::Spectrum { channels, bands } => {
                    names.extend(channels.iter().flat_map(|&index| {
                        (1..=*bands)
                            .map(move |band| format!("band {band}/{bands} of {}", channel(index)))
                    }))
                }
                Step::Statistics {
                    channels,
                    statistics,
                } => names.extend(statistics.iter().flat_map(|statistic| {
                    channels.iter().map(move |&index| {
                        format!("{} of {}", statistics::name(*statistic), channel(index))
                    })
                })),
                Step::Standardize { .. } => {}
            }
        }
        if names.is_empty() {
            self.raw_names()
        } else {
            names
        }
    }

    /// Adds the nodes from `input` `[batch, steps × channels]` to the values `[batch, width]`.
    pub fn emit(&self, graph: &mut GraphBuilder, input: &Value) -> Value {
        let mut windows = Windows::new(&self.schema, input);
        let mut values: Option<Value> = None;
        for step in &self.steps {
            let new = match step {
                Step::Spectrum { channels, bands } => {
                    let centred = windows.centred(graph, channels);
                    Spectrum::new(self.schema.steps, *bands, channels.len()).emit(graph, &centred)
                }
                Step::Statistics {
                    channels,
                    statistics,
                } => statistics::emit(graph, &mut windows, channels, statistics),
                Step::Standardize { mean, factor } => {
                    values = Some(scaled(
                        graph,
                        values.as_ref().unwrap_or(input),
                        mean,
                        factor,
                    ));
                    continue;
                }
            };
            values = Some(match values {
                Some(before) => {
                    graph.node("Concat", &[&before, &new], vec![builder::int("axis", 1)])
                }
                None => new,
            });
        }
        values.unwrap_or_else(|| input.clone())
    }

    /// The nodes as a model of their own, from `input` to `features`.
    pub fn model(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("features");
        let input = graph.input(
            "input",
            DataType::Float,
            &[Extent::Named("batch"), Extent::Fixed(self.schema.width())],
        );
        let values = self.emit(&mut graph, &input);
        let extents = [Extent::Named("batch"), Extent::Fixed(self.width())];
        graph.output(&values, "features", DataType::Float, &extents);
        graph.finish()
    }

    /// The values of raw inputs `[n, steps × channels]`, `[n, width]`, by running the nodes.
    ///
    /// # Errors
    /// [`FeatureError::Run`].
    pub fn apply(&self, inputs: &[f32]) -> Result<Vec<f32>, FeatureError> {
        if self.steps.is_empty() {
            return Ok(inputs.to_vec());
        }
        let outputs = Session::new(&self.model())?.run(inputs)?;
        let values = outputs
            .into_iter()
            .next()
            .and_then(|output| output.floats());
        Ok(values.ok_or_else(|| OnnxError::Run {
            reason: "the features are not floats".into(),
        })?)
    }

    fn spectrum(&self, channels: &[String], bands: usize) -> Result<Step, FeatureError> {
        let steps = self.schema.steps;
        match bands > 0 && steps.is_multiple_of(2 * bands) {
            true => Ok(Step::Spectrum {
                channels: self.channels(channels)?,
                bands,
            }),
            false => Err(FeatureError::Bands { bands, steps }),
        }
    }

    fn channels(&self, names: &[String]) -> Result<Vec<usize>, FeatureError> {
        let index = |name: &String| {
            let found = self
                .schema
                .channels
                .iter()
                .position(|channel| channel.name == *name);
            found.ok_or_else(|| FeatureError::UnknownChannel { name: name.clone() })
        };
        match names.is_empty() {
            true => Ok((0..self.schema.channels.len()).collect()),
            false => names.iter().map(index).collect(),
        }
    }

    fn standardize(&self, examples: &Examples) -> Result<Step, FeatureError> {
        let values = self.apply(&examples.inputs)?;
        let names = self.names();
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let name = names[place % names.len()].clone();
            return Err(FeatureError::NotFinite {
                name,
                example: place / names.len(),
            });
        }
        let columns: Vec<Moments> = (0..names.len())
            .map(|column| Moments::of(&values, column, names.len()))
            .collect();
        let mean = columns.iter().map(|column| column.mean as f32).collect();
        let factor = columns
            .iter()
            .map(|column| (1.0 / column.usable_deviation()) as f32)
            .collect();
        Ok(Step::Standardize { mean, factor })
    }

    fn raw_names(&self) -> Vec<String> {
        let channels = &self.schema.channels;
        match self.schema.steps {
            1 => channels
                .iter()
                .map(|channel| channel.name.clone())
                .collect(),
            steps => (0..steps)
                .flat_map(|step| {
                    channels
                        .iter()
                        .map(move |channel| format!("{} at {step}", channel.name))
                })
                .collect(),
        }
    }
}

/// Mean and deviation of a column, in double precision.
struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(values: &[f32], column: usize, width: usize) -> Moments {
        let column = || {
            values
                .iter()
                .skip(column)
                .step_by(width)
                .map(|&value| f64::from(value))
        };
        let count = column().count().max(1) as f64;
        let mean = column().sum::<f64>() / count;
        let deviation = (column().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        Moments { mean, deviation }
    }

    /// The deviation, or 1 for a column that does not vary beyond the resolution of its numbers.
    fn usable_deviation(&self) -> f64 {
        let resolution = f64::from(f32::EPSILON) * self.mean.abs();
        if self.deviation > resolution {
            self.deviation
        } else {
            1.0
        }
    }
}

fn scaled(graph: &mut GraphBuilder, values: &Value, mean: &[f32], factor: &[f32]) -> Value {
    let mean = graph.constant_f32("mean", &[mean.len()], mean);
    let factor = graph.constant_f32("reciprocal_deviation", &[factor.len()], factor);
    let centred = graph.node("Sub", &[values, &mean], vec![]);
    graph.node("Mul", &[&centred, &factor], vec![])
}

/// Views of the input as windows `[batch, channels, steps]`, each made once per graph.
struct Windows<'a> {
    schema: &'a InputSchema,
    input: &'a Value,
    series: BTreeMap<Vec<usize>, Value>,
    centred: BTreeMap<Vec<usize>, Value>,
}

impl<'a> Windows<'a> {
    fn new(schema: &'a InputSchema, input: &'a Value) -> Windows<'a> {
        Windows {
            schema,
            input,
            series: BTreeMap::new(),
            centred: BTreeMap::new(),
        }
    }

    /// `[batch, channels, steps]` of the chosen channels.
    fn series(&mut self, graph: &mut GraphBuilder, channels: &[usize]) -> Value {
        if let Some(known) = self.series.get(channels) {
            return known.clone();
        }
        let all = self.schema.channels.len();
        let shape = graph.constant_i64(
            "window_shape",
            &[3],
            &[0, self.schema.steps as i64, all as i64],
        );
        let rows = graph.node("Reshape", &[self.input, &shape], vec![]);
        let by_channel = graph.node(
            "Transpose",
            &[&rows],
            vec![builder::ints("perm", vec![0, 2, 1])],
        );
        let chosen = match channels.iter().copied().eq(0..all) {
            true => by_channel,
            false => chosen(graph, &by_channel, channels),
        };
        self.series.insert(channels.to_vec(), chosen.clone());
        chosen
    }

    /// The same without each channel's mean.
    fn centred(&mut self, graph: &mut GraphBuilder, channels: &[usize]) -> Value {
        if let Some(known) = self.centred.get(channels) {
            return known.clone();
        }
        let series = self.series(graph, channels);
        let mean = graph.node(
            "ReduceMean",
            &[&series],
            vec![builder::ints("axes", vec![2]), builder::int("keepdims", 1)],
        );
        let centred = graph.node("Sub", &[&series, &mean], vec![]);
        self.centred.insert(channels.to_vec(), centred.clone());
        centred
    }
}

fn chosen(graph: &mut GraphBuilder, by_channel: &Value, channels: &[usize]) -> Value {
    let axis = graph.constant_i64("channel_axis", &[1], &[1]);
    let mut parts = Vec::new();
    for &channel in channels {
        let start = graph.constant_i64("channel_start", &[1], &[channel as i64]);
        let end = graph.constant_i64("channel_end", &[1], &[channel as i64 + 1]);
        parts.push(graph.node("Slice", &[by_channel, &start, &end, &axis], vec![]));
    }
    match parts.as_slice() {
        [only] => only.clone(),
        many => graph.node(
            "Concat",
            &many.iter().collect::<Vec<_>>(),
            vec![builder::int("axis", 1)],
        ),
    }
}

#[cfg(test)]
mod tests;
