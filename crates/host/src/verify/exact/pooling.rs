//! `AveragePool`, `MaxPool` and their global forms.

use super::Call;
use super::convolution::planes;
use super::real::Real;
use super::tensor::{Tensor, indices, place};
use super::windows::{Windows, extents};

/// The sum of a window over the number of its elements, which is a quotient of integers.
pub(super) fn average_pool(call: &Call<'_>) -> Result<Tensor, String> {
    let counts_padding = call.int("count_include_pad").unwrap_or(0) != 0;
    pooled(call, &|window: &Window<'_>| {
        let sum = window.values.iter().fold(Real::ZERO, |sum, x| sum.plus(x));
        let count = match counts_padding {
            true => window.padded,
            false => window.values.len(),
        };
        sum.over(&Real::integer(count as i64))
    })
}

/// The largest element of a window; padding is none.
pub(super) fn max_pool(call: &Call<'_>) -> Result<Tensor, String> {
    pooled(call, &|window: &Window<'_>| {
        let (first, rest) = window
            .values
            .split_first()
            .ok_or("has a window without elements")?;
        Ok(rest.iter().fold((*first).clone(), |most, x| most.max(x)))
    })
}

/// As [`average_pool`] with one window over everything.
pub(super) fn global_average_pool(call: &Call<'_>) -> Result<Tensor, String> {
    global(call, |values| {
        let sum = values.iter().fold(Real::ZERO, |sum, x| sum.plus(x));
        sum.over(&Real::integer(values.len() as i64))
    })
}

/// As [`max_pool`] with one window over everything.
pub(super) fn global_max_pool(call: &Call<'_>) -> Result<Tensor, String> {
    global(call, |values| {
        let (first, rest) = values.split_first().ok_or("pools nothing")?;
        Ok(rest.iter().fold(first.clone(), |most, x| most.max(x)))
    })
}

fn global(call: &Call<'_>, of: impl Fn(&[Real]) -> Result<Real, String>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let (batch, channels, space) = planes(&x.shape)?;
    let area: usize = space.iter().product();
    let pooled: Result<Vec<Real>, String> = x.as_reals()?.chunks(area.max(1)).map(of).collect();
    let shape = [&[batch, channels], vec![1; space.len()].as_slice()].concat();
    Ok(Tensor::reals(&shape, pooled?))
}

/// The elements that a window meets.
struct Window<'t> {
    values: Vec<&'t Real>,
    /// Places inside of the input or of the stated padding.
    padded: usize,
}

/// What becomes of the elements of a window.
type Pool<'p> = &'p dyn Fn(&Window<'_>) -> Result<Real, String>;

fn pooled(call: &Call<'_>, of: Pool<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let (batch, channels, space) = planes(&x.shape)?;
    let kernel = extents(call, "kernel_shape", space.len())?;
    let windows = Windows::of(call, space, &kernel)?;
    let values = x.as_reals()?;
    let area: usize = space.iter().product();
    let mut outputs = Vec::new();
    for plane in 0..batch * channels {
        for at in indices(&windows.output) {
            let sources = indices(&windows.kernel)
                .filter_map(|tap| windows.source(space, &at, &tap))
                .map(|source| &values[plane * area + place(space, &source)]);
            let padded = indices(&windows.kernel)
                .filter(|tap| windows.is_padded(space, &at, tap))
                .count();
            outputs.push(of(&Window {
                values: sources.collect(),
                padded,
            })?);
        }
    }
    let shape = [&[batch, channels], windows.output.as_slice()].concat();
    Ok(Tensor::reals(&shape, outputs))
}
