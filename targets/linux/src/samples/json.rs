//! A reading from a JSON array or object.

use serde_json::{Map, Value};

use super::error::shortened;
use super::time::parse_time;
use super::{LineError, Reading, Shape};

/// Reads one line.
pub(super) fn reading(line: &str, shape: &Shape) -> Result<Reading, LineError> {
    let unreadable = |reason: String| LineError::Json { reason };
    match serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))? {
        Value::Array(items) => Ok(Reading {
            time_ms: None,
            values: values(&items, shape)?,
        }),
        Value::Object(object) => object_reading(&object, shape),
        _ => Err(unreadable("a bare value".into())),
    }
}

fn object_reading(object: &Map<String, Value>, shape: &Shape) -> Result<Reading, LineError> {
    let time_ms = match ["time", "time_ms"].iter().find_map(|key| object.get(*key)) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(parse_time(text)?),
        Some(other) => Some(parse_time(&other.to_string())?),
    };
    if let Some(Value::Array(items)) = object.get("values") {
        return Ok(Reading {
            time_ms,
            values: values(items, shape)?,
        });
    }
    let named = |channel: &String| match object.get(channel) {
        Some(value) => number(value, channel),
        None => Err(LineError::MissingChannel {
            channel: channel.clone(),
        }),
    };
    Ok(Reading {
        time_ms,
        values: shape.channels.iter().map(named).collect::<Result<_, _>>()?,
    })
}

fn values(items: &[Value], shape: &Shape) -> Result<Vec<f32>, LineError> {
    let channels = shape.channels.len();
    if items.len() != channels {
        return Err(LineError::FieldCount {
            channels,
            got: items.len(),
        });
    }
    items
        .iter()
        .enumerate()
        .map(|(at, value)| number(value, &(at + 1).to_string()))
        .collect()
}

fn number(value: &Value, field: &str) -> Result<f32, LineError> {
    match value {
        Value::Null => Ok(f32::NAN),
        Value::Bool(yes) => Ok(f32::from(u8::from(*yes))),
        _ => value
            .as_f64()
            .map(|wide| wide as f32)
            .ok_or_else(|| LineError::NotANumber {
                field: field.to_owned(),
                text: shortened(&value.to_string()),
            }),
    }
}
