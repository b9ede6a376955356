//! The records of a pack: what they say, and how they stand in the file.
//!
//! A record is one zstd skippable frame (RFC 8878 §3.1.2): magic and length, little-endian, then
//!
//! ```text
//! "Rs" | type u8 | version u8 | flags u16 | encryption key id u16 | fields | check
//! ```
//!
//! with the fields of its type in a fixed order, then any number of (tag u8, length u32, bytes), of
//! which unknown tags are passed over. The check is the first 8 octets of the BLAKE3 of all that
//! stands before it in the frame's content. All numbers are little-endian. Behind an entry's record
//! stands the zstd frame that it describes.

use crate::limits::RECORD_OCTETS;
use crate::{MailboxId, Release, Source, StoreError, TombstoneId, UniqueId, ViewId};

/// The newest version of a record that is written and read. 2 brought the records of kinds 16 and 17, 3
/// that of kind 18 and a release that nobody has set; all others are written as version 1.
pub(super) const VERSION: u8 = 3;

/// One of the sixteen skippable magic numbers.
pub(super) const SKIPPABLE: u32 = 0x184D_2A52;

const MARK: [u8; 2] = *b"Rs";
const FRAME_HEAD: usize = 8;
const HEAD: usize = 8;
const CHECK: usize = 8;

/// Flags of an entry.
pub(super) mod flag {
    /// A line end was added, since the message ends without one.
    pub(in crate::embedded) const LINE_END_ADDED: u16 = 1;
    /// Lines that look like a From_ line got a `>`.
    pub(in crate::embedded) const QUOTED: u16 = 2;
    /// A line starts with a dot.
    pub(in crate::embedded) const DOT_LINES: u16 = 4;
    /// All lines end in CRLF.
    pub(in crate::embedded) const ALL_CRLF: u16 = 8;
}

/// What the first record of a pack says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PackHead {
    pub(super) number: u32,
    /// Random: a pack that has taken another's number is another pack.
    pub(super) id: [u8; 16],
    /// Packs that this one stands for.
    pub(super) replaces: Vec<u32>,
    /// Packs that failed while they were written, and up to which offset they count.
    pub(super) ended: Vec<(u32, u64)>,
}

/// A message of a mailbox; its body stands right behind in the pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mailbox: MailboxId,
    pub(super) unique_id: UniqueId,
    pub(super) flags: u16,
    /// Exact octets of the message.
    pub(super) size: u64,
    /// Octets as POP3 sends them.
    pub(super) octets: u64,
    pub(super) received_ms: u64,
    /// Octets of the zstd frame behind the record.
    pub(super) frame: u64,
    pub(super) digest: [u8; 32],
    pub(super) source: Option<Source>,
}

/// A stamp and the remote unique-id it was given to.
pub(super) type Stamped = ([u8; 16], Vec<u8>);

