//! Tensors of the oracle: row-major, integers or reals.

use super::real::Real;
use crate::onnx::proto::{DataType, TensorProto};

/// A tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Extents; empty for a scalar.
    pub shape: Vec<usize>,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Integers(DataType, Vec<i64>),
    Reals(Vec<Real>),
}

impl Tensor {
    /// A tensor of integers.
    pub fn integers(element: DataType, shape: &[usize], values: Vec<i64>) -> Tensor {
        Tensor {
            shape: shape.to_vec(),
            content: Content::Integers(element, values),
        }
    }

    /// A tensor of floats, each exactly as it is.
    ///
    /// # Errors
    /// When one is infinite or not a number.
    pub fn floats(shape: &[usize], values: &[f32]) -> Result<Tensor, String> {
        let reals: Result<Vec<Real>, String> =
            values.iter().map(|&value| Real::from_f32(value)).collect();
        Ok(Tensor::reals(shape, reals?))
    }

    pub(crate) fn reals(shape: &[usize], values: Vec<Real>) -> Tensor {
        Tensor {
            shape: shape.to_vec(),
            content: Content::Reals(values),
        }
    }

    /// A constant of the file.
    ///
    /// # Errors
    /// When it is of another type than floats or integers, or damaged.
    pub fn constant(tensor: &TensorProto) -> Result<Tensor, String> {
        let told = |error: crate::onnx::OnnxError| error.to_string();
        let shape = tensor.shape().map_err(told)?;
        let element = tensor.element_type().map_err(told)?;
        let wide = |values: Vec<i64>| Ok(Tensor::integers(element, &shape, values));
        match element {
            DataType::Float => Tensor::floats(&shape, &tensor.to_f32().map_err(told)?),
            DataType::Int8 => wide(widened(tensor.to_i8().map_err(told)?)),
            DataType::Uint8 => wide(widened(tensor.to_u8().map_err(told)?)),
            DataType::Int32 => wide(widened(tensor.to_i32().map_err(told)?)),
            DataType::Int64 => wide(tensor.to_i64().map_err(told)?),
            other => Err(format!("a constant of type {other:?} is not evaluated")),
        }
    }

    /// The integers; none for a tensor of reals.
    pub fn codes(&self) -> Option<&[i64]> {
        match &self.content {
            Content::Integers(_, values) => Some(values),
            Content::Reals(_) => None,
        }
    }

    /// How many elements there are.
    pub fn elements(&self) -> usize {
        match &self.content {
            Content::Integers(_, values) => values.len(),
            Content::Reals(values) => values.len(),
        }
    }

    /// Every real in units of `scale`, as a double near it; integers as they are.
    pub fn in_steps(&self, scale: f32) -> Vec<f64> {
        match &self.content {
            Content::Integers(_, values) => values.iter().map(|&value| value as f64).collect(),
            Content::Reals(values) => {
                let scale = f64::from(scale);
                values
                    .iter()
                    .map(|real| real.approximate() / scale)
                    .collect()
            }
        }
    }

    pub(crate) fn as_reals(&self) -> Result<&[Real], String> {
        match &self.content {
            Content::Reals(values) => Ok(values),
            Content::Integers(..) => Err("takes integers where reals are expected".into()),
        }
    }

    pub(crate) fn as_integers(&self) -> Result<&[i64], String> {
        self.codes()
            .ok_or_else(|| "takes reals where integers are expected".into())
    }

    /// The same elements under another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Result<Tensor, String> {
        match shape.iter().product::<usize>() == self.elements() {
            true => Ok(Tensor {
                shape,
                content: self.content.clone(),
            }),
            false => Err(format!(
                "{:?} has not the elements of {shape:?}",
                self.shape
            )),
        }
    }

    /// The elements at these places, in this order.
    pub(crate) fn picked(&self, shape: &[usize], places: &[usize]) -> Tensor {
        let content = match &self.content {
            Content::Integers(element, values) => Content::Integers(
                *element,
                places.iter().map(|&place| values[place]).collect(),
            ),
            Content::Reals(values) => {
                Content::Reals(places.iter().map(|&place| values[place].clone()).collect())
            }
        };
        Tensor {
            shape: shape.to_vec(),
            content,
        }
    }
}

fn widened<T: Into<i64>>(values: Vec<T>) -> Vec<i64> {
    values.into_iter().map(Into::into).collect()
}

/// Every index of a shape, row-major.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let total: usize = shape.iter().product();
    (0..total).map(move |place| {
        let mut rest = place;
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        index
    })
}

/// The place of an index in a row-major tensor.
pub(crate) fn place(shape: &[usize], index: &[usize]) -> usize {
    shape
        .iter()
        .zip(index)
        .fold(0, |place, (extent, at)| place * extent + at)
}

/// The shape that two shapes are stretched to.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => Err(format!("shapes {a:?} and {b:?} do not go together")),
        })
        .collect()
}

/// The place in a tensor of `shape` that stands at `index` of a shape it is stretched to.
pub(crate) fn stretched(shape: &[usize], index: &[usize]) -> usize {
    let own = &index[index.len() - shape.len()..];
    let folded: Vec<usize> = own
        .iter()
        .zip(shape)
        .map(|(&at, &extent)| if extent == 1 { 0 } else { at })
        .collect();
    place(shape, &folded)
}

/// An axis that may count from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("has no axis {axis} among {rank}"))
}

/// Products of the extents before, at and behind an axis.
pub(crate) fn split_at(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (
        shape[..axis].iter().product(),
        shape[axis],
        shape[axis + 1..].iter().product(),
    )
}
