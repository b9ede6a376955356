//! An entry's zstd frame, put together from parts (RFC 8878 §3.1.1).
//!
//! A body is compressed before its unique-id and its mailbox are known, and may go to several
//! mailboxes. So its blocks are kept, without frame header and without a last block, and each
//! entry gets: a frame header of ours, the From_ line as a raw block, the blocks, and the separator
//! as the last, raw block. Blocks refer backwards by distance and never past the body's start, so
//! that what stands before them does not matter.

use crate::{MailboxId, UniqueId};

const MAGIC: u32 = 0xFD2F_B528;

/// Length of the frame header at the start of `frame`, and the window its blocks need.
pub(super) fn parse_header(frame: &[u8]) -> Option<(usize, u64)> {
    let (magic, rest) = frame.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*magic) != MAGIC {
        return None;
    }
    let descriptor = *rest.first()?;
    let single = descriptor & 0x20 != 0;
    let mut at = 1;
    let mut window = 0;
    if !single {
        let byte = u64::from(*rest.get(at)?);
        let base = 1u64 << (10 + (byte >> 3));
        window = base + base / 8 * (byte & 7);
        at += 1;
    }
    at += [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_octets = match (descriptor >> 6, single) {
        (0, false) => 0,
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    let bytes = rest.get(at..at + size_octets)?;
    if single {
        let little = bytes.iter().rev();
        window = little.fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        // RFC 8878 §3.1.1.1.4: the two-octet form counts from 256.
        window += if size_octets == 2 { 256 } else { 0 };
    }
    Some((4 + at + size_octets, window))
}

fn raw_block(bytes: &[u8], last: bool, out: &mut Vec<u8>) {
    let header = (bytes.len() as u32) << 3 | u32::from(last);
    out.extend_from_slice(&header.to_le_bytes()[..3]);
    out.extend_from_slice(bytes);
}

/// What stands before a body's blocks: header for `content` octets in all, and the From_ line.
pub(super) fn start(window: u64, content: u64, from_line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC.to_le_bytes());
    // Content size in 8 octets; no checksum: the record has the BLAKE3.
    out.push(0xC0);
    let log = window.max(1 << 10).next_power_of_two().trailing_zeros();
    out.push(((log - 10) << 3) as u8);
    out.extend_from_slice(&content.to_le_bytes());
    raw_block(from_line, false, out);
}

/// What stands behind a body's blocks.
pub(super) fn finish(tail: &[u8], out: &mut Vec<u8>) {
    raw_block(tail, true, out);
}

/// `From <unique-id>@<mailbox-id> Thu Jan  1 00:00:00 1970` and LF: RFC 4155's default format.
pub(super) fn from_line(id: UniqueId, mailbox: MailboxId, received_ms: u64) -> Vec<u8> {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // Past the year 9999 asctime has no form; such a time is not one.
    let seconds = (received_ms / 1000).min(253_402_300_799);
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let line = format!(
        "From {id}@{mailbox} {} {} {day:2} {:02}:{:02}:{:02} {year:04}\n",
        DAYS[(days % 7) as usize],
        MONTHS[month],
        time / 3600,
        time / 60 % 60,
        time % 60,
    );
    line.into_bytes()
}

/// Year, month from 0, and day from 1, of a day counted from 1970.
fn civil(days: u64) -> (u64, usize, u64) {
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    // 400 years always have 146,097 days.
    let mut year = 1970 + days / 146_097 * 400;
    let mut rest = days % 146_097;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while rest >= lengths[month] {
        rest -= lengths[month];
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_asctime() {
        let (id, mailbox) = (UniqueId::new(1, [0; 10]), MailboxId::new(2, [0; 10]));
        let date = |seconds: u64| {
            let line = String::from_utf8(from_line(id, mailbox, seconds * 1000)).expect("ASCII");
            line.trim_end()
                .splitn(3, ' ')
                .last()
                .expect("a date")
                .to_owned()
        };
        // From `date -u -d @N`.
        assert_eq!(date(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(date(951_782_400), "Tue Feb 29 00:00:00 2000");
        assert_eq!(date(1_700_000_000), "Tue Nov 14 22:13:20 2023");
        assert_eq!(date(4_102_444_799), "Thu Dec 31 23:59:59 2099");
        assert_eq!(date(13_569_465_600), "Sat Jan  1 00:00:00 2400");
    }
}
