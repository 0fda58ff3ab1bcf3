//! What comparing one backend with the reference has found.

use std::fmt;

use serde::Serialize;

use super::Answer;

/// How far a value may be from the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// The same bytes.
    Exact,
    /// At most this absolute difference.
    Absolute(f32),
    /// At most this times the expected magnitude, or times 1 where that is less.
    Relative(f32),
    /// At most so many representable numbers apart. The two zeros are none apart.
    Ulp(u32),
}

impl Tolerance {
    /// Whether `got` is acceptable where the reference says `expected`. A NaN is only where the same
    /// NaN is expected.
    pub fn accepts(self, expected: f32, got: f32) -> bool {
        if expected.to_bits() == got.to_bits() {
            return true;
        }
        match self {
            Self::Exact => false,
            Self::Absolute(most) => difference(expected, got) <= most,
            Self::Relative(most) => difference(expected, got) <= most * expected.abs().max(1.0),
            Self::Ulp(most) => ulps(expected, got).is_some_and(|apart| apart <= most),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("same bytes"),
            Self::Absolute(most) => write!(f, "within {most}"),
            Self::Relative(most) => write!(f, "within {most} of the value or of 1"),
            Self::Ulp(most) => write!(f, "within {most} ulp"),
        }
    }
}

/// Infinite where one of the two is not a number, or infinite alone.
fn difference(expected: f32, got: f32) -> f32 {
    match expected == got {
        true => 0.0,
        false => Some((expected - got).abs())
            .filter(|difference| !difference.is_nan())
            .unwrap_or(f32::INFINITY),
    }
}

/// How many representable numbers lie between the two; `None` where one is not a number.
fn ulps(expected: f32, got: f32) -> Option<u32> {
    let place = |value: f32| {
        let magnitude = i64::from(value.to_bits() & 0x7fff_ffff);
        if value.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        }
    };
    let comparable = !expected.is_nan() && !got.is_nan();
    comparable
        .then(|| u32::try_from((place(expected) - place(got)).unsigned_abs()).unwrap_or(u32::MAX))
}

/// One backend against the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The backend.
    pub backend: String,
    /// How far its scores may be from the reference's.
    pub tolerance: Tolerance,
    /// Inputs compared.
    pub inputs: usize,
    /// Values compared: labels and scores.
    pub values: usize,
    /// Values with other bytes, within the tolerance or not.
    pub differing: usize,
    /// Scores beyond the tolerance.
    pub beyond_tolerance: usize,
    /// Answers with more or fewer values than the reference's.
    pub other_shapes: usize,
    /// Largest absolute difference of a score.
    pub max_difference: f32,
    /// Other labels.
    pub label_mismatches: usize,
    /// Those of them where the reference's own scores of both labels are so close that the
    /// tolerance lets either be the higher one. They are not held against the backend.
    pub label_ties: usize,
    /// The first input at which the backend was not accepted.
    pub first_failure: Option<usize>,
}

impl Comparison {
    /// Nothing compared yet.
    pub fn new(backend: &str, tolerance: Tolerance) -> Self {
        Self {
            backend: backend.to_owned(),
            tolerance,
            inputs: 0,
            values: 0,
            differing: 0,
            beyond_tolerance: 0,
            other_shapes: 0,
            max_difference: 0.0,
            label_mismatches: 0,
            label_ties: 0,
            first_failure: None,
        }
    }

    /// Compares one answer.
    pub fn add(&mut self, expected: &Answer, got: &Answer) {
        let failures = self.failures();
        self.add_label(expected, got);
        self.other_shapes += usize::from(expected.scores.len() != got.scores.len());
        for (&expected, &got) in expected.scores.iter().zip(&got.scores) {
            self.values += 1;
            self.differing += usize::from(expected.to_bits() != got.to_bits());
            self.beyond_tolerance += usize::from(!self.tolerance.accepts(expected, got));
            self.max_difference = self.max_difference.max(difference(expected, got));
        }
        if self.failures() > failures && self.first_failure.is_none() {
            self.first_failure = Some(self.inputs);
        }
        self.inputs += 1;
    }

