//! Where a bag's tasks come from: the lines of a file, a range of numbers, JSON rows, or nothing but
//! the command line itself. Each row is the fields its templates can name.

use crate::{failure, template::Fields};
use quorate_common::{
    exit::{Code, Failure},
    ids::TASKS_MAX,
};
use serde_json::Value;
use std::{io::Read, ops::RangeInclusive, path::Path};

/// Bytes of a file of rows at most: four times the largest bag, so that no usable file is refused
/// and a mistaken one is not read to its end.
const ROWS_BYTES_MAX: u64 = 64 << 20;

/// Where tasks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// One task.
    Single,
    /// One task a line; blank lines are passed over.
    Lines(&'a Path),
    /// One task a number.
    Array(&'a RangeInclusive<u64>),
    /// One task a JSON object: a file of one object a line, or of one array.
    Json(&'a Path),
}

/// A task's fields and, for a JSON row, the row itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What templates can name.
    pub fields: Fields,
    /// The row as compact JSON: standard input where no arguments are given.
    pub json: Option<String>,
}

impl Source<'_> {
    /// Arguments of each task where the command line gives none.
    pub fn default_args(&self) -> Vec<String> {
        match self {
            Self::Single | Self::Json(_) => vec![],
            Self::Lines(_) => vec!["{line}".into()],
            Self::Array(_) => vec!["{task.index}".into()],
        }
    }

    /// Every row, in order.
    ///
    /// # Errors
    /// An unreadable file, rows that are not JSON objects, no row at all or more than a bag holds.
    pub fn rows(&self) -> Result<Vec<Row>, Failure> {
        let rows = match self {
            Self::Single => vec![Row { fields: vec![index(0)], json: None }],
            Self::Lines(path) => lines(&read(path)?),
            Self::Array(range) => array(range)?,
            Self::Json(path) => json_rows(path, &read(path)?)?,
        };
        let what = match self {
            Self::Lines(path) | Self::Json(path) => {
                format!("{} has {} rows", path.display(), rows.len())
            }
            Self::Single | Self::Array(_) => format!("the range has {} numbers", rows.len()),
        };
        if rows.is_empty() || rows.len() > TASKS_MAX as usize {
            let hint = "one order holds up to 65,536 tasks; split a larger bag";
            return Err(usage(format!("{what}; expected 1 to {TASKS_MAX}")).hint(hint));
        }
        Ok(rows)
    }
}

/// Reads `A-B`, both included.
///
/// # Errors
/// What was read and what was expected.
pub fn parse_array(text: &str) -> Result<RangeInclusive<u64>, String> {
    let bounds = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    match bounds {
        Some((first, last)) if first <= last => Ok(first..=last),
        _ => Err(format!("`{text}` is not a range: expected FIRST-LAST, as `1-100`")),
    }
}

fn lines(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let row = |(at, line): (usize, &str)| Row {
        fields: vec![index(at as u64), ("line".into(), line.into())],
        json: None,
    };
    lines.enumerate().map(row).collect()
}

fn array(range: &RangeInclusive<u64>) -> Result<Vec<Row>, Failure> {
    let more = range.end() - range.start();
    if more >= u64::from(TASKS_MAX) {
        let (first, last) = (range.start(), range.end());
        return Err(usage(format!(
            "--array {first}-{last} has more than {TASKS_MAX} numbers; expected 1 to {TASKS_MAX}"
        ))
        .hint("one order holds up to 65,536 tasks; split a larger bag"));
    }
    Ok(range.clone().map(|number| Row { fields: vec![index(number)], json: None }).collect())
}

fn json_rows(path: &Path, text: &str) -> Result<Vec<Row>, Failure> {
    let bad = |what: String| usage(format!("{}: {what}", path.display()));
    let values: Vec<Value> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| bad(format!("not a JSON array: {error}")))?
    } else {
        serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| bad(format!("not one JSON object a line: {error}")))?
    };
    let row = |(at, value): (usize, Value)| {
        let Value::Object(object) = &value else {
            return Err(bad(format!(
                "row {at} is not a JSON object: expected {{\"name\": value}}"
            )));
        };
        let mut fields = vec![index(at as u64)];
        flatten("", object, &mut fields);
        Ok(Row { fields, json: Some(value.to_string()) })
    };
    values.into_iter().enumerate().map(row).collect()
}

