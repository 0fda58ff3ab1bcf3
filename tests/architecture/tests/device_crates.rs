//! What must not stand in the code of a crate that runs on devices, looked for in the text of every
//! file.
//!
//! Comments, literals and what only tests are compiled with are taken out first. A text cannot say
//! whether an index is in bounds or an addition overflows; what it can say is that nobody indexes,
//! unwraps or panics by name, except at the places listed here, each with its reason.

use std::path::{Path, PathBuf};

/// Crates that must build without a standard library, and must not panic.
const DEVICE_CRATES: &[&str] = &[
    "wire", "kernels", "engine", "monitor", "runtime", "firmware",
];

/// Folders whose code may be unsafe: the loops of one architecture.
const MAY_BE_UNSAFE: &[&str] = &[
    "kernels/src/cortex_m",
    "kernels/src/x86_64",
    "kernels/src/aarch64",
    "kernels/src/arm",
];

/// Lines that may index: the array's length and the index are fixed, or checked right there.
const MAY_INDEX: &[(&str, &str)] = &[
    // In a constant: the compiler runs it.
    ("wire/src/frame.rs", "table[index] = crc;"),
    // Four bits into sixteen entries.
    (
        "wire/src/frame.rs",
        "(crc >> 4) ^ CRC_TABLE[(crc & 15) as usize]",
    ),
    // Only called in constants: the compiler runs them.
    ("engine/src/kernels/set.rs", "kernels[position]"),
    ("engine/src/kernels/set.rs", "first[code] = position as u8;"),
    (
        "engine/src/kernels/set.rs",
        "while at(KERNELS, position).id.code() != codes[index] {",
    ),
    (
        "engine/src/kernels/set.rs",
        "selected[index] = at(KERNELS, position);",
    ),
];

/// Words that no device crate may say.
const FORBIDDEN: &[&str] = &[
    "unsafe",
    "std",
    "alloc",
    "unwrap",
    "expect",
    "panic",
    "unreachable",
    "todo",
    "unimplemented",
];

/// A rule that a line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    line: usize,
    rule: String,
    text: String,
}

/// Everything in `source` that a device crate may not say.
fn violations(source: &str) -> Vec<Violation> {
    let code = without_tests(&without_comments_and_literals(source));
    let lines = code.lines().enumerate();
    lines
        .flat_map(|(index, text)| {
            broken_rules(text).into_iter().map(move |rule| Violation {
                line: index + 1,
                rule,
                text: text.trim().to_owned(),
            })
        })
        .collect()
}

fn broken_rules(line: &str) -> Vec<String> {
    let words = FORBIDDEN.iter().filter(|word| says(line, word));
    let mut broken: Vec<String> = words.map(|word| (*word).to_owned()).collect();
    if indexes(line) {
        broken.push("index".to_owned());
    }
    broken
}

/// Whether a line uses a forbidden word as what is forbidden: a path, a macro, a method, a keyword.
fn says(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        if before.ends_with(is_name) || after.starts_with(is_name) {
            return false;
        }
        match word {
            "unsafe" => true,
            "std" | "alloc" => after.trim_start().starts_with("::") || before.ends_with("crate "),
            "unwrap" | "expect" => before.trim_end().ends_with(['.', ':']),
            _ => after.starts_with('!'),
        }
    })
}

/// Whether a bracket follows a name, a call or another bracket: `x[i]`, `f()[i]`, `x[i][j]`.
fn indexes(line: &str) -> bool {
    let is_value = |c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '?');
    line.match_indices('[')
        .any(|(at, _)| line[..at].ends_with(is_value))
}

/// The source with comments, strings and characters blanked, line by line as before.
fn without_comments_and_literals(source: &str) -> String {
    let (mut code, mut rest) = (String::new(), source);
    while let Some(first) = rest.chars().next() {
        let length = literal_bytes(rest, code.chars().last()).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let blanks = rest[..length].chars();
            code.extend(blanks.map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the comment or literal that `rest` begins with.
fn literal_bytes(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    let is_in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = if is_in_name {
        0
    } else {
        rest.find(|c| c != 'b' && c != 'r' && c != 'c')?.min(2)
    };
    let literal = &rest[prefix..];
    let hashes = literal.len() - literal.trim_start_matches('#').len();
    if rest[..prefix].contains('r') && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let from = prefix + hashes + 1;
        return Some(
            rest[from..]
                .find(&end)
                .map_or(rest.len(), |at| from + at + end.len()),
        );
    }
    if literal.starts_with('"') {
        return Some(prefix + quoted_bytes(literal, '"'));
    }
    let mut chars = literal.chars();
    let is_character =
        chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''));
    is_character.then(|| prefix + quoted_bytes(literal, '\''))
}

/// Bytes up to and with the quote that ends what begins with one.
fn quoted_bytes(literal: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in literal.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    literal.len()
}

const TEST_ONLY: &str = "#[cfg(test)]";

/// The code with the items that only tests are compiled with blanked.
fn without_tests(code: &str) -> String {
    let mut left = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST_ONLY) {
        let (before, item) = rest.split_at(at);
        let length = item_bytes(item);
        left.push_str(before);
        left.extend(item[..length].chars().filter(|&c| c == '\n'));
        rest = &item[length..];
    }
    left + rest
}

