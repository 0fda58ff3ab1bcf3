//! Says whether the target has Arm's DSP extension, which stable Rust does not tell.

use std::env::var;

/// Cores of the ARMv8-M main line that have the extension.
const CORES: [&str; 4] = ["cortex-m33", "cortex-m35p", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(cortex_m_dsp)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = var("TARGET").unwrap_or_default();
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_core = CORES
        .iter()
        .any(|core| flags.contains(&format!("target-cpu={core}")));
    if target.starts_with("thumbv7em") || target.starts_with("thumbv8m.main") && is_core {
        println!("cargo::rustc-cfg=cortex_m_dsp");
    }
}
