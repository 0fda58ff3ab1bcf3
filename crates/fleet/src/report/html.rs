//! The report as one HTML file: no script, nothing loaded from elsewhere, light and dark.

use super::chart::{self, Heat, Mark, Mix, Row, Timeline};
use super::findings::title;
use super::model::*;
use super::tables::{
    conflict_table, device_table, event_table, quarantine_table, refusal_table, table, window_table,
};
use super::{Merged, MergedChannel, findings, terminal, text};

const STYLE: &str = include_str!("style.css");
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
    let seldom = |number: u64, name: &str| {
        if number == 0 {
            String::new()
        } else {
            tile(number, name, true)
        }
    };
    format!(
        "<div class=\"tiles\">{}{}{}{}{}{}{}{}</div>\n",
        tile(overview.devices, "devices", false),
        tile(overview.windows, "windows", false),
        tile(overview.judged, "windows judged", false),
        tile(overview.drifted, "windows with drift", true),
        tile(
            overview.lost_records + overview.missing_records,
            "records lost or missing",
            true
        ),
        seldom(overview.conflicts, "records in conflict"),
        seldom(overview.quarantined, "in quarantine"),
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
    format!(
        "<section>\n<h2>{}</h2>\n{windows}{}{}{}</section>\n",
        escape(&findings::called(device)),
        conflict_table(report, device),
        quarantine_table(device),
        event_table(device),
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
    let Some((first, last)) = shown.first().zip(shown.last()) else {
        return String::new();
    };
    let clock = device.clock();
    let (from, to) = (
        clock.at(first.boot, first.opened_ms),
        clock.at(last.boot, last.opened_ms),
    );
    let ends = (from.as_str(), to.as_str());
    let rows = signals(shown);
    format!(
        "<h3>{}</h3>\n{}{}{}{}{}",
        escape(&title(report, merged.bundle.as_deref())),
        drifted(device, merged),
        left_out(shown.len(), windows.len()),
        heat_figure(&rows, ends),
        mix_figure(report, merged, shown, ends),
        timeline_figure(&rows, ends, statistic(report, merged)),
    )
}

/// In a few words; the findings tell it whole.
fn drifted(device: &DeviceReport, merged: &Merged) -> String {
    let drifts = device.drifts.iter();
    let items: Vec<String> = drifts
        .filter(|drift| drift.bundle == merged.bundle)
        .map(|drift| {
            let since = device.clock().at(drift.since_boot, drift.since_ms);
            let windows = text::count(drift.judged, "window");
            format!(
                "{} since {since}, in {} of {windows}",
                drift.what, drift.windows
            )
        })
        .collect();
    if items.is_empty() {
        return String::new();
    }
    format!(
        "<p class=\"alarm\">Drifted: {}.</p>\n",
        escape(&items.join("; "))
    )
}

fn left_out(shown: usize, all: usize) -> String {
    if shown < all {
        let windows = text::count(all as u64, "window");
        format!("<p>The newest {shown} of {windows}.</p>\n")
    } else {
        String::new()
    }
}

fn heat_figure(rows: &[Row<'_>], ends: (&str, &str)) -> String {
    format!(
        "<figure>\n<div class=\"wide\">{}</div><figcaption>Every channel in every window, oldest to newest, with when \
         the first and the last began: the fuller the colour, the nearer the score is to its threshold; \
         <span class=\"swatch\"></span> drifted; an outline was not judged.</figcaption>\n</figure>\n",
        chart::heat(&Heat { rows, ends }),
    )
}

fn timeline_figure(rows: &[Row<'_>], ends: (&str, &str), statistic: &str) -> String {
    let draw = |row| {
        chart::timeline(&Timeline {
            row,
            ends,
            statistic,
        })
    };
    let timelines: String = rows.iter().map(draw).collect();
    format!(
        "<figure>\n<div class=\"multiples\">\n{timelines}</div>\n<figcaption>How far each channel is from the training \
         data ({}), window by window; the dashed line is the threshold, a gap was not judged.</figcaption>\n</figure>\n",
        escape(statistic),
    )
}

/// What the scores under a bundle are.
fn statistic<'r>(report: &'r Report, merged: &Merged) -> &'r str {
    let bundle = report
        .bundles
        .iter()
        .find(|bundle| Some(&bundle.id) == merged.bundle.as_ref());
    bundle
        .and_then(|bundle| bundle.reference.as_ref())
        .map_or("score", |reference| &reference.statistic)
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
        "<figure>\n<div class=\"wide\">{figure}</div><figcaption>Mix of predictions in every window, oldest to newest.</figcaption>\n</figure>\n"
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
        held(&judged_by(bundle)),
        text::count(merged.windows, "window"),
        text::count(merged.inputs, "input"),
        text::count(merged.errors, "error"),
        table(
            "Channel|Unit|Values|Mean|Deviation|Smallest|Largest|Missing|Out of range|Stuck",
            &rows
        ),
    )
}

fn judged_by(bundle: &BundleReport) -> String {
    match &bundle.reference {
        Some(reference) => format!(
            "Windows of {}, judged from {} on, by {} against the threshold of each channel.",
            text::span(reference.window_ms),
            text::count(reference.minimum_samples.into(), "input"),
            reference.statistic,
        ),
        None if bundle.name.is_some() => {
            "This bundle has no baseline, so no window is judged.".to_owned()
        }
        None => {
            "This bundle's file was not registered, so its names and thresholds are unknown here."
                .to_owned()
        }
    }
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
