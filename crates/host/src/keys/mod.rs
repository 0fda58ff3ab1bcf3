//! Signing keys and device credentials on disk.
//!
//! Runs on the workstation. A signing key is Ed25519: `<name>.key.pem` (PKCS#8, RFC 8410, readable
//! by its owner only) and `<name>.pub.pem` (SubjectPublicKeyInfo), both as other tools write and
//! read them. A device's credential is 32 random bytes in a devices file, see [`Devices`].
//!
//! # Example
//! ```
//! use dunlin_host::keys::{self, SecretKey};
//! let folder = tempfile::tempdir()?;
//! let created = keys::create(folder.path(), "release")?;
//! let key = SecretKey::read(&created.secret_path)?;
//! assert_eq!(key.public().id(), created.id);
//! assert_eq!(keys::read_public(&created.public_path)?, key.public());
//! assert!(keys::create(folder.path(), "release").is_err(), "keys are never overwritten");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Architecture invariants
//! - A secret never stands in an error, a `Debug` text or a file that others may read.
//! - Nothing that exists is overwritten, but for the devices file, which is replaced in one step.

mod devices;

pub use devices::{Device, Devices, NewDevice};

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dunlin_wire::bundle::Signature;
use dunlin_wire::{KeyId, PublicKey};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand::TryRngCore;

/// Why a key could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is a file already where a key would be written.
    #[error("{} exists; keys are never overwritten: choose another name, or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A key's or a device's name is no file name.
    #[error(
        "`{name}`: expected a name of 1 to 32 letters, digits, `-`, `_` or `.`, not starting with `.`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A file does not hold the key it should.
    #[error("{}: expected {expected}; make a key with `dunlin keys new`", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The devices file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Devices {
        /// The file.
        path: PathBuf,
        /// What is wrong; never holds a key.
        reason: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {reason}")]
    Random {
        /// Why not.
        reason: String,
    },
}

/// A key that signs bundles.
pub struct SecretKey(SigningKey);

/// Where a new key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedKey {
    /// The name under which bundles refer to it.
    pub id: KeyId,
    /// The file to keep secret.
    pub secret_path: PathBuf,
    /// The file to give to devices.
    pub public_path: PathBuf,
}

impl SecretKey {
    /// A new key from the operating system's random numbers.
    ///
    /// # Errors
    /// When there are none.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(SigningKey::from_bytes(&random()?)))
    }

    /// Reads a PKCS#8 PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no Ed25519 private key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let expected = "an Ed25519 private key in PKCS#8 PEM";
        let text = read(path)?;
        let key = SigningKey::from_pkcs8_pem(&text);
        key.map(Self).map_err(|_| KeyError::NotAKey {
            path: path.to_owned(),
            expected,
        })
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }

    /// Without the optional public half, which OpenSSL 3.0 and older do not read.
    fn to_pem(&self) -> Option<String> {
        let bytes = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        bytes
            .to_pkcs8_pem(LineEnding::LF)
            .ok()
            .map(|pem| pem.to_string())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, hidden)", self.public().id())
    }
}

/// Makes a new key and writes `<name>.key.pem` and `<name>.pub.pem` to `folder`, which is created
/// where it is missing.
///
/// # Errors
/// When the name is none, one of the files exists, or they cannot be written.
pub fn create(folder: &Path, name: &str) -> Result<CreatedKey, KeyError> {
    check_name(name)?;
    let secret_path = folder.join(format!("{name}.key.pem"));
    let public_path = folder.join(format!("{name}.pub.pem"));
    if public_path.exists() {
        return Err(KeyError::Exists { path: public_path });
    }
    std::fs::create_dir_all(folder).map_err(|source| KeyError::File {
        path: folder.to_owned(),
        source,
    })?;
    let key = SecretKey::generate()?;
    let unfit = |expected| KeyError::NotAKey {
        path: secret_path.clone(),
        expected,
    };
    let secret = key
        .to_pem()
        .ok_or_else(|| unfit("a key that can be written"))?;
    let public = key.0.verifying_key().to_public_key_pem(LineEnding::LF);
    let public = public.map_err(|_| unfit("a key that can be written"))?;
    write_new(&secret_path, secret.as_bytes(), Access::Owner)?;
    write_new(&public_path, public.as_bytes(), Access::Everyone)?;
    Ok(CreatedKey {
        id: key.public().id(),
        secret_path,
        public_path,
    })
}

