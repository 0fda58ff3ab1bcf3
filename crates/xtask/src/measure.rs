//! `cargo xtask measure BUNDLE PUBLIC_KEY`: what a bundle executes on the emulated board.

use crate::{cross, setup};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of an Ed25519 public key.
const KEY_BYTES: usize = 32;

/// Builds the measuring firmware around a bundle and prints instructions per inference and per
/// monitored sample, and the stack used. Needs a bundle for `qemu-cortex-m4f` and the `.pub.pem` of
/// the key that signed it.
///
/// # Errors
/// Says which file, tool or step failed.
pub fn run(bundle: &str, key: &str) -> Result<(), String> {
    let bundle = std::fs::canonicalize(bundle).map_err(|error| format!("{bundle}: {error}"))?;
    let key = raw_key(Path::new(key))?;
    let image = cross::build_measure(&bundle, &key)?;
    if !setup::is_on_path("qemu-system-arm") {
        return Err(
            "`qemu-system-arm` is not installed; on Debian: apt-get install qemu-system-arm".into(),
        );
    }
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args([
        "-machine",
        "mps2-an386",
        "-nographic",
        "-monitor",
        "none",
        "-serial",
        "none",
        "-semihosting",
    ])
    .args(["-icount", "shift=0,align=off,sleep=off", "-kernel"])
    .arg(image)
    .stdin(Stdio::null());
    setup::call(&mut qemu).map_err(|error| format!("{error}; was the bundle signed with this key?"))
}

/// Writes the 32 bytes of a public key in PEM (RFC 8410) to a file and returns its path.
fn raw_key(pem: &Path) -> Result<PathBuf, String> {
    let text =
        std::fs::read_to_string(pem).map_err(|error| format!("{}: {error}", pem.display()))?;
    let key = key_of(&text)
        .ok_or_else(|| format!("{}: expected an Ed25519 public key in PEM", pem.display()))?;
    let path = setup::root().join("target/measure.key");
    std::fs::write(&path, key).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// The key stands at the end of the SubjectPublicKeyInfo.
fn key_of(pem: &str) -> Option<[u8; KEY_BYTES]> {
    let lines = pem
        .lines()
        .skip_while(|line| *line != "-----BEGIN PUBLIC KEY-----")
        .skip(1);
    let base64: String = lines.take_while(|line| !line.starts_with('-')).collect();
    decode_base64(&base64)?.last_chunk().copied()
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|&known| known == digit)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_8410_is_read() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let key = key_of(pem).expect("a key");
        assert_eq!(key[..4], [0x19, 0xbf, 0x44, 0x09]);
        assert_eq!(key[28..], [0x70, 0x31, 0x66, 0xe1]);
        assert_eq!(key_of("no key"), None);
    }
}
