//! Assembles and signs a bundle, and shows what one holds.
//!
//! Runs on the workstation. A bundle is packaged from finished parts; whatever a device would
//! refuse it for is refused here first: parts that do not fit each other, budgets of the target, a
//! version that is not newer, and at the end the whole verification that the device will do.
//!
//! Costs a hash of every section and one signature.
//!
//! # Example
//! ```no_run
//! use dunlin_host::keys::SecretKey;
//! use dunlin_host::package::{self, MadeFrom, Parts, golden};
//! use dunlin_host::target::Target;
//! # fn example(train: &dunlin_host::data::Examples, plan: &[u8], baseline: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::find("qemu-cortex-m4f")?;
//! let chosen = golden::choose(&train.labels, 8);
//! let vectors = golden::from_plan(plan, chosen.iter().filter_map(|&index| train.input(index)))?;
//! let bundle = package::package(
//!     &Parts {
//!         name: "occupancy",
//!         version: 2,
//!         previous: None,
//!         target: &target,
//!         plan: Some(plan),
//!         onnx: None,
//!         schema: &train.schema,
//!         labels: &train.label_names,
//!         baseline: Some(baseline),
//!         golden: &vectors,
//!         made_from: MadeFrom::default(),
//!     },
//!     &SecretKey::read("keys/release.key.pem".as_ref())?,
//! )?;
//! std::fs::write("occupancy.bundle", &bundle.bytes)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Architecture invariants
//! - The format is `dunlin-wire`'s; what is written here is what [`dunlin_wire::bundle::verify`] reads.
//! - The same parts and key give the same bytes: no time, no randomness.

mod error;
pub mod golden;
mod show;
#[cfg(test)]
mod tests;

pub use error::PackageError;
pub use show::{Shown, ShownSection, show};

use std::path::Path;

use dunlin_engine::Plan;
use dunlin_wire::baseline::Baseline;
use dunlin_wire::bundle::{self, Draft, Provenance, Requirements, SectionDraft, SectionKind};
use dunlin_wire::limits::{MAX_CHANNELS, MAX_KERNELS, MAX_LABELS};
use dunlin_wire::schema::{Channel, ElementType, Schema};
use dunlin_wire::{BundleId, Digest};

use crate::data::InputSchema;
use crate::keys::SecretKey;
use crate::target::{ModelKind, Target};

/// Name and version of this tool, as it stands in bundles.
pub const TOOL: &str = concat!("dunlin ", env!("CARGO_PKG_VERSION"));

/// What a bundle is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MadeFrom {
    /// SHA-256 of the recipe file.
    pub recipe: Digest,
    /// SHA-256 of the data's canonical content.
    pub data: Digest,
    /// SHA-256 of the ONNX file that was compiled.
    pub model: Digest,
}

/// The parts of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The model's name.
    pub name: &'a str,
    /// At least 1, and not lower than that of `previous`. A device refuses an equal version with other contents, so
    /// that only a bundle that is `previous` itself should have its version.
    pub version: u32,
    /// The bundle last released, if there was one.
    pub previous: Option<Previous<'a>>,
    /// The kind of device it is for.
    pub target: &'a Target,
    /// The compiled model.
    pub plan: Option<&'a [u8]>,
    /// The model as ONNX, for targets that run ONNX.
    pub onnx: Option<&'a [u8]>,
    /// The model's input.
    pub schema: &'a InputSchema,
    /// Names of the classes, in class order.
    pub labels: &'a [String],
    /// The baseline section; without it the device does not judge drift.
    pub baseline: Option<&'a [u8]>,
    /// The golden section, from [`golden::from_plan`] or [`golden::from_backend`].
    pub golden: &'a [u8],
    /// Hashes of what it was made from.
    pub made_from: MadeFrom,
}

/// The bundle of the highest version so far.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    /// Its version.
    pub version: u32,
    /// The file, for errors.
    pub path: &'a Path,
}

/// A signed bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its identity.
    pub id: BundleId,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Checks the parts, assembles them and signs.
///
/// # Errors
/// Each reason has its variant in [`PackageError`].
pub fn package(parts: &Parts<'_>, key: &SecretKey) -> Result<Package, PackageError> {
    check_version(parts)?;
    check_target(parts)?;
    let schema = schema_section(parts)?;
    check_baseline(parts)?;
    let requires = parts
        .plan
        .map(|plan| requirements(plan, parts))
        .transpose()?
        .unwrap_or_default();
    let sections = sections(parts, &schema);
    let draft = Draft {
        name: parts.name,
        version: parts.version,
        target: &parts.target.name,
        kernel_class: &parts.target.kernel_class,
        requires,
        provenance: Provenance {
            recipe: parts.made_from.recipe,
            data: parts.made_from.data,
            model: parts.made_from.model,
            tool: TOOL,
        },
        sections: &sections,
    };
    seal(&draft, parts, key)
}

fn sections<'a>(parts: &Parts<'a>, schema: &'a [u8]) -> Vec<SectionDraft<'a>> {
    let sections = [
        (SectionKind::PLAN, parts.plan),
        (SectionKind::ONNX, parts.onnx),
        (SectionKind::SCHEMA, Some(schema)),
        (SectionKind::BASELINE, parts.baseline),
        (SectionKind::GOLDEN, Some(parts.golden)),
    ];
    let drafts = sections
        .into_iter()
        .filter_map(|(kind, content)| content.map(|content| SectionDraft { kind, content }));
    drafts.collect()
}

