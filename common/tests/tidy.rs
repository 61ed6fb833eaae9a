//! House rules as a test: what a review should not have to look for.
//!
//! It reads files as text, a line at a time, and knows no Rust beyond comments and strings. What
//! needs types is left to clippy, what needs layout to rustfmt.

use std::fs;
use std::path::Path;

/// Folders of ours. Others at the top, such as the output of a demo, are the visitor's own.
const FOLDERS: [&str; 9] =
    [".cargo", ".ci", ".config", "client", "common", "deploy", "monitoring", "scheduler", "worker"];

/// Files of ours at the top, as far as they are there.
const TOP: [&str; 6] =
    [".clippy.toml", ".gitignore", ".rustfmt.toml", "Cargo.toml", "LICENSE", "README.md"];

/// Folders that tools fill and git ignores: a name anywhere, or a path.
const IGNORED: [&str; 5] = [
    "target",
    "node_modules",
    "deploy/contracts/out",
    "deploy/contracts/cache",
    "monitoring/draw/dist",
];

/// Files that a tool writes its own way, without a newline at the end.
const WRITTEN_BY_TOOLS: [&str; 2] =
    ["deploy/contracts/snapshots/court.json", "deploy/contracts/snapshots/gas.json"];

/// The crates that decide and do nothing else.
const PURE: [&str; 3] = ["scheduler/grid", "worker/agent", "worker/policy"];

/// Parts of other crates that decide and do nothing else.
const PURE_PARTS: [&str; 1] = ["worker/update/src/rules"];

/// What a pure crate must not name: the world comes in as arguments, and order is the same each run.
const IMPURE: [&str; 17] = [
    "tokio::",
    "actix",
    "actix_web",
    "quinn",
    "sled",
    "alloy::",
    "std::fs",
    "std::net",
    "std::env",
    "Instant",
    "SystemTime",
    "rand::",
    "thread_rng",
    "async fn",
    ".await",
    "HashMap",
    "HashSet",
];

/// What a pure crate may depend on; receipts are JSON.
const PURE_DEPENDENCIES: [&str; 5] =
    ["quorate-common", "alloy-primitives", "serde", "serde_json", "thiserror"];

/// What its tests may depend on besides.
const PURE_TEST_DEPENDENCIES: [&str; 2] = ["proptest", "postcard"];

/// Words that only the named places may use, by the beginning of the path.
const EDGES: [(&str, &[&str]); 8] = [
    ("sled::", &["scheduler/src/store"]),
    ("alloy::", &["common/chain/"]),
    ("revm", &["common/chain/"]),
    ("bollard", &["worker/docker/src/"]),
    ("zbus", &["worker/senses/"]),
    ("x11rb", &["worker/senses/"]),
    ("spake2", &["worker/machines/src/pair.rs"]),
    ("unsafe", &["worker/src/engine/load.rs"]),
];

/// Marks of work that somebody meant to come back to.
const UNFINISHED: [&str; 3] = ["todo!(", "unimplemented!(", "dbg!("];

/// Beginnings of paths that exist on one machine only. In halves, or this file would break its rule.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

#[test]
fn the_walk_sees_the_tree() {
    let files = files();
    for path in ["common/tests/tidy.rs", "deploy/test", "Cargo.toml"] {
        assert!(files.iter().any(|file| file.path == path), "{path} was not walked");
    }
    for krate in PURE {
        let lib = format!("{krate}/src/lib.rs");
        assert!(files.iter().any(|file| file.path == lib), "{lib} was not walked");
    }
    assert!(!files.iter().any(|file| file.path.contains("node_modules")), "tools were walked");
}

#[test]
fn every_source_opens_with_its_purpose() {
    let headless = sources().into_iter().filter(|file| !file.text.starts_with("//!"));
    none(headless.map(|file| file.finding(1, "no `//!` head", "say what the file is for")));
}

#[test]
fn no_source_is_named_mod() {
    let named = sources().into_iter().filter(|file| file.path.ends_with("/mod.rs"));
    none(named.map(|file| file.finding(1, "named mod.rs", "name it as its folder, beside it")));
}

#[test]
fn pure_crates_name_nothing_of_the_world() {
    let pure = |file: &File| {
        PURE.iter().any(|krate| file.is_below(&format!("{krate}/src/")))
            || PURE_PARTS.iter().any(|part| file.is_below(part))
    };
    let mut findings = Vec::new();
    for file in sources().into_iter().filter(pure) {
        for (number, word) in file.words(&IMPURE) {
            let rule = format!("`{word}` in a pure crate");
            findings.push(file.finding(number, &rule, "take it as an argument, ask by an effect"));
        }
    }
    none(findings);
}

