//! Every loop of the architecture that the tests run on against the portable one: random shapes, any constants, extremes.

extern crate std;

use crate::columns;
use crate::depthwise;
use crate::multiply::portable;
use crate::{
    Column, Depthwise3, EVEN, GROUP, Image3, LANES, Layer, ODD, Rows, Runs, Sum, TAP_BYTES, UP,
    depthwise3, depthwise3_image, fill, fill_lanes, fill_pair, fill_plane, group_bytes,
    multiply_pair, multiply_row, repeat, sum_channels, sum_lanes,
};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Bytes of which many are extremes.
fn bytes(count: usize) -> impl Strategy<Value = Vec<u8>> {
    any::<u64>().prop_map(move |seed| {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let [byte, choice, ..] = state.to_le_bytes();
            match choice % 8 {
                0 => 0x80,
                1 => 0x7F,
                2 => 0,
                _ => byte,
            }
        };
        (0..count).map(|_| next()).collect()
    })
}

/// Groups with weights, starts and multipliers of any kind; shifts are small in most.
fn groups(count: usize, steps: usize) -> impl Strategy<Value = Vec<u8>> {
    let size = group_bytes(steps);
    (bytes(count * size), any::<bool>(), 0_u8..40).prop_map(move |(mut bytes, tame, shift)| {
        if tame {
            for group in bytes.chunks_exact_mut(size) {
                for end in group[size - 48..].chunks_exact_mut(12) {
                    end[8..12].copy_from_slice(&[shift % 16, 1, 2, 3]);
                    end[6..8].copy_from_slice(&[0, 0]);
                }
            }
        }
        bytes
    })
}

/// Channels, steps, groups, and inputs of `step_bytes` for every step.
fn layer(step_bytes: usize) -> impl Strategy<Value = (usize, usize, Vec<u8>, Vec<u8>)> {
    let half_steps = prop_oneof![15 => 1_usize..24, 1 => 120_usize..140];
    (1_usize..30, half_steps).prop_flat_map(move |(channels, half_steps)| {
        let steps = 2 * half_steps;
        let count = channels.div_ceil(GROUP);
        let groups = groups(count, steps);
        (
            Just(channels),
            Just(steps),
            groups,
            bytes(steps * step_bytes),
        )
    })
}

/// An image and everything that goes with it.
#[derive(Clone, Debug)]
struct Picture {
    input: [usize; 2],
    output: [usize; 2],
    channels: usize,
    stride: usize,
    padding: [usize; 2],
    zero: u8,
    taps: Vec<u8>,
    inputs: Vec<u8>,
}

impl Picture {
    fn image(&self) -> Image3<'_> {
        Image3 {
            input: self.input,
            output: self.output,
            channels: self.channels,
            stride: self.stride,
            padding: self.padding,
            zero: self.zero,
            taps: &self.taps,
        }
    }

    fn output_bytes(&self) -> usize {
        self.output.iter().product::<usize>() * self.channels
    }

    /// Whether an output that begins where the input does stays behind it.
    fn stays_behind(&self) -> bool {
        self.output[1] <= self.input[1] && self.padding[0] < 3
    }

    /// The output, each result from its nine inputs.
    fn by_formula(&self) -> Vec<u8> {
        let [height, width] = self.input;
        let [top, left] = self.padding;
        let input = |row: usize, column: usize, channel: usize| {
            let (row, column) = (row.wrapping_sub(top), column.wrapping_sub(left));
            let inside = row < height && column < width;
            let at = row.wrapping_mul(width).wrapping_add(column);
            let byte = if inside {
                self.inputs[at * self.channels + channel]
            } else {
                self.zero
            };
            i32::from(byte as i8)
        };
        let mut out = vec![0; self.output_bytes()];
        for (index, out) in out.iter_mut().enumerate() {
            let (pixel, channel) = (index / self.channels, index % self.channels);
            let [row, column] = [pixel / self.output[1], pixel % self.output[1]];
            let taps = &self.taps[channel * TAP_BYTES..][..TAP_BYTES];
            let lane = |at: usize| i32::from(i16::from_le_bytes([taps[at], taps[at + 1]]));
            let word = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|byte| taps[at + byte]));
            let mut sum = word(24);
            for tap in 0..3 {
                let is_second = self.stride == 1 && column % 2 == 1;
                let middle = lane(8 * tap + if is_second { 4 } else { 2 });
                let weights = [lane(8 * tap), middle, lane(8 * tap + 6)];
                for (place, weight) in weights.into_iter().enumerate() {
                    let at = [row * self.stride + tap, column * self.stride + place];
                    sum = sum.wrapping_add(weight.wrapping_mul(input(at[0], at[1], channel)));
                }
            }
            let high = ((i64::from(sum) * i64::from(word(28))) >> 32) as i32;
            let result = high.wrapping_add(word(32)) >> taps[36].min(31);
            *out = result.clamp(-128, 127) as i8 as u8;
        }
        out
    }

    /// The output, one plane after another.
    fn by_planes(&self) -> Vec<u8> {
        let [rows, columns] = self.output.map(|count| (count - 1) * self.stride + 3);
        let width = (columns + self.padding[1] + self.input[1] + 2).next_multiple_of(2);
        let plane_rows = rows.max(self.padding[0] + self.input[0]);
        let mut out = vec![0; self.output_bytes()];
        for channel in 0..self.channels {
            let zero = i16::from(self.zero as i8).to_le_bytes();
            let mut plane = zero.repeat(plane_rows * width);
            let rows = Rows {
                count: self.input[0],
                columns: self.input[1],
                pitch: self.channels,
                input_bytes: self.input[1] * self.channels,
                plane_bytes: 2 * width,
            };
            let first = 2 * (self.padding[0] * width + self.padding[1]);
            fill_plane(&rows, &self.inputs[channel..], &mut plane[first..]).unwrap();
            let work = Depthwise3 {
                plane: &plane,
                lane_bytes: 0,
                row_bytes: 2 * width,
                width,
                stride: self.stride,
                taps: &self.taps[channel * TAP_BYTES..][..TAP_BYTES],
                pitch: self.channels,
                columns: self.output[1],
            };
            depthwise::portable(&work, self.output[0], &mut out[channel..]);
        }
        out
    }
}

