//! Energy in frequency bands of equal width.
//!
//! A window of `n` steps is centred, weighted by a Hann window and transformed; the squared magnitudes of
//! `r = n / 2b` neighbouring bins make one of `b` bands from 0 to half the sampling rate, and the logarithm of the
//! band's mean square is the feature. The transform is a mixed-radix one written as matrix products (Cooley and
//! Tukey, 1965, with `n = r·m`, `m = 2b`): with `t = m·t1 + t2` and `k = k1 + r·k2`,
//!
//! `X[k] = Σ_t2 exp(-2πi·t2·k2/m) · exp(-2πi·t2·k1/n) · Σ_t1 x[t]·exp(-2πi·t1·k1/r)`,
//!
//! so that `k2` is the band and `k1` the bin inside of it. For `n = 128` and `b = 16` the constants are 2,753
//! floats (11 KB) in place of the 16,384 (64 KB) of a plain transform, with two thirds of its multiplications.

use crate::onnx::builder::{self, GraphBuilder, Value};
use std::f64::consts::TAU;

/// Mean square below which a band counts as silent, in squared units of the channel.
pub(super) const SILENCE: f32 = 1e-10;

/// The shape of one transform.
pub(super) struct Spectrum {
    steps: usize,
    bands: usize,
    channels: usize,
    /// Bins per band, `r`.
    bins: usize,
    /// Interleaved sequences, `m`.
    strands: usize,
}

impl Spectrum {
    /// `2 × bands` must divide `steps`.
    pub(super) fn new(steps: usize, bands: usize, channels: usize) -> Spectrum {
        Spectrum {
            steps,
            bands,
            channels,
            bins: steps / (2 * bands),
            strands: 2 * bands,
        }
    }

    /// From centred windows `[batch, channels, steps]` to `[batch, channels × bands]`.
    pub(super) fn emit(&self, graph: &mut GraphBuilder, centred: &Value) -> Value {
        let weights = graph.constant_f32("hann", &[self.steps], &self.hann());
        let weighted = graph.node("Mul", &[centred, &weights], vec![]);
        let strands = self.split_into_strands(graph, &weighted);
        let turned = self.transform_strands(graph, &strands);
        let bins = self.transform_across(graph, &turned);
        self.log_power(graph, &bins)
    }

    /// `[batch, channels, strands, bins]`.
    fn split_into_strands(&self, graph: &mut GraphBuilder, weighted: &Value) -> Value {
        let rows = self.reshaped(graph, weighted, &[self.channels, self.bins, self.strands]);
        graph.node(
            "Transpose",
            &[&rows],
            vec![builder::ints("perm", vec![0, 1, 3, 2])],
        )
    }

    /// Transforms each strand and turns its phase: `[batch, channels, strands, re bins + im bins]`.
    fn transform_strands(&self, graph: &mut GraphBuilder, strands: &Value) -> Value {
        let product = |graph: &mut GraphBuilder, name: &str, swapped: bool| {
            let matrix = graph.constant_f32(
                name,
                &[self.bins, 2 * self.bins],
                &self.strand_matrix(swapped),
            );
            graph.node("MatMul", &[strands, &matrix], vec![])
        };
        let straight = product(graph, "strand_transform", false);
        let swapped = product(graph, "strand_transform_swapped", true);
        let shape = [self.strands, 2 * self.bins];
        let cosine = graph.constant_f32("turn_cosine", &shape, &self.turn(|angle, _| angle.cos()));
        let sine = graph.constant_f32(
            "turn_sine",
            &shape,
            &self.turn(|angle, sign| sign * angle.sin()),
        );
        let kept = graph.node("Mul", &[&straight, &cosine], vec![]);
        let crossed = graph.node("Mul", &[&swapped, &sine], vec![]);
        graph.node("Add", &[&kept, &crossed], vec![])
    }

    /// Transforms across the strands: `[batch, channels, bins, re bands + im bands]`.
    fn transform_across(&self, graph: &mut GraphBuilder, turned: &Value) -> Value {
        let parts = self.reshaped(graph, turned, &[self.channels, self.strands, 2, self.bins]);
        let by_bin = graph.node(
            "Transpose",
            &[&parts],
            vec![builder::ints("perm", vec![0, 1, 4, 3, 2])],
        );
        let rows = self.reshaped(
            graph,
            &by_bin,
            &[self.channels, self.bins, 2 * self.strands],
        );
        let shape = [2 * self.strands, 2 * self.bands];
        let matrix = graph.constant_f32("band_transform", &shape, &self.band_matrix());
        graph.node("MatMul", &[&rows, &matrix], vec![])
    }

