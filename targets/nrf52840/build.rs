//! Tells the linker where the chip's memory is.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=memory.x");
    let here = PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"),
    );
    println!("cargo::rustc-link-search={}", here.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
}
