//! `[[features]]`, `[train]`, `[gates]` and `[quantize]`: what is made of the rows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `[[features]]`: one step from raw values to what the model's core sees.
///
/// Steps that compute (`spectrum`, `statistics`) each append their values; without any, the raw
/// values are taken. `standardize` scales everything so far with the training part's mean and
/// standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Feature {
    /// (x - mean) / standard deviation, per value.
    Standardize,
    /// Energy in frequency bands of equal width from 0 to half the sampling rate, per channel.
    Spectrum {
        /// Channel names; all channels when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        channels: Vec<String>,
        /// Bands per channel.
        bands: usize,
    },
    /// Numbers that describe a window, per channel.
    Statistics {
        /// Channel names; all channels when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        channels: Vec<String>,
        /// Which numbers, in this order.
        statistics: Vec<Statistic>,
    },
}

/// A number that describes the values of one channel in one window of n steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// Σx / n.
    Mean,
    /// Square root of the mean square of x - mean.
    Deviation,
    /// Square root of the mean square of x.
    Rms,
    /// Mean of |x|.
    Magnitude,
    /// Mean fourth power of x - mean over the squared variance; 3 for Gaussian noise.
    Kurtosis,
}

/// `[train]`: the algorithm, its seed and the settings of each algorithm.
///
/// Settings of algorithms that are not chosen may stand in the recipe, so that another one can be
/// chosen on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// What learns.
    pub algorithm: Algorithm,
    /// The seed of every random choice in training.
    #[serde(default)]
    pub seed: u64,
    /// How much an example of a class weighs.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Settings of logistic regression.
    #[serde(default)]
    pub logistic: Logistic,
    /// Settings of the random forest.
    #[serde(default)]
    pub forest: Forest,
    /// Settings of the multilayer perceptron.
    #[serde(default)]
    pub mlp: Mlp,
}

/// What learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Logistic regression, multinomial for more than two classes.
    Logistic,
    /// Random forest of decision trees.
    Forest,
    /// Multilayer perceptron with rectified linear units.
    Mlp,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Algorithm; 3] = [Algorithm::Logistic, Algorithm::Forest, Algorithm::Mlp];

    /// The name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Logistic => "logistic",
            Algorithm::Forest => "forest",
            Algorithm::Mlp => "mlp",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no algorithm has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no algorithm \"{name}\"; there are logistic, forest and mlp")]
pub struct UnknownAlgorithm {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let found = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| UnknownAlgorithm {
            name: name.to_owned(),
        })
    }
}

/// How much an example of a class weighs in training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every example the same.
    #[default]
    Equal,
    /// Every class the same: n / (classes × n of the class).
    Balanced,
}

/// `[train.logistic]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logistic {
    /// Weight of the squared coefficients beside the summed log loss.
    pub l2: f64,
    /// Iterations of the solver at most.
    pub max_iterations: u64,
}

impl Default for Logistic {
    fn default() -> Self {
        Logistic {
            l2: 1.0,
            max_iterations: 500,
        }
    }
}

/// `[train.forest]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forest {
    /// Number of trees.
    pub trees: usize,
    /// Levels of a tree at most.
    pub max_depth: u16,
    /// Examples in a leaf at least.
    pub min_leaf: usize,
    /// Values looked at per decision; the square root of their number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values_per_decision: Option<usize>,
}

impl Default for Forest {
    fn default() -> Self {
        Forest {
            trees: 50,
            max_depth: 12,
            min_leaf: 5,
            values_per_decision: None,
        }
    }
}

/// `[train.mlp]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mlp {
    /// Width of each hidden layer.
    pub hidden: Vec<usize>,
    /// Step length of Adam.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Examples per step.
    pub batch: usize,
    /// Passes over the training part at most.
    pub max_epochs: usize,
    /// Passes without a better validation loss before training stops.
    pub patience: usize,
}

impl Default for Mlp {
    fn default() -> Self {
        Mlp {
            hidden: vec![16, 16],
            learning_rate: 0.001,
            weight_decay: 0.0001,
            batch: 64,
            max_epochs: 100,
            patience: 10,
        }
    }
}

/// `[gates]`: what a model must reach on every test, and `[gates.test.NAME]` on one of them. Each measure is absent or
/// a number from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// Share of right answers, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Mean of the classes' recalls, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// Mean of the classes' F1, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// Area under the ROC curve (one against the rest, mean of the classes), at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Expected calibration error, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration_error: Option<f64>,
    /// Gates of one test by its name; what is absent there is taken from the gates of all. A test has no tests.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub test: BTreeMap<String, Gates>,
}

/// One measure with its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Name of the measure.
    pub measure: &'static str,
    /// Its limit.
    pub limit: f64,
    /// Whether the limit is the highest allowed value; otherwise the lowest.
    pub at_most: bool,
}

impl Gates {
    /// What is demanded on every test.
    pub fn demands(&self) -> Vec<Demand> {
        let measures = [
            ("accuracy", self.accuracy, false),
            ("balanced_accuracy", self.balanced_accuracy, false),
            ("f1", self.f1, false),
            ("roc_auc", self.roc_auc, false),
            ("calibration_error", self.calibration_error, true),
        ];
        let demand = |(measure, limit, at_most)| {
            Some(Demand {
                measure,
                limit: limit?,
                at_most,
            })
        };
        measures.into_iter().filter_map(demand).collect()
    }

    /// What is demanded on one test: its own gates, and those of all where it has none.
    pub fn demands_of(&self, test: &str) -> Vec<Demand> {
        let mut demands = self.test.get(test).map(Gates::demands).unwrap_or_default();
        for demand in self.demands() {
            if demands.iter().all(|own| own.measure != demand.measure) {
                demands.push(demand);
            }
        }
        demands
    }
}

/// `[quantize]`: from floats to integers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quantize {
    /// The integers.
    pub scheme: Scheme,
    /// Rows of the training part that give the ranges, at most.
    pub calibration_rows: usize,
}

impl Default for Quantize {
    fn default() -> Self {
        Quantize {
            scheme: Scheme::Int8,
            calibration_rows: 2000,
        }
    }
}

/// The integers of a quantized model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// 8 bits, weights symmetric per output channel.
    Int8,
}
