//! What a recipe asks memory for: products of its numbers, each with a limit of its own.

use dunlin_wire::limits::{MAX_CHANNELS, MAX_INPUT_ELEMENTS, MAX_LABELS};

use super::super::Feature;
use super::Check;

/// Weights and biases of all layers; training holds about six copies of four bytes each.
pub(crate) const MAX_WEIGHTS: u64 = 10_000_000;
/// Values that one step of training or one measurement for quantization holds at once, four bytes each.
pub(crate) const MAX_VALUES_AT_ONCE: u64 = 250_000_000;
/// Values of all simulated windows, four bytes each and held about three times while they are split.
pub(crate) const MAX_SIMULATED_VALUES: u64 = 100_000_000;
/// Constants of one spectrum, four bytes each.
pub(crate) const MAX_SPECTRUM_CONSTANTS: u64 = 4_000_000;
/// Trees of a forest, and levels of a tree.
pub(crate) const MAX_TREES: usize = 10_000;
pub(crate) const MAX_DEPTH: u16 = 64;

/// One product that must stay within a limit.
struct Product {
    key: &'static str,
    figure: u64,
    limit: u64,
    /// What is counted, and how the figure comes about.
    what: String,
    advice: &'static str,
}

impl Check<'_, '_> {
    pub(super) fn sizes(&mut self) {
        self.input_sizes();
        self.forest_size();
        self.simulated_size();
        self.network_sizes();
        self.spectrum_sizes();
    }

    fn within(&mut self, product: Product) {
        let Product {
            key,
            figure,
            limit,
            what,
            advice,
        } = product;
        self.require(figure <= limit, key, || {
            format!("{figure} {what}, at most {limit}; {advice}")
        });
    }

    fn input_sizes(&mut self) {
        let data = &self.recipe.data;
        let (channels, labels) = (data.channels().count(), self.recipe.target.labels.len());
        let steps = data.steps();
        let steps_key = match data.simulation {
            Some(_) => "data.simulation.steps",
            None => "data.window.steps",
        };
        self.within(Product {
            key: "data.column",
            figure: channels as u64,
            limit: MAX_CHANNELS as u64,
            what: "columns are numbers, and a device has a channel for each".to_owned(),
            advice: "give the others kind = \"ignore\"",
        });
        self.within(Product {
            key: "target.labels",
            figure: labels as u64,
            limit: MAX_LABELS as u64,
            what: "labels".to_owned(),
            advice: "join some of them",
        });
        self.within(Product {
            key: steps_key,
            figure: product([steps, channels]),
            limit: MAX_INPUT_ELEMENTS as u64,
            what: format!("values per input ({steps} steps × {channels} channels)"),
            advice: "take fewer steps or channels",
        });
    }

    fn forest_size(&mut self) {
        let forest = &self.recipe.train.forest;
        self.within(Product {
            key: "train.forest.trees",
            figure: forest.trees as u64,
            limit: MAX_TREES as u64,
            what: "trees".to_owned(),
            advice: "a few hundred are as good as more",
        });
        self.within(Product {
            key: "train.forest.max_depth",
            figure: u64::from(forest.max_depth),
            limit: u64::from(MAX_DEPTH),
            what: "levels of a tree".to_owned(),
            advice: "take fewer",
        });
    }

    fn simulated_size(&mut self) {
        let Some(simulation) = &self.recipe.data.simulation else {
            return;
        };
        let conditions = crate::simulate::Condition::ALL.len();
        let factors = [
            simulation.sessions,
            conditions,
            simulation.windows,
            simulation.steps,
            crate::simulate::CHANNELS.len(),
        ];
        self.within(Product {
            key: "data.simulation",
            figure: product(factors),
            limit: MAX_SIMULATED_VALUES,
            what: format!(
                "simulated values ({} sessions × {} conditions × {} windows × {} steps × {} channels)",
                factors[0], factors[1], factors[2], factors[3], factors[4]
            ),
            advice: "take fewer sessions, windows or steps",
        });
    }

