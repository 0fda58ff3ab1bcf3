//! Numbers and times as people read them.

use jiff::Timestamp;

/// No device was there before 2000-01-01 UTC: an earlier time counts from the device's start.
const FIRST_CLOCK_MS: i64 = 946_684_800_000;

/// `2015-02-11 14:48`, in UTC, as the headings say; `unknown` for a time nobody told.
pub(super) fn time(ms: Option<i64>) -> String {
    ms.map_or_else(|| "unknown".to_owned(), |ms| Clock::MINUTES.utc(ms))
}

/// How exactly the times of a device are written: so that its windows can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    format: &'static str,
    milliseconds: bool,
}

impl Clock {
    const MINUTES: Self = Self {
        format: "%Y-%m-%d %H:%M",
        milliseconds: false,
    };
    const SECONDS: Self = Self {
        format: "%Y-%m-%d %H:%M:%S",
        milliseconds: false,
    };
    const MILLISECONDS: Self = Self {
        format: "%Y-%m-%d %H:%M:%S%.3f",
        milliseconds: true,
    };

    /// For windows that begin so long after one another at least.
    pub fn for_steps_of(ms: Option<u64>) -> Self {
        match ms {
            Some(0..1000) => Self::MILLISECONDS,
            Some(1000..60_000) => Self::SECONDS,
            _ => Self::MINUTES,
        }
    }

    /// `2015-02-11 14:48` in UTC; `start 2 + 1:05:00`, in hours, minutes and seconds, where the device
    /// had no clock.
    pub fn at(self, boot: u32, ms: i64) -> String {
        if has_clock(ms) {
            return self.utc(ms);
        }
        let (sign, ms) = (if ms < 0 { "-" } else { "+" }, ms.unsigned_abs());
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let fraction = if self.milliseconds {
            format!(".{:03}", ms % 1000)
        } else {
            String::new()
        };
        format!("start {boot} {sign} {hours}:{minutes:02}:{seconds:02}{fraction}")
    }

    /// The same within a sentence, with its zone: `2015-02-11 14:48 UTC`.
    pub fn moment(self, boot: u32, ms: i64) -> String {
        self.at(boot, ms) + if has_clock(ms) { " UTC" } else { "" }
    }

    fn utc(self, ms: i64) -> String {
        Timestamp::from_millisecond(ms).map_or_else(
            |_| "unknown".to_owned(),
            |at| at.strftime(self.format).to_string(),
        )
    }
}

fn has_clock(ms: i64) -> bool {
    ms >= FIRST_CLOCK_MS
}

/// A span of time in its largest unit, with one decimal unless it is whole: `1 d`, `23.9 h`, `20 ms`.
pub(super) fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ];
    match UNITS.iter().find(|(unit, _)| ms >= *unit) {
        Some((unit, name)) if ms.is_multiple_of(*unit) => format!("{} {name}", ms / unit),
        Some((unit, name)) => format!("{:.1} {name}", ms as f64 / *unit as f64),
        None => format!("{ms} ms"),
    }
}

/// Microseconds as µs, ms or s.
pub(super) fn latency(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 1_000_000.0 => format!("{:.1} ms", us / 1000.0),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A share as a percentage with as many digits as it deserves.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p == 0.0 || p >= 10.0 => format!("{p:.0} %"),
        p if p >= 1.0 => format!("{p:.1} %"),
        p => format!("{p:.2} %"),
    }
}

/// A score with three significant digits.
pub(super) fn score(value: f32) -> String {
    match value.abs() {
        v if v.is_infinite() => "∞".to_owned(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// `1 window`, `2 windows`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `1 record is`, `2 records are`.
pub(super) fn are(number: u64, noun: &str) -> String {
    format!(
        "{} {}",
        count(number, noun),
        if number == 1 { "is" } else { "are" }
    )
}

/// `3 for bad tag` for each reason, in the order in which they come.
pub(super) fn tally<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Vec<String> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for (reason, count) in counts {
        match sums.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => *sum += count,
            None => sums.push((reason, count)),
        }
    }
    sums.into_iter()
        .map(|(reason, count)| format!("{count} for {reason}"))
        .collect()
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_people() {
        assert_eq!(time(Some(1_423_666_080_000)), "2015-02-11 14:48");
        assert_eq!(time(None), "unknown");
        assert_eq!(
            [86_400_000, 86_100_000, 2500, 20].map(span),
            ["1 d", "23.9 h", "2.5 s", "20 ms"]
        );
        assert_eq!(
            [12.0, 1500.0, 2e6].map(latency),
            ["12 µs", "1.5 ms", "2.0 s"]
        );
        assert_eq!(
            [0.0, 0.005, 0.05, 0.17].map(percent),
            ["0 %", "0.50 %", "5.0 %", "17 %"]
        );
        assert_eq!(
            [0.1234, 2.5, 12.34, 123.4, f32::INFINITY].map(score),
            ["0.123", "2.50", "12.3", "123", "∞"]
        );
        assert_eq!(
            [count(1, "window"), count(2, "window")],
            ["1 window", "2 windows"]
        );
        let list = |items: &[&str]| {
            list(
                &items
                    .iter()
                    .map(|&item| item.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            [list(&["a"]), list(&["a", "b"]), list(&["a", "b", "c"])],
            ["a", "a and b", "a, b and c"]
        );
    }

    #[test]
    fn a_devices_times_are_as_exact_as_its_windows_are_long() {
        let minutes = Clock::for_steps_of(Some(86_400_000));
        assert_eq!(minutes.at(2, 3_905_000), "start 2 + 1:05:05");
        assert_eq!(minutes.moment(1, 1_423_666_080_000), "2015-02-11 14:48 UTC");
        let clock = |step| Clock::for_steps_of(Some(step)).at(1, 1_423_666_080_250);
        assert_eq!(clock(60_000), "2015-02-11 14:48");
        assert_eq!(clock(59_999), "2015-02-11 14:48:00");
        assert_eq!(clock(999), "2015-02-11 14:48:00.250");
    }
}
