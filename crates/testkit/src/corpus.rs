//! Awkward messages: a small set that the project carries itself, all of it made up, and larger
//! sets from archives when they are at hand.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A message and what is awkward about it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Unique in its set; from the small set a short sentence, else a file's path.
    pub name: String,
    /// The exact octets.
    pub bytes: Vec<u8>,
}

/// A usual message of about `octets` octets; `seed` makes it differ from others.
pub fn usual(seed: u64, octets: usize) -> Vec<u8> {
    let mut bytes = format!(
        "From: Ada <ada{seed}@example.org>\r\nTo: me@example.net\r\nSubject: note {seed}\r\n\
         Message-ID: <{seed}@example.org>\r\n\r\n"
    )
    .into_bytes();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < octets {
        // xorshift64: the same on every machine, and not as compressible as one repeated line.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(format!("line {state:x} of a letter\r\n").as_bytes());
    }
    bytes
}

const SHORT: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("one line end", b"\r\n"),
    ("one bare LF", b"\n"),
    ("one bare CR", b"\r"),
    ("one dot", b"."),
    ("one dot and CRLF", b".\r\n"),
    ("two dots", b"..\r\n"),
    (
        "first line starts with a dot",
        b".hidden: yes\r\n\r\nbody\r\n",
    ),
    (
        "a line that is the terminator",
        b"Subject: a\r\n\r\nb\r\n.\r\nc\r\n",
    ),
    ("dots after bare LF", b"Subject: a\n\n.\n..\n.b\n"),
    (
        "a dot after a bare CR is no line start",
        b"Subject: a\r\n\r\nb\r.c\r\n",
    ),
    ("no final line end", b"Subject: a\r\n\r\nno end"),
    ("ends in a bare CR", b"Subject: a\r\n\r\nend\r"),
    ("ends in a bare LF", b"Subject: a\r\n\r\nend\n"),
    ("ends in CR CR LF", b"Subject: a\r\n\r\nend\r\r\n"),
    ("LF only", b"Subject: a\n\nb\nc\n"),
    ("mixed line ends", b"Subject: a\r\nX: b\n\r\nc\rd\n\re\r\n"),
    ("no body", b"Subject: only a header\r\n"),
    ("no body, no line end", b"Subject: only a header"),
    ("no header", b"\r\nonly a body\r\n"),
    ("NUL octets", b"Subject: a\r\n\r\n\0\0b\0\r\n\0"),
    (
        "8-bit octets that are no UTF-8",
        b"Subject: \xe9\xff\r\n\r\n\x80\xfe\xc3\r\n",
    ),
    (
        "UTF-8 and its byte-order mark",
        b"\xef\xbb\xbfSubject: \xc3\xa9\r\n\r\n\xe2\x82\xac\r\n",
    ),
    (
        "From-lines",
        b"Subject: a\r\n\r\nFrom here\r\n>From there\r\n>>From afar\r\nFromm\r\n",
    ),
    (
        "From-line first",
        b"From me Mon Nov 23 12:00:00 2026\r\nSubject: a\r\n\r\nb\r\n",
    ),
    (
        "From-line with LF, last, no end",
        b"Subject: a\n\nb\n\nFrom here",
    ),
    (
        "quoted From-line first",
        b">From me\r\n\r\nFrom \r\n>From \r\n",
    ),
    (
        "From-line after a bare CR",
        b"Subject: a\r\n\r\nb\rFrom c\r\n\r>From d\r\n",
    ),
    ("only From and a space", b"From "),
    ("only From", b"From"),
    (
        "many angles",
        b"\r\n>>>>>>>>From a\r\n> From b\r\n>\r\n>>\r\n>Fro\r\n",
    ),
    ("ends in angles", b"Subject: a\r\n\r\n>>>"),
    ("many empty lines", b"\r\n\r\n\n\n\r\n\r\n\r\n"),
    ("ends in two empty LF lines", b"Subject: a\n\nb\n\n\n"),
    (
        "zstd's magic number",
        b"\x28\xb5\x2f\xfd\x50\x2a\x4d\x18\r\n",
    ),
    ("words of the protocol", b"-ERR no\r\n+OK\r\nQUIT\r\n"),
    (
        "folded header, tabs, trailing spaces",
        b"Subject: a\r\n\tb \r\n c\t\r\n\r\n \r\n",
    ),
];

fn named(name: &str, bytes: Vec<u8>) -> Sample {
    let name = name.to_owned();
    Sample { name, bytes }
}

