//! What a plan says about one tensor.

use core::ops::Range;

use crate::format::{DType, MAX_RANK, Role};
use crate::record::TensorEntry;

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

/// A tensor of a checked plan: its entry in the tensor table, read where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensor<'a>(pub &'a TensorEntry);

impl Tensor<'_> {
    /// As [`TensorInfo::dtype`].
    #[inline(always)]
    pub fn dtype(self) -> DType {
        let [[code, ..], ..] = *self.0;
        DType::from_code(code).unwrap_or(DType::U8)
    }

    /// As [`TensorInfo::dims`].
    #[inline(always)]
    pub fn dims(self) -> [u32; MAX_RANK] {
        let [_, d0, d1, d2, d3, ..] = *self.0;
        [d0, d1, d2, d3].map(u32::from_le_bytes)
    }

    /// Whether these are the dimensions. Compared one by one: `==` of arrays would call `memcmp`.
    #[inline(never)]
    pub fn has_shape(self, dims: [u32; MAX_RANK]) -> bool {
        let differences = self.dims().into_iter().zip(dims).map(|(a, b)| a ^ b);
        differences.fold(0, |all, bits| all | bits) == 0
    }

    /// As [`TensorInfo::offset`].
    #[inline(always)]
    pub fn offset(self) -> usize {
        let [_, _, _, _, _, offset, ..] = *self.0;
        u32::from_le_bytes(offset) as usize
    }

    /// As [`TensorInfo::elements`].
    #[inline(never)]
    pub fn elements(self) -> usize {
        product(&self.dims())
    }

    /// Length in bytes.
    pub fn bytes(self) -> usize {
        self.elements().wrapping_mul(self.dtype().bytes())
    }

    /// As [`TensorInfo::range`].
    #[inline(never)]
    pub fn range(self) -> Range<usize> {
        let start = self.offset();
        start..start.wrapping_add(self.bytes())
    }

    /// Where the tensor lies, if it is of floats.
    pub fn float_place(self) -> Option<Range<usize>> {
        (self.dtype() == DType::F32).then(|| self.range())
    }

    /// The last dimension.
    #[inline(always)]
    pub fn columns(self) -> usize {
        let [.., columns] = self.dims();
        columns as usize
    }

    /// The product of all dimensions but the last.
    #[inline(always)]
    pub fn rows(self) -> usize {
        let [outer @ .., _] = self.dims();
        product(&outer)
    }
}

/// Cannot overflow where the load check has held the number of elements.
#[inline(always)]
fn product(dims: &[u32]) -> usize {
    dims.iter()
        .fold(1, |product: usize, &d| product.wrapping_mul(d as usize))
}
