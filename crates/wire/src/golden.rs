//! Golden vectors: inputs and the exact outputs a device must reproduce before it activates a bundle.
//!
//! The section holds the element type of each model output, a tolerance, and for every vector the
//! input's bytes and each output's bytes. Plans are held to the same bytes (tolerance 0); an ONNX
//! model that runs through another library's float kernels may state a tolerance.
//!
//! Decoding walks the section once and checks all of it; iterating afterwards decodes one vector at
//! a time in place. Nothing is copied. `FORMAT.md` holds the CDDL.
//!
//! # Example
//! ```
//! use dunlin_wire::golden::{Golden, GoldenDraft, Vector};
//! use dunlin_wire::schema::ElementType;
//! let label = 1_i32.to_le_bytes();
//! let vectors = [Vector { input: &[0; 8], outputs: [&label[..]].into_iter().collect() }];
//! let draft = GoldenDraft { tolerance: 0.0, elements: &[ElementType::I32], vectors: &vectors };
//! let mut buffer = [0; 64];
//! let length = draft.encode(&mut buffer).unwrap();
//!
//! let golden = Golden::parse(&buffer[..length]).unwrap();
//! for vector in golden.vectors() {
//!     let got = label; // run the model on `vector.input`
//!     assert!(vector.outputs.iter().enumerate().all(|(index, expected)| golden.accepts(index, expected, &got)));
//! }
//! ```
//!
//! # Architecture invariants
//! - Knows nothing of plans or ONNX: outputs are bytes with an element type.
//! - At least one vector: an empty section would let any model pass.

use minicbor::Encode;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self as cbor, Encoder, Write};

use crate::limits::{MAX_GOLDEN_VECTORS, MAX_OUTPUTS};
use crate::schema::ElementType;
use crate::{BufferTooSmall, Table, encode};

/// One input and what the model must answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vector<'a> {
    /// The input's bytes, as they are put into the model.
    pub input: &'a [u8],
    /// The bytes of each output, in the model's order.
    pub outputs: Table<&'a [u8], MAX_OUTPUTS>,
}

impl<C> Encode<C> for Vector<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), cbor::Error<W::Error>> {
        e.map(2)?
            .u8(0)?
            .bytes(self.input)?
            .u8(1)?
            .array(self.outputs.len() as u64)?;
        self.outputs
            .iter()
            .try_for_each(|output| e.bytes(output).map(|_| ()))
    }
}

/// What a golden section is made of, before it is bytes.
#[derive(Debug, Clone, Copy, Encode)]
#[cbor(map)]
pub struct GoldenDraft<'a> {
    /// Largest accepted absolute difference of an [`ElementType::F32`] output; 0 for the same bytes.
    #[n(0)]
    pub tolerance: f32,
    /// Element type of each output.
    #[n(1)]
    pub elements: &'a [ElementType],
    /// The vectors, all of one shape.
    #[n(2)]
    pub vectors: &'a [Vector<'a>],
}

impl GoldenDraft<'_> {
    /// Writes the section into `buffer` and returns its length in bytes. Limits are not checked.
    ///
    /// # Errors
    /// When `buffer` is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        encode::into(buffer, self)
    }
}

/// A checked view of a golden section.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Golden<'a> {
    tolerance: f32,
    elements: Table<ElementType, MAX_OUTPUTS>,
    vectors: &'a [u8],
    count: usize,
}

