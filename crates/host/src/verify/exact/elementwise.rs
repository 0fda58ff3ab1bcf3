//! Ops of one element, and of two elements at the same place.

use super::Call;
use super::interval::{ERF_WIDENING, WIDENING, erf};
use super::real::Real;
use super::tensor::{Content, Tensor, broadcast, indices, stretched};

/// An op of two reals; shapes are stretched.
pub(super) fn binary(
    call: &Call<'_>,
    of: impl Fn(&Real, &Real) -> Result<Real, String>,
) -> Result<Tensor, String> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    combined(a, b, of)
}

fn combined(
    a: &Tensor,
    b: &Tensor,
    of: impl Fn(&Real, &Real) -> Result<Real, String>,
) -> Result<Tensor, String> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let (left, right) = (a.as_reals()?, b.as_reals()?);
    let result = indices(&shape).map(|index| {
        of(
            &left[stretched(&a.shape, &index)],
            &right[stretched(&b.shape, &index)],
        )
    });
    let result: Result<Vec<Real>, String> = result.collect();
    Ok(Tensor::reals(&shape, result?))
}

/// `Sum`, `Max` and `Min` of any number of inputs.
pub(super) fn variadic(call: &Call<'_>, of: fn(&Real, &Real) -> Real) -> Result<Tensor, String> {
    let mut result = call.input(0)?.clone();
    for index in 1..call.inputs.len() {
        result = combined(&result, call.input(index)?, |a, b| Ok(of(a, b)))?;
    }
    Ok(result)
}

/// An op of one real.
pub(super) fn unary(
    call: &Call<'_>,
    of: impl Fn(&Real) -> Result<Real, String>,
) -> Result<Tensor, String> {
    let x = call.input(0)?;
    let result: Result<Vec<Real>, String> = x.as_reals()?.iter().map(of).collect();
    Ok(Tensor::reals(&x.shape, result?))
}

/// `max(x, 0)`, of integers too.
pub(super) fn relu(call: &Call<'_>) -> Result<Tensor, String> {
    let x = call.input(0)?;
    match &x.content {
        Content::Integers(element, values) => Ok(Tensor::integers(
            *element,
            &x.shape,
            values.iter().map(|&value| value.max(0)).collect(),
        )),
        Content::Reals(_) => unary(call, |x| Ok(x.max(&Real::ZERO))),
    }
}

/// Limits, from inputs or, before operator set 11, from attributes.
pub(super) fn clip(call: &Call<'_>) -> Result<Tensor, String> {
    let limit = |index: usize, name: &str| match call.optional(index) {
        Some(tensor) => tensor.as_reals().map(|values| values.first().cloned()),
        None => call.node.float(name).map(Real::from_f32).transpose(),
    };
    let (least, most) = (limit(1, "min")?, limit(2, "max")?);
    unary(call, |x| {
        let x = least.as_ref().map_or(x.clone(), |least| x.max(least));
        Ok(most.as_ref().map_or(x.clone(), |most| x.min(most)))
    })
}

pub(super) fn leaky_relu(call: &Call<'_>) -> Result<Tensor, String> {
    let slope = call.real("alpha", 0.01)?;
    unary(call, |x| sloped(x, &slope))
}

pub(super) fn p_relu(call: &Call<'_>) -> Result<Tensor, String> {
    binary(call, sloped)
}

fn sloped(x: &Real, slope: &Real) -> Result<Real, String> {
    let lower = x.min(&Real::ZERO).times(slope);
    Ok(x.max(&Real::ZERO).plus(&lower))
}

/// `max(0, min(1, alpha·x + beta))` with the attributes as they are: 0.2 is the float nearest to it.
pub(super) fn hard_sigmoid(call: &Call<'_>) -> Result<Tensor, String> {
    let (alpha, beta) = (call.real("alpha", 0.2)?, call.real("beta", 0.5)?);
    unary(call, |x| Ok(unit(&x.times(&alpha).plus(&beta))))
}

/// `x · max(0, min(1, x/6 + 1/2))`, the sixth a real one.
pub(super) fn hard_swish(call: &Call<'_>) -> Result<Tensor, String> {
    unary(call, |x| {
        let line = x.plus(&Real::integer(3)).over(&Real::integer(6))?;
        Ok(x.times(&unit(&line)))
    })
}

/// `max(x, 0) + alpha·(e^min(x, 0) - 1)`.
pub(super) fn elu(call: &Call<'_>) -> Result<Tensor, String> {
    let alpha = call.real("alpha", 1.0)?;
    unary(call, |x| exponential_linear(x, &alpha))
}

