//! What must hold of a descriptor beyond its types.

use dunlin_wire::limits::MAX_NAME_BYTES;

use super::{FlashMethod, ModelKind, RegionKind, Target};

/// A value that cannot be.
pub(super) struct Fault {
    /// The key with its tables.
    pub(super) key: String,
    /// What is wrong, and what was expected.
    pub(super) message: String,
}

/// The first value that cannot be in the descriptor of a file whose name begins with `stem`.
pub(super) fn fault(target: &Target, stem: &str) -> Option<Fault> {
    in_names(target, stem)
        .or_else(|| in_models(target))
        .or_else(|| in_regions(target))
        .or_else(|| in_flash(target))
        .or_else(|| in_ram(target))
        .or_else(|| in_run(target))
}

fn found(key: &str, message: String) -> Option<Fault> {
    Some(Fault {
        key: key.to_owned(),
        message,
    })
}

fn in_names(target: &Target, stem: &str) -> Option<Fault> {
    let (name, class) = (&target.name, &target.kernel_class);
    if !is_name(name) {
        let message = format!("`{name}`: expected 1 to {MAX_NAME_BYTES} of a-z, 0-9 and `-`");
        return found("name", message);
    }
    if name != stem {
        let message = format!("`{name}` stands in `{stem}.toml`; name the file like the target");
        return found("name", message);
    }
    if !is_name(class) {
        let message = format!("`{class}`: expected a kernel class such as `reference`");
        return found("kernel_class", message);
    }
    None
}

fn in_models(target: &Target) -> Option<Fault> {
    if target.models.is_empty() {
        let message = "expected at least one of \"plan\" and \"onnx\"".to_owned();
        return found("models", message);
    }
    if target.models.contains(&ModelKind::Plan) && target.budget.arena_bytes == 0 {
        let message = "expected more than 0 on a target that runs plans".to_owned();
        return found("budget.arena_bytes", message);
    }
    None
}

fn in_regions(target: &Target) -> Option<Fault> {
    let mut end = 0;
    for (index, region) in target.memory.iter().enumerate() {
        let key = format!("memory[{index}]");
        let Some(region_end) = region
            .origin
            .checked_add(region.bytes)
            .filter(|_| region.bytes > 0)
        else {
            let message = "expected more than 0 bytes, within the address space";
            return found(&key, message.to_owned());
        };
        if index > 0 && end > region.origin {
            let message = "overlaps the region before it; list regions in address order";
            return found(&key, message.to_owned());
        }
        end = region_end;
    }
    None
}

fn in_flash(target: &Target) -> Option<Fault> {
    let flash = total(target, RegionKind::Flash)?;
    let wanted = target.budget.flash_bytes;
    if wanted <= flash {
        return None;
    }
    found(
        "budget.flash_bytes",
        format!("{wanted} bytes of {flash} bytes of flash"),
    )
}

fn in_ram(target: &Target) -> Option<Fault> {
    if target.memory.is_empty() {
        return None;
    }
    let ram = total(target, RegionKind::Ram).unwrap_or(0);
    let budget = target.budget;
    let wanted = budget.arena_bytes.saturating_add(budget.stack_bytes);
    if wanted <= ram {
        return None;
    }
    found(
        "budget",
        format!("arena and stack take {wanted} bytes of {ram} bytes of RAM"),
    )
}

/// Bytes of all regions of a kind; `None` where there is no such region.
fn total(target: &Target, kind: RegionKind) -> Option<u64> {
    let regions = target.memory.iter().filter(|region| region.kind == kind);
    regions
        .map(|region| region.bytes)
        .reduce(u64::saturating_add)
}

fn in_run(target: &Target) -> Option<Fault> {
    if target.run.image.is_none() && target.flash != FlashMethod::Process {
        let message = "expected the path of the program or firmware".to_owned();
        return found("run.image", message);
    }
    let (key, name) = target.run.unknown_placeholder()?;
    found(key, format!("`{{{name}}}`: expected {{state}} or {{port}}"))
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(fits)
}
