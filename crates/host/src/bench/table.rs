//! Measurements as a table for people.

use super::{Measurement, Peer};

const HEADINGS: [&str; 11] = [
    "MODEL",
    "MACS",
    "INSTRUCTIONS",
    "PER MAC",
    "OF LIMIT",
    "CYCLES",
    "ARENA B",
    "STACK B",
    "PLAN B",
    "CODE B",
    "LOAD",
];

const REMARKS: &str = "\
instructions are counted; cycles of ours and of TFLM are modelled (no wait states), those marked * measured on silicon
the limit is half an instruction per MAC; load is instructions of loading and checking the plan, and their share of a run";

/// One line for every model, below it one for everybody else who runs it; then what is noteworthy.
pub fn table(measured: &[Measurement]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for model in measured {
        rows.push(ours(model));
        rows.extend(model.peers.iter().map(theirs));
    }
    let mut text = aligned(&rows);
    text.push('\n');
    for model in measured {
        text += &remark(model);
    }
    text + REMARKS
}

fn ours(model: &Measurement) -> [String; 11] {
    let ratio =
        |ratio: Option<f64>, unit| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}{unit}"));
    [
        model.model.clone(),
        grouped(model.macs),
        grouped(model.instructions),
        ratio(model.instructions_per_mac, ""),
        ratio(model.times_the_limit, "x"),
        model.modelled_cycles.map_or(String::new(), grouped),
        grouped(model.arena_bytes),
        grouped(model.stack_bytes),
        grouped(model.plan_bytes),
        grouped(model.code_bytes),
        format!(
            "{} ({:.1} %)",
            grouped(model.load_instructions),
            model.load_share * 100.0
        ),
    ]
}

fn theirs(peer: &Peer) -> [String; 11] {
    let number = |number: Option<u64>| number.map_or(String::new(), grouped);
    let counts = peer.instructions.zip(peer.macs);
    let per_mac = counts.map(|(count, macs)| count as f64 / macs as f64);
    let cycles = match (peer.modelled_cycles, peer.measured_cycles) {
        (Some(cycles), _) => grouped(cycles),
        (None, Some(cycles)) => format!("{}*", grouped(cycles)),
        (None, None) => String::new(),
    };
    let share = peer.load_instructions.zip(peer.instructions);
    [
        format!("  {}", peer.name),
        number(peer.macs),
        number(peer.instructions),
        per_mac.map_or(String::new(), |ratio| format!("{ratio:.2}")),
        per_mac.map_or(String::new(), |ratio| {
            format!("{:.2}x", ratio / super::LEAST_INSTRUCTIONS_PER_MAC)
        }),
        cycles,
        number(peer.arena_bytes),
        number(peer.stack_bytes),
        number(peer.plan_bytes),
        number(peer.code_bytes),
        share.map_or(String::new(), |(load, run)| {
            format!(
                "{} ({:.1} %)",
                grouped(load),
                load as f64 / run.max(1) as f64 * 100.0
            )
        }),
    ]
}

/// Outputs, and the spread over the inputs where there is one.
fn remark(model: &Measurement) -> String {
    let equal = match model.outputs_equal {
        true => "equal to the engine here",
        false => "DIFFERENT from the engine here",
    };
    let mut text = format!(
        "{}: {} output bytes of {} inputs {equal}, CRC-32 {}",
        model.model, model.output_bytes, model.inputs, model.output_crc32
    );
    if model.least_instructions != model.most_instructions {
        text += &format!(
            "; {} to {} instructions, mean {:.0}",
            grouped(model.least_instructions),
            grouped(model.most_instructions),
            model.mean_instructions
        );
    }
    text + "\n"
}

/// Columns of equal width, the first to the left, the others to the right.
fn aligned(rows: &[[String; 11]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 11] = std::array::from_fn(width);
    let line = |row: &[String; 11]| {
        let [first, others @ ..] = row;
        let mut line = format!("{first:<width$}", width = widths[0]);
        for (cell, width) in others.iter().zip(&widths[1..]) {
            line += &format!("  {cell:>width$}");
        }
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A number with commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let shown = [0, 999, 1_000, 12_345_678].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn columns_line_up() {
        let mut rows = vec![
            HEADINGS.map(str::to_owned),
            std::array::from_fn(|_| String::new()),
        ];
        rows[1][0] = "a long name of a model".to_owned();
        rows[1][1] = "12,345".to_owned();
        let text = aligned(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].find("MACS").map(|at| at + 4),
            lines[1].find("12,345").map(|at| at + 6)
        );
    }
}
