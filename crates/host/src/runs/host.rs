//! The machine a run was made on.

use serde::{Deserialize, Serialize};

/// The machine a run was made on, as far as it may change numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system.
    pub system: String,
    /// Processor architecture.
    pub architecture: String,
    /// Processors this process may use.
    pub processors: usize,
}

impl Host {
    /// This machine.
    pub fn here() -> Host {
        Host {
            system: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get()),
        }
    }
}