/// What a pack can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Pack(PackHead),
    Entry(Entry),
    /// The batch that starts at `start` and has `length` octets before this record is complete.
    Commit {
        start: u64,
        length: u64,
        digest: [u8; 32],
    },
    /// Nothing comes after this batch.
    Seal,
    /// A mailbox is made.
    Create {
        mailbox: MailboxId,
        stamp: [u8; 16],
        name: String,
    },
    /// A mailbox has another name; the youngest stamp counts.
    Rename {
        mailbox: MailboxId,
        stamp: [u8; 16],
        name: String,
    },
    /// When deleted messages leave; the youngest stamp counts.
    Release {
        mailbox: MailboxId,
        stamp: [u8; 16],
        /// `None`: as if it had never been set.
        release: Option<Release>,
    },
    /// A mailbox is removed with all it holds, for good.
    RemoveMailbox {
        mailbox: MailboxId,
        tombstone: TombstoneId,
        at_ms: u64,
        erase: bool,
    },
    /// A view is made; `from_now` hides every message whose unique-id is smaller than the view's id.
    AddView {
        mailbox: MailboxId,
        view: ViewId,
        name: String,
        from_now: bool,
    },
    RemoveView {
        mailbox: MailboxId,
        view: ViewId,
    },
    /// The plain login was used, and counts as a view from now on.
    PlainUsed {
        mailbox: MailboxId,
    },
    /// A view was opened (`live`), or was unseen for too long and holds nothing back; the youngest
    /// stamp counts, which also says when.
    ViewState {
        mailbox: MailboxId,
        view: ViewId,
        stamp: [u8; 16],
        live: bool,
    },
    /// Messages leave the mailbox.
    Tombstone {
        mailbox: MailboxId,
        tombstone: TombstoneId,
        at_ms: u64,
        ids: Vec<UniqueId>,
    },
    /// A view hides messages.
    Hide {
        mailbox: MailboxId,
        view: ViewId,
        tombstone: TombstoneId,
        at_ms: u64,
        ids: Vec<UniqueId>,
    },
    /// Deletions are cancelled, for some of what they named.
    Undo {
        mailbox: MailboxId,
        pairs: Vec<(TombstoneId, UniqueId)>,
    },
    /// Fetched messages without an entry here: the remote still may list them. By remote unique-id,
    /// with the time of receipt in milliseconds since 1970, 0 if nobody knows.
    Seen {
        mailbox: MailboxId,
        /// Tells this from every other time that one of them was seen. Of a message whose entry went
        /// it is the unique-id; all zeros in a record of kind 15.
        stamp: [u8; 16],
        account: String,
        seen: Vec<(Vec<u8>, u64)>,
    },
    /// Messages are not seen any more: stamps, of `Seen` or of an entry that goes, and remote
    /// unique-ids.
    Forget {
        mailbox: MailboxId,
        account: String,
        pairs: Vec<Stamped>,
    },
}

/// Why octets are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bad {
    /// More octets are needed: so many in all.
    Short(u64),
    /// Not a record, or damaged.
    Damaged,
    /// Written by a newer program.
    Newer(u8),
}

impl Bad {
    pub(super) fn newer(version: u8) -> StoreError {
        StoreError::Permanent(format!(
            "a pack has format version {version}, this program reads up to {VERSION}: use a newer program"
        ))
    }
}

mod tag {
    pub(super) const ACCOUNT: u8 = 1;
    pub(super) const REMOTE_ID: u8 = 2;
    pub(super) const NAME: u8 = 3;
    pub(super) const IDS: u8 = 4;
    pub(super) const PAIRS: u8 = 5;
    pub(super) const REPLACES: u8 = 6;
    pub(super) const ENDED: u8 = 7;
    pub(super) const SEEN: u8 = 8;
    pub(super) const FORGOTTEN: u8 = 9;
}

fn put_tag(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Two fields under one tag; the first is of a fixed length.
fn put_two(out: &mut Vec<u8>, tag: u8, first: &[u8], second: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&((first.len() + second.len()) as u32).to_le_bytes());
    out.extend_from_slice(first);
    out.extend_from_slice(second);
}

fn put_source(out: &mut Vec<u8>, source: &Source) {
    put_tag(out, tag::ACCOUNT, source.account.as_bytes());
    put_tag(out, tag::REMOTE_ID, &source.remote_id);
}

fn put_ids(out: &mut Vec<u8>, ids: &[UniqueId]) {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    put_tag(out, tag::IDS, &bytes);
}

const fn release_code(release: Option<Release>) -> u8 {
    match release {
        None => 0,
        Some(Release::AtOnce) => 1,
        Some(Release::AllDevices) => 2,
        Some(Release::Never) => 3,
    }
}

