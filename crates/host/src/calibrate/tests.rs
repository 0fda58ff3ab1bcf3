use std::path::PathBuf;

use dunlin_monitor::{Monitor, Outcome};
use dunlin_wire::baseline::Baseline;
use dunlin_wire::record::Window;
use dunlin_wire::schema::{Channel, ElementType, Schema};

use super::*;
use crate::data::{ChannelSchema, LoadOptions, Splits, load};
use crate::recipe::{Period, Recipe};
use crate::simulate::{Condition, Phase, stream};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read_recipe(name: &str) -> Recipe {
    Recipe::read(&root().join("models").join(name).join("recipe.toml")).expect("the recipe is good")
}

fn calibrated(splits: &Splits, recipe: &Recipe) -> Calibration {
    let parts = [&splits.train, &splits.validation].map(|examples| Part {
        examples,
        predicted: &examples.labels,
        unseen: None,
    });
    calibrate(&parts, &recipe.monitor).expect("there are enough blocks")
}

/// Streams examples through a monitor as a device does, the labels for answers.
fn windows(examples: &Examples, section: &[u8]) -> Vec<Window> {
    let baseline = Baseline::parse(section).expect("a good section");
    let mut monitor =
        Monitor::new(&device_schema(examples), baseline).expect("the same channels and labels");
    let mut windows = Vec::new();
    for (index, (&time_ms, &label)) in examples.time_ms.iter().zip(&examples.labels).enumerate() {
        let now_ms = time_ms as u64;
        if monitor.is_due(now_ms) {
            windows.extend(monitor.finish(now_ms));
        }
        let answer = Outcome::Answer {
            label: Some(label),
            confidence: 0.9,
            latency_us: 100,
        };
        monitor.observe(now_ms, examples.input(index).expect("in range"), answer);
    }
    let last = examples.time_ms.last().copied().unwrap_or_default() as u64;
    windows.extend(monitor.finish(last));
    windows
}

fn device_schema(examples: &Examples) -> Schema<'_> {
    Schema {
        steps: examples.schema.steps as u32,
        element: ElementType::F32,
        sample_period_ms: examples.schema.sample_period_ms,
        stuck_after: examples.schema.stuck_after,
        channels: examples
            .schema
            .channels
            .iter()
            .map(|c| Channel {
                name: &c.name,
                unit: &c.unit,
                minimum: c.minimum,
                maximum: c.maximum,
            })
            .collect(),
        labels: examples.label_names.iter().map(String::as_str).collect(),
    }
}

fn drifted_channels(window: &Window) -> Vec<usize> {
    (0..window.channels.len())
        .filter(|&index| window.channels[index].drifted)
        .collect()
}

fn print_scores(name: &str, windows: &[Window]) {
    for window in windows {
        let scores: Vec<String> = window
            .channels
            .iter()
            .map(|c| {
                c.score.map_or("-".to_owned(), |score| {
                    format!("{score:.3}{}", if c.drifted { "*" } else { "" })
                })
            })
            .collect();
        let predictions = window
            .prediction_score
            .map_or("-".to_owned(), |score| format!("{score:.3}"));
        println!(
            "{name:<10} {:>5} inputs  {}  predictions {predictions}",
            window.inputs,
            scores.join("  ")
        );
    }
}

#[test]
fn in_the_office_the_first_test_stays_quiet_and_the_second_drifts_in_co2() {
    let data = root().join("../shared/data/occupancy");
    if !data.exists() {
        eprintln!("skipped: {} is not there", data.display());
        return;
    }
    let recipe = read_recipe("occupancy");
    let options = LoadOptions {
        data_dir: Some(data),
        ..LoadOptions::default()
    };
    let splits = load(&recipe, &options).expect("the files are good");
    let calibration = calibrated(&splits, &recipe);
    println!("{}", calibration.account);
    assert_eq!(
        (calibration.account.blocks, calibration.account.blocks_above),
        (5, 0)
    );
    assert!(calibration.account.falls_short());

    let results: Vec<Vec<Window>> = splits
        .tests
        .iter()
        .map(|(_, test)| windows(test, &calibration.section))
        .collect();
    for ((name, _), windows) in splits.tests.iter().zip(&results) {
        print_scores(name, windows);
    }
    let co2 = 3;
    let quiet = results[0]
        .iter()
        .filter(|window| window.judged)
        .collect::<Vec<_>>();
    assert!(!quiet.is_empty() && quiet.iter().all(|window| !window.drifted()));
    let judged = results[1]
        .iter()
        .filter(|window| window.judged)
        .collect::<Vec<_>>();
    let drifted = judged
        .iter()
        .filter(|window| window.channels[co2].drifted)
        .count();
    assert_eq!((judged.len(), drifted), (6, 5));
    assert!(judged.iter().all(|window| {
        drifted_channels(window)
            .iter()
            .all(|&channel| channel == co2)
    }));
}

