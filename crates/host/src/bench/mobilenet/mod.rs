//! Makes a MobileNetV1 of width 0.25 at 96×96 with two classes, the shape of the person detector of MLPerf Tiny.
//!
//! Weights are pseudo-random, from a fixed seed, so the same file is written every time. Layer by layer, each channel is
//! normalised over a few images as batch normalisation would, so that none is dead and none saturates, then weights
//! are quantized per channel and activations to the range the images give them.
//!
//! The file is as tf2onnx writes the int8 networks of TensorFlow: an NHWC input in int8, a Transpose, then DequantizeLinear
//! → Conv → Relu → QuantizeLinear for each layer, AveragePool over what is left, Reshape, MatMul, Add, Softmax; opset 13.

mod float;
mod random;
mod write;

use crate::onnx::proto::ModelProto;
use float::{Image, Layer, Weights};
use random::Random;
use write::{Dense, Quantized};

/// Rows and columns of the input.
const SIZE: usize = 96;
const INPUT_CHANNELS: usize = 3;
const STEM_CHANNELS: usize = 8;
const CLASSES: usize = 2;
/// Output channels and stride of the depthwise-separable blocks.
const BLOCKS: [(usize, usize); 13] = [
    (16, 1),
    (32, 2),
    (32, 1),
    (64, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (128, 1),
    (128, 1),
    (128, 1),
    (128, 1),
    (256, 2),
    (256, 1),
];
const SEED: u64 = 25;
/// Images that say what range values take: half noise, half smooth.
const IMAGES: usize = 8;
/// Spread of a logit over the images.
const LOGIT_DEVIATION: f32 = 1.5;
/// Room beyond the logits of the images.
const LOGIT_MARGIN: f32 = 1.5;
/// Steps of an `int8`.
const STEPS: f32 = 255.0;

/// The convolutions in order.
fn layers() -> Vec<Layer> {
    let mut layers = vec![Layer {
        inputs: INPUT_CHANNELS,
        outputs: STEM_CHANNELS,
        kernel: 3,
        stride: 2,
        groups: 1,
    }];
    let mut channels = STEM_CHANNELS;
    for (outputs, stride) in BLOCKS {
        layers.push(Layer {
            inputs: channels,
            outputs: channels,
            kernel: 3,
            stride,
            groups: channels,
        });
        layers.push(Layer {
            inputs: channels,
            outputs,
            kernel: 1,
            stride: 1,
            groups: 1,
        });
        channels = outputs;
    }
    layers
}

/// The network, the same every time. Takes part of a second.
pub fn mobilenet() -> ModelProto {
    let mut random = Random::new(SEED);
    let mut images = images(&mut random);
    let mut layers_written = Vec::new();
    for layer in layers() {
        let (quantized, next) = calibrated(&layer, &images, &mut random);
        layers_written.push((layer, quantized));
        images = next;
    }
    let features: Vec<Vec<f32>> = images.iter().map(Image::pooled).collect();
    let dense = dense(&features, &mut random);
    write::model(SIZE, &layers_written, &dense)
}

/// Noise, and waves of colour, both from 0 to 1.
fn images(random: &mut Random) -> Vec<Image> {
    let image = |index: usize, random: &mut Random| {
        let values = match index % 2 {
            0 => (0..SIZE * SIZE * INPUT_CHANNELS)
                .map(|_| random.uniform())
                .collect(),
            _ => smooth(random),
        };
        Image {
            size: SIZE,
            channels: INPUT_CHANNELS,
            values,
        }
    };
    (0..IMAGES).map(|index| image(index, random)).collect()
}

/// Each channel a sum of parabolas over the image, folded into 0 to 1.
fn smooth(random: &mut Random) -> Vec<f32> {
    let waves: [[f32; 4]; INPUT_CHANNELS] =
        std::array::from_fn(|_| std::array::from_fn(|_| random.normal() * 3.0));
    let value = |row: f32, column: f32, [a, b, c, d]: [f32; 4]| {
        let folded = (a * row + b * column + c * row * column + d).rem_euclid(2.0);
        if folded > 1.0 { 2.0 - folded } else { folded }
    };
    let scaled = |place: usize| place as f32 / SIZE as f32;
    let pixel =
        |place: usize| waves.map(|wave| value(scaled(place / SIZE), scaled(place % SIZE), wave));
    (0..SIZE * SIZE).flat_map(pixel).collect()
}

/// A layer's weights, normalised over the images and quantized, and the images behind it.
fn calibrated(layer: &Layer, images: &[Image], random: &mut Random) -> (Quantized, Vec<Image>) {
    let mut weights = Weights {
        taps: (0..layer.outputs * layer.taps())
            .map(|_| random.normal())
            .collect(),
        bias: vec![0.0; layer.outputs],
    };
    let raw: Vec<Image> = images
        .iter()
        .map(|image| image.convolved(layer, &weights))
        .collect();
    for channel in 0..layer.outputs {
        let (mean, deviation) = spread(raw.iter().flat_map(|image| {
            image
                .values
                .iter()
                .skip(channel)
                .step_by(image.channels)
                .copied()
        }));
        let gain = (0.6 + 0.8 * random.uniform()) / deviation.max(f32::MIN_POSITIVE);
        let shift = 0.4 + 0.3 * random.normal();
        for tap in &mut weights.taps[channel * layer.taps()..][..layer.taps()] {
            *tap *= gain;
        }
        weights.bias[channel] = shift - gain * mean;
    }
    let scales = weights
        .taps
        .chunks(layer.taps())
        .map(|taps| taps.iter().fold(0.0, |most: f32, tap| most.max(tap.abs())) / 127.0);
    let scales: Vec<f32> = scales.collect();
    let quantized =
        |(index, tap): (usize, &f32)| (tap / scales[index / layer.taps()]).round_ties_even() as i8;
    let taps: Vec<i8> = weights.taps.iter().enumerate().map(quantized).collect();
    for (index, (tap, code)) in weights.taps.iter_mut().zip(&taps).enumerate() {
        *tap = f32::from(*code) * scales[index / layer.taps()];
    }
    let next: Vec<Image> = images
        .iter()
        .map(|image| image.convolved(layer, &weights).rectified())
        .collect();
    let most = next
        .iter()
        .flat_map(|image| &image.values)
        .fold(0.0, |most: f32, value| most.max(*value));
    let quantized = Quantized {
        taps,
        scales,
        bias: weights.bias,
        output_scale: most / STEPS,
    };
    (quantized, next)
}

/// Mean and standard deviation.
fn spread(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let square = values
        .map(|value| (f64::from(value) - mean).powi(2))
        .sum::<f64>()
        / count;
    (mean as f32, square.sqrt() as f32)
}

/// The last layer: logits that differ between the images.
fn dense(features: &[Vec<f32>], random: &mut Random) -> Dense {
    let width = features.first().map_or(0, Vec::len);
    let mut weights: Vec<Vec<f32>> = (0..CLASSES)
        .map(|_| (0..width).map(|_| random.normal()).collect())
        .collect();
    let mut bias = [0.0; CLASSES];
    let dot = |row: &[f32], input: &[f32]| row.iter().zip(input).map(|(a, b)| a * b).sum::<f32>();
    for (row, bias) in weights.iter_mut().zip(&mut bias) {
        let (mean, deviation) = spread(features.iter().map(|input| dot(row, input)));
        let gain = LOGIT_DEVIATION / deviation.max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|weight| *weight *= gain);
        *bias = -gain * mean;
    }
    let most = weights
        .iter()
        .flatten()
        .fold(0.0, |most: f32, weight| most.max(weight.abs()));
    let scale = most / 127.0;
    let logits = features.iter().flat_map(|input| {
        weights
            .iter()
            .zip(&bias)
            .map(|(row, bias)| LOGIT_MARGIN * (dot(row, input) + bias))
    });
    let (least, most) = logits.fold((0.0_f32, 0.0_f32), |(least, most), logit| {
        (least.min(logit), most.max(logit))
    });
    let output_scale = (most - least) / STEPS;
    Dense {
        // Input by input, as MatMul takes them.
        weights: (0..width * CLASSES)
            .map(|index| {
                (weights[index % CLASSES][index / CLASSES] / scale).round_ties_even() as i8
            })
            .collect(),
        width,
        scale,
        bias: bias.to_vec(),
        output_scale,
        output_zero_point: (-128.0 - least / output_scale).round_ties_even() as i8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx;

    /// Multiply-accumulates of the convolutions and the last layer.
    fn macs() -> usize {
        let mut size = SIZE;
        let mut sum = 0;
        for layer in layers() {
            size = size.div_ceil(layer.stride);
            sum += size * size * layer.outputs * layer.taps();
        }
        sum + 256 * CLASSES
    }

    #[test]
    fn the_network_has_the_size_of_its_twin() {
        assert_eq!(macs(), 7_489_664);
    }

    #[test]
    fn the_same_file_is_written_every_time_and_every_channel_is_alive() {
        let model = mobilenet();
        let bytes = onnx::encode(&model);
        assert_eq!(onnx::encode(&mobilenet()), bytes);
        let graph = model.graph().unwrap();
        assert!(super::super::peers::recognize(graph).is_some());
        let convolutions = graph.node.iter().filter(|node| node.op_type == "Conv");
        assert_eq!(convolutions.count(), 27);
        assert_eq!(model.opset(""), Some(13));
        for tensor in graph
            .initializer
            .iter()
            .filter(|tensor| tensor.dims.len() == 4)
        {
            let codes = tensor.to_i8().unwrap();
            let taps = codes.len() / tensor.dims[0] as usize;
            let full = |channel: &[i8]| channel.iter().any(|code| code.unsigned_abs() == 127);
            assert!(codes.chunks(taps).all(full), "{}", tensor.name);
        }
    }
}
