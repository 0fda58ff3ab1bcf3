//! Windows over images as ONNX writes them: `kernel_shape`, `strides`, `dilations`, `pads`,
//! `auto_pad`, `ceil_mode`, `output_padding`, `output_shape`.
//!
//! ONNX has channels before rows and columns; the engine has them last. Every operator over
//! images is therefore imported as a transposition, the op and the transposition back; a pass
//! takes out those that cancel. Without rows (1-D) an image is one row high.

use super::{Importer, Imports, refuse};
use crate::compile::graph::{ValueId, Window};
use crate::onnx::proto::NodeProto;

/// Largest stride, dilation or padding: beyond every tensor that a plan holds.
const MAX_STEP: i64 = 1 << 20;

/// A window and the rows and columns of its results.
pub(super) struct Windows {
    pub window: Window,
    pub output: [usize; 2],
}

/// Attributes along one axis.
struct Along {
    image: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: [usize; 2],
}

impl Along {
    /// Elements from the first tap to the last.
    fn span(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Number of results; none where no window fits.
    fn results(&self, ceil: bool) -> Option<usize> {
        let padded = self.image + self.pads[0] + self.pads[1];
        let room = padded.checked_sub(self.span())?;
        let results = match ceil {
            true => room.div_ceil(self.stride) + 1,
            false => room / self.stride + 1,
        };
        // A window that starts behind the image and the padding before it is not counted.
        let starts_outside = (results - 1) * self.stride >= self.image + self.pads[0];
        Some(results - usize::from(ceil && starts_outside))
    }

    /// Pads so that there is a result for every `stride` elements.
    fn pad_to_same(&mut self, upper: bool) {
        let results = self.image.div_ceil(self.stride);
        let needed = (results - 1) * self.stride + self.span();
        self.split(needed.saturating_sub(self.image), upper);
    }

    fn split(&mut self, total: usize, upper: bool) {
        let (small, large) = (total / 2, total.div_ceil(2));
        self.pads = if upper {
            [small, large]
        } else {
            [large, small]
        };
    }
}

impl Importer<'_> {
    /// The windows of `kernel` over the rows and columns of `image`, `[.., h, w]` or `[.., w]`.
    pub(super) fn windows(
        &self,
        node: &NodeProto,
        image: &[usize],
        kernel: &[usize],
    ) -> Imports<Windows> {
        let mut axes = axes(node, image, kernel)?;
        match node.string("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" | "" => {}
            "VALID" => axes.iter_mut().for_each(|axis| axis.pads = [0, 0]),
            "SAME_UPPER" => axes.iter_mut().for_each(|axis| axis.pad_to_same(true)),
            "SAME_LOWER" => axes.iter_mut().for_each(|axis| axis.pad_to_same(false)),
            other => return Err(unknown_padding(node, other)),
        }
        let ceil = node.int("ceil_mode").unwrap_or(0) != 0;
        let output: Option<Vec<usize>> = axes.iter().map(|axis| axis.results(ceil)).collect();
        let output = output.filter(|output| output.iter().all(|&results| results > 0));
        let too_large = || {
            let reason = format!("a window of {kernel:?} does not fit an image of {image:?}");
            refuse(node, &reason, "pad the image or make the window smaller")
        };
        Ok(Windows {
            output: pair(&output.ok_or_else(too_large)?, 1),
            window: window(&axes),
        })
    }

    /// The transposed windows of `kernel` over the rows and columns of `image`.
    pub(super) fn transposed_windows(
        &self,
        node: &NodeProto,
        image: &[usize],
        kernel: &[usize],
    ) -> Imports<Windows> {
        let mut axes = axes(node, image, kernel)?;
        let extra = list(node, "output_padding", vec![0; image.len()], 0)?;
        let wanted = node.ints("output_shape").unwrap_or_default();
        let wanted = &wanted[wanted.len().saturating_sub(image.len())..];
        let auto = node.string("auto_pad").unwrap_or("NOTSET");
        let mut output = Vec::new();
        for (position, axis) in axes.iter_mut().enumerate() {
            let full = (axis.image - 1) * axis.stride + axis.span() + extra[position];
            let target = match (wanted.get(position), auto) {
                (Some(&wanted), _) => usize::try_from(wanted).ok(),
                (None, "SAME_UPPER" | "SAME_LOWER") => Some(axis.image * axis.stride),
                (None, "VALID") => Some(full),
                (None, "NOTSET" | "") => None,
                (None, other) => return Err(unknown_padding(node, other)),
            };
            if let Some(target) = target {
                axis.split(full.saturating_sub(target), auto != "SAME_LOWER");
            }
            let results = target.or_else(|| full.checked_sub(axis.pads[0] + axis.pads[1]));
            output.push(results.filter(|&results| results > 0).ok_or_else(|| {
                let reason = format!("padding of {:?} leaves nothing of {full}", axis.pads);
                refuse(node, &reason, "pad less")
            })?);
        }
        Ok(Windows {
            output: pair(&output, 1),
            window: window(&axes),
        })
    }

