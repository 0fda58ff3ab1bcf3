//! `[[features]]`, `[train]`, `[gates]`, `[quantize]`, `[monitor]` and `[deploy]`.

use super::super::{Feature, Gates};
use super::Check;

impl Check<'_, '_> {
    pub(super) fn features(&mut self) {
        for (index, feature) in self.recipe.features.iter().enumerate() {
            let key = format!("features[{index}]");
            match feature {
                Feature::Standardize => {}
                Feature::Spectrum { channels, bands } => {
                    self.known_channels(&key, channels);
                    let most = self.recipe.data.steps() / 2;
                    self.require((1..=most).contains(bands), format!("{key}.bands"), || {
                        format!("found {bands}, expected 1 to {most} (half the steps of a window)")
                    });
                }
                Feature::Statistics {
                    channels,
                    statistics,
                } => {
                    self.known_channels(&key, channels);
                    self.require(!statistics.is_empty(), format!("{key}.statistics"), || {
                        "name at least one".to_owned()
                    });
                }
            }
        }
    }

    fn known_channels(&mut self, key: &str, channels: &[String]) {
        let known: Vec<&str> = self
            .recipe
            .data
            .channels()
            .map(|column| column.name.as_str())
            .collect();
        for name in channels {
            self.require(
                known.contains(&name.as_str()),
                format!("{key}.channels"),
                || {
                    format!(
                        "there is no channel \"{name}\"; there are {}",
                        known.join(", ")
                    )
                },
            );
        }
    }

    pub(super) fn train(&mut self) {
        let train = &self.recipe.train;
        let (logistic, forest, mlp) = (&train.logistic, &train.forest, &train.mlp);
        self.require(logistic.l2 >= 0.0, "train.logistic.l2", || {
            format!("found {}, expected 0 or more", logistic.l2)
        });
        let trees = forest.trees > 0 && forest.max_depth > 0 && forest.min_leaf > 0;
        self.require(trees, "train.forest", || {
            "trees, max_depth and min_leaf must be at least 1".to_owned()
        });
        let layers = mlp.hidden.iter().all(|width| (1..=65_536).contains(width));
        self.require(layers, "train.mlp.hidden", || {
            "every layer must be 1 to 65536 wide".to_owned()
        });
        let steps = mlp.batch > 0 && mlp.max_epochs > 0 && mlp.patience > 0;
        self.require(steps, "train.mlp", || {
            "batch, max_epochs and patience must be at least 1".to_owned()
        });
        let rate = mlp.learning_rate > 0.0 && mlp.learning_rate.is_finite();
        self.require(rate, "train.mlp.learning_rate", || {
            format!("found {}, expected more than 0", mlp.learning_rate)
        });
        self.require(mlp.weight_decay >= 0.0, "train.mlp.weight_decay", || {
            "expected 0 or more".to_owned()
        });
        self.require(
            self.recipe.quantize.calibration_rows > 0,
            "quantize.calibration_rows",
            || "expected at least 1".to_owned(),
        );
    }

    pub(super) fn gates(&mut self) {
        let gates = &self.recipe.gates;
        self.limits("gates", gates);
        let split = &self.recipe.split;
        let mut known: Vec<&str> = split
            .test_file
            .iter()
            .map(|test| test.name.as_str())
            .collect();
        if split.test.is_some() {
            known.push(crate::data::SHARE_TEST);
        }
        for (name, gate) in &gates.test {
            let key = format!("gates.test.{name}");
            self.require(known.contains(&name.as_str()), key.clone(), || {
                format!(
                    "there is no test \"{name}\"; there are {}",
                    known.join(", ")
                )
            });
            self.require(gate.test.is_empty(), format!("{key}.test"), || {
                "a test has no tests of its own".to_owned()
            });
            self.limits(&key, gate);
        }
    }

    fn limits(&mut self, key: &str, gates: &Gates) {
        for demand in gates.demands() {
            let inside = (0.0..=1.0).contains(&demand.limit);
            self.require(inside, format!("{key}.{}", demand.measure), || {
                format!("found {}, expected 0 to 1", demand.limit)
            });
        }
    }

    pub(super) fn device(&mut self) {
        let monitor = &self.recipe.monitor;
        let period = monitor.sample_period;
        self.fraction("monitor.false_alarm_rate", Some(monitor.false_alarm_rate));
        self.require(period.ms > 0, "monitor.sample_period", || {
            "expected more than 0".to_owned()
        });
        for (key, length) in [
            ("monitor.window", monitor.window),
            ("monitor.block", monitor.block),
        ] {
            self.require(length >= period, key, || {
                format!("found \"{length}\", expected at least the sample period \"{period}\"")
            });
        }
        let labels = &self.recipe.target.labels;
        for (index, label) in monitor.reference.iter().enumerate() {
            self.require(
                labels.contains(label),
                format!("monitor.reference[{index}]"),
                || {
                    format!(
                        "there is no label \"{label}\"; there are {}",
                        labels.join(", ")
                    )
                },
            );
        }
        let tolerance = self.recipe.deploy.probability_tolerance;
        self.fraction("deploy.probability_tolerance", Some(tolerance));
    }
}
