//! What the numbers were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// The first value of a `key: value` or `key=value` file.
fn field(path: &str, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_once([':', '=']));
    value.map_or("unknown".to_owned(), |(_, v)| {
        v.trim().trim_matches('"').to_owned()
    })
}

/// What a program says on its first line.
pub(super) fn says(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let output = Command::new(program.as_ref()).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// One, five and fifteen minutes.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where the mail lies: file system and device.
fn disk() -> String {
    let folder = crate::target_folder();
    let folder = folder.to_string_lossy();
    let line = says("findmnt", &["-n", "-o", "FSTYPE,SOURCE", "-T", &folder]);
    line.split_whitespace().collect::<Vec<_>>().join(" on ")
}

/// A list in Markdown.
pub(super) fn describe(binary: &Path) -> String {
    let memory = field("/proc/meminfo", "MemTotal");
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    format!(
        "- date: {}\n- processor: {}, {} cores, shared by clients and servers\n- memory: {:.0} GB\n\
         - disk: {}\n- system: {}, Linux {}\n- ours: {}, {}\n- Dovecot: {}\n",
        says("date", &["-u", "+%F %H:%M UTC"]),
        field("/proc/cpuinfo", "model name"),
        thread::available_parallelism().map_or(0, usize::from),
        memory as f64 / 1e6,
        disk(),
        field("/etc/os-release", "PRETTY_NAME"),
        says("uname", &["-r"]),
        says(binary, &["--version"]),
        says("rustc", &["--version"]),
        says("dovecot", &["--version"]),
    )
}
