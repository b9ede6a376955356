//! What a generation is: the packs as they stood, in pieces, and `state.db`.
//!
//! A generation is one object, `generations/<id>`: a line of JSON with the names of all objects that
//! it needs, so that pruning and checking need no key; then the manifest, as JSON with a pack on each
//! line, or encrypted with age.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{BackupError, Result};
use crate::limits::{OBJECT_OCTETS, PIECE_OCTETS};
use crate::seal::{Opener, Sealer};

/// What this program writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// A part of a file, as one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// BLAKE3 of what is stored, as hexadecimal digits: the object is `objects/<2 digits>/<64>`.
    pub(crate) object: String,
    /// Octets of the file.
    pub(crate) octets: u64,
    /// Octets as stored.
    pub(crate) stored: u64,
    /// BLAKE3 of the file's octets; the object's name again when nothing is encrypted.
    pub(crate) digest: String,
}

/// A pack, up to the end of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pack {
    pub(crate) number: u32,
    /// The pack's own random id, as hexadecimal digits.
    pub(crate) id: String,
    pub(crate) octets: u64,
    pub(crate) sealed: bool,
    /// It was found damaged when it was backed up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) damaged: bool,
    pub(crate) pieces: Vec<Piece>,
}

/// A mailbox as it was, for those who look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mailbox {
    pub(crate) name: String,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

/// A generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) id: String,
    /// When it was begun, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) state: Vec<Piece>,
    pub(crate) packs: Vec<Pack>,
}

#[derive(Serialize, Deserialize)]
struct Outside {
    #[serde(rename = "restante-backup")]
    format: u32,
    id: String,
    /// BLAKE3 of what follows the line, as it is stored.
    manifest: String,
    objects: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    id: String,
    at_ms: u64,
    mailboxes: Vec<Mailbox>,
    state: Vec<Piece>,
}

fn damaged(id: &str, what: impl std::fmt::Display) -> BackupError {
    BackupError::Damage(format!(
        "generation {id} is damaged ({what}): restore another with --at"
    ))
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| BackupError::Io(format!("a manifest cannot be written: {e}")))
}

impl Manifest {
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let packs = self.packs.iter().flat_map(|pack| &pack.pieces);
        self.state.iter().chain(packs)
    }

    pub(crate) fn octets(&self) -> u64 {
        self.pieces().map(|piece| piece.octets).sum()
    }

    pub(crate) fn messages(&self) -> u64 {
        self.mailboxes.iter().map(|mailbox| mailbox.messages).sum()
    }

    /// The manifest as text: the head, then a pack a line.
    pub(crate) fn text(&self) -> Result<String> {
        let mut text = json(&Head {
            id: self.id.clone(),
            at_ms: self.at_ms,
            mailboxes: self.mailboxes.clone(),
            state: self.state.clone(),
        })?;
        text.push('\n');
        for pack in &self.packs {
            text.push_str(&json(pack)?);
            text.push('\n');
        }
        Ok(text)
    }

    pub(crate) fn from_text(id: &str, text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let head: Head =
            serde_json::from_str(lines.next().unwrap_or_default()).map_err(|e| damaged(id, e))?;
        let packs = lines.map(|line| serde_json::from_str(line).map_err(|e| damaged(id, e)));
        let manifest = Self {
            id: head.id,
            at_ms: head.at_ms,
            mailboxes: head.mailboxes,
            state: head.state,
            packs: packs.collect::<Result<_>>()?,
        };
        if manifest.id != id {
            return Err(damaged(id, "it is another generation's"));
        }
        manifest.check().map_err(|what| damaged(id, what))?;
        Ok(manifest)
    }

    /// Without a key anybody who can write there could have written it: nothing in it may lead out of the
    /// destination, or to more memory than we would need ourselves.
    fn check(&self) -> std::result::Result<(), &'static str> {
        let mut numbers = BTreeSet::new();
        let mut all = whole(&self.state)?;
        for pack in &self.packs {
            let octets = whole(&pack.pieces)?;
            if octets != pack.octets {
                return Err("pieces are missing");
            }
            if !numbers.insert(pack.number) {
                return Err("two packs have one number");
            }
            all = all.checked_add(octets).ok_or("it is impossibly large")?;
        }
        let mut counts = self.mailboxes.iter().map(|mailbox| mailbox.messages);
        let sum = counts.try_fold(0u64, u64::checked_add);
        sum.map(drop).ok_or("it counts impossibly many messages")
    }

    /// The object that is stored.
    pub(crate) fn encode(&self, sealer: &Sealer) -> Result<Vec<u8>> {
        let mut objects: Vec<String> = self.pieces().map(|piece| piece.object.clone()).collect();
        objects.sort_unstable();
        objects.dedup();
        let text = self.text()?;
        let sealed = sealer.seal(text.as_bytes())?;
        let outside = Outside {
            format: FORMAT,
            id: self.id.clone(),
            manifest: blake3::hash(&sealed).to_hex().to_string(),
            objects,
        };
        let mut bytes = json(&outside)?.into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Reads what `encode` made.
    pub(crate) fn decode(id: &str, bytes: &[u8], opener: &Opener) -> Result<Self> {
        let (_, rest) = outside(id, bytes)?;
        let plain = opener.open(rest)?;
        let text = std::str::from_utf8(&plain).map_err(|e| damaged(id, e))?;
        Self::from_text(id, text)
    }
}