    fn log_power(&self, graph: &mut GraphBuilder, bins: &Value) -> Value {
        let mean = |graph: &mut GraphBuilder, values: &Value| {
            graph.node(
                "ReduceMean",
                &[values],
                vec![builder::ints("axes", vec![2]), builder::int("keepdims", 0)],
            )
        };
        let squares = graph.node("Mul", &[bins, bins], vec![]);
        let over_bins = mean(graph, &squares);
        let parts = self.reshaped(graph, &over_bins, &[self.channels, 2, self.bands]);
        let power = mean(graph, &parts);
        let silence = graph.constant_f32("silence", &[], &[SILENCE]);
        let audible = graph.node("Add", &[&power, &silence], vec![]);
        let log = graph.node("Log", &[&audible], vec![]);
        self.reshaped(graph, &log, &[self.channels * self.bands])
    }

    /// The Hann window, scaled so that the bands of a window sum to its mean square: 2 for the negative
    /// frequencies, `n·Σw²` for the transform (Parseval), and `2·bins` for the means taken in place of sums.
    fn hann(&self) -> Vec<f32> {
        let shape = |step: usize| 0.5 - 0.5 * (TAU * step as f64 / self.steps as f64).cos();
        let energy: f64 = (0..self.steps).map(|step| shape(step).powi(2)).sum();
        let scale = (2.0 * 2.0 * self.bins as f64 / (self.steps as f64 * energy)).sqrt();
        (0..self.steps)
            .map(|step| (scale * shape(step)) as f32)
            .collect()
    }

    /// `[bins, re | im]`, or `[bins, im | re]` when swapped.
    fn strand_matrix(&self, swapped: bool) -> Vec<f32> {
        let angle = |row: usize, column: usize| {
            TAU * ((row * column) % self.bins) as f64 / self.bins as f64
        };
        let real = |row: usize| (0..self.bins).map(move |column| angle(row, column).cos() as f32);
        let imaginary =
            |row: usize| (0..self.bins).map(move |column| -angle(row, column).sin() as f32);
        let both = |row: usize| -> Vec<f32> {
            match swapped {
                false => real(row).chain(imaginary(row)).collect(),
                true => imaginary(row).chain(real(row)).collect(),
            }
        };
        (0..self.bins).flat_map(both).collect()
    }

    /// `[strands, re bins | im bins]` of a function of the angle and of the part's sign (+ for re).
    fn turn(&self, part: impl Fn(f64, f64) -> f64) -> Vec<f32> {
        let angle = |strand: usize, bin: usize| TAU * (strand * bin) as f64 / self.steps as f64;
        let mut values = Vec::with_capacity(2 * self.bins * self.strands);
        for strand in 0..self.strands {
            for sign in [1.0, -1.0] {
                values.extend((0..self.bins).map(|bin| part(angle(strand, bin), sign) as f32));
            }
        }
        values
    }

    /// `[re strands + im strands, re bands | im bands]`.
    fn band_matrix(&self) -> Vec<f32> {
        let angle = |strand: usize, band: usize| {
            TAU * ((strand * band) % self.strands) as f64 / self.strands as f64
        };
        let mut values = Vec::with_capacity(4 * self.strands * self.bands);
        for strand in 0..self.strands {
            values.extend((0..self.bands).map(|band| angle(strand, band).cos() as f32));
            values.extend((0..self.bands).map(|band| -angle(strand, band).sin() as f32));
        }
        for strand in 0..self.strands {
            values.extend((0..self.bands).map(|band| angle(strand, band).sin() as f32));
            values.extend((0..self.bands).map(|band| angle(strand, band).cos() as f32));
        }
        values
    }

    fn reshaped(&self, graph: &mut GraphBuilder, value: &Value, inner: &[usize]) -> Value {
        let shape: Vec<i64> = std::iter::once(0)
            .chain(inner.iter().map(|&extent| extent as i64))
            .collect();
        let shape = graph.constant_i64("shape", &[shape.len()], &shape);
        graph.node("Reshape", &[value, &shape], vec![])
    }
}