fn picture() -> impl Strategy<Value = Picture> {
    let shape = (1_usize..9, 1_usize..12, 1_usize..28, 1_usize..3);
    let rest = (
        [0_usize..4, 0_usize..4],
        [1_usize..9, 1_usize..14],
        any::<u8>(),
        0_u8..24,
    );
    (shape, rest).prop_flat_map(|(shape, (padding, output, zero, shift))| {
        let (height, width, channels, stride) = shape;
        let inputs = bytes(height * width * channels);
        (inputs, bytes(channels * TAP_BYTES)).prop_map(move |(inputs, mut taps)| {
            for taps in taps.chunks_exact_mut(TAP_BYTES) {
                taps[36] = shift;
            }
            Picture {
                input: [height, width],
                output,
                channels,
                stride,
                padding,
                zero,
                taps,
                inputs,
            }
        })
    })
}

/// Whether images and sums are computed in lanes here.
fn has_lanes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_columns_are_multiplied_as_the_portable_loop_does(
        (channels, steps, groups, bytes) in layer(4)
    ) {
        let columns: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| i16::from(*byte as i8).to_le_bytes())
            .collect();
        let layer = Layer::new(&groups, steps, channels).expect("its groups");
        let (mut first, mut second) = (vec![0; channels], vec![0; channels]);
        let (mut a, mut b) = (vec![0x55; channels], vec![0x55; channels]);
        portable::pair::<UP>(&layer, &columns, &mut first, &mut second);
        multiply_pair::<UP>(&layer, &columns, &mut a, &mut b);
        prop_assert_eq!((&a, &b), (&first, &second));
        portable::pair::<EVEN>(&layer, &columns, &mut first, &mut second);
        multiply_pair::<EVEN>(&layer, &columns, &mut a, &mut b);
        prop_assert_eq!((&a, &b), (&first, &second));
        portable::pair::<ODD>(&layer, &columns, &mut first, &mut second);
        multiply_pair::<ODD>(&layer, &columns, &mut a, &mut b);
        prop_assert_eq!((a, b), (first, second));
    }

    #[test]
    fn a_row_is_multiplied_as_the_portable_loop_does(
        (channels, steps, groups, inputs) in layer(2)
    ) {
        let layer = Layer::new(&groups, steps, channels).expect("its groups");
        let mut expected = vec![0; channels];
        portable::row::<UP>(&layer, &inputs, &mut expected);
        let mut out = vec![0x55; channels];
        multiply_row::<UP>(&layer, &inputs, &mut out);
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn runs_of_both_columns_are_written_as_the_portable_loop_does(
        (count, quads, pitch) in (1_usize..5, 1_usize..9, 0_usize..40),
        distance in 0_usize..40,
        inputs in bytes(300),
    ) {
        let runs = Runs { count, quads, pitch };
        let needed = (count - 1) * pitch + 4 * quads;
        let bytes = 16 * count * quads;
        let (mut columns, mut expected) = (vec![0x55; bytes + 16], vec![0x55; bytes + 16]);
        let places = expected[..bytes].as_chunks_mut().0;
        columns::pair(places, &runs, [&inputs[..needed], &inputs[distance..][..needed]]);
        let inputs = &inputs[..distance + needed];
        let rest = fill_pair(&mut columns, &runs, inputs, distance).map(|rest| rest.len());
        prop_assert_eq!(rest, Some(16));
        prop_assert_eq!(columns, expected);
    }

    #[test]
    fn sums_are_those_of_the_formula(
        (own, other) in (bytes(100), bytes(100)),
        (factors, constant, shift) in (any::<[i32; 2]>(), any::<i32>(), 0_u32..32),
        (small, limits, length) in (any::<bool>(), any::<[i8; 2]>(), 0_usize..100),
    ) {
        let [a, b] = limits;
        let sum = Sum {
            factors: if small { factors.map(|factor| factor >> 16) } else { factors },
            constant,
            shift,
            limits: [a.min(b), a.max(b)],
        };
        let mut out = own.clone();
        let done = sum_lanes(&sum, &mut out[..length], &other);
        prop_assert_eq!(done, if has_lanes() { length & !15 } else { 0 });
        prop_assert_eq!(&out[done..], &own[done..]);
        for ((out, own), other) in out[..done].iter().zip(own).zip(other) {
            let [own, other] = [own, other].map(|byte| i64::from(byte as i8));
            let [m, n] = sum.factors.map(i64::from);
            let products = ((own * m) >> 8) as i32;
            let sums = products.wrapping_add(((other * n) >> 8) as i32).wrapping_add(constant);
            let [lowest, highest] = sum.limits.map(i32::from);
            prop_assert_eq!(i32::from(*out as i8), (sums >> shift).max(lowest).min(highest));
        }
    }

    #[test]
    fn runs_of_any_length_become_columns(run in (0_usize..70).prop_flat_map(bytes), is_first: bool) {
        let (which, at) = if is_first { (Column::First, 0) } else { (Column::Second, 4) };
        let mut columns = vec![0x55; run.len().div_ceil(4) * 16 + 16];
        let mut expected = columns.clone();
        for (place, quad) in expected.chunks_exact_mut(16).zip(run.chunks(4)) {
            for (lane, input) in [(0, 0), (2, 2), (8, 1), (10, 3)] {
                let input = i16::from(*quad.get(input).unwrap_or(&0) as i8);
                place[at + lane..][..2].copy_from_slice(&input.to_le_bytes());
            }
        }
        let rest = fill(&mut columns, which, &run).len();
        prop_assert_eq!(rest, 16);
        prop_assert_eq!(columns, expected);
    }

    #[test]
    fn a_repeated_input_is_a_run_of_it(input: u8, count in 0_usize..50, is_first: bool) {
        let which = if is_first { Column::First } else { Column::Second };
        let mut columns = vec![0x55; 16 * 16];
        let mut expected = columns.clone();
        let whole = vec![input; count.next_multiple_of(4)];
        let rest = fill(&mut expected, which, &whole).len();
        prop_assert_eq!(repeat(&mut columns, which, input, count).len(), rest);
        prop_assert_eq!(columns, expected);
    }

    #[test]
    fn planes_are_what_each_output_is_alone(picture in picture(), same: bool) {
        let mut picture = picture;
        if same {
            for taps in picture.taps.chunks_exact_mut(TAP_BYTES) {
                for row in [0, 8, 16] {
                    taps.copy_within(row + 2..row + 4, row + 4);
                }
            }
        }
        prop_assert_eq!(picture.by_planes(), picture.by_formula());
    }

    #[test]
    fn an_image_is_what_its_planes_are(picture in picture()) {
        let (expected, inputs) = (picture.by_planes(), picture.inputs.len());
        let apart = inputs.next_multiple_of(4);
        for (start, suits) in [(0, picture.stays_behind()), (apart, true)] {
            let mut memory = picture.inputs.clone();
            memory.resize(start + expected.len().max(inputs) + 4, 0x55);
            let before = memory.clone();
            let done = depthwise3_image(&picture.image(), &mut memory, 0, start).is_some();
            prop_assert_eq!(done, has_lanes() && suits);
            let end = start + expected.len();
            prop_assert_eq!(&memory[start..end], if done { &expected[..] } else { &before[start..end] });
            prop_assert_eq!(&memory[end..], &before[end..]);
        }
    }
}

