//! What must hold of a recipe beyond its types.

use std::collections::HashSet;

use super::position::Positions;
use super::{ColumnKind, Feature, Format, Gate, Problem, Recipe, SplitKind};

/// Every problem of a recipe, in the order of their lines.
pub(super) fn problems(recipe: &Recipe, positions: &Positions) -> Vec<Problem> {
    let mut check = Check {
        recipe,
        positions,
        problems: Vec::new(),
    };
    check.heading();
    check.data();
    check.columns();
    check.simulation();
    check.target();
    check.split();
    check.features();
    check.train();
    check.gates();
    check.device();
    check.problems.sort_by_key(|problem| problem.line);
    check.problems
}

struct Check<'a, 't> {
    recipe: &'a Recipe,
    positions: &'a Positions<'t>,
    problems: Vec<Problem>,
}

impl Check<'_, '_> {
    fn problem(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        let line = self.positions.line(&key);
        self.problems.push(Problem {
            file: self.recipe.path.clone(),
            line,
            key,
            message: message.into(),
        });
    }

    fn require(&mut self, holds: bool, key: impl Into<String>, message: impl FnOnce() -> String) {
        if !holds {
            self.problem(key, message());
        }
    }

    fn fraction(&mut self, key: &str, value: Option<f64>) {
        let inside = value.is_none_or(|value| value > 0.0 && value < 1.0);
        self.require(inside, key, || {
            format!(
                "found {}, expected a share above 0 and below 1",
                value.unwrap_or_default()
            )
        });
    }

    fn heading(&mut self) {
        let name = &self.recipe.name;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = !name.is_empty() && name.len() <= 32 && name.bytes().all(allowed);
        self.require(good, "name", || {
            format!("found \"{name}\", expected 1 to 32 characters of a-z, 0-9 and -")
        });
        self.require(self.recipe.version > 0, "version", || {
            "found 0, expected a version from 1".to_owned()
        });
    }

    fn data(&mut self) {
        let data = &self.recipe.data;
        let simulated = data.format == Format::Simulated;
        self.require(simulated || !data.files.is_empty(), "data.files", || {
            "no file is named; list at least one, relative to the data directory".to_owned()
        });
        self.require(!simulated || data.files.is_empty(), "data.files", || {
            "simulated data has no files; remove the list or change data.format".to_owned()
        });
        for (index, file) in data.files.iter().enumerate() {
            self.require(file.is_relative(), format!("data.files[{index}]"), || {
                absolute(&file.display().to_string())
            });
        }
        self.text_format();
        if let Some(window) = data.window {
            let good = window.steps > 0 && window.stride > 0;
            self.require(good, "data.window", || {
                "steps and stride must be at least 1".to_owned()
            });
            self.require(!simulated, "data.window", || {
                "simulated data has its steps in data.simulation".to_owned()
            });
        }
    }

    fn text_format(&mut self) {
        let data = &self.recipe.data;
        let ascii = data
            .delimiter
            .is_none_or(|delimiter| delimiter.is_ascii() && delimiter != '"');
        self.require(ascii, "data.delimiter", || {
            "expected one ASCII character such as \",\", \";\" or \"\\t\"".to_owned()
        });
        self.require(matches!(data.decimal, '.' | ','), "data.decimal", || {
            format!("found \"{}\", expected \".\" or \",\"", data.decimal)
        });
        self.require(
            data.thousands != Some(data.decimal),
            "data.thousands",
            || "the thousands separator cannot be the decimal separator".to_owned(),
        );
        let known = |label: &String| encoding_rs::Encoding::for_label(label.as_bytes()).is_some();
        self.require(data.encoding.as_ref().is_none_or(known), "data.encoding", || {
            "unknown encoding; expected a label such as \"utf-8\", \"utf-16le\" or \"windows-1252\"".to_owned()
        });
        if let Some(time) = &data.time {
            let good = crate::data::offset_seconds(&time.offset).is_some();
            self.require(good, "data.time.offset", || {
                format!(
                    "found \"{}\", expected an offset such as \"+01:00\"",
                    time.offset
                )
            });
        }
    }

    fn columns(&mut self) {
        let data = &self.recipe.data;
        self.require(data.channels().next().is_some(), "data.column", || {
            "no column is a number; give each input of the model a [[data.column]] with kind = \"number\"".to_owned()
        });
        let mut seen = HashSet::new();
        for (index, column) in data.column.iter().enumerate() {
            let key = format!("data.column[{index}]");
            let new = seen.insert(&column.name);
            self.require(new, format!("{key}.name"), || {
                format!("the column \"{}\" is described twice", column.name)
            });
            let time = data
                .time
                .as_ref()
                .is_some_and(|time| time.column == column.name);
            self.require(!time, format!("{key}.name"), || {
                format!(
                    "\"{}\" is the time column of [data.time]; remove it here",
                    column.name
                )
            });
            let target = column.name == self.recipe.target.column;
            self.require(
                target == (column.kind == ColumnKind::Label),
                format!("{key}.kind"),
                || {
                    format!(
                        "the label is the column of [target], \"{}\"; there is no other",
                        self.recipe.target.column
                    )
                },
            );
            self.range(&key, index);
        }
        let groups = data
            .column
            .iter()
            .filter(|column| column.kind == ColumnKind::Group)
            .count();
        self.require(groups <= 1, "data.column", || {
            format!("{groups} columns are groups, expected one at most")
        });
    }