/// The set that the project carries: short awkward ones, and some that are long in one way.
pub fn small() -> Vec<Sample> {
    let short = SHORT
        .iter()
        .map(|(name, bytes)| named(name, bytes.to_vec()));
    let mut all: Vec<_> = short.collect();
    let mut long_line = b"Subject: long\r\n\r\n".to_vec();
    long_line.resize(1_000_000, b'x');
    all.push(named("a line of 1 MB without end", long_line.clone()));
    long_line.extend_from_slice(b"\r\n.\r\n");
    all.push(named("a line of 1 MB", long_line));
    // A CRLF, an LF and a From-line across each border that a buffer is likely to have.
    for size in [4_096, 65_536, 131_072, 262_144] {
        for (what, tail) in [("CRLF", &b"\r\n."[..]), ("From", b"\nFrom x\n")] {
            for back in [1, 2, 3, 5] {
                let mut bytes = vec![b'y'; size - back];
                bytes.extend_from_slice(tail);
                all.push(named(&format!("{what} {back} before {size}"), bytes));
            }
        }
    }
    all.push(named(
        "all octets",
        (0..=255).cycle().take(70_000).collect(),
    ));
    all.push(named("20,000 dots", b".\r\n".repeat(20_000)));
    all.push(named("20,000 From-lines", b"From \n".repeat(20_000)));
    all.push(named("not compressible", noise(300_000)));
    all
}

/// Octets that no compressor makes smaller, the same each time.
pub fn noise(octets: usize) -> Vec<u8> {
    let mut bytes = vec![0; octets];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Usual mail, much of it: `real.tar.xz` of the folder `$RESTANTE_CORPUS`, or of `../shared/corpus`
/// beside the workspace. Says so on the terminal and gives the small set when neither is there.
pub fn real() -> Vec<Sample> {
    archive("real")
}

/// Odd mail: `odd.tar.xz` of the same folder as [`real`].
pub fn odd() -> Vec<Sample> {
    archive("odd")
}

fn archive(set: &str) -> Vec<Sample> {
    match unpack(set).and_then(|folder| read_folder(&folder)) {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => fall_back(set, "the archive has no files"),
        Err(error) => fall_back(set, &error.to_string()),
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a test must tell that it tests less than it could"
)]
fn fall_back(set: &str, why: &str) -> Vec<Sample> {
    eprintln!("corpus: no {set}.tar.xz ({why}); taking the small set instead");
    small()
}

fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Found by what lies in it: xtask takes this file as source, from another depth.
    let root = here.ancestors().find(|at| at.join("Cargo.lock").exists());
    root.unwrap_or(here)
}

/// Unpacks once per build folder: into a folder of this process first, which then gets its name.
fn unpack(set: &str) -> io::Result<PathBuf> {
    let from = match env::var_os("RESTANTE_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => workspace().join("../shared/corpus"),
    }
    .join(format!("{set}.tar.xz"));
    let octets = fs::metadata(&from)?.len();
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let cache = target
        .unwrap_or_else(|| workspace().join("target"))
        .join("corpus");
    let folder = cache.join(format!("{set}-{octets}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let fresh = cache.join(format!("{set}-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;
    let tar = Command::new("tar")
        .arg("-xJf")
        .arg(&from)
        .arg("-C")
        .arg(&fresh)
        .status()?;
    if !tar.success() {
        fs::remove_dir_all(&fresh)?;
        return Err(io::Error::other(format!(
            "tar failed on {}",
            from.display()
        )));
    }
    if fs::rename(&fresh, &folder).is_err() {
        // Another process was first, and has unpacked the same.
        fs::remove_dir_all(&fresh)?;
    }
    Ok(folder)
}

fn read_folder(folder: &Path) -> io::Result<Vec<Sample>> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path);
                all.push(named(&name.to_string_lossy(), fs::read(&path)?));
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_small_set_is_of_distinct_messages() {
        let all = small();
        let names: BTreeSet<_> = all.iter().map(|s| &s.name).collect();
        let bytes: BTreeSet<_> = all.iter().map(|s| &s.bytes).collect();
        assert_eq!((names.len(), bytes.len()), (all.len(), all.len()));
        assert!(SHORT.len() >= 25);
    }

    #[test]
    fn the_archives_or_the_small_set_are_there() {
        assert!(odd().len() >= 25);
        assert!(real().len() >= 25);
    }
}
