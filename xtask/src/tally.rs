//! What passed, what failed, and how long it took.

use std::time::{Duration, Instant};

use crate::Fallible;

/// One line of the summary.
struct Line {
    name: String,
    passed: u64,
    failed: u64,
    took: Duration,
}

/// Counts of all steps and cases.
#[derive(Default)]
pub(crate) struct Tally {
    lines: Vec<Line>,
    failures: Vec<String>,
}

impl Tally {
    /// Runs a step that passes or fails as a whole.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Fallible<()>) {
        self.suite(name, |cases| cases.case(name, work));
    }

    /// Runs a suite of cases. What it cannot even begin with counts as a failed case.
    pub(crate) fn suite(&mut self, name: &str, work: impl FnOnce(&mut Cases)) {
        println!("\n=== {name}");
        let begun = Instant::now();
        let mut cases = Cases::default();
        work(&mut cases);
        let took = begun.elapsed();
        println!(
            "=== {name}: {} passed, {} failed, {:.1} s",
            cases.passed,
            cases.failures.len() as u64 + cases.counted_failed,
            took.as_secs_f64()
        );
        self.lines.push(Line {
            name: name.to_owned(),
            passed: cases.passed,
            failed: cases.failures.len() as u64 + cases.counted_failed,
            took,
        });
        let failures = cases.failures.into_iter();
        self.failures
            .extend(failures.map(|failure| format!("{name}: {failure}")));
    }

    /// Prints the table, the failures, and the counts alone on the last line; true if all is well.
    pub(crate) fn finish(&self) -> bool {
        println!(
            "\n{:<44} {:>7} {:>7} {:>9}",
            "step", "passed", "failed", "seconds"
        );
        let (mut passed, mut failed, mut took) = (0, 0, Duration::ZERO);
        for line in &self.lines {
            let seconds = line.took.as_secs_f64();
            println!(
                "{:<44} {:>7} {:>7} {:>9.1}",
                line.name, line.passed, line.failed, seconds
            );
            passed += line.passed;
            failed += line.failed;
            took += line.took;
        }
        println!(
            "{:<44} {passed:>7} {failed:>7} {:>9.1}",
            "all",
            took.as_secs_f64()
        );
        for failure in &self.failures {
            println!("FAILED {failure}");
        }
        println!("{passed} passed, {failed} failed");
        failed == 0
    }
}

/// The cases of one suite.
#[derive(Default)]
pub(crate) struct Cases {
    passed: u64,
    counted_failed: u64,
    failures: Vec<String>,
}

impl Cases {
    /// Runs one case and says how it went.
    pub(crate) fn case(&mut self, name: &str, work: impl FnOnce() -> Fallible<()>) {
        let begun = Instant::now();
        let result = work();
        self.report(name, result, begun.elapsed());
    }

    /// Counts a case that ran elsewhere.
    pub(crate) fn report(&mut self, name: &str, result: Fallible<()>, took: Duration) {
        let seconds = took.as_secs_f64();
        match result {
            Ok(()) => {
                println!("  ok     {name} ({seconds:.1} s)");
                self.passed += 1;
            }
            Err(error) => {
                println!("  FAILED {name} ({seconds:.1} s): {error}");
                self.failures.push(format!("{name}: {error}"));
            }
        }
    }

    /// Adds what another program counted.
    pub(crate) fn count(&mut self, passed: u64, failed: u64) {
        self.passed += passed;
        self.counted_failed += failed;
    }
}
