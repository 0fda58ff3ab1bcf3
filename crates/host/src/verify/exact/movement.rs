//! Ops that only move elements, of integers or reals: no arithmetic, nothing rounded.

use super::Call;
use super::real::Real;
use super::tensor::{Content, Tensor, axis, indices, place, split_at};
use crate::onnx::proto::DataType;

pub(super) fn reshape(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let wanted = call.input(1)?.as_integers()?;
    let keeps_zero = call.int("allowzero").unwrap_or(0) != 0;
    let mut shape = Vec::new();
    for (at, &extent) in wanted.iter().enumerate() {
        shape.push(match extent {
            -1 => 0,
            0 if !keeps_zero => *x
                .shape
                .get(at)
                .ok_or("copies an extent that is not there")?,
            extent => usize::try_from(extent).map_err(|_| "has a negative extent")?,
        });
    }
    if let Some(open) = wanted.iter().position(|&extent| extent == -1) {
        let others: usize = shape
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != open)
            .map(|(_, e)| e)
            .product();
        shape[open] = x.elements() / others.max(1);
    }
    x.reshaped(shape)
}

pub(super) fn flatten(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let at = match call.int("axis").unwrap_or(1) {
        end if end == x.shape.len() as i64 => x.shape.len(),
        at => axis(at, x.shape.len())?,
    };
    x.reshaped(vec![
        x.shape[..at].iter().product(),
        x.shape[at..].iter().product(),
    ])
}

/// `axes` from the second input or, before operator set 13, from the attribute.
fn axes(call: &Call<'_>, rank: usize) -> Result<Option<Vec<usize>>, String> {
    let named = match call.optional(1) {
        Some(axes) => Some(axes.as_integers()?),
        None => call.ints("axes"),
    };
    named
        .map(|axes| axes.iter().map(|&at| axis(at, rank)).collect())
        .transpose()
}

pub(super) fn squeeze(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let axes = axes(call, x.shape.len())?;
    let dropped = |at: usize| {
        axes.as_ref()
            .map_or(x.shape[at] == 1, |axes| axes.contains(&at))
    };
    let left = (0..x.shape.len())
        .filter(|&at| !dropped(at))
        .map(|at| x.shape[at]);
    x.reshaped(left.collect())
}

pub(super) fn unsqueeze(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let count = match call.optional(1) {
        Some(axes) => axes.elements(),
        None => call.ints("axes").unwrap_or_default().len(),
    };
    let mut added = axes(call, x.shape.len() + count)?.ok_or("names no axes")?;
    added.sort_unstable();
    let mut shape = x.shape.clone();
    added.into_iter().for_each(|at| shape.insert(at, 1));
    x.reshaped(shape)
}

