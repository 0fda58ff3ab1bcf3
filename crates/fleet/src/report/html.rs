//! The report as one HTML file: no script, nothing loaded from elsewhere, light and dark.

use super::chart::{self, Heat, Mark, Mix, Row, Timeline};
use super::model::*;
use super::{Merged, MergedChannel, findings, terminal, text};

const STYLE: &str = include_str!("style.css");
/// Rows of a device's table of windows, the newest ones.
const WINDOWS: usize = 200;
/// Windows in a chart, the newest ones.
const CHARTED: usize = 400;

pub(super) fn render(report: &Report) -> String {
    let (drifting, quiet): (Vec<_>, Vec<_>) = report
        .devices
        .iter()
        .partition(|device| !device.drifts.is_empty());
    let devices: String = drifting
        .into_iter()
        .chain(quiet)
        .map(|device| device_section(report, device))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Fleet report</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Fleet report</h1>\n<p class=\"quiet\">Made {} UTC. All times are UTC.</p>\n\
         {}{}{}{devices}{}{}</main>\n</body>\n</html>\n",
        text::time(Some(report.made_ms)),
        tiles(&report.overview),
        news(report),
        device_table(report),
        bundle_sections(report),
        refusal_table(report),
    )
}

/// Text for HTML, in elements and attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A sentence for HTML, in which no line breaks before a percent sign.
fn held(sentence: &str) -> String {
    escape(sentence).replace(" %", terminal::HELD_PERCENT)
}

fn tiles(overview: &Overview) -> String {
    let tile = |number: u64, name: &str, alarm: bool| {
        format!(
            "<div class=\"tile{}\"><b>{number}</b><span>{name}</span></div>",
            if alarm && number > 0 { " alarm" } else { "" }
        )
    };
    format!(
        "<div class=\"tiles\">{}{}{}{}{}{}</div>\n",
        tile(overview.devices, "devices", false),
        tile(overview.windows, "windows", false),
        tile(overview.judged, "windows judged", false),
        tile(overview.drifted, "windows with drift", true),
        tile(
            overview.lost_records + overview.missing_records,
            "records lost or missing",
            true
        ),
        tile(overview.refusals, "refused", false),
    )
}

fn news(report: &Report) -> String {
    let items: String = report
        .findings
        .iter()
        .map(|finding| format!("<li>{}</li>\n", held(finding)))
        .collect();
    let items = if items.is_empty() {
        "<li>No records yet.</li>\n".to_owned()
    } else {
        items
    };
    format!("<h2>What was seen</h2>\n<ul class=\"news\">\n{items}</ul>\n")
}

