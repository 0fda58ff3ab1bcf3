//! Convolution in float, to see what range the values of a layer take.

/// What a layer is made of; every layer has a bias for each output channel and ends with a ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step from one output to the next, in both directions.
    pub stride: usize,
    /// 1, or as many as channels for a depthwise layer.
    pub groups: usize,
}

impl Layer {
    /// Input channels that one output channel reads.
    pub fn depth(&self) -> usize {
        self.inputs / self.groups
    }

    /// Weights of one output channel.
    pub fn taps(&self) -> usize {
        self.depth() * self.kernel * self.kernel
    }

    /// Rows and columns added before and behind an input of even size, as TensorFlow's `SAME` does.
    pub fn padding(&self) -> [usize; 2] {
        match (self.kernel, self.stride) {
            (1, _) => [0, 0],
            (_, 1) => [1, 1],
            _ => [0, 1],
        }
    }
}

/// Weights, in the order of ONNX: output channel, input channel, row, column.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One for every tap of every output channel.
    pub taps: Vec<f32>,
    /// One for every output channel.
    pub bias: Vec<f32>,
}

/// A square image: rows, columns, channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Rows, which are as many as columns.
    pub size: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// Row by row, pixel by pixel.
    pub values: Vec<f32>,
}

impl Image {
    /// Values of a pixel; none outside of the image.
    fn pixel(&self, row: usize, column: usize) -> &[f32] {
        if row >= self.size || column >= self.size {
            return &[];
        }
        let at = (row * self.size + column) * self.channels;
        &self.values[at..at + self.channels]
    }

    /// The layer's values before its ReLU.
    pub fn convolved(&self, layer: &Layer, weights: &Weights) -> Image {
        let size = self.size.div_ceil(layer.stride);
        let mut values = Vec::with_capacity(size * size * layer.outputs);
        for row in 0..size {
            for column in 0..size {
                for output in 0..layer.outputs {
                    let taps = &weights.taps[output * layer.taps()..][..layer.taps()];
                    let from = [row * layer.stride, column * layer.stride];
                    values.push(weights.bias[output] + self.sum(layer, taps, output, from));
                }
            }
        }
        Image {
            size,
            channels: layer.outputs,
            values,
        }
    }

    fn sum(&self, layer: &Layer, taps: &[f32], output: usize, [row, column]: [usize; 2]) -> f32 {
        let [before, _] = layer.padding();
        let area = layer.kernel * layer.kernel;
        let first = if layer.groups == 1 { 0 } else { output };
        let mut sum = 0.0;
        for tap in 0..area {
            // Wraps around before the first row or column, which is outside as well.
            let at = |from: usize, step: usize| (from + step).wrapping_sub(before);
            let pixel = self.pixel(at(row, tap / layer.kernel), at(column, tap % layer.kernel));
            for (depth, value) in pixel.iter().skip(first).take(layer.depth()).enumerate() {
                sum += value * taps[depth * area + tap];
            }
        }
        sum
    }

    /// Values below zero become zero.
    pub fn rectified(mut self) -> Image {
        for value in &mut self.values {
            *value = value.max(0.0);
        }
        self
    }

    /// Mean of each channel.
    pub fn pooled(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.channels];
        for pixel in self.values.chunks_exact(self.channels) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
        let pixels = (self.size * self.size) as f32;
        sums.iter().map(|sum| sum / pixels).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(size: usize, channels: usize) -> Image {
        Image {
            size,
            channels,
            values: (0..size * size * channels)
                .map(|value| value as f32)
                .collect(),
        }
    }

    #[test]
    fn a_strided_kernel_starts_at_the_first_pixel() {
        let layer = Layer {
            inputs: 1,
            outputs: 1,
            kernel: 3,
            stride: 2,
            groups: 1,
        };
        let weights = Weights {
            taps: vec![1.0; 9],
            bias: vec![0.5],
        };
        let image = counting(4, 1).convolved(&layer, &weights);
        let corner = 10.0 + 11.0 + 14.0 + 15.0 + 0.5;
        assert_eq!(image.size, 2);
        assert_eq!(
            image.values,
            [
                45.5,
                2.0 + 3.0 + 6.0 + 7.0 + 10.0 + 11.0 + 0.5,
                8.0 + 9.0 + 10.0 + 12.0 + 13.0 + 14.0 + 0.5,
                corner
            ]
        );
    }

    #[test]
    fn a_depthwise_channel_reads_its_own_channel() {
        let layer = Layer {
            inputs: 2,
            outputs: 2,
            kernel: 3,
            stride: 1,
            groups: 2,
        };
        let mut taps = vec![0.0; 18];
        (taps[4], taps[13]) = (1.0, 10.0);
        let weights = Weights {
            taps,
            bias: vec![0.0; 2],
        };
        let image = counting(2, 2).convolved(&layer, &weights);
        assert_eq!(image.values, [0.0, 10.0, 2.0, 30.0, 4.0, 50.0, 6.0, 70.0]);
    }

    #[test]
    fn pooling_is_the_mean() {
        assert_eq!(counting(2, 2).pooled(), [3.0, 4.0]);
    }
}