    fn network_sizes(&mut self) {
        let widths = self.layer_widths();
        let neurons: u64 = widths
            .iter()
            .fold(0u64, |sum, &width| sum.saturating_add(width));
        let weights = widths.windows(2).fold(0u64, |sum, pair| {
            let layer = pair[0].saturating_add(1).saturating_mul(pair[1]);
            sum.saturating_add(layer)
        });
        let shown: Vec<String> = widths.iter().map(u64::to_string).collect();
        let (batch, rows) = (
            self.recipe.train.mlp.batch,
            self.recipe.quantize.calibration_rows,
        );
        self.within(Product {
            key: "train.mlp.hidden",
            figure: weights,
            limit: MAX_WEIGHTS,
            what: format!("weights (layers of {})", shown.join(" × ")),
            advice: "make the layers narrower",
        });
        self.within(Product {
            key: "train.mlp.batch",
            figure: neurons.saturating_mul(batch as u64),
            limit: MAX_VALUES_AT_ONCE,
            what: format!("values per step of training ({batch} examples × {neurons} values)"),
            advice: "take a smaller batch",
        });
        self.within(Product {
            key: "quantize.calibration_rows",
            figure: neurons.saturating_mul(rows as u64),
            limit: MAX_VALUES_AT_ONCE,
            what: format!("values measured ({rows} rows × {neurons} values)"),
            advice: "take fewer rows",
        });
    }

    /// Values that enter the perceptron's first layer, and those that leave each. It may be chosen on the command
    /// line, so its sizes hold whatever the recipe's algorithm.
    fn layer_widths(&self) -> Vec<u64> {
        let hidden = &self.recipe.train.mlp.hidden;
        let classes = self.recipe.target.labels.len() as u64;
        std::iter::once(self.feature_width())
            .chain(hidden.iter().map(|&width| width as u64))
            .chain([classes])
            .collect()
    }

    /// Values the model's core sees: those the features compute, or the raw ones where none does.
    fn feature_width(&self) -> u64 {
        let all = self.recipe.data.channels().count();
        let of = |channels: &[String]| match channels.len() {
            0 => all,
            some => some,
        };
        let computed = self.recipe.features.iter().map(|feature| match feature {
            Feature::Standardize => 0,
            Feature::Spectrum { channels, bands } => product([of(channels), *bands]),
            Feature::Statistics {
                channels,
                statistics,
            } => product([of(channels), statistics.len()]),
        });
        match computed.fold(0, u64::saturating_add) {
            0 => product([self.recipe.data.steps(), all]),
            width => width,
        }
    }

    fn spectrum_sizes(&mut self) {
        let steps = self.recipe.data.steps() as u64;
        for (index, feature) in self.recipe.features.iter().enumerate() {
            let Feature::Spectrum { bands, .. } = feature else {
                continue;
            };
            let bands = (*bands as u64).max(1);
            let per_band = steps / bands;
            let squares = per_band
                .saturating_mul(per_band)
                .saturating_add(bands.saturating_mul(bands).saturating_mul(8));
            self.require(
                squares <= MAX_SPECTRUM_CONSTANTS,
                format!("features[{index}].bands"),
                || {
                    format!(
                        "{squares} constants (8 × {bands}² bands + ({steps} steps / {bands} bands)²), at most \
                         {MAX_SPECTRUM_CONSTANTS}; take shorter windows, or bands nearer to √(steps / 3)"
                    )
                },
            );
        }
    }

    /// Targets are known by name here; a descriptor file is read when something is made for it.
    pub(super) fn targets(&mut self) {
        let targets = &self.recipe.deploy.targets;
        let known = crate::target::names();
        self.require(!targets.is_empty(), "deploy.targets", || {
            format!(
                "no target is named; name at least one of {}",
                known.join(", ")
            )
        });
        for (index, name) in targets.iter().enumerate() {
            let good = name.ends_with(".toml") || known.contains(&name.as_str());
            self.require(good, format!("deploy.targets[{index}]"), || {
                format!(
                    "there is no target \"{name}\"; there are {}, or give the path of a descriptor (.toml)",
                    known.join(", ")
                )
            });
        }
    }
}

fn product<const N: usize>(factors: [usize; N]) -> u64 {
    factors
        .iter()
        .fold(1u64, |all, &factor| all.saturating_mul(factor as u64))
}
