//! Ops on bytes that are neither layers nor views: lookups, sums, products, softmax, means.

use super::encode::pool_words;
use super::graph::Window;
use super::rational::{Dyadic, round_quotient};
use dunlin_engine::format::OpCode;

/// A way from an exact numerator to a byte; the engine's `ratio.rs` has the meaning and ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ratio {
    pub factor: i64,
    pub divisor: u64,
    pub shift: u32,
    pub zero_point: i32,
    /// Of the result.
    pub limits: [i32; 2],
}

/// Bits of a factor, less the sign.
const FACTOR_BITS: u32 = 56;
/// Bits of a divisor.
const DIVISOR_BITS: u32 = 63;
const MAX_SHIFT: u32 = 54;

/// Scale, zero point and limits of a quantised result, the limits in real numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub scale: f32,
    pub zero_point: i32,
    pub limits: [f32; 2],
}

impl Target {
    /// The codes of the limits.
    pub fn codes(&self) -> [i32; 2] {
        self.limits.map(|limit| {
            let steps = round_quotient(limit, self.scale);
            (steps + i64::from(self.zero_point)).clamp(-128, 127) as i32
        })
    }
}

impl Ratio {
    /// The ratio for which a numerator `n` of step `units[0]` over `count` results in
    /// `n·units[0] / (count·s_y)`, and the factors that bring numerators of the other units to the
    /// same step. None where the scales are too far apart for the format.
    pub fn new<const N: usize>(
        units: [Dyadic; N],
        count: u64,
        target: &Target,
    ) -> Option<(Ratio, [i64; N])> {
        let scale = Dyadic::from_f32(target.scale).times_integer(i64::try_from(count).ok()?);
        let with_value = units.iter().filter(|unit| unit.mantissa != 0);
        let finest = with_value.map(|unit| unit.exponent).min().unwrap_or(0);
        let exponent = finest.min(scale.exponent);
        let factors = units.map(|unit| lifted(unit, exponent, FACTOR_BITS));
        let divisor = u64::try_from(scale.mantissa).ok()?;
        let shift = u32::try_from(scale.exponent - exponent).ok()?;
        let beyond = shift.saturating_sub(MAX_SHIFT);
        let fits = divisor.leading_zeros() > beyond.saturating_add(63 - DIVISOR_BITS);
        let factors: Vec<i64> = factors.into_iter().collect::<Option<_>>()?;
        let ratio = Ratio {
            factor: *factors.first()?,
            divisor: divisor << beyond.min(63),
            shift: shift - beyond,
            zero_point: target.zero_point,
            limits: target.codes(),
        };
        fits.then_some((ratio, factors.try_into().ok()?))
    }

    /// The code for a numerator, as the engine computes it.
    pub fn code(&self, numerator: i128) -> i32 {
        let denominator = i128::from(self.divisor) << self.shift;
        let (floor, rest) = (
            numerator.div_euclid(denominator),
            numerator.rem_euclid(denominator),
        );
        let up = match (rest + rest).cmp(&denominator) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => floor & 1,
        };
        let code = (floor + up).clamp(-512, 512) as i32 + self.zero_point;
        code.clamp(self.limits[0], self.limits[1])
    }

    fn words(&self) -> Vec<u32> {
        let [factor, divisor] = [self.factor.cast_unsigned(), self.divisor].map(halves);
        let codes = [self.zero_point, self.limits[0], self.limits[1]].map(i32::cast_unsigned);
        [&factor[..], &divisor, &[self.shift], &codes].concat()
    }
}

/// `value / 2^exponent`, if it is an integer of few enough bits.
fn lifted(value: Dyadic, exponent: i32, bits: u32) -> Option<i64> {
    if value.mantissa == 0 {
        return Some(0);
    }
    let up = u32::try_from(value.exponent - exponent).ok()?;
    let fits = 128 - value.mantissa.unsigned_abs().leading_zeros() + up.min(bits) <= bits;
    (fits && up <= bits).then(|| (value.mantissa << up) as i64)
}

/// Low and high word.
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// An op on bytes, with the parameters of its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOp {
    Lookup,
    /// `add`, `sub` or `mul` by one exact division.
    Pair {
        op: OpCode,
        ratio: Ratio,
        zero_points: [i32; 2],
        /// Factor of the second operand of a sum.
        second: i64,
    },
    /// `add` or `sub` without a division.
    FastSum {
        op: OpCode,
        factors: [i32; 2],
        constant: i32,
        shift: u32,
        limits: [i32; 2],
    },
    /// `mul` without a division.
    FastProduct {
        zero_points: [i32; 2],
        factor: i32,
        constant: i64,
        shift: u32,
        limits: [i32; 2],
    },
    /// Of an image `[1, h, w, c]`; taps in the margins count as real zeros.
    AveragePool2d {
        window: Window,
        margins: [usize; 4],
        ratio: Ratio,
        input_zero_point: i32,
    },
    Softmax {
        divisor: u32,
        shift: u32,
        zero_point: i32,
    },
    /// Of `[outer, reduced, inner]`.
    Mean {
        sizes: [usize; 3],
        zero_point: i32,
        ratio: Ratio,
    },
    /// Of batch, m, k, n, whether a is batched, whether b is.
    MatMul {
        sizes: [usize; 6],
        zero_points: [i32; 2],
        ratio: Ratio,
    },
    LayerNormalization {
        constant: u64,
        shift: u32,
        zero_point: i32,
        limits: [i32; 2],
    },
}