impl Record {
    const fn kind(&self) -> u8 {
        match self {
            Self::Pack(_) => 1,
            Self::Entry(_) => 2,
            Self::Commit { .. } => 3,
            Self::Seal => 4,
            Self::Create { .. } => 5,
            Self::Rename { .. } => 6,
            Self::Release { .. } => 7,
            Self::RemoveMailbox { .. } => 8,
            Self::AddView { .. } => 9,
            Self::RemoveView { .. } => 10,
            Self::PlainUsed { .. } => 11,
            Self::Tombstone { .. } => 12,
            Self::Hide { .. } => 13,
            Self::Undo { .. } => 14,
            Self::Seen { .. } => 16,
            Self::Forget { .. } => 17,
            Self::ViewState { .. } => 18,
        }
    }

    /// What a program must be able to read to read this.
    const fn version(&self) -> u8 {
        match self {
            Self::ViewState { .. } | Self::Release { release: None, .. } => 3,
            Self::Seen { .. } | Self::Forget { .. } => 2,
            _ => 1,
        }
    }

    /// The mailbox that the record is about, if it is about one.
    pub(super) const fn mailbox(&self) -> Option<MailboxId> {
        match self {
            Self::Pack(_) | Self::Commit { .. } | Self::Seal => None,
            Self::Entry(entry) => Some(entry.mailbox),
            Self::Create { mailbox, .. }
            | Self::Rename { mailbox, .. }
            | Self::Release { mailbox, .. }
            | Self::RemoveMailbox { mailbox, .. }
            | Self::AddView { mailbox, .. }
            | Self::RemoveView { mailbox, .. }
            | Self::PlainUsed { mailbox }
            | Self::ViewState { mailbox, .. }
            | Self::Tombstone { mailbox, .. }
            | Self::Hide { mailbox, .. }
            | Self::Undo { mailbox, .. }
            | Self::Seen { mailbox, .. }
            | Self::Forget { mailbox, .. } => Some(*mailbox),
        }
    }

