//! Training: from examples to an ONNX model.
//!
//! Runs on the workstation. Three algorithms behind one door: [`train`] fits the features on the training part,
//! fits the algorithm on the features, and writes both into one graph. The validation part stops the perceptron;
//! the other algorithms, with nothing to stop, learn from it too. The tests are not touched here.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::{data, recipe::Recipe, train};
//! let recipe = Recipe::read("models/occupancy/recipe.toml".as_ref())?;
//! let splits = data::load(&recipe, &data::LoadOptions::default())?;
//! let trained = train::train(&recipe, &splits, &mut |progress| eprintln!("{}/{}", progress.done, progress.total))?;
//! dunlin_host::onnx::write(&trained.model, "model.onnx".as_ref())?;
//! # Ok(()) }
//! ```
//!
//! **Architecture invariants**: every random choice comes from the recipe's seed, so equal recipe and data give
//! equal bytes on one machine; nothing is fitted on test parts; libraries' types stay inside.

pub mod core;
mod export;
mod forest;
mod logistic;
mod mlp;
mod unseen;

#[cfg(test)]
mod tests;

pub use unseen::{Effort, FOLDS, MOST_WORK, UnseenAnswers, unseen_answers};

use crate::data::{Examples, Splits};
use crate::features::{FeatureError, Features};
use crate::onnx::proto::ModelProto;
use crate::recipe::{self, Algorithm, ClassWeights, Recipe};
use core::Core;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Why training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Features could not be made.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A part has no examples.
    #[error("the {part} part has no examples")]
    Empty {
        /// `training` or `validation`.
        part: &'static str,
    },
    /// Too few classes occur to learn a difference.
    #[error("the training part holds only the class {name:?}; at least two must occur")]
    OneClass {
        /// The class.
        name: String,
    },
    /// A setting cannot be followed.
    #[error("{reason}")]
    Settings {
        /// Which, and why.
        reason: String,
    },
    /// A loss stopped being a number.
    #[error(
        "training diverged in pass {epoch}: the loss is no longer a number; lower train.mlp.learning_rate"
    )]
    Diverged {
        /// The pass.
        epoch: usize,
    },
    /// A library failed.
    #[error("{what}: {reason}")]
    Library {
        /// The algorithm.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
}

/// How far training has got. Algorithms that do not report on the way report once, at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Passes done.
    pub done: usize,
    /// Passes at most.
    pub total: usize,
    /// Mean loss of the pass.
    pub train_loss: Option<f64>,
    /// Loss on the validation part after it.
    pub validation_loss: Option<f64>,
}

/// One pass of the training curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean loss on the way, while weights changed.
    pub train_loss: f64,
    /// Loss on the validation part after the pass.
    pub validation_loss: f64,
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// From raw input to label and probabilities.
    pub model: ModelProto,
    /// The fitted features.
    pub features: Features,
    /// What was learned.
    pub core: Core,
    /// Empty for algorithms without passes.
    pub curve: Vec<Epoch>,
    /// The pass whose weights were kept; 0 for algorithms without passes.
    pub best_epoch: usize,
    /// Wall time of [`train`] in seconds.
    pub seconds: f64,
}

impl Trained {
    /// Answers of what was learned, computed here and not through ONNX: probabilities `[n, classes]`.
    ///
    /// # Errors
    /// [`FeatureError::Run`].
    pub fn probabilities(&self, inputs: &[f32]) -> Result<Vec<f32>, FeatureError> {
        let values = self.features.apply(inputs)?;
        Ok(values
            .chunks_exact(self.features.width())
            .flat_map(|row| self.core.probabilities(row))
            .collect())
    }
}