pub(super) fn transpose(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let order: Vec<usize> = match call.ints("perm") {
        Some(order) => order
            .iter()
            .map(|&at| axis(at, rank))
            .collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let shape: Vec<usize> = order.iter().map(|&at| x.shape[at]).collect();
    let places: Vec<usize> = indices(&shape)
        .map(|index| {
            let mut source = vec![0; rank];
            order
                .iter()
                .zip(&index)
                .for_each(|(&at, &value)| source[at] = value);
            place(&x.shape, &source)
        })
        .collect();
    Ok(x.picked(&shape, &places))
}

pub(super) fn concat(call: &Call<'_>) -> Result<Tensor, String> {
    let first = call.input(0)?;
    let at = axis(call.int("axis").unwrap_or(0), first.shape.len())?;
    let parts: Result<Vec<&Tensor>, String> =
        (0..call.inputs.len()).map(|i| call.input(i)).collect();
    let parts = parts?;
    let mut shape = first.shape.clone();
    shape[at] = parts.iter().map(|part| part.shape[at]).sum();
    let outer: usize = shape[..at].iter().product();
    let mut order = Vec::new();
    for row in 0..outer {
        let mut before = 0;
        for part in &parts {
            let length = part.elements() / outer.max(1);
            order.extend((0..length).map(|i| before + row * length + i));
            before += part.elements();
        }
    }
    Ok(joined(&parts)?.picked(&shape, &order))
}

/// All elements of all parts, one part behind the other.
fn joined(parts: &[&Tensor]) -> Result<Tensor, String> {
    let total = parts.iter().map(|part| part.elements()).sum();
    match &parts[0].content {
        Content::Integers(element, _) => {
            let values: Result<Vec<&[i64]>, String> =
                parts.iter().map(|part| part.as_integers()).collect();
            Ok(Tensor::integers(*element, &[total], values?.concat()))
        }
        Content::Reals(_) => {
            let values: Result<Vec<&[Real]>, String> =
                parts.iter().map(|part| part.as_reals()).collect();
            Ok(Tensor::reals(&[total], values?.concat()))
        }
    }
}

/// Every part, in order.
pub(super) fn split(call: &Call<'_>) -> Result<Vec<Tensor>, String> {
    let x = call.input(0)?;
    let at = axis(call.int("axis").unwrap_or(0), x.shape.len())?;
    let parts = call.node.output.len();
    let named = match call.optional(1) {
        Some(lengths) => Some(lengths.as_integers()?),
        None => call.ints("split"),
    };
    let each = x.shape[at].div_ceil(parts) as i64;
    let equal: Vec<i64> = (0..parts as i64)
        .map(|part| each.min(x.shape[at] as i64 - part * each))
        .collect();
    let mut start = 0;
    let mut tensors = Vec::new();
    for &length in named.unwrap_or(&equal) {
        let length = usize::try_from(length).map_err(|_| "has a part of negative length")?;
        let mut shape = x.shape.clone();
        shape[at] = length;
        tensors.push(picked_by(x, &shape, |index| index[at] += start)?);
        start += length;
    }
    Ok(tensors)
}

/// A tensor of `shape` whose element at an index is the source's at what `turn` makes of it.
fn picked_by(x: &Tensor, shape: &[usize], turn: impl Fn(&mut [usize])) -> Result<Tensor, String> {
    let places: Vec<usize> = indices(shape)
        .map(|mut index| {
            turn(&mut index);
            place(&x.shape, &index)
        })
        .collect();
    match places.iter().all(|&place| place < x.elements()) {
        true => Ok(x.picked(shape, &places)),
        false => Err("reaches beyond its input".into()),
    }
}

pub(super) fn slice(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let list = |index: usize, name: &str| match call.optional(index) {
        Some(values) => values.as_integers().map(<[i64]>::to_vec),
        None => Ok(call.ints(name).unwrap_or_default().to_vec()),
    };
    let (starts, ends, axes, steps) = (
        list(1, "starts")?,
        list(2, "ends")?,
        list(3, "axes")?,
        list(4, "steps")?,
    );
    let rank = x.shape.len();
    let (mut first, mut stride, mut shape) =
        (vec![0_i64; rank], vec![1_i64; rank], x.shape.clone());
    for (number, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
        let at = axis(axes.get(number).copied().unwrap_or(number as i64), rank)?;
        let step = steps.get(number).copied().unwrap_or(1);
        let extent = x.shape[at] as i64;
        let counted = |value: i64| {
            if value < 0 {
                value.saturating_add(extent)
            } else {
                value
            }
        };
        let (from, to) = match step > 0 {
            true => (
                counted(start).clamp(0, extent),
                counted(end).clamp(0, extent),
            ),
            false => (
                counted(start).clamp(0, extent - 1),
                counted(end).clamp(-1, extent - 1),
            ),
        };
        let length = match step {
            0 => return Err("has a step of nought".into()),
            step if step > 0 => {
                (to - from).max(0).div_euclid(step) + i64::from((to - from).max(0) % step != 0)
            }
            step => {
                (from - to).max(0).div_euclid(-step) + i64::from((from - to).max(0) % -step != 0)
            }
        };
        (first[at], stride[at], shape[at]) = (from, step, length as usize);
    }
    picked_by(x, &shape, |index| {
        for (at, value) in index.iter_mut().enumerate() {
            *value = (first[at] + *value as i64 * stride[at]) as usize;
        }
    })
}

pub(super) fn gather(call: &Call<'_>) -> Result<Tensor, String> {
    let (x, chosen) = (call.input(0)?, call.input(1)?);
    let at = axis(call.int("axis").unwrap_or(0), x.shape.len())?;
    let (outer, extent, inner) = split_at(&x.shape, at);
    let chosen_places: Result<Vec<usize>, String> = chosen
        .as_integers()?
        .iter()
        .map(|&index| axis(index, extent))
        .collect();
    let chosen_places = chosen_places?;
    let places: Vec<usize> = indices(&[outer, chosen_places.len(), inner])
        .map(|index| (index[0] * extent + chosen_places[index[1]]) * inner + index[2])
        .collect();
    let shape = [&x.shape[..at], chosen.shape.as_slice(), &x.shape[at + 1..]].concat();
    Ok(x.picked(&shape, &places))
}

/// Padding with a constant, or with elements of the input (`reflect`, `edge`).
pub(super) fn pad(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let pads = match call.optional(1) {
        Some(pads) => pads.as_integers()?,
        None => call.ints("pads").unwrap_or_default(),
    };
    if pads.len() != 2 * rank {
        return Err("has pads for some axes only, which is not evaluated".into());
    }
    let shape: Vec<usize> = (0..rank)
        .map(|at| (x.shape[at] as i64 + pads[at] + pads[rank + at]).max(0) as usize)
        .collect();
    let mode = call.node.string("mode").unwrap_or("constant");
    let source = |index: &[usize]| -> Option<usize> {
        let own: Option<Vec<usize>> = (0..rank)
            .map(|at| padded_from(index[at] as i64 - pads[at], x.shape[at] as i64, mode))
            .collect();
        Some(place(&x.shape, &own?))
    };
    let sources: Vec<Option<usize>> = indices(&shape).map(|index| source(&index)).collect();
    let filled = with_constant(call, x)?;
    let last = filled.elements() - 1;
    let places: Vec<usize> = sources
        .iter()
        .map(|source| source.unwrap_or(last))
        .collect();
    Ok(filled.picked(&shape, &places))
}

/// The element of an axis that stands at `at` of the padded axis; none for the constant.
fn padded_from(at: i64, extent: i64, mode: &str) -> Option<usize> {
    let inside = |at: i64| usize::try_from(at).ok().filter(|&at| (at as i64) < extent);
    match mode {
        "edge" => inside(at.clamp(0, extent - 1)),
        "reflect" if at < 0 => inside(-at),
        "reflect" if at >= extent => inside(2 * (extent - 1) - at),
        _ => inside(at),
    }
}

/// The elements of `x`, and behind them the constant to pad with.
fn with_constant(call: &Call<'_>, x: &Tensor) -> Result<Tensor, String> {
    let total = x.elements() + 1;
    match &x.content {
        Content::Integers(element, values) => {
            let fill = match call.optional(2) {
                Some(value) => value.as_integers()?.first().copied().unwrap_or(0),
                None => 0,
            };
            Ok(Tensor::integers(
                *element,
                &[total],
                [values.as_slice(), &[fill]].concat(),
            ))
        }
        Content::Reals(values) => {
            let fill = match call.optional(2) {
                Some(value) => value.as_reals()?.first().cloned().unwrap_or(Real::ZERO),
                None => call.real("value", 0.0)?,
            };
            Ok(Tensor::reals(
                &[total],
                [values.as_slice(), &[fill]].concat(),
            ))
        }
    }
}

pub(super) fn expand(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let wanted: Vec<usize> = call
        .input(1)?
        .as_integers()?
        .iter()
        .map(|&e| e.max(0) as usize)
        .collect();
    let shape = super::tensor::broadcast(&x.shape, &wanted)?;
    let places: Vec<usize> = indices(&shape)
        .map(|index| super::tensor::stretched(&x.shape, &index))
        .collect();
    Ok(x.picked(&shape, &places))
}

/// Integers to the reals they are; reals and integers to others of their kind.
pub(super) fn cast(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let to = call.int("to").unwrap_or(0);
    let to = DataType::from_code(i32::try_from(to).unwrap_or(0));
    match (&x.content, to) {
        (Content::Integers(_, values), Some(DataType::Float)) => {
            let reals = values.iter().map(|&value| Real::integer(value));
            Ok(Tensor::reals(&x.shape, reals.collect()))
        }
        (Content::Reals(_), Some(DataType::Float)) => Ok(x.clone()),
        (Content::Integers(_, values), Some(element @ (DataType::Int32 | DataType::Int64))) => {
            Ok(Tensor::integers(element, &x.shape, values.clone()))
        }
        _ => Err(format!("casts to {to:?}, which is not evaluated")),
    }
}

/// A constant of a shape that is known, zeros unless a value is given.
pub(super) fn constant_of_shape(call: &Call<'_>) -> Result<Tensor, String> {
    const MOST: usize = 1 << 26;
    let extents = call.input(0)?.as_integers()?.iter();
    let shape: Result<Vec<usize>, _> = extents.map(|&extent| usize::try_from(extent)).collect();
    let shape = shape.map_err(|_| "has a negative extent".to_owned())?;
    let count = shape.iter().try_fold(1, |a: usize, &b| a.checked_mul(b));
    let count = count.filter(|&count| count <= MOST);
    let count = count.ok_or_else(|| format!("makes too many elements: {shape:?}"))?;
    let value = match call.node.tensor("value") {
        Some(tensor) => Tensor::constant(tensor)?,
        None => Tensor::reals(&[1], vec![Real::ZERO]),
    };
    let empty = || "has an empty value".to_owned();
    Ok(match &value.content {
        Content::Integers(element, values) => {
            let value = *values.first().ok_or_else(empty)?;
            Tensor::integers(*element, &shape, vec![value; count])
        }
        Content::Reals(values) => {
            let value = values.first().ok_or_else(empty)?.clone();
            Tensor::reals(&shape, vec![value; count])
        }
    })
}

pub(super) fn shape(call: &Call<'_>) -> Result<Tensor, String> {
    let extents: Vec<i64> = call
        .input(0)?
        .shape
        .iter()
        .map(|&extent| extent as i64)
        .collect();
    Ok(Tensor::integers(DataType::Int64, &[extents.len()], extents))
}
