//! Per-device key: tags on records and acknowledgements.
//!
//! Every device has its own 32-byte key, known to it and to the collector. A tag is HMAC-SHA-256
//! (RFC 2104, FIPS 180-4) truncated to its first 16 bytes, over a domain and any number of parts:
//!
//! ```text
//! tag = first 16 bytes of HMAC-SHA-256(key, domain u8 ‖ for each part: length u32 LE ‖ part)
//! ```
//!
//! The domain keeps a tag made for one purpose from passing for another; the lengths keep
//! `("ab", "c")` and `("a", "bc")` apart. Costs one hash of the parts; no allocation.
//!
//! # Example
//! ```
//! use dunlin_wire::credential::{Credential, Domain};
//! let credential = Credential([7; 32]);
//! let tag = credential.tag(Domain::Record, &[b"header", b"body"]);
//! assert!(credential.confirms(Domain::Record, &[b"header", b"body"], &tag));
//! assert!(!credential.confirms(Domain::Acknowledge, &[b"header", b"body"], &tag));
//! ```
//!
//! # Architecture invariants
//! - The key is never printed: `Debug` hides it.
//! - Comparison takes the same time wherever the tags differ.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::DeviceId;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// HMAC pads a shorter key with zeros to the hash's block.
const HMAC_BLOCK_BYTES: usize = 64;

/// What a tag is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Domain {
    /// Ends a stored record; covers all of its bytes before the tag.
    Record = 1,
    /// Ends an acknowledgement from the collector.
    Acknowledge = 2,
    /// Makes the password by which a device presents itself to a broker.
    Password = 3,
}

/// A device's secret key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(pub [u8; 32]);

impl Credential {
    /// The tag over `parts` for the purpose `domain`.
    pub fn tag(&self, domain: Domain, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let whole: [u8; 32] = self.mac(domain, parts).finalize().into_bytes().into();
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        tag
    }

    /// Whether `tag` is the tag over `parts`. A tag of another length than [`TAG_BYTES`] never is.
    pub fn confirms(&self, domain: Domain, parts: &[&[u8]], tag: &[u8]) -> bool {
        tag.len() == TAG_BYTES && self.mac(domain, parts).verify_truncated_left(tag).is_ok()
    }

    /// The password of `device` at a broker. It says nothing about the key, so a broker that sees
    /// it cannot make records.
    pub fn password(&self, device: DeviceId) -> [u8; TAG_BYTES] {
        self.tag(Domain::Password, &[&device.0])
    }

    /// The tag of an acknowledgement: the records of `device` up to and including sequence number
    /// `up_to` are safe. Covers the id's bytes and `up_to` as little-endian `u32`.
    pub fn acknowledgement(&self, device: DeviceId, up_to: u32) -> [u8; TAG_BYTES] {
        self.tag(Domain::Acknowledge, &[&device.0, &up_to.to_le_bytes()])
    }

    /// Whether `tag` is the one that [`Credential::acknowledgement`] makes.
    pub fn confirms_acknowledgement(&self, device: DeviceId, up_to: u32, tag: &[u8]) -> bool {
        self.confirms(Domain::Acknowledge, &[&device.0, &up_to.to_le_bytes()], tag)
    }

    fn mac(&self, domain: Domain, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut padded = [0; HMAC_BLOCK_BYTES];
        padded
            .iter_mut()
            .zip(self.0)
            .for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&padded.into());
        mac.update(&[domain as u8]);
        for part in parts {
            mac.update(&(part.len() as u32).to_le_bytes());
            mac.update(part);
        }
        mac
    }
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credential(hidden)")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn credential() -> Credential {
        Credential(core::array::from_fn(|i| i as u8))
    }

    #[test]
    fn domains_are_pinned() {
        let codes =
            [Domain::Record, Domain::Acknowledge, Domain::Password].map(|domain| domain as u8);
        assert_eq!(codes, [1, 2, 3]);
    }

    /// Computed with Python: hmac.new(bytes(range(32)), b"\x01\x02\0\0\0ab\x01\0\0\0c", "sha256").
    #[test]
    fn a_tag_equals_an_independent_computation() {
        let tag = credential().tag(Domain::Record, &[b"ab", b"c"]);
        assert_eq!(tag, TAG_BY_PYTHON);
    }

    #[test]
    fn any_change_changes_the_tag() {
        let tag = credential().tag(Domain::Record, &[b"ab", b"c"]);
        let other_key = Credential([9; 32]);
        assert!(credential().confirms(Domain::Record, &[b"ab", b"c"], &tag));
        assert!(!credential().confirms(Domain::Record, &[b"a", b"bc"], &tag));
        assert!(!credential().confirms(Domain::Record, &[b"ab", b"c", b""], &tag));
        assert!(!credential().confirms(Domain::Acknowledge, &[b"ab", b"c"], &tag));
        assert!(!other_key.confirms(Domain::Record, &[b"ab", b"c"], &tag));
        for bit in 0..8 * TAG_BYTES {
            let mut altered = tag;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!credential().confirms(Domain::Record, &[b"ab", b"c"], &altered));
        }
    }

    #[test]
    fn an_acknowledgement_is_for_one_device_and_one_number() {
        let (device, other) = (DeviceId([1; 8]), DeviceId([2; 8]));
        let tag = credential().acknowledgement(device, 41);
        assert!(credential().confirms_acknowledgement(device, 41, &tag));
        assert!(!credential().confirms_acknowledgement(device, 42, &tag));
        assert!(!credential().confirms_acknowledgement(other, 41, &tag));
    }

    #[test]
    fn a_shorter_tag_confirms_nothing() {
        let tag = credential().tag(Domain::Record, &[b"ab"]);
        for length in 0..TAG_BYTES {
            assert!(!credential().confirms(Domain::Record, &[b"ab"], &tag[..length]));
        }
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(std::format!("{:?}", credential()), "Credential(hidden)");
    }

    const TAG_BY_PYTHON: [u8; TAG_BYTES] = [
        0x53, 0x8e, 0xcd, 0x53, 0x73, 0x42, 0x38, 0x7b, 0x0e, 0x9f, 0x91, 0x61, 0xfb, 0xe4, 0x83,
        0x62,
    ];
}
