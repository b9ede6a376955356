//! The messages that go through the programs, and what counts as the same message.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::corpus;
use crate::{Fallible, fail};

/// A message as it lies on disk before it is imported.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Mail {
    /// As POP3 shows it.
    pub(crate) fn ended(&self) -> Self {
        Self {
            name: self.name.clone(),
            bytes: ended(&self.bytes),
        }
    }
}

/// All odd messages and `real` of the real ones. Files with LF only, which is how a corpus travels,
/// become CRLF, as on the wire.
pub(crate) fn collection(real: usize) -> Vec<Mail> {
    let samples = corpus::odd().into_iter().chain(some_real(real));
    let mut seen = HashMap::new();
    let mut all = Vec::new();
    for sample in samples {
        let bytes = wire(without_envelope(&sample.bytes));
        // POP3 cannot tell a message with its final line end from the same without.
        let key = digest(&normalised(&bytes));
        if bytes.is_empty() || seen.insert(key, ()).is_some() {
            continue;
        }
        all.push(Mail {
            name: sample.name,
            bytes,
        });
    }
    all
}

/// Some files of the corpus begin with the From_ line of the mbox that they were taken from: no part of
/// the message, and nothing that a client could be held to.
fn without_envelope(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"From ") {
        return bytes;
    }
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    &bytes[end..]
}

/// Evenly from all kinds that the corpus has.
fn some_real(count: usize) -> Vec<corpus::Sample> {
    let all = corpus::real();
    let step = (all.len() / count.max(1)).max(1);
    all.into_iter().step_by(step).take(count).collect()
}

/// Every line end CRLF; a bare CR stays. On disk LF ends a line, and `import` takes it so, in files
/// that have both too.
pub(crate) fn wire(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for &byte in bytes {
        if byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

/// What POP3 shows of a message: one that does not end in CRLF gets it.
pub(crate) fn ended(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// What a client that stores LF keeps: CRLF is LF, and there is one at the end.
pub(crate) fn normalised(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\r' || rest.peek() != Some(&b'\n') {
            out.push(byte);
        }
    }
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    out
}

/// BLAKE3.
pub(crate) fn digest(bytes: &[u8]) -> blake3::Hash {
    blake3::hash(bytes)
}

/// Writes messages as `.eml` files into a folder that is made.
pub(crate) fn write_folder(mails: &[Mail], folder: &Path) -> Fallible<()> {
    fs::create_dir_all(folder)?;
    for (index, mail) in mails.iter().enumerate() {
        fs::write(folder.join(format!("{index:05}.eml")), &mail.bytes)?;
    }
    Ok(())
}

/// Compares two heaps of messages by digest, whatever their order. `form` is what the client does to a
/// message, done to both sides; those that it does not keep have to be as many.
pub(crate) fn same(
    sent: &[Mail],
    got: &[Vec<u8>],
    form: fn(&[u8]) -> Vec<u8>,
    keeps: fn(&[u8]) -> bool,
) -> Fallible<()> {
    let mut wanted: HashMap<blake3::Hash, Vec<&Mail>> = HashMap::new();
    for mail in sent {
        wanted
            .entry(digest(&form(&mail.bytes)))
            .or_default()
            .push(mail);
    }
    let loose = sent.iter().filter(|mail| !keeps(&mail.bytes)).count();
    let mut strangers = Vec::new();
    for message in got {
        let found = wanted.get_mut(&digest(&form(message)));
        if found.and_then(Vec::pop).is_none() {
            strangers.push(message);
        }
    }
    let mut lost: Vec<&Mail> = wanted.into_values().flatten().collect();
    // For each message that is not kept as it is, one that is not like any.
    lost.retain(|mail| keeps(&mail.bytes));
    let loose = loose.min(strangers.len().saturating_sub(lost.len()));
    strangers.truncate(strangers.len() - loose);
    if got.len() != sent.len() {
        return fail(format!("{} messages came of {}", got.len(), sent.len()));
    }
    if lost.is_empty() && strangers.is_empty() {
        return Ok(());
    }
    if let Some(folder) = std::env::var_os("RESTANTE_KEEP") {
        // For who looks into a difference.
        let folder = Path::new(&folder);
        fs::create_dir_all(folder)?;
        for (index, stranger) in strangers.iter().enumerate() {
            fs::write(folder.join(format!("got-{index}")), stranger)?;
        }
        for mail in &lost {
            fs::write(
                folder.join(format!("sent-{}", mail.name.replace('/', "_"))),
                &mail.bytes,
            )?;
        }
    }
    let names: Vec<&str> = lost.iter().take(5).map(|mail| mail.name.as_str()).collect();
    fail(format!(
        "of {} messages {} did not come out as they went in ({}), {} came out otherwise",
        sent.len(),
        lost.len(),
        names.join(", "),
        strangers.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_ends_are_normalised() {
        assert_eq!(normalised(b"a\r\nb\rc\r\r\nd"), b"a\nb\rc\r\nd\n");
        assert_eq!(wire(b"a\nb"), b"a\r\nb");
        assert_eq!(wire(b"a\r\nb\n\rc"), b"a\r\nb\r\n\rc");
        assert_eq!(ended(b"a"), b"a\r\n");
    }

    #[test]
    fn a_changed_message_is_not_the_same() {
        let sent = [Mail {
            name: "a".to_owned(),
            bytes: b"a\r\n".to_vec(),
        }];
        assert!(same(&sent, &[b"a\n".to_vec()], normalised, |_| true).is_ok());
        assert!(same(&sent, &[b"b\n".to_vec()], normalised, |_| true).is_err());
        assert!(same(&sent, &[], normalised, |_| true).is_err());
        assert!(
            same(
                &sent,
                &[b"a\n".to_vec(), b"a\n".to_vec()],
                normalised,
                |_| true
            )
            .is_err()
        );
    }
}
