//! Keeps the house: fails where the papers and the code have parted, and reports what has grown long.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    for folder in ["crates", "xtask"] {
        sources(&root().join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The part of a source file before its unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod").next().unwrap_or(text)
}

/// `RFC 1939`, `RFC 1939 §5`, in any text.
fn rfcs_cited(text: &str) -> BTreeSet<u32> {
    text.match_indices("RFC ")
        .filter_map(|(at, _)| {
            let digits: String = text[at + 4..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse().ok()
        })
        .collect()
}

/// What stands between backticks and looks like a path from the root.
fn paths_named(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            ["crates/", "xtask/", "docs/", "rfc/", "fuzz/"]
                .iter()
                .any(|top| word.starts_with(top))
        })
        .map(str::to_owned)
        .collect()
}

/// Whether a path is there; `*` at its end stands for a file, a folder, or both.
fn is_there(named: &str) -> bool {
    match named.strip_suffix('*') {
        None => root().join(named).exists(),
        Some(start) => {
            let path = root().join(start);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            fs::read_dir(path.parent().unwrap()).is_ok_and(|mut entries| {
                entries.any(|e| e.unwrap().file_name().to_string_lossy().starts_with(&name))
            })
        }
    }
}

#[test]
fn every_path_that_the_papers_name_is_there() {
    for paper in [
        "ARCHITECTURE.md",
        "README.md",
        "CONTRIBUTING.md",
        "rfc/index.md",
    ] {
        let text = fs::read_to_string(root().join(paper)).unwrap();
        for named in paths_named(&text) {
            assert!(
                is_there(&named),
                "{paper} names {named}, which is not there"
            );
        }
    }
}

#[test]
fn every_rfc_that_the_code_cites_is_in_the_index() {
    let index = fs::read_to_string(root().join("rfc/index.md")).unwrap();
    let rows: BTreeSet<u32> = index
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    for (path, text) in all_sources() {
        for rfc in rfcs_cited(&text) {
            assert!(
                rows.contains(&rfc),
                "{} cites RFC {rfc}, rfc/index.md does not",
                path.display()
            );
        }
    }
}

#[test]
fn every_implemented_rfc_names_code_and_a_test() {
    let index = fs::read_to_string(root().join("rfc/index.md")).unwrap();
    let mut rows = 0;
    for line in index.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if cells.len() < 7 || cells[1].parse::<u32>().is_err() || !cells[3].starts_with("yes") {
            continue;
        }
        rows += 1;
        assert!(
            !paths_named(cells[4]).is_empty(),
            "no code is named: {line}"
        );
        assert!(
            !paths_named(cells[5]).is_empty(),
            "no test is named: {line}"
        );
    }
    assert!(rows >= 10, "the index has {rows} rows");
}

#[test]
fn every_pop3_command_opens_with_its_source() {
    let server: String = all_sources()
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("crates/proto/src/server"))
        .map(|(_, text)| text)
        .collect();
    for command in [
        "QUIT", "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL", "USER", "PASS",
        "CAPA", "STLS", "AUTH",
    ] {
        let cited = server
            .lines()
            .any(|line| line.contains("RFC ") && line.contains(&format!(" {command}; state ")));
        assert!(cited, "no handler says `RFC … {command}; state …`");
    }
}

#[test]
fn nothing_panics_by_unwrap_outside_tests() {
    for (path, text) in all_sources() {
        let name = path.to_string_lossy();
        if name.contains("/tests/")
            || name.contains("/examples/")
            || name.contains("testkit")
            || name.contains("/tests.rs")
            || name.contains("xtask")
        {
            continue;
        }
        for (number, line) in product(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            assert!(!code.contains(".unwrap()"), "{name}:{}: {line}", number + 1);
        }
    }
}

/// Long files and functions are reported, not refused: a cut in the wrong place is worse.
#[test]
fn long_files_are_reported() {
    for (path, text) in all_sources() {
        let lines = product(&text).lines().count();
        if lines > 500 {
            println!("long: {} has {lines} lines", path.display());
        }
    }
}
