//! Constant tensors of a graph.

use super::graph::Element;

/// Elements of a constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    F32(Vec<f32>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    /// Bytes in a kernel's own layout.
    Bytes(Vec<u8>),
}

impl Data {
    pub fn element(&self) -> Element {
        match self {
            Data::F32(_) => Element::F32,
            Data::I8(_) => Element::I8,
            Data::I32(_) => Element::I32,
            Data::I64(_) => Element::I64,
            Data::Bytes(_) => Element::Bytes,
        }
    }

    /// The elements at `places`, in that order.
    pub fn gather(&self, places: &[usize]) -> Data {
        fn pick<T: Copy>(values: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|&place| values[place]).collect()
        }
        match self {
            Data::F32(values) => Data::F32(pick(values, places)),
            Data::I8(values) => Data::I8(pick(values, places)),
            Data::I32(values) => Data::I32(pick(values, places)),
            Data::I64(values) => Data::I64(pick(values, places)),
            Data::Bytes(values) => Data::Bytes(pick(values, places)),
        }
    }

    /// Little-endian bytes as a plan holds them; 64-bit integers have none.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        Some(match self {
            Data::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Data::I8(values) => values.iter().map(|&v| v as u8).collect(),
            Data::I32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Data::I64(_) => return None,
            Data::Bytes(values) => values.clone(),
        })
    }

    /// Bytes it takes in a plan; 64-bit integers, which none holds, count as 32.
    pub fn byte_count(&self) -> usize {
        match self {
            Data::F32(values) => 4 * values.len(),
            Data::I8(values) => values.len(),
            Data::I32(values) => 4 * values.len(),
            Data::I64(values) => 4 * values.len(),
            Data::Bytes(values) => values.len(),
        }
    }

    /// Whole numbers of any width; none for floats.
    pub fn integers(&self) -> Option<Vec<i64>> {
        Some(match self {
            Data::I8(values) => values.iter().map(|&v| i64::from(v)).collect(),
            Data::I32(values) => values.iter().map(|&v| i64::from(v)).collect(),
            Data::I64(values) => values.clone(),
            Data::F32(_) | Data::Bytes(_) => return None,
        })
    }
}

/// Integers that stand for `(q - zero point)·scale`, not yet turned into floats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuantizedConstant {
    pub integers: Vec<i32>,
    /// One scale, or one per index of `axis`.
    pub scales: Vec<f32>,
    /// As many as scales.
    pub zero_points: Vec<i32>,
    pub axis: usize,
}

impl QuantizedConstant {
    /// Scale and zero point of an index of the axis.
    pub fn parameters(&self, index: usize) -> (f32, i32) {
        let index = if self.scales.len() == 1 { 0 } else { index };
        (self.scales[index], self.zero_points[index])
    }

    /// Steps from the zero point, and the scale, of every element.
    pub fn steps(&self, shape: &[usize]) -> impl Iterator<Item = (i64, f32)> {
        let inner: usize = shape.iter().skip(self.axis + 1).product();
        let extent = shape.get(self.axis).copied().unwrap_or(1);
        let step = move |(place, &q): (usize, &i32)| {
            let (scale, zero_point) = self.parameters(place / inner.max(1) % extent.max(1));
            (i64::from(q) - i64::from(zero_point), scale)
        };
        self.integers.iter().enumerate().map(step)
    }

    /// The floats they stand for, each rounded once, as `DequantizeLinear` gives them.
    pub fn dequantize(&self, shape: &[usize]) -> Vec<f32> {
        let float = |(steps, scale): (i64, f32)| steps as f32 * scale;
        self.steps(shape).map(float).collect()
    }

    /// The elements at `places`, with the quantised axis moved to `axis`.
    pub fn gather(&self, places: &[usize], axis: usize) -> QuantizedConstant {
        let integers = places.iter().map(|&place| self.integers[place]).collect();
        QuantizedConstant {
            integers,
            axis,
            ..self.clone()
        }
    }
}
