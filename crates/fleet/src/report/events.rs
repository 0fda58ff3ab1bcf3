//! Starts and events in words.

use dunlin_wire::record::{Boot, Event, EventCode, Kind, ResetReason};

use super::text;

pub(super) fn started(boot: Boot) -> String {
    let why = match boot.reason {
        ResetReason::POWER => "power came",
        ResetReason::EXTERNAL => "reset from outside",
        ResetReason::SOFTWARE => "the firmware asked for it",
        ResetReason::WATCHDOG => "the watchdog",
        _ => "reason unknown",
    };
    format!("started: {why}")
}

pub(super) fn happened(event: &Event) -> String {
    let bundle = event.bundle.map_or_else(
        || "a bundle".to_owned(),
        |bundle| format!("bundle {bundle}"),
    );
    match event.code {
        EventCode::ACTIVATED => format!("{bundle} became active"),
        EventCode::ROLLED_BACK => format!("{bundle} was given up"),
        EventCode::REFUSED => format!("{bundle} was refused (reason {})", event.detail),
        EventCode::CONFIRMED => format!("{bundle} passed its probation"),
        EventCode::CLOCK_SET => "the clock was set".to_owned(),
        EventCode::NOT_WRITTEN => {
            let missing = text::count(u64::from(event.detail), "record");
            format!("{missing} could not be written")
        }
        EventCode(code) => format!("event {code} (detail {})", event.detail),
    }
}

/// What a record of this kind tells, in a word.
pub(super) fn kind(kind: Kind) -> String {
    match kind {
        Kind::WINDOW => "window".to_owned(),
        Kind::LOSS => "loss".to_owned(),
        Kind::BOOT => "start".to_owned(),
        Kind::EVENT => "event".to_owned(),
        Kind(code) => format!("kind {code}"),
    }
}
