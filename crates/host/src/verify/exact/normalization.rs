//! `Softmax`, `LayerNormalization`, `BatchNormalization`.

use super::Call;
use super::elementwise::{exponential, square_root};
use super::real::Real;
use super::tensor::{Tensor, axis, split_at, stretched};
use std::cmp::Ordering;

/// `e^x / Σ e^x` along an axis; before operator set 13 along all axes from that one on.
///
/// Where all of a row are equal, the results are the rational `1/n`; elsewhere none is rational
/// (Lindemann and Weierstrass), so no result is on a rounding boundary.
pub(super) fn softmax(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let values = x.as_reals()?;
    let default = if call.opset < 13 { 1 } else { -1 };
    let at = axis(call.int("axis").unwrap_or(default), x.shape.len())?;
    let (outer, extent, inner) = match call.opset < 13 {
        true => (
            x.shape[..at].iter().product(),
            x.shape[at..].iter().product(),
            1,
        ),
        false => split_at(&x.shape, at),
    };
    let mut result = vec![Real::ZERO; values.len()];
    for row in 0..outer * inner {
        let place = |index: usize| (row / inner * extent + index) * inner + row % inner;
        let most = (1..extent).fold(values[place(0)].clone(), |most, i| {
            most.max(&values[place(i)])
        });
        let exponentials: Result<Vec<Real>, String> = (0..extent)
            .map(|index| exponential(&values[place(index)].minus(&most)))
            .collect();
        let exponentials = exponentials?;
        let sum = exponentials.iter().fold(Real::ZERO, |sum, e| sum.plus(e));
        for (index, value) in exponentials.iter().enumerate() {
            result[place(index)] = value.over(&sum)?;
        }
    }
    Ok(Tensor::reals(&x.shape, result))
}

/// `(x - mean) / √(variance + epsilon) · scale + bias` over the axes from `axis` on.
pub(super) fn layer_normalization(call: &Call<'_>) -> Result<Tensor, String> {
    let (x, scale) = (call.input(0)?, call.input(1)?);
    let epsilon = call.real("epsilon", 1e-5)?;
    let at = axis(call.int("axis").unwrap_or(-1), x.shape.len())?;
    let normalized = &x.shape[at..];
    let length: usize = normalized.iter().product();
    let count = Real::integer(length as i64);
    let mut result = Vec::new();
    for row in x.as_reals()?.chunks(length.max(1)) {
        let sum = row.iter().fold(Real::ZERO, |sum, x| sum.plus(x));
        let mean = sum.over(&count)?;
        let squares = row.iter().map(|x| x.minus(&mean)).map(|d| d.times(&d));
        let variance = squares
            .fold(Real::ZERO, |sum, d| sum.plus(&d))
            .over(&count)?;
        let deviation = root(&variance.plus(&epsilon))?;
        for (index, x) in super::tensor::indices(normalized).zip(row) {
            let unit = x.minus(&mean).over(&deviation)?;
            let scaled = unit.times(&scale.as_reals()?[stretched(&scale.shape, &index)]);
            result.push(match call.optional(2) {
                Some(bias) => scaled.plus(&bias.as_reals()?[stretched(&bias.shape, &index)]),
                None => scaled,
            });
        }
    }
    Ok(Tensor::reals(&x.shape, result))
}

/// `(x - mean) / √(variance + epsilon) · scale + bias` per channel, with the stored statistics.
pub(super) fn batch_normalization(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let parameter = |index: usize| call.input(index)?.as_reals();
    let (scale, bias, mean, variance) =
        (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let epsilon = call.real("epsilon", 1e-5)?;
    let (_, channels, inner) = split_at(&x.shape, axis(1, x.shape.len())?);
    let value = |(place, x): (usize, &Real)| {
        let c = place / inner % channels;
        let deviation = root(&variance[c].plus(&epsilon))?;
        let unit = x.minus(&mean[c]).over(&deviation)?;
        Ok(unit.times(&scale[c]).plus(&bias[c]))
    };
    let result: Result<Vec<Real>, String> = x.as_reals()?.iter().enumerate().map(value).collect();
    Ok(Tensor::reals(&x.shape, result?))
}

/// The square root; exact where it is a float of few bits.
fn root(x: &Real) -> Result<Real, String> {
    let near = x.approximate().sqrt() as f32;
    let candidate = Real::from_f32(near)?;
    match candidate.times(&candidate).order(x) {
        Some(Ordering::Equal) => Ok(candidate),
        _ => square_root(x),
    }
}