/// Reads the public key from a PEM file: a public key, or the private key it belongs to.
///
/// # Errors
/// When the file cannot be read or holds no Ed25519 key.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyError> {
    let expected = "an Ed25519 public key in PEM";
    let text = read(path)?;
    let public = VerifyingKey::from_public_key_pem(&text).map(|key| key.to_bytes());
    let own = || SigningKey::from_pkcs8_pem(&text).map(|key| key.verifying_key().to_bytes());
    match public.ok().or_else(|| own().ok()) {
        Some(bytes) => Ok(PublicKey(bytes)),
        None => Err(KeyError::NotAKey {
            path: path.to_owned(),
            expected,
        }),
    }
}

fn read(path: &Path) -> Result<String, KeyError> {
    std::fs::read_to_string(path).map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if (1..=32).contains(&name.len()) && !name.starts_with('.') && name.chars().all(fits) {
        return Ok(());
    }
    Err(KeyError::Name {
        name: name.to_owned(),
    })
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    let filled = rand::rngs::OsRng.try_fill_bytes(&mut bytes);
    filled.map_err(|error| KeyError::Random {
        reason: error.to_string(),
    })?;
    Ok(bytes)
}

#[derive(Clone, Copy, PartialEq)]
enum Access {
    Owner,
    Everyone,
}

fn write_new(path: &Path, bytes: &[u8], access: Access) -> Result<(), KeyError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options, access);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists {
            path: path.to_owned(),
        },
        _ => KeyError::File {
            path: path.to_owned(),
            source,
        },
    })
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, access: Access) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(if access == Access::Owner {
        0o600
    } else {
        0o644
    });
}

#[cfg(not(unix))]
fn restrict(_: &mut OpenOptions, _: Access) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_written_key_signs_as_before() {
        let folder = folder();
        let created = create(folder.path(), "release").unwrap();
        let key = SecretKey::read(&created.secret_path).unwrap();
        let verifying =
            VerifyingKey::from_bytes(&read_public(&created.public_path).unwrap().0).unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(&key.sign(b"message").0);
        assert!(verifying.verify_strict(b"message", &signature).is_ok());
        assert!(verifying.verify_strict(b"massage", &signature).is_err());
        assert_eq!(read_public(&created.secret_path).unwrap(), key.public());
    }

    #[test]
    fn two_keys_differ() {
        let folder = folder();
        let one = create(folder.path(), "one").unwrap();
        let two = create(folder.path(), "two").unwrap();
        assert_ne!(one.id, two.id);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_a_secret() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let created = create(folder.path(), "release").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&created.secret_path), 0o600);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = folder();
        let created = create(folder.path(), "release").unwrap();
        let before = std::fs::read(&created.secret_path).unwrap();
        assert!(matches!(
            create(folder.path(), "release"),
            Err(KeyError::Exists { .. })
        ));
        std::fs::remove_file(&created.public_path).unwrap();
        assert!(matches!(
            create(folder.path(), "release"),
            Err(KeyError::Exists { .. })
        ));
        assert_eq!(std::fs::read(&created.secret_path).unwrap(), before);
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        for name in ["", "../up", "a/b", ".hidden", "with space", &"x".repeat(33)] {
            assert!(
                matches!(create(folder().path(), name), Err(KeyError::Name { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_showing_it() {
        let folder = folder();
        let path = folder.path().join("x.pem");
        std::fs::write(
            &path,
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        )
        .unwrap();
        for error in [
            SecretKey::read(&path).unwrap_err(),
            read_public(&path).unwrap_err(),
        ] {
            assert!(matches!(error, KeyError::NotAKey { .. }));
            assert!(!format!("{error} {error:?}").contains("c2Vjc"));
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key = SecretKey(SigningKey::from_bytes(&[0xab; 32]));
        assert!(!format!("{key:?}").contains("abab") && !format!("{key:?}").contains("171"));
    }

    #[test]
    fn openssl_reads_our_keys() {
        let folder = folder();
        let created = create(folder.path(), "release").unwrap();
        let arguments = ["pkey", "-pubout", "-in"];
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .arg(&created.secret_path)
            .output();
        let Ok(output) = output else {
            eprintln!("skipped: openssl is not installed");
            return;
        };
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            std::fs::read_to_string(&created.public_path).unwrap()
        );
    }
}
