use super::spectrum::SILENCE;
use super::*;
use crate::data::ChannelSchema;
use proptest::prelude::*;
use rustfft::{FftPlanner, num_complex::Complex};

const STEPS: usize = 128;
const BANDS: usize = 16;

fn examples(channels: &[&str], steps: usize, inputs: Vec<f32>) -> Examples {
    let channel = |name: &&str| ChannelSchema {
        name: (*name).to_owned(),
        unit: String::new(),
        minimum: -1e6,
        maximum: 1e6,
    };
    let channels = channels.iter().map(channel).collect();
    let schema = InputSchema {
        steps,
        channels,
        sample_period_ms: 80,
        stuck_after: 0,
    };
    let count = inputs.len() / schema.width();
    let mut examples = Examples::new(schema, vec!["a".into(), "b".into()]);
    examples.inputs = inputs;
    examples.labels = (0..count as u32).map(|index| index % 2).collect();
    examples.time_ms = vec![0; count];
    examples.group = vec![0; count];
    examples
}

/// A window of two channels: a tone with noise, and noise with spikes.
fn window(tone: f64, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX) - 0.5
    };
    let values = (0..STEPS).flat_map(|step| {
        let spike = if step % 31 == 0 { 4.0 } else { 0.0 };
        [
            9.81 + (tone * step as f64).sin() + 0.3 * noise(),
            noise() + spike,
        ]
    });
    values.map(|value| value as f32).collect()
}

