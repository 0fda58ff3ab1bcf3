//! What went wrong on devices, in sentences: sensors, clocks, identities, damaged records.

use super::findings::{called, title};
use super::merge::MergedChannel;
use super::model::*;
use super::{Merged, text};
use crate::MAX_QUARANTINE_BYTES;

/// Runs of numbers that a sentence names, at most.
const NAMED: usize = 4;

/// Missing, out-of-range and stuck values, and inputs without an answer, under each bundle.
pub(super) fn sensors(report: &Report, device: &DeviceReport) -> Vec<String> {
    device
        .merged
        .iter()
        .flat_map(|merged| {
            let place = Place {
                report,
                device,
                merged,
            };
            [
                place.missing(),
                place.out_of_range(),
                place.stuck(),
                place.errors(),
            ]
        })
        .flatten()
        .collect()
}

/// One device while one bundle ran.
struct Place<'a> {
    report: &'a Report,
    device: &'a DeviceReport,
    merged: &'a Merged,
}

impl Place<'_> {
    fn missing(&self) -> Option<String> {
        let parts = self.parts(|channel| channel.missing, |_| String::new());
        let when = self.when(|window| window.channels.iter().any(|channel| channel.missing > 0))?;
        Some(self.say(&format!("no reading from {}", text::list(&parts)), &when))
    }

    fn out_of_range(&self) -> Option<String> {
        let bundle = self.bundle();
        let parts = self.parts(
            |channel| channel.out_of_range,
            |index| {
                let range = bundle.and_then(|bundle| bundle.ranges.get(index));
                let unit = bundle.and_then(|bundle| bundle.units.get(index));
                range.map_or_else(String::new, |range| {
                    let unit = unit.map_or("", String::as_str);
                    format!(", allowed {} to {} {unit}", range.minimum, range.maximum)
                        .trim_end()
                        .to_owned()
                })
            },
        );
        let outside = |window: &WindowReport| {
            window
                .channels
                .iter()
                .any(|channel| channel.out_of_range > 0)
        };
        let when = self.when(outside)?;
        Some(self.say(
            &format!("beyond what training allowed: {}", text::list(&parts)),
            &when,
        ))
    }

    fn stuck(&self) -> Option<String> {
        let parts = self.parts(|channel| channel.stuck, |_| String::new());
        let when = self.when(|window| window.channels.iter().any(|channel| channel.stuck > 0))?;
        Some(self.say(&format!("stood still: {}", text::list(&parts)), &when))
    }

    fn errors(&self) -> Option<String> {
        let (errors, inputs) = (self.merged.errors, self.merged.inputs);
        let when = self.when(|window| window.errors > 0)?;
        let share = share(errors, inputs);
        Some(self.say(
            &format!("no answer to {errors} of {inputs} inputs ({share})"),
            &when,
        ))
    }

    fn say(&self, what: &str, when: &str) -> String {
        let under = title(self.report, self.merged.bundle.as_deref());
        format!("{}: {what}, under {under} {when}.", called(self.device))
    }

    fn bundle(&self) -> Option<&BundleReport> {
        let id = self.merged.bundle.as_ref()?;
        self.report.bundles.iter().find(|bundle| bundle.id == *id)
    }

    /// `temperature 40 of 2016 values (2.0 %)` for each channel that has any.
    fn parts(
        &self,
        of: fn(&MergedChannel) -> u64,
        remark: impl Fn(usize) -> String,
    ) -> Vec<String> {
        let channels = self.merged.channels.iter().enumerate();
        let affected = channels.filter(|(_, channel)| of(channel) > 0);
        affected
            .map(|(index, channel)| {
                let name = self.bundle().map_or_else(
                    || format!("channel {index}"),
                    |bundle| bundle.channel(index),
                );
                let (wrong, all) = (of(channel), channel.count() + channel.missing);
                let share = share(wrong, all);
                format!("{name} {wrong} of {all} values ({share}{})", remark(index))
            })
            .collect()
    }

    /// `in 2 of 7 windows, first 2015-02-11 00:00 UTC, last …`; `None` when there are none.
    fn when(&self, affected: impl Fn(&WindowReport) -> bool) -> Option<String> {
        let windows = || {
            let windows = self.device.windows.iter();
            windows.filter(|window| window.bundle == self.merged.bundle)
        };
        let hit: Vec<&WindowReport> = windows().filter(|window| affected(window)).collect();
        let (first, last) = (hit.first()?, hit.last()?);
        let clock = self.device.clock();
        let at = |window: &WindowReport| clock.moment(window.boot, window.opened_ms);
        let count = text::count(windows().count() as u64, "window");
        Some(match hit.len() {
            1 => format!("in 1 of {count}, that of {}", at(first)),
            many => format!(
                "in {many} of {count}, first {}, last {}",
                at(first),
                at(last)
            ),
        })
    }
}

fn share(part: u64, whole: u64) -> String {
    text::percent(part as f64 / whole.max(1) as f64)
}

