//! A bundle around an ONNX file, for `--model`.
//!
//! A file on the command line has no schema, no reference distribution and no signature. The agent
//! derives a schema from the model, counts with bins that fit any scale and judges nothing, and
//! signs the bundle with a key that it draws for this one start and forgets. So the model runs and
//! is watched like any other; drift needs a bundle made by `dunlin package`.
//!
//! | the model says (metadata) | becomes | where it says nothing |
//! |---|---|---|
//! | `channels`, JSON list of names | channels | `x0`, `x1`, … up to 16 values; one channel `x` of as many steps beyond |
//! | `units`, JSON list | units | none |
//! | `labels`, JSON list | labels | `0`, `1`, …; none beyond 16 classes |

use dunlin_wire::baseline::{
    ChannelReference, EDGES, FalseAlarms, MAX_BASELINE_BYTES, Reference, Statistic,
};
use dunlin_wire::bundle::{
    AssembleError, Draft, Provenance, Requirements, SectionDraft, SectionKind, Signature, assemble,
    assembled_bytes,
};
use dunlin_wire::golden::{GoldenDraft, Vector};
use dunlin_wire::limits::{BINS, MAX_CHANNELS, MAX_LABELS, MAX_NAME_BYTES};
use dunlin_wire::schema::{Channel, ElementType, Schema};
use dunlin_wire::{BufferTooSmall, Digest, PublicKey};
use ed25519_dalek::{Signer, SigningKey};

use crate::backend::{onnx_output_bytes, run_onnx};
use crate::onnx::{OnnxError, OnnxModel};

/// Upper ends of bins for a value of which nothing is known: decades around zero.
const DECADES: [f32; EDGES] = [
    -1e6, -1e4, -1e3, -1e2, -10.0, -1.0, -0.1, 0.0, 0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e6,
];
/// Monitoring window of a model that came without one.
pub const WINDOW_MS: u64 = 3_600_000;

/// A bundle and the only key that vouches for it.
pub(crate) struct BareBundle {
    pub bytes: Vec<u8>,
    pub key: PublicKey,
}

/// No bundle can be made of the model.
#[derive(Debug, thiserror::Error)]
pub enum BareModelError {
    /// The model cannot be run.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// It does not even run on zeros.
    #[error("the model fails on an input of zeros")]
    Zeros,
    /// The bundle's parts do not fit their formats.
    #[error("{0}")]
    Assemble(#[from] AssembleError),
    /// A section does not fit its buffer.
    #[error("a section of the bundle is too long")]
    Section(#[from] BufferTooSmall),
    /// The system gave no random numbers.
    #[error("/dev/urandom: {0}")]
    Random(#[from] std::io::Error),
}

/// What the model says about itself, owned.
struct Names {
    channels: Vec<String>,
    units: Vec<String>,
    labels: Vec<String>,
}

/// Makes the bundle for `target`.
///
/// # Errors
/// [`BareModelError`].
pub(crate) fn bundle(
    onnx: &[u8],
    target: &str,
    kernel_class: &str,
) -> Result<BareBundle, BareModelError> {
    let model = OnnxModel::load(onnx)?;
    let names = Names::of(&model);
    let schema = encode(&names.schema(model.input_values()))?;
    let baseline = baseline(names.channels.len(), names.labels.len())?;
    let golden = golden(&model)?;
    let key = draw_key()?;
    let sections = [
        (SectionKind::ONNX, onnx),
        (SectionKind::SCHEMA, &schema),
        (SectionKind::BASELINE, &baseline),
        (SectionKind::GOLDEN, &golden),
    ]
    .map(|(kind, content)| SectionDraft { kind, content });
    let draft = Draft {
        name: "model",
        version: 1,
        target,
        kernel_class,
        requires: Requirements::default(),
        provenance: Provenance {
            model: Digest::of(onnx),
            tool: concat!("dunlin-agent ", env!("CARGO_PKG_VERSION")),
            ..Provenance::default()
        },
        sections: &sections,
    };
    sign(&draft, &key)
}

fn sign(draft: &Draft<'_>, key: &SigningKey) -> Result<BareBundle, BareModelError> {
    let public = PublicKey(key.verifying_key().to_bytes());
    let mut bytes = vec![0; assembled_bytes(draft)?];
    assemble(draft, public.id(), &mut bytes, |message| {
        Signature(key.sign(message).to_bytes())
    })?;
    Ok(BareBundle { bytes, key: public })
}

fn draw_key() -> Result<SigningKey, std::io::Error> {
    use std::io::Read;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(SigningKey::from_bytes(&seed))
}

impl Names {
    fn of(model: &OnnxModel) -> Self {
        let width = model.input_values();
        let told = model.list("channels").filter(|names| {
            (1..=MAX_CHANNELS).contains(&names.len()) && width.is_multiple_of(names.len())
        });
        let channels = told.unwrap_or_else(|| match width {
            1..=MAX_CHANNELS => (0..width).map(|index| format!("x{index}")).collect(),
            _ => vec!["x".to_owned()],
        });
        let classes = if model.classifies() {
            model.scores()
        } else {
            0
        };
        let labels = model
            .list("labels")
            .filter(|labels| labels.len() <= MAX_LABELS);
        let labels = labels.unwrap_or_else(|| match classes {
            0..=MAX_LABELS => (0..classes).map(|index| index.to_string()).collect(),
            _ => Vec::new(),
        });
        Self {
            units: model.list("units").unwrap_or_default(),
            channels,
            labels,
        }
    }

    fn schema(&self, width: usize) -> Schema<'_> {
        let unit = |index: usize| self.units.get(index).map_or("", |unit| within(unit));
        Schema {
            steps: (width / self.channels.len().max(1)) as u32,
            element: ElementType::F32,
            sample_period_ms: 0,
            stuck_after: 0,
            channels: self
                .channels
                .iter()
                .enumerate()
                .map(|(index, name)| Channel {
                    name: within(name),
                    unit: unit(index),
                    minimum: f32::NEG_INFINITY,
                    maximum: f32::INFINITY,
                })
                .collect(),
            labels: self.labels.iter().map(|label| within(label)).collect(),
        }
    }
}

/// The start of `text` that fits a name.
fn within(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NAME_BYTES)]
}

