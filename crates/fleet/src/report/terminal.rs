//! The report as aligned text.

use super::findings::{self, title};
use super::model::*;
use super::table::{Cell, Table};
use super::text;

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalOptions {
    /// Columns of the screen.
    pub width: usize,
    /// Whether to colour what asks for attention; not for a pipe.
    pub colour: bool,
}

impl Default for TerminalOptions {
    fn default() -> Self {
        Self {
            width: 100,
            colour: false,
        }
    }
}

/// Windows shown of one device, the newest ones.
const WINDOWS: usize = 40;
/// A percent sign that stays with its number.
pub(super) const HELD_PERCENT: &str = "\u{a0}%";
/// Refusals shown, at most.
const LINES: usize = 10;

pub(super) fn render(report: &Report, options: TerminalOptions) -> String {
    let mut out = String::new();
    summary(report, options.width, &mut out);
    for finding in &report.findings {
        wrap("* ", finding, options.width, &mut out);
    }
    section(&mut out, &devices(report), options);
    for device in report
        .devices
        .iter()
        .filter(|device| !device.windows.is_empty())
    {
        out.push_str(&format!("\n{}\n", findings::called(device)));
        if device.windows.len() > WINDOWS {
            out.push_str(&format!(
                "the newest {WINDOWS} of {}\n",
                device.windows.len()
            ));
        }
        windows(report, device).render(options.width, options.colour, &mut out);
        strips(report, device, options, &mut out);
    }
    if !report.refusals.is_empty() {
        section(&mut out, &refusals(report), options);
    }
    out
}

fn section(out: &mut String, table: &Table, options: TerminalOptions) {
    out.push('\n');
    table.render(options.width, options.colour, out);
}

fn summary(report: &Report, width: usize, out: &mut String) {
    let overview = &report.overview;
    let mut line = format!(
        "{}, {} ({} judged, {} with drift), {} lost, {} missing, {} refused",
        text::count(overview.devices, "device"),
        text::count(overview.windows, "window"),
        overview.judged,
        overview.drifted,
        text::count(overview.lost_records, "record"),
        overview.missing_records,
        overview.refusals,
    );
    if overview.conflicts > 0 {
        line += &format!(", {} in conflict", overview.conflicts);
    }
    if overview.quarantined > 0 {
        line += &format!(", {} in quarantine", overview.quarantined);
    }
    wrap("", &line, width, out);
    let (made, heard) = (
        text::time(Some(report.made_ms)),
        text::time(overview.last_seen_ms),
    );
    wrap(
        "",
        &format!("made {made}, last heard of a device {heard}, all times in UTC"),
        width,
        out,
    );
    out.push('\n');
}

/// Breaks a sentence at spaces, but not before a percent sign; lines after the first are indented as far as `bullet` goes.
fn wrap(bullet: &str, sentence: &str, width: usize, out: &mut String) {
    out.push_str(bullet);
    let indent = bullet.chars().count();
    let mut column = indent;
    for word in sentence.replace(" %", HELD_PERCENT).split(' ') {
        let word = word.replace(HELD_PERCENT, " %");
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(&word);
        column += length;
    }
    out.push('\n');
}

fn devices(report: &Report) -> Table {
    let mut table = Table::default()
        .left("DEVICE")
        .text("NAME")
        .text("BUNDLE")
        .left("LAST SEEN")
        .optional()
        .right("WINDOWS")
        .optional()
        .right("JUDGED")
        .optional()
        .right("DRIFTED")
        .right("LOST")
        .right("MISSING")
        .right("CONFLICTS")
        .right("QUARANTINE");
    for device in &report.devices {
        table.push(vec![
            device.id.clone().into(),
            device.name.clone().into(),
            bundle(report, device).into(),
            device.last_seen().into(),
            device.sum(|merged| merged.windows).to_string().into(),
            device.sum(|merged| merged.judged).to_string().into(),
            Cell {
                text: device.sum(|merged| merged.drifted).to_string(),
                alarm: device.sum(|merged| merged.drifted) > 0,
            },
            trouble(device.lost_records),
            trouble(device.missing_records()),
            trouble(device.conflicts.len() as u64),
            trouble(device.quarantine.len() as u64),
        ]);
    }
    table
}