/// Authentic records under a key that was taken, and what that likely means.
pub(super) fn conflicts(device: &DeviceReport) -> Option<String> {
    let keys: Vec<(u32, u32)> = device
        .conflicts
        .iter()
        .map(|conflict| (conflict.boot, conflict.sequence))
        .collect();
    let windows = device
        .conflicts
        .iter()
        .filter_map(|conflict| conflict.window.as_ref());
    let drifted = windows
        .clone()
        .filter(|window| window.judgement == Judgement::Drifted)
        .count();
    let among = match windows.count() as u64 {
        0 => String::new(),
        count => format!(
            " Among the others: {}, {drifted} with drift.",
            text::count(count, "window")
        ),
    };
    (!keys.is_empty()).then(|| {
        format!(
            "{}: {} came twice with different content, both authentic. Likely two devices share this identity (a copied \
             flash or credential), or the device went on from a restored flash image. Both contents are kept; what this \
             report adds up is of the one that came first.{among}",
            called(device),
            keys_of(&keys),
        )
    })
}

/// Numbers that came with more than one start.
pub(super) fn repeated(device: &DeviceReport) -> Option<String> {
    let runs: Vec<String> = device.repeated.iter().map(run).collect();
    (!runs.is_empty()).then(|| {
        format!(
            "{}: record numbers {} came with more than one start. Likely the device went on from a restored flash image, \
             or two devices share this identity.",
            called(device),
            few(&runs),
        )
    })
}

/// What was refused under a device's name and is kept.
pub(super) fn quarantine(device: &DeviceReport) -> Option<String> {
    let items = &device.quarantine;
    let held: u64 = items.iter().map(|item| item.bytes + 64).sum();
    let full = if held + 2048 > MAX_QUARANTINE_BYTES {
        " Its quarantine is full: a further damaged record holds up those behind it."
    } else {
        ""
    };
    let mut claimed: Vec<(u32, u32)> = items
        .iter()
        .filter_map(|item| item.boot.zip(item.sequence))
        .collect();
    claimed.sort_unstable();
    let claim = if claimed.is_empty() {
        String::new()
    } else {
        format!(", by their own account {}", keys_of(&claimed))
    };
    let reasons = text::tally(items.iter().map(|item| (item.reason.as_str(), 1)));
    (!items.is_empty()).then(|| {
        format!(
            "{}: {} not authentic and kept in quarantine ({}){claim}; in no sum. Likely damage on the device, a \
             credential that was changed, or somebody else under its name.{full}",
            called(device),
            text::are(items.len() as u64, "item"),
            text::list(&reasons),
        )
    })
}

/// Windows that began before the one made before them.
pub(super) fn clock(device: &DeviceReport) -> Option<String> {
    let back = |jump: &&ClockJump| jump.from_ms.abs_diff(jump.to_ms);
    let widest = device.clock_jumps.iter().max_by_key(back)?;
    let clock = device.clock();
    Some(format!(
        "{}: its clock went back {}, by {} at most (from {} to {}, at record {} of start {}). Windows stand in the order \
         in which they were made.",
        called(device),
        text::count(device.clock_jumps.len() as u64, "time"),
        text::span(back(&widest)),
        clock.moment(widest.boot, widest.from_ms),
        clock.moment(widest.boot, widest.to_ms),
        widest.sequence,
        widest.boot,
    ))
}

/// `record 5 of start 1, records 7-9 of start 2`, of starts and numbers in order.
fn keys_of(keys: &[(u32, u32)]) -> String {
    let mut runs: Vec<(u32, Gap)> = Vec::new();
    for &(boot, sequence) in keys {
        match runs.last_mut() {
            Some((last, run)) if *last == boot && sequence.abs_diff(run.last_sequence) <= 1 => {
                run.last_sequence = sequence;
            }
            _ => runs.push((
                boot,
                Gap {
                    first_sequence: sequence,
                    last_sequence: sequence,
                },
            )),
        }
    }
    let named = |(boot, range): &(u32, Gap)| {
        let noun = if range.records() == 1 {
            "record"
        } else {
            "records"
        };
        format!("{noun} {} of start {boot}", run(range))
    };
    few(&runs.iter().map(named).collect::<Vec<_>>())
}

fn run(range: &Gap) -> String {
    if range.first_sequence == range.last_sequence {
        range.first_sequence.to_string()
    } else {
        format!("{}-{}", range.first_sequence, range.last_sequence)
    }
}

fn few(items: &[String]) -> String {
    let named = items.get(..NAMED.min(items.len())).unwrap_or_default();
    match items.len().saturating_sub(NAMED) {
        0 => text::list(named),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_runs_and_only_a_few() {
        assert_eq!(keys_of(&[(1, 5)]), "record 5 of start 1");
        assert_eq!(
            keys_of(&[(1, 5), (1, 6), (1, 6), (2, 7)]),
            "records 5-6 of start 1 and record 7 of start 2"
        );
        let many: Vec<(u32, u32)> = (0..10).map(|index| (1, 2 * index)).collect();
        assert!(keys_of(&many).ends_with("record 6 of start 1 and 6 more"));
    }
}