fn channel(window: &[f32], index: usize) -> Vec<f64> {
    window
        .iter()
        .skip(index)
        .step_by(2)
        .map(|&value| f64::from(value))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn moment(values: &[f64], centre: f64, power: i32) -> f64 {
    mean(
        &values
            .iter()
            .map(|value| (value - centre).powi(power))
            .collect::<Vec<_>>(),
    )
}

fn statistic(statistic: Statistic, values: &[f64]) -> f64 {
    let centre = mean(values);
    match statistic {
        Statistic::Mean => centre,
        Statistic::Deviation => moment(values, centre, 2).sqrt(),
        Statistic::Rms => moment(values, 0.0, 2).sqrt(),
        Statistic::Magnitude => mean(&values.iter().map(|value| value.abs()).collect::<Vec<_>>()),
        Statistic::Kurtosis => moment(values, centre, 4) / moment(values, centre, 2).powi(2),
    }
}

/// Log mean square per band through a library's transform.
fn bands(values: &[f64]) -> Vec<f64> {
    let hann = |step: usize| 0.5 - 0.5 * (std::f64::consts::TAU * step as f64 / STEPS as f64).cos();
    let centre = mean(values);
    let weighted = values
        .iter()
        .enumerate()
        .map(|(step, value)| Complex::new((value - centre) * hann(step), 0.0));
    let mut bins: Vec<Complex<f64>> = weighted.collect();
    FftPlanner::new().plan_fft_forward(STEPS).process(&mut bins);
    let energy: f64 = (0..STEPS).map(|step| hann(step).powi(2)).sum();
    let power = |bin: &Complex<f64>| 2.0 * bin.norm_sqr() / (STEPS as f64 * energy);
    let per_band = STEPS / 2 / BANDS;
    bins[..STEPS / 2]
        .chunks(per_band)
        .map(|band| (band.iter().map(power).sum::<f64>() + f64::from(SILENCE)).ln())
        .collect()
}

fn spectrum_of(channels: &[&str]) -> Feature {
    Feature::Spectrum {
        channels: channels.iter().map(|name| (*name).to_owned()).collect(),
        bands: BANDS,
    }
}

const EVERY: [Statistic; 5] = [
    Statistic::Mean,
    Statistic::Deviation,
    Statistic::Rms,
    Statistic::Magnitude,
    Statistic::Kurtosis,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_nodes_compute_what_the_formulas_say(tone in 0.05f64..3.0, seed in any::<u32>()) {
        let window = window(tone, seed);
        let examples = examples(&["x", "y"], STEPS, window.clone());
        let declared = [Feature::Statistics { channels: vec![], statistics: EVERY.to_vec() }, spectrum_of(&[])];
        let features = Features::fit(&declared, &examples).unwrap();
        let got = features.apply(&window).unwrap();
        let series = [channel(&window, 0), channel(&window, 1)];
        let mut wanted: Vec<f64> = EVERY.iter().flat_map(|&one| series.iter().map(move |values| statistic(one, values))).collect();
        wanted.extend(series.iter().flat_map(|values| bands(values)));
        prop_assert_eq!(got.len(), wanted.len());
        prop_assert_eq!(features.names().len(), wanted.len());
        for ((got, wanted), name) in got.iter().zip(&wanted).zip(features.names()) {
            let tolerance = 2e-3 * (1.0 + wanted.abs());
            prop_assert!((f64::from(*got) - wanted).abs() < tolerance, "{}: {} for {}", name, got, wanted);
        }
    }
}

#[test]
fn a_tone_stands_in_its_own_band() {
    for band in 1..BANDS {
        let tone = std::f64::consts::PI * (band as f64 + 0.5) / BANDS as f64;
        let window = window(tone, 7);
        let features = Features::fit(
            &[spectrum_of(&["x"])],
            &examples(&["x", "y"], STEPS, window.clone()),
        )
        .unwrap();
        let got = features.apply(&window).unwrap();
        let loudest = (0..BANDS)
            .max_by(|&a, &b| got[a].total_cmp(&got[b]))
            .unwrap();
        assert_eq!(loudest, band, "{got:?}");
    }
}

#[test]
fn a_spectrum_of_sixteen_bands_fits_in_sixteen_kilobytes() {
    let features = Features::fit(
        &[spectrum_of(&[])],
        &examples(&["x", "y"], STEPS, window(1.0, 1)),
    )
    .unwrap();
    let model = features.model();
    let floats = model
        .graph()
        .unwrap()
        .initializer
        .iter()
        .filter(|tensor| tensor.element_type().unwrap() == DataType::Float);
    let bytes: usize = floats
        .map(|tensor| tensor.raw_data.as_ref().unwrap().len())
        .sum();
    assert!((8_000..=16_384).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_constant_window_has_finite_features() {
    let constant = vec![5.0; 2 * STEPS];
    let declared = [
        Feature::Statistics {
            channels: vec![],
            statistics: EVERY.to_vec(),
        },
        spectrum_of(&[]),
        Feature::Standardize,
    ];
    let features =
        Features::fit(&declared, &examples(&["x", "y"], STEPS, constant.clone())).unwrap();
    assert!(
        features
            .apply(&constant)
            .unwrap()
            .iter()
            .all(|value| value.is_finite())
    );
}

#[test]
fn standardised_training_values_have_mean_zero_and_deviation_one() {
    let rows: Vec<f32> = (0..300)
        .flat_map(|row| {
            [
                20.0 + (row % 7) as f32,
                0.004 + 1e-5 * (row % 11) as f32,
                3.0,
            ]
        })
        .collect();
    let examples = examples(&["t", "h", "constant"], 1, rows);
    let features = Features::fit(&[Feature::Standardize], &examples).unwrap();
    let values = features.apply(&examples.inputs).unwrap();
    for column in 0..2 {
        let column: Vec<f64> = values
            .iter()
            .skip(column)
            .step_by(3)
            .map(|&value| f64::from(value))
            .collect();
        assert!(
            mean(&column).abs() < 1e-3
                && (moment(&column, mean(&column), 2).sqrt() - 1.0).abs() < 1e-3
        );
    }
    assert!(values.iter().skip(2).step_by(3).all(|&value| value == 0.0));
}

#[test]
fn no_features_are_the_raw_values() {
    let examples = examples(&["t", "h"], 1, vec![1.0, 2.0, 3.0, 4.0]);
    let features = Features::fit(&[], &examples).unwrap();
    assert_eq!(features.apply(&examples.inputs).unwrap(), examples.inputs);
    assert_eq!(features.names(), ["t", "h"]);
}

#[test]
fn features_that_cannot_be_made_are_refused_with_the_reason() {
    let examples = examples(&["x", "y"], STEPS, window(1.0, 1));
    let fit = |declared: &[Feature]| Features::fit(declared, &examples);
    assert!(
        matches!(fit(&[spectrum_of(&["z"])]), Err(FeatureError::UnknownChannel { name }) if name == "z")
    );
    let odd = Feature::Spectrum {
        channels: vec![],
        bands: 24,
    };
    assert!(matches!(
        fit(&[odd]),
        Err(FeatureError::Bands {
            bands: 24,
            steps: STEPS
        })
    ));
    assert!(matches!(
        fit(&[Feature::Standardize, spectrum_of(&[])]),
        Err(FeatureError::NothingToScale)
    ));
}