/// Trains what the recipe says. Cost: seconds for some ten thousand examples.
///
/// Features are fitted on the training part. The perceptron learns from the training part and is stopped by the
/// validation part; the other algorithms have nothing to stop and learn from both.
///
/// # Errors
/// [`TrainError`].
pub fn train(
    recipe: &Recipe,
    splits: &Splits,
    report: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainError> {
    let started = std::time::Instant::now();
    check(splits)?;
    let features = Features::fit(&recipe.features, &splits.train)?;
    let fitted = fit(recipe, splits, &features, report)?;
    let model = export::model(recipe, splits, &features, &fitted.core);
    let seconds = started.elapsed().as_secs_f64();
    Ok(Trained {
        model,
        features,
        core: fitted.core,
        curve: fitted.curve,
        best_epoch: fitted.best_epoch,
        seconds,
    })
}

struct Fitted {
    core: Core,
    curve: Vec<Epoch>,
    best_epoch: usize,
}

fn fit(
    recipe: &Recipe,
    splits: &Splits,
    features: &Features,
    report: &mut dyn FnMut(Progress),
) -> Result<Fitted, TrainError> {
    let settings = &recipe.train;
    let classes = splits.train.label_names.len();
    let train = Labelled::of(&splits.train, features)?;
    let validation = Labelled::of(&splits.validation, features)?;
    let balanced =
        |examples: Labelled| examples.balanced(classes, settings.class_weights, settings.seed);
    if settings.algorithm == Algorithm::Mlp {
        let lesson = mlp::Lesson {
            settings: &settings.mlp,
            seed: settings.seed,
            train: &balanced(train),
            validation: &validation,
            classes,
        };
        return Ok(Fitted::from(mlp::fit(&lesson, report)?));
    }
    let core = without_passes(settings, &balanced(train.joined(validation)), classes)?;
    report(Progress {
        done: 1,
        total: 1,
        train_loss: None,
        validation_loss: None,
    });
    Ok(Fitted {
        core,
        curve: Vec::new(),
        best_epoch: 0,
    })
}

fn without_passes(
    settings: &recipe::Train,
    examples: &Labelled,
    classes: usize,
) -> Result<Core, TrainError> {
    let (values, labels) = (&examples.values, &examples.labels);
    Ok(match settings.algorithm {
        Algorithm::Forest => {
            let seeded = forest::Settings {
                forest: &settings.forest,
                seed: settings.seed,
            };
            Core::Forest(forest::fit(seeded, values, labels, classes)?)
        }
        Algorithm::Logistic | Algorithm::Mlp => {
            let fitted = logistic::fit(&settings.logistic, values, labels, classes)?;
            Core::Network(fitted)
        }
    })
}

impl From<mlp::Fitted> for Fitted {
    fn from(fitted: mlp::Fitted) -> Self {
        Fitted {
            core: Core::Network(fitted.network),
            curve: fitted.curve,
            best_epoch: fitted.best_epoch,
        }
    }
}

/// Feature values with their labels.
struct Labelled {
    values: Matrix,
    labels: Vec<u32>,
}

impl Labelled {
    fn of(examples: &Examples, features: &Features) -> Result<Labelled, FeatureError> {
        let values = Matrix {
            width: features.width(),
            values: features.apply(&examples.inputs)?,
        };
        Ok(Labelled {
            values,
            labels: examples.labels.clone(),
        })
    }

    fn joined(mut self, other: Labelled) -> Labelled {
        self.values.values.extend(other.values.values);
        self.labels.extend(other.labels);
        self
    }

    fn balanced(self, classes: usize, weights: ClassWeights, seed: u64) -> Labelled {
        let rows = chosen_rows(&self.labels, classes, weights, seed);
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Labelled {
            values: self.values.picked(&rows),
            labels,
        }
    }
}

/// Rows of values, row-major.
#[derive(Debug, Clone, PartialEq)]
struct Matrix {
    width: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    fn picked(&self, rows: &[usize]) -> Matrix {
        Matrix {
            width: self.width,
            values: rows
                .iter()
                .flat_map(|&row| self.row(row).iter().copied())
                .collect(),
        }
    }
}

fn check(splits: &Splits) -> Result<(), TrainError> {
    if splits.train.is_empty() {
        return Err(TrainError::Empty { part: "training" });
    }
    if splits.validation.is_empty() {
        return Err(TrainError::Empty { part: "validation" });
    }
    let counts = splits.train.label_counts();
    let mut present = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(label, _)| label);
    match (present.next(), present.next()) {
        (Some(only), None) => Err(TrainError::OneClass {
            name: splits.train.label_names[only].clone(),
        }),
        _ => Ok(()),
    }
}

/// The rows to train on. Balanced classes are made by repeating rows of the rarer classes: whole copies, and a drawn
/// remainder, until each class has as many rows as the most frequent one.
fn chosen_rows(labels: &[u32], classes: usize, weights: ClassWeights, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..labels.len()).collect();
    if weights == ClassWeights::Equal {
        return rows;
    }
    let of_class: Vec<Vec<usize>> = (0..classes)
        .map(|class| {
            rows.iter()
                .copied()
                .filter(|&row| labels[row] as usize == class)
                .collect()
        })
        .collect();
    let most = of_class.iter().map(Vec::len).max().unwrap_or(0);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for mut own in of_class.into_iter().filter(|own| !own.is_empty()) {
        own.shuffle(&mut random);
        rows.extend(own.iter().copied().cycle().take(most - own.len()));
    }
    rows
}
