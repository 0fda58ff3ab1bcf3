//! The news in sentences.

use super::model::*;
use super::{text, trouble};

/// What needs a person first: drift, then sensors, then what was lost, contradicts itself or was
/// refused, then who is quiet; at last what the thresholds promise.
pub(super) fn findings(report: &Report) -> Vec<String> {
    let devices = || report.devices.iter();
    let mut findings: Vec<String> = devices()
        .flat_map(|device| {
            let alike = device.drifts.chunk_by(together);
            alike.map(|drifts| drifted(report, device, drifts))
        })
        .collect();
    findings.extend(devices().flat_map(|device| trouble::sensors(report, device)));
    findings.extend(devices().filter_map(lost));
    findings.extend(devices().filter_map(unwritten));
    findings.extend(devices().filter_map(trouble::conflicts));
    findings.extend(devices().filter_map(trouble::repeated));
    findings.extend(devices().filter_map(trouble::quarantine));
    findings.extend(devices().filter_map(trouble::clock));
    findings.extend(devices().filter_map(doubtful));
    findings.extend(devices().filter_map(|device| quiet(report, device)));
    findings.extend(devices().filter_map(without_windows));
    findings.extend(refused(report));
    findings.extend(promises(report));
    findings
}

/// A bundle's name and version, or its id.
pub(super) fn title(report: &Report, id: Option<&str>) -> String {
    match id {
        Some(id) => report
            .bundles
            .iter()
            .find(|bundle| bundle.id == id)
            .map_or_else(|| format!("bundle {id}"), BundleReport::title),
        None => "no bundle".to_owned(),
    }
}

/// A device's name with its id.
pub(super) fn called(device: &DeviceReport) -> String {
    if device.name == device.id {
        device.id.clone()
    } else {
        format!("{} ({})", device.name, device.id)
    }
}

/// Whether two things drifted in as many windows from the same one on.
fn together(a: &Drift, b: &Drift) -> bool {
    let when = |drift: &Drift| {
        (
            drift.since_boot,
            drift.since_ms,
            drift.windows,
            drift.judged,
        )
    };
    when(a) == when(b) && a.ongoing == b.ongoing && a.bundle == b.bundle
}

/// One sentence for all that drifted together.
fn drifted(report: &Report, device: &DeviceReport, drifts: &[Drift]) -> String {
    let Some(first) = drifts.first() else {
        return String::new();
    };
    let subject = |drift: &Drift| match drift.what.as_str() {
        "predictions" => "the mix of predictions".to_owned(),
        channel => channel.to_owned(),
    };
    let (verb, pronoun) = match (drifts.len(), first.ongoing) {
        (1, true) => ("still does", "It"),
        (1, false) => ("no longer does", "It"),
        (_, true) => ("still do", "They"),
        (_, false) => ("no longer do", "They"),
    };
    format!(
        "{}: {} drifted under {} in {} of {} since {}{}. {pronoun} {verb} in the newest judged window.",
        called(device),
        text::list(&drifts.iter().map(subject).collect::<Vec<_>>()),
        title(report, first.bundle.as_deref()),
        first.windows,
        text::count(first.judged, "judged window"),
        device.clock().moment(first.since_boot, first.since_ms),
        peaks(drifts),
    )
}

/// The highest scores and their thresholds, in the order of `drifts`.
fn peaks(drifts: &[Drift]) -> String {
    let scores = |of: fn(&Drift) -> Option<f32>| -> Option<Vec<String>> {
        drifts
            .iter()
            .map(|drift| of(drift).map(text::score))
            .collect()
    };
    let plural = if drifts.len() == 1 { "" } else { "s" };
    match (scores(|drift| drift.peak), scores(|drift| drift.threshold)) {
        (Some(peaks), Some(thresholds)) => format!(
            ", score{plural} {} at most against {}threshold{plural} of {}",
            text::list(&peaks),
            if drifts.len() == 1 { "a " } else { "" },
            text::list(&thresholds)
        ),
        (Some(peaks), None) => format!(", score{plural} {} at most", text::list(&peaks)),
        _ => String::new(),
    }
}

