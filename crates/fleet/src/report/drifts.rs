//! What drifted since when.

use std::collections::BTreeMap;

use super::model::{Drift, Judgement, WindowReport};

/// One candidate per bundle and thing that drifted: the windows it could have drifted in, in order.
pub(super) fn drifts(windows: &[WindowReport]) -> Vec<Drift> {
    let mut things: BTreeMap<(Option<&str>, usize), Vec<Seen<'_>>> = BTreeMap::new();
    for window in windows
        .iter()
        .filter(|window| matches!(window.judgement, Judgement::Quiet | Judgement::Drifted))
    {
        for (index, signal) in signals(window).enumerate() {
            things
                .entry((window.bundle.as_deref(), index))
                .or_default()
                .push((window, signal));
        }
    }
    things
        .into_values()
        .filter_map(|thing| drift_of(&thing))
        .collect()
}

/// A signal with the window it stands in.
type Seen<'a> = (&'a WindowReport, Signal<'a>);

struct Signal<'a> {
    what: &'a str,
    score: Option<f32>,
    threshold: Option<f32>,
    drifted: bool,
}

fn signals(window: &WindowReport) -> impl Iterator<Item = Signal<'_>> {
    let predictions = &window.predictions;
    let mix = Signal {
        what: "predictions",
        score: predictions.score,
        threshold: predictions.threshold,
        drifted: predictions.drifted,
    };
    let channels = window.channels.iter().map(|channel| Signal {
        what: &channel.name,
        score: channel.score,
        threshold: channel.threshold,
        drifted: channel.drifted,
    });
    channels.chain([mix])
}

fn drift_of(windows: &[Seen<'_>]) -> Option<Drift> {
    let first = windows.iter().position(|(_, signal)| signal.drifted)?;
    let since = windows.get(first..)?;
    let drifted: Vec<_> = since.iter().filter(|(_, signal)| signal.drifted).collect();
    let (opened, signal) = since.first()?;
    Some(Drift {
        bundle: opened.bundle.clone(),
        what: signal.what.to_owned(),
        since_boot: opened.boot,
        since_ms: opened.opened_ms,
        until_ms: drifted.last()?.0.opened_ms,
        windows: drifted.len() as u64,
        judged: since.len() as u64,
        ongoing: since.last()?.1.drifted,
        peak: drifted
            .iter()
            .filter_map(|(_, signal)| signal.score)
            .reduce(f32::max),
        threshold: signal.threshold,
    })
}
