//! Files to clean rows, with everything that was found on the way.

use std::path::{Path, PathBuf};

use super::findings::{Findings, finding};
use super::layout::Layout;
use super::report::{FileSummary, Finding, LabelCount, Rule, Severity};
use super::rows::{Groups, Rows, data_hash};
use super::series::{Seen, SeriesRules};
use super::source::Source;
use super::split::{Parts, split};
use super::{ChannelSchema, DataError, InputSchema, LoadOptions, Progress, SHARE_TEST, leakage};
use crate::recipe::{Format, Recipe};

/// The name of the files of `[data]` in reports.
const DATA_PART: &str = "data";

/// Everything that was read, clean, with the findings.
pub(super) struct Ingested {
    pub(super) schema: InputSchema,
    /// The rows of `[data]`.
    pub(super) rows: Rows,
    pub(super) parts: Parts,
    /// The rows of each `[[split.test_file]]`, by its name.
    pub(super) tests: Vec<(String, Rows)>,
    pub(super) files: Vec<FileSummary>,
    pub(super) findings: Findings,
    pub(super) data_hash: String,
}

/// What one model input is, as the recipe says.
pub(super) fn input_schema(recipe: &Recipe) -> InputSchema {
    let channel = |column: &crate::recipe::Column| ChannelSchema {
        name: column.name.clone(),
        unit: column.unit.clone(),
        minimum: column.minimum.unwrap_or(f64::from(f32::MIN)) as f32,
        maximum: column.maximum.unwrap_or(f64::from(f32::MAX)) as f32,
    };
    InputSchema {
        steps: recipe.data.steps(),
        channels: recipe.data.channels().map(channel).collect(),
        sample_period_ms: recipe.monitor.sample_period.ms,
        stuck_after: recipe.monitor.stuck_after,
    }
}

/// Milliseconds from one row to the next; `None` where rows carry no time.
pub(super) fn row_period_ms(recipe: &Recipe) -> Option<u64> {
    recipe.data.time.as_ref()?;
    let stride = recipe.data.window.map_or(1, |window| window.stride.max(1)) as u64;
    Some((recipe.monitor.sample_period.ms / stride).max(1))
}

/// Reads everything the recipe names. Broken rows are findings; only files that cannot be read at
/// all are errors.
pub(super) fn ingest(
    recipe: &Recipe,
    options: &LoadOptions<'_>,
    kept: usize,
) -> Result<Ingested, DataError> {
    let schema = input_schema(recipe);
    let mut reader = Reader::new(recipe, options, kept);
    let rows = match recipe.data.format {
        Format::Simulated => reader.simulate(),
        Format::Csv | Format::Parquet => reader.part(DATA_PART, &recipe.data.files)?,
    };
    let mut tests = Vec::new();
    for test in &recipe.split.test_file {
        tests.push((
            test.name.clone(),
            reader.part(&test.name, std::slice::from_ref(&test.file))?,
        ));
    }
    let parts = split(&rows, recipe);
    reader.leakage(&rows, &parts, &tests);
    let all = std::iter::once(&rows).chain(tests.iter().map(|(_, rows)| rows));
    let data_hash = data_hash(&schema, &recipe.target.labels, all);
    Ok(Ingested {
        schema,
        rows,
        parts,
        tests,
        files: reader.files,
        findings: reader.findings,
        data_hash,
    })
}

struct Reader<'a> {
    recipe: &'a Recipe,
    options: &'a LoadOptions<'a>,
    directory: PathBuf,
    groups: Groups,
    files: Vec<FileSummary>,
    findings: Findings,
}

impl<'a> Reader<'a> {
    fn new(recipe: &'a Recipe, options: &'a LoadOptions<'a>, kept: usize) -> Self {
        let directory = options
            .data_dir
            .clone()
            .unwrap_or_else(|| recipe.folder().to_owned());
        Reader {
            recipe,
            options,
            directory,
            groups: Groups::default(),
            files: Vec::new(),
            findings: Findings::new(kept),
        }
    }

    fn part(&mut self, name: &str, files: &[PathBuf]) -> Result<Rows, DataError> {
        let mut part = Rows::new(self.recipe.data.channels().count());
        let mut seen = Seen::default();
        for file in files {
            part.append(self.file(name, file, &mut seen)?);
        }
        Ok(part)
    }