    /// The image `[1, c, h, w]` or `[1, c, w]` as `[1, h, w, c]`.
    pub(super) fn channels_last(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let shape = self.shape_of(x);
        let order = match shape[..] {
            [1, _, _] => vec![0, 2, 1],
            [1, _, _, _] => vec![0, 2, 3, 1],
            _ => {
                let reason = format!("an input of shape {shape:?} is not one image");
                return Err(refuse(node, &reason, "export with batch 1, in 1-D or 2-D"));
            }
        };
        let turned = self.transposed(node, x, &order)?;
        let (width, channels) = (shape[shape.len() - 1], shape[1]);
        let height = if shape.len() == 4 { shape[2] } else { 1 };
        Ok(self.reshaped(node, turned, &[1, height, width, channels]))
    }

    /// Gives a node's output the image `[1, h, w, c]` as `[1, c, h, w]`, or `[1, c, w]` in 1-D.
    pub(super) fn bind_channels_first(
        &mut self,
        node: &NodeProto,
        y: ValueId,
        rank: usize,
    ) -> Imports {
        let shape = self.shape_of(y);
        let order: &[usize] = if rank == 4 { &[0, 3, 1, 2] } else { &[0, 2, 1] };
        let flat = self.reshaped(node, y, &shape[4 - rank..]);
        let turned = self.transposed(node, flat, order)?;
        self.bind(node, 0, turned);
        Ok(())
    }
}

fn unknown_padding(node: &NodeProto, mode: &str) -> crate::compile::CompileError {
    let reason = format!("auto_pad {mode} is not supported");
    refuse(node, &reason, "use NOTSET, VALID or SAME_UPPER")
}

/// The attributes of every axis of an image.
fn axes(node: &NodeProto, image: &[usize], kernel: &[usize]) -> Imports<Vec<Along>> {
    let rank = image.len();
    let strides = list(node, "strides", vec![1; rank], 1)?;
    let dilations = list(node, "dilations", vec![1; rank], 1)?;
    let pads = list(node, "pads", vec![0; 2 * rank], 0)?;
    if kernel.len() != rank || kernel.contains(&0) || image.contains(&0) {
        let reason = format!("a kernel of {kernel:?} for an image of {image:?}");
        return Err(refuse(node, &reason, "export the model again"));
    }
    let along = |axis: usize| Along {
        image: image[axis],
        kernel: kernel[axis],
        stride: strides[axis],
        dilation: dilations[axis],
        pads: [pads[axis], pads[axis + rank]],
    };
    Ok((0..rank).map(along).collect())
}

/// An attribute with an entry per axis, each at least `least`.
fn list(node: &NodeProto, name: &str, default: Vec<usize>, least: i64) -> Imports<Vec<usize>> {
    let Some(values) = node.ints(name) else {
        return Ok(default);
    };
    if values.len() != default.len() || values.iter().any(|v| !(least..=MAX_STEP).contains(v)) {
        let reason = format!("{name} of {values:?}");
        let nearest = format!("give {} numbers from {least} up", default.len());
        return Err(refuse(node, &reason, &nearest));
    }
    Ok(values.iter().map(|&value| value as usize).collect())
}

/// Rows and columns; `missing` for the rows of a 1-D image.
fn pair(values: &[usize], missing: usize) -> [usize; 2] {
    match *values {
        [rows, columns] => [rows, columns],
        [columns] => [missing, columns],
        _ => [missing; 2],
    }
}

fn window(axes: &[Along]) -> Window {
    let all = |of: fn(&Along) -> usize| axes.iter().map(of).collect::<Vec<_>>();
    let before = pair(&all(|axis| axis.pads[0]), 0);
    let behind = pair(&all(|axis| axis.pads[1]), 0);
    Window {
        kernel: pair(&all(|axis| axis.kernel), 1),
        strides: pair(&all(|axis| axis.stride), 1),
        dilations: pair(&all(|axis| axis.dilation), 1),
        pads: [before[0], before[1], behind[0], behind[1]],
    }
}
