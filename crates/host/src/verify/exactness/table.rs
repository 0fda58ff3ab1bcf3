//! The counts as a table for people.

use super::counts::{Departure, Difference, Exactness, PointCounts};
use std::fmt;

/// Longest name of a tensor; of longer ones the end is shown.
const NAME_WIDTH: usize = 32;
/// Differing values that are shown one by one.
const SHOWN: usize = 20;

impl fmt::Display for Exactness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = &self.output;
        let inputs = self.inputs;
        writeln!(
            f,
            "bytes that differ from exact arithmetic, {inputs} inputs:"
        )?;
        write_row(
            f,
            [
                "tensor",
                "op",
                "bytes",
                "engine",
                "ORT opt.",
                "ORT no opt.",
                "leaves here (opt., no opt.)",
            ],
        )?;
        for node in &self.nodes {
            write_node(f, node)?;
        }
        let total = output.bytes.to_string();
        let counts = [output.engine, output.optimized, output.unoptimized].map(number);
        write_row(
            f,
            [
                "outputs", "", &total, &counts[0], &counts[1], &counts[2], "",
            ],
        )?;
        writeln!(
            f,
            "outputs that differ: engine and ORT opt. {}, engine and ORT no opt. {}, ORT opt. and ORT no opt. {}",
            number(output.engine_from_optimized),
            number(output.engine_from_unoptimized),
            number(output.optimized_from_unoptimized),
        )?;
        for recorded in &self.recorded {
            writeln!(
                f,
                "recorded {}: {} differ from exact, {} from the engine",
                recorded.name,
                recorded.from_exact,
                number(recorded.from_engine)
            )?;
        }
        let mut last = None;
        for node in &self.nodes {
            if let Some(refusal) = node
                .refusal
                .as_ref()
                .filter(|&refusal| last != Some(refusal))
            {
                let name = shortened(&node.tensor);
                writeln!(
                    f,
                    "{name} and on: the engine refuses the model cut off here: {refusal}"
                )?;
                last = Some(refusal);
            }
            write_reasons(f, node)?;
        }
        write_differences(f, &self.differences)?;
        for skipped in &self.skipped {
            writeln!(f, "{} skipped: {}", skipped.backend, skipped.reason)?;
        }
        Ok(())
    }
}

fn number(count: Option<usize>) -> String {
    count.map_or_else(|| "–".to_owned(), |count| count.to_string())
}

/// The end of a name that is too long.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    match length > NAME_WIDTH {
        true => format!(
            "…{}",
            name.chars()
                .skip(length - NAME_WIDTH + 1)
                .collect::<String>()
        ),
        false => name.to_owned(),
    }
}

/// What was computed, without the quantization that every row ends with.
fn op(node: &PointCounts) -> String {
    match node.ops.as_slice() {
        [only] => only.clone(),
        [first @ .., _] => first.join("+"),
        [] => String::new(),
    }
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &PointCounts) -> fmt::Result {
    let differing = |departure: &Option<Departure>| number(departure.as_ref().map(|d| d.differing));
    let departing = |departure: &Option<Departure>| match departure {
        None => "–".to_owned(),
        Some(departure) if departure.departing == 0 => "no".to_owned(),
        Some(departure) => format!("yes, {}", departure.departing),
    };
    let leaves = format!(
        "{}; {}",
        departing(&node.optimized),
        departing(&node.unoptimized)
    );
    write_row(
        f,
        [
            &shortened(&node.tensor),
            &op(node),
            &node.bytes.to_string(),
            &number(node.engine),
            &differing(&node.optimized),
            &differing(&node.unoptimized),
            &leaves,
        ],
    )
}

fn write_row(f: &mut fmt::Formatter<'_>, cells: [&str; 7]) -> fmt::Result {
    let [tensor, op, bytes, engine, optimized, unoptimized, leaves] = cells;
    let line = format!(
        "  {tensor:<33}{op:<20}{bytes:>9}{engine:>9}{optimized:>10}{unoptimized:>13}  {leaves}"
    );
    writeln!(f, "{}", line.trim_end())
}

fn write_reasons(f: &mut fmt::Formatter<'_>, node: &PointCounts) -> fmt::Result {
    let name = shortened(&node.tensor);
    if let Some(refusal) = &node.refusal {
        writeln!(
            f,
            "{name}: the engine refuses the model up to here: {refusal}"
        )?;
    }
    let departures = [
        ("ORT opt.", &node.optimized),
        ("ORT no opt.", &node.unoptimized),
    ];
    for (backend, departure) in departures {
        let Some(departure) = departure else { continue };
        let (Some(because), Some(example)) = (&departure.because, &departure.example) else {
            continue;
        };
        writeln!(
            f,
            "{name}: {backend} leaves exact arithmetic in {} bytes: {because}; input {}, element {}: {} is {}, it gives {}",
            departure.departing,
            example.input,
            example.element,
            example.steps,
            example.exact,
            example.got
        )?;
    }
    Ok(())
}

fn write_differences(f: &mut fmt::Formatter<'_>, differences: &[Difference]) -> fmt::Result {
    let code = |code: Option<i64>| code.map_or_else(|| "–".to_owned(), |code| code.to_string());
    for difference in differences.iter().take(SHOWN) {
        writeln!(
            f,
            "output {}, input {}, element {}: exactly {} steps, so {}; engine {}, ORT opt. {}, ORT no opt. {}",
            shortened(&difference.tensor),
            difference.input,
            difference.element,
            difference.steps,
            difference.exact,
            code(difference.engine),
            code(difference.optimized),
            code(difference.unoptimized),
        )?;
    }
    match differences.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "… and {more} more, see --json"),
    }
}
