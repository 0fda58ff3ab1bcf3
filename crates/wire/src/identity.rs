//! Identities that stand in every record.

use minicbor::{Decode, Encode};

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; $length]);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl core::str::FromStr for $name {
            type Err = ParseIdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $length];
                if text.len() != 2 * $length || !text.is_ascii() {
                    return Err(ParseIdentityError { expected_digits: 2 * $length });
                }
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let digit = |c: u8| (c as char).to_digit(16);
                    match (digit(pair[0]), digit(pair[1])) {
                        (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
                        _ => return Err(ParseIdentityError { expected_digits: 2 * $length }),
                    }
                }
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