fn seal(draft: &Draft<'_>, parts: &Parts<'_>, key: &SecretKey) -> Result<Package, PackageError> {
    let mut bytes = vec![0; bundle::assembled_bytes(draft)?];
    check_budget(
        "flash",
        bytes.len(),
        parts.target.budget.flash_bytes,
        parts.target,
    )?;
    let public = key.public();
    let assembled = bundle::assemble(draft, public.id(), &mut bytes, |message| key.sign(message))?;
    bundle::verify(&bytes, &[public]).map_err(PackageError::Refused)?;
    Ok(Package {
        id: assembled.id,
        bytes,
    })
}

fn check_version(parts: &Parts<'_>) -> Result<(), PackageError> {
    let version = parts.version;
    match parts.previous {
        _ if version == 0 => Err(PackageError::NoVersion),
        Some(previous) if version < previous.version => Err(PackageError::VersionOlder {
            version,
            previous: previous.version,
            path: previous.path.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn check_target(parts: &Parts<'_>) -> Result<(), PackageError> {
    let given = [(parts.plan, ModelKind::Plan), (parts.onnx, ModelKind::Onnx)];
    let refused = given
        .into_iter()
        .find(|(part, kind)| part.is_some() && !parts.target.runs(*kind));
    match refused {
        Some((_, kind)) => Err(PackageError::NotForTarget {
            target: parts.target.name.clone(),
            kind,
        }),
        None => Ok(()),
    }
}

fn check_baseline(parts: &Parts<'_>) -> Result<(), PackageError> {
    let Some(bytes) = parts.baseline else {
        return Ok(());
    };
    let baseline = Baseline::parse(bytes).map_err(PackageError::Baseline)?;
    let (expected, got) = (parts.schema.channels.len(), baseline.channels().len());
    if got == expected {
        Ok(())
    } else {
        Err(PackageError::BaselineChannels { expected, got })
    }
}

/// What the plan needs, checked against the schema and the target's budgets.
fn requirements(plan: &[u8], parts: &Parts<'_>) -> Result<Requirements, PackageError> {
    let plan = Plan::load(plan).map_err(PackageError::Plan)?;
    let (expected, got) = (parts.schema.width(), plan.input().elements());
    if expected != got {
        return Err(PackageError::InputWidth { expected, got });
    }
    let needs = plan.requirements();
    let kernels: Vec<u32> = needs.kernels.map(|kernel| kernel.code()).collect();
    if kernels.len() > MAX_KERNELS {
        return Err(PackageError::TooMany {
            what: "kernels",
            got: kernels.len(),
            most: MAX_KERNELS,
        });
    }
    let budget = parts.target.budget;
    Ok(Requirements {
        plan_format: dunlin_engine::format::FORMAT.into(),
        arena_bytes: check_budget("arena", needs.arena_bytes, budget.arena_bytes, parts.target)?,
        stack_bytes: check_budget("stack", needs.stack_bytes, budget.stack_bytes, parts.target)?,
        kernels: kernels.into_iter().collect(),
    })
}

fn check_budget(
    what: &'static str,
    needed: usize,
    budget: u64,
    target: &Target,
) -> Result<u32, PackageError> {
    let over = PackageError::OverBudget {
        what,
        needed: needed as u64,
        budget,
        target: target.name.clone(),
    };
    match u32::try_from(needed) {
        Ok(bytes) if u64::from(bytes) <= budget => Ok(bytes),
        _ => Err(over),
    }
}

fn schema_section(parts: &Parts<'_>) -> Result<Vec<u8>, PackageError> {
    let counts = [
        ("channels", parts.schema.channels.len(), MAX_CHANNELS),
        ("labels", parts.labels.len(), MAX_LABELS),
    ];
    if let Some((what, got, most)) = counts.into_iter().find(|(_, got, most)| got > most) {
        return Err(PackageError::TooMany { what, got, most });
    }
    let steps = u32::try_from(parts.schema.steps);
    let schema = Schema {
        steps: steps.map_err(|_| PackageError::TooMany {
            what: "steps",
            got: parts.schema.steps,
            most: u32::MAX as usize,
        })?,
        element: ElementType::F32,
        sample_period_ms: parts.schema.sample_period_ms,
        stuck_after: parts.schema.stuck_after,
        channels: parts
            .schema
            .channels
            .iter()
            .map(|channel| Channel {
                name: &channel.name,
                unit: &channel.unit,
                minimum: channel.minimum,
                maximum: channel.maximum,
            })
            .collect(),
        labels: parts.labels.iter().map(String::as_str).collect(),
    };
    schema.check().map_err(PackageError::Schema)?;
    encoded(|buffer| schema.encode(buffer))
}

/// Calls `encode` with a buffer that grows until it suffices.
fn encoded<E>(encode: impl Fn(&mut [u8]) -> Result<usize, E>) -> Result<Vec<u8>, PackageError> {
    const LARGEST: usize = 1 << 28;
    let mut buffer = vec![0; 4096];
    loop {
        match encode(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(_) if buffer.len() < LARGEST => buffer.resize(buffer.len() * 4, 0),
            Err(_) => {
                return Err(PackageError::TooMany {
                    what: "bytes in a section",
                    got: LARGEST,
                    most: LARGEST,
                });
            }
        }
    }
}