    fn range(&mut self, key: &str, index: usize) {
        let Some(column) = self.recipe.data.column.get(index) else {
            return;
        };
        if let (Some(minimum), Some(maximum)) = (column.minimum, column.maximum) {
            self.require(minimum < maximum, format!("{key}.minimum"), || {
                format!("found {minimum}, expected less than the maximum {maximum}")
            });
        }
        let complete = column.kind != ColumnKind::Number
            || (column.minimum.is_some() && column.maximum.is_some());
        self.require(complete, key, || {
            format!(
                "\"{}\" has no minimum or no maximum; give the range the sensor can deliver",
                column.name
            )
        });
    }

    fn simulation(&mut self) {
        let data = &self.recipe.data;
        let Some(simulation) = &data.simulation else {
            self.require(data.format != Format::Simulated, "data.format", || {
                "simulated data needs a table [data.simulation]; it may be empty".to_owned()
            });
            return;
        };
        self.require(data.format == Format::Simulated, "data.simulation", || {
            "is read only with data.format = \"simulated\"".to_owned()
        });
        let [least, greatest] = simulation.severity;
        self.require(
            least > 0.0 && least <= greatest && greatest <= 2.0,
            "data.simulation.severity",
            || {
                format!(
                    "found [{least}, {greatest}], expected two rising numbers above 0 and at most 2"
                )
            },
        );
        let counts = simulation.steps >= 8 && simulation.sessions >= 3 && simulation.windows >= 1;
        self.require(counts, "data.simulation", || {
            "expected steps >= 8, sessions >= 3 and windows >= 1".to_owned()
        });
        let nyquist = f64::from(simulation.rate_hz) / 2.0;
        self.require(
            simulation.speed_hz > 0.0 && simulation.speed_hz * 8.0 < nyquist,
            "data.simulation.speed_hz",
            || {
                format!(
                    "found {}, expected a speed above 0 whose 8th harmonic is below {nyquist} Hz",
                    simulation.speed_hz
                )
            },
        );
        let channels: Vec<&str> = data.channels().map(|column| column.name.as_str()).collect();
        self.require(channels == crate::simulate::CHANNELS, "data.column", || {
            format!(
                "found {}, expected the simulator's channels {}",
                channels.join(", "),
                crate::simulate::CHANNELS.join(", ")
            )
        });
        for (index, label) in self.recipe.target.labels.iter().enumerate() {
            let condition = label.parse::<crate::simulate::Condition>();
            let message = condition.err().map(|error| error.to_string());
            self.require(message.is_none(), format!("target.labels[{index}]"), || {
                message.unwrap_or_default()
            });
        }
        let noise = simulation.noise >= 0.0 && simulation.noise.is_finite();
        self.require(noise, "data.simulation.noise", || {
            "expected 0 or more".to_owned()
        });
    }

    fn target(&mut self) {
        let target = &self.recipe.target;
        self.require(target.labels.len() >= 2, "target.labels", || {
            "expected at least two labels".to_owned()
        });
        let distinct: HashSet<_> = target.labels.iter().collect();
        self.require(
            distinct.len() == target.labels.len(),
            "target.labels",
            || "a label stands there twice".to_owned(),
        );
        let paired = target.values.is_empty() || target.values.len() == target.labels.len();
        self.require(paired, "target.values", || {
            format!(
                "found {} values for {} labels, expected one each",
                target.values.len(),
                target.labels.len()
            )
        });
    }

    fn split(&mut self) {
        let split = &self.recipe.split;
        self.fraction("split.validation", split.validation);
        self.fraction("split.test", split.test);
        let whole = split.validation.unwrap_or(0.0) + split.test.unwrap_or(0.0) < 1.0;
        self.require(whole, "split", || {
            "validation and test together leave no row to train".to_owned()
        });
        self.require(
            split.validation.is_some() == split.validation_days.is_empty(),
            "split.validation",
            || "give either validation (a share) or validation_days".to_owned(),
        );
        self.require(
            split.test.is_some() == split.test_file.is_empty(),
            "split.test",
            || "give either test (a share) or [[split.test_file]]".to_owned(),
        );
        self.split_kind();
        let mut names = HashSet::new();
        for (index, test) in split.test_file.iter().enumerate() {
            let key = format!("split.test_file[{index}]");
            self.require(names.insert(&test.name), format!("{key}.name"), || {
                format!("two tests are named \"{}\"", test.name)
            });
            self.require(test.file.is_relative(), format!("{key}.file"), || {
                absolute(&test.file.display().to_string())
            });
        }
    }