    /// Appends the record as a skippable frame.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let frame = out.len();
        out.extend_from_slice(&SKIPPABLE.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let content = out.len();
        let flags = if let Self::Entry(e) = self {
            e.flags
        } else {
            0
        };
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&[self.kind(), self.version()]);
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        self.encode_fields(out);
        let check = blake3::hash(&out[content..]);
        out.extend_from_slice(&check.as_bytes()[..CHECK]);
        let length = (out.len() - content) as u32;
        out[frame + 4..frame + 8].copy_from_slice(&length.to_le_bytes());
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        if let Some(mailbox) = self.mailbox() {
            out.extend_from_slice(mailbox.as_bytes());
        }
        match self {
            Self::Pack(head) => {
                out.extend_from_slice(&head.number.to_le_bytes());
                out.extend_from_slice(&head.id);
                for number in &head.replaces {
                    put_tag(out, tag::REPLACES, &number.to_le_bytes());
                }
                for (number, offset) in &head.ended {
                    let mut bytes = number.to_le_bytes().to_vec();
                    bytes.extend_from_slice(&offset.to_le_bytes());
                    put_tag(out, tag::ENDED, &bytes);
                }
            }
            Self::Entry(entry) => {
                out.extend_from_slice(entry.unique_id.as_bytes());
                for number in [entry.size, entry.octets, entry.received_ms, entry.frame] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&entry.digest);
                if let Some(source) = &entry.source {
                    put_source(out, source);
                }
            }
            Self::Commit {
                start,
                length,
                digest,
            } => {
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(digest);
            }
            Self::Seal | Self::PlainUsed { .. } => {}
            Self::Create { stamp, name, .. } | Self::Rename { stamp, name, .. } => {
                out.extend_from_slice(stamp);
                put_tag(out, tag::NAME, name.as_bytes());
            }
            Self::Release { stamp, release, .. } => {
                out.extend_from_slice(stamp);
                out.push(release_code(*release));
            }
            Self::RemoveMailbox {
                tombstone,
                at_ms,
                erase,
                ..
            } => {
                out.extend_from_slice(tombstone.as_bytes());
                out.extend_from_slice(&at_ms.to_le_bytes());
                out.push(u8::from(*erase));
            }
            Self::AddView {
                view,
                name,
                from_now,
                ..
            } => {
                out.extend_from_slice(view.as_bytes());
                out.push(u8::from(*from_now));
                put_tag(out, tag::NAME, name.as_bytes());
            }
            Self::RemoveView { view, .. } => out.extend_from_slice(view.as_bytes()),
            Self::ViewState {
                view, stamp, live, ..
            } => {
                out.extend_from_slice(view.as_bytes());
                out.extend_from_slice(stamp);
                out.push(u8::from(*live));
            }
            Self::Tombstone {
                tombstone,
                at_ms,
                ids,
                ..
            } => {
                out.extend_from_slice(tombstone.as_bytes());
                out.extend_from_slice(&at_ms.to_le_bytes());
                put_ids(out, ids);
            }
            Self::Hide {
                view,
                tombstone,
                at_ms,
                ids,
                ..
            } => {
                out.extend_from_slice(view.as_bytes());
                out.extend_from_slice(tombstone.as_bytes());
                out.extend_from_slice(&at_ms.to_le_bytes());
                put_ids(out, ids);
            }
            Self::Undo { pairs, .. } => {
                let both = |(t, u): &(TombstoneId, UniqueId)| [*t.as_bytes(), *u.as_bytes()];
                let bytes: Vec<u8> = pairs.iter().flat_map(both).flatten().collect();
                put_tag(out, tag::PAIRS, &bytes);
            }
            Self::Seen {
                stamp,
                account,
                seen,
                ..
            } => {
                out.extend_from_slice(stamp);
                put_tag(out, tag::ACCOUNT, account.as_bytes());
                for (remote_id, received_ms) in seen {
                    put_two(out, tag::SEEN, &received_ms.to_le_bytes(), remote_id);
                }
            }
            Self::Forget { account, pairs, .. } => {
                put_tag(out, tag::ACCOUNT, account.as_bytes());
                for (stamp, remote_id) in pairs {
                    put_two(out, tag::FORGOTTEN, stamp, remote_id);
                }
            }
        }
    }

    /// Reads the record at the start of `bytes`; says how many octets its frame has (an entry's
    /// body comes after them).
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, usize), Bad> {
        let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else {
            return Err(Bad::Short(FRAME_HEAD as u64));
        };
        let length = frame_content(head).ok_or(Bad::Damaged)?;
        let Some(content) = rest.get(..length) else {
            return Err(Bad::Short((FRAME_HEAD + length) as u64));
        };
        let (body, check) = content.split_at(length - CHECK);
        if body[..2] != MARK {
            return Err(Bad::Damaged);
        }
        if blake3::hash(body).as_bytes()[..CHECK] != *check {
            return Err(Bad::Damaged);
        }
        if body[3] > VERSION {
            return Err(Bad::Newer(body[3]));
        }
        // A key id other than 0 means encryption, which a newer program brought.
        if body[6..8] != [0, 0] {
            return Err(Bad::Newer(VERSION + 1));
        }
        let flags = u16::from_le_bytes([body[4], body[5]]);
        let mut fields = Fields(&body[HEAD..]);
        let record = decode_fields(body[2], flags, &mut fields).ok_or(Bad::Damaged)?;
        Ok((record, FRAME_HEAD + length))
    }
}

/// The content's length of a skippable frame that could be a record.
pub(super) fn frame_content(head: &[u8; FRAME_HEAD]) -> Option<usize> {
    let magic = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    (magic == SKIPPABLE && (HEAD + CHECK..=RECORD_OCTETS).contains(&length)).then_some(length)
}

/// What is left of a record's fields.
struct Fields<'a>(&'a [u8]);

