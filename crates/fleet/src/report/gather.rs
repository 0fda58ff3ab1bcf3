//! From rows to a [`Report`].

use std::collections::BTreeMap;

use dunlin_monitor::drift;
use dunlin_wire::DeviceId;
use dunlin_wire::baseline::{Baseline, Statistic};
use dunlin_wire::record::{self, Boot, Event, EventCode, Kind, Loss, Record, ResetReason, Window};
use dunlin_wire::schema::Schema;
use rusqlite::{Connection, Row, params};

use super::gaps::Sequences;
use super::merge::{Merged, finite, latency_us, mean_confidence};
use super::model::*;
use super::{ReportOptions, drifts, findings};
use crate::error::Fault;
use crate::{FleetError, Store};

/// A bundle with its baseline as it stands in the database.
struct Known {
    report: BundleReport,
    baseline: Option<Vec<u8>>,
}

impl Known {
    fn unregistered(id: &str) -> Self {
        let report = BundleReport {
            id: id.to_owned(),
            name: None,
            version: None,
            target: None,
            channels: Vec::new(),
            units: Vec::new(),
            labels: Vec::new(),
            reference: None,
            merged: Merged {
                bundle: Some(id.to_owned()),
                ..Merged::default()
            },
        };
        Self {
            report,
            baseline: None,
        }
    }

    fn baseline(&self) -> Option<Baseline<'_>> {
        self.baseline
            .as_deref()
            .and_then(|bytes| Baseline::parse(bytes).ok())
    }
}

type Bundles = BTreeMap<String, Known>;

pub(super) fn gather(
    store: &Store,
    options: ReportOptions,
    made_ms: i64,
) -> Result<Report, FleetError> {
    store.reading(|connection| whole(connection, options, made_ms))
}

fn whole(connection: &Connection, options: ReportOptions, made_ms: i64) -> Result<Report, Fault> {
    let mut bundles = bundles(connection)?;
    let devices = devices(connection, options.device)?
        .into_iter()
        .map(|device| fill(connection, device, options, &mut bundles))
        .collect::<Result<Vec<_>, _>>()?;
    let refusals = refusals(connection, options.device)?;
    let mut report = Report {
        made_ms,
        overview: overview(&devices, &refusals),
        findings: Vec::new(),
        bundles: bundles.into_values().map(|known| known.report).collect(),
        devices,
        refusals,
    };
    report.findings = findings::findings(&report);
    Ok(report)
}

fn bundles(connection: &Connection) -> Result<Bundles, Fault> {
    let mut statement = connection
        .prepare("SELECT bundle, name, version, target, schema, baseline FROM bundles")?;
    let rows = statement.query_map([], |row| {
        let mut known = Known::unregistered(&row.get::<_, String>(0)?);
        known.report.name = row.get(1)?;
        known.report.version = row.get(2)?;
        known.report.target = row.get(3)?;
        known.baseline = row.get(5)?;
        Ok((known, row.get::<_, Vec<u8>>(4)?))
    })?;
    rows.map(|row| {
        let (mut known, schema) = row?;
        name_parts(&mut known.report, &schema)?;
        known.report.reference = known.baseline().map(|baseline| reference(&baseline));
        Ok((known.report.id.clone(), known))
    })
    .collect()
}

fn name_parts(report: &mut BundleReport, schema: &[u8]) -> Result<(), Fault> {
    let schema = Schema::parse(schema).map_err(|error| Fault::damaged("a schema", error))?;
    report.channels = schema
        .channels
        .iter()
        .map(|channel| channel.name.to_owned())
        .collect();
    report.units = schema
        .channels
        .iter()
        .map(|channel| channel.unit.to_owned())
        .collect();
    report.labels = schema
        .labels
        .iter()
        .map(|&label| label.to_owned())
        .collect();
    Ok(())
}

