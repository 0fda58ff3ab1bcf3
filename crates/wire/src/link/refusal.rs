//! Why a device did not do what it was asked.

use minicbor::{Decode, Encode};

/// A refusal as it travels: a code that may be newer than this build, and two numbers whose meaning
/// the code gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Refusal {
    /// A [`Reason`], or a code of a later version.
    #[n(0)]
    pub code: u16,
    /// What would have been needed, or which thing is meant; 0 where the reason has none.
    #[n(1)]
    pub needed: u32,
    /// What there was instead; 0 where the reason has none.
    #[n(2)]
    pub got: u32,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// The reasons this version knows; the comments say what `needed` and `got` are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name = $code,)*
        }

        impl Reason {
            /// Every reason, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The request's code is not known: `got`.
    UnknownRequest = 1, "does not know request {got}";
    /// The message could not be read from byte `got` on.
    MalformedRequest = 2, "could not read the request from byte {got} on";
    /// No bundle runs.
    NoBundle = 3, "runs no bundle";
    /// The flash memory refused to be read, written or erased.
    StorageFailed = 4, "could not read or write its flash memory";
    /// An input has `got` bytes where the model takes `needed`.
    InputSize = 5, "takes inputs of {needed} bytes, not {got}";
    /// The engine refused to run the plan.
    RunFailed = 6, "could not run the model";
    /// A reply would have been longer than `needed` bytes.
    ReplyTooLong = 7, "has a reply that is longer than {needed} bytes";

    /// The bundle has `got` bytes, a slot `needed`.
    BundleTooLong = 16, "has slots of {needed} bytes, the bundle has {got}";
    /// Bytes came, or activation was asked for, with no bundle announced since the device took up the
    /// one that runs.
    NoTransfer = 17, "was not told which bundle comes";
    /// A chunk starts at `got`, the device holds `needed`.
    WrongOffset = 18, "holds {needed} bytes, the chunk starts at {got}";
    /// The device holds `got` of `needed` bytes.
    Incomplete = 19, "holds {got} of the bundle's {needed} bytes";
    /// A chunk reaches to byte `got`, the bundle was announced with `needed`.
    PastTheEnd = 20, "was told of {needed} bytes, the chunk reaches to {got}";

    /// Not a bundle at all.
    NotABundle = 32, "was given something that is not a bundle";
    /// The bundle says `needed` bytes and has `got`.
    Truncated = 33, "was given {got} of {needed} bytes";
    /// The manifest has `got` bytes, more than the `needed` allowed.
    ManifestTooLong = 34, "takes manifests of up to {needed} bytes, not {got}";
    /// The bundle cannot be read from byte `got` on.
    MalformedBundle = 35, "cannot read the bundle from byte {got} on";
    /// The bundle has format `got`.
    UnsupportedFormat = 36, "does not know bundle format {got}";
    /// Signed with a key the device does not trust.
    UnknownKey = 37, "does not trust the key that signed the bundle";
    /// The signature is not one of the signed bytes.
    BadSignature = 38, "found the signature wrong";
    /// Section kind `got` reaches outside the bundle.
    SectionOutOfBounds = 39, "found section {got} outside the bundle";
    /// Section kind `got` does not have its hash.
    SectionHashMismatch = 40, "found section {got} altered";
    /// Section kind `needed` is missing.
    MissingSection = 41, "misses section {needed}";
    /// The bundle breaks another rule of its format.
    BadBundle = 42, "found the bundle to break its format";
    /// The bundle says `needed` bytes and has `got`.
    TrailingBytes = 43, "was given {got} bytes of a bundle of {needed}";
    /// Not signed with EdDSA and an 8-byte key id.
    UnsupportedSignature = 44, "does not know how the bundle is signed";
    /// A name in the manifest is empty, too long or not printable.
    UnfitName = 45, "found a name in the manifest that is none";
    /// Section kind `got` does not start at byte `needed`, where it must.
    SectionMisplaced = 46, "found section {got} elsewhere than at byte {needed}";
    /// Two sections of kind `got`.
    DuplicateSection = 47, "found section {got} twice";

    /// The bundle has version `got`, version `needed` was activated before.
    OlderVersion = 48, "has run version {needed} and takes no older one, the bundle has {got}: raise `version` in the recipe above {needed} and package again";
    /// Made for another target.
    WrongTarget = 49, "is not the target the bundle was made for";
    /// Kernel `needed` is not in the firmware.
    MissingKernel = 50, "has no kernel {needed}";
    /// The plan needs `needed` bytes of arena, the device has `got`.
    ArenaTooSmall = 51, "has an arena of {got} bytes, the plan needs {needed}";
    /// The plan needs `needed` bytes of stack, the device has `got`.
    StackTooSmall = 52, "has {got} bytes of stack, the plan needs {needed}";
    /// The firmware knows plan format `needed`, the bundle has `got`.
    UnsupportedPlan = 53, "knows plan format {needed}, not {got}";
    /// The plan was refused by the engine; `got` is the engine's own code.
    BadPlan = 54, "refused the plan";
    /// The schema section cannot be used.
    BadSchema = 55, "refused the schema";
    /// The baseline section cannot be used.
    BadBaseline = 56, "refused the baseline";
    /// The golden vectors cannot be read.
    BadGolden = 57, "could not read the golden vectors";
    /// Golden vector `got` did not give the bytes it must.
    SelfTestFailed = 58, "got another result for golden vector {got}";
    /// The plan has `got` input values, the schema `needed`.
    InputMismatch = 59, "found a schema of {needed} values and a plan of {got}";
    /// The sensor has `needed` channels, the schema `got`.
    ChannelMismatch = 60, "has a sensor of {needed} channels, the bundle wants {got}";
    /// The plan's weights are packed for another kernel class.
    WrongKernelClass = 61, "has other kernels than the plan was packed for";
    /// An input has `got` values, the device can keep `needed`.
    InputTooLong = 62, "keeps inputs of up to {needed} values, the bundle has {got}";
    /// The outputs have `got` bytes, the device can keep `needed`.
    OutputTooLong = 63, "keeps outputs of up to {needed} bytes, the bundle has {got}";

    /// The acknowledgement's tag is not the one this device's credential gives.
    BadTag = 64, "does not believe the acknowledgement";
    /// `got` is above the newest record's sequence number, `needed`.
    NotStored = 65, "has no record {got}, the newest is {needed}";

    /// Another bundle of version `needed` was activated before; the bundle has the same, `got`.
    VersionTaken = 80, "has run another bundle of version {needed} already: raise `version` in the recipe above {needed} and package again";
    /// The bundle that comes has another digest than the one announced.
    OtherBundle = 81, "was told of another bundle than the one that comes";
    /// `needed` transfers were begun since the last start or activation, and that many are taken.
    TooManyTransfers = 82, "has begun {needed} transfers and none led to an activation: restart it to go on";

    /// The device has no identity of its own, and its credential is known to everybody.
    Unprovisioned = 96, "was never provisioned, so its records would prove nothing: flash it with an identity of its own";
    /// A flash region has `got` bytes, `needed` are needed.
    RegionTooSmall = 97, "has a flash region of {got} bytes where {needed} are needed: its firmware must give it more";
}

impl Refusal {
    /// A refusal whose reason needs no numbers.
    pub const fn new(reason: Reason) -> Self {
        Self::with(reason, 0, 0)
    }

    /// A refusal with its numbers.
    pub const fn with(reason: Reason, needed: u32, got: u32) -> Self {
        Self {
            code: reason as u16,
            needed,
            got,
        }
    }

    /// The reason, or `None` for a code of a later version.
    pub fn reason(&self) -> Option<Reason> {
        Reason::ALL
            .iter()
            .copied()
            .find(|&reason| reason as u16 == self.code)
    }
}

impl core::fmt::Display for Refusal {
    /// A sentence that starts with "the device".
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Some(reason) = self.reason() else {
            return write!(
                f,
                "the device refused with code {} ({}, {})",
                self.code, self.needed, self.got
            );
        };
        f.write_str("the device ")?;
        let mut rest = reason.text();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').unwrap_or((after, ""));
            write!(
                f,
                "{before}{}",
                if name == "needed" {
                    self.needed
                } else {
                    self.got
                }
            )?;
            rest = tail;
        }
        f.write_str(rest)
    }
}

impl core::error::Error for Refusal {}
