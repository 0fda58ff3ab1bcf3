//! Collects findings: all are counted, the first of each kind are kept.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::report::{Finding, Rule, RuleCount, Severity};

type Kind = (PathBuf, Option<String>, Rule, Severity);

/// Findings in the order they were made.
pub(super) struct Findings {
    kept: usize,
    list: Vec<Finding>,
    by_kind: HashMap<Kind, usize>,
    counts: BTreeMap<(PathBuf, Rule, Severity), u64>,
}

impl Findings {
    /// Keeps `kept` findings per file, column, rule and severity.
    pub(super) fn new(kept: usize) -> Self {
        Findings {
            kept,
            list: Vec::new(),
            by_kind: HashMap::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        *self
            .counts
            .entry((finding.file.clone(), finding.rule, finding.severity))
            .or_default() += 1;
        let kind = (
            finding.file.clone(),
            finding.column.clone(),
            finding.rule,
            finding.severity,
        );
        let seen = self.by_kind.entry(kind).or_default();
        *seen += 1;
        if *seen <= self.kept {
            self.list.push(finding);
        }
    }

    pub(super) fn errors(&self) -> u64 {
        let errors = self
            .counts
            .iter()
            .filter(|((_, _, severity), _)| *severity == Severity::Error);
        errors.map(|(_, count)| count).sum()
    }

    /// The kept findings and the counts of all.
    pub(super) fn finish(self) -> (Vec<Finding>, Vec<RuleCount>) {
        let count = |((file, rule, severity), count)| RuleCount {
            file,
            rule,
            severity,
            count,
        };
        (self.list, self.counts.into_iter().map(count).collect())
    }
}

/// A finding about a file as a whole; line, column and value can be set afterwards.
pub(super) fn finding(
    file: &Path,
    rule: Rule,
    severity: Severity,
    message: impl Into<String>,
) -> Finding {
    Finding {
        file: file.to_owned(),
        line: None,
        column: None,
        value: None,
        rule,
        severity,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_findings_are_counted_and_the_first_are_kept() {
        let mut findings = Findings::new(2);
        for line in 1..=5 {
            let mut found = finding(
                Path::new("x.csv"),
                Rule::Range,
                Severity::Error,
                "expected 0 to 1",
            );
            found.line = Some(line);
            findings.add(found);
        }
        assert_eq!(findings.errors(), 5);
        let (list, counts) = findings.finish();
        assert_eq!(
            list.iter().map(|found| found.line).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        assert_eq!(
            counts.iter().map(|count| count.count).collect::<Vec<_>>(),
            [5]
        );
    }
}
