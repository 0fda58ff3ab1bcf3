use super::*;
use std::io;

fn shape(steps: usize) -> Shape {
    Shape {
        steps,
        channels: vec!["Temperature".into(), "CO2".into()],
    }
}

fn one(format: LineFormat, line: &str) -> Result<Option<Sample>, LineError> {
    LineReader::new(format, shape(1)).take(line)
}

fn sample(time_ms: Option<i64>, values: &[f32]) -> Option<Sample> {
    Some(Sample {
        time_ms,
        values: values.to_vec(),
    })
}

#[test]
fn reads_values_with_and_without_a_time() {
    let at = Some(1_423_072_500_000);
    assert_eq!(
        one(LineFormat::Csv, "23.5, 600"),
        Ok(sample(None, &[23.5, 600.0]))
    );
    assert_eq!(
        one(LineFormat::Csv, "1423072500000,23.5,600\r"),
        Ok(sample(at, &[23.5, 600.0]))
    );
    for date in [
        "2015-02-04T17:55:00Z",
        "2015-02-04 17:55:00",
        "2015-02-04T18:55:00+01:00",
    ] {
        assert_eq!(
            one(LineFormat::Csv, &format!("\"{date}\",23.5,600")),
            Ok(sample(at, &[23.5, 600.0])),
            "{date}"
        );
    }
    assert_eq!(
        one(LineFormat::Json, "[23.5,600]"),
        Ok(sample(None, &[23.5, 600.0]))
    );
    let by_values = r#"{"time":1423072500000,"values":[23.5,600]}"#;
    assert_eq!(
        one(LineFormat::Json, by_values),
        Ok(sample(at, &[23.5, 600.0]))
    );
    let by_name = r#"{"CO2":600,"time":"2015-02-04T17:55:00Z","Temperature":23.5,"x":"y"}"#;
    assert_eq!(
        one(LineFormat::Json, by_name),
        Ok(sample(at, &[23.5, 600.0]))
    );
}

#[test]
fn takes_empty_fields_and_null_as_missing() {
    for (format, line) in [
        (LineFormat::Csv, "23.5,"),
        (LineFormat::Csv, "23.5,NaN"),
        (LineFormat::Json, "[23.5,null]"),
    ] {
        let values = one(format, line).expect(line).expect("one reading").values;
        assert_eq!(values[0], 23.5);
        assert!(values[1].is_nan());
    }
}