/// Bytes of an item: up to its semicolon, or to the brace that closes its first one.
fn item_bytes(item: &str) -> usize {
    let mut depth = 0;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Files of modules that only tests are compiled with, named in the code of `file`.
fn test_modules(file: &Path, code: &str) -> Vec<PathBuf> {
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "mod") | None => file.with_file_name(""),
        Some(_) => file.with_extension(""),
    };
    let items = code.split(TEST_ONLY).skip(1);
    items
        .filter_map(|item| item.trim_start().strip_prefix("mod ")?.split_once(';'))
        .filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .map(|(name, _)| folder.join(name).with_extension("rs"))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file below `folder`.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of source files");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The files of a crate that are compiled for devices, with their text.
fn device_files(name: &str) -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a source file");
        (path, text)
    };
    let folder = root().join("crates").join(name).join("src");
    let files: Vec<_> = rust_files(&folder).into_iter().map(read).collect();
    let tests: Vec<PathBuf> = files
        .iter()
        .flat_map(|(path, text)| test_modules(path, &without_comments_and_literals(text)))
        .collect();
    let is_device = |path: &Path| !tests.iter().any(|test| test == path);
    files
        .into_iter()
        .filter(|(path, _)| is_device(path))
        .collect()
}

fn may_be_unsafe(path: &Path, violation: &Violation) -> bool {
    let folder = path.parent().unwrap_or(path);
    violation.rule == "unsafe" && MAY_BE_UNSAFE.iter().any(|part| folder.ends_with(part))
}

fn may_index(path: &Path, violation: &Violation) -> bool {
    MAY_INDEX.iter().any(|(file, line)| {
        path.ends_with(file) && violation.rule == "index" && violation.text == *line
    })
}

#[test]
fn no_file_of_a_device_crate_says_what_it_may_not() {
    let (mut files, mut found) = (0, Vec::new());
    for name in DEVICE_CRATES {
        for (path, text) in device_files(name) {
            files += 1;
            let broken = violations(&text).into_iter();
            found.extend(
                broken
                    .filter(|violation| !may_index(&path, violation))
                    .filter(|violation| !may_be_unsafe(&path, violation))
                    .map(|violation| format!("{}: {violation:?}", path.display())),
            );
        }
    }
    assert!(files > 60, "only {files} files were looked at");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_device_crate_forbids_the_standard_library_and_unsafe_code() {
    for name in DEVICE_CRATES {
        let path = root().join("crates").join(name).join("src/lib.rs");
        let text = std::fs::read_to_string(&path).expect("every device crate has a lib.rs");
        let code = without_comments_and_literals(&text);
        let unsafe_code = match *name {
            "kernels" => "#![deny(unsafe_code)]",
            _ => "#![forbid(unsafe_code)]",
        };
        for wanted in ["#![no_std]", unsafe_code] {
            assert!(code.contains(wanted), "{}: no {wanted}", path.display());
        }
    }
}

#[test]
fn every_line_that_may_index_is_still_there() {
    for (file, line) in MAY_INDEX {
        let text = std::fs::read_to_string(root().join("crates").join(file)).expect("a file");
        let broken = violations(&text);
        assert!(
            broken.iter().any(|violation| violation.text == *line),
            "{file}: {line}"
        );
    }
}

#[test]
fn each_planted_violation_is_found() {
    let planted = [
        ("unsafe { read(at) }", "unsafe"),
        ("unsafe fn read() {}", "unsafe"),
        ("let map = std::collections::HashMap::new();", "std"),
        ("use std::vec::Vec;", "std"),
        ("extern crate std;", "std"),
        ("let all = alloc::vec::Vec::new();", "alloc"),
        ("extern crate alloc;", "alloc"),
        ("let first = bytes.first().unwrap();", "unwrap"),
        ("let all = parts.map(Option::unwrap);", "unwrap"),
        ("let first = bytes.first().expect(\"one\");", "expect"),
        ("panic!(\"never\")", "panic"),
        ("_ => unreachable!(),", "unreachable"),
        ("todo!()", "todo"),
        ("unimplemented!()", "unimplemented"),
        ("let first = bytes[0];", "index"),
        ("let part = &bytes[from..to];", "index"),
        ("let part = bytes()[at];", "index"),
        ("let part = table[at][other];", "index"),
    ];
    for (line, rule) in planted {
        let source = format!("fn good() {{}}\n{line}\n");
        let found = violations(&source);
        assert!(
            found
                .iter()
                .any(|found| found.rule == rule && found.line == 2),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn a_violation_planted_behind_tests_and_literals_is_found() {
    let source = "#[cfg(test)]\nmod mock;\nconst A: char = '\"';\nconst B: &str = r#\"x\"y\"#;\nfn f<'a>(x: &'a [u8]) -> u8 { x[0] }\n";
    let found = violations(source);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].line, found[0].rule.as_str()), (5, "index"));
}

#[test]
fn what_is_allowed_is_not_a_violation() {
    let source = "\
//! Uses std::vec in an example: `x.unwrap()`, `x[0]`, panic!.
use core::iter::FromIterator;
#[derive(Debug)]
struct A<'a>(&'a [u8], [u8; 4]);
fn f(a: &[u8]) -> Option<u8> { a.first().copied().or_else(|| Some(a.len() as u8)) }
fn unwrap_or(a: Option<[u8; 2]>) -> [u8; 2] { a.unwrap_or([0; 2]) }
const TEXT: &str = \"x[0].unwrap() std:: unsafe \\\" panic!\";
const LETTER: char = '[';
/* x[0] */
#[cfg(test)]
mod tests {
    extern crate std;
    fn g() { std::vec::Vec::new()[0].unwrap() }
}
";
    assert_eq!(violations(source), []);
}
