//! Fixed-size identities and hashes, printed as lower-case hexadecimal.
//!
//! # Example
//! ```
//! use dunlin_wire::DeviceId;
//! let device: DeviceId = "00112233445566ff".parse().unwrap();
//! assert_eq!(device.to_string(), "00112233445566ff");
//! assert!("0011".parse::<DeviceId>().is_err());
//! ```

use minicbor::{Decode, Encode};

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        ///
        /// Travels as a CBOR byte string of exactly its length.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; $length]);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = ParseIdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $length];
                parse_hexadecimal(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
    };
}

identity! {
    /// A device, drawn at random when it is provisioned. Printed as 16 hexadecimal digits.
    DeviceId, 8
}
identity! {
    /// A bundle: the first 8 bytes of the SHA-256 of its signed manifest (the COSE_Sign1 bytes).
    BundleId, 8
}
identity! {
    /// A firmware build: the first 8 bytes of a hash of its code, given by the target.
    FirmwareId, 8
}
identity! {
    /// A signing key: the first 8 bytes of the SHA-256 of its public key.
    KeyId, 8
}
identity! {
    /// An Ed25519 public key, as RFC 8032 encodes it.
    PublicKey, 32
}
identity! {
    /// A SHA-256 hash.
    Digest, 32
}

impl Digest {
    /// SHA-256 of `bytes`, in one pass.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first 8 bytes, of which short identities are made.
    pub fn prefix(&self) -> [u8; 8] {
        let mut prefix = [0; 8];
        prefix
            .iter_mut()
            .zip(self.0)
            .for_each(|(to, from)| *to = from);
        prefix
    }
}

impl PublicKey {
    /// The name under which bundles signed by this key refer to it.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(&self.0).prefix())
    }
}

/// Fills `bytes` from twice as many hexadecimal digits, in either case.
fn parse_hexadecimal(text: &str, bytes: &mut [u8]) -> Result<(), ParseIdentityError> {
    let error = ParseIdentityError {
        expected_digits: 2 * bytes.len(),
    };
    if text.len() != error.expected_digits {
        return Err(error);
    }
    let mut digits = text.bytes().map(|c| (c as char).to_digit(16));
    for byte in bytes {
        match (digits.next().flatten(), digits.next().flatten()) {
            (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
            _ => return Err(error),
        }
    }
    Ok(())
}

/// Text is not the hexadecimal form of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdentityError {
    /// How many hexadecimal digits the identity has.
    pub expected_digits: usize,
}

impl core::fmt::Display for ParseIdentityError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "expected {} hexadecimal digits", self.expected_digits)
    }
}

impl core::error::Error for ParseIdentityError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn hexadecimal_goes_both_ways() {
        let id = DeviceId([0x00, 0x1f, 0x80, 0xff, 0xa5, 1, 2, 3]);
        assert_eq!(id.to_string(), "001f80ffa5010203");
        assert_eq!("001F80ffA5010203".parse(), Ok(id));
    }

    #[test]
    fn text_of_another_length_or_alphabet_is_refused() {
        let error = Err(ParseIdentityError {
            expected_digits: 16,
        });
        for text in [
            "",
            "00",
            "001f80ffa501020",
            "001f80ffa50102030",
            "001f80ffa501020g",
            "ééééééé\u{20ac}",
            "+01f80ffa5010203",
        ] {
            assert_eq!(text.parse::<DeviceId>(), error, "{text:?}");
        }
    }

    #[test]
    fn a_digest_is_sha_256() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
    }
}
