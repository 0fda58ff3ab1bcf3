//! From a device's records to its part of a [`Report`](super::Report).

use std::collections::BTreeMap;

use dunlin_monitor::drift;
use dunlin_wire::baseline::Baseline;
use dunlin_wire::record::{self, Boot, Event, EventCode, Kind, Loss, Record, Window};
use rusqlite::{Connection, params};

use super::gaps::Sequences;
use super::gather::{Bundles, Known, natural};
use super::merge::{Merged, finite, latency_us, mean_confidence};
use super::model::*;
use super::{ReportOptions, drifts, events};
use crate::error::Fault;

/// Everything the device's records say, in the order of its starts and of their numbers: the device's
/// clock may have been set, or never have been.
pub(super) fn fill(
    connection: &Connection,
    report: DeviceReport,
    options: ReportOptions,
    bundles: &mut Bundles,
) -> Result<DeviceReport, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT bytes FROM records WHERE device = ?1 ORDER BY boot, sequence")?;
    let mut rows = statement.query(params![report.id])?;
    let mut filler = Filler {
        report,
        options,
        bundles,
        merged: BTreeMap::new(),
        sequences: Sequences::default(),
    };
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        filler.take(&parse(bytes)?);
    }
    filler.report.conflicts = conflicts(connection, &filler.report.id, filler.bundles)?;
    filler.report.quarantine = quarantine(connection, &filler.report.id)?;
    Ok(filler.finish())
}

fn parse(bytes: &[u8]) -> Result<Record<'_>, Fault> {
    Record::parse(bytes)
        .map(|(record, _)| record)
        .map_err(|error| Fault::damaged("a record", error))
}

fn conflicts(
    connection: &Connection,
    device: &str,
    bundles: &Bundles,
) -> Result<Vec<Conflict>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT c.bytes, r.received_ms, c.received_ms, c.transport
         FROM conflicts c JOIN records r USING (device, boot, sequence)
         WHERE c.device = ?1 ORDER BY c.boot, c.sequence, c.received_ms, c.rowid",
    )?;
    let mut rows = statement.query(params![device])?;
    let mut conflicts = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(0)?;
        let record = parse(&bytes)?;
        conflicts.push(Conflict {
            boot: record.header().boot,
            sequence: record.header().sequence,
            kind: events::kind(record.header().kind),
            first_received_ms: row.get(1)?,
            received_ms: row.get(2)?,
            transport: row.get(3)?,
            window: record
                .body()
                .ok()
                .map(|window| window_report(&record, &window, bundles)),
        });
    }
    Ok(conflicts)
}