#[test]
fn a_healthy_machine_stays_quiet_and_a_worn_bearing_drifts() {
    let recipe = read_recipe("machine");
    let splits = load(&recipe, &LoadOptions::default()).expect("simulated data is good");
    let calibration = calibrated(&splits, &recipe);
    println!("{}", calibration.account);
    let simulation = recipe.data.simulation.as_ref().expect("simulated");
    let phases = [
        Phase {
            windows: 200,
            ..Phase::default()
        },
        Phase {
            condition: Condition::Bearing,
            severity: 1.0,
            windows: 200,
            speed: 1.0,
        },
    ];
    let mut examples = Examples::new(
        splits.train.schema.clone(),
        splits.train.label_names.clone(),
    );
    for (index, window) in stream(simulation, 77, &phases).enumerate() {
        examples.inputs.extend(window.values.iter().copied());
        examples.labels.push(window.condition as u32);
        examples.time_ms.push(index as i64 * 80);
        examples.group.push(0);
    }
    let windows = windows(&examples, &calibration.section);
    print_scores("machine", &windows);
    assert_eq!(windows.len(), 8);
    assert!(windows[4..7].iter().all(Window::drifted));
}

fn series(values: impl IntoIterator<Item = f32>) -> Examples {
    let inputs: Vec<f32> = values.into_iter().collect();
    let schema = InputSchema {
        steps: 1,
        channels: vec![ChannelSchema {
            name: "level".into(),
            unit: "m".into(),
            minimum: -1e9,
            maximum: 1e9,
        }],
        sample_period_ms: 1_000,
        stuck_after: 0,
    };
    let count = inputs.len();
    Examples {
        schema,
        label_names: vec!["low".into(), "high".into()],
        labels: (0..count as u32).map(|i| i % 2).collect(),
        time_ms: (0..count as i64).map(|i| i * 1_000).collect(),
        group: vec![0; count],
        inputs,
    }
}

fn hourly() -> recipe::Monitor {
    let hour = Period { ms: 100_000 };
    recipe::Monitor {
        window: hour,
        block: hour,
        false_alarm_rate: 0.1,
        reference: Vec::new(),
        ..read_recipe("occupancy").monitor
    }
}

fn uniform(seed: u64, count: usize) -> impl Iterator<Item = f32> {
    let mut state = seed;
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32
    })
}

#[test]
fn thresholds_of_independent_samples_keep_the_stated_rate() {
    let (mut alarms, mut judged) = (0, 0);
    for seed in 0..30 {
        let train = series(uniform(seed, 4_000));
        let part = Part {
            examples: &train,
            predicted: &train.labels,
            unseen: None,
        };
        let calibration = calibrate(&[part], &hourly()).expect("40 blocks");
        assert_eq!(
            (calibration.account.blocks, calibration.account.blocks_above),
            (40, 3)
        );
        for window in windows(&series(uniform(1_000 + seed, 4_000)), &calibration.section) {
            judged += usize::from(window.judged);
            alarms += usize::from(window.judged && window.channels[0].drifted);
        }
    }
    let rate = alarms as f64 / judged as f64;
    println!("{alarms} false alarms in {judged} windows");
    assert!(judged > 1_000 && (0.07..0.13).contains(&rate), "{rate}");
}

#[test]
fn a_shift_is_told_by_the_section() {
    let train = series(uniform(1, 4_000));
    let part = Part {
        examples: &train,
        predicted: &train.labels,
        unseen: None,
    };
    let section = calibrate(&[part], &hourly()).expect("40 blocks").section;
    let shifted = series(uniform(2, 1_000).map(|value| value * 0.5));
    assert!(
        windows(&shifted, &section)
            .iter()
            .filter(|window| window.judged)
            .all(|window| window.channels[0].drifted)
    );
}

#[test]
fn the_order_of_parts_and_inputs_does_not_matter() {
    let whole = series(uniform(3, 2_000));
    let take = |wanted: fn(usize) -> bool| {
        let mut part = Examples::new(whole.schema.clone(), whole.label_names.clone());
        for index in (0..whole.len()).rev().filter(|&index| wanted(index)) {
            part.inputs.extend(whole.input(index).expect("in range"));
            part.labels.push(whole.labels[index]);
            part.time_ms.push(whole.time_ms[index]);
            part.group.push(0);
        }
        part
    };
    let (some, rest) = (take(|index| index % 3 == 0), take(|index| index % 3 != 0));
    let parts = [&rest, &some].map(|examples| Part {
        examples,
        predicted: &examples.labels,
        unseen: None,
    });
    let one = calibrate(
        &[Part {
            examples: &whole,
            predicted: &whole.labels,
            unseen: None,
        }],
        &hourly(),
    )
    .expect("20 blocks");
    assert_eq!(
        one.section,
        calibrate(&parts, &hourly()).expect("20 blocks").section
    );
}

