//! Where the windows of convolutions and pools lie.

use super::Call;

/// The windows of an op over the spatial axes of its input.
pub(super) struct Windows {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// Padding before the first element of every axis.
    pub before: Vec<usize>,
    /// Padding behind the last one, as the node says it.
    pub behind: Vec<usize>,
    /// Windows along every axis.
    pub output: Vec<usize>,
}

impl Windows {
    /// The windows over `input`, the extents behind batch and channels.
    pub fn of(call: &Call<'_>, input: &[usize], kernel: &[usize]) -> Result<Windows, String> {
        let rank = input.len();
        if kernel.len() != rank || kernel.contains(&0) {
            return Err(format!("has a kernel {kernel:?} for {rank} axes"));
        }
        let strides = extents(call, "strides", rank)?;
        let dilations = extents(call, "dilations", rank)?;
        let reach: Vec<usize> = (0..rank)
            .map(|axis| (kernel[axis] - 1) * dilations[axis] + 1)
            .collect();
        let (before, behind) = padding(call, input, &strides, &reach)?;
        let ceil = call.int("ceil_mode").unwrap_or(0) != 0;
        let count = |axis: usize| {
            let padded = input[axis] + before[axis] + behind[axis];
            let room = padded
                .checked_sub(reach[axis])
                .ok_or("has a kernel larger than its input")?;
            let floor = room / strides[axis] + 1;
            // A window that begins in the padding behind is none.
            let more = ceil
                && !room.is_multiple_of(strides[axis])
                && floor * strides[axis] < input[axis] + before[axis];
            Ok(floor + usize::from(more))
        };
        let output: Result<Vec<usize>, String> = (0..rank).map(count).collect();
        Ok(Windows {
            kernel: kernel.to_vec(),
            output: output?,
            strides,
            dilations,
            before,
            behind,
        })
    }

    /// The input element that `tap` of the window at `at` meets; none in the padding.
    pub fn source(&self, input: &[usize], at: &[usize], tap: &[usize]) -> Option<Vec<usize>> {
        (0..input.len())
            .map(|axis| {
                let place = at[axis] * self.strides[axis] + tap[axis] * self.dilations[axis];
                place
                    .checked_sub(self.before[axis])
                    .filter(|&place| place < input[axis])
            })
            .collect()
    }

    /// Whether `tap` of the window at `at` meets the input or the padding that the node states.
    pub fn is_padded(&self, input: &[usize], at: &[usize], tap: &[usize]) -> bool {
        (0..input.len()).all(|axis| {
            let place = at[axis] * self.strides[axis] + tap[axis] * self.dilations[axis];
            place < input[axis] + self.before[axis] + self.behind[axis]
        })
    }
}

/// A list of positive extents; ones where the node has none.
pub(super) fn extents(call: &Call<'_>, name: &str, rank: usize) -> Result<Vec<usize>, String> {
    let Some(values) = call.ints(name).filter(|values| !values.is_empty()) else {
        return Ok(vec![1; rank]);
    };
    let positive = |&value: &i64| usize::try_from(value).ok().filter(|&value| value > 0);
    let values: Option<Vec<usize>> = values.iter().map(positive).collect();
    values
        .filter(|values| values.len() == rank)
        .ok_or_else(|| format!("has {name} that do not fit"))
}

/// Padding before and behind, from `pads` or `auto_pad`.
fn padding(
    call: &Call<'_>,
    input: &[usize],
    strides: &[usize],
    reach: &[usize],
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let rank = input.len();
    let upper = match call.node.string("auto_pad").unwrap_or("NOTSET") {
        "SAME_UPPER" => true,
        "SAME_LOWER" => false,
        "VALID" => return Ok((vec![0; rank], vec![0; rank])),
        _ => return explicit_padding(call, rank),
    };
    let total = |axis: usize| {
        let windows = input[axis].div_ceil(strides[axis]);
        ((windows - 1) * strides[axis] + reach[axis]).saturating_sub(input[axis])
    };
    let (less, more): (Vec<usize>, Vec<usize>) = (0..rank)
        .map(|axis| (total(axis) / 2, total(axis).div_ceil(2)))
        .unzip();
    Ok(if upper { (less, more) } else { (more, less) })
}

pub(super) fn explicit_padding(
    call: &Call<'_>,
    rank: usize,
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let Some(pads) = call.ints("pads").filter(|pads| !pads.is_empty()) else {
        return Ok((vec![0; rank], vec![0; rank]));
    };
    let pads: Option<Vec<usize>> = pads.iter().map(|&pad| usize::try_from(pad).ok()).collect();
    let pads = pads
        .filter(|pads| pads.len() == 2 * rank)
        .ok_or("has pads that do not fit")?;
    Ok((pads[..rank].to_vec(), pads[rank..].to_vec()))
}
