//! What stands in the engine's place to learn what the rest of an image takes.

use crate::harness::Subject;
use core::hint::black_box;

/// Loads nothing and runs nothing.
pub struct Nothing;

impl Subject for Nothing {
    type Loaded = &'static [u8];

    fn load(plan: &'static [u8]) -> &'static [u8] {
        black_box(plan)
    }

    fn run(plan: &&'static [u8], arena: &mut [u8]) -> Option<()> {
        black_box(plan);
        black_box(arena);
        Some(())
    }
}
