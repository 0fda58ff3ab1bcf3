//! Codes and golden bytes. Neither is ever edited: a change needs a new code or format number.

mod support;

use dunlin_engine::format::{DType, FORMAT, MAGIC, OpCode, Role};
use dunlin_engine::{KernelId, supported_kernels};
use support::{f32_bytes, f32_values, run, small_plan};

#[test]
fn opcodes_are_pinned() {
    let listed: Vec<(u16, &str)> = OpCode::ALL
        .iter()
        .map(|&op| (op as u16, op.name()))
        .collect();
    let expected = [
        (1, "fully_connected"),
        (2, "quantize_linear"),
        (3, "dequantize_linear"),
        (4, "scale"),
        (5, "add"),
        (6, "sub"),
        (7, "mul"),
        (8, "div"),
        (9, "clamp"),
        (10, "abs"),
        (11, "sqrt"),
        (12, "log"),
        (13, "exp"),
        (14, "neg"),
        (15, "tanh"),
        (16, "sigmoid"),
        (17, "reduce_mean"),
        (18, "reduce_sum"),
        (19, "reduce_max"),
        (20, "reduce_min"),
        (21, "softmax"),
        (22, "arg_max"),
        (23, "tree_ensemble"),
        (24, "mat_mul"),
        (25, "strided_copy"),
        (26, "concat"),
        (27, "reshape"),
        (28, "conv_2d"),
        (29, "conv_transpose_2d"),
        (30, "max_pool_2d"),
        (31, "average_pool_2d"),
        (32, "pad"),
        (33, "lookup"),
        (34, "leaky_relu"),
        (35, "hard_sigmoid"),
        (36, "hard_swish"),
        (37, "layer_normalization"),
        (38, "erf"),
        (39, "lstm"),
        (40, "gru"),
        (41, "svm"),
        (42, "history"),
        (43, "maximum"),
        (44, "minimum"),
    ];
    assert_eq!(listed, expected);
    for op in OpCode::ALL {
        assert_eq!(OpCode::from_code(*op as u16), Some(*op));
    }
    assert_eq!(
        (OpCode::from_code(0), OpCode::from_code(0xFFFF)),
        (None, None)
    );
}

#[test]
fn kernels_are_pinned() {
    let variants = |kernel: KernelId| (kernel.opcode(), kernel.version(), kernel.variant());
    let mut expected: Vec<(u16, u8, u8)> =
        OpCode::ALL.iter().map(|&op| (op as u16, 1, 0)).collect();
    expected.extend([(1, 1, 1), (1, 1, 2), (1, 2, 3), (1, 2, 4), (1, 2, 5)]);
    expected.extend([1, 2, 3, 4, 5].map(|variant| (23, 1, variant)));
    expected.extend([28, 29].into_iter().flat_map(|op| [(op, 1, 1), (op, 1, 2)]));
    expected.extend([3, 4, 5, 6, 7, 8].map(|variant| (28, 2, variant)));
    expected.extend([30, 31, 32].map(|op| (op, 1, 1)));
    expected.extend([(39, 1, 1), (39, 1, 2), (40, 1, 1), (40, 1, 2)]);
    expected.extend(
        [5, 6, 7]
            .into_iter()
            .flat_map(|op| [(op, 1, 1), (op, 1, 2)]),
    );
    expected.extend([(17, 1, 1), (21, 1, 1), (24, 1, 1), (37, 1, 1)]);
    expected.extend([(41, 1, 1), (41, 1, 2), (41, 1, 3)]);
    expected.sort_unstable();
    assert_eq!(
        supported_kernels().map(variants).collect::<Vec<_>>(),
        expected
    );
    let kernel = KernelId::new(23, 1, 1);
    assert_eq!(
        (kernel.code(), kernel.to_string()),
        (0x0017_0101, "tree_ensemble.1.1".into())
    );
    assert_eq!(KernelId::from_code(0xFFFF_0203).to_string(), "op65535.2.3");
}

#[test]
fn element_types_and_roles_are_pinned() {
    let types: Vec<(u8, usize)> = DType::ALL.iter().map(|&t| (t as u8, t.bytes())).collect();
    assert_eq!(types, [(1, 4), (2, 1), (3, 4), (4, 1)]);
    let roles = [Role::Plain, Role::Label, Role::Probabilities];
    assert_eq!(roles.map(|role| role as u16), [0, 1, 2]);
    assert_eq!(
        (Role::from_code(3), DType::from_code(0), DType::from_code(5)),
        (None, None, None)
    );
    assert_eq!((MAGIC, FORMAT), (*b"DUNLPLAN", 1));
}

/// A two-class linear model: `fully_connected` and `arg_max`. See `FORMAT.md`.
const GOLDEN: &str = "
    44554e4c504c414e 0100 0000 38010000 14000000 00000000 00020000
    0300 0200 0200 0200 0600 01 02 08000000 18000000

    01020000 01000000 01000000 01000000 02000000 00000000 00000000 00000000
    01020000 01000000 01000000 01000000 02000000 08000000 00000000 00000000
    03010000 01000000 01000000 01000000 01000000 10000000 00000000 00000000
    01020000 01000000 01000000 02000000 02000000 00000000 00000000 00000000
    01010000 01000000 01000000 01000000 02000000 10000000 00000000 00000000

    0100 01 00 03 01 00 00 0000 0000 00000000 08000000
    1600 01 00 01 01 00 00 0400 0000 08000000 00000000

    00010100 00011600
    0000 0000 0200 0100 0100 0200
    0000 0300 0400 0100 0100 0200
    000080ff 0000807f

    0000803f 000080bf 000000bf 00000040
    0000803e 000080be
";

fn golden() -> Vec<u8> {
    let digits: Vec<u8> = GOLDEN.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks_exact(2).map(byte).collect()
}

#[test]
fn the_golden_plan_is_written_as_ever() {
    let (written, golden) = (small_plan().build(), golden());
    let different = written.iter().zip(&golden).position(|(a, b)| a != b);
    assert_eq!(different, None, "first difference at this byte");
    assert_eq!(written.len(), golden.len());
}

#[test]
fn the_golden_plan_runs_as_ever() {
    let outputs = run(&golden(), &f32_bytes(&[1.0, 3.0]));
    assert_eq!(f32_values(&outputs[1]), [-1.75, 5.25]);
    assert_eq!(outputs[0], 1_i32.to_le_bytes());
}