fn lost(device: &DeviceReport) -> Option<String> {
    let missing: u64 = device.gaps.iter().map(|gap| gap.records()).sum();
    match (device.lost_records, missing) {
        (0, 0) => None,
        (lost, 0) => Some(format!(
            "{} had to drop {} before they were collected.",
            called(device),
            text::count(lost, "record")
        )),
        (0, missing) => Some(format!(
            "{}: {} missing between those that came.",
            called(device),
            are(missing)
        )),
        (lost, missing) => Some(format!(
            "{} had to drop {} before they were collected; {} missing between those that came.",
            called(device),
            text::count(lost, "record"),
            are(missing)
        )),
    }
}

fn unwritten(device: &DeviceReport) -> Option<String> {
    let records = device.unwritten_records;
    (records > 0).then(|| {
        format!(
            "{} could not write {}: its flash memory failed, or its disk was full.",
            called(device),
            text::count(records, "record")
        )
    })
}

fn are(records: u64) -> String {
    text::are(records, "record")
}

fn doubtful(device: &DeviceReport) -> Option<String> {
    let disagreements = (device.disagreements > 0).then(|| {
        format!(
            "the scores of {} are not what their counts and the baseline give",
            text::count(device.disagreements, "window")
        )
    });
    let unknown = (device.not_understood > 0).then(|| {
        format!(
            "{} kept that this version does not understand",
            are(device.not_understood)
        )
    });
    let parts: Vec<String> = [disagreements, unknown].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{}: {}.", called(device), text::list(&parts)))
}

fn quiet(report: &Report, device: &DeviceReport) -> Option<String> {
    let judged = device
        .windows
        .iter()
        .filter(|window| window.judgement == Judgement::Quiet)
        .count() as u64;
    let first = device.windows.first()?;
    let mut titles: Vec<String> = device
        .merged
        .iter()
        .map(|merged| title(report, merged.bundle.as_deref()))
        .collect();
    titles.dedup();
    (device.drifts.is_empty() && judged > 0).then(|| {
        let noun = text::count(judged, "judged window");
        format!(
            "{}: no drift in {noun} of {} since {}.",
            called(device),
            text::list(&titles),
            device.clock().moment(first.boot, first.opened_ms)
        )
    })
}

fn without_windows(device: &DeviceReport) -> Option<String> {
    let called = called(device);
    match (device.last_seen_ms, device.windows.is_empty()) {
        (_, false) => None,
        (None, true) => Some(format!("{called} was never heard of.")),
        (Some(_), true) => Some(format!(
            "{called}: {} so far and no window among them.",
            text::count(device.records, "record")
        )),
    }
}

fn refused(report: &Report) -> Option<String> {
    let refusals = report.refusals.iter();
    let reasons = text::tally(refusals.map(|refusal| (refusal.reason.as_str(), refusal.count)));
    (!reasons.is_empty()).then(|| format!("Refused: {}.", text::list(&reasons)))
}

/// What the thresholds of the bundles promise, and on how little that may rest; once for those that
/// promise the same.
fn promises(report: &Report) -> Vec<String> {
    let mut alike: Vec<(FalseAlarms, Vec<String>)> = Vec::new();
    for bundle in report
        .bundles
        .iter()
        .filter(|bundle| bundle.merged.judged > 0)
    {
        let Some(reference) = &bundle.reference else {
            continue;
        };
        let title = bundle.title();
        match alike
            .iter_mut()
            .find(|(alarms, _)| *alarms == reference.false_alarms)
        {
            Some((_, titles)) if titles.contains(&title) => {}
            Some((_, titles)) => titles.push(title),
            None => alike.push((reference.false_alarms, vec![title])),
        }
    }
    alike
        .into_iter()
        .map(|(alarms, titles)| promise(&alarms, &titles))
        .collect()
}

fn promise(alarms: &FalseAlarms, titles: &[String]) -> String {
    let share = |share: f32| text::percent(share.into());
    format!(
        "{}: without drift, a window raises the flag of any one channel in about {} of cases (95 % interval {} to {}, from {} of training data; asked for: {}).",
        text::list(titles),
        share(alarms.expected),
        share(alarms.lower),
        share(alarms.upper),
        text::count(alarms.blocks.into(), "block"),
        share(alarms.target),
    )
}
