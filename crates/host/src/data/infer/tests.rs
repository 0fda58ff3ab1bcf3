use super::*;
use crate::data::{CheckOptions, check};
use crate::recipe::Recipe;

fn proposal(content: &[u8]) -> Proposal {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(&path, content).unwrap();
    infer(&path).unwrap()
}

/// Infers a file and checks it against the recipe that was proposed.
fn round_trip(content: &[u8]) -> Proposal {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(&path, content).unwrap();
    let proposal = infer(&path).unwrap();
    let text = proposal.to_string();
    let recipe = Recipe::parse(&text, Path::new("recipe.toml"))
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let options = CheckOptions {
        data_dir: Some(folder.path().to_owned()),
        ..CheckOptions::default()
    };
    let report = check(&recipe, &options).unwrap();
    assert!(report.passed(), "{:#?}\n{text}", report.findings);
    assert_eq!(report.files[0].rows, proposal.rows);
    proposal
}

#[test]
fn occupancy_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/occupancy");
    if !folder.exists() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    for (file, rows) in [
        ("datatraining.txt", 8143),
        ("datatest.txt", 2665),
        ("datatest2.txt", 9752),
    ] {
        let proposal = infer(&folder.join(file)).unwrap();
        assert_eq!(
            (proposal.rows, proposal.row_number, proposal.delimiter),
            (rows, true, Some(','))
        );
        let time = proposal.time.as_ref().unwrap();
        assert_eq!(
            (time.column.as_str(), time.format.as_str()),
            ("date", "%Y-%m-%d %H:%M:%S")
        );
        assert_eq!(
            (time.period_ms, time.gaps, time.backwards, time.duplicates),
            (60_000, 0, 0, 0)
        );
        assert_eq!(proposal.target.as_deref(), Some("Occupancy"));
        let kinds: Vec<&str> = proposal
            .columns
            .iter()
            .map(|column| column.kind.name())
            .collect();
        assert_eq!(
            kinds,
            [
                "time", "number", "number", "number", "number", "number", "integer"
            ]
        );
    }
    let proposal = infer(&folder.join("datatraining.txt")).unwrap();
    let temperature = &proposal.columns[1];
    assert_eq!(
        (temperature.minimum, temperature.maximum, temperature.nulls),
        (Some(19.0), Some(23.18), 0)
    );
    assert!((temperature.mean.unwrap() - 20.619_083_6).abs() < 1e-6);
    let shown = proposal.to_string();
    assert!(
        shown.contains("8143 rows")
            && shown.contains("0 (6414), 1 (1729)")
            && shown.contains("every 1m"),
        "{shown}"
    );
    round_trip(&std::fs::read(folder.join("datatraining.txt")).unwrap());
}

#[test]
fn semicolons_commas_and_german_dates_are_understood() {
    let row = |minute: u32| {
        format!(
            "01.02.2026 10:{minute:02}:00;1.2{minute:02},5;{}\n",
            if minute.is_multiple_of(2) {
                "an"
            } else {
                "aus"
            }
        )
    };
    let text = format!(
        "Zeit;Größe;Zustand\n{}",
        (0..40).map(row).collect::<String>()
    );
    let (latin, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
    let proposal = round_trip(&latin);
    assert_eq!(
        (proposal.delimiter, proposal.encoding.as_deref()),
        (Some(';'), Some("windows-1252"))
    );
    assert_eq!((proposal.decimal, proposal.thousands), (',', Some('.')));
    assert_eq!(proposal.time.unwrap().format, "%d.%m.%Y %H:%M:%S");
    assert_eq!(
        (
            proposal.columns[1].name.as_str(),
            proposal.columns[1].maximum
        ),
        ("Größe", Some(1239.5))
    );
    assert_eq!(proposal.target.as_deref(), Some("Zustand"));
}

#[test]
fn gaps_jumps_duplicates_and_missing_values_are_counted() {
    let text = "time,x,note\n1000000000,1,\n1000000060,2,a\n1000000060,,b\n1000000120,4,c\n1000000720,5,d\n1000000660,6,e\nbroken\n";
    let proposal = proposal(text.as_bytes());
    let time = proposal.time.as_ref().unwrap();
    assert_eq!(
        (time.format.as_str(), time.period_ms, time.gaps),
        ("unix", 60_000, 1)
    );
    assert_eq!(
        (time.backwards, time.duplicates, time.longest_step_ms),
        (1, 1, 600_000)
    );
    assert_eq!((proposal.rows, proposal.broken_rows), (7, 1));
    assert_eq!(
        (proposal.columns[1].nulls, proposal.columns[1].mean),
        (1, Some(3.6))
    );
    assert_eq!(proposal.columns[2].kind, ColumnType::Text);
    assert_eq!(proposal.target, None);
    assert!(proposal.to_string().contains("1 rows do not have 3 fields"));
    assert!(proposal.to_toml().contains("order = \"sort\""));
    assert!(proposal.to_toml().contains("nulls = \"drop\" # 1 missing"));
}

#[test]
fn proposed_ranges_are_round_and_hold_what_was_seen() {
    let proposal =
        proposal(b"x,y,k\n19.5,0.00327,a\n24.39,0.00577,b\n20,0.004,a\n21,0.004,b\n22,0.004,a\n");
    let text = proposal.to_toml();
    assert!(
        text.contains("minimum = 19.0 # seen 19.5\nmaximum = 24.9 # seen 24.39"),
        "{text}"
    );
    assert!(
        text.contains("minimum = 0.0030 # seen 0.00327\nmaximum = 0.0061 # seen 0.00577"),
        "{text}"
    );
}

#[test]
fn rows_without_times_are_split_by_class() {
    let text = (0..40)
        .map(|row| format!("{row}.5,{}\n", ["cat", "dog"][row % 2]))
        .collect::<String>();
    let proposal = round_trip(format!("size,kind\n{text}").as_bytes());
    assert_eq!(proposal.time, None);
    assert!(proposal.to_recipe("x").contains("kind = \"stratified\""));
}

#[test]
fn missing_file_is_named() {
    let error = infer(Path::new("/nowhere/x.csv")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/x.csv: cannot read"), "{error}");
}

#[test]
fn a_file_that_is_not_text_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let program = [&b"\x7fELF\x02\x01\x01\x00"[..], &[0; 64], b"a,b\n1,2\n"].concat();
    let picture = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01 and so on, \x01\x02".to_vec();
    let packed = b"\x1f\x8b\x08\x08\xe1\xfa\n\n".to_vec();
    for (name, content) in [
        ("program", program),
        ("picture.csv", picture),
        ("packed.csv", packed),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = infer(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{name}:1: not a text file")),
            "{error}"
        );
    }
}
