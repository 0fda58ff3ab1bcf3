//! The news in sentences.

use super::model::*;
use super::text;

/// What needs a person first: drift, then what was lost, refused or does not add up, then who is
/// quiet; at last what the thresholds promise.
pub(super) fn findings(report: &Report) -> Vec<String> {
    let devices = || report.devices.iter();
    let mut findings: Vec<String> = devices()
        .flat_map(|device| {
            device
                .drifts
                .iter()
                .map(|drift| drifted(report, device, drift))
        })
        .collect();
    findings.extend(devices().filter_map(lost));
    findings.extend(devices().filter_map(doubtful));
    findings.extend(devices().filter_map(|device| quiet(report, device)));
    findings.extend(devices().filter_map(without_windows));
    findings.extend(refused(report));
    findings.extend(
        report
            .bundles
            .iter()
            .filter(|bundle| bundle.merged.judged > 0)
            .filter_map(promise),
    );
    findings
}

/// A device's name with its id.
pub(super) fn called(device: &DeviceReport) -> String {
    if device.name == device.id {
        device.id.clone()
    } else {
        format!("{} ({})", device.name, device.id)
    }
}

pub(super) fn drifted(report: &Report, device: &DeviceReport, drift: &Drift) -> String {
    let subject = if drift.what == "predictions" {
        "the mix of predictions"
    } else {
        &drift.what
    };
    let bundle = drift
        .bundle
        .as_ref()
        .and_then(|id| report.bundles.iter().find(|bundle| bundle.id == *id));
    let under = bundle.map_or_else(String::new, |bundle| format!(" under {}", bundle.title()));
    let score = match (drift.peak, drift.threshold) {
        (Some(peak), Some(threshold)) => format!(
            ", score {} at most against a threshold of {}",
            text::score(peak),
            text::score(threshold)
        ),
        (Some(peak), None) => format!(", score {} at most", text::score(peak)),
        _ => String::new(),
    };
    let now = if drift.ongoing {
        "It still does in the newest judged window"
    } else {
        "It no longer does in the newest judged window"
    };
    format!(
        "{}: {subject} drifted{under} in {} of {} since {}{score}. {now}.",
        called(device),
        drift.windows,
        text::count(drift.judged, "judged window"),
        text::moment(Some(drift.since_ms)),
    )
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

fn are(records: u64) -> String {
    format!(
        "{} {}",
        text::count(records, "record"),
        if records == 1 { "is" } else { "are" }
    )
}

fn doubtful(device: &DeviceReport) -> Option<String> {
    let conflicts = (device.conflicts > 0).then(|| {
        format!(
            "{} contradict stored ones",
            text::count(device.conflicts, "authentic record")
        )
    });
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
    let parts: Vec<String> = [conflicts, disagreements, unknown]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| format!("{}: {}.", called(device), text::list(&parts)))
}

fn quiet(report: &Report, device: &DeviceReport) -> Option<String> {
    let judged = device
        .windows
        .iter()
        .filter(|window| window.judgement == Judgement::Quiet)
        .count() as u64;
    let first = device.windows.iter().map(|window| window.opened_ms).min();
    let titles: Vec<String> = device
        .merged
        .iter()
        .filter_map(|merged| {
            report
                .bundles
                .iter()
                .find(|bundle| Some(&bundle.id) == merged.bundle.as_ref())
        })
        .map(BundleReport::title)
        .collect();
    (device.drifts.is_empty() && judged > 0).then(|| {
        let noun = text::count(judged, "judged window");
        format!(
            "{}: no drift in {noun} of {} since {}.",
            called(device),
            text::list(&titles),
            text::moment(first)
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
    let reasons: Vec<String> = report
        .refusals
        .iter()
        .fold(Vec::<(&str, u64)>::new(), |mut sums, refusal| {
            match sums
                .iter_mut()
                .find(|(reason, _)| *reason == refusal.reason)
            {
                Some((_, count)) => *count += refusal.count,
                None => sums.push((&refusal.reason, refusal.count)),
            }
            sums
        })
        .into_iter()
        .map(|(reason, count)| format!("{count} for {reason}"))
        .collect();
    (!reasons.is_empty()).then(|| format!("Refused: {}.", text::list(&reasons)))
}

/// What the thresholds of a bundle promise, and on how little that may rest.
pub(super) fn promise(bundle: &BundleReport) -> Option<String> {
    let alarms = bundle.reference.as_ref()?.false_alarms;
    let share = |share: f32| text::percent(share.into());
    Some(format!(
        "{}: without drift, a window raises the flag of any one channel in about {} of cases (95 % interval {} to {}, from {} of training data; asked for: {}).",
        bundle.title(),
        share(alarms.expected),
        share(alarms.lower),
        share(alarms.upper),
        text::count(alarms.blocks.into(), "block"),
        share(alarms.target),
    ))
}
