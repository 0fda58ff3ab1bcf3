//! Golden vectors from real inputs.

use dunlin_engine::format::DType;
use dunlin_wire::golden::{Golden, GoldenDraft, Vector};
use dunlin_wire::schema::ElementType;

use super::{PackageError, encoded};
use crate::verify::{Backend, Local};

/// Chooses up to `count` examples for golden vectors: as many of each label as there are, spread
/// evenly over the data. Returns their indices, ascending.
pub fn choose(labels: &[u32], count: usize) -> Vec<usize> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let mut chosen: Vec<usize> = Vec::new();
    for (number, class) in classes.iter().enumerate() {
        let of_class: Vec<usize> = (0..labels.len())
            .filter(|&index| labels.get(index) == Some(class))
            .collect();
        let share =
            (count * (number + 1) / classes.len()).saturating_sub(count * number / classes.len());
        let share = share.min(of_class.len());
        chosen.extend((0..share).filter_map(|place| of_class.get(place * of_class.len() / share)));
    }
    chosen.sort_unstable();
    chosen
}

/// The golden section of a plan: each input with the exact bytes of the plan's outputs.
///
/// # Errors
/// When the plan cannot be loaded or run, or there are none or too many inputs.
pub fn from_plan<'i>(
    plan: &[u8],
    inputs: impl IntoIterator<Item = &'i [f32]>,
) -> Result<Vec<u8>, PackageError> {
    let mut local = Local::load(plan)?;
    let elements: Vec<ElementType> = local
        .plan()
        .outputs()
        .enumerate()
        .map(|(index, output)| {
            element_type(output.dtype).ok_or(PackageError::GoldenElement { output: index })
        })
        .collect::<Result<_, _>>()?;
    let mut cases = Vec::new();
    for input in inputs {
        cases.push(Case {
            input: bytes_of(input),
            outputs: local.outputs(input)?,
        });
    }
    section(0.0, &elements, &cases)
}

/// The golden section of an ONNX model that is run by `backend`: each input with the label as `i32`
/// and the scores as `f32`, which the device must meet within `tolerance`.
///
/// # Errors
/// When the backend fails, or there are none or too many inputs.
pub fn from_backend<'i>(
    backend: &mut dyn Backend,
    tolerance: f32,
    inputs: impl IntoIterator<Item = &'i [f32]>,
) -> Result<Vec<u8>, PackageError> {
    let mut cases = Vec::new();
    for input in inputs {
        let answer = backend.run(input)?;
        let label = answer.label.unwrap_or_default().to_le_bytes().to_vec();
        cases.push(Case {
            input: bytes_of(input),
            outputs: vec![label, bytes_of(&answer.scores)],
        });
    }
    section(tolerance, &[ElementType::I32, ElementType::F32], &cases)
}

struct Case {
    input: Vec<u8>,
    outputs: Vec<Vec<u8>>,
}

fn section(
    tolerance: f32,
    elements: &[ElementType],
    cases: &[Case],
) -> Result<Vec<u8>, PackageError> {
    let vectors: Vec<Vector<'_>> = cases
        .iter()
        .map(|case| Vector {
            input: &case.input,
            outputs: case.outputs.iter().map(Vec::as_slice).collect(),
        })
        .collect();
    let draft = GoldenDraft {
        tolerance,
        elements,
        vectors: &vectors,
    };
    let bytes = encoded(|buffer| draft.encode(buffer))?;
    Golden::parse(&bytes).map_err(PackageError::Golden)?;
    Ok(bytes)
}

fn element_type(dtype: DType) -> Option<ElementType> {
    match dtype {
        DType::F32 => Some(ElementType::F32),
        DType::I32 => Some(ElementType::I32),
        _ => None,
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Answer, BackendError};

    struct Sum;

    impl Backend for Sum {
        fn name(&self) -> &str {
            "sum"
        }

        fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
            Ok(Answer {
                label: Some(1),
                scores: vec![input.iter().sum()],
            })
        }
    }

    #[test]
    fn every_label_has_its_share_of_the_vectors() {
        let labels: Vec<u32> = (0..1000).map(|index| u32::from(index % 100 == 7)).collect();
        let chosen = choose(&labels, 8);
        assert_eq!(chosen.len(), 8);
        assert!(chosen.is_sorted());
        assert_eq!(
            chosen.iter().filter(|&&index| labels[index] == 1).count(),
            4
        );
        assert!(
            chosen.last().unwrap() > &700,
            "{chosen:?} is spread over the data"
        );
    }

    #[test]
    fn fewer_examples_than_asked_for_are_all_chosen() {
        assert_eq!(choose(&[0, 1, 1], 8), [0, 1, 2]);
        assert_eq!(choose(&[], 8), [0_usize; 0]);
    }

    #[test]
    fn a_backends_answers_become_vectors_with_a_tolerance() {
        let inputs = [[1.0_f32, 2.0], [3.0, 4.0]];
        let bytes = from_backend(&mut Sum, 0.5, inputs.iter().map(|input| &input[..])).unwrap();
        let golden = Golden::parse(&bytes).unwrap();
        assert_eq!((golden.len(), golden.tolerance()), (2, 0.5));
        let second = golden.vectors().nth(1).unwrap();
        assert_eq!(second.outputs[1], 7.0_f32.to_le_bytes());
        assert!(golden.accepts(1, second.outputs[1], &7.25_f32.to_le_bytes()));
    }

    #[test]
    fn no_input_makes_no_section() {
        assert!(matches!(
            from_backend(&mut Sum, 0.0, []),
            Err(PackageError::Golden(_))
        ));
    }
}
