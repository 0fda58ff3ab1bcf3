//! A SIMULATED rotating machine: three-axis vibration of a bearing housing, in four conditions.
//!
//! Runs on the workstation. Nothing here was measured; every report that shows these numbers says
//! so. They follow formulas of machine dynamics (see [`Machine`]), vary from session to session as
//! machines do, and repeat exactly for the same settings on the same machine.
//! Cost: about a microsecond a sample.
//!
//! A data set is made by [`windows`] (a recipe with `format = "simulated"` loads it like a file), a
//! machine that changes its behaviour while it is watched by [`stream`]:
//!
//! ```
//! use dunlin_host::recipe::Simulation;
//! use dunlin_host::simulate::{Condition, Phase, stream};
//! let healthy = Phase { windows: 50, ..Phase::default() };
//! let worn = Phase { condition: Condition::Bearing, severity: 0.8, windows: 50, speed: 1.0 };
//! let windows: Vec<_> = stream(&Simulation::default(), 1000, &[healthy, worn]).collect();
//! assert_eq!(windows.len(), 100);
//! assert_eq!(windows[99].condition, Condition::Bearing);
//! ```
//!
//! **Architecture invariants.** No clock and no other source of chance than the seeded generator;
//! no file; the machine does not know what it is used for.

mod machine;
mod random;

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::data::rows::{CleanRow, Rows};
use crate::recipe::Simulation;

pub use machine::{BEARING, Bearing, Machine};

/// What stands for a file name in reports about simulated data.
pub const SOURCE: &str = "simulated:rotating-machine";

/// The channels in order: across the shaft in the plane of the floor, across it upwards, along it.
pub const CHANNELS: [&str; 3] = ["horizontal", "vertical", "axial"];

/// Start of the first session: 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;
const SESSION_MS: i64 = 3_600_000;

/// What ails the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing beyond residual imbalance and misalignment.
    #[default]
    Healthy,
    /// The rotor's centre of mass is off its axis.
    Imbalance,
    /// The shafts of motor and machine do not line up.
    Misalignment,
    /// The outer race of the bearing is worn.
    Bearing,
}

impl Condition {
    /// Every condition there is.
    pub const ALL: [Condition; 4] = [
        Condition::Healthy,
        Condition::Imbalance,
        Condition::Misalignment,
        Condition::Bearing,
    ];

    /// The name in recipes and labels.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Healthy => "healthy",
            Condition::Imbalance => "imbalance",
            Condition::Misalignment => "misalignment",
            Condition::Bearing => "bearing",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no condition has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no condition \"{name}\"; there are healthy, imbalance, misalignment and bearing")]
pub struct UnknownCondition {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Condition {
    type Err = UnknownCondition;

    fn from_str(name: &str) -> Result<Self, UnknownCondition> {
        let found = Condition::ALL
            .into_iter()
            .find(|condition| condition.name() == name);
        found.ok_or_else(|| UnknownCondition {
            name: name.to_owned(),
        })
    }
}

/// One window of simulated vibration.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Time of the first sample in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// What ails the machine.
    pub condition: Condition,
    /// How much, in the scale of [`Simulation::severity`]; 0 when healthy.
    pub severity: f64,
    /// The session the window belongs to.
    pub session: u32,
    /// Acceleration in m/s², `[steps, 3]`, row-major, in the order of [`CHANNELS`].
    pub values: Vec<f32>,
}

/// A stretch of a [`stream`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// What ails the machine.
    pub condition: Condition,
    /// How much; without effect when healthy.
    pub severity: f64,
    /// For how many windows.
    pub windows: usize,
    /// Speed of the shaft as a multiple of the session's own.
    pub speed: f64,
}

impl Default for Phase {
    fn default() -> Self {
        Phase {
            condition: Condition::Healthy,
            severity: 0.0,
            windows: 1,
            speed: 1.0,
        }
    }
}

/// The data set of the settings: sessions of every condition in turn, an hour from the start of
/// one to the start of the next, each with its own machine and severity.
pub fn windows(settings: &Simulation) -> impl Iterator<Item = Window> + '_ {
    let sessions = settings.sessions * Condition::ALL.len();
    (0..sessions)
        .zip(Condition::ALL.into_iter().cycle())
        .flat_map(|(session, condition)| {
            let session = session as u32;
            let severity = Machine::start(settings, session).draw_severity(settings);
            let phase = Phase {
                condition,
                severity,
                windows: settings.windows,
                speed: 1.0,
            };
            stream(settings, session, &[phase])
        })
}

/// One machine through the given phases without a pause. `session` is its number: the same number
/// is the same machine; those from `4 × sessions` on are not in the data set of the settings.
pub fn stream(settings: &Simulation, session: u32, phases: &[Phase]) -> Stream {
    Stream {
        machine: Machine::start(settings, session),
        session,
        steps: settings.steps,
        period_ms: window_ms(settings),
        phases: phases.to_vec(),
        phase: 0,
        left: phases.first().map_or(0, |phase| phase.windows),
        made: 0,
    }
}

/// Milliseconds from one window to the next.
pub fn window_ms(settings: &Simulation) -> f64 {
    settings.steps as f64 * 1000.0 / f64::from(settings.rate_hz)
}

/// The windows of one machine; see [`stream`].
#[derive(Debug, Clone)]
pub struct Stream {
    machine: Machine,
    session: u32,
    steps: usize,
    period_ms: f64,
    phases: Vec<Phase>,
    phase: usize,
    left: usize,
    made: u64,
}

impl Iterator for Stream {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        while self.left == 0 {
            self.phase += 1;
            self.left = self.phases.get(self.phase)?.windows;
        }
        self.left -= 1;
        let phase = *self.phases.get(self.phase)?;
        let offset_ms = (self.made as f64 * self.period_ms).round() as i64;
        self.made += 1;
        Some(Window {
            time_ms: EPOCH_MS + i64::from(self.session) * SESSION_MS + offset_ms,
            condition: phase.condition,
            severity: if phase.condition == Condition::Healthy {
                0.0
            } else {
                phase.severity
            },
            session: self.session,
            values: self.machine.window(self.steps, &phase),
        })
    }
}

/// The windows of the settings as rows, one each; conditions without a label are left out.
pub(crate) fn rows(settings: &Simulation, labels: &[String]) -> Rows {
    let mut rows = Rows::new(settings.steps * CHANNELS.len());
    for (index, window) in windows(settings).enumerate() {
        if let Some(label) = labels
            .iter()
            .position(|label| label == window.condition.name())
        {
            let row = CleanRow {
                values: window.values,
                label: label as u32,
                time_ms: window.time_ms,
                group: window.session,
                line: index as u64 + 1,
            };
            rows.push(0, row);
        }
    }
    rows
}

/// SHA-256 in hex of the settings, in place of that of a file.
pub(crate) fn settings_hash(settings: &Simulation) -> String {
    crate::data::hex(&Sha256::digest(format!("{SOURCE} {settings:?}")))
}

#[cfg(test)]
mod tests;
