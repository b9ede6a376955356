//! Measures the archive on many distinct messages, made of the corpus: how fast it takes them in, how
//! fast it finds them, and what it takes to keep them. `cargo xtask bench archive` runs it.
//!
//! `measure FOLDER MESSAGES`: FOLDER is made, and holds the data folder and the same mail as a Maildir.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this is what it is for, and it may fail"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pollster::block_on as wait;
use restante_archive::{Archive, Options, Page, Query, Scope};
use restante_store::embedded::{EmbeddedStore, Options as StoreOptions};
use restante_store::{Delivery, MailStore};
use restante_testkit::corpus;
use serde_json::{Value, json};

/// Times that each query is run; the median counts.
const RUNS: usize = 21;

/// What is looked for: a name, and the query.
const QUERIES: [(&str, &str); 8] = [
    ("a rare word", "quux777"),
    ("a common word", "the"),
    ("two words", "linux kernel"),
    ("a phrase", "\"the following\""),
    ("a prefix", "con*"),
    ("sender and date", "from:hotmail.com date:2000-05"),
    ("list and attachment", "list:* has:attachment"),
    ("everything", ""),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let folder = Path::new(&words[1]);
    let count: usize = words[2].parse().unwrap();
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let store = Arc::new(EmbeddedStore::open(&data, StoreOptions::default()).unwrap());
    let octets = fill(&store, &folder.join("Maildir"), count);
    let state = rusqlite::Connection::open(data.join("state.db")).unwrap();
    let options = Options {
        always: vec!["me".to_owned()],
        ..Options::default()
    };
    let shared: Arc<dyn MailStore> = store;
    let archive = Archive::open(&data, state, shared, options).unwrap();
    let started = Instant::now();
    let came = archive
        .catch_up(&mut |_| ControlFlow::Continue(()))
        .unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let search = size(&data.join("search.db"));
    let text = archive.text_octets().unwrap();
    row(
        json!({"what": "index", "messages": came, "seconds": seconds, "mail_octets": octets,
        "text_octets": text, "text_mb_per_s": text as f64 / 1e6 / seconds}),
    );
    row(
        json!({"what": "size", "mail": octets, "packs": folder_size(&data.join("packs")),
        "index": size(&data.join("index.db")), "search": search, "text": text}),
    );
    for (name, query) in QUERIES {
        queries(&archive, name, query);
    }
    row(json!({"what": "memory", "most_resident_kib": most_resident()}));
}

fn queries(archive: &Archive, name: &str, text: &str) {
    let query = Query::parse(text).unwrap();
    let page = Page {
        limit: 50,
        count: true,
        ..Page::default()
    };
    let mut found = 0;
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            let results = archive.search(&Scope::all(), &query, &page).unwrap();
            found = results.total.unwrap();
            started.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    row(
        json!({"what": "query", "name": name, "query": text, "found": found,
        "median_ms": times[RUNS / 2], "most_ms": times[RUNS - 1]}),
    );
}

fn row(value: Value) {
    println!("{value}");
}

/// Makes the messages, distinct in words, dates and ids; says how many octets they have.
fn fill(store: &EmbeddedStore, maildir: &Path, count: usize) -> u64 {
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(part)).unwrap();
    }
    let mailbox = wait(store.create_mailbox("me")).unwrap();
    let samples = corpus::real();
    let (mut octets, mut spent) = (0, 0.0);
    let mut at = 0;
    while at < count {
        let end = (at + 500).min(count);
        let messages: Vec<Vec<u8>> = (at..end)
            .map(|at| variant(&samples[at % samples.len()].bytes, at))
            .collect();
        for (message, at) in messages.iter().zip(at..) {
            octets += message.len() as u64;
            std::fs::write(maildir.join(format!("cur/{at:07}.x:2,")), message).unwrap();
        }
        let started = Instant::now();
        let deliveries = messages.iter().zip(at as u64..).map(|(message, at)| {
            let mut draft = store.draft(Some(message.len() as u64)).unwrap();
            draft.write(message).unwrap();
            Delivery {
                mailbox,
                message: draft.seal().unwrap(),
                received_ms: 1_700_000_000_000 + at,
                source: None,
            }
        });
        wait(store.commit(deliveries.collect())).unwrap();
        spent += started.elapsed().as_secs_f64();
        at = end;
    }
    row(
        json!({"what": "store", "messages": count, "octets": octets, "seconds": spent,
        "mb_per_s": octets as f64 / 1e6 / spent}),
    );
    octets
}

/// The same message with a date, an id and some words of its own, its body's lines turned around.
fn variant(bytes: &[u8], at: usize) -> Vec<u8> {
    let text = bytes.strip_prefix(b"From ").map_or(bytes, |rest| {
        &rest[memchr::memchr(b'\n', rest).map_or(0, |at| at + 1)..]
    });
    let end = memchr::memmem::find(text, b"\n\n").map_or(text.len(), |at| at + 1);
    let mut all = Vec::with_capacity(text.len() + 200);
    let mut dropping = false;
    for line in text[..end].split_inclusive(|byte| *byte == b'\n') {
        let lower = line.to_ascii_lowercase();
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            dropping = lower.starts_with(b"date:") || lower.starts_with(b"message-id:");
        }
        if !dropping {
            all.extend_from_slice(line);
        }
    }
    let second = 946_684_800 + (at as i64 * 7919) % 630_720_000;
    let date = jiff::Timestamp::from_second(second).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000");
    all.extend_from_slice(format!("Date: {date}\nMessage-ID: <{at}@measure>\n\n").as_bytes());
    all.extend_from_slice(format!("quux{at} word{} word{}\n", at % 997, at % 4999).as_bytes());
    let body = text.get(end + 1..).unwrap_or_default();
    if memchr::memmem::find(&text[..end], b"oundary").is_none() {
        let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
        let turn = at / 7 % lines.len().max(1);
        for line in lines[turn..].iter().chain(&lines[..turn]) {
            all.extend_from_slice(line);
        }
    } else {
        all.extend_from_slice(body);
    }
    all
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

fn folder_size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| size(&entry.unwrap().path())).sum()
}

/// `VmHWM` of this process, in KiB.
fn most_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