#[test]
fn a_header_names_fields_in_any_order_and_allows_an_unnamed_row_number() {
    let mut reader = LineReader::new(LineFormat::Csv, shape(1));
    assert_eq!(
        reader.take(r#""date","CO2","Humidity","Temperature","Occupancy""#),
        Ok(None)
    );
    let expected = Ok(sample(Some(1_423_072_500_000), &[23.5, 600.0]));
    assert_eq!(
        reader.take(r#""140","2015-02-04 17:55:00",600,27.2,23.5,1"#),
        expected
    );
    assert_eq!(reader.take("2015-02-04 17:55:00,600,27.2,23.5,1"), expected);
    let mut unnamed = LineReader::new(LineFormat::Csv, shape(1));
    let missing = Err(LineError::MissingChannel {
        channel: "Temperature".into(),
    });
    assert_eq!(unnamed.take("time,CO2"), missing);
    assert_eq!(unnamed.take("1000,600"), missing);
}

#[test]
fn a_header_stays_when_the_model_changes() {
    let mut reader = LineReader::new(LineFormat::Csv, shape(1));
    assert_eq!(reader.take("CO2,Temperature,Light"), Ok(None));
    assert_eq!(reader.take("600,23.5,4"), Ok(sample(None, &[23.5, 600.0])));
    reader.reshape(Shape {
        steps: 1,
        channels: vec!["Light".into()],
    });
    assert_eq!(reader.take("600,23.5,4"), Ok(sample(None, &[4.0])));
}

#[test]
fn says_what_is_wrong_with_a_line_and_goes_on() {
    let mut reader = LineReader::new(LineFormat::Csv, shape(1));
    assert_eq!(
        reader.take("1,2,3,4"),
        Err(LineError::FieldCount {
            channels: 2,
            got: 4
        })
    );
    assert_eq!(
        reader.take("23.5,6OO"),
        Err(LineError::NotANumber {
            field: "2".into(),
            text: "6OO".into()
        })
    );
    assert_eq!(
        reader.take("yesterday,23.5,600"),
        Err(LineError::NotATime {
            text: "yesterday".into()
        })
    );
    assert_eq!(reader.take("23.5,600"), Ok(sample(None, &[23.5, 600.0])));
    for broken in [
        "{",
        "3",
        "\"x\"",
        r#"{"values":[1]}"#,
        r#"{"CO2":1}"#,
        "[1,\"x\"]",
    ] {
        assert!(one(LineFormat::Json, broken).is_err(), "{broken}");
    }
}

#[test]
fn gathers_the_steps_of_one_model_input() {
    let mut reader = LineReader::new(LineFormat::Csv, shape(3));
    assert_eq!(reader.take("1423072500000,1,2"), Ok(None));
    assert!(reader.take("broken").is_err());
    assert_eq!(reader.take("1423072501000,3,4"), Ok(None));
    let last = Some(1_423_072_502_000);
    let expected = Ok(sample(last, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!(reader.take("1423072502000,5,6"), expected);
    assert_eq!(reader.take("1423072503000,7,8"), Ok(None));
}

#[test]
fn reads_lines_past_one_that_is_too_long_or_not_text() {
    let mut bytes = b"first\r\n".to_vec();
    bytes.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES + 7));
    bytes.extend(b"\n\xFF\xFE\nlast without end");
    let mut stream = io::BufReader::with_capacity(100, &bytes[..]);
    let mut buffer = Vec::new();
    let mut next = || next_line(&mut stream, &mut buffer).expect("reading a slice cannot fail");
    assert_eq!(next(), Some(Ok("first\r".into())));
    assert_eq!(next(), Some(Err(LineError::TooLong)));
    assert_eq!(next(), Some(Err(LineError::NotText)));
    assert_eq!(next(), Some(Ok("last without end".into())));
    assert_eq!(next(), None);
}

#[test]
fn a_field_too_many_never_shifts_the_values() {
    let mut bare = LineReader::new(LineFormat::Csv, shape(1));
    let wrong = |got| Err(LineError::FieldCount { channels: 2, got });
    for (line, got) in [
        ("23,600,7", 3),
        ("23.5,600,7", 3),
        (",600,7", 3),
        ("1423072500000,23.5,600,7", 4),
        ("23.5", 1),
    ] {
        assert_eq!(bare.take(line), wrong(got), "{line}");
    }
    let at = Some(1_423_072_500_000);
    assert_eq!(
        bare.take("1423072500000,23.5,600"),
        Ok(sample(at, &[23.5, 600.0]))
    );

    for (header, lines) in [
        (
            "time,Temperature,CO2",
            &["1423072500000,23.5,600,7", "7,1423072500000,23.5,600"][..],
        ),
        ("Temperature,CO2", &["23,600,7", "1,23.5,600"]),
        (
            "date,Temperature,CO2",
            &[
                "2015-02-04 17:55:00,23.5,600,7",
                "x,2015-02-04 17:55:00,23.5,600",
            ],
        ),
    ] {
        let mut named = LineReader::new(LineFormat::Csv, shape(1));
        assert_eq!(named.take(header), Ok(None));
        let expected = header.split(',').count();
        for line in lines {
            let got = expected + 1;
            let refused = Err(LineError::HeaderFieldCount { expected, got });
            assert_eq!(named.take(line), refused, "{header}: {line}");
        }
    }
}

#[test]
fn a_row_number_column_may_be_there_without_a_name() {
    let mut reader = LineReader::new(LineFormat::Csv, shape(1));
    assert_eq!(reader.take(r#""","Temperature","CO2""#), Ok(None));
    assert_eq!(
        reader.take(r#""1",23.5,600"#),
        Ok(sample(None, &[23.5, 600.0]))
    );
}
