//! The parameter words of ops, as their kernels' documentation lists them.

use super::super::graph::{Border, Op, Window};
use super::super::packing::depthwise::plane_width;
use dunlin_engine::format::{MAX_RANK, OpCode};

/// The parameter words of an op.
pub(super) fn words(op: &Op) -> Vec<u32> {
    match *op {
        Op::FullyConnected { minimum, maximum } | Op::Clamp { minimum, maximum } => {
            vec![minimum.to_bits(), maximum.to_bits()]
        }
        Op::FullyConnectedPacked { .. } | Op::Conv2dPacked { .. } | Op::DepthwisePacked { .. } => {
            packed_words(op)
        }
        Op::FullyConnectedI8 { .. }
        | Op::FullyConnectedI8ToF32 { .. }
        | Op::QuantizeLinear { .. }
        | Op::DequantizeLinear { .. } => integer_words(op),
        Op::Conv2d { .. } | Op::Conv2dI8 { .. } | Op::Conv2dI8ToF32 { .. } => window_words(op),
        Op::MaxPool2d { window, .. } => pool_words(&window),
        Op::AveragePool2d { window, margins } => {
            let margins = margins.iter().map(|&margin| margin as u32);
            pool_words(&window).into_iter().chain(margins).collect()
        }
        Op::Pad { ref border, .. } => border_words(border),
        Op::Scale(form) => vec![form as u32],
        Op::Activation {
            op: OpCode::LeakyRelu,
            alpha,
            ..
        } => vec![alpha.to_bits()],
        Op::Activation { alpha, beta, .. } => vec![alpha.to_bits(), beta.to_bits()],
        Op::LayerNormalization { epsilon } => vec![epsilon.to_bits()],
        Op::Svm(step) => step.words(),
        Op::Bytes(op) => op.words(),
        Op::TreeEnsemble { packing, .. } => packing.words().to_vec(),
        Op::Reduce { .. } | Op::MatMul { .. } | Op::StridedCopy { .. } | Op::Concat { .. } => {
            shape_words(op)
        }
        Op::Recurrent(layer) => layer.words(),
        Op::Binary(_)
        | Op::Unary(_)
        | Op::Softmax
        | Op::ArgMax
        | Op::Reshape
        | Op::History
        | Op::Transpose { .. } => Vec::new(),
    }
}

/// Words of an op between floats and integers.
fn integer_words(op: &Op) -> Vec<u32> {
    let signed = |value: i32| value.cast_unsigned();
    match *op {
        Op::FullyConnectedI8 {
            weight_zero_point,
            divisor,
            zero_point,
            minimum,
            maximum,
        } => {
            let [minimum, maximum] = [minimum, maximum].map(signed);
            let zero_points = [weight_zero_point, zero_point].map(signed);
            vec![zero_points[0], divisor, zero_points[1], minimum, maximum]
        }
        Op::FullyConnectedI8ToF32 {
            weight_zero_point,
            minimum,
            maximum,
        } => {
            let limits = [minimum, maximum].map(f32::to_bits);
            vec![signed(weight_zero_point), limits[0], limits[1]]
        }
        Op::QuantizeLinear { scale, zero_point } | Op::DequantizeLinear { scale, zero_point } => {
            vec![scale.to_bits(), signed(zero_point)]
        }
        _ => Vec::new(),
    }
}

/// Words of an op with packed constants.
fn packed_words(op: &Op) -> Vec<u32> {
    let limits = |(low, high): (i8, i8)| u32::from_le_bytes([low as u8, high as u8, 0, 0]);
    match *op {
        Op::FullyConnectedPacked {
            rows,
            k,
            n,
            limits: limited,
            ..
        } => vec![rows as u32, k as u32, n as u32, limits(limited)],
        Op::Conv2dPacked {
            ref geometry,
            limits: limited,
            ..
        } => [&geometry.words()[..], &[limits(limited)]].concat(),
        Op::DepthwisePacked {
            ref geometry,
            limits: limited,
            planes,
            ..
        } => {
            let planes = [plane_width(geometry), planes.strip, planes.lanes].map(|n| n as u32);
            [&geometry.words()[..], &[limits(limited)], &planes].concat()
        }
        _ => Vec::new(),
    }
}

/// Words of an op over windows of an image.
fn window_words(op: &Op) -> Vec<u32> {
    let signed = |value: i32| value.cast_unsigned();
    let (words, window) = match *op {
        Op::Conv2d {
            window,
            minimum,
            maximum,
            ..
        } => (vec![minimum.to_bits(), maximum.to_bits()], window),
        Op::Conv2dI8 {
            window,
            input_zero_point,
            weight_zero_point,
            divisor,
            zero_point,
            minimum,
            maximum,
            ..
        } => {
            let rest = [zero_point, minimum, maximum, input_zero_point].map(signed);
            let words = [&[signed(weight_zero_point), divisor][..], &rest].concat();
            (words, window)
        }
        Op::Conv2dI8ToF32 {
            window,
            input_zero_point,
            weight_zero_point,
            minimum,
            maximum,
            ..
        } => {
            let [low, high] = [minimum, maximum].map(f32::to_bits);
            let zero_points = [weight_zero_point, input_zero_point].map(signed);
            (vec![zero_points[0], low, high, zero_points[1]], window)
        }
        _ => return Vec::new(),
    };
    words.into_iter().chain(geometry(&window)).collect()
}

/// Words of a window.
fn geometry(window: &Window) -> Vec<u32> {
    let [top, left, ..] = window.pads;
    let geometry = [window.strides, window.dilations, [top, left]];
    geometry
        .iter()
        .flatten()
        .map(|&extent| extent as u32)
        .collect()
}

/// Words of a pool's kernel and window.
pub(crate) fn pool_words(window: &Window) -> Vec<u32> {
    let kernel = window.kernel.map(|extent| extent as u32);
    [&kernel[..], &geometry(window)].concat()
}

fn border_words(border: &Border) -> Vec<u32> {
    let mut before = [0; MAX_RANK];
    for (place, &count) in before.iter_mut().rev().zip(border.before.iter().rev()) {
        *place = (count as i32).cast_unsigned();
    }
    [&border.fill.words()[..], &before].concat()
}

/// Words of an op whose parameters are extents.
fn shape_words(op: &Op) -> Vec<u32> {
    match *op {
        Op::Reduce {
            outer,
            reduced,
            inner,
            ..
        } => [outer, reduced, inner].map(|size| size as u32).to_vec(),
        Op::MatMul {
            batch,
            m,
            k,
            n,
            a_batched,
            b_batched,
        } => {
            let sizes = [batch, m, k, n].map(|size| size as u32);
            [&sizes[..], &[u32::from(a_batched), u32::from(b_batched)]].concat()
        }
        Op::StridedCopy { base, strides } => {
            let strides = strides.map(|stride| (stride as i32).cast_unsigned());
            [&[base as u32][..], &strides].concat()
        }
        Op::Concat { outer } => vec![outer as u32],
        _ => Vec::new(),
    }
}