    fn add_label(&mut self, expected: &Answer, got: &Answer) {
        self.values += usize::from(expected.label.is_some());
        if expected.label == got.label {
            return;
        }
        self.differing += 1;
        self.label_mismatches += 1;
        self.label_ties += usize::from(self.is_tie(expected, got.label));
    }

    fn is_tie(&self, expected: &Answer, other: Option<i32>) -> bool {
        let score = |label: Option<i32>| expected.scores.get(usize::try_from(label?).ok()?);
        match (self.tolerance, score(expected.label), score(other)) {
            (Tolerance::Absolute(most), Some(own), Some(other)) => {
                difference(*own, *other) <= 2.0 * most
            }
            (Tolerance::Relative(most), Some(own), Some(other)) => {
                difference(*own, *other) <= 2.0 * most * own.abs().max(1.0)
            }
            _ => false,
        }
    }

    fn failures(&self) -> usize {
        self.beyond_tolerance + self.other_shapes + (self.label_mismatches - self.label_ties)
    }

    /// Whether something was compared and all of it was accepted.
    pub fn passed(&self) -> bool {
        self.values > 0 && self.failures() == 0
    }
}

/// A backend that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The backend.
    pub backend: String,
    /// Why, and what would help.
    pub reason: String,
}

/// All backends against the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The backend that the others are compared with.
    pub reference: String,
    /// The others, in the order asked for.
    pub comparisons: Vec<Comparison>,
    /// What could not be asked.
    pub skipped: Vec<Skipped>,
}

impl Verification {
    /// Whether every comparison passed and there was at least one.
    pub fn passed(&self) -> bool {
        !self.comparisons.is_empty() && self.comparisons.iter().all(Comparison::passed)
    }
}

impl fmt::Display for Verification {
    /// A table with one line per backend.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "compared with {}:", self.reference)?;
        let head = [
            "backend",
            "",
            "inputs",
            "values",
            "differing",
            "largest difference",
            "other labels",
            "tolerance",
        ];
        write_row(f, head.map(str::to_owned))?;
        for comparison in &self.comparisons {
            let verdict = if comparison.passed() { "ok" } else { "FAILED" };
            let labels = match comparison.label_ties {
                0 => comparison.label_mismatches.to_string(),
                ties => format!("{} ({ties} ties)", comparison.label_mismatches),
            };
            write_row(
                f,
                [
                    comparison.backend.clone(),
                    verdict.to_owned(),
                    comparison.inputs.to_string(),
                    comparison.values.to_string(),
                    comparison.differing.to_string(),
                    format!("{:.3e}", comparison.max_difference),
                    labels,
                    comparison.tolerance.to_string(),
                ],
            )?;
        }
        self.skipped.iter().try_for_each(|skipped| {
            writeln!(f, "  {:<18}skipped: {}", skipped.backend, skipped.reason)
        })
    }
}