/// The octets of a file in pieces: each at its place, of a size that we write, under a name that is one.
fn whole(pieces: &[Piece]) -> std::result::Result<u64, &'static str> {
    let mut all = 0u64;
    for (at, piece) in pieces.iter().enumerate() {
        if !is_digest(&piece.object) || !is_digest(&piece.digest) {
            return Err("a name is none");
        }
        let last = at + 1 == pieces.len();
        let most = PIECE_OCTETS as u64;
        let right = piece.octets == most || last && (1..most).contains(&piece.octets);
        if !right || piece.stored > OBJECT_OCTETS {
            return Err("a piece has an impossible size");
        }
        all = all
            .checked_add(piece.octets)
            .ok_or("it is impossibly large")?;
    }
    Ok(all)
}

fn outside<'b>(id: &str, bytes: &'b [u8]) -> Result<(Outside, &'b [u8])> {
    let end = bytes.iter().position(|&b| b == b'\n');
    let (line, rest) = bytes.split_at(end.ok_or_else(|| damaged(id, "it is cut off"))?);
    let outside: Outside = serde_json::from_slice(line).map_err(|e| damaged(id, e))?;
    if outside.format > FORMAT {
        return Err(BackupError::Usage(format!(
            "generation {id} is of format {}, this program reads up to {FORMAT}: use a newer program",
            outside.format
        )));
    }
    if outside.format != FORMAT || outside.id != id {
        return Err(damaged(id, "its first line is not what it was"));
    }
    let rest = &rest[1..];
    if blake3::hash(rest).to_hex().as_str() != outside.manifest {
        return Err(damaged(id, "its octets are not what they were"));
    }
    Ok((outside, rest))
}

/// The names of the objects that a generation needs; no key is needed.
pub(crate) fn objects(id: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let objects = outside(id, bytes)?.0.objects;
    if objects.iter().any(|name| !is_digest(name)) {
        return Err(damaged(id, "a name is none"));
    }
    Ok(objects)
}

/// So many hexadecimal digits, as we write them.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == digits && text.bytes().all(lower)
}

fn is_digest(name: &str) -> bool {
    is_hex(name, 64)
}

/// Where an object is.
pub(crate) fn object_path(digest: &str) -> String {
    format!("objects/{}/{digest}", digest.get(..2).unwrap_or_default())
}

/// The object that a path names; `None` for another program's file.
pub(crate) fn object_of(path: &str) -> Option<&str> {
    let digest = path.rsplit('/').next()?;
    (is_digest(digest) && path == object_path(digest)).then_some(digest)
}

/// Where a generation is.
pub(crate) fn generation_path(id: &str) -> String {
    format!("generations/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(octets: u64) -> Piece {
        let digest = blake3::hash(&octets.to_le_bytes()).to_hex().to_string();
        Piece {
            object: digest.clone(),
            octets,
            stored: octets,
            digest,
        }
    }

    /// Two packs, the first of two pieces.
    fn manifest() -> Manifest {
        let whole = PIECE_OCTETS as u64;
        let pack = |number, pieces: Vec<Piece>| Pack {
            number,
            id: format!("{number:032x}"),
            octets: pieces.iter().map(|piece| piece.octets).sum(),
            sealed: true,
            damaged: false,
            pieces,
        };
        Manifest {
            id: "x".to_owned(),
            at_ms: 1,
            mailboxes: vec![Mailbox {
                name: "me".to_owned(),
                messages: 3,
                octets: 9,
            }],
            state: vec![piece(4_096)],
            packs: vec![
                pack(1, vec![piece(whole), piece(5)]),
                pack(2, vec![piece(7)]),
            ],
        }
    }

    /// Whoever can write to an unencrypted destination made a restore read any file, or end for want of
    /// memory.
    #[test]
    fn what_we_would_not_write_is_damage() {
        let read = |manifest: &Manifest| Manifest::from_text("x", &manifest.text().unwrap());
        assert_eq!(read(&manifest()).unwrap(), manifest());
        let changes: [fn(&mut Manifest); 10] = [
            |m| m.packs[0].pieces[0].object = "../../../etc/passwd".to_owned(),
            |m| m.packs[0].pieces[0].object.make_ascii_uppercase(),
            |m| m.state[0].digest.truncate(63),
            |m| m.state[0].octets = u64::MAX,
            |m| m.state[0].octets = 0,
            |m| m.state[0].stored = OBJECT_OCTETS + 1,
            |m| m.packs[0].pieces.swap(0, 1),
            |m| m.packs[0].octets += 1,
            |m| m.packs[1].number = 1,
            |m| {
                let most = m.mailboxes[0].clone();
                m.mailboxes.push(Mailbox {
                    messages: u64::MAX,
                    ..most
                });
            },
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = manifest();
            change(&mut changed);
            let read = read(&changed);
            assert!(
                matches!(read, Err(BackupError::Damage(_))),
                "{at}: {read:?}"
            );
        }
    }

    #[test]
    fn an_object_is_what_is_named_as_one() {
        let name = piece(1).object;
        assert_eq!(object_of(&object_path(&name)), Some(name.as_str()));
        for other in [
            format!("objects/zz/{name}"),
            format!("objects/{name}"),
            name,
        ] {
            assert_eq!(object_of(&other), None, "{other}");
        }
        assert_eq!(object_of("objects/ab/ab"), None);
    }
}
