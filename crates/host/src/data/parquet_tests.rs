//! Parquet files written here and read back.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::parquet_source::ParquetSource;
use super::source::Cell;
use super::*;

type Group<'a> = SerializedRowGroupWriter<'a, std::fs::File>;

fn write(path: &Path, schema: &str, compression: Compression, columns: &dyn Fn(&mut Group<'_>)) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(
        WriterProperties::builder()
            .set_compression(compression)
            .build(),
    );
    let mut writer =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, properties)
            .unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        columns(&mut group);
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], defined: Option<&[i16]>) {
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<T>()
        .write_batch(values, defined, None)
        .unwrap();
    column.close().unwrap();
}

#[test]
fn every_flat_type_is_read_from_every_row_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let schema = "message m { required int32 i; required int64 l; required float f; optional double d; required boolean b;
        required binary s (utf8); required int64 ms (timestamp(millis,true)); required int64 us (timestamp(micros,true));
        required int64 ns (timestamp(nanos,true)); required int32 day (date); required int32 u (integer(8,false)); }";
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(Default::default()),
        Compression::GZIP(Default::default()),
    ] {
        write(&path, schema, compression, &|group| {
            column::<Int32Type>(group, &[-1, 2], None);
            column::<Int64Type>(group, &[-3, 4], None);
            column::<FloatType>(group, &[0.5, 1.5], None);
            column::<DoubleType>(group, &[2.5], Some(&[0, 1]));
            column::<BoolType>(group, &[true, false], None);
            column::<ByteArrayType>(group, &[ByteArray::from("a"), ByteArray::from("é")], None);
            column::<Int64Type>(group, &[1_000, 2_000], None);
            column::<Int64Type>(group, &[1_000_999, 2_000_000], None);
            column::<Int64Type>(group, &[1_000_999_999, 2_000_000_000], None);
            column::<Int32Type>(group, &[1, 2], None);
            column::<Int32Type>(group, &[200, 255], None);
        });
        let mut source = ParquetSource::open(&path).unwrap();
        assert_eq!(
            source.columns,
            ["i", "l", "f", "d", "b", "s", "ms", "us", "ns", "day", "u"]
        );
        let rows: Vec<_> = std::iter::from_fn(|| source.next_row().unwrap()).collect();
        assert_eq!(
            rows.iter().map(|row| row.line).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        let (number, time) = (Cell::Number, Cell::TimeMs);
        let first = vec![
            number(-1.0),
            number(-3.0),
            number(0.5),
            Cell::Null,
            number(1.0),
            Cell::Text("a".into()),
            time(1_000),
            time(1_000),
            time(1_000),
            time(86_400_000),
            number(200.0),
        ];
        assert_eq!(rows[0].cells, first);
        assert_eq!(rows[2].cells, first);
        assert_eq!(rows[3].cells[3], number(2.5));
        assert_eq!(rows[3].cells[8], time(2_000));
    }
}

#[test]
fn nested_columns_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let schema = "message m { required int32 i; required group g { required int32 j; } }";
    write(&path, schema, Compression::UNCOMPRESSED, &|group| {
        column::<Int32Type>(group, &[1], None);
        column::<Int32Type>(group, &[1], None);
    });
    let error = ParquetSource::open(&path).err().unwrap().to_string();
    assert!(
        error.contains("x.parquet:1: the column \"g\" is nested; expected flat columns"),
        "{error}"
    );
}

const RECIPE: &str = r#"
name = "small"
version = 1
[data]
format = "csv"
files = ["a.csv"]
[data.time]
column = "t"
[[data.column]]
name = "x"
kind = "number"
minimum = 0.0
maximum = 100.0
[target]
column = "y"
labels = ["off", "on"]
values = [0, 1]
[split]
kind = "time"
validation = 0.25
test = 0.25
[train]
algorithm = "logistic"
[monitor]
window = "1h"
block = "1h"
sample_period = "1m"
"#;