/// The tagged fields of a record.
#[derive(Default)]
struct Tagged {
    account: Option<String>,
    remote_id: Option<Vec<u8>>,
    name: Option<String>,
    ids: Vec<UniqueId>,
    pairs: Vec<(TombstoneId, UniqueId)>,
    replaces: Vec<u32>,
    ended: Vec<(u32, u64)>,
    seen: Vec<(Vec<u8>, u64)>,
    forgotten: Vec<Stamped>,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn tagged(&mut self) -> Option<Tagged> {
        let mut found = Tagged::default();
        while let Some([tag]) = self.take::<1>() {
            let length = u32::from_le_bytes(self.take()?) as usize;
            let bytes = self.0.get(..length)?;
            self.0 = &self.0[length..];
            found.add(tag, bytes)?;
        }
        Some(found)
    }
}

fn id_of(bytes: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(bytes);
    id
}

impl Tagged {
    fn add(&mut self, tag: u8, bytes: &[u8]) -> Option<()> {
        match tag {
            tag::ACCOUNT => self.account = Some(String::from_utf8(bytes.to_vec()).ok()?),
            tag::REMOTE_ID => self.remote_id = Some(bytes.to_vec()),
            tag::NAME => self.name = Some(String::from_utf8(bytes.to_vec()).ok()?),
            tag::IDS => {
                let ids = bytes
                    .chunks_exact(16)
                    .map(|b| UniqueId::from_bytes(id_of(b)));
                self.ids.extend(ids);
            }
            tag::PAIRS => {
                let pair = |b: &[u8]| {
                    let tombstone = TombstoneId::from_bytes(id_of(&b[..16]));
                    (tombstone, UniqueId::from_bytes(id_of(&b[16..])))
                };
                self.pairs.extend(bytes.chunks_exact(32).map(pair));
            }
            tag::REPLACES => self
                .replaces
                .push(u32::from_le_bytes(bytes.try_into().ok()?)),
            tag::ENDED => {
                let (number, offset) = bytes.split_first_chunk::<4>()?;
                let offset = u64::from_le_bytes(offset.try_into().ok()?);
                self.ended.push((u32::from_le_bytes(*number), offset));
            }
            tag::SEEN => {
                let (received_ms, remote_id) = bytes.split_first_chunk::<8>()?;
                let received_ms = u64::from_le_bytes(*received_ms);
                self.seen.push((remote_id.to_vec(), received_ms));
            }
            tag::FORGOTTEN => {
                let (stamp, remote_id) = bytes.split_first_chunk::<16>()?;
                self.forgotten.push((*stamp, remote_id.to_vec()));
            }
            _ => {}
        }
        Some(())
    }

    fn source(self) -> Option<Source> {
        Some(Source {
            account: self.account?,
            remote_id: self.remote_id?,
        })
    }
}

