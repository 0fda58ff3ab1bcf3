//! Parts of a tensor: `Slice`, `Split`, `Gather`, `ArrayFeatureExtractor`.

use super::super::{Importer, Imports, axis_of, refuse};
use super::View;
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    pub(in super::super) fn slice(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let mut view = View::whole(&self.shape_of(x));
        let rank = view.shape.len();
        let list =
            |index: usize, name: &str| match (node.ints(name), self.optional_input(node, index)?) {
                (Some(values), _) => Ok(Some(values.to_vec())),
                (None, Some(_)) => self.integer_input(node, index).map(Some),
                (None, None) => Ok(None),
            };
        let starts = list(1, "starts")?.unwrap_or_default();
        let ends = list(2, "ends")?.unwrap_or_default();
        let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let axis = axis_of(node, axis, rank)?;
            let (first, count) = slice_range(start, end, step, view.shape[axis])
                .ok_or_else(|| refuse(node, "the slice is empty", "remove it"))?;
            view.base = (view.base as i64 + first as i64 * view.strides[axis]) as usize;
            view.strides[axis] = view.strides[axis].saturating_mul(step);
            view.shape[axis] = count;
        }
        let id = self.viewed(node, x, &view)?;
        self.bind(node, 0, id);
        Ok(())
    }

    pub(in super::super) fn split(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let shape = self.shape_of(x);
        let axis = axis_of(node, node.int("axis").unwrap_or(0), shape.len())?;
        let parts = node.output.len();
        let sizes = match (node.ints("split"), self.optional_input(node, 1)?) {
            (Some(sizes), _) => sizes.to_vec(),
            (None, Some(_)) => self.integer_input(node, 1)?,
            (None, None) => vec![shape[axis].div_ceil(parts.max(1)) as i64; parts],
        };
        let add = |sum: usize, &size: &i64| sum.checked_add(usize::try_from(size).ok()?);
        if sizes
            .iter()
            .try_fold(0, add)
            .is_none_or(|sum| sum < shape[axis])
        {
            let reason = format!("parts of {sizes:?} do not make {}", shape[axis]);
            return Err(refuse(node, &reason, "export the model again"));
        }
        let mut start = 0;
        for (index, &size) in sizes.iter().enumerate() {
            let mut view = View::whole(&shape);
            view.shape[axis] = (size as usize).min(shape[axis] - start);
            view.base = start * view.strides[axis] as usize;
            start += view.shape[axis];
            let id = self.viewed(node, x, &view)?;
            self.bind(node, index, id);
        }
        Ok(())
    }

    pub(in super::super) fn gather(&mut self, node: &NodeProto) -> Imports {
        if self.is_chosen_class(node)? {
            return self.class_of(node);
        }
        let shape = self.shape_of(self.input(node, 0)?);
        let axis = axis_of(node, node.int("axis").unwrap_or(0), shape.len())?;
        let index_shape = self.shape_of(self.input(node, 1)?);
        self.gathered(node, axis, &index_shape)
    }

    /// Elements of the last axis; the result has rows.
    pub(in super::super) fn array_feature_extractor(&mut self, node: &NodeProto) -> Imports {
        if self.is_chosen_class(node)? {
            return self.class_of(node);
        }
        let shape = self.shape_of(self.input(node, 0)?);
        let axis = axis_of(node, -1, shape.len())?;
        let count = self.integer_input(node, 1)?.len();
        self.gathered(node, axis, &[count])
    }

    /// Constant indices only: runs of neighbours become copies, several runs a concatenation.
    fn gathered(&mut self, node: &NodeProto, axis: usize, index_shape: &[usize]) -> Imports {
        let x = self.input(node, 0)?;
        let shape = self.shape_of(x);
        let indices = self.integer_input(node, 1)?;
        let indices = indices
            .iter()
            .map(|&index| axis_of(node, index, shape[axis]))
            .collect::<Imports<Vec<_>>>()?;
        let mut parts = Vec::new();
        for run in indices.chunk_by(|a, b| *b == a + 1) {
            let mut view = View::whole(&shape);
            view.shape[axis] = run.len();
            view.base = run[0] * view.strides[axis] as usize;
            parts.push(self.viewed(node, x, &view)?);
        }
        let joined = if parts.len() == 1 {
            parts[0]
        } else {
            self.joined(node, &parts, axis)?
        };
        let mut result = shape;
        result.splice(axis..=axis, index_shape.iter().copied());
        let id = self.reshaped(node, joined, &result);
        self.bind(node, 0, id);
        Ok(())
    }
}

/// First index and number of elements of a Python-like slice; none where it is empty.
fn slice_range(start: i64, end: i64, step: i64, extent: usize) -> Option<(usize, usize)> {
    let extent = i64::try_from(extent).ok()?;
    let resolve = |index: i64| {
        if index < 0 {
            index.saturating_add(extent)
        } else {
            index
        }
    };
    let (low, high) = if step > 0 {
        (0, extent)
    } else {
        (-1, extent - 1)
    };
    let (start, end) = (
        resolve(start).clamp(low, high),
        resolve(end).clamp(low, high),
    );
    let span = if step > 0 { end - start } else { start - end };
    let before = u64::try_from(span - 1).ok()?;
    let count = before.checked_div(step.unsigned_abs())? + 1;
    Some((start as usize, count as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_as_in_python() {
        assert_eq!(slice_range(1, 5, 2, 10), Some((1, 2)));
        assert_eq!(slice_range(0, i64::MAX, 3, 10), Some((0, 4)));
        assert_eq!(slice_range(-3, -1, 1, 10), Some((7, 2)));
        assert_eq!(slice_range(-1, i64::MIN, -1, 4), Some((3, 4)));
        assert_eq!(slice_range(4, 2, 1, 10), None);
        assert_eq!(slice_range(1, 5, 0, 10), None);
        assert_eq!(slice_range(1, 5, i64::MAX, 10), Some((1, 1)));
        assert_eq!(slice_range(5, 1, i64::MIN, 10), Some((5, 1)));
    }
}
