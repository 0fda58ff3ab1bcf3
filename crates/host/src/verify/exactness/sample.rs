//! Inputs: from a file of samples, or made up.

use super::points;
use crate::npz::{self, Array};
use crate::onnx::proto::{DataType, ModelProto};
use crate::verify::exact::Tensor;
use crate::verify::shape::input_extents;
use std::path::Path;

/// The values of one input, row-major, of the model's own element type.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Floats.
    F32(Vec<f32>),
}

/// Inputs, and what others answered to them.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// The inputs.
    pub inputs: Vec<Sample>,
    /// Answers of others, by name: bytes for every input.
    pub answers: Vec<(String, Vec<Vec<u8>>)>,
}

/// Inputs cannot be had for a model.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// The file.
    #[error(transparent)]
    File(#[from] npz::NpzError),
    /// What the model takes, or what the file does not have.
    #[error("{0}")]
    Unfit(String),
}

impl Sample {
    pub(super) fn tensor(&self, shape: &[usize]) -> Result<Tensor, SamplesError> {
        let wide = |element, values: Vec<i64>| Tensor::integers(element, shape, values);
        match self {
            Sample::I8(values) => Ok(wide(
                DataType::Int8,
                values.iter().map(|&value| value.into()).collect(),
            )),
            Sample::U8(values) => Ok(wide(
                DataType::Uint8,
                values.iter().map(|&value| value.into()).collect(),
            )),
            Sample::F32(values) => Tensor::floats(shape, values).map_err(SamplesError::Unfit),
        }
    }

    /// The integers; none for floats.
    pub(in crate::verify) fn codes(&self) -> Option<Vec<i64>> {
        match self {
            Sample::I8(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Sample::U8(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Sample::F32(_) => None,
        }
    }

    fn from_bytes(element: DataType, bytes: &[u8]) -> Sample {
        match element {
            DataType::Int8 => Sample::I8(bytes.iter().map(|&byte| byte as i8).collect()),
            DataType::Uint8 => Sample::U8(bytes.to_vec()),
            _ => Sample::F32(super::super::local::floats(bytes)),
        }
    }
}

/// Name, element type and shape (batch 1) of a model's input.
pub(super) fn input(model: &ModelProto) -> Result<(String, DataType, Vec<usize>), SamplesError> {
    let unfit = |reason: String| SamplesError::Unfit(reason);
    let (input, shape) = input_extents(model).map_err(unfit)?;
    match input.element_type() {
        Some(element @ (DataType::Int8 | DataType::Uint8 | DataType::Float)) => {
            Ok((input.name.clone(), element, shape))
        }
        _ => Err(unfit(format!(
            "input {:?} is none of int8, uint8 and float32",
            input.name
        ))),
    }
}

impl Samples {
    /// At most `most` inputs of an `.npz` file, evenly spread: the array of the input's name, or
    /// else the first by name whose rows have its type and size and whose name begins with
    /// `input`. Integer arrays with a row of the output's size per input are answers of others.
    ///
    /// # Errors
    /// When the file cannot be read or has no such array.
    pub fn read(path: &Path, model: &ModelProto, most: usize) -> Result<Samples, SamplesError> {
        let (name, element, shape) = input(model)?;
        let arrays = npz::read(path)?;
        let code = match element {
            DataType::Int8 => "|i1",
            DataType::Uint8 => "|u1",
            _ => "<f4",
        };
        let length = shape.iter().product::<usize>() * element.element_bytes().unwrap_or(1);
        let fits = |array: &Array| array.element == code && array.row(0).len() == length;
        let named = arrays
            .iter()
            .find(|(key, array)| **key == name && fits(array));
        let alike = || {
            arrays
                .iter()
                .find(|(key, array)| key.starts_with("input") && fits(array))
        };
        let (key, inputs) = named.or_else(alike).ok_or_else(|| {
            SamplesError::Unfit(format!(
                "{} has no array {name:?} or \"input…\" of {code} with rows of {length} bytes; it has {}",
                path.display(),
                npz::listed(&arrays)
            ))
        })?;
        let rows: Vec<usize> = crate::verify::spread(inputs.rows(), most).collect();
        let is_answer = |other: &String, array: &Array| {
            other != key
                && matches!(array.element.as_str(), "|i1" | "|u1")
                && array.rows() == inputs.rows()
        };
        let answers = arrays.iter().filter(|(key, array)| is_answer(key, array));
        Ok(Samples {
            inputs: rows
                .iter()
                .map(|&row| Sample::from_bytes(element, inputs.row(row)))
                .collect(),
            answers: answers
                .map(|(key, array)| {
                    let taken = rows.iter().map(|&row| array.row(row).to_vec());
                    (key.clone(), taken.collect())
                })
                .collect(),
        })
    }

    /// `count` inputs that look random and are the same everywhere: bytes of every value, floats
    /// evenly over the range of the first quantization and a twentieth beyond it.
    ///
    /// # Errors
    /// When the model takes something else.
    pub fn pseudo_random(model: &ModelProto, count: usize) -> Result<Samples, SamplesError> {
        let (name, element, shape) = input(model)?;
        let length: usize = shape.iter().product();
        let points = points::find(model);
        let first = points.iter().find(|point| point.real == name);
        let (scale, zero) = first.map_or((1.0 / 128.0, 0.0), |point| {
            (
                point.scale,
                point.zero_point as f32
                    - if point.element == DataType::Uint8 {
                        128.0
                    } else {
                        0.0
                    },
            )
        });
        let mut state = 0x9E37_79B9_u32;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut one = || match element {
            DataType::Int8 => Sample::I8((0..length).map(|_| (next() >> 24) as i8).collect()),
            DataType::Uint8 => Sample::U8((0..length).map(|_| (next() >> 24) as u8).collect()),
            _ => {
                let unit = |bits: u32| (bits as f32 / u32::MAX as f32 - 0.5) * 268.0 - 0.5;
                Sample::F32((0..length).map(|_| (unit(next()) - zero) * scale).collect())
            }
        };
        Ok(Samples {
            inputs: (0..count).map(|_| one()).collect(),
            answers: Vec::new(),
        })
    }
}
