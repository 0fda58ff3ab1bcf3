//! `[data.simulation]`: the settings of the simulated rotating machine.

use serde::{Deserialize, Serialize};

/// `[data.simulation]`: what [`crate::simulate`] is to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulation {
    /// The seed of everything random.
    pub seed: u64,
    /// Sampling rate of the accelerometer in hertz.
    pub rate_hz: u32,
    /// Samples per window.
    pub steps: usize,
    /// Sessions of the machine per condition; each is a group.
    pub sessions: usize,
    /// Windows per session, one after the other without a gap.
    pub windows: usize,
    /// Nominal speed of the shaft in hertz.
    pub speed_hz: f64,
    /// Least and greatest severity of a fault; each session draws one. 1 is a fault that is plain
    /// to hear, 0.1 one that is hardly there.
    pub severity: [f64; 2],
    /// Standard deviation of the sensor's noise in m/s².
    pub noise: f64,
}

impl Default for Simulation {
    fn default() -> Self {
        Simulation {
            seed: 1,
            rate_hz: 1600,
            steps: 128,
            sessions: 40,
            windows: 50,
            speed_hz: 29.5,
            severity: [0.1, 1.0],
            noise: 0.3,
        }
    }
}
