//! The definition of every op, in portable Rust. A file holds an op's load check and its run.

pub(super) mod activation;
pub(super) mod arg_max;
pub(super) mod binary;
pub(super) mod binary_i8;
pub(super) mod binary_i8_fast;
pub(super) mod clamp;
pub(super) mod concat;
pub(super) mod conv_2d;
mod dot;
mod elementwise;
pub(super) mod fully_connected;
pub(super) mod gru;
pub(super) mod history;
pub(super) mod layer_normalization;
pub(super) mod layer_normalization_i8;
pub(super) mod lookup;
pub(super) mod lstm;
pub(super) mod mat_mul;
pub(super) mod mat_mul_i8;
pub(super) mod quantize_linear;
mod ratio;
mod recurrent;
pub(super) mod reduce;
pub(super) mod reduce_i8;
mod rescale;
pub(super) mod reshape;
pub(super) mod scale;
pub(super) mod softmax;
pub(super) mod softmax_i8;
pub(super) mod strided_copy;
pub(super) mod svm;
pub(super) mod tree_ensemble;
pub(super) mod unary;
mod window;

use super::Kernel;