#[test]
fn pure_crates_depend_on_little() {
    let mut findings = Vec::new();
    for krate in PURE {
        let manifest = one(&format!("{krate}/Cargo.toml"));
        for (number, section, name) in dependencies(&manifest.text) {
            let of_tests = section.starts_with("dev-") && PURE_TEST_DEPENDENCIES.contains(&name);
            if !of_tests && !PURE_DEPENDENCIES.contains(&name) {
                let rule = format!("a pure crate depends on `{name}`");
                findings.push(manifest.finding(number, &rule, "keep it in an actor outside"));
            }
        }
    }
    none(findings);
}

/// Clippy reads the nearest file only, so each pure crate has its own copy of the strict one.
#[test]
fn pure_crates_share_their_bans() {
    let [first, others @ ..] = PURE.map(|krate| one(&format!("{krate}/.clippy.toml")));
    for other in others {
        assert!(first.text == other.text, "{} and {} differ: copy one", first.path, other.path);
    }
}

/// The simulator turns mistakes on; whatever a release is built from must not even mention them.
#[test]
fn no_shipped_crate_makes_mistakes_on_purpose() {
    const MAY: [&str; 2] = ["common/Cargo.toml", "scheduler/sim/Cargo.toml"];
    let manifests = files().into_iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let mut findings = Vec::new();
    for manifest in manifests.filter(|file| !MAY.contains(&file.path.as_str())) {
        for (number, line) in numbered(&manifest.text) {
            let shipped = line.starts_with("default-members") && line.contains("sim");
            if shipped || line.contains("\"bugs\"") || line.contains("quorate-sim.workspace") {
                let remedy = "only scheduler/sim asks for it, and nobody for scheduler/sim";
                findings.push(manifest.finding(number, "the feature `bugs`", remedy));
            }
        }
    }
    none(findings);
}

#[test]
fn libraries_and_unsafe_stay_where_they_belong() {
    let mut findings = Vec::new();
    for file in sources() {
        for (word, places) in EDGES {
            if places.iter().any(|place| file.is_below(place)) {
                continue;
            }
            for (number, _) in file.words(&[word]) {
                let rule = format!("`{word}` outside of {}", places.join(", "));
                findings.push(file.finding(number, &rule, "go through what is offered there"));
            }
        }
    }
    none(findings);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut findings = Vec::new();
    for file in sources() {
        for (number, word) in file.words(&UNFINISHED) {
            findings.push(file.finding(number, &format!("`{word}`"), "finish it or leave it out"));
        }
    }
    none(findings);
}

#[test]
fn no_file_knows_the_machine_it_was_made_on() {
    let mut findings = Vec::new();
    for file in files() {
        for (number, line) in numbered(&file.text) {
            if let Some(path) = machine_path(line) {
                let rule = format!("`{path}` is a path of one machine");
                findings.push(file.finding(number, &rule, "write it relative, or from ~"));
            }
        }
    }
    none(findings);
}

#[test]
fn files_end_with_one_newline() {
    let is_odd = |file: &File| {
        let by_a_tool = WRITTEN_BY_TOOLS.contains(&file.path.as_str());
        !by_a_tool && !file.text.is_empty() && !ends_well(&file.text)
    };
    let odd = files().into_iter().filter(is_odd);
    none(odd.map(|file| {
        let last = file.text.lines().count();
        file.finding(last, "does not end with exactly one newline", "add it or remove the others")
    }));
}

#[test]
fn no_line_has_invisible_characters() {
    let mut findings = Vec::new();
    for file in files() {
        for (number, line) in numbered(&file.text) {
            if line.ends_with(char::is_whitespace) {
                findings.push(file.finding(number, "whitespace at the end", "remove it"));
            }
            if file.is_rust() && line.contains('\t') {
                findings.push(file.finding(number, "a tab", "write four spaces, or \\t in text"));
            }
        }
    }
    none(findings);
}

