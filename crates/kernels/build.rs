//! Says which loops the target has: Arm's DSP extension, which stable Rust does not tell, with floats or without, or
//! lanes.

use std::env::var;

/// Cores of the ARMv8-M main line that have the extension.
const CORES: [&str; 4] = ["cortex-m33", "cortex-m35p", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(cortex_m_dsp, values(none(), \"v8\"))");
    println!("cargo::rustc-check-cfg=cfg(simd, values(none(), \"x86_64\", \"aarch64\", \"arm\"))");
    println!("cargo::rustc-check-cfg=cfg(cortex_m_fpu)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = var("TARGET").unwrap_or_default();
    if has_dsp(&target) {
        println!("cargo::rustc-cfg=cortex_m_dsp");
    }
    if has_dsp(&target) && target.ends_with("eabihf") {
        println!("cargo::rustc-cfg=cortex_m_fpu");
    }
    if target.starts_with("thumbv8m") && has_dsp(&target) {
        println!("cargo::rustc-cfg=cortex_m_dsp=\"v8\"");
    }
    if let Some(lanes) = lanes(&target) {
        println!("cargo::rustc-cfg=simd");
        println!("cargo::rustc-cfg=simd=\"{lanes}\"");
    }
}

fn has_dsp(target: &str) -> bool {
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_core = CORES
        .iter()
        .any(|core| flags.contains(&format!("target-cpu={core}")));
    target.starts_with("thumbv7em") || target.starts_with("thumbv8m.main") && is_core
}

/// The folder of the loops for an architecture with lanes, unless the target does without its registers.
fn lanes(target: &str) -> Option<&'static str> {
    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has = |feature| features.split(',').any(|there| there == feature);
    let is_7 = target.starts_with("armv7") || target.starts_with("thumbv7neon");
    let is = |system| var("CARGO_CFG_TARGET_OS").as_deref() == Ok(system);
    let is_little_endian = var("CARGO_CFG_TARGET_ENDIAN").as_deref() == Ok("little");
    match var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") if has("sse2") => Some("x86_64"),
        Ok("aarch64") if has("neon") && is_little_endian => Some("aarch64"),
        Ok("arm") if is("linux") && is_7 => Some("arm"),
        _ => None,
    }
}
