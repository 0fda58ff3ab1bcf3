//! What was not taken in, and why.

use std::fmt;

use dunlin_wire::DeviceId;
use dunlin_wire::record::{Header, RecordError};

/// Something that was not taken in. It changed nothing but a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The device concerned, as far as one was named; a name alone proves nothing.
    pub device: Option<DeviceId>,
    /// The start that the record says it is of, where that could be read.
    pub boot: Option<u32>,
    /// The sequence number that the record says it has, where that could be read.
    pub sequence: Option<u32>,
    /// Why.
    pub reason: RefusalReason,
}

/// Why something was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The device is not in the devices file.
    Stranger,
    /// The tag is not the one this device's credential makes.
    BadTag,
    /// The bytes are not a record.
    Malformed {
        /// Where the decoder stopped.
        position: usize,
    },
    /// The record is longer than any may be.
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The record is another device's than the one that sent it.
    WrongSender {
        /// Who sent it.
        sender: DeviceId,
    },
    /// A client was not let into the broker.
    Login,
}

impl RefusalReason {
    /// The reason without its numbers, as it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::BadTag => "bad tag",
            Self::Malformed { .. } => "malformed",
            Self::TooLong { .. } => "too long",
            Self::WrongSender { .. } => "wrong sender",
            Self::Login => "login",
        }
    }
}

impl Refusal {
    pub(crate) fn of(header: &Header, reason: RefusalReason) -> Self {
        Self {
            device: Some(header.device),
            boot: Some(header.boot),
            sequence: Some(header.sequence),
            reason,
        }
    }

    pub(crate) fn unread(device: Option<DeviceId>, reason: RefusalReason) -> Self {
        Self {
            device,
            boot: None,
            sequence: None,
            reason,
        }
    }

    /// A login under `user`, which is kept only when it looks like a device's.
    pub(crate) fn at_login(user: &str) -> Self {
        Self::unread(user.parse().ok(), RefusalReason::Login)
    }
}

impl From<RecordError> for RefusalReason {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::TooLong { got } => Self::TooLong { got },
            RecordError::Malformed { position } => Self::Malformed { position },
            RecordError::WrongKind { .. } => Self::Malformed { position: 0 },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sequence {
            Some(sequence) => write!(f, "record {sequence}")?,
            None if self.reason == RefusalReason::Login => write!(f, "login")?,
            None => write!(f, "a record")?,
        }
        match self.device {
            Some(device) => write!(f, " of {device}: ")?,
            None => write!(f, ": ")?,
        }
        match self.reason {
            RefusalReason::Stranger => write!(f, "no such device in the devices file"),
            RefusalReason::BadTag => write!(f, "its tag is not the one this device makes"),
            RefusalReason::Malformed { position } => {
                write!(f, "not a record, at its byte {position}")
            }
            RefusalReason::TooLong { got } => {
                write!(f, "{got} bytes are more than a record may have")
            }
            RefusalReason::WrongSender { sender } => write!(f, "was sent by {sender}"),
            RefusalReason::Login => write!(f, "not a known device with its password"),
        }
    }
}
