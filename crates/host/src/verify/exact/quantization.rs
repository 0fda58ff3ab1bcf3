//! `DequantizeLinear` and `QuantizeLinear`, the only place where a real number is rounded.

use super::Call;
use super::real::Real;
use super::tensor::{Content, Tensor, axis, split_at};
use crate::onnx::proto::DataType;

/// Scales and zero points along an axis, or one of each.
struct Parameters<'t> {
    scales: &'t [Real],
    zero_points: Option<&'t [i64]>,
    inner: usize,
}

impl<'t> Parameters<'t> {
    fn of(call: &'t Call<'_>, shape: &[usize]) -> Result<Parameters<'t>, String> {
        let scales = call.input(1)?.as_reals()?;
        let zero_points = match call.optional(2) {
            Some(tensor) => Some(tensor.as_integers()?),
            None => None,
        };
        let inner = match scales.len() {
            1 => 1,
            count => {
                let (_, extent, inner) =
                    split_at(shape, axis(call.int("axis").unwrap_or(1), shape.len())?);
                if extent != count {
                    return Err(format!("has {count} scales for an axis of {extent}"));
                }
                inner
            }
        };
        if call.int("block_size").unwrap_or(0) != 0 {
            return Err("quantizes in blocks, which is not evaluated".into());
        }
        Ok(Parameters {
            scales,
            zero_points,
            inner,
        })
    }

    fn scale(&self, place: usize) -> &Real {
        &self.scales[place / self.inner % self.scales.len()]
    }

    fn zero_point(&self, place: usize) -> i64 {
        let at = |points: &[i64]| points[place / self.inner % self.scales.len() % points.len()];
        self.zero_points.map_or(0, at)
    }
}

/// `(q - zero_point) · scale`.
pub(super) fn dequantize_linear(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let parameters = Parameters::of(call, &x.shape)?;
    let codes = x.as_integers()?.iter().enumerate();
    let real = |(place, &code): (usize, &i64)| {
        Real::integer(code - parameters.zero_point(place)).times(parameters.scale(place))
    };
    Ok(Tensor::reals(&x.shape, codes.map(real).collect()))
}

/// `x / scale` rounded once, half to even, plus the zero point, within the type's range.
pub(super) fn quantize_linear(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let parameters = Parameters::of(call, &x.shape)?;
    let element = match call.optional(2).map(|tensor| &tensor.content) {
        Some(Content::Integers(element, _)) => *element,
        _ => DataType::Uint8,
    };
    let (least, most) = range(element)?;
    let code = |(place, real): (usize, &Real)| {
        let steps = real.steps(parameters.scale(place))?;
        Ok((steps + parameters.zero_point(place)).clamp(least, most))
    };
    let codes: Result<Vec<i64>, String> = x.as_reals()?.iter().enumerate().map(code).collect();
    Ok(Tensor::integers(element, &x.shape, codes?))
}

fn range(element: DataType) -> Result<(i64, i64), String> {
    Ok(match element {
        DataType::Int8 => (-128, 127),
        DataType::Uint8 => (0, 255),
        DataType::Int16 => (-32_768, 32_767),
        DataType::Uint16 => (0, 65_535),
        other => return Err(format!("quantizes to {other:?}, which is not evaluated")),
    })
}
