//! winmail.dat: what Outlook attaches in place of attachments, Transport Neutral Encapsulation Format
//! (MS-OXTNEF). Only the files in it are read.
//!
//! ```text
//! stream     = %x78.9F.3E.22 key attribute*          key: two octets; numbers are little-endian
//! attribute  = level id length data checksum         one, four, four, length and two octets
//! ```

use encoding_rs::{UTF_16LE, WINDOWS_1252};

use crate::limits;

const SIGNATURE: u32 = 0x223E_9F78;
const ATTACH_REND_DATA: u32 = 0x0006_9002;
const ATTACH_TITLE: u32 = 0x0001_8010;
const ATTACH_DATA: u32 = 0x0006_800F;
const ATTACHMENT: u32 = 0x0006_9005;

/// MAPI's names of a file (MS-OXPROPS): PidTagAttachLongFilename, PidTagAttachMimeTag.
const LONG_FILENAME: u16 = 0x3707;
const MIME_TAG: u16 = 0x370E;

/// A file in a winmail.dat.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub(super) name: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) content: &'a [u8],
}

/// The files in it, as far as it can be read.
pub(super) fn files(bytes: &[u8]) -> Vec<File<'_>> {
    let mut rest = Reader(bytes);
    let mut files: Vec<File<'_>> = Vec::new();
    if rest.u32() != Some(SIGNATURE) || rest.u16().is_none() {
        return files;
    }
    while let Some((id, data)) = attribute(&mut rest) {
        if id == ATTACH_REND_DATA {
            if files.len() == limits::PARTS {
                break;
            }
            files.push(File::default());
        }
        let Some(file) = files.last_mut() else {
            continue;
        };
        match id {
            ATTACH_TITLE => file.name = file.name.take().or_else(|| text(data, false)),
            ATTACH_DATA => file.content = data,
            ATTACHMENT => properties(data, file),
            _ => {}
        }
    }
    files.retain(|file| !file.content.is_empty());
    files
}

fn attribute<'a>(rest: &mut Reader<'a>) -> Option<(u32, &'a [u8])> {
    rest.take(1)?;
    let id = rest.u32()?;
    let length = rest.u32()?;
    let data = rest.take(length as usize)?;
    rest.u16()?;
    Some((id, data))
}

/// Takes a file's names from its MAPI properties, until one is not understood.
fn properties(data: &[u8], file: &mut File<'_>) {
    let mut rest = Reader(data);
    for _ in 0..rest.u32().unwrap_or(0).min(1_000) {
        let Some((id, kind, value)) = property(&mut rest) else {
            return;
        };
        let wide = kind == 0x1F;
        match id {
            LONG_FILENAME => file.name = text(value, wide).or(file.name.take()),
            MIME_TAG => file.media_type = text(value, wide),
            _ => {}
        }
    }
}

/// A property: its id, its type, and its first value.
fn property<'a>(rest: &mut Reader<'a>) -> Option<(u16, u16, &'a [u8])> {
    let kind = rest.u16()?;
    let id = rest.u16()?;
    if id >= 0x8000 {
        rest.take(16)?;
        if rest.u32()? == 0 {
            rest.u32()?;
        } else {
            rest.padded()?;
        }
    }
    let base = kind & 0x0FFF;
    let fixed = match base {
        0x02 | 0x03 | 0x04 | 0x0A | 0x0B => Some(4),
        0x05 | 0x06 | 0x07 | 0x14 | 0x40 => Some(8),
        0x48 => Some(16),
        _ => None,
    };
    let many = kind & 0x1000 != 0 || fixed.is_none();
    let count = if many { rest.u32()? } else { 1 };
    let mut first: &[u8] = &[];
    for at in 0..count {
        let value = match fixed {
            Some(octets) => rest.take(octets)?,
            None => rest.padded()?,
        };
        if at == 0 {
            first = value;
        }
    }
    Some((id, base, first))
}

fn text(data: &[u8], wide: bool) -> Option<String> {
    let encoding = if wide { UTF_16LE } else { WINDOWS_1252 };
    let (text, _) = encoding.decode_without_bom_handling(data);
    let text = super::header_text(text.trim_end_matches('\0'));
    (!text.is_empty()).then_some(text)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, octets: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A length, so many octets, and what fills up to four.
    fn padded(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let value = self.take(length)?;
        let fill = (4 - length % 4) % 4;
        self.take(fill.min(self.0.len()))?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_of(id: u32, data: &[u8]) -> Vec<u8> {
        let mut all = vec![2];
        all.extend(id.to_le_bytes());
        all.extend((data.len() as u32).to_le_bytes());
        all.extend(data);
        all.extend([0, 0]);
        all
    }

    #[test]
    fn the_files_are_read_and_a_cut_stream_is_no_fault() {
        let mut stream = SIGNATURE.to_le_bytes().to_vec();
        stream.extend([1, 0]);
        stream.extend(attribute_of(0x0008_9006, &[0, 0, 1, 0]));
        stream.extend(attribute_of(ATTACH_REND_DATA, &[0; 14]));
        stream.extend(attribute_of(ATTACH_TITLE, b"REPORT~1.TXT\0"));
        stream.extend(attribute_of(ATTACH_DATA, b"numbers"));
        let mut mapi = 2_u32.to_le_bytes().to_vec();
        mapi.extend([0x03, 0x00, 0x20, 0x0E, 7, 0, 0, 0]);
        mapi.extend([0x1F, 0x00, 0x07, 0x37, 1, 0, 0, 0, 14, 0, 0, 0]);
        mapi.extend("né.txt\0".encode_utf16().flat_map(u16::to_le_bytes));
        mapi.extend([0, 0]);
        stream.extend(attribute_of(ATTACHMENT, &mapi));
        let found = files(&stream);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name.as_deref(), Some("né.txt"));
        assert_eq!(found[0].content, b"numbers");
        for end in 0..stream.len() {
            assert!(files(&stream[..end]).len() <= 1);
        }
    }
}
