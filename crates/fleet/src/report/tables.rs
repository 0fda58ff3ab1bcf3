//! The tables of the HTML report.

use super::html::escape;
use super::model::*;
use super::{terminal, text};

/// Rows of a device's table of windows, the newest ones.
const WINDOWS: usize = 200;

/// Characters from which on a cell may be broken into lines.
const LONG: usize = 40;

/// Characters of the longest number; what is longer is an id.
const NUMBER: usize = 12;

/// A table; `headings` are separated by `|`. Columns of numbers stand to the right, columns without
/// any text are left out.
pub(super) fn table(headings: &str, rows: &[Vec<String>]) -> String {
    let columns: Vec<Column<'_>> = headings
        .split('|')
        .enumerate()
        .map(|(column, heading)| Column::of(heading, column, rows))
        .collect();
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let shown = cells.zip(&columns).filter(|(_, column)| column.shown);
        let cells: String = shown
            .map(|(text, column)| cell(tag, text, column.numeric))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = line("th", &mut columns.iter().map(|column| column.heading));
    let body: String = rows
        .iter()
        .map(|row| line("td", &mut row.iter().map(String::as_str)))
        .collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead>{head}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )
}

struct Column<'a> {
    heading: &'a str,
    numeric: bool,
    shown: bool,
}

impl<'a> Column<'a> {
    fn of(heading: &'a str, column: usize, rows: &[Vec<String>]) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        let number = |cell: &String| cell.len() <= NUMBER && cell.parse::<f64>().is_ok();
        Self {
            heading,
            numeric: cells().all(|cell| cell.is_empty() || number(cell)),
            shown: cells().any(|cell| !cell.is_empty()),
        }
    }
}

/// A number that should be nothing, and then is not shown.
fn trouble(number: u64) -> String {
    if number == 0 {
        String::new()
    } else {
        number.to_string()
    }
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
            trouble(device.lost_records),
            trouble(device.missing_records()),
            trouble(device.conflicts.len() as u64),
            trouble(device.quarantine.len() as u64),
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
                terminal::sensors(window),
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
            ]
        })
        .collect();
    let headings = "Start|Began|Span|Inputs|Drift|Sensors|Scores / thresholds|Predictions|Confidence|Latency, median / 99 %";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_empty_columns_are_left_out() {
        let row = |id: &str, count: &str| vec![id.to_owned(), String::new(), count.to_owned()];
        let rows = [row("0101010101010101", "5"), row("0202020202020202", "")];
        let html = table("Device|Lost|Windows", &rows);
        assert!(
            html.contains("<th>Device</th><th class=\"number\">Windows</th>"),
            "{html}"
        );
        assert!(
            html.contains("<td>0101010101010101</td><td class=\"number\">5</td>"),
            "{html}"
        );
        assert!(!html.contains("Lost"), "{html}");
    }
}