fn reference(baseline: &Baseline<'_>) -> Reference {
    let alarms = baseline.false_alarms();
    Reference {
        statistic: match baseline.statistic() {
            Statistic::PSI => "PSI".to_owned(),
            Statistic(code) => format!("statistic {code}"),
        },
        window_ms: baseline.window_ms(),
        minimum_samples: baseline.minimum_samples(),
        thresholds: baseline
            .channels()
            .map(|channel| finite(channel.threshold()))
            .collect(),
        prediction_threshold: finite(baseline.prediction_threshold()),
        false_alarms: FalseAlarms {
            target: alarms.target,
            expected: alarms.expected,
            lower: alarms.lower,
            upper: alarms.upper,
            blocks: alarms.blocks,
        },
    }
}

fn devices(connection: &Connection, only: Option<DeviceId>) -> Result<Vec<DeviceReport>, Fault> {
    let only = only.map(|device| device.to_string());
    let mut statement = connection.prepare(
        "SELECT device, name, transport, first_seen_ms, last_seen_ms,
         (SELECT count(*) FROM conflicts WHERE conflicts.device = devices.device)
         FROM devices WHERE ?1 IS NULL OR device = ?1 ORDER BY name, device",
    )?;
    let rows = statement.query_map(params![only], device)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn device(row: &Row<'_>) -> rusqlite::Result<DeviceReport> {
    Ok(DeviceReport {
        id: row.get(0)?,
        name: row.get(1)?,
        transport: row.get(2)?,
        firmware: None,
        bundle: None,
        first_seen_ms: row.get(3)?,
        last_seen_ms: row.get(4)?,
        boots: 0,
        records: 0,
        not_understood: 0,
        lost_records: 0,
        gaps: Vec::new(),
        conflicts: natural(row, 5)?,
        disagreements: 0,
        windows: Vec::new(),
        drifts: Vec::new(),
        events: Vec::new(),
        merged: Vec::new(),
    })
}

fn refusals(connection: &Connection, only: Option<DeviceId>) -> Result<Vec<RefusalCount>, Fault> {
    let only = only.map(|device| device.to_string());
    let mut statement = connection.prepare(
        "SELECT transport, nullif(device, ''), reason, count, first_ms, last_ms FROM refusals
         WHERE ?1 IS NULL OR device = ?1 ORDER BY last_ms DESC, device, reason",
    )?;
    let rows = statement.query_map(params![only], |row| {
        Ok(RefusalCount {
            transport: row.get(0)?,
            device: row.get(1)?,
            reason: row.get(2)?,
            count: natural(row, 3)?,
            first_ms: row.get(4)?,
            last_ms: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn fill(
    connection: &Connection,
    report: DeviceReport,
    options: ReportOptions,
    bundles: &mut Bundles,
) -> Result<DeviceReport, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT bytes FROM records WHERE device = ?1 ORDER BY sequence, boot")?;
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
        let (record, _) =
            Record::parse(bytes).map_err(|error| Fault::damaged("a record", error))?;
        filler.take(&record);
    }
    Ok(filler.finish())
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
                .map(|boot: Boot| self.event(record, started(boot)))
                .is_ok(),
            Kind::EVENT => record
                .body()
                .map(|event: Event| self.event(record, happened(&event)))
                .is_ok(),
            _ => false,
        };
        self.report.not_understood += u64::from(!understood);
    }

    fn loss(&mut self, loss: Loss) {
        self.report.lost_records += u64::from(loss.records());
        self.sequences.lose(loss);
    }

    fn event(&mut self, record: &Record<'_>, what: String) {
        let header = record.header();
        let time_ms = header.time_ms.map(signed);
        self.report.events.push(EventReport {
            boot: header.boot,
            sequence: header.sequence,
            time_ms,
            what,
        });
    }

    fn window(&mut self, record: &Record<'_>, window: &Window) {
        let header = record.header();
        let id = header.bundle.map(|bundle| bundle.to_string());
        if self
            .options
            .since_ms
            .is_some_and(|since_ms| signed(window.opened_ms) < since_ms)
        {
            return;
        }
        let merged = self.merged.entry(id.clone()).or_insert_with(|| Merged {
            bundle: id.clone(),
            ..Merged::default()
        });
        merged.add(window);
        let nobody = Known::unregistered("");
        let known = match &id {
            Some(id) => {
                let known = self
                    .bundles
                    .entry(id.clone())
                    .or_insert_with(|| Known::unregistered(id));
                known.report.merged.add(window);
                &*known
            }
            None => &nobody,
        };
        self.report.disagreements += u64::from(!agrees(window, known.baseline().as_ref()));
        self.report.windows.push(WindowReport {
            boot: header.boot,
            sequence: header.sequence,
            opened_ms: signed(window.opened_ms),
            ..window_report(window, &known.report, id)
        });
    }

    fn finish(mut self) -> DeviceReport {
        self.report.gaps = self.sequences.gaps();
        self.report.merged = self.merged.into_values().collect();
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

fn window_report(window: &Window, bundle: &BundleReport, id: Option<String>) -> WindowReport {
    let reference = bundle.reference.as_ref();
    let threshold = |index: usize| {
        reference.and_then(|reference| reference.thresholds.get(index).copied().flatten())
    };
    WindowReport {
        boot: 0,
        sequence: 0,
        bundle: id,
        opened_ms: 0,
        span_ms: window.span_ms,
        judgement: judgement(window),
        inputs: window.inputs,
        errors: window.errors,
        channels: window
            .channels
            .iter()
            .enumerate()
            .map(|(index, channel)| {
                channel_report(channel, bundle.channel(index), threshold(index))
            })
            .collect(),
        predictions: PredictionReport {
            counts: window.predictions.to_vec(),
            score: window.prediction_score,
            threshold: reference.and_then(|reference| reference.prediction_threshold),
            drifted: window.prediction_drifted,
        },
        confidence: mean_confidence(&window.confidence.counts),
        latency_median_us: latency_us(&window.latency.counts, 0.5),
        latency_99_us: latency_us(&window.latency.counts, 0.99),
    }
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

fn overview(devices: &[DeviceReport], refusals: &[RefusalCount]) -> Overview {
    let windows = || devices.iter().flat_map(|device| &device.windows);
    let with = |wanted: &[Judgement]| {
        windows()
            .filter(|window| wanted.contains(&window.judgement))
            .count() as u64
    };
    Overview {
        devices: devices.len() as u64,
        silent: devices
            .iter()
            .filter(|device| device.last_seen_ms.is_none())
            .count() as u64,
        last_seen_ms: devices
            .iter()
            .filter_map(|device| device.last_seen_ms)
            .max(),
        windows: windows().count() as u64,
        judged: with(&[Judgement::Quiet, Judgement::Drifted]),
        drifted: with(&[Judgement::Drifted]),
        lost_records: devices.iter().map(|device| device.lost_records).sum(),
        missing_records: devices
            .iter()
            .flat_map(|device| &device.gaps)
            .map(|gap| gap.records())
            .sum(),
        conflicts: devices.iter().map(|device| device.conflicts).sum(),
        disagreements: devices.iter().map(|device| device.disagreements).sum(),
        refusals: refusals.iter().map(|refusal| refusal.count).sum(),
    }
}

fn started(boot: Boot) -> String {
    let why = match boot.reason {
        ResetReason::POWER => "power came",
        ResetReason::EXTERNAL => "reset from outside",
        ResetReason::SOFTWARE => "the firmware asked for it",
        ResetReason::WATCHDOG => "the watchdog",
        _ => "reason unknown",
    };
    format!("started: {why}")
}

fn happened(event: &Event) -> String {
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
        EventCode(code) => format!("event {code} (detail {})", event.detail),
    }
}

/// A count, which SQLite keeps with a sign.
fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.try_into().unwrap_or(0))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
