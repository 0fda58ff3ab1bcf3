//! Reports as text.

use super::{CompileReport, OpReport, StreamingReport};
use crate::compile::passes::PassReport;
use std::fmt;

impl fmt::Display for CompileReport {
    /// A table of nodes, of ops and of passes, then the totals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let (name, op) = (shortened(&node.node, 28), &node.op);
            let (became, why) = (&node.became, &node.why);
            writeln!(f, "{name:<28} {op:<18} -> {became:<20} {why}")?;
        }
        writeln!(f)?;
        self.ops.iter().try_for_each(|op| write!(f, "{op}"))?;
        writeln!(f)?;
        self.write_passes(f)?;
        writeln!(f)?;
        if let Some(streaming) = &self.streaming {
            writeln!(f, "{streaming}")?;
        }
        self.write_totals(f)
    }
}

impl fmt::Display for StreamingReport {
    /// What flows, what is kept and what needs the window, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, window, axis) = (self.rows, self.window_rows, self.axis);
        writeln!(
            f,
            "streaming  {rows} new of {window} rows along axis {axis}, {} ops for new rows only",
            self.flowing_ops
        )?;
        let began = match self.goes_on {
            true => "of all rows since the reset",
            false => "of the last window",
        };
        writeln!(
            f,
            "           {} B kept, {} MACs for a whole window, results {began}",
            self.kept_bytes, self.window_macs
        )?;
        for end in &self.ends {
            let (node, reason) = (shortened(&end.node, 28), &end.reason);
            writeln!(f, "           whole window at {node}: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for OpReport {
    /// What it takes on a line, why on the next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kernel, node) = (&self.kernel, shortened(&self.node, 34));
        let shape = format!("{:?}", self.shape);
        let (weights, scratch) = (self.constant_bytes, self.scratch_bytes);
        write!(f, "{kernel:<22} {node:<34} {shape:<18}")?;
        write!(f, " {:>9} MAC {weights:>7} B", self.macs)?;
        writeln!(
            f,
            " {scratch:>5} B scratch {:>9} cycles",
            self.modelled_cycles
        )?;
        writeln!(f, "{:<22} {}", "", self.why)
    }
}

impl fmt::Display for PassReport {
    /// Every figure that the pass changed, before and after.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before, self.after);
        let figures = [
            ("ops", before.ops as u64, after.ops as u64),
            ("MACs", before.macs, after.macs),
            (
                "constants",
                before.constant_bytes as u64,
                after.constant_bytes as u64,
            ),
            ("alive", before.live_bytes as u64, after.live_bytes as u64),
            ("cycles", before.modelled_cycles, after.modelled_cycles),
        ];
        let changes: Vec<String> = figures
            .iter()
            .filter(|(_, before, after)| before != after)
            .map(|(what, before, after)| format!("{what} {before} -> {after}"))
            .collect();
        let changes = match changes.is_empty() {
            true => "same figures, other ops".to_owned(),
            false => changes.join(", "),
        };
        write!(f, "{}: {changes}", self.name)
    }
}

impl CompileReport {
    /// A line for every pass that changed something, then the others' names.
    fn write_passes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (changed, idle): (Vec<_>, Vec<_>) = self.passes.iter().partition(|pass| pass.changed);
        for pass in changed {
            writeln!(f, "{pass}")?;
        }
        let idle: Vec<&str> = idle.iter().map(|pass| pass.name).collect();
        match idle.is_empty() {
            true => Ok(()),
            false => writeln!(f, "nothing to do: {}", idle.join("; ")),
        }
    }

    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plan, constants) = (self.plan_bytes, self.constants_bytes);
        let (arena, floor) = (self.arena_bytes, self.arena_floor_bytes);
        writeln!(f, "MACs       {:>10}", self.macs)?;
        let cycles = self.modelled_cycles;
        writeln!(
            f,
            "cycles     {cycles:>10} estimated for a Cortex-M4 without wait states"
        )?;
        writeln!(f, "plan       {plan:>10} B, of it constants {constants} B")?;
        writeln!(
            f,
            "arena      {arena:>10} B, of up to {floor} B alive at once"
        )?;
        write!(f, "stack      {:>10} B (upper bound)", self.stack_bytes)?;
        for name in &self.unsigned {
            let name = shortened(name, 28);
            write!(
                f,
                "\n{name}: uint8 in the model, in the plan int8, less by 128"
            )?;
        }
        Ok(())
    }
}

/// The end of a long name, which tells more than its start.
pub(super) fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    match length > width {
        true => format!(
            "…{}",
            name.chars().skip(length + 1 - width).collect::<String>()
        ),
        false => name.to_owned(),
    }
}
