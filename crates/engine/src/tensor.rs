//! What a plan says about one tensor.

use core::ops::Range;

use crate::format::{DType, MAX_RANK, Role};

/// Type, shape, place and quantisation of a tensor. Elements are row-major and little-endian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: DType,
    /// Number of dimensions, 1 to 4.
    pub rank: u8,
    /// Dimensions, aligned to the right: `dims[4 - rank..]` is the shape, ones stand before it.
    pub dims: [u32; MAX_RANK],
    /// Offset in the arena, or in the constants section, in bytes.
    pub offset: u32,
    /// Real value of one step of an `I8` tensor; 0 where the tensor is not quantised.
    pub scale: f32,
    /// The integer that stands for 0.0 in an `I8` tensor.
    pub zero_point: i32,
    /// What the tensor is for, if it is an input or output of the plan.
    pub role: Role,
}

impl TensorInfo {
    /// The shape, outermost dimension first.
    pub fn shape(&self) -> &[u32] {
        self.dims
            .get(MAX_RANK.saturating_sub(usize::from(self.rank))..)
            .unwrap_or(&self.dims)
    }

    /// Number of elements. At most [`MAX_ELEMENTS`](crate::format::MAX_ELEMENTS) after a load.
    pub fn elements(&self) -> usize {
        self.dims
            .iter()
            .fold(1, |product: usize, &d| product.saturating_mul(d as usize))
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.elements().saturating_mul(self.dtype.bytes())
    }

    /// Where the tensor lies: in the arena for inputs, outputs and intermediates, in the
    /// constants section for constants.
    pub fn range(&self) -> Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add(self.bytes())
    }

    /// The last dimension.
    pub fn columns(&self) -> usize {
        let [.., columns] = self.dims;
        columns as usize
    }

    /// The product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        let [outer @ .., _] = self.dims;
        outer
            .iter()
            .fold(1, |product: usize, &d| product.saturating_mul(d as usize))
    }
}
