//! `ReduceMean`, `ReduceSum`, `ReduceMax`, `ReduceMin`.

use super::Call;
use super::real::Real;
use super::tensor::{Tensor, axis, indices, place};

/// What a reduction does with two elements, and with the result and the number of elements.
pub(super) struct Reduction {
    pub of: fn(&Real, &Real) -> Real,
    pub mean: bool,
}

/// Reduces over `axes`, an input or, in older operator sets, an attribute.
pub(super) fn reduce(call: &Call<'_>, reduction: &Reduction) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let named = match call.optional(1) {
        Some(axes) => Some(axes.as_integers()?),
        None => call.ints("axes"),
    };
    let axes: Vec<usize> = match named.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes
            .iter()
            .map(|&at| axis(at, rank))
            .collect::<Result<_, _>>()?,
        None if call.int("noop_with_empty_axes").unwrap_or(0) != 0 => return Ok(x.clone()),
        None => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank)
        .map(|at| if axes.contains(&at) { 1 } else { x.shape[at] })
        .collect();
    let mut results: Vec<Option<Real>> = vec![None; kept.iter().product()];
    for (index, value) in indices(&x.shape).zip(x.as_reals()?) {
        let folded: Vec<usize> = index.iter().zip(&kept).map(|(&at, &e)| at % e).collect();
        let result = &mut results[place(&kept, &folded)];
        *result = Some(match result {
            Some(sum) => (reduction.of)(sum, value),
            None => value.clone(),
        });
    }
    let count = Real::integer((x.elements() / results.len().max(1)) as i64);
    let finish = |result: Option<Real>| match (result, reduction.mean) {
        (Some(sum), true) => sum.over(&count),
        (Some(result), false) => Ok(result),
        (None, _) => Err("reduces nothing".to_owned()),
    };
    let values: Result<Vec<Real>, String> = results.into_iter().map(finish).collect();
    let result = Tensor::reals(&kept, values?);
    if call.int("keepdims").unwrap_or(1) != 0 {
        return Ok(result);
    }
    let left = (0..rank)
        .filter(|at| !axes.contains(at))
        .map(|at| x.shape[at]);
    result.reshaped(left.collect())
}