/// A table; `headings` are separated by `|`.
fn table(headings: &str, rows: &[Vec<String>]) -> String {
    let head: String = headings
        .split('|')
        .map(|heading| format!("<th>{}</th>", escape(heading)))
        .collect();
    let cells = |row: &Vec<String>| {
        row.iter()
            .map(|cell| format!("<td>{}</td>", escape(cell)))
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

fn device_table(report: &Report) -> String {
    let row = |device: &DeviceReport| {
        vec![
            device.id.clone(),
            device.name.clone(),
            terminal::title(report, device.bundle.as_deref()),
            device.last_seen(),
            device.sum(|merged| merged.windows).to_string(),
            device.sum(|merged| merged.judged).to_string(),
            device.sum(|merged| merged.drifted).to_string(),
            device.lost_records.to_string(),
            device.missing_records().to_string(),
            device.boots.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = report.devices.iter().map(row).collect();
    let headings = "Device|Name|Bundle|Last seen|Windows|Judged|Drifted|Lost|Missing|Starts";
    format!("<h2>Devices</h2>\n{}", table(headings, &rows))
}

fn device_section(report: &Report, device: &DeviceReport) -> String {
    let charts: String = device
        .merged
        .iter()
        .map(|merged| charts(report, device, merged))
        .collect();
    let windows = if device.windows.is_empty() {
        "<p>No windows.</p>\n".to_owned()
    } else {
        charts + &window_table(report, device)
    };
    let events: Vec<Vec<String>> = device
        .events
        .iter()
        .map(|event| {
            vec![
                event.boot.to_string(),
                event.sequence.to_string(),
                text::time(event.time_ms),
                event.what.clone(),
            ]
        })
        .collect();
    let events = folded("Starts and events", &events, "Start|Record|When|What");
    format!(
        "<section>\n<h2>{}</h2>\n{windows}{events}</section>\n",
        escape(&findings::called(device))
    )
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

/// All charts of one device while one bundle ran.
fn charts(report: &Report, device: &DeviceReport, merged: &Merged) -> String {
    let windows: Vec<&WindowReport> = device
        .windows
        .iter()
        .filter(|window| window.bundle == merged.bundle)
        .collect();
    let shown = windows
        .get(windows.len().saturating_sub(CHARTED)..)
        .unwrap_or_default();
    let newest = if shown.len() < windows.len() {
        format!(
            "<p>The newest {} of {}.</p>\n",
            shown.len(),
            text::count(windows.len() as u64, "window")
        )
    } else {
        String::new()
    };
    let Some((first, last)) = shown.first().zip(shown.last()) else {
        return String::new();
    };
    let (from, to) = (
        text::time(Some(first.opened_ms)),
        text::time(Some(last.opened_ms)),
    );
    let ends = (from.as_str(), to.as_str());
    let rows = signals(shown);
    let drifts = device
        .drifts
        .iter()
        .filter(|drift| drift.bundle == merged.bundle);
    let sentences: String = drifts
        .map(|drift| {
            format!(
                "<p class=\"alarm\">{}</p>\n",
                escape(&findings::drifted(report, device, drift))
            )
        })
        .collect();
    format!(
        "<h3>{}</h3>\n{sentences}{newest}{}{}{}",
        escape(&terminal::title(report, merged.bundle.as_deref())),
        heat_figure(&rows, ends),
        mix_figure(report, merged, shown, ends),
        timeline_figure(&rows, ends),
    )
}

fn heat_figure(rows: &[Row<'_>], ends: (&str, &str)) -> String {
    format!(
        "<figure>\n{}<figcaption>Every channel in every window, oldest to newest: the fuller the colour, the nearer \
         the score is to its threshold; <span class=\"swatch\"></span> drifted; an outline was not judged.\
         </figcaption>\n</figure>\n",
        chart::heat(&Heat { rows, ends }),
    )
}

fn timeline_figure(rows: &[Row<'_>], ends: (&str, &str)) -> String {
    let timelines: String = rows
        .iter()
        .map(|row| chart::timeline(&Timeline { row, ends }))
        .collect();
    format!(
        "<figure>\n<div class=\"multiples\">\n{timelines}</div>\n<figcaption>Score of each channel over its windows; \
         the dashed line is the threshold.</figcaption>\n</figure>\n"
    )
}

fn mix_figure(
    report: &Report,
    merged: &Merged,
    windows: &[&WindowReport],
    ends: (&str, &str),
) -> String {
    if merged.predictions.is_empty() {
        return String::new();
    }
    let bundle = report
        .bundles
        .iter()
        .find(|bundle| Some(&bundle.id) == merged.bundle.as_ref());
    let label = |index: usize| {
        bundle.map_or_else(|| format!("label {index}"), |bundle| bundle.label(index))
    };
    let labels: Vec<String> = (0..merged.predictions.len()).map(label).collect();
    let windows = windows
        .iter()
        .map(|window| window.predictions.counts.as_slice())
        .collect();
    let figure = chart::mix(&Mix {
        labels: &labels,
        windows,
        ends,
    });
    format!(
        "<figure>\n{figure}<figcaption>Mix of predictions in every window.</figcaption>\n</figure>\n"
    )
}

/// Every channel, and the predictions where they were scored, over the windows.
fn signals<'a>(windows: &[&'a WindowReport]) -> Vec<Row<'a>> {
    let Some(first) = windows.first() else {
        return Vec::new();
    };
    let channels = first.channels.iter().enumerate().map(|(index, channel)| {
        let marks = windows.iter().map(|window| {
            window
                .channels
                .get(index)
                .map_or(Mark::default(), Mark::from)
        });
        Row {
            name: &channel.name,
            marks: marks.collect(),
            threshold: channel.threshold,
        }
    });
    let mix = Row {
        name: "predictions",
        marks: windows
            .iter()
            .map(|window| Mark::from(&window.predictions))
            .collect(),
        threshold: first.predictions.threshold,
    };
    let scored = mix.marks.iter().any(|mark| mark.score.is_some());
    channels.chain(Some(mix).filter(|_| scored)).collect()
}

impl From<&ChannelReport> for Mark {
    fn from(channel: &ChannelReport) -> Self {
        Self {
            score: channel.score,
            drifted: channel.drifted,
        }
    }
}

impl From<&PredictionReport> for Mark {
    fn from(predictions: &PredictionReport) -> Self {
        Self {
            score: predictions.score,
            drifted: predictions.drifted,
        }
    }
}

fn window_table(report: &Report, device: &DeviceReport) -> String {
    let newest = device
        .windows
        .get(device.windows.len().saturating_sub(WINDOWS)..)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = newest
        .iter()
        .map(|window| {
            vec![
                text::time(Some(window.opened_ms)),
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
    let headings = "Began|Span|Inputs|Drift|Scores / thresholds|Predictions|Confidence|Latency, median / 99 %|Sensors";
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

fn bundle_sections(report: &Report) -> String {
    let used = report
        .bundles
        .iter()
        .filter(|bundle| bundle.merged.windows > 0);
    let sections: String = used.map(bundle_section).collect();
    if sections.is_empty() {
        sections
    } else {
        format!("<h2>All devices together, by bundle</h2>\n{sections}")
    }
}

fn bundle_section(bundle: &BundleReport) -> String {
    let promise = findings::promise(bundle).unwrap_or_else(|| {
        "This bundle's file was not registered, so its names and thresholds are unknown here."
            .to_owned()
    });
    let merged = &bundle.merged;
    let rows: Vec<Vec<String>> = merged
        .channels
        .iter()
        .enumerate()
        .map(|(index, channel)| merged_row(bundle, index, channel))
        .collect();
    format!(
        "<h3>{} <span class=\"quiet\">{}</span></h3>\n<p>{}</p>\n<p>{}, {}, {}.</p>\n{}",
        escape(&bundle.title()),
        escape(&bundle.id),
        held(&promise),
        text::count(merged.windows, "window"),
        text::count(merged.inputs, "input"),
        text::count(merged.errors, "error"),
        table(
            "Channel|Unit|Values|Mean|Deviation|Smallest|Largest|Missing|Out of range|Stuck",
            &rows
        ),
    )
}

fn merged_row(bundle: &BundleReport, index: usize, channel: &MergedChannel) -> Vec<String> {
    let optional =
        |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
    vec![
        bundle.channel(index),
        bundle.units.get(index).cloned().unwrap_or_default(),
        channel.count().to_string(),
        optional(channel.mean()),
        optional(channel.variance().map(f64::sqrt)),
        optional(channel.minimum.map(f64::from)),
        optional(channel.maximum.map(f64::from)),
        channel.missing.to_string(),
        channel.out_of_range.to_string(),
        channel.stuck.to_string(),
    ]
}

fn refusal_table(report: &Report) -> String {
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