impl<'a> Golden<'a> {
    /// Walks a section and checks every limit and every length.
    ///
    /// # Errors
    /// Each rule of the format has its variant in [`GoldenError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GoldenError> {
        let mut decoder = Decoder::new(bytes);
        let golden = Self::decode(&mut decoder, bytes).map_err(|error| GoldenError::Malformed {
            position: error.position().unwrap_or(decoder.position()),
        })?;
        if decoder.position() != bytes.len() {
            return Err(GoldenError::TrailingBytes {
                position: decoder.position(),
            });
        }
        golden.check()?;
        Ok(golden)
    }

    /// Decodes the three keys, in any order, and passes over unknown ones.
    fn decode(decoder: &mut Decoder<'a>, bytes: &'a [u8]) -> Result<Self, decode::Error> {
        let mut golden = Self::default();
        for _ in 0..definite(decoder.map()?)? {
            match decoder.u32()? {
                0 => golden.tolerance = decoder.f32()?,
                1 => golden.elements = decoder.decode()?,
                2 => {
                    golden.count = definite(decoder.array()?)?;
                    let start = decoder.position();
                    for _ in 0..golden.count {
                        decode_vector(decoder)?;
                    }
                    golden.vectors = bytes.get(start..decoder.position()).unwrap_or_default();
                }
                _ => decoder.skip()?,
            }
        }
        Ok(golden)
    }

    fn check(&self) -> Result<(), GoldenError> {
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return Err(GoldenError::Tolerance);
        }
        if !(1..=MAX_GOLDEN_VECTORS).contains(&self.count) {
            return Err(GoldenError::VectorCount { got: self.count });
        }
        if let Some(&got) = self
            .elements
            .iter()
            .find(|element| element.bytes().is_none())
        {
            return Err(GoldenError::UnsupportedElement { got });
        }
        let input_bytes = self.vectors().next().map_or(0, |vector| vector.input.len());
        match self
            .vectors()
            .position(|vector| vector.input.len() != input_bytes || !self.shapes(&vector))
        {
            Some(vector) => Err(GoldenError::Shape { vector }),
            None => Ok(()),
        }
    }

    fn shapes(&self, vector: &Vector<'a>) -> bool {
        let whole = |(output, element): (&&[u8], &ElementType)| {
            !output.is_empty()
                && element
                    .bytes()
                    .is_some_and(|size| output.len().is_multiple_of(size))
        };
        !vector.input.is_empty()
            && !self.elements.is_empty()
            && vector.outputs.len() == self.elements.len()
            && vector.outputs.iter().zip(self.elements.iter()).all(whole)
    }

    /// The vectors, in order; at least one. Decodes each in place as it goes.
    pub fn vectors(&self) -> impl Iterator<Item = Vector<'a>> + use<'a> {
        let mut decoder = Decoder::new(self.vectors);
        (0..self.count).map_while(move |_| decode_vector(&mut decoder).ok())
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never true of a parsed section.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Element type of each output.
    pub fn elements(&self) -> &[ElementType] {
        &self.elements
    }

    /// Largest accepted absolute difference of a float output; 0 for the same bytes.
    pub fn tolerance(&self) -> f32 {
        self.tolerance
    }

    /// Whether `got` is an acceptable answer where output number `output` should be `expected`:
    /// the same bytes, or for floats with a tolerance, every value within it. A NaN is only
    /// acceptable where the same NaN is expected.
    pub fn accepts(&self, output: usize, expected: &[u8], got: &[u8]) -> bool {
        expected == got
            || (self.elements.get(output) == Some(&ElementType::F32)
                && expected.len() == got.len()
                && floats(expected).zip(floats(got)).all(|(a, b)| {
                    let difference = a - b;
                    a.to_bits() == b.to_bits()
                        || (-self.tolerance..=self.tolerance).contains(&difference)
                }))
    }
}

/// Little-endian binary32 values of `bytes`; a rest of fewer than four bytes is left out.
fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes
        .chunks_exact(4)
        .map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap_or_default()))
}

fn decode_vector<'a>(decoder: &mut Decoder<'a>) -> Result<Vector<'a>, decode::Error> {
    let mut vector = Vector::default();
    for _ in 0..definite(decoder.map()?)? {
        match decoder.u32()? {
            0 => vector.input = decoder.bytes()?,
            1 => {
                vector.outputs = Table::default();
                for _ in 0..definite(decoder.array()?)? {
                    let output = decoder.bytes()?;
                    vector
                        .outputs
                        .push(output)
                        .map_err(|_| decode::Error::message("too many outputs"))?;
                }
            }
            _ => decoder.skip()?,
        }
    }
    Ok(vector)
}

fn definite(length: Option<u64>) -> Result<usize, decode::Error> {
    length
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| decode::Error::message("indefinite length"))
}

/// Why bytes are not a golden section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoldenError {
    /// Not the CBOR that the format describes, or more than [`MAX_OUTPUTS`] outputs.
    Malformed {
        /// Byte within the section.
        position: usize,
    },
    /// More bytes after the section's content.
    TrailingBytes {
        /// First byte too many, within the section.
        position: usize,
    },
    /// The tolerance is negative, infinite or not a number.
    Tolerance,
    /// No vector, or more than [`MAX_GOLDEN_VECTORS`].
    VectorCount {
        /// Vectors found.
        got: usize,
    },
    /// An output has an element type unknown here.
    UnsupportedElement {
        /// The code found.
        got: ElementType,
    },
    /// A vector's input differs in length from the first, or its outputs do not fit the element types.
    Shape {
        /// The vector's number, from 0.
        vector: usize,
    },
}

impl core::fmt::Display for GoldenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Malformed { position } => {
                write!(
                    f,
                    "golden vectors are not the expected CBOR at byte {position}; package the bundle again"
                )
            }
            Self::TrailingBytes { position } => {
                write!(
                    f,
                    "golden vectors end at byte {position} but the section goes on; package the bundle again"
                )
            }
            Self::Tolerance => {
                f.write_str("the golden vectors' tolerance must be a finite number from 0")
            }
            Self::VectorCount { got } => {
                write!(
                    f,
                    "{got} golden vectors, expected 1 to {MAX_GOLDEN_VECTORS}"
                )
            }
            Self::UnsupportedElement { got } => {
                write!(
                    f,
                    "golden outputs of element type {} are not known here; update this software",
                    got.0
                )
            }
            Self::Shape { vector } => write!(
                f,
                "golden vector {vector} has an input or outputs of another shape than the section states; package the bundle again"
            ),
        }
    }
}

impl core::error::Error for GoldenError {}
