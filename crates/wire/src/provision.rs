//! The block that makes a board a device: who it is, its credential and the keys it trusts.
//!
//! Written once, when the firmware is flashed, to a page of its own; a firmware update leaves it
//! alone. The block is bare, so whoever can read the page knows the credential.
//!
//! ```text
//!  0      8          12                      12 + length
//!  ├──────┼──────────┼───────────────────────┼─────────────────┤
//!  │ magic│ length LE│ CBOR                  │ CRC-32 of CBOR LE│
//! ```
//!
//! ```cddl
//! provision = {0: device: bstr .size 8, 1: credential: bstr .size 32, 2: [0*4 key: bstr .size 32]}
//! ```
//!
//! # Example
//! ```
//! use dunlin_wire::credential::Credential;
//! use dunlin_wire::provision::{MAX_PROVISION_BYTES, Provision};
//! use dunlin_wire::{DeviceId, PublicKey};
//!
//! let provision = Provision {
//!     device: DeviceId([1; 8]),
//!     credential: Credential([2; 32]),
//!     trusted: [PublicKey([3; 32])].into_iter().collect(),
//! };
//! let mut page = [0xff; MAX_PROVISION_BYTES];
//! provision.encode(&mut page)?;
//! assert_eq!(Provision::parse(&page)?, provision);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use crate::credential::Credential;
use crate::frame::crc32;
use crate::{BufferTooSmall, DeviceId, PublicKey, Table, encode};
use minicbor::{Decode, Encode};

/// The first bytes of every block.
pub const MAGIC: [u8; 8] = *b"DUNLINP1";
/// Public keys a device may trust.
pub const MAX_TRUSTED_KEYS: usize = 4;
/// Bytes of the longest block.
pub const MAX_PROVISION_BYTES: usize = 256;
const HEAD_BYTES: usize = MAGIC.len() + 4;
const CRC_BYTES: usize = 4;

/// What makes a board a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// Who it is.
    pub device: DeviceId,
    /// What proves that it is who it says.
    pub credential: Credential,
    /// Whose bundles it runs.
    pub trusted: Table<PublicKey, MAX_TRUSTED_KEYS>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    device: DeviceId,
    #[cbor(n(1), with = "minicbor::bytes")]
    credential: [u8; 32],
    #[n(2)]
    trusted: Table<PublicKey, MAX_TRUSTED_KEYS>,
}

/// Why bytes are not a provisioning block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisionError {
    /// Erased flash or something else: the board was never provisioned.
    Missing,
    /// The block was cut off or altered.
    Damaged,
}

impl core::fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Missing => "the board is not provisioned",
            Self::Damaged => "the provisioning block is damaged",
        })
    }
}

impl core::error::Error for ProvisionError {}

impl Provision {
    /// What a board is before it has a block: device 0, which trusts nobody. Its credential is known
    /// to everybody and proves nothing.
    pub fn unprovisioned() -> Self {
        Self {
            device: DeviceId([0; 8]),
            credential: Credential([0; 32]),
            trusted: Table::default(),
        }
    }

    /// Whether the credential is a secret, so that records and acknowledgements under it prove
    /// something; a credential of zeros is none.
    pub fn is_provisioned(&self) -> bool {
        self.credential != Credential([0; 32])
    }

    /// Writes the block to the start of `page` and returns its length; the rest stays as it is.
    ///
    /// # Errors
    /// When `page` is shorter than the block; [`MAX_PROVISION_BYTES`] is always enough.
    pub fn encode(&self, page: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let too_small = BufferTooSmall { got: page.len() };
        let (head, rest) = page.split_at_mut_checked(HEAD_BYTES).ok_or(too_small)?;
        let content = Content {
            device: self.device,
            credential: self.credential.0,
            trusted: self.trusted,
        };
        let length = encode::into(rest, &content).map_err(|_| too_small)?;
        let (content, rest) = rest.split_at_mut(length);
        let crc = rest.first_chunk_mut::<CRC_BYTES>().ok_or(too_small)?;
        *crc = crc32(content).to_le_bytes();
        let fields = MAGIC.into_iter().chain((length as u32).to_le_bytes());
        head.iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = from);
        Ok(HEAD_BYTES + length + CRC_BYTES)
    }

    /// Reads the block at the start of `page`; what follows it is not looked at.
    ///
    /// # Errors
    /// [`ProvisionError`].
    pub fn parse(page: &[u8]) -> Result<Self, ProvisionError> {
        let rest = page.strip_prefix(&MAGIC).ok_or(ProvisionError::Missing)?;
        let content = checked(rest).ok_or(ProvisionError::Damaged)?;
        let content: Content = minicbor::decode(content).map_err(|_| ProvisionError::Damaged)?;
        Ok(Self {
            device: content.device,
            credential: Credential(content.credential),
            trusted: content.trusted,
        })
    }
}

/// The CBOR after the magic, if its checksum is right.
fn checked(rest: &[u8]) -> Option<&[u8]> {
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let crc = u32::from_le_bytes(*rest.first_chunk::<CRC_BYTES>()?);
    Some(content).filter(|content| crc32(content) == crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(keys: usize) -> (Provision, [u8; MAX_PROVISION_BYTES], usize) {
        let provision = Provision {
            device: DeviceId([1; 8]),
            credential: Credential([2; 32]),
            trusted: (0..keys).map(|key| PublicKey([key as u8; 32])).collect(),
        };
        let mut page = [0xff; MAX_PROVISION_BYTES];
        let length = provision.encode(&mut page).expect("fits");
        (provision, page, length)
    }

    #[test]
    fn the_longest_block_is_read_as_it_was_written() {
        let (provision, page, _) = block(MAX_TRUSTED_KEYS);
        assert_eq!(Provision::parse(&page), Ok(provision));
    }

    #[test]
    fn golden_block() {
        let (_, page, length) = block(1);
        assert_eq!(length, 98);
        assert_eq!(
            page[..25],
            *b"DUNLINP1\x52\0\0\0\xa3\0\x48\x01\x01\x01\x01\x01\x01\x01\x01\x01\x58"
        );
        assert_eq!(page[25..27], [32, 2]);
        assert_eq!(page[58..63], [2, 0x81, 0x58, 32, 0]);
        assert_eq!(page[94..98], GOLDEN_CRC);
    }

    #[test]
    fn erased_flash_is_missing_and_every_altered_bit_is_noticed() {
        assert_eq!(Provision::parse(&[0xff; 64]), Err(ProvisionError::Missing));
        let (_, page, length) = block(2);
        for bit in 0..8 * length {
            let mut altered = page;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Provision::parse(&altered).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_block_cut_anywhere_is_refused() {
        let (_, page, length) = block(2);
        assert!((0..length).all(|cut| Provision::parse(&page[..cut]).is_err()));
    }

    #[test]
    fn a_credential_of_zeros_is_none() {
        let (provision, ..) = block(1);
        assert!(provision.is_provisioned());
        assert!(!Provision::unprovisioned().is_provisioned());
        let known = Provision {
            credential: Credential([0; 32]),
            ..provision
        };
        assert!(!known.is_provisioned());
    }

    #[test]
    fn a_page_too_small_is_refused() {
        let (provision, _, length) = block(1);
        let mut page = [0; 98];
        assert_eq!(provision.encode(&mut page), Ok(length));
        assert_eq!(
            provision.encode(&mut page[..97]),
            Err(BufferTooSmall { got: 97 })
        );
    }

    const GOLDEN_CRC: [u8; 4] = [0xab, 0xff, 0x2b, 0x0b];
}