fn quarantine(connection: &Connection, device: &str) -> Result<Vec<Quarantined>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT boot, sequence, reason, transport, length(bytes), count, first_ms, last_ms
         FROM quarantine WHERE device = ?1 ORDER BY first_ms, rowid",
    )?;
    let rows = statement.query_map(params![device], |row| {
        Ok(Quarantined {
            boot: row.get(0)?,
            sequence: row.get(1)?,
            reason: row.get(2)?,
            transport: row.get(3)?,
            bytes: natural(row, 4)?,
            count: natural(row, 5)?,
            first_ms: row.get(6)?,
            last_ms: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

struct Filler<'a> {
    report: DeviceReport,
    options: ReportOptions,
    bundles: &'a mut Bundles,
    merged: BTreeMap<Option<String>, Merged>,
    sequences: Sequences,
}

impl Filler<'_> {
    fn take(&mut self, record: &Record<'_>) {
        let header = record.header();
        self.sequences.take(header.sequence);
        self.report.records += 1;
        self.report.boots = self.report.boots.max(header.boot);
        self.report.firmware = Some(header.firmware.to_string());
        self.report.bundle = header
            .bundle
            .map(|bundle| bundle.to_string())
            .or(self.report.bundle.take());
        let understood = match header.kind {
            Kind::WINDOW => record
                .body()
                .map(|window| self.window(record, &window))
                .is_ok(),
            Kind::LOSS => record.body().map(|loss| self.loss(loss)).is_ok(),
            Kind::BOOT => record
                .body()
                .map(|boot: Boot| self.event(record, events::started(boot)))
                .is_ok(),
            Kind::EVENT => record
                .body()
                .map(|event| self.happened(record, &event))
                .is_ok(),
            _ => false,
        };
        self.report.not_understood += u64::from(!understood);
    }

    fn loss(&mut self, loss: Loss) {
        self.sequences.lose(loss);
    }

    fn happened(&mut self, record: &Record<'_>, event: &Event) {
        if event.code == EventCode::NOT_WRITTEN {
            self.report.unwritten_records += u64::from(event.detail);
        }
        self.event(record, events::happened(event));
    }

    fn event(&mut self, record: &Record<'_>, what: String) {
        let header = record.header();
        let time_ms = header.time_ms.map(signed);
        self.report.events.push(EventReport {
            boot: header.boot,
            sequence: header.sequence,
            time_ms,
            uptime_ms: signed(header.uptime_ms),
            what,
        });
    }

    fn window(&mut self, record: &Record<'_>, window: &Window) {
        let older = |since_ms| signed(window.opened_ms) < since_ms;
        if self.options.since_ms.is_some_and(older) {
            return;
        }
        let id = record.header().bundle.map(|bundle| bundle.to_string());
        let merged = self.merged.entry(id.clone()).or_insert_with(|| Merged {
            bundle: id.clone(),
            ..Merged::default()
        });
        merged.add(window);
        if let Some(id) = &id {
            let known = self
                .bundles
                .entry(id.clone())
                .or_insert_with(|| Known::unregistered(id));
            self.report.disagreements += u64::from(!agrees(window, known.baseline().as_ref()));
        }
        let window = window_report(record, window, self.bundles);
        self.note_clock(&window);
        self.report.windows.push(window);
    }

    fn note_clock(&mut self, window: &WindowReport) {
        let before = self.report.windows.last();
        let jump = |before: &&WindowReport| {
            before.boot == window.boot && before.opened_ms > window.opened_ms
        };
        if let Some(before) = before.filter(jump) {
            self.report.clock_jumps.push(ClockJump {
                boot: window.boot,
                sequence: window.sequence,
                from_ms: before.opened_ms,
                to_ms: window.opened_ms,
            });
        }
    }

    fn finish(mut self) -> DeviceReport {
        self.report.lost_records = self.sequences.lost();
        self.report.gaps = self.sequences.gaps();
        self.report.repeated = self.sequences.repeated();
        for merged in self.merged.into_values() {
            let known = merged
                .bundle
                .as_ref()
                .and_then(|id| self.bundles.get_mut(id));
            if let Some(known) = known {
                known.report.merged.merge(&merged);
            }
            self.report.merged.push(merged);
        }
        self.report.drifts = drifts::drifts(&self.report.windows);
        self.report
    }
}

/// Whether the device's scores are those that its own counts and the bundle's baseline give here.
fn agrees(window: &Window, baseline: Option<&Baseline<'_>>) -> bool {
    let Some(baseline) = baseline.filter(|_| window.judged) else {
        return true;
    };
    window
        .channels
        .iter()
        .zip(baseline.channels())
        .all(|(channel, reference)| {
            let score = drift::channel_score(baseline, &reference, channel, window.inputs);
            score.map(f32::to_bits) == channel.score.map(f32::to_bits)
        })
}

fn window_report(record: &Record<'_>, window: &Window, bundles: &Bundles) -> WindowReport {
    let header = record.header();
    let id = header.bundle.map(|bundle| bundle.to_string());
    let bundle = id
        .as_ref()
        .and_then(|id| bundles.get(id))
        .map(|known| &known.report);
    let reference = bundle.and_then(|bundle| bundle.reference.as_ref());
    WindowReport {
        boot: header.boot,
        sequence: header.sequence,
        opened_ms: signed(window.opened_ms),
        span_ms: window.span_ms,
        judgement: judgement(window),
        inputs: window.inputs,
        errors: window.errors,
        channels: channel_reports(window, bundle),
        predictions: PredictionReport {
            counts: window.predictions.to_vec(),
            score: window.prediction_score,
            threshold: reference.and_then(|reference| reference.prediction_threshold),
            drifted: window.prediction_drifted,
        },
        confidence: mean_confidence(&window.confidence.counts),
        latency_median_us: latency_us(&window.latency.counts, 0.5),
        latency_99_us: latency_us(&window.latency.counts, 0.99),
        bundle: id,
    }
}

fn channel_reports(window: &Window, bundle: Option<&BundleReport>) -> Vec<ChannelReport> {
    let thresholds = bundle
        .and_then(|bundle| bundle.reference.as_ref())
        .map_or(&[][..], |reference| &reference.thresholds);
    let channels = window.channels.iter().enumerate().map(|(index, channel)| {
        let name = bundle.map_or_else(|| format!("channel {index}"), |known| known.channel(index));
        channel_report(channel, name, thresholds.get(index).copied().flatten())
    });
    channels.collect()
}

fn channel_report(
    channel: &record::Channel,
    name: String,
    threshold: Option<f32>,
) -> ChannelReport {
    ChannelReport {
        name,
        score: channel.score,
        threshold,
        drifted: channel.drifted,
        count: channel.count(),
        missing: channel.missing,
        out_of_range: channel.out_of_range,
        stuck: channel.stuck,
        mean: channel.mean(),
        deviation: channel.variance().map(f64::sqrt),
        minimum: finite(channel.minimum),
        maximum: finite(channel.maximum),
    }
}

fn judgement(window: &Window) -> Judgement {
    match (window.judged, window.drifted(), window.partial) {
        (_, true, _) => Judgement::Drifted,
        (true, false, _) => Judgement::Quiet,
        (false, false, true) => Judgement::Partial,
        (false, false, false) => Judgement::TooFew,
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