/// The bundle of the device's newest record.
pub(super) fn bundle(report: &Report, device: &DeviceReport) -> String {
    match device.bundle.as_deref() {
        Some(id) => title(report, Some(id)),
        None => "none".to_owned(),
    }
}

/// A number that should be nothing: then its cell, and a column of such, is empty.
fn trouble(number: u64) -> Cell {
    Cell {
        text: if number == 0 {
            String::new()
        } else {
            number.to_string()
        },
        alarm: true,
    }
}

fn windows(report: &Report, device: &DeviceReport) -> Table {
    let mut table = Table::default()
        .right("START")
        .left("BEGAN")
        .right("INPUTS")
        .text("DRIFT")
        .text("HIGHEST SCORE")
        .text("PREDICTIONS")
        .right("CONFIDENCE")
        .optional()
        .right("LATENCY")
        .optional()
        .text("SENSORS");
    for window in newest(device) {
        table.push(window_row(report, device, window));
    }
    table
}

fn window_row(report: &Report, device: &DeviceReport, window: &WindowReport) -> Vec<Cell> {
    let confidence = |confidence: f64| format!("{confidence:.2}");
    vec![
        start(device, window).into(),
        device.clock().at(window.boot, window.opened_ms).into(),
        window.inputs.to_string().into(),
        Cell {
            text: verdict(window),
            alarm: window.judgement == Judgement::Drifted,
        },
        highest(window).into(),
        mix(report, window).into(),
        window
            .confidence
            .map_or_else(String::new, confidence)
            .into(),
        window
            .latency_median_us
            .map_or_else(String::new, text::latency)
            .into(),
        Cell {
            text: sensors(window),
            alarm: true,
        },
    ]
}

/// Which start made the window, where there was more than one.
pub(super) fn start(device: &DeviceReport, window: &WindowReport) -> String {
    if device.boots > 1 {
        window.boot.to_string()
    } else {
        String::new()
    }
}

fn newest(device: &DeviceReport) -> &[WindowReport] {
    device
        .windows
        .get(device.windows.len().saturating_sub(WINDOWS)..)
        .unwrap_or_default()
}

/// What drifted, or why nothing could.
pub(super) fn verdict(window: &WindowReport) -> String {
    let mut drifted: Vec<String> = window
        .channels
        .iter()
        .filter(|channel| channel.drifted)
        .map(|channel| channel.name.clone())
        .collect();
    if window.predictions.drifted {
        drifted.push("predictions".to_owned());
    }
    match window.judgement {
        Judgement::Drifted => text::list(&drifted),
        Judgement::Quiet => "none".to_owned(),
        Judgement::Partial => "not judged: partial".to_owned(),
        Judgement::TooFew => "not judged: too few".to_owned(),
    }
}

/// The channel nearest to its threshold, or farthest beyond it.
fn highest(window: &WindowReport) -> String {
    let ratio = |channel: &ChannelReport| {
        channel
            .score
            .zip(channel.threshold)
            .map_or(f32::NEG_INFINITY, |(score, threshold)| score / threshold)
    };
    let highest = window
        .channels
        .iter()
        .max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    match highest.and_then(|channel| Some((channel, channel.score?))) {
        Some((channel, score)) => {
            let threshold = channel.threshold.map_or_else(String::new, |threshold| {
                format!("/{}", text::score(threshold))
            });
            format!("{} {}{threshold}", channel.name, text::score(score))
        }
        None => String::new(),
    }
}

