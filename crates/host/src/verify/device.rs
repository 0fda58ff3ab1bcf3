//! A device at the end of a link.

use dunlin_link::Link;

use super::local::floats;
use super::{Answer, Backend, BackendError};

/// A device that is asked to infer without observing: monitoring does not see these inputs.
pub struct Device {
    name: String,
    link: Link,
}

impl Device {
    /// Asks the device at the end of `link`, which must have an active bundle.
    ///
    /// # Errors
    /// When the device does not answer, or runs no bundle.
    pub fn over(mut link: Link) -> Result<Self, BackendError> {
        let info = link
            .info()
            .map_err(|error| BackendError::new("device", error))?;
        match info.bundle {
            Some(_) => Ok(Self {
                name: info.target,
                link,
            }),
            None => Err(BackendError::new(
                &info.target,
                "runs no bundle; flash one first",
            )),
        }
    }
}

impl Backend for Device {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        let inference = self
            .link
            .infer(&bytes)
            .map_err(|error| BackendError::new(&self.name, error))?;
        Ok(answer(&inference.output))
    }
}

/// The label as `i32`, then the scores as `f32`.
fn answer(output: &[u8]) -> Answer {
    match output.split_first_chunk() {
        Some((label, scores)) => Answer {
            label: Some(i32::from_le_bytes(*label)),
            scores: floats(scores),
        },
        None => Answer {
            label: None,
            scores: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_a_label_and_scores() {
        let output = [
            &2_i32.to_le_bytes()[..],
            &0.25_f32.to_le_bytes(),
            &0.75_f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(
            answer(&output),
            Answer {
                label: Some(2),
                scores: vec![0.25, 0.75]
            }
        );
        assert_eq!(
            answer(&[]),
            Answer {
                label: None,
                scores: Vec::new()
            }
        );
    }
}