#[test]
fn answers_on_data_the_model_was_not_fitted_to_set_the_least_threshold_of_predictions() {
    let whole = series(uniform(6, 5_000));
    let cut = |from: usize, to: usize| Examples {
        inputs: whole.inputs[from..to].to_vec(),
        labels: whole.labels[from..to].to_vec(),
        time_ms: whole.time_ms[from..to].to_vec(),
        group: whole.group[from..to].to_vec(),
        ..whole.clone()
    };
    let (fitted, fresh) = (cut(0, 4_500), cut(4_500, 5_000));
    let sure = vec![0; fitted.len()];
    let unsure: Vec<u32> = (0..fresh.len() as u32)
        .map(|i| u32::from(i % 20 == 0))
        .collect();
    let monitor = recipe::Monitor {
        false_alarm_rate: 0.2,
        ..hourly()
    };
    let threshold = |parts: [(&Examples, &[u32]); 2]| {
        let parts = parts.map(|(examples, predicted)| Part {
            examples,
            predicted,
            unseen: None,
        });
        calibrate(&parts, &monitor)
            .expect("50 blocks")
            .account
            .predictions
            .threshold
    };
    let fitted_first = threshold([(&fitted, &sure), (&fresh, &unsure)]);
    let fitted_last = threshold([(&fresh, &unsure), (&fitted, &sure)]);
    assert!(
        fitted_first > 3.0 * fitted_last,
        "{fitted_first} {fitted_last}"
    );
}

#[test]
fn blocks_do_not_cross_groups() {
    let mut sessions = series(uniform(4, 950));
    sessions.group = (0..950).map(|index| index / 95).collect();
    let part = Part {
        examples: &sessions,
        predicted: &sessions.labels,
        unseen: None,
    };
    let account = calibrate(&[part], &hourly()).expect("10 sessions").account;
    assert_eq!((account.blocks, account.inputs_per_window), (10, 95));
}

#[test]
fn too_little_data_is_refused_with_numbers() {
    let short = series(uniform(5, 100));
    let part = Part {
        examples: &short,
        predicted: &short.labels,
        unseen: None,
    };
    assert_eq!(
        calibrate(&[part], &hourly()).unwrap_err(),
        CalibrateError::TooFewBlocks {
            blocks: 1,
            inputs: 100
        }
    );
    let unknown = recipe::Monitor {
        reference: vec!["none".into()],
        ..hourly()
    };
    assert!(
        matches!(calibrate(&[part], &unknown), Err(CalibrateError::UnknownLabel { label }) if label == "none")
    );
}

/// Forty quiet windows' lengths and one that shifts in their midst.
fn with_one_odd_block() -> Examples {
    let odd = |index: usize| (2_000..2_100).contains(&index);
    let shift = |(index, value): (usize, f32)| if odd(index) { value + 1e8 } else { value };
    series(uniform(8, 4_000).enumerate().map(shift))
}

/// The windows of the blocks around the odd one hold part of it, so that thresholds from them would let it pass.
#[test]
fn a_block_is_judged_only_by_windows_that_share_no_data_with_it() {
    let train = with_one_odd_block();
    let part = Part {
        examples: &train,
        predicted: &train.labels,
        unseen: None,
    };
    let monitor = recipe::Monitor {
        false_alarm_rate: 0.02,
        ..hourly()
    };
    let account = calibrate(&[part], &monitor).expect("40 blocks").account;
    let held_out = account.any_flag.expect("enough blocks");
    assert_eq!((account.blocks, held_out.judged), (40, 40));
    assert_eq!((held_out.fewest, held_out.most), (37, 38));
    let odd_windows = 1.9 / 40.0;
    assert!(
        held_out.rate.expected > 0.7 * odd_windows,
        "{held_out:?} misses the odd block"
    );
    assert!(account.to_string().contains("that share no data with it"));
}

#[test]
fn answers_to_unseen_blocks_set_the_threshold_of_predictions_and_not_their_reference() {
    let whole = series(uniform(9, 4_000));
    let sure = vec![0; whole.len()];
    let unsure: Vec<u32> = (0..whole.len() as u32)
        .map(|i| u32::from(i % 7 == 0 && i % 400 < 100))
        .collect();
    let of = |unseen: Option<&[u32]>| {
        let part = Part {
            examples: &whole,
            predicted: &sure,
            unseen,
        };
        calibrate(&[part], &hourly()).expect("40 blocks")
    };
    let (seen, unseen) = (of(None), of(Some(&unsure)));
    assert_eq!(
        (seen.account.answers, unseen.account.answers),
        (Answers::Seen, Answers::Unseen)
    );
    assert!(
        unseen.account.predictions.threshold > seen.account.predictions.threshold + 0.1,
        "{} {}",
        unseen.account.predictions.threshold,
        seen.account.predictions.threshold
    );
    let counts = |section: &[u8]| {
        Baseline::parse(section)
            .expect("a good section")
            .prediction_counts()
            .collect::<Vec<u32>>()
    };
    assert_eq!(counts(&seen.section), counts(&unseen.section));
    let told = seen.account.to_string();
    assert!(told.contains("their threshold may be too low"), "{told}");
    assert!(matches!(
        calibrate(
            &[Part {
                examples: &whole,
                predicted: &sure,
                unseen: Some(&[0])
            }],
            &hourly()
        ),
        Err(CalibrateError::Mismatch)
    ));
}
