//! The model's input channels and output labels: one section of a bundle.
//!
//! An input is `steps` time steps of `channels` values each, row-major (step, channel), in the
//! data's own units; a row of a table has one step. The device checks its samples against the same
//! schema that checked the training data.
//!
//! Decoding walks the section once, borrows all text from it and costs about 3 KiB of stack on
//! a 32-bit device. `FORMAT.md` holds the CDDL.
//!
//! # Example
//! ```
//! use dunlin_wire::schema::{Channel, ElementType, Schema};
//! let co2 = Channel { name: "co2", unit: "ppm", minimum: 0.0, maximum: 5000.0 };
//! let schema = Schema {
//!     steps: 1,
//!     element: ElementType::F32,
//!     sample_period_ms: 60_000,
//!     stuck_after: 30,
//!     channels: [co2].into_iter().collect(),
//!     labels: ["empty", "occupied"].into_iter().collect(),
//! };
//! let mut buffer = [0; 128];
//! let length = schema.encode(&mut buffer).unwrap();
//! assert_eq!(Schema::parse(&buffer[..length]), Ok(schema));
//! assert_eq!(schema.input_bytes(), 4);
//! ```
//!
//! # Architecture invariants
//! - A `Schema` that came from [`Schema::parse`] keeps every limit; nothing is clamped silently.
//! - Says what the input is, not how it is judged: reference distributions are [`crate::baseline`]'s.

use minicbor::{Decode, Encode};

use crate::limits::{MAX_CHANNELS, MAX_INPUT_ELEMENTS, MAX_LABELS, MAX_NAME_BYTES};
use crate::{BufferTooSmall, Table, encode, text};

/// How one value of an input or an output is stored, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct ElementType(#[n(0)] pub u8);

impl ElementType {
    /// IEEE 754 binary32, little-endian.
    pub const F32: Self = Self(1);
    /// Two's complement 32-bit integer, little-endian.
    pub const I32: Self = Self(2);

    /// Bytes of one value; `None` for a code unknown here.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::F32 | Self::I32 => Some(4),
            _ => None,
        }
    }
}

/// One value of every time step: what a sensor gives.
#[derive(Debug, Clone, Copy, PartialEq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Channel<'a> {
    /// 1 to [`MAX_NAME_BYTES`] bytes.
    #[n(0)]
    pub name: &'a str,
    /// Unit of the values; empty when they have none.
    #[n(1)]
    pub unit: &'a str,
    /// Smallest value that counts as in range, in the channel's unit; may be negative infinity.
    #[n(2)]
    pub minimum: f32,
    /// Largest value that counts as in range, in the channel's unit; may be infinity.
    #[n(3)]
    pub maximum: f32,
}

impl Channel<'_> {
    /// Whether `value` lies between `minimum` and `maximum`, both included. A NaN never does.
    pub fn contains(&self, value: f32) -> bool {
        self.minimum <= value && value <= self.maximum
    }
}

/// Shape and meaning of a model's input, and the names of its classes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Schema<'a> {
    /// Time steps of one input, at least 1.
    #[n(0)]
    pub steps: u32,
    /// How a value is stored in an input.
    #[n(1)]
    pub element: ElementType,
    /// Time from one input to the next; 0 when inputs come irregularly.
    #[n(2)]
    pub sample_period_ms: u64,
    /// After how many equal values in a row a channel counts as stuck; 0 for never.
    #[n(3)]
    pub stuck_after: u32,
    /// 1 to [`MAX_CHANNELS`] channels, in input order.
    #[cbor(n(4), borrow)]
    pub channels: Table<Channel<'a>, MAX_CHANNELS>,
    /// Names of the classes in class order, at most [`MAX_LABELS`]; empty for a model without classes.
    #[cbor(n(5), borrow)]
    pub labels: Table<&'a str, MAX_LABELS>,
}

