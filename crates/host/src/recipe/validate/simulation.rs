//! `[data.simulation]` and what simulated data asks of the other sections.

use super::super::{Format, Simulation};
use super::Check;

impl Check<'_, '_> {
    pub(super) fn simulation(&mut self) {
        let simulated = self.recipe.data.format == Format::Simulated;
        let Some(simulation) = &self.recipe.data.simulation else {
            self.require(!simulated, "data.format", || {
                "simulated data needs a table [data.simulation]; it may be empty".to_owned()
            });
            return;
        };
        self.require(simulated, "data.simulation", || {
            "is read only with data.format = \"simulated\"".to_owned()
        });
        self.amounts(simulation);
        self.names();
    }

    fn amounts(&mut self, simulation: &Simulation) {
        let [least, greatest] = simulation.severity;
        let rising = least > 0.0 && least <= greatest && greatest <= 2.0;
        self.require(rising, "data.simulation.severity", || {
            format!(
                "found [{least}, {greatest}], expected two rising numbers above 0 and at most 2"
            )
        });
        let counts = (8..=65_536).contains(&simulation.steps)
            && (3..=10_000).contains(&simulation.sessions)
            && (1..=100_000).contains(&simulation.windows);
        self.require(counts, "data.simulation", || {
            "expected steps from 8 to 65536, sessions from 3 to 10000 and windows from 1 to 100000"
                .to_owned()
        });
        let (speed, nyquist) = (simulation.speed_hz, f64::from(simulation.rate_hz) / 2.0);
        self.require(speed > 0.0 && speed * 8.0 < nyquist, "data.simulation.speed_hz", || {
            format!("found {speed}, expected a speed above 0 whose 8th harmonic is below {nyquist} Hz")
        });
        let noise = simulation.noise >= 0.0 && simulation.noise.is_finite();
        self.require(noise, "data.simulation.noise", || {
            "expected 0 or more".to_owned()
        });
    }

    fn names(&mut self) {
        let expected = crate::simulate::CHANNELS;
        let channels: Vec<&str> = self
            .recipe
            .data
            .channels()
            .map(|column| column.name.as_str())
            .collect();
        self.require(channels == expected, "data.column", || {
            format!(
                "found {}, expected the simulator's channels {}",
                channels.join(", "),
                expected.join(", ")
            )
        });
        for (index, label) in self.recipe.target.labels.iter().enumerate() {
            if let Err(error) = label.parse::<crate::simulate::Condition>() {
                self.problem(format!("target.labels[{index}]"), error.to_string());
            }
        }
    }
}