#[test]
fn same_content_as_csv_and_as_parquet_has_the_same_hash_and_examples() {
    let folder = tempfile::tempdir().unwrap();
    let schema = "message m { required int64 t (timestamp(millis,true)); required double x; required boolean y; }";
    let minutes: Vec<i64> = (0..16).collect();
    let start_ms = 1_767_225_600_000;
    let half = std::cell::Cell::new(0);
    write(
        &folder.path().join("a.parquet"),
        schema,
        Compression::SNAPPY,
        &|group| {
            let minutes = &minutes[half.get() * 8..][..8];
            half.set(half.get() + 1);
            column::<Int64Type>(
                group,
                &minutes
                    .iter()
                    .map(|minute| start_ms + minute * 60_000)
                    .collect::<Vec<_>>(),
                None,
            );
            column::<DoubleType>(
                group,
                &minutes
                    .iter()
                    .map(|minute| *minute as f64 * 1.1)
                    .collect::<Vec<_>>(),
                None,
            );
            column::<BoolType>(
                group,
                &minutes
                    .iter()
                    .map(|minute| minute % 2 == 1)
                    .collect::<Vec<_>>(),
                None,
            );
        },
    );
    let row = |minute: &i64| {
        format!(
            "2026-01-01 00:{minute:02}:00,{},{}\n",
            *minute as f64 * 1.1,
            minute % 2
        )
    };
    std::fs::write(
        folder.path().join("a.csv"),
        format!("t,x,y\n{}", minutes.iter().map(row).collect::<String>()),
    )
    .unwrap();
    let load_as = |text: &str| {
        let recipe = Recipe::parse(text, Path::new("recipe.toml")).unwrap();
        load(
            &recipe,
            &LoadOptions {
                data_dir: Some(folder.path().to_owned()),
                progress: None,
            },
        )
        .unwrap()
    };
    let csv = load_as(RECIPE);
    let parquet = load_as(
        &RECIPE
            .replace("a.csv", "a.parquet")
            .replace("\"csv\"", "\"parquet\""),
    );
    assert_eq!(csv.data_hash, parquet.data_hash);
    assert_eq!(
        (csv.train, csv.validation, csv.tests),
        (parquet.train, parquet.validation, parquet.tests)
    );
    let proposal = infer(&folder.path().join("a.parquet")).unwrap();
    assert_eq!(
        (proposal.format, proposal.rows),
        (crate::recipe::Format::Parquet, 16)
    );
    assert_eq!(
        proposal.time.as_ref().map(|time| time.period_ms),
        Some(60_000)
    );
    assert_eq!(proposal.target.as_deref(), Some("y"));
    Recipe::parse(&proposal.to_recipe("x"), Path::new("recipe.toml")).unwrap();
}

#[test]
fn altered_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let schema = "message m { required int64 t (timestamp(millis,true)); optional double x; required binary s (utf8); }";
    write(&path, schema, Compression::SNAPPY, &|group| {
        column::<Int64Type>(group, &[1_000, 2_000, 3_000], None);
        column::<DoubleType>(group, &[2.5, 3.5], Some(&[1, 0, 1]));
        column::<ByteArrayType>(group, &["a", "b", "c"].map(ByteArray::from), None);
    });
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for position in 0..whole.len() {
        for altered in [whole[..position].to_vec(), flipped(&whole, position)] {
            std::fs::write(&path, altered).unwrap();
            let read = ParquetSource::open(&path).and_then(|mut source| {
                while source.next_row()?.is_some() {}
                Ok(())
            });
            refused += usize::from(read.is_err());
        }
    }
    assert!(refused >= whole.len(), "{refused} of {}", 2 * whole.len());
}

fn flipped(whole: &[u8], position: usize) -> Vec<u8> {
    let mut altered = whole.to_vec();
    altered[position] ^= 0xff;
    altered
}