    fn file(&mut self, part: &str, file: &Path, seen: &mut Seen) -> Result<Rows, DataError> {
        let mut source = Source::open(&self.directory.join(file), &self.recipe.data)?;
        let number = self.files.len() as u32;
        let mut rows = Rows::new(self.recipe.data.channels().count());
        let mut read = 0;
        if let Some(layout) =
            Layout::resolve(self.recipe, file, source.columns(), &mut self.findings)
        {
            while let Some(row) = source.next_row()? {
                read += 1;
                self.report_progress(file, read, false);
                if let Some(clean) = layout.clean(&row, &mut self.groups, &mut self.findings) {
                    rows.push(number, clean);
                }
            }
            self.require_rows(file, read);
        }
        self.report_progress(file, read, true);
        let rules = SeriesRules {
            recipe: self.recipe,
            file,
            row_period_ms: row_period_ms(self.recipe),
        };
        let rows = if rows.len() > 0 {
            rules.apply(rows, seen, &mut self.findings)
        } else {
            rows
        };
        let summary = self.summary((part, file), source.sha256(), read, &rows);
        self.files.push(summary);
        Ok(rows)
    }

    fn require_rows(&mut self, file: &Path, read: u64) {
        if read == 0 {
            let message = "no rows after the header, expected at least one";
            let found = finding(file, Rule::FieldCount, Severity::Error, message);
            self.findings.add(Finding {
                line: Some(1),
                ..found
            });
        }
    }

    fn report_progress(&self, file: &Path, rows: u64, done: bool) {
        if let Some(progress) = self.options.progress
            && (done || rows.is_multiple_of(Progress::STEP))
        {
            progress(Progress {
                file: &file.display().to_string(),
                rows,
                done,
            });
        }
    }

    fn simulate(&mut self) -> Rows {
        let settings = self.recipe.data.simulation.clone().unwrap_or_default();
        let file = Path::new(crate::simulate::SOURCE);
        let rows = crate::simulate::rows(&settings, &self.recipe.target.labels);
        let sha256 = crate::simulate::settings_hash(&settings);
        let summary = self.summary((DATA_PART, file), &sha256, rows.len() as u64, &rows);
        self.report_progress(file, rows.len() as u64, true);
        self.files.push(summary);
        rows
    }

    fn summary(
        &self,
        (part, file): (&str, &Path),
        sha256: &str,
        read: u64,
        rows: &Rows,
    ) -> FileSummary {
        let count = |label: usize| {
            rows.labels
                .iter()
                .filter(|&&other| other as usize == label)
                .count() as u64
        };
        let labels = self.recipe.target.labels.iter().enumerate();
        let timed = self.recipe.data.time.is_some() || self.recipe.data.format == Format::Simulated;
        FileSummary {
            file: file.to_owned(),
            part: part.to_owned(),
            sha256: sha256.to_owned(),
            rows: read,
            dropped: read - rows.len() as u64,
            labels: labels
                .map(|(label, name)| LabelCount {
                    label: name.clone(),
                    count: count(label),
                })
                .collect(),
            first_ms: rows.time_ms.iter().min().copied().filter(|_| timed),
            last_ms: rows.time_ms.iter().max().copied().filter(|_| timed),
        }
    }

    fn leakage(&mut self, rows: &Rows, parts: &Parts, tests: &[(String, Rows)]) {
        let files: Vec<String> = self
            .files
            .iter()
            .map(|file| file.file.display().to_string())
            .collect();
        let everything: Vec<Vec<usize>> = tests
            .iter()
            .map(|(_, rows)| (0..rows.len()).collect())
            .collect();
        let of_data = [
            (leakage::TRAIN, &parts.train),
            (leakage::VALIDATION, &parts.validation),
            (SHARE_TEST, &parts.test),
        ];
        let mut all: Vec<leakage::Part> = of_data
            .into_iter()
            .map(|(name, chosen)| leakage::Part {
                name,
                rows,
                chosen,
                files: &files,
            })
            .collect();
        all.retain(|part| !part.chosen.is_empty());
        all.extend(
            tests
                .iter()
                .zip(&everything)
                .map(|((name, rows), chosen)| leakage::Part {
                    name,
                    rows,
                    chosen,
                    files: &files,
                }),
        );
        leakage::check(self.recipe, &all, &mut self.findings);
    }
}
