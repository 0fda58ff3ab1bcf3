//! [`ActivateError`] in words, and as it travels.

use crate::admit::ActivateError;
use crate::flash::FlashFault;
use crate::records::RecordFault;
use crate::slot::TransferError;
use dunlin_wire::bundle::BundleError;
use dunlin_wire::link::{Reason, Refusal};

impl ActivateError {
    /// The refusal that goes over the link: the reason and its two numbers.
    pub fn refusal(&self) -> Refusal {
        let (reason, needed, got) = match *self {
            Self::NoTransfer => (Reason::NoTransfer, 0, 0),
            Self::Incomplete { needed, got } => (Reason::Incomplete, needed as usize, got as usize),
            Self::Bundle(error) => bundle_reason(error),
            Self::OlderVersion { held, offered } => {
                (Reason::OlderVersion, held as usize, offered as usize)
            }
            Self::VersionTaken { held, offered } => {
                (Reason::VersionTaken, held as usize, offered as usize)
            }
            Self::OtherBundle => (Reason::OtherBundle, 0, 0),
            Self::WrongTarget => (Reason::WrongTarget, 0, 0),
            Self::WrongKernelClass => (Reason::WrongKernelClass, 0, 0),
            Self::MissingSection { kind } => (Reason::MissingSection, kind.0.into(), 0),
            Self::UnsupportedPlan { known, got } => {
                (Reason::UnsupportedPlan, known as usize, got as usize)
            }
            Self::MissingKernel { kernel } => (Reason::MissingKernel, kernel as usize, 0),
            Self::ArenaTooSmall { needed, got } => (Reason::ArenaTooSmall, needed, got),
            Self::StackTooSmall { needed, got } => (Reason::StackTooSmall, needed, got),
            Self::Plan(_) => (Reason::BadPlan, 0, 0),
            Self::Backend { code } => (Reason::BadPlan, 0, code as usize),
            Self::Schema(_) => (Reason::BadSchema, 0, 0),
            Self::Baseline(_) | Self::Monitor(_) => (Reason::BadBaseline, 0, 0),
            Self::Golden(_) => (Reason::BadGolden, 0, 0),
            Self::InputMismatch { schema, model } => (Reason::InputMismatch, schema, model),
            Self::InputTooLong { limit, got } => (Reason::InputTooLong, limit, got),
            Self::OutputTooLong { limit, got } => (Reason::OutputTooLong, limit, got),
            Self::ChannelMismatch { sensor, schema } => (Reason::ChannelMismatch, sensor, schema),
            Self::SelfTestFailed { vector } => (Reason::SelfTestFailed, 0, vector),
            Self::Flash(_) => (Reason::StorageFailed, 0, 0),
        };
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Refusal::with(reason, number(needed), number(got))
    }
}

impl From<ActivateError> for Refusal {
    fn from(error: ActivateError) -> Self {
        error.refusal()
    }
}

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        let (reason, needed, got) = match error {
            TransferError::BundleTooLong { limit, got } => (Reason::BundleTooLong, limit, got),
            TransferError::NoTransfer => (Reason::NoTransfer, 0, 0),
            TransferError::TooManyTransfers { limit } => (Reason::TooManyTransfers, limit, 0),
            TransferError::WrongOffset { held, got } => (Reason::WrongOffset, held, got),
            TransferError::PastTheEnd { total, got } => (Reason::PastTheEnd, total, got),
            TransferError::Incomplete { total, held } => (Reason::Incomplete, total, held),
            TransferError::Flash(_) => (Reason::StorageFailed, 0, 0),
        };
        Self::with(reason, needed, got)
    }
}

impl From<FlashFault> for Refusal {
    fn from(fault: FlashFault) -> Self {
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        match fault {
            FlashFault::TooSmall { needed, got } => {
                Self::with(Reason::RegionTooSmall, number(needed), number(got))
            }
            _ => Self::new(Reason::StorageFailed),
        }
    }
}

impl From<RecordFault> for Refusal {
    fn from(fault: RecordFault) -> Self {
        match fault {
            RecordFault::Unprovisioned => Self::new(Reason::Unprovisioned),
            RecordFault::Flash(fault) => fault.into(),
        }
    }
}

fn bundle_reason(error: BundleError) -> (Reason, usize, usize) {
    match error {
        BundleError::NotABundle => (Reason::NotABundle, 0, 0),
        BundleError::Truncated { needed, got } => (Reason::Truncated, needed, got),
        BundleError::TrailingBytes { expected, got } => (Reason::TrailingBytes, expected, got),
        BundleError::ManifestTooLarge { got } => (
            Reason::ManifestTooLong,
            dunlin_wire::limits::MAX_MANIFEST_BYTES,
            got,
        ),
        BundleError::Malformed { position }
        | BundleError::UnclaimedBytes { position }
        | BundleError::PaddingNotZero { position } => (Reason::MalformedBundle, 0, position),
        BundleError::UnsupportedSignature => (Reason::UnsupportedSignature, 0, 0),
        BundleError::UnknownKey { .. } => (Reason::UnknownKey, 0, 0),
        BundleError::BadSignature => (Reason::BadSignature, 0, 0),
        BundleError::UnsupportedFormat { got } => (Reason::UnsupportedFormat, 0, got as usize),
        BundleError::UnfitName { length, .. } => (Reason::UnfitName, 0, length),
        BundleError::SectionMisplaced { kind, expected, .. } => {
            (Reason::SectionMisplaced, expected, kind.0.into())
        }
        BundleError::SectionOutOfBounds { kind } => (Reason::SectionOutOfBounds, 0, kind.0.into()),
        BundleError::DuplicateSection { kind } => (Reason::DuplicateSection, 0, kind.0.into()),
        BundleError::SectionHashMismatch { kind } => {
            (Reason::SectionHashMismatch, 0, kind.0.into())
        }
        BundleError::MissingSection { kind } => (Reason::MissingSection, kind.0.into(), 0),
        BundleError::Schema(_) => (Reason::BadSchema, 0, 0),
        BundleError::Golden(_) => (Reason::BadGolden, 0, 0),
        _ => (Reason::BadBundle, 0, 0),
    }
}

impl core::fmt::Display for ActivateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bundle(error) => error.fmt(f),
            Self::Plan(error) => error.fmt(f),
            Self::Schema(error) => error.fmt(f),
            Self::Baseline(error) => error.fmt(f),
            Self::Monitor(error) => error.fmt(f),
            Self::Golden(error) => error.fmt(f),
            Self::Flash(error) => error.fmt(f),
            other => other.refusal().fmt(f),
        }
    }
}

impl core::error::Error for ActivateError {}
