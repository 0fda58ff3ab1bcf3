use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use super::*;

const HORIZONTAL: usize = 0;
const VERTICAL: usize = 1;
const AXIAL: usize = 2;

fn settings() -> Simulation {
    Simulation {
        sessions: 3,
        windows: 4,
        ..Simulation::default()
    }
}

/// A machine that runs for `seconds` in one condition.
fn run(condition: Condition, severity: f64, speed: f64, seconds: usize) -> Vec<f32> {
    let settings = Simulation {
        steps: 1600,
        noise: 0.05,
        ..Simulation::default()
    };
    let phase = Phase {
        condition,
        severity,
        windows: seconds,
        speed,
    };
    stream(&settings, 7, &[phase])
        .flat_map(|window| window.values)
        .collect()
}

fn axis(values: &[f32], axis: usize) -> Vec<f64> {
    values
        .iter()
        .skip(axis)
        .step_by(3)
        .map(|&value| f64::from(value))
        .collect()
}

/// Amplitude near `hz` (±4 %), from a spectrum with one line a hertz or finer.
fn amplitude(signal: &[f64], hz: f64) -> f64 {
    let mut spectrum: Vec<Complex<f64>> = signal
        .iter()
        .map(|&value| Complex::new(value, 0.0))
        .collect();
    FftPlanner::new()
        .plan_fft_forward(spectrum.len())
        .process(&mut spectrum);
    let line = |hz: f64| (hz * signal.len() as f64 / 1600.0) as usize;
    let power: f64 = spectrum[line(hz * 0.96)..=line(hz * 1.04)]
        .iter()
        .map(Complex::norm_sqr)
        .sum();
    2.0 * power.sqrt() / signal.len() as f64
}

fn kurtosis(signal: &[f64]) -> f64 {
    let mean = signal.iter().sum::<f64>() / signal.len() as f64;
    let moment = |power: i32| {
        signal.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / signal.len() as f64
    };
    moment(4) / moment(2).powi(2)
}

fn speed_hz() -> f64 {
    let bins = axis(&run(Condition::Imbalance, 1.0, 1.0, 4), HORIZONTAL);
    (260..340)
        .map(|tenth| f64::from(tenth) / 10.0)
        .max_by(|a, b| narrow(&bins, *a).total_cmp(&narrow(&bins, *b)))
        .unwrap()
}

fn narrow(signal: &[f64], hz: f64) -> f64 {
    let turn = |index: usize| std::f64::consts::TAU * hz * index as f64 / 1600.0;
    let sum = |part: fn(f64) -> f64| {
        signal
            .iter()
            .enumerate()
            .map(|(index, value)| value * part(turn(index)))
            .sum::<f64>()
    };
    sum(f64::cos).hypot(sum(f64::sin))
}

#[test]
fn equal_settings_give_equal_windows_and_seeds_differ() {
    let all: Vec<Window> = windows(&settings()).collect();
    assert_eq!(all, windows(&settings()).collect::<Vec<_>>());
    let other = Simulation {
        seed: 2,
        ..settings()
    };
    assert_ne!(all[0].values, windows(&other).next().unwrap().values);
    assert_eq!(all.len(), 3 * 4 * 4);
    assert!(all.iter().all(|window| window.values.len() == 128 * 3));
}

#[test]
fn sessions_are_groups_with_times_of_their_own() {
    let all: Vec<Window> = windows(&settings()).collect();
    assert_eq!(all[1].time_ms - all[0].time_ms, 80);
    assert_eq!(all[4].session, 1);
    assert_eq!(all[4].time_ms - all[0].time_ms, 3_600_000);
    for condition in Condition::ALL {
        assert_eq!(
            all.iter()
                .filter(|window| window.condition == condition)
                .count(),
            12
        );
    }
    let severities: std::collections::BTreeSet<String> = all
        .iter()
        .filter(|w| w.condition == Condition::Bearing)
        .map(|w| w.severity.to_string())
        .collect();
    assert_eq!(severities.len(), 3);
}

#[test]
fn ball_passes_of_a_6205_match_its_tables() {
    assert!((BEARING.outer_passes_per_turn() - 3.585).abs() < 0.001);
}

#[test]
fn imbalance_grows_with_the_square_of_speed_at_one_times() {
    let f = speed_hz();
    let at = |speed: f64, severity| {
        amplitude(
            &axis(&run(Condition::Imbalance, severity, speed, 4), HORIZONTAL),
            f * speed,
        )
    };
    assert!(at(1.0, 1.0) > 5.0 * at(1.0, 0.0));
    assert!((at(2.0, 1.0) / at(1.0, 1.0) - 4.0).abs() < 0.4);
}

#[test]
fn misalignment_shows_at_two_times_and_along_the_shaft() {
    let f = speed_hz();
    let (healthy, faulty) = (
        run(Condition::Healthy, 0.0, 1.0, 4),
        run(Condition::Misalignment, 1.0, 1.0, 4),
    );
    let ratio =
        |side, hz| amplitude(&axis(&faulty, side), hz) / amplitude(&axis(&healthy, side), hz);
    assert!(ratio(HORIZONTAL, 2.0 * f) > 4.0);
    assert!(ratio(AXIAL, 2.0 * f) > 4.0 && ratio(AXIAL, f) > 4.0);
}

#[test]
fn bearing_wear_is_impulsive_and_repeats_at_the_ball_pass_frequency() {
    let (healthy, worn) = (
        run(Condition::Healthy, 0.0, 1.0, 8),
        run(Condition::Bearing, 1.0, 1.0, 8),
    );
    let (healthy, worn) = (axis(&healthy, VERTICAL), axis(&worn, VERTICAL));
    assert!(
        kurtosis(&worn) > kurtosis(&healthy) + 0.5,
        "{} {}",
        kurtosis(&worn),
        kurtosis(&healthy)
    );
    let envelope = |signal: &[f64]| {
        let high: Vec<f64> = signal
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).powi(2))
            .collect();
        let mean = high.iter().sum::<f64>() / high.len() as f64;
        high.iter().map(|value| value - mean).collect::<Vec<f64>>()
    };
    let passes = BEARING.outer_passes_per_turn() * speed_hz();
    let beside = passes * 1.25;
    let (at, off) = (
        amplitude(&envelope(&worn), passes),
        amplitude(&envelope(&worn), beside),
    );
    assert!(at > 2.0 * off, "{at} {off}");
}

#[test]
fn stream_changes_condition_where_the_phase_says() {
    let phases = [
        Phase {
            windows: 3,
            ..Phase::default()
        },
        Phase {
            windows: 0,
            ..Phase::default()
        },
        Phase {
            condition: Condition::Imbalance,
            severity: 1.0,
            windows: 2,
            speed: 1.0,
        },
    ];
    let made: Vec<Window> = stream(&settings(), 99, &phases).collect();
    let conditions: Vec<&str> = made.iter().map(|window| window.condition.name()).collect();
    assert_eq!(
        conditions,
        ["healthy", "healthy", "healthy", "imbalance", "imbalance"]
    );
    assert_eq!(made[4].time_ms - made[0].time_ms, 320);
    let energy = |window: &Window| window.values.iter().map(|value| value * value).sum::<f32>();
    assert!(energy(&made[3]) > 3.0 * energy(&made[2]));
}

#[test]
fn conditions_are_read_by_name_and_others_refused_with_the_list() {
    for condition in Condition::ALL {
        assert_eq!(condition.name().parse(), Ok(condition));
    }
    let error = "broken".parse::<Condition>().unwrap_err().to_string();
    assert!(
        error.contains("healthy, imbalance, misalignment and bearing"),
        "{error}"
    );
}
