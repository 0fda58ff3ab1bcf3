//! `Conv` and `ConvTranspose` of any number of spatial axes.

use super::Call;
use super::real::Real;
use super::tensor::{Tensor, indices, place};
use super::windows::{Windows, explicit_padding, extents};

/// `y[n, m, at] = bias[m] + Σ x[n, c, at·stride + tap·dilation - pad] · w[m, c, tap]` over the
/// channels of the group; padding is the real number nought.
pub(super) fn conv(call: &Call<'_>) -> Result<Tensor, String> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let (values, weights) = (x.as_reals()?, w.as_reals()?);
    let bias = bias(call)?;
    let (batch, channels, space) = planes(&x.shape)?;
    let (filters, depth, kernel) = planes(&w.shape)?;
    let groups = groups(call)?;
    if depth * groups != channels || !filters.is_multiple_of(groups) {
        return Err(format!("has {groups} groups for {channels} channels"));
    }
    let windows = Windows::of(call, space, kernel)?;
    let taps: Vec<Vec<usize>> = indices(kernel).collect();
    let (area, volume) = (space.iter().product::<usize>(), taps.len());
    let mut sums = Vec::new();
    for n in 0..batch {
        for m in 0..filters {
            let first = m / (filters / groups) * depth;
            for at in indices(&windows.output) {
                let mut sum = bias.map_or(Real::ZERO, |bias| bias[m].clone());
                for (tap, index) in taps.iter().enumerate() {
                    let Some(source) = windows.source(space, &at, index) else {
                        continue;
                    };
                    let source = place(space, &source);
                    for c in 0..depth {
                        let value = &values[(n * channels + first + c) * area + source];
                        let weight = &weights[(m * depth + c) * volume + tap];
                        sum = sum.plus(&value.times(weight));
                    }
                }
                sums.push(sum);
            }
        }
    }
    Ok(Tensor::reals(
        &[&[batch, filters], windows.output.as_slice()].concat(),
        sums,
    ))
}

/// Every element of the input adds its multiple of the kernel to the output:
/// `y[n, m, at·stride + tap·dilation - pad] += x[n, c, at] · w[c, m, tap]`.
pub(super) fn conv_transpose(call: &Call<'_>) -> Result<Tensor, String> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let (values, weights) = (x.as_reals()?, w.as_reals()?);
    let (batch, channels, space) = planes(&x.shape)?;
    let (rows, per_group, kernel) = planes(&w.shape)?;
    let groups = groups(call)?;
    if rows != channels || !channels.is_multiple_of(groups) {
        return Err(format!("has {groups} groups for {channels} channels"));
    }
    let scatter = Scatter::of(call, space, kernel)?;
    let (filters, area) = (per_group * groups, scatter.output.iter().product::<usize>());
    let mut sums = vec![Real::ZERO; batch * filters * area];
    if let Some(bias) = bias(call)? {
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = bias[at / area % filters].clone();
        }
    }
    for (from, index) in indices(&x.shape).enumerate() {
        let (n, c, at) = (index[0], index[1], &index[2..]);
        let first = c / (channels / groups) * per_group;
        for (tap, offset) in indices(kernel).enumerate() {
            let Some(target) = scatter.target(at, &offset) else {
                continue;
            };
            for m in 0..per_group {
                let weight = &weights[(c * per_group + m) * scatter.volume + tap];
                let to = (n * filters + first + m) * area + target;
                sums[to] = sums[to].plus(&values[from].times(weight));
            }
        }
    }
    Ok(Tensor::reals(
        &[&[batch, filters], scatter.output.as_slice()].concat(),
        sums,
    ))
}

/// Where the elements of a transposed convolution's input go.
struct Scatter {
    strides: Vec<usize>,
    dilations: Vec<usize>,
    before: Vec<usize>,
    output: Vec<usize>,
    volume: usize,
}

impl Scatter {
    fn of(call: &Call<'_>, space: &[usize], kernel: &[usize]) -> Result<Scatter, String> {
        let rank = space.len();
        if call.ints("output_shape").is_some()
            || call.node.string("auto_pad").unwrap_or("NOTSET") != "NOTSET"
        {
            return Err("has auto_pad or output_shape, which is not evaluated".into());
        }
        let (strides, dilations) = (
            extents(call, "strides", rank)?,
            extents(call, "dilations", rank)?,
        );
        let (before, behind) = explicit_padding(call, rank)?;
        let extra = call.ints("output_padding").unwrap_or_default();
        let extent = |axis: usize| {
            let extra = extra.get(axis).map_or(0, |&extra| extra as usize);
            let full = (space[axis] - 1) * strides[axis]
                + (kernel[axis] - 1) * dilations[axis]
                + 1
                + extra;
            full.checked_sub(before[axis] + behind[axis])
                .ok_or_else(|| "has more padding than output".to_owned())
        };
        let output: Result<Vec<usize>, String> = (0..rank).map(extent).collect();
        Ok(Scatter {
            output: output?,
            strides,
            dilations,
            before,
            volume: kernel.iter().product(),
        })
    }

    /// The output element that `tap` of the kernel at `at` adds to; none outside.
    fn target(&self, at: &[usize], tap: &[usize]) -> Option<usize> {
        let index: Option<Vec<usize>> = (0..at.len())
            .map(|axis| {
                let full = at[axis] * self.strides[axis] + tap[axis] * self.dilations[axis];
                full.checked_sub(self.before[axis])
                    .filter(|&place| place < self.output[axis])
            })
            .collect();
        Some(place(&self.output, &index?))
    }
}

fn groups(call: &Call<'_>) -> Result<usize, String> {
    usize::try_from(call.int("group").unwrap_or(1))
        .ok()
        .filter(|&groups| groups > 0)
        .ok_or_else(|| "has no groups".into())
}

fn bias<'c>(call: &'c Call<'_>) -> Result<Option<&'c [Real]>, String> {
    call.optional(2).map(Tensor::as_reals).transpose()
}

/// Batch, channels and what lies behind them.
pub(super) fn planes(shape: &[usize]) -> Result<(usize, usize, &[usize]), String> {
    match shape {
        [batch, channels, space @ ..] if !space.is_empty() => Ok((*batch, *channels, space)),
        _ => Err(format!("shape {shape:?} has no spatial axis")),
    }
}