proptest! {
    #[test]
    fn four_channels_are_widened_as_each_is_alone(
        (count, columns, channels) in (1_usize..5, 1_usize..9, 4_usize..9),
        (spare, first) in (0_usize..5, 0_usize..5),
        inputs in bytes(4 * 8 * 8),
    ) {
        let lane_bytes = 2 * columns + 2 * spare;
        let rows = Rows {
            count,
            columns,
            pitch: channels,
            input_bytes: columns * channels,
            plane_bytes: LANES * lane_bytes,
        };
        let inputs = &inputs[..count * columns * channels][first.min(channels - LANES)..];
        let mut plane = vec![0x55; count * rows.plane_bytes];
        let mut expected = plane.clone();
        fill_lanes(&rows, lane_bytes, inputs, &mut plane);
        for lane in 0..LANES {
            fill_plane(&rows, &inputs[lane..], &mut expected[lane * lane_bytes..]).unwrap();
        }
        prop_assert_eq!(plane, expected);
    }

    #[test]
    fn channels_are_summed_one_by_one(
        (count, pitch, missing) in (1_usize..600, 1_usize..7, 0_usize..9),
        inputs in bytes(600 * 7),
    ) {
        let inputs = &inputs[..((count - 1) * pitch + LANES).saturating_sub(missing)];
        let sum = |lane: usize| {
            let places = (0..count).filter_map(|at| inputs.get(at * pitch + lane));
            places.map(|&input| i32::from(input as i8)).sum::<i32>()
        };
        prop_assert_eq!(sum_channels(inputs, pitch, count), [0, 1, 2, 3].map(sum));
    }

    #[test]
    fn neighbouring_channels_are_computed_as_each_is_alone(
        (lanes, columns, rows) in (1_usize..=LANES, 1_usize..9, 1_usize..5),
        (stride, spare) in (1_usize..3, 0_usize..3),
        planes in bytes(LANES * 12 * 2 * 24),
        taps in bytes(LANES * TAP_BYTES),
    ) {
        let width = (columns.next_multiple_of(2) * stride + 2).next_multiple_of(2) + 2 * spare;
        let channel = Depthwise3 {
            plane: &planes,
            lane_bytes: 2 * width,
            row_bytes: 2 * width * lanes,
            width,
            stride,
            taps: &taps[..lanes * TAP_BYTES],
            pitch: lanes + spare,
            columns,
        };
        let mut out = vec![0x55; rows * columns * (lanes + spare)];
        let mut expected = out.clone();
        depthwise3(&channel, rows, &mut out);
        for lane in 0..lanes {
            let one = Depthwise3 {
                plane: &planes[lane * 2 * width..],
                taps: &taps[lane * TAP_BYTES..][..TAP_BYTES],
                ..channel
            };
            depthwise::portable(&one, rows, &mut expected[lane..]);
        }
        prop_assert_eq!(out, expected);
    }
}