impl<'a> Schema<'a> {
    /// Decodes a section and checks every limit.
    ///
    /// # Errors
    /// Each rule of the format has its variant in [`SchemaError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SchemaError> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let schema: Self = decoder.decode().map_err(|error| SchemaError::Malformed {
            position: error.position().unwrap_or(decoder.position()),
        })?;
        if decoder.position() != bytes.len() {
            return Err(SchemaError::TrailingBytes {
                position: decoder.position(),
            });
        }
        schema.check()?;
        Ok(schema)
    }

    /// Checks every limit of the format, as [`Schema::parse`] does.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), SchemaError> {
        if self.element != ElementType::F32 {
            return Err(SchemaError::UnsupportedElement { got: self.element });
        }
        let elements = (self.steps as u64).saturating_mul(self.channels.len() as u64);
        if !(1..=MAX_INPUT_ELEMENTS as u64).contains(&elements) {
            return Err(SchemaError::InputSize {
                steps: self.steps,
                channels: self.channels.len(),
            });
        }
        self.channels
            .iter()
            .enumerate()
            .try_for_each(|(index, channel)| check_channel(index, channel))?;
        match self.labels.iter().position(|label| !text::is_name(label)) {
            Some(index) => Err(SchemaError::LabelName { index }),
            None => Ok(()),
        }
    }

    /// Writes the section into `buffer` and returns its length in bytes. Limits are not checked.
    ///
    /// # Errors
    /// When `buffer` is too small; 1 KiB holds any schema of the format's limits with room to spare.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        encode::into(buffer, self)
    }

    /// Values of one input: steps × channels.
    pub fn input_elements(&self) -> usize {
        (self.steps as usize).saturating_mul(self.channels.len())
    }

    /// Bytes of one input.
    pub fn input_bytes(&self) -> usize {
        self.input_elements()
            .saturating_mul(self.element.bytes().unwrap_or(0))
    }
}

fn check_channel(index: usize, channel: &Channel<'_>) -> Result<(), SchemaError> {
    if !text::is_name(channel.name) || !text::is_printable(channel.unit) {
        return Err(SchemaError::ChannelName { index });
    }
    if channel.minimum <= channel.maximum {
        Ok(())
    } else {
        Err(SchemaError::ChannelRange { index })
    }
}

/// Why bytes are not a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaError {
    /// Not the CBOR that the format describes.
    Malformed {
        /// Byte within the section.
        position: usize,
    },
    /// More bytes after the schema.
    TrailingBytes {
        /// First byte too many, within the section.
        position: usize,
    },
    /// The input's element type is not one that an input may have.
    UnsupportedElement {
        /// The code found.
        got: ElementType,
    },
    /// Steps × channels is nothing, or more than [`MAX_INPUT_ELEMENTS`].
    InputSize {
        /// Steps found.
        steps: u32,
        /// Channels found.
        channels: usize,
    },
    /// A channel's name is empty, or its name or unit is too long or not printable.
    ChannelName {
        /// The channel.
        index: usize,
    },
    /// A channel's minimum lies above its maximum, or one of them is not a number.
    ChannelRange {
        /// The channel.
        index: usize,
    },
    /// A label is empty, too long or not printable.
    LabelName {
        /// The label's class.
        index: usize,
    },
}

impl core::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Malformed { position } => write!(
                f,
                "schema is not the expected CBOR at its byte {position}; package the bundle again"
            ),
            Self::TrailingBytes { position } => write!(
                f,
                "schema ends at its byte {position} but the section goes on; package the bundle again"
            ),
            Self::UnsupportedElement { got } => write!(
                f,
                "inputs of element type {} are not supported, expected 1 (f32)",
                got.0
            ),
            Self::InputSize { steps, channels } => write!(
                f,
                "an input of {steps} steps of {channels} channels, expected 1 to {MAX_INPUT_ELEMENTS} values in 1 to {MAX_CHANNELS} channels"
            ),
            Self::ChannelName { index } => write!(
                f,
                "channel {index}: expected a name of 1 to {MAX_NAME_BYTES} printable bytes and a unit of at most {MAX_NAME_BYTES}; shorten them in the recipe"
            ),
            Self::ChannelRange { index } => {
                write!(
                    f,
                    "channel {index}: expected minimum <= maximum; correct the range in the recipe"
                )
            }
            Self::LabelName { index } => write!(
                f,
                "label {index}: expected 1 to {MAX_NAME_BYTES} printable bytes; rename it in the recipe"
            ),
        }
    }
}

impl core::error::Error for SchemaError {}