impl ByteOp {
    /// The engine's op and variant.
    pub fn kernel(&self) -> (OpCode, u8) {
        match *self {
            ByteOp::Lookup => (OpCode::Lookup, 0),
            ByteOp::Pair { op, .. } => (op, 1),
            ByteOp::FastSum { op, .. } => (op, 2),
            ByteOp::FastProduct { .. } => (OpCode::Mul, 2),
            ByteOp::AveragePool2d { .. } => (OpCode::AveragePool2d, 1),
            ByteOp::Softmax { .. } => (OpCode::Softmax, 1),
            ByteOp::Mean { .. } => (OpCode::ReduceMean, 1),
            ByteOp::MatMul { .. } => (OpCode::MatMul, 1),
            ByteOp::LayerNormalization { .. } => (OpCode::LayerNormalization, 1),
        }
    }

    /// The parameter words, as the kernel's documentation lists them.
    pub fn words(&self) -> Vec<u32> {
        match *self {
            ByteOp::Lookup => Vec::new(),
            ByteOp::Pair { .. } => self.pair_words(),
            ByteOp::FastSum { .. } | ByteOp::FastProduct { .. } => self.fast_words(),
            ByteOp::Softmax {
                divisor,
                shift,
                zero_point,
            } => vec![divisor, shift, zero_point.cast_unsigned()],
            ByteOp::AveragePool2d {
                window,
                margins,
                ratio,
                input_zero_point,
            } => {
                let mut words = pool_words(&window);
                words.extend(margins.map(|margin| margin as u32));
                words.extend(ratio.words());
                words.push(input_zero_point.cast_unsigned());
                words
            }
            ByteOp::Mean {
                sizes,
                zero_point,
                ratio,
            } => {
                let [outer, reduced, inner] = sizes.map(|size| size as u32);
                let first = [outer, reduced, inner, zero_point.cast_unsigned()];
                [&first[..], &ratio.words()].concat()
            }
            ByteOp::MatMul {
                sizes,
                zero_points,
                ratio,
            } => {
                let (sizes, zeros) = (
                    sizes.map(|size| size as u32),
                    zero_points.map(i32::cast_unsigned),
                );
                [&sizes[..], &zeros, &ratio.words()].concat()
            }
            ByteOp::LayerNormalization {
                constant,
                shift,
                zero_point,
                limits: [minimum, maximum],
            } => {
                let codes = [zero_point, minimum, maximum].map(i32::cast_unsigned);
                [&halves(constant)[..], &[shift], &codes].concat()
            }
        }
    }

    fn pair_words(&self) -> Vec<u32> {
        let ByteOp::Pair {
            op,
            ratio,
            zero_points,
            second,
        } = *self
        else {
            return Vec::new();
        };
        let mut words = ratio.words();
        words.extend(zero_points.map(i32::cast_unsigned));
        if op != OpCode::Mul {
            words.extend(halves(second.cast_unsigned()));
        }
        words
    }

    fn fast_words(&self) -> Vec<u32> {
        match *self {
            ByteOp::FastSum {
                factors,
                constant,
                shift,
                limits,
                ..
            } => {
                let [first, second] = factors.map(i32::cast_unsigned);
                let [minimum, maximum] = limits.map(i32::cast_unsigned);
                let constant = constant.cast_unsigned();
                vec![first, second, constant, shift, minimum, maximum]
            }
            ByteOp::FastProduct {
                zero_points,
                factor,
                constant,
                shift,
                limits,
            } => {
                let [a, b] = zero_points.map(i32::cast_unsigned);
                let [low, high] = halves(constant.cast_unsigned());
                let [minimum, maximum] = limits.map(i32::cast_unsigned);
                let factor = factor.cast_unsigned();
                vec![a, b, factor, low, high, shift, minimum, maximum]
            }
            _ => Vec::new(),
        }
    }

    /// Whether the kernel may write its result over an input of the result's size. `twice` says
    /// that both operands are one tensor.
    pub fn overwrites(&self, twice: bool) -> bool {
        match self {
            ByteOp::Lookup
            | ByteOp::Pair { .. }
            | ByteOp::Softmax { .. }
            | ByteOp::LayerNormalization { .. } => true,
            ByteOp::Mean { .. } | ByteOp::MatMul { .. } => false,
            ByteOp::FastSum { .. } | ByteOp::FastProduct { .. } => !twice,
            ByteOp::AveragePool2d { .. } => false,
        }
    }
}
