//! What a bundle holds, for people and programs.

use std::fmt;

use dunlin_engine::KernelId;
use dunlin_wire::PublicKey;
use dunlin_wire::bundle::{self, Bundle, BundleError};
use dunlin_wire::schema::Channel;
use serde::Serialize;

/// What a verified bundle holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its identity.
    pub id: String,
    /// The key that signed it.
    pub key: String,
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The kind of device it is for.
    pub target: String,
    /// The kernel class of its plan.
    pub kernel_class: String,
    /// Bytes of the whole file.
    pub bytes: usize,
    /// Format of the plan, 0 without one.
    pub plan_format: u32,
    /// Bytes of arena.
    pub arena_bytes: u32,
    /// Bytes of stack.
    pub stack_bytes: u32,
    /// Names of the kernels that the plan calls.
    pub kernels: Vec<String>,
    /// The sections in file order.
    pub sections: Vec<ShownSection>,
    /// Time steps of one input.
    pub steps: u32,
    /// `name [unit]` of every channel.
    pub channels: Vec<String>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Golden vectors.
    pub golden_vectors: usize,
    /// SHA-256 of the recipe.
    pub recipe_sha256: String,
    /// SHA-256 of the data.
    pub data_sha256: String,
    /// SHA-256 of the ONNX model.
    pub model_sha256: String,
    /// What made it.
    pub tool: String,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownSection {
    /// What it holds.
    pub kind: String,
    /// First byte.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// Verifies a bundle and says what it holds.
///
/// # Errors
/// When the bundle is not one, was altered, or is signed by none of the `trusted` keys.
pub fn show(bytes: &[u8], trusted: &[PublicKey]) -> Result<Shown, BundleError> {
    let bundle = bundle::verify(bytes, trusted)?;
    let schema = bundle.schema().map_err(BundleError::Schema)?;
    let golden = bundle.golden().map_err(BundleError::Golden)?;
    let manifest = bundle.manifest();
    let (requires, provenance) = (&manifest.requires, &manifest.provenance);
    let channels = schema.channels.iter();
    Ok(Shown {
        id: bundle.id().to_string(),
        key: bundle.key().to_string(),
        name: manifest.name.to_owned(),
        version: manifest.version,
        target: manifest.target.to_owned(),
        kernel_class: manifest.kernel_class.to_owned(),
        bytes: bytes.len(),
        plan_format: requires.plan_format,
        arena_bytes: requires.arena_bytes,
        stack_bytes: requires.stack_bytes,
        kernels: kernels(&requires.kernels),
        sections: sections(&bundle),
        steps: schema.steps,
        channels: channels.map(with_unit).collect(),
        labels: schema.labels.iter().map(ToString::to_string).collect(),
        golden_vectors: golden.len(),
        recipe_sha256: provenance.recipe.to_string(),
        data_sha256: provenance.data.to_string(),
        model_sha256: provenance.model.to_string(),
        tool: provenance.tool.to_owned(),
    })
}

fn kernels(codes: &[u32]) -> Vec<String> {
    let kernels = codes.iter().map(|&code| KernelId::from_code(code));
    kernels.map(|kernel| kernel.to_string()).collect()
}

fn with_unit(channel: &Channel<'_>) -> String {
    match channel.unit {
        "" => channel.name.to_owned(),
        unit => format!("{} [{unit}]", channel.name),
    }
}

fn sections(bundle: &Bundle<'_>) -> Vec<ShownSection> {
    let shown = |section: &bundle::Section| ShownSection {
        kind: section.kind.to_string(),
        offset: section.offset,
        length: section.length,
        sha256: section.sha256.to_string(),
    };
    bundle.manifest().sections.iter().map(shown).collect()
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} version {} for {} ({} kernels)",
            self.name, self.version, self.target, self.kernel_class
        )?;
        writeln!(f, "  bundle    {}, {} bytes", self.id, self.bytes)?;
        writeln!(f, "  signed    by key {}, verified", self.key)?;
        writeln!(
            f,
            "  needs     {} bytes of arena, {} of stack",
            self.arena_bytes, self.stack_bytes
        )?;
        writeln!(f, "  kernels   {}", or_none(&self.kernels))?;
        writeln!(
            f,
            "  input     {} × {}",
            self.steps,
            or_none(&self.channels)
        )?;
        writeln!(f, "  labels    {}", or_none(&self.labels))?;
        writeln!(f, "  golden    {} vectors", self.golden_vectors)?;
        for section in &self.sections {
            writeln!(
                f,
                "  {:<9} {:>8} bytes at {:>8}  {}",
                section.kind,
                section.length,
                section.offset,
                short(&section.sha256)
            )?;
        }
        let from =
            [&self.recipe_sha256, &self.data_sha256, &self.model_sha256].map(|hash| short(hash));
        writeln!(
            f,
            "  made by   {} from recipe {}, data {}, model {}",
            self.tool, from[0], from[1], from[2]
        )
    }
}

fn or_none(list: &[String]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    }
}

/// The first 16 digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}
