//! `add`, `sub` and `mul` of two quantised tensors become one op on bytes.
//!
//! The exact form divides once. Where shapes are equal, constants for a form without a division are
//! searched, and taken only if all 65 536 pairs of codes give what the exact form gives.
//!
//! For a sum these are `y = (⌊aM/2^8⌋ + ⌊bN/2^8⌋ + C) >> k` with `M ≈ 2^(k+8)·s_a/s_y`. The result
//! is right for a pair if `y·2^k ≤ ⌊aM/2^8⌋ + ⌊bN/2^8⌋ + C < (y + 1)·2^k`, so for given M, N and k
//! every pair bounds C from both sides (from one, where y is a limit). If a C lies within all
//! bounds, the form is proved. The largest k that does not overflow is tried first, with M and N as
//! rounded and their neighbours. A tie between two codes leaves no room for C: half to even is
//! neither side for all. A product is treated alike in 64 bits.

use super::super::super::byte_op::{ByteOp, Ratio, Target};
use super::super::super::constant::Data;
use super::super::super::graph::{Content, Graph, Node, Op, ValueId};
use super::super::super::rational::Dyadic;
use super::{Formed, quantization_through_limits, source};
use dunlin_engine::format::OpCode;

/// A quantised operand.
pub(super) struct Operand {
    pub codes: ValueId,
    pub scale: f32,
    pub zero_point: i32,
    pub origins: Vec<usize>,
}

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    let Op::Binary(op @ (OpCode::Add | OpCode::Sub | OpCode::Mul)) = node.op else {
        return None;
    };
    let behind = quantization_through_limits(graph, at)?;
    let a = operand(graph, node.inputs[0])?;
    let b = operand(graph, node.inputs[1])?;
    let computed = |id: ValueId| graph.values[id].is_computed();
    if a.codes == b.codes || !computed(a.codes) && !computed(b.codes) {
        return None;
    }
    let exact = Exact::new(op, &a, &b, &behind.target)?;
    let shape = |id: ValueId| &graph.values[id].shape;
    let result = &graph.values[node.output].shape;
    let same = shape(a.codes) == result && shape(b.codes) == result;
    let fast = same.then(|| exact.without_division()).flatten();
    let origins = [a.origins, b.origins, behind.origins, node.origins].concat();
    Some(Formed {
        at: behind.at,
        node: Node {
            op: Op::Bytes(fast.unwrap_or_else(|| exact.byte_op())),
            inputs: vec![a.codes, b.codes],
            output: node.output,
            origins,
        },
    })
}

/// A dequantised tensor, or a constant of bytes with one scale.
pub(super) fn operand(graph: &mut Graph, value: ValueId) -> Option<Operand> {
    if let Some(source) = source(graph, value) {
        return Some(Operand {
            codes: source.codes,
            scale: source.scale,
            zero_point: source.zero_point,
            origins: source.origins,
        });
    }
    let Content::Quantized(quantized) = &graph.values[value].content else {
        return None;
    };
    let ([scale], [zero_point]) = (&quantized.scales[..], &quantized.zero_points[..]) else {
        return None;
    };
    let (scale, zero_point) = (*scale, *zero_point);
    let bytes: Option<Vec<i8>> = quantized
        .integers
        .iter()
        .map(|&code| i8::try_from(code).ok())
        .collect();
    i8::try_from(zero_point).ok()?;
    let bytes = bytes.filter(|_| scale.is_finite() && scale >= 0.0)?;
    let (name, shape) = (
        graph.values[value].name.clone(),
        graph.values[value].shape.clone(),
    );
    Some(Operand {
        codes: graph.add_constant(&name, &shape, Data::I8(bytes)),
        scale,
        zero_point,
        origins: Vec::new(),
    })
}

/// The exact op.
#[derive(Clone, Copy)]
struct Exact {
    op: OpCode,
    ratio: Ratio,
    second: i64,
    zero_points: [i32; 2],
    /// Real steps of the result for a step of each operand, or of the product; near enough to
    /// start a search.
    slopes: [f64; 2],
}

/// The narrowest bounds found so far of a constant.
struct Bounds {
    low: i64,
    high: i64,
}

impl Exact {
    fn new(op: OpCode, a: &Operand, b: &Operand, target: &Target) -> Option<Exact> {
        let [of_a, of_b] = [a.scale, b.scale].map(Dyadic::from_f32);
        let scales = [a.scale, b.scale].map(f64::from);
        let scale = f64::from(target.scale);
        let (ratio, second, slopes) = match op {
            OpCode::Mul => {
                let (ratio, _) = Ratio::new([of_a.times(of_b)], 1, target)?;
                (ratio, 0, [scales[0] * scales[1] / scale, 0.0])
            }
            _ => {
                let (ratio, [_, second]) = Ratio::new([of_a, of_b], 1, target)?;
                (ratio, second, scales.map(|of| of / scale))
            }
        };
        Some(Exact {
            op,
            ratio,
            second,
            zero_points: [a.zero_point, b.zero_point],
            slopes,
        })
    }