fn decode_fields(kind: u8, flags: u16, fields: &mut Fields<'_>) -> Option<Record> {
    match kind {
        1 => {
            let number = u32::from_le_bytes(fields.take()?);
            let id = fields.take()?;
            let tagged = fields.tagged()?;
            let (replaces, ended) = (tagged.replaces, tagged.ended);
            return Some(Record::Pack(PackHead {
                number,
                id,
                replaces,
                ended,
            }));
        }
        3 => {
            let (start, length) = (fields.number()?, fields.number()?);
            let digest = fields.take()?;
            return Some(Record::Commit {
                start,
                length,
                digest,
            });
        }
        4 => return Some(Record::Seal),
        _ => {}
    }
    let mailbox = MailboxId::from_bytes(fields.take()?);
    if kind == 2 {
        return decode_entry(mailbox, flags, fields);
    }
    Some(match kind {
        5 | 6 => {
            let stamp = fields.take()?;
            let name = fields.tagged()?.name?;
            if kind == 5 {
                Record::Create {
                    mailbox,
                    stamp,
                    name,
                }
            } else {
                Record::Rename {
                    mailbox,
                    stamp,
                    name,
                }
            }
        }
        7 => Record::Release {
            mailbox,
            stamp: fields.take()?,
            release: match fields.take::<1>()?[0] {
                0 => None,
                1 => Some(Release::AtOnce),
                2 => Some(Release::AllDevices),
                3 => Some(Release::Never),
                _ => return None,
            },
        },
        8 => Record::RemoveMailbox {
            mailbox,
            tombstone: TombstoneId::from_bytes(fields.take()?),
            at_ms: fields.number()?,
            erase: fields.take::<1>()?[0] != 0,
        },
        9 => Record::AddView {
            mailbox,
            view: ViewId::from_bytes(fields.take()?),
            from_now: fields.take::<1>()?[0] != 0,
            name: fields.tagged()?.name?,
        },
        10 => Record::RemoveView {
            mailbox,
            view: ViewId::from_bytes(fields.take()?),
        },
        11 => Record::PlainUsed { mailbox },
        12 => Record::Tombstone {
            mailbox,
            tombstone: TombstoneId::from_bytes(fields.take()?),
            at_ms: fields.number()?,
            ids: fields.tagged()?.ids,
        },
        13 => Record::Hide {
            mailbox,
            view: ViewId::from_bytes(fields.take()?),
            tombstone: TombstoneId::from_bytes(fields.take()?),
            at_ms: fields.number()?,
            ids: fields.tagged()?.ids,
        },
        14 => Record::Undo {
            mailbox,
            pairs: fields.tagged()?.pairs,
        },
        // The first form of 16.
        15 => {
            let source = fields.tagged()?.source()?;
            Record::Seen {
                mailbox,
                stamp: [0; 16],
                account: source.account,
                seen: vec![(source.remote_id, 0)],
            }
        }
        16 => {
            let stamp = fields.take()?;
            let tagged = fields.tagged()?;
            Record::Seen {
                mailbox,
                stamp,
                account: tagged.account?,
                seen: tagged.seen,
            }
        }
        17 => {
            let tagged = fields.tagged()?;
            Record::Forget {
                mailbox,
                account: tagged.account?,
                pairs: tagged.forgotten,
            }
        }
        18 => Record::ViewState {
            mailbox,
            view: ViewId::from_bytes(fields.take()?),
            stamp: fields.take()?,
            live: fields.take::<1>()?[0] != 0,
        },
        _ => return None,
    })
}

