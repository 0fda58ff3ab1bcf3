//! COSE_Sign1 (RFC 9052) with EdDSA over Ed25519, in the one shape that a bundle uses.
//!
//! ```text
//! 18([ protected: << {1: -8, 4: key id} >>, unprotected: {}, payload, signature: 64 bytes ])
//! ```
//!
//! Only this shape in its shortest encoding is read, so that every byte is either signed or fixed,
//! and one signed manifest has one identity.

use minicbor::decode::{Decoder, Error};
use minicbor::encode::write::Cursor;
use minicbor::encode::{Encoder, Write};

use super::BundleError;
use crate::{KeyId, PublicKey};

/// An Ed25519 signature, as RFC 8032 encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

const TAG_SIGN1: u64 = 18;
/// `{1: -8, 4: h'…8 bytes…'}`: algorithm EdDSA, then the key id.
const PROTECTED_START: [u8; 5] = [0xa2, 0x01, 0x27, 0x04, 0x48];
const PROTECTED_BYTES: usize = PROTECTED_START.len() + 8;
/// Tag, array of four, protected header with its head, empty map.
const PAYLOAD_HEAD_AT: usize = 1 + 1 + 1 + PROTECTED_BYTES + 1;
/// Two bytes of head, then the signature.
const SIGNATURE_ITEM_BYTES: usize = 2 + 64;

/// A COSE_Sign1 taken apart; nothing in it is verified yet.
pub(super) struct Sign1<'a> {
    pub key: KeyId,
    pub payload: &'a [u8],
    /// Where the payload starts within the COSE_Sign1.
    pub payload_at: usize,
    protected: &'a [u8],
    signature: Signature,
}

impl<'a> Sign1<'a> {
    /// Takes `bytes` apart, which start at byte `origin` of the bundle.
    pub(super) fn parse(bytes: &'a [u8], origin: usize) -> Result<Self, BundleError> {
        let malformed = |position| BundleError::Malformed {
            position: origin + position,
        };
        let mut decoder = Decoder::new(bytes);
        let [protected, payload, signature] = items(&mut decoder)
            .map_err(|error| malformed(error.position().unwrap_or(decoder.position())))?;
        let shortest =
            PAYLOAD_HEAD_AT + head_bytes(payload.len()) + payload.len() + SIGNATURE_ITEM_BYTES;
        if decoder.position() != bytes.len() || bytes.len() != shortest {
            return Err(malformed(decoder.position()));
        }
        let key = protected
            .strip_prefix(&PROTECTED_START)
            .and_then(|id| id.try_into().ok());
        let key = KeyId(key.ok_or(BundleError::UnsupportedSignature)?);
        let signature = Signature(
            signature
                .try_into()
                .map_err(|_| malformed(decoder.position()))?,
        );
        Ok(Self {
            key,
            payload,
            payload_at: bytes.len() - SIGNATURE_ITEM_BYTES - payload.len(),
            protected,
            signature,
        })
    }

    /// Checks the signature against the trusted key that it names.
    pub(super) fn verify(&self, trusted: &[PublicKey]) -> Result<(), BundleError> {
        let unknown = BundleError::UnknownKey { key: self.key };
        let named = trusted
            .iter()
            .find(|candidate| candidate.id() == self.key)
            .ok_or(unknown)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&named.0).map_err(|_| unknown)?;
        if key.is_weak() {
            return Err(unknown);
        }
        let mut verifier = key
            .verify_stream(&ed25519_dalek::Signature::from_bytes(&self.signature.0))
            .map_err(|_| BundleError::BadSignature)?;
        to_be_signed(self.protected, self.payload, |part| verifier.update(part));
        verifier
            .finalize_and_verify()
            .map_err(|_| BundleError::BadSignature)
    }
}

fn items<'a>(decoder: &mut Decoder<'a>) -> Result<[&'a [u8]; 3], Error> {
    let position = decoder.position();
    let unexpected = |what| Error::message(what).at(position);
    if decoder.tag()?.as_u64() != TAG_SIGN1 {
        return Err(unexpected("expected tag 18"));
    }
    if decoder.array()? != Some(4) {
        return Err(unexpected("expected four items"));
    }
    let protected = decoder.bytes()?;
    if decoder.map()? != Some(0) {
        return Err(unexpected("expected no unprotected header"));
    }
    Ok([protected, decoder.bytes()?, decoder.bytes()?])
}

/// Gives `sink` the bytes that are signed, piece by piece: the Sig_structure of RFC 9052, 4.4,
/// without external data.
fn to_be_signed(protected: &[u8], payload: &[u8], mut sink: impl FnMut(&[u8])) {
    sink(&[0x84, 0x6a]);
    sink(b"Signature1");
    byte_string(protected, &mut sink);
    byte_string(&[], &mut sink);
    byte_string(payload, &mut sink);
}

fn byte_string(bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
    let mut head = [0; 9];
    let length = head_bytes(bytes.len());
    let mut encoder = Encoder::new(Cursor::new(head.as_mut_slice()));
    let _ = encoder.bytes_len(bytes.len() as u64);
    sink(head.get(..length).unwrap_or_default());
    sink(bytes);
}

/// Bytes of the head of a string of `length` bytes, in its shortest form.
const fn head_bytes(length: usize) -> usize {
    match length {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        _ => 5,
    }
}

/// Bytes of the COSE_Sign1 over a payload of `payload_bytes`.
pub(super) const fn encoded_bytes(payload_bytes: usize) -> usize {
    PAYLOAD_HEAD_AT + head_bytes(payload_bytes) + payload_bytes + SIGNATURE_ITEM_BYTES
}

/// What is to be signed, and the name of the key that will.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned<'a> {
    pub payload: &'a [u8],
    pub key: KeyId,
}

/// Writes the COSE_Sign1 over a payload into `out`, which must have [`encoded_bytes`] bytes.
/// `scratch` takes the bytes to sign: a little more than the payload.
pub(super) fn sign(
    Unsigned { payload, key }: Unsigned<'_>,
    out: &mut [u8],
    scratch: &mut [u8],
    signer: impl FnOnce(&[u8]) -> Signature,
) -> Option<()> {
    let mut protected = [0; PROTECTED_BYTES];
    let (start, id) = protected.split_at_mut(PROTECTED_START.len());
    start.copy_from_slice(&PROTECTED_START);
    id.copy_from_slice(&key.0);

    let mut cursor = Cursor::new(scratch);
    let mut complete = true;
    to_be_signed(&protected, payload, |part| {
        complete &= cursor.write_all(part).is_ok()
    });
    let length = cursor.position();
    let signature = signer(cursor.into_inner().get(..length).filter(|_| complete)?);

    let mut encoder = Encoder::new(Cursor::new(out));
    encoder
        .tag(minicbor::data::Tag::new(TAG_SIGN1))
        .ok()?
        .array(4)
        .ok()?;
    encoder
        .bytes(&protected)
        .ok()?
        .map(0)
        .ok()?
        .bytes(payload)
        .ok()?
        .bytes(&signature.0)
        .ok()?;
    Some(())
}
