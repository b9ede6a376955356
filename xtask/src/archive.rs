//! The archive's parser beside another: Python's email package reads the same mail, and where both should
//! agree they do.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::corpus;
use crate::process::run;
use crate::steps::development;
use crate::tally::Cases;
use crate::{Fallible, fail, scratch, workspace};

const LIMIT: Duration = Duration::from_secs(300);

const FIELDS: [&str; 4] = ["subject", "from", "date", "files"];

/// Of a thousand messages so many may be read otherwise, of the real ones and of the odd ones. What
/// nobody can say is left out by `oracle.py`, with the reason; of the rest none is read otherwise by
/// Python 3.11, but its readers of broken mail change from one version to the next: one or two
/// may.
const TOLERATED: [(&str, u64); 2] = [("real", 1), ("odd", 20)];

/// Runs the comparison on the real and the odd corpus, a case for each field.
pub(crate) fn run_all(cases: &mut Cases) {
    for (set, tolerated) in TOLERATED {
        let samples = if set == "odd" {
            corpus::odd()
        } else {
            corpus::real()
        };
        let mut told = None;
        cases.case(
            &format!("{set}: {} messages are read", samples.len()),
            || {
                told = Some(compare(set, &samples)?);
                Ok(())
            },
        );
        let Some(told) = told else { continue };
        // What this project carries itself, where there is no other, has no sensible dates and addresses.
        let is_small = samples.len() == corpus::small().len();
        for field in FIELDS {
            if is_small && !told.contains(&marked(field)) {
                continue;
            }
            cases.case(&format!("{set}: {field}"), || {
                judge(&told, field, tolerated)
            });
        }
    }
}

/// One line for each field, as `oracle.py` prints them.
fn compare(set: &str, samples: &[corpus::Sample]) -> Fallible<String> {
    let scratch = scratch(&format!("archive-{set}"))?;
    let folder = scratch.path().join("mail");
    fs::create_dir(&folder)?;
    for (at, sample) in samples.iter().enumerate() {
        let name = Path::new(&sample.name).file_name().unwrap_or_default();
        fs::write(
            folder.join(format!("{at:05}-{}", name.to_string_lossy())),
            &sample.bytes,
        )?;
    }
    let mut tell = Command::new(development()?.join("examples/tell"));
    tell.arg(&folder);
    let lines = run(&mut tell, b"", LIMIT)?.ok("the example tell")?.out;
    let told = scratch.path().join("told");
    fs::write(&told, lines)?;
    let mut oracle = Command::new("python3");
    oracle
        .arg(workspace().join("xtask/src/archive/oracle.py"))
        .arg(&folder)
        .arg(&told);
    let compared = run(&mut oracle, b"", LIMIT)?.ok("python3 oracle.py")?;
    Ok(String::from_utf8_lossy(&compared.out).into_owned())
}

/// What the line of a field has.
fn marked(field: &str) -> String {
    format!("\"field\": \"{field}\"")
}

fn judge(told: &str, field: &str, tolerated: u64) -> Fallible<()> {
    let marked = marked(field);
    let Some(line) = told.lines().find(|line| line.contains(&marked)) else {
        return fail(format!("nothing was compared:\n{told}"));
    };
    let number = |name: &str| -> Fallible<u64> {
        let after = line
            .split(&format!("\"{name}\": "))
            .nth(1)
            .unwrap_or_default();
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    };
    let (agree, differ) = (number("agree")?, number("differ")?);
    if agree == 0 || differ * 1000 > tolerated * (agree + differ) {
        return fail(format!(
            "{differ} of {} are read otherwise: {line}",
            agree + differ
        ));
    }
    Ok(())
}