#[test]
fn four_channels_that_lack_an_input_or_a_place_stay_as_they_are() {
    let rows = Rows {
        count: 2,
        columns: 3,
        pitch: 4,
        input_bytes: 12,
        plane_bytes: 32,
    };
    let mut plane = [0x55; 62];
    assert!(fill_lanes(&rows, 8, &[1; 23], &mut plane).is_none());
    assert!(fill_lanes(&rows, 8, &[1; 24], &mut plane[..61]).is_none());
    assert_eq!(plane, [0x55; 62]);
    assert!(fill_lanes(&rows, 8, &[1; 24], &mut plane).is_some());
}

#[test]
fn an_image_that_does_not_fit_is_left_alone() {
    let picture = Picture {
        input: [4, 4],
        output: [4, 4],
        channels: 8,
        stride: 1,
        padding: [1, 1],
        zero: 0,
        taps: vec![1; 8 * TAP_BYTES],
        inputs: vec![3; 128],
    };
    let mut memory = vec![7; 256];
    let mut refuses = |image: Image3, x, y| {
        depthwise3_image(&image, &mut memory, x, y).is_none() && memory == [7; 256]
    };
    let image = picture.image();
    assert!(refuses(image, 0, 129) && refuses(image, usize::MAX, 0) && refuses(image, 0, 64));
    let taps = &image.taps[1..];
    assert!(refuses(Image3 { taps, ..image }, 0, 128));
    let wide = Image3 {
        input: [1, 16],
        output: [1, 1 << 20],
        channels: 0,
        ..image
    };
    assert!(refuses(wide, 0, 128) && refuses(Image3 { stride: 3, ..image }, 0, 128));
    let huge = Image3 {
        input: [usize::MAX, 2],
        ..image
    };
    assert!(refuses(huge, 0, 128));
}
