//! From rows to a [`Report`].

use std::collections::BTreeMap;

use dunlin_wire::DeviceId;
use dunlin_wire::baseline::{Baseline, Statistic};
use dunlin_wire::schema::Schema;
use rusqlite::{Connection, Row, params};

use super::filler::fill;
use super::merge::{Merged, finite};
use super::model::*;
use super::{ReportOptions, findings};
use crate::error::Fault;
use crate::{FleetError, Store};

/// A bundle with its baseline as it stands in the database.
pub(super) struct Known {
    pub report: BundleReport,
    baseline: Option<Vec<u8>>,
}

impl Known {
    pub fn unregistered(id: &str) -> Self {
        let report = BundleReport {
            id: id.to_owned(),
            name: None,
            version: None,
            target: None,
            channels: Vec::new(),
            units: Vec::new(),
            ranges: Vec::new(),
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

    pub fn baseline(&self) -> Option<Baseline<'_>> {
        self.baseline
            .as_deref()
            .and_then(|bytes| Baseline::parse(bytes).ok())
    }
}

pub(super) type Bundles = BTreeMap<String, Known>;

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
    report.ranges = schema
        .channels
        .iter()
        .map(|channel| Range {
            minimum: channel.minimum,
            maximum: channel.maximum,
        })
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
        "SELECT device, name, transport, first_seen_ms, last_seen_ms
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
        unwritten_records: 0,
        gaps: Vec::new(),
        repeated: Vec::new(),
        conflicts: Vec::new(),
        quarantine: Vec::new(),
        disagreements: 0,
        clock_jumps: Vec::new(),
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
        conflicts: count(devices, |device| device.conflicts.len()),
        quarantined: count(devices, |device| device.quarantine.len()),
        disagreements: devices.iter().map(|device| device.disagreements).sum(),
        refusals: refusals.iter().map(|refusal| refusal.count).sum(),
    }
}

fn count(devices: &[DeviceReport], of: fn(&DeviceReport) -> usize) -> u64 {
    devices.iter().map(|device| of(device) as u64).sum()
}

/// A count, which SQLite keeps with a sign.
pub(super) fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.try_into().unwrap_or(0))
}
