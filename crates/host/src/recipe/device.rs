//! `[monitor]` and `[deploy]`: what happens on the device.

use serde::{Deserialize, Serialize};

use super::Period;

/// `[monitor]`: what the device watches and how it is calibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// The length of a monitoring window.
    pub window: Period,
    /// The length of the blocks of training data that are left out in turn to calibrate
    /// thresholds; at least as long as samples depend on each other.
    pub block: Period,
    /// The share of windows without drift in which the flag may rise.
    #[serde(default = "one_in_twenty")]
    pub false_alarm_rate: f64,
    /// A channel with this many equal values in a row is stuck; 0 turns the rule off.
    #[serde(default)]
    pub stuck_after: u32,
    /// The time from one model input to the next.
    pub sample_period: Period,
    /// Labels whose inputs are the reference that drift is measured against, such as those of a
    /// healthy machine; all inputs of the training part when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<String>,
}

fn one_in_twenty() -> f64 {
    0.05
}

/// `[deploy]`: where the model is to run and how near to the float model it must stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deploy {
    /// Names of folders in `targets/`, and `local` for a process on the workstation.
    pub targets: Vec<String>,
    /// How far a probability of the compiled model may be from the ONNX model's.
    pub probability_tolerance: f64,
}

impl Default for Deploy {
    fn default() -> Self {
        Deploy {
            targets: vec!["local".to_owned()],
            probability_tolerance: 0.05,
        }
    }
}