    fn byte_op(&self) -> ByteOp {
        ByteOp::Pair {
            op: self.op,
            ratio: self.ratio,
            zero_points: self.zero_points,
            second: self.second,
        }
    }

    /// The result for a pair of codes.
    fn code(&self, a: i32, b: i32) -> i32 {
        let a = i128::from(a - self.zero_points[0]);
        let b = i128::from(b - self.zero_points[1]);
        let (p, r) = (i128::from(self.ratio.factor), i128::from(self.second));
        self.ratio.code(match self.op {
            OpCode::Add => a * p + b * r,
            OpCode::Sub => a * p - b * r,
            _ => a * b * p,
        })
    }

    fn without_division(&self) -> Option<ByteOp> {
        let codes = self.all_codes();
        match self.op {
            OpCode::Mul => self.fast_product(&codes),
            _ => self.fast_sum(&codes),
        }
    }

    /// The results for all pairs, by the first code and then the second, from -128 on.
    fn all_codes(&self) -> Vec<i32> {
        let pairs = (-128..128).flat_map(|a| (-128..128).map(move |b| (a, b)));
        pairs.map(|(a, b)| self.code(a, b)).collect()
    }

    fn fast_sum(&self, codes: &[i32]) -> Option<ByteOp> {
        let sign = if self.op == OpCode::Sub { -1.0 } else { 1.0 };
        let slopes = [self.slopes[0], sign * self.slopes[1]];
        for shift in (8..=23).rev() {
            let factors = slopes.map(|slope| (slope * 2_f64.powi(shift + 8)).round());
            if factors
                .iter()
                .any(|factor| factor.abs() > f64::from(i32::MAX - 4))
            {
                continue;
            }
            for (up, right) in NEIGHBOURS {
                let factors = [factors[0] as i32 + up, factors[1] as i32 + right];
                if let Some(constant) = self.constant_of_sum(codes, factors, shift as u32) {
                    return Some(ByteOp::FastSum {
                        op: self.op,
                        factors,
                        constant,
                        shift: shift as u32,
                        limits: self.ratio.limits,
                    });
                }
            }
        }
        None
    }

    /// The constant with which a sum is right for all pairs, if there is one. No sum may leave 32
    /// bits.
    fn constant_of_sum(&self, codes: &[i32], factors: [i32; 2], shift: u32) -> Option<i32> {
        let parts = factors.map(|factor| {
            let part = |code: i64| (code * i64::from(factor)) >> 8;
            (-128..128).map(part).collect::<Vec<i64>>()
        });
        let sums = parts[0]
            .iter()
            .flat_map(|a| parts[1].iter().map(move |b| a + b));
        let constant = self.constant(codes, sums.clone(), shift)?;
        let fits = |sum: i64| i32::try_from(sum + constant).is_ok() && i32::try_from(sum).is_ok();
        let constant = i32::try_from(constant).ok()?;
        sums.clone().all(fits).then_some(constant)
    }

    fn fast_product(&self, codes: &[i32]) -> Option<ByteOp> {
        let [a_zero, b_zero] = self.zero_points.map(i64::from);
        for shift in (32..=54).rev() {
            let factor = (self.slopes[0] * 2_f64.powi(shift)).round();
            if factor.abs() > f64::from(i32::MAX - 4) {
                continue;
            }
            for delta in [0, 1, -1] {
                let factor = factor as i32 + delta;
                let products = (-128..128_i64).flat_map(|a| {
                    (-128..128_i64).map(move |b| (a - a_zero) * (b - b_zero) * i64::from(factor))
                });
                if let Some(constant) = self.constant(codes, products, shift as u32) {
                    return Some(ByteOp::FastProduct {
                        zero_points: self.zero_points,
                        factor,
                        constant,
                        shift: shift as u32,
                        limits: self.ratio.limits,
                    });
                }
            }
        }
        None
    }