fn decode_entry(mailbox: MailboxId, flags: u16, fields: &mut Fields<'_>) -> Option<Record> {
    Some(Record::Entry(Entry {
        mailbox,
        unique_id: UniqueId::from_bytes(fields.take()?),
        flags,
        size: fields.number()?,
        octets: fields.number()?,
        received_ms: fields.number()?,
        frame: fields.number()?,
        digest: fields.take()?,
        source: fields.tagged()?.source(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Record> {
        let mailbox = MailboxId::new(1, [1; 10]);
        let view = ViewId::new(2, [2; 10]);
        let tombstone = TombstoneId::new(3, [3; 10]);
        let id = UniqueId::new(4, [4; 10]);
        let (stamp, at_ms, name) = ([9; 16], 77, "mé".to_owned());
        let source = Source {
            account: "gmx".into(),
            remote_id: b"\0\xff uid".to_vec(),
        };
        let ids = vec![id, UniqueId::new(5, [5; 10])];
        let entry = Entry {
            mailbox,
            unique_id: id,
            flags: flag::QUOTED | flag::ALL_CRLF,
            size: 1,
            octets: 2,
            received_ms: 3,
            frame: 4,
            digest: [7; 32],
            source: None,
        };
        let fetched = Entry {
            source: Some(source.clone()),
            ..entry.clone()
        };
        vec![
            Record::Pack(PackHead {
                number: 9,
                id: [1; 16],
                replaces: vec![1, 2],
                ended: vec![(3, 1 << 40)],
            }),
            Record::Entry(entry),
            Record::Entry(fetched),
            Record::Commit {
                start: 1,
                length: u64::MAX,
                digest: [3; 32],
            },
            Record::Seal,
            Record::Create {
                mailbox,
                stamp,
                name: name.clone(),
            },
            Record::Rename {
                mailbox,
                stamp,
                name: String::new(),
            },
            Record::Release {
                mailbox,
                stamp,
                release: Some(Release::Never),
            },
            Record::Release {
                mailbox,
                stamp,
                release: None,
            },
            Record::RemoveMailbox {
                mailbox,
                tombstone,
                at_ms,
                erase: true,
            },
            Record::AddView {
                mailbox,
                view,
                name,
                from_now: true,
            },
            Record::RemoveView { mailbox, view },
            Record::PlainUsed { mailbox },
            Record::ViewState {
                mailbox,
                view,
                stamp,
                live: true,
            },
            Record::Tombstone {
                mailbox,
                tombstone,
                at_ms,
                ids: ids.clone(),
            },
            Record::Hide {
                mailbox,
                view,
                tombstone,
                at_ms,
                ids,
            },
            Record::Undo {
                mailbox,
                pairs: vec![(tombstone, id)],
            },
            Record::Seen {
                mailbox,
                stamp,
                account: source.account.clone(),
                seen: vec![(source.remote_id.clone(), 5), (Vec::new(), 0)],
            },
            Record::Forget {
                mailbox,
                account: source.account,
                pairs: vec![(stamp, source.remote_id), ([0; 16], Vec::new())],
            },
        ]
    }

    #[test]
    fn every_record_comes_back_and_no_prefix_passes() {
        for record in all() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let whole = bytes.len();
            bytes.extend_from_slice(b"behind");
            assert_eq!(Record::decode(&bytes), Ok((record.clone(), whole)));
            for cut in 0..whole {
                let found = Record::decode(&bytes[..cut]);
                assert!(matches!(found, Err(Bad::Short(_))), "{record:?} at {cut}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        for record in all() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(Record::decode(&bytes).is_err(), "{record:?} bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_usual_entry_has_at_most_160_octets() {
        let mut bytes = Vec::new();
        all()[1].encode(&mut bytes);
        assert!(bytes.len() <= 160, "{}", bytes.len());
    }

    /// As the first version wrote it: one message, no stamp, no time.
    #[test]
    fn a_seen_record_of_the_first_form_is_read() {
        let mailbox = MailboxId::new(1, [1; 10]);
        let mut content = [&MARK[..], &[15, 1, 0, 0, 0, 0], mailbox.as_bytes()].concat();
        put_tag(&mut content, tag::ACCOUNT, b"gmx");
        put_tag(&mut content, tag::REMOTE_ID, b"uid");
        let check = blake3::hash(&content);
        content.extend_from_slice(&check.as_bytes()[..CHECK]);
        let length = (content.len() as u32).to_le_bytes();
        let bytes = [&SKIPPABLE.to_le_bytes()[..], &length, &content].concat();
        let expected = Record::Seen {
            mailbox,
            stamp: [0; 16],
            account: "gmx".into(),
            seen: vec![(b"uid".to_vec(), 0)],
        };
        assert_eq!(Record::decode(&bytes), Ok((expected, bytes.len())));
    }

    /// A program that knows only an older version can read all but what came later.
    #[test]
    fn a_record_has_the_version_that_brought_it() {
        for record in all() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let version = match record {
                Record::ViewState { .. } | Record::Release { release: None, .. } => 3,
                Record::Seen { .. } | Record::Forget { .. } => 2,
                _ => 1,
            };
            assert_eq!(bytes[FRAME_HEAD + 3], version, "{record:?}");
        }
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let mut bytes = Vec::new();
        Record::Seal.encode(&mut bytes);
        bytes[FRAME_HEAD + 3] = VERSION + 1;
        let end = bytes.len() - CHECK;
        let check = blake3::hash(&bytes[FRAME_HEAD..end]);
        bytes[end..].copy_from_slice(&check.as_bytes()[..CHECK]);
        assert_eq!(Record::decode(&bytes), Err(Bad::Newer(VERSION + 1)));
    }
}