/// `empty 80 %, occupied 20 %`.
pub(super) fn mix(report: &Report, window: &WindowReport) -> String {
    let total: u64 = window
        .predictions
        .counts
        .iter()
        .map(|&count| u64::from(count))
        .sum();
    let bundle = report
        .bundles
        .iter()
        .find(|bundle| Some(&bundle.id) == window.bundle.as_ref());
    let share = |(index, count): (usize, &u32)| {
        let label = bundle.map_or_else(|| format!("label {index}"), |bundle| bundle.label(index));
        format!("{label} {:.0} %", f64::from(*count) / total as f64 * 100.0)
    };
    let counts = window
        .predictions
        .counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0);
    counts.map(share).collect::<Vec<_>>().join(", ")
}

/// What is wrong with the inputs, by channel.
pub(super) fn sensors(window: &WindowReport) -> String {
    let wrong =
        |count: u32, what: &str, name: &str| (count > 0).then(|| format!("{name} {count} {what}"));
    let channels = window.channels.iter().flat_map(|channel| {
        let name = &channel.name;
        [
            wrong(channel.missing, "missing", name),
            wrong(channel.out_of_range, "out of range", name),
            wrong(channel.stuck, "stuck", name),
        ]
    });
    let errors = (window.errors > 0).then(|| text::count(window.errors.into(), "error"));
    channels
        .flatten()
        .chain(errors)
        .collect::<Vec<_>>()
        .join(", ")
}

/// One line per channel and one character per window: `·` quiet, `#` drifted, `-` not judged.
fn strips(report: &Report, device: &DeviceReport, options: TerminalOptions, out: &mut String) {
    for merged in &device.merged {
        let windows: Vec<&WindowReport> = newest(device)
            .iter()
            .filter(|window| window.bundle == merged.bundle)
            .collect();
        let Some(first) = windows.first() else {
            continue;
        };
        let channels = first.channels.iter().map(|channel| channel.name.as_str());
        let names: Vec<&str> = channels.chain(["predictions"]).collect();
        let lengths = names.iter().map(|name| name.chars().count());
        let width = lengths.max().unwrap_or(0);
        let heading = format!(
            "{}, oldest window to newest: · quiet, # drifted, - not judged",
            title(report, merged.bundle.as_deref())
        );
        out.push('\n');
        wrap("", &heading, options.width, out);
        for (index, name) in names.into_iter().enumerate() {
            let marks = windows.iter().map(|window| mark(window, index, options));
            let line = format!("{name:width$}  {}", marks.collect::<String>());
            out.push_str(&(line + "\n"));
        }
    }
}

/// The channel of that index in a window; beyond the channels, the predictions.
fn mark(window: &WindowReport, index: usize, options: TerminalOptions) -> &'static str {
    let drifted = window
        .channels
        .get(index)
        .map_or(window.predictions.drifted, |channel| channel.drifted);
    match window.judgement {
        Judgement::Partial | Judgement::TooFew => "-",
        _ if drifted && options.colour => "\x1b[1;31m#\x1b[0m",
        _ if drifted => "#",
        _ => "·",
    }
}

fn refusals(report: &Report) -> Table {
    let mut table = Table::default()
        .left("REFUSED")
        .left("DEVICE NAMED")
        .text("BY")
        .right("TIMES")
        .left("LAST");
    for refusal in report.refusals.iter().take(LINES) {
        table.push(vec![
            refusal.reason.clone().into(),
            refusal.device.clone().unwrap_or_default().into(),
            refusal.transport.clone().into(),
            refusal.count.to_string().into(),
            text::time(Some(refusal.last_ms)).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_broken_at_the_width() {
        let wrapped = |bullet, sentence| {
            let mut out = String::new();
            wrap(bullet, sentence, 14, &mut out);
            out
        };
        assert_eq!(
            wrapped("* ", "one two three four five six"),
            "* one two\n  three four\n  five six\n"
        );
        assert_eq!(wrapped("", "one two three four"), "one two three\nfour\n");
        assert_eq!(
            wrapped("", "not before 95 % here"),
            "not before\n95 % here\n"
        );
        assert_eq!(
            wrapped("* ", "unbreakable-and-long x"),
            "* unbreakable-and-long\n  x\n"
        );
    }
}