fn write_row(
    f: &mut fmt::Formatter<'_>,
    [
        backend,
        verdict,
        inputs,
        values,
        differing,
        largest,
        labels,
        tolerance,
    ]: [String; 8],
) -> fmt::Result {
    writeln!(
        f,
        "  {backend:<18}{verdict:<7}{inputs:>8}{values:>9}{differing:>11}{largest:>20}{labels:>16}  {tolerance}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(label: i32, scores: &[f32]) -> Answer {
        Answer {
            label: Some(label),
            scores: scores.to_vec(),
        }
    }

    fn compared(tolerance: Tolerance, expected: &Answer, got: &Answer) -> Comparison {
        let mut comparison = Comparison::new("other", tolerance);
        comparison.add(expected, got);
        comparison
    }

    #[test]
    fn tolerances_accept_what_they_say() {
        assert!(Tolerance::Exact.accepts(1.0, 1.0) && !Tolerance::Exact.accepts(0.0, -0.0));
        assert!(
            Tolerance::Absolute(0.5).accepts(1.0, 1.5)
                && !Tolerance::Absolute(0.5).accepts(1.0, 1.500_001)
        );
        assert!(Tolerance::Relative(0.01).accepts(200.0, 201.5));
        assert!(!Tolerance::Relative(0.01).accepts(0.1, 0.12));
        let next = f32::from_bits(1.0_f32.to_bits() + 1);
        assert!(Tolerance::Ulp(1).accepts(1.0, next) && !Tolerance::Ulp(0).accepts(1.0, next));
        assert!(Tolerance::Ulp(0).accepts(0.0, -0.0));
        assert!(Tolerance::Ulp(2).accepts(f32::from_bits(1), -f32::from_bits(1)));
    }

    #[test]
    fn a_nan_is_accepted_nowhere_but_for_itself() {
        for tolerance in [
            Tolerance::Exact,
            Tolerance::Absolute(f32::INFINITY),
            Tolerance::Ulp(u32::MAX),
        ] {
            assert!(tolerance.accepts(f32::NAN, f32::NAN));
        }
        assert!(!Tolerance::Absolute(1e30).accepts(f32::NAN, 1.0));
        assert!(!Tolerance::Absolute(1e30).accepts(1.0, f32::NAN));
        assert!(!Tolerance::Ulp(u32::MAX).accepts(1.0, f32::NAN));
        assert!(!Tolerance::Absolute(1e30).accepts(1.0, f32::INFINITY));
    }

    #[test]
    fn differences_within_the_tolerance_are_counted_and_pass() {
        let found = compared(
            Tolerance::Absolute(0.01),
            &answer(1, &[0.25, 0.75]),
            &answer(1, &[0.25, 0.755]),
        );
        assert!(found.passed());
        assert_eq!(
            (found.values, found.differing, found.beyond_tolerance),
            (3, 1, 0)
        );
        assert!((found.max_difference - 0.005).abs() < 1e-6);
    }

    #[test]
    fn one_bit_fails_an_exact_comparison() {
        let other = f32::from_bits(0.75_f32.to_bits() ^ 1);
        let found = compared(
            Tolerance::Exact,
            &answer(1, &[0.25, 0.75]),
            &answer(1, &[0.25, other]),
        );
        assert!(!found.passed());
        assert_eq!((found.beyond_tolerance, found.first_failure), (1, Some(0)));
    }

    #[test]
    fn another_label_fails_unless_the_reference_is_undecided() {
        let tolerance = Tolerance::Absolute(0.01);
        let decided = compared(
            tolerance,
            &answer(1, &[0.25, 0.75]),
            &answer(0, &[0.25, 0.75]),
        );
        assert!(!decided.passed());
        let undecided = compared(
            tolerance,
            &answer(1, &[0.495, 0.505]),
            &answer(0, &[0.502, 0.498]),
        );
        assert!(undecided.passed());
        assert_eq!((undecided.label_mismatches, undecided.label_ties), (1, 1));
        let exact = compared(
            Tolerance::Exact,
            &answer(1, &[0.5, 0.5]),
            &answer(0, &[0.5, 0.5]),
        );
        assert!(!exact.passed());
    }

    #[test]
    fn another_number_of_scores_fails() {
        assert!(
            !compared(
                Tolerance::Absolute(1.0),
                &answer(1, &[0.25, 0.75]),
                &answer(1, &[0.25])
            )
            .passed()
        );
    }

    #[test]
    fn comparing_nothing_does_not_pass() {
        let comparison = Comparison::new("other", Tolerance::Exact);
        assert!(!comparison.passed());
        let nothing = Verification {
            reference: "local".to_owned(),
            comparisons: Vec::new(),
            skipped: Vec::new(),
        };
        assert!(!nothing.passed());
    }

    #[test]
    fn results_are_json_and_a_table() {
        let comparisons = vec![compared(
            Tolerance::Ulp(4),
            &answer(1, &[0.5]),
            &answer(1, &[0.5]),
        )];
        let skipped = vec![Skipped {
            backend: "onnxruntime".to_owned(),
            reason: "not found".to_owned(),
        }];
        let found = Verification {
            reference: "local".to_owned(),
            comparisons,
            skipped,
        };
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["comparisons"][0]["tolerance"]["ulp"], 4);
        assert_eq!(json["comparisons"][0]["values"], 2);
        let table = found.to_string();
        assert!(
            table.contains("other") && table.contains("ok") && table.contains("skipped: not found"),
            "{table}"
        );
    }
}
