//! The tables of the HTML report.

use super::html::escape;
use super::model::*;
use super::{terminal, text};

/// Rows of a device's table of windows, the newest ones.
const WINDOWS: usize = 200;

/// Characters from which on a cell may be broken into lines.
const LONG: usize = 40;

/// A table; `headings` are separated by `|`. Columns of numbers stand to the right.
pub(super) fn table(headings: &str, rows: &[Vec<String>]) -> String {
    let headings: Vec<&str> = headings.split('|').collect();
    let numeric = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column));
        cells.all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok())
    };
    let columns: Vec<(&str, bool)> = (0..)
        .zip(&headings)
        .map(|(column, heading)| (*heading, numeric(column)))
        .collect();
    let head: String = columns
        .iter()
        .map(|(heading, numeric)| cell("th", heading, *numeric))
        .collect();
    let cells = |row: &Vec<String>| {
        let cells = row.iter().zip(&columns);
        cells
            .map(|(text, (_, numeric))| cell("td", text, *numeric))
            .collect::<String>()
    };
    let body: String = rows
        .iter()
        .map(|row| format!("<tr>{}</tr>\n", cells(row)))
        .collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )
}

fn cell(tag: &str, text: &str, numeric: bool) -> String {
    let class = if numeric {
        " class=\"number\""
    } else if text.chars().count() > LONG {
        " class=\"long\""
    } else {
        ""
    };
    format!("<{tag}{class}>{}</{tag}>", escape(text))
}

fn folded(title: &str, rows: &[Vec<String>], headings: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<details>\n<summary>{} ({})</summary>\n{}</details>\n",
        escape(title),
        rows.len(),
        table(headings, rows)
    )
}

pub(super) fn device_table(report: &Report) -> String {
    let row = |device: &DeviceReport| {
        vec![
            device.id.clone(),
            device.name.clone(),
            terminal::bundle(report, device),
            device.last_seen(),
            device.sum(|merged| merged.windows).to_string(),
            device.sum(|merged| merged.judged).to_string(),
            device.sum(|merged| merged.drifted).to_string(),
            device.lost_records.to_string(),
            device.missing_records().to_string(),
            device.conflicts.len().to_string(),
            device.quarantine.len().to_string(),
            device.boots.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = report.devices.iter().map(row).collect();
    let headings = "Device|Name|Bundle|Last seen|Windows|Judged|Drifted|Lost|Missing|Conflicts|Quarantine|Starts";
    format!("<h2>Devices</h2>\n{}", table(headings, &rows))
}

pub(super) fn event_table(device: &DeviceReport) -> String {
    let clock = device.clock();
    let row = |event: &EventReport| {
        vec![
            event.boot.to_string(),
            event.sequence.to_string(),
            clock.at(event.boot, event.time_ms.unwrap_or(event.uptime_ms)),
            event.what.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = device.events.iter().map(row).collect();
    folded("Starts and events", &rows, "Start|Record|When|What")
}

pub(super) fn conflict_table(report: &Report, device: &DeviceReport) -> String {
    let clock = device.clock();
    let row = |conflict: &Conflict| {
        let window = conflict.window.as_ref();
        let of_window = |of: &dyn Fn(&WindowReport) -> String| window.map_or_else(String::new, of);
        vec![
            conflict.boot.to_string(),
            conflict.sequence.to_string(),
            conflict.kind.clone(),
            text::time(Some(conflict.first_received_ms)),
            text::time(Some(conflict.received_ms)),
            conflict.transport.clone(),
            of_window(&|window| clock.at(window.boot, window.opened_ms)),
            of_window(&|window| window.inputs.to_string()),
            of_window(&terminal::verdict),
            of_window(&|window| terminal::mix(report, window)),
        ]
    };
    let rows: Vec<Vec<String>> = device.conflicts.iter().map(row).collect();
    let headings = "Start|Record|Tells|First came|This came|By|Began|Inputs|Drift|Predictions";
    folded("Records in conflict, in no sum", &rows, headings)
}

pub(super) fn quarantine_table(device: &DeviceReport) -> String {
    let row = |item: &Quarantined| {
        let claimed =
            |number: Option<u32>| number.map_or_else(String::new, |number| number.to_string());
        vec![
            item.reason.clone(),
            claimed(item.boot),
            claimed(item.sequence),
            item.bytes.to_string(),
            item.transport.clone(),
            item.count.to_string(),
            text::time(Some(item.first_ms)),
            text::time(Some(item.last_ms)),
        ]
    };
    let rows: Vec<Vec<String>> = device.quarantine.iter().map(row).collect();
    let headings = "Why|Start claimed|Record claimed|Bytes|By|Times|First|Last";
    folded("Quarantine, in no sum", &rows, headings)
}

pub(super) fn window_table(report: &Report, device: &DeviceReport) -> String {
    let clock = device.clock();
    let newest = device
        .windows
        .get(device.windows.len().saturating_sub(WINDOWS)..)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = newest
        .iter()
        .map(|window| {
            vec![
                terminal::start(device, window),
                clock.at(window.boot, window.opened_ms),
                text::span(window.span_ms),
                window.inputs.to_string(),
                terminal::verdict(window),
                scores(window),
                terminal::mix(report, window),
                window
                    .confidence
                    .map_or_else(String::new, |confidence| format!("{confidence:.2}")),
                window
                    .latency_median_us
                    .zip(window.latency_99_us)
                    .map_or_else(String::new, |(median, high)| {
                        format!("{} / {}", text::latency(median), text::latency(high))
                    }),
                terminal::sensors(window),
            ]
        })
        .collect();
    let headings = "Start|Began|Span|Inputs|Drift|Scores / thresholds|Predictions|Confidence|Latency, median / 99 %|Sensors";
    folded("Windows", &rows, headings)
}

fn scores(window: &WindowReport) -> String {
    let channels = window.channels.iter().filter_map(|channel| {
        let threshold = channel.threshold.map_or_else(String::new, |threshold| {
            format!("/{}", text::score(threshold))
        });
        Some(format!(
            "{} {}{threshold}",
            channel.name,
            text::score(channel.score?)
        ))
    });
    channels.collect::<Vec<_>>().join(", ")
}

pub(super) fn refusal_table(report: &Report) -> String {
    if report.refusals.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report
        .refusals
        .iter()
        .map(|refusal| {
            vec![
                refusal.reason.clone(),
                refusal.device.clone().unwrap_or_default(),
                refusal.transport.clone(),
                refusal.count.to_string(),
                text::time(Some(refusal.first_ms)),
                text::time(Some(refusal.last_ms)),
            ]
        })
        .collect();
    let note = "<p>None of this changed anything. A name proves nothing about who it was.</p>\n";
    format!(
        "<h2>Refused</h2>\n{note}{}",
        table("Why|Device named|By|Times|First|Last", &rows)
    )
}