    fn split_kind(&mut self) {
        let (split, data) = (&self.recipe.split, &self.recipe.data);
        let timed = data.time.is_some() || data.format == Format::Simulated;
        self.require(timed || split.kind != SplitKind::Time, "split.kind", || {
            "a split by time needs [data.time]".to_owned()
        });
        self.require(
            split.kind == SplitKind::Time || split.validation_days.is_empty(),
            "split.validation_days",
            || "days can be chosen only with kind = \"time\"".to_owned(),
        );
        for (index, day) in split.validation_days.iter().enumerate() {
            let good = day.parse::<jiff::civil::Date>().is_ok();
            self.require(good, format!("split.validation_days[{index}]"), || {
                format!("found \"{day}\", expected a day such as \"2015-02-09\"")
            });
        }
        let grouped = data.format == Format::Simulated
            || data
                .column
                .iter()
                .any(|column| column.kind == ColumnKind::Group);
        self.require(
            grouped || split.kind != SplitKind::Group,
            "split.kind",
            || "a split by group needs a column with kind = \"group\"".to_owned(),
        );
        let rows = matches!(split.kind, SplitKind::Stratified | SplitKind::Random);
        self.require(!(rows && data.window.is_some()), "split.kind", || {
            "windows of several rows can be split only by time or by group".to_owned()
        });
    }

    fn features(&mut self) {
        let known: Vec<&str> = self
            .recipe
            .data
            .channels()
            .map(|column| column.name.as_str())
            .collect();
        for (index, feature) in self.recipe.features.iter().enumerate() {
            let key = format!("features[{index}]");
            let channels = match feature {
                Feature::Standardize => continue,
                Feature::Spectrum { channels, bands } => {
                    let most = self.recipe.data.steps() / 2;
                    self.require((1..=most).contains(bands), format!("{key}.bands"), || {
                        format!("found {bands}, expected 1 to {most} (half the steps of a window)")
                    });
                    channels
                }
                Feature::Statistics {
                    channels,
                    statistics,
                } => {
                    self.require(!statistics.is_empty(), format!("{key}.statistics"), || {
                        "name at least one".to_owned()
                    });
                    channels
                }
            };
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
    }

    fn train(&mut self) {
        let train = &self.recipe.train;
        let (logistic, forest, mlp) = (&train.logistic, &train.forest, &train.mlp);
        self.require(logistic.l2 >= 0.0, "train.logistic.l2", || {
            format!("found {}, expected 0 or more", logistic.l2)
        });
        let trees = forest.trees > 0 && forest.max_depth > 0 && forest.min_leaf > 0;
        self.require(trees, "train.forest", || {
            "trees, max_depth and min_leaf must be at least 1".to_owned()
        });
        let layers = mlp.hidden.iter().all(|&width| width > 0);
        self.require(layers, "train.mlp.hidden", || {
            "every layer must be at least 1 wide".to_owned()
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

    fn gates(&mut self) {
        let gates = &self.recipe.gates;
        self.gate("gates", &gates.of_all());
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
            self.gate(&key, gate);
        }
    }

    fn gate(&mut self, key: &str, gate: &Gate) {
        let measures = [
            ("accuracy", gate.accuracy),
            ("balanced_accuracy", gate.balanced_accuracy),
            ("f1", gate.f1),
            ("roc_auc", gate.roc_auc),
            ("calibration_error", gate.calibration_error),
        ];
        for (name, value) in measures {
            let inside = value.is_none_or(|value| (0.0..=1.0).contains(&value));
            self.require(inside, format!("{key}.{name}"), || {
                format!("found {}, expected 0 to 1", value.unwrap_or_default())
            });
        }
    }

    fn device(&mut self) {
        let monitor = &self.recipe.monitor;
        self.fraction("monitor.false_alarm_rate", Some(monitor.false_alarm_rate));
        self.require(
            monitor.sample_period.ms > 0,
            "monitor.sample_period",
            || "expected more than 0".to_owned(),
        );
        self.require(
            monitor.window >= monitor.sample_period,
            "monitor.window",
            || {
                format!(
                    "found \"{}\", expected at least the sample period \"{}\"",
                    monitor.window, monitor.sample_period
                )
            },
        );
        self.require(
            monitor.block >= monitor.sample_period,
            "monitor.block",
            || {
                format!(
                    "found \"{}\", expected at least the sample period \"{}\"",
                    monitor.block, monitor.sample_period
                )
            },
        );
        for (index, label) in monitor.reference.iter().enumerate() {
            let labels = &self.recipe.target.labels;
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

fn absolute(file: &str) -> String {
    format!(
        "found \"{file}\", expected a path relative to the data directory; give the directory with --data"
    )
}
