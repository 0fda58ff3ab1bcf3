//! Numbers by chance from a seeded generator.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of chance.
#[derive(Debug, Clone)]
pub(super) struct Random {
    generator: ChaCha8Rng,
}

impl Random {
    /// The source of one session: sessions of a seed do not depend on each other.
    pub(super) fn of_session(seed: u64, session: u32) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(u64::from(session));
        Random { generator }
    }

    pub(super) fn uniform(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.generator.random::<f64>()
    }

    /// A Gaussian number with mean 0 and deviation 1 (Box and Muller 1958).
    pub(super) fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.generator.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.generator.random::<f64>()).cos()
    }
}