/// Every value by its dotted name; lists and objects also whole, as JSON.
fn flatten(prefix: &str, object: &serde_json::Map<String, Value>, fields: &mut Fields) {
    for (name, value) in object {
        let name = format!("{prefix}{name}");
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                value.to_string()
            }
        };
        fields.push((name.clone(), text));
        if let Value::Object(inner) = value {
            flatten(&format!("{name}."), inner, fields);
        }
    }
}

fn index(number: u64) -> (String, String) {
    ("task.index".into(), number.to_string())
}

/// The file's text; `-` is standard input.
fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = |reader: &mut dyn Read, bytes: &mut Vec<u8>| {
        reader.take(ROWS_BYTES_MAX + 1).read_to_end(bytes)
    };
    let outcome = if path == Path::new("-") {
        read(&mut std::io::stdin().lock(), &mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| read(&mut file, &mut bytes))
    };
    outcome.map_err(|error| failure::file("read", path, &error))?;
    if bytes.len() as u64 > ROWS_BYTES_MAX {
        let text = format!("{} is longer than {ROWS_BYTES_MAX} bytes", path.display());
        return Err(usage(text).hint("one order holds up to 65,536 tasks; split the file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        usage(format!("{} is not UTF-8 from byte {at} on; expected text", path.display()))
    })
}

fn usage(text: String) -> Failure {
    Failure::new(Code::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn field<'a>(row: &'a Row, name: &str) -> &'a str {
        &row.fields.iter().find(|(known, _)| known == name).expect("a field").1
    }

    #[test]
    fn lines_become_rows_without_blank_ones() {
        let file = file("2\r\n\n 3\n");
        let rows = Source::Lines(file.path()).rows().expect("rows");
        let lines: Vec<_> = rows.iter().map(|row| field(row, "line")).collect();
        assert_eq!(lines, ["2", " 3"]);
        assert_eq!(field(&rows[1], "task.index"), "1");
    }

    #[test]
    fn ranges_become_rows() {
        assert_eq!(parse_array("1-3"), Ok(1..=3));
        let rows = Source::Array(&(5..=6)).rows().expect("rows");
        let numbers: Vec<_> = rows.iter().map(|row| field(row, "task.index")).collect();
        assert_eq!(numbers, ["5", "6"]);
        for text in ["", "3", "3-1", "a-b", "1-", "-1-3"] {
            assert!(parse_array(text).is_err(), "{text}");
        }
        let error = Source::Array(&(1..=u64::MAX)).rows().expect_err("too many");
        assert!(error.message.contains("expected 1 to 65536"), "{error}");
    }

    #[test]
    fn json_rows_are_objects_in_either_form() {
        for text in [
            "{\"n\":1,\"who\":{\"name\":\"é\"}}\n{\"n\":2}\n",
            "[{\"n\":1,\"who\":{\"name\":\"é\"}},{\"n\":2}]",
        ] {
            let file = file(text);
            let rows = Source::Json(file.path()).rows().expect("rows");
            assert_eq!((field(&rows[0], "n"), field(&rows[0], "who.name")), ("1", "é"));
            assert_eq!(field(&rows[0], "who"), "{\"name\":\"é\"}");
            assert_eq!(rows[1].json.as_deref(), Some("{\"n\":2}"));
        }
        for (text, expected) in [
            ("[1]", "row 0 is not a JSON object"),
            ("{\"a\":1}\n{", "not one JSON object a line"),
            ("", "has 0 rows; expected 1 to 65536"),
        ] {
            let file = file(text);
            let error = Source::Json(file.path()).rows().expect_err(text);
            assert!(error.message.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let error = Source::Lines(Path::new("/no/such/file")).rows().expect_err("missing");
        assert!(error.message.contains("/no/such/file"), "{error}");
        assert_eq!(error.exit, Code::NotFound as u8);
    }
}