fn encode(schema: &Schema<'_>) -> Result<Vec<u8>, BufferTooSmall> {
    let mut section = vec![0; 8 * 1024];
    let length = schema.encode(&mut section)?;
    section.truncate(length);
    Ok(section)
}

fn baseline(channels: usize, labels: usize) -> Result<Vec<u8>, BufferTooSmall> {
    let channel = ChannelReference {
        edges: DECADES,
        counts: [0; BINS],
        threshold: f32::INFINITY,
    };
    let reference = Reference {
        statistic: Statistic::PSI,
        window_ms: WINDOW_MS,
        minimum_samples: u32::MAX,
        false_alarms: FalseAlarms::default(),
        channels: &vec![channel; channels],
        prediction_counts: &vec![0; labels],
        prediction_threshold: f32::INFINITY,
    };
    let mut section = vec![0; MAX_BASELINE_BYTES];
    let length = reference.encode(&mut section)?;
    section.truncate(length);
    Ok(section)
}

/// What the model answers to zeros: proves that it runs on the device as it did here.
fn golden(model: &OnnxModel) -> Result<Vec<u8>, BareModelError> {
    let input = vec![0.0; model.input_values()];
    let mut output = vec![0; onnx_output_bytes(model)];
    run_onnx(model, &input, &mut output).map_err(|_| BareModelError::Zeros)?;
    let (label, scores) = output.split_at(output.len().min(4));
    let (elements, outputs): (&[ElementType], &[&[u8]]) = match scores.is_empty() {
        true => (&[ElementType::I32], &[label]),
        false => (&[ElementType::I32, ElementType::F32], &[label, scores]),
    };
    let zeros = vec![0; input.len() * size_of::<f32>()];
    let vector = Vector {
        input: &zeros,
        outputs: outputs.iter().copied().collect(),
    };
    let draft = GoldenDraft {
        tolerance: 0.0,
        elements,
        vectors: &[vector],
    };
    let mut section = vec![0; zeros.len() + output.len() + 64];
    let length = draft.encode(&mut section)?;
    section.truncate(length);
    Ok(section)
}