    /// The middle of the constants `C` for which `(value + C) >> shift` gives every code.
    fn constant(
        &self,
        codes: &[i32],
        values: impl Iterator<Item = i64>,
        shift: u32,
    ) -> Option<i64> {
        let [minimum, maximum] = self.ratio.limits;
        let start = Bounds {
            low: -(1 << 62),
            high: 1 << 62,
        };
        let bounds = codes
            .iter()
            .zip(values)
            .fold(start, |bounds, (&code, value)| {
                let least = (i64::from(code) << shift) - value;
                let beyond = least + (1 << shift);
                Bounds {
                    low: if code > minimum {
                        bounds.low.max(least)
                    } else {
                        bounds.low
                    },
                    high: if code < maximum {
                        bounds.high.min(beyond)
                    } else {
                        bounds.high
                    },
                }
            });
        let bounded = -(1 << 62) < bounds.low && bounds.high < 1 << 62;
        (bounded && bounds.low < bounds.high).then(|| bounds.low.midpoint(bounds.high - 1))
    }
}

/// Corrections of the two factors of a sum, the smallest first.
const NEIGHBOURS: [(i32, i32); 13] = [
    (0, 0),
    (1, 0),
    (-1, 0),
    (0, 1),
    (0, -1),
    (1, 1),
    (-1, -1),
    (1, -1),
    (-1, 1),
    (2, 0),
    (-2, 0),
    (0, 2),
    (0, -2),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(op: OpCode, scales: [f32; 3], zero_points: [i32; 3], limits: [f32; 2]) -> Exact {
        let operand = |index: usize| Operand {
            codes: 0,
            scale: scales[index],
            zero_point: zero_points[index],
            origins: Vec::new(),
        };
        let target = Target {
            scale: scales[2],
            zero_point: zero_points[2],
            limits,
        };
        Exact::new(op, &operand(0), &operand(1), &target).unwrap()
    }

    const UNLIMITED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

    #[test]
    fn the_exact_result_is_the_rounded_rational() {
        let sum = exact(OpCode::Add, [0.5, 0.25, 0.5], [1, 2, 3], UNLIMITED);
        // (5 - 1)/2 + (4 - 2)/4 = 2.5, in halves 5.
        assert_eq!(sum.code(5, 4), 3 + 5);
        // (5 - 1)/2 + (3 - 2)/4 = 2.25, in halves 4.5: to the even 4.
        assert_eq!(sum.code(5, 3), 3 + 4);
        let product = exact(OpCode::Mul, [0.5, 0.25, 0.5], [0, 0, 0], [0.0, 1.0]);
        assert_eq!([product.code(10, 3), product.code(-1, 3)], [2, 0]);
    }

    #[test]
    fn ties_between_codes_leave_no_constants() {
        let sum = exact(OpCode::Add, [0.25, 0.25, 0.5], [0, 0, 0], UNLIMITED);
        assert!(sum.without_division().is_none());
        let equal = exact(OpCode::Add, [0.5, 0.5, 0.5], [0, 0, 0], UNLIMITED);
        assert!(equal.without_division().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Most real scales have constants without a division, and whatever is found equals the
        /// exact result for all pairs.
        #[test]
        fn what_is_found_is_right_for_all_pairs(
            op in prop_oneof![Just(OpCode::Add), Just(OpCode::Sub), Just(OpCode::Mul)],
            scales in (0.01_f32..0.2, 0.01_f32..0.2, 0.02_f32..0.2),
            zero_points in prop::array::uniform3(-128..128_i32),
        ) {
            // A product of two steps is at most half a step of the result, as it is in networks.
            let least = if op == OpCode::Mul { 2.5 * scales.0 * scales.1 } else { 0.0 };
            let scales = [scales.0, scales.1, scales.2.max(least)];
            let exact = exact(op, scales, zero_points, UNLIMITED);
            let found = exact.without_division();
            prop_assert!(found.is_some(), "{scales:?} {zero_points:?}");
            let fast = |a: i32, b: i32| match found.unwrap() {
                ByteOp::FastSum { factors, constant, shift, limits, .. } => {
                    let part = |code: i32, factor: i32| {
                        ((i64::from(code) * i64::from(factor)) >> 8) as i32
                    };
                    let sum = part(a, factors[0]) + part(b, factors[1]) + constant;
                    (sum >> shift).clamp(limits[0], limits[1])
                }
                ByteOp::FastProduct { zero_points, factor, constant, shift, limits } => {
                    let product = i64::from((a - zero_points[0]) * (b - zero_points[1]));
                    let code = (product * i64::from(factor) + constant) >> shift;
                    code.clamp(i64::from(limits[0]), i64::from(limits[1])) as i32
                }
                other => panic!("{other:?} divides"),
            };
            for a in -128..128 {
                for b in -128..128 {
                    prop_assert_eq!(fast(a, b), exact.code(a, b), "{} {}", a, b);
                }
            }
        }
    }
}
