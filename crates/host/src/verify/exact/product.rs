//! `MatMul` and `Gemm`.

use super::Call;
use super::real::Real;
use super::tensor::{Tensor, broadcast, indices, place, stretched};

/// The product of the last two axes; axes before them are stretched, vectors get an axis.
pub(super) fn mat_mul(call: &Call<'_>) -> Result<Tensor, String> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let left = match a.shape.len() {
        1 => [&[1], a.shape.as_slice()].concat(),
        _ => a.shape.clone(),
    };
    let right = match b.shape.len() {
        1 => [b.shape.as_slice(), &[1]].concat(),
        _ => b.shape.clone(),
    };
    let ([outer_a @ .., m, k], [outer_b @ .., rows, n]) = (left.as_slice(), right.as_slice())
    else {
        return Err("multiplies scalars".into());
    };
    if k != rows {
        return Err(format!("shapes {left:?} and {right:?} do not go together"));
    }
    let outer = broadcast(outer_a, outer_b)?;
    let (values, weights) = (a.as_reals()?, b.as_reals()?);
    let mut sums = Vec::new();
    for batch in indices(&outer) {
        let (from_a, from_b) = (stretched(outer_a, &batch), stretched(outer_b, &batch));
        for i in 0..*m {
            for j in 0..*n {
                let product = |l: usize| {
                    values[(from_a * m + i) * k + l].times(&weights[(from_b * k + l) * n + j])
                };
                sums.push((0..*k).fold(Real::ZERO, |sum, l| sum.plus(&product(l))));
            }
        }
    }
    let mut shape = outer;
    shape.extend((a.shape.len() > 1).then_some(*m));
    shape.extend((b.shape.len() > 1).then_some(*n));
    Ok(Tensor::reals(&shape, sums))
}

/// `alpha · A · B + beta · C`, A and B transposed where the node says so, C stretched.
pub(super) fn gemm(call: &Call<'_>) -> Result<Tensor, String> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let (&[a_rows, a_columns], &[b_rows, b_columns]) = (a.shape.as_slice(), b.shape.as_slice())
    else {
        return Err("multiplies what are no matrices".into());
    };
    let flag = |name: &str| call.int(name).unwrap_or(0) != 0;
    let (a_turned, b_turned) = (flag("transA"), flag("transB"));
    let (m, k) = if a_turned {
        (a_columns, a_rows)
    } else {
        (a_rows, a_columns)
    };
    let (rows, n) = if b_turned {
        (b_columns, b_rows)
    } else {
        (b_rows, b_columns)
    };
    if k != rows {
        return Err(format!(
            "shapes {:?} and {:?} do not go together",
            a.shape, b.shape
        ));
    }
    let (alpha, beta) = (call.real("alpha", 1.0)?, call.real("beta", 1.0)?);
    let (values, weights) = (a.as_reals()?, b.as_reals()?);
    let element = |turned: bool, columns: usize, row: usize, column: usize| match turned {
        true => column * columns + row,
        false => row * columns + column,
    };
    let mut sums = Vec::new();
    for index in indices(&[m, n]) {
        let (i, j) = (index[0], index[1]);
        let product = |l: usize| {
            values[element(a_turned, a_columns, i, l)]
                .times(&weights[element(b_turned, b_columns, l, j)])
        };
        let mut sum = (0..k)
            .fold(Real::ZERO, |sum, l| sum.plus(&product(l)))
            .times(&alpha);
        if let Some(c) = call.optional(2) {
            broadcast(&c.shape, &[m, n])?;
            let addend = &c.as_reals()?[stretched(&c.shape, &index)];
            sum = sum.plus(&addend.times(&beta));
        }
        debug_assert_eq!(place(&[m, n], &index), sums.len());
        sums.push(sum);
    }
    Ok(Tensor::reals(&[m, n], sums))
}
