//! Bundles of a two-input, two-class linear model, signed and then spoilt as a test wants.

#[path = "../../../engine/tests/support/mod.rs"]
pub mod plan;

use dunlin_engine::Plan;
use dunlin_wire::PublicKey;
use dunlin_wire::baseline::{ChannelReference, FalseAlarms, Reference, Statistic};
use dunlin_wire::bundle::{
    self, Draft, Provenance, Requirements, SectionDraft, SectionKind, Signature,
};
use dunlin_wire::golden::{GoldenDraft, Vector};
use dunlin_wire::schema::{Channel, ElementType, Schema};
use ed25519_dalek::{Signer, SigningKey};

pub const WINDOW_MS: u64 = 10_000;
pub const PERIOD_MS: u64 = 1000;

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[0x51; 32])
}

pub fn public_key() -> PublicKey {
    PublicKey(signing_key().verifying_key().to_bytes())
}

/// Writes and signs a bundle.
pub fn sign(draft: &Draft<'_>) -> Vec<u8> {
    sign_with(draft, &signing_key())
}

fn sign_with(draft: &Draft<'_>, key: &SigningKey) -> Vec<u8> {
    let mut file = vec![0; bundle::assembled_bytes(draft).expect("fits")];
    let id = PublicKey(key.verifying_key().to_bytes()).id();
    bundle::assemble(draft, id, &mut file, |message| {
        Signature(key.sign(message).to_bytes())
    })
    .expect("assembles");
    file
}

/// What goes into a bundle; every field can be made wrong.
pub struct Recipe {
    pub version: u32,
    pub target: &'static str,
    pub kernel_class: &'static str,
    pub plan: Vec<u8>,
    pub extra_kernel: Option<u32>,
    pub plan_format: Option<u32>,
    pub arena_bytes: Option<u32>,
    pub stack_bytes: Option<u32>,
    pub channels: usize,
    pub with_baseline: bool,
    pub baseline_channels: usize,
    /// Of every channel's drift.
    pub threshold: f32,
    pub spoilt_vector: Option<usize>,
    pub key: SigningKey,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            version: 1,
            target: "bench",
            kernel_class: "reference",
            plan: plan::small_plan().build(),
            extra_kernel: None,
            plan_format: None,
            arena_bytes: None,
            stack_bytes: None,
            channels: 2,
            with_baseline: true,
            baseline_channels: 2,
            threshold: 0.5,
            spoilt_vector: None,
            key: signing_key(),
        }
    }
}

impl Recipe {
    pub fn version(version: u32) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    /// The signed bundle.
    pub fn build(&self) -> Vec<u8> {
        let (schema, baseline, golden) = (self.schema(), self.baseline(), self.golden());
        let sections = [
            (SectionKind::PLAN, &self.plan),
            (SectionKind::SCHEMA, &schema),
            (SectionKind::GOLDEN, &golden),
            (SectionKind::BASELINE, &baseline),
        ];
        let count = if self.with_baseline { 4 } else { 3 };
        let sections: Vec<SectionDraft<'_>> = sections[..count]
            .iter()
            .map(|(kind, content)| SectionDraft {
                kind: *kind,
                content,
            })
            .collect();
        self.assemble(&sections)
    }

    fn assemble(&self, sections: &[SectionDraft<'_>]) -> Vec<u8> {
        let plan = Plan::load(&self.plan).expect("the plan is good");
        let needs = plan.requirements();
        let kernels = needs
            .kernels
            .map(|kernel| kernel.code())
            .chain(self.extra_kernel);
        let requires = Requirements {
            plan_format: self
                .plan_format
                .unwrap_or(u32::from(dunlin_engine::format::FORMAT)),
            arena_bytes: self.arena_bytes.unwrap_or(needs.arena_bytes as u32),
            stack_bytes: self.stack_bytes.unwrap_or(needs.stack_bytes as u32),
            kernels: kernels.collect(),
        };
        let draft = Draft {
            name: "two-classes",
            version: self.version,
            target: self.target,
            kernel_class: self.kernel_class,
            requires,
            provenance: Provenance {
                tool: "tests",
                ..Provenance::default()
            },
            sections,
        };
        sign_with(&draft, &self.key)
    }

    fn schema(&self) -> Vec<u8> {
        let channel = |name| Channel {
            name,
            unit: "",
            minimum: -100.0,
            maximum: 100.0,
        };
        let schema = Schema {
            steps: 1,
            element: ElementType::F32,
            sample_period_ms: PERIOD_MS,
            stuck_after: 0,
            channels: ["a", "b", "c"]
                .into_iter()
                .take(self.channels)
                .map(channel)
                .collect(),
            labels: ["left", "right"].into_iter().collect(),
        };
        encoded(|buffer| schema.encode(buffer).expect("fits"))
    }

    fn baseline(&self) -> Vec<u8> {
        let channel = ChannelReference {
            edges: core::array::from_fn(|edge| edge as f32 - 7.0),
            counts: [10; 16],
            threshold: self.threshold,
        };
        let channels = vec![channel; self.baseline_channels];
        let reference = Reference {
            statistic: Statistic::PSI,
            window_ms: WINDOW_MS,
            minimum_samples: 5,
            false_alarms: FalseAlarms::default(),
            channels: &channels,
            prediction_counts: &[10, 10],
            prediction_threshold: f32::INFINITY,
        };
        encoded(|buffer| reference.encode(buffer).expect("fits"))
    }

    fn golden(&self) -> Vec<u8> {
        let inputs = [[1.0, 3.0], [3.0, 1.0], [0.0, 0.0]].map(|values| super::f32_bytes(&values));
        let mut outputs = inputs.clone().map(|input| plan::run(&self.plan, &input));
        if let Some(vector) = self.spoilt_vector {
            outputs[vector][1][0] ^= 1;
        }
        let vectors: Vec<Vector<'_>> = inputs
            .iter()
            .zip(&outputs)
            .map(|(input, outputs)| Vector {
                input,
                outputs: outputs.iter().map(Vec::as_slice).collect(),
            })
            .collect();
        let elements = [ElementType::I32, ElementType::F32];
        let draft = GoldenDraft {
            tolerance: 0.0,
            elements: &elements,
            vectors: &vectors,
        };
        encoded(|buffer| draft.encode(buffer).expect("fits"))
    }
}

fn encoded(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let length = write(&mut buffer);
    buffer.truncate(length);
    buffer
}