/// The same times gamma.
pub(super) fn selu(call: &Call<'_>) -> Result<Tensor, String> {
    let (alpha, gamma) = (
        call.real("alpha", 1.673_263_2)?,
        call.real("gamma", 1.050_701)?,
    );
    unary(call, |x| Ok(exponential_linear(x, &alpha)?.times(&gamma)))
}

fn exponential_linear(x: &Real, alpha: &Real) -> Result<Real, String> {
    let below = exponential(&x.min(&Real::ZERO))?.plus(&Real::integer(-1));
    Ok(x.max(&Real::ZERO).plus(&below.times(alpha)))
}

/// `max(x, 0) + ln(1 + e^-|x|)`.
pub(super) fn soft_plus(x: &Real) -> Result<Real, String> {
    let small = exponential(&absolute(x)?.negated())?;
    let rest = logarithm(&small.plus(&Real::integer(1)))?;
    Ok(x.max(&Real::ZERO).plus(&rest))
}

pub(super) fn soft_sign(x: &Real) -> Result<Real, String> {
    x.over(&absolute(x)?.plus(&Real::integer(1)))
}

/// `x·(1 + erf(x/√2))/2`, or the form with `tanh`; the roots are real ones.
pub(super) fn gelu(call: &Call<'_>) -> Result<Tensor, String> {
    let half = Real::integer(1).over(&Real::integer(2))?;
    match call.node.string("approximate").unwrap_or("none") {
        "none" => unary(call, |x| {
            let scaled = x.over(&square_root(&Real::integer(2))?)?;
            let gate = error_function(&scaled)?.plus(&Real::integer(1));
            Ok(x.times(&gate).times(&half))
        }),
        other => Err(format!("is not evaluated with the approximation {other}")),
    }
}

/// `x·sigmoid(alpha·x)`.
pub(super) fn swish(call: &Call<'_>) -> Result<Tensor, String> {
    let alpha = call.real("alpha", 1.0)?;
    unary(call, |x| Ok(x.times(&sigmoid(&x.times(&alpha))?)))
}

pub(super) fn mish(x: &Real) -> Result<Real, String> {
    Ok(x.times(&tanh(&soft_plus(x)?)?))
}

/// Powers 1 to 4 and a half.
pub(super) fn power(call: &Call<'_>) -> Result<Tensor, String> {
    let exponent = call.input(1)?.in_steps(1.0);
    let [exponent] = exponent[..] else {
        return Err("is evaluated for one exponent only".into());
    };
    unary(call, |x| match exponent {
        0.5 => square_root(x),
        1.0 => Ok(x.clone()),
        2.0 => Ok(x.times(x)),
        3.0 => Ok(x.times(x).times(x)),
        4.0 => Ok(x.times(x).times(x).times(x)),
        _ => Err("is evaluated for powers 1 to 4 and a half only".into()),
    })
}

fn unit(x: &Real) -> Real {
    x.min(&Real::integer(1)).max(&Real::ZERO)
}

/// `1 / (1 + e^-x)`, which is a half at nought and rational nowhere else.
pub(super) fn sigmoid(x: &Real) -> Result<Real, String> {
    match x.is_zero() {
        true => Real::integer(1).over(&Real::integer(2)),
        false => rising(x, WIDENING, |x| 1.0 / (1.0 + (-x).exp())),
    }
}

/// A function that is nought at nought and never falls.
pub(super) fn tanh(x: &Real) -> Result<Real, String> {
    at_nought(x, Real::ZERO, WIDENING, f64::tanh)
}

pub(super) fn error_function(x: &Real) -> Result<Real, String> {
    at_nought(x, Real::ZERO, ERF_WIDENING, erf)
}

pub(super) fn exponential(x: &Real) -> Result<Real, String> {
    at_nought(x, Real::integer(1), WIDENING, f64::exp)
}

pub(super) fn logarithm(x: &Real) -> Result<Real, String> {
    rising(x, WIDENING, f64::ln)
}

pub(super) fn square_root(x: &Real) -> Result<Real, String> {
    at_nought(x, Real::ZERO, WIDENING, f64::sqrt)
}

pub(super) fn absolute(x: &Real) -> Result<Real, String> {
    Ok(x.max(&x.negated()))
}

fn at_nought(x: &Real, there: Real, error: u32, of: fn(f64) -> f64) -> Result<Real, String> {
    match x.is_zero() {
        true => Ok(there),
        false => rising(x, error, of),
    }
}

fn rising(x: &Real, error: u32, of: fn(f64) -> f64) -> Result<Real, String> {
    Ok(Real::Near(x.interval().rising(error, of)?))
}