#[test]
fn comments_and_strings_are_no_code() {
    assert_eq!(code("let a = 1; // b"), "let a = 1; ");
    assert_eq!(code(r#"say("tokio:: // \" no", b);"#), r#"say("", b);"#);
    assert_eq!(code("if c == '\"' { d(\"e\") }"), "if c == ' ' { d(\"\") }");
    assert_eq!(code("//! HashMap"), "");
}

#[test]
fn words_are_found_whole() {
    assert!(names("use std::fs;", "std::fs"));
    assert!(names("let at = Instant::now();", "Instant"));
    assert!(names("call().await?", ".await"));
    assert!(names("todo!()", "todo!("));
    assert!(!names("Instantiated::new()", "Instant"));
    assert!(!names("operand::new()", "rand::"));
    assert!(!names("#![expect(unsafe_code)]", "unsafe"));
    assert!(!names("alloy_primitives::U256", "alloy::"));
}

#[test]
fn dependencies_are_found_in_every_form() {
    let manifest = "[package]\nname = \"a\"\n\n[dependencies]\n# why\nb.workspace = true\n\
                    c = \"1\"\n[dev-dependencies.d]\nversion = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\ne={}\n";
    let names: Vec<_> = dependencies(manifest).into_iter().map(|(_, _, name)| name).collect();
    assert_eq!(names, ["b", "c", "d", "e"]);
}

#[test]
fn paths_of_a_machine_are_told_from_others() {
    let [first, second, third] = MACHINE_PATHS;
    assert_eq!(machine_path(&format!("see {first}main")), Some(first));
    assert_eq!(machine_path(&format!("\"{second}.cargo\"")), Some(second));
    assert_eq!(machine_path(&format!("file://{third}me")), Some(third));
    assert_eq!(machine_path(&format!("$dir{first}x, a{second}b, ~{third}c")), None);
}

#[test]
fn one_newline_is_one() {
    assert!(ends_well("a\n"));
    assert!(!ends_well("a"));
    assert!(!ends_well("a\n\n"));
}

/// A text file of the repository.
struct File {
    /// From the top of the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_below(&self, place: &str) -> bool {
        self.path.starts_with(place)
    }

    /// Each line that has one of the words in its code, with the word.
    fn words<'a>(&self, words: &[&'a str]) -> Vec<(usize, &'a str)> {
        let mut found = Vec::new();
        for (number, line) in numbered(&self.text) {
            let code = code(line);
            for &word in words {
                if names(&code, word) {
                    found.push((number, word));
                }
            }
        }
        found
    }

    fn finding(&self, line: usize, rule: &str, remedy: &str) -> String {
        format!("{}:{line}: {rule}: {remedy}", self.path)
    }
}

/// Fails with all findings, one a line.
#[track_caller]
fn none(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "{} findings\n{}\n", findings.len(), findings.join("\n"));
}

fn sources() -> Vec<File> {
    files().into_iter().filter(File::is_rust).collect()
}

fn one(path: &str) -> File {
    let file = files().into_iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("{path}: there is no such file; if it moved, tell this test"))
}

/// Every text file of ours; whatever is not UTF-8 or has a zero byte is none.
fn files() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("common lies in the workspace");
    let mut files = Vec::new();
    for name in TOP {
        if top.join(name).exists() {
            read(top, name, &mut files);
        }
    }
    for folder in FOLDERS {
        walk(top, folder, &mut files);
    }
    files
}

fn walk(top: &Path, folder: &str, files: &mut Vec<File>) {
    let entries =
        fs::read_dir(top.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{folder}: {error}"));
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap_or_else(|error| panic!("{path}: {error}"));
        if kind.is_file() {
            read(top, &path, files);
        } else if kind.is_dir() && !is_ignored(&path) {
            walk(top, &path, files);
        }
    }
}

fn read(top: &Path, path: &str, files: &mut Vec<File>) {
    let bytes = fs::read(top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    if let Ok(text) = String::from_utf8(bytes)
        && !text.contains('\0')
    {
        files.push(File { path: path.to_owned(), text });
    }
}

fn is_ignored(path: &str) -> bool {
    IGNORED.iter().any(|ignored| path == *ignored || path.ends_with(&format!("/{ignored}")))
}

/// Lines with their numbers as editors count them. `\r` stays, to be found.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
}

/// The line without its comment and without what its strings say.
///
/// A string of several lines is code from its second line on: that may find too much, and the
/// finding then says where.
fn code(line: &str) -> String {
    let line = line.replace("'\"'", "' '");
    let mut code = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                code.push(c);
            }
            '\\' if quoted => {
                chars.next();
            }
            _ if quoted => {}
            '/' if chars.peek() == Some(&'/') => break,
            _ => code.push(c),
        }
    }
    code
}

/// Whether the word is there and is not a part of a longer name.
fn names(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].ends_with(is_name);
        let after = code[at + word.len()..].starts_with(is_name);
        !(before && word.starts_with(is_name) || after && word.ends_with(is_name))
    })
}

/// Line, section and name of everything a manifest depends on.
fn dependencies(manifest: &str) -> Vec<(usize, &str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for (number, line) in numbered(manifest) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push((number, section, name));
            }
        } else if section.ends_with("dependencies") && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or(line);
            found.push((number, section, name));
        }
    }
    found
}

/// The first path of a build machine in the line; `a/b` and `$HOME/b` are not paths of one.
fn machine_path(line: &str) -> Option<&'static str> {
    let is_inner = |c: char| c.is_alphanumeric() || "_-.~})".contains(c);
    MACHINE_PATHS
        .into_iter()
        .find(|path| line.match_indices(*path).any(|(at, _)| !line[..at].ends_with(is_inner)))
}

fn ends_well(text: &str) -> bool {
    text.ends_with('\n') && !text.ends_with("\n\n")
}
