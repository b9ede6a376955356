//! Writes an mboxrd.

use std::io::{self, Write};

use super::{Quoter, from_line};

/// Writes messages as an mboxrd (RFC 4155, with reversible quoting): a From_ line, the quoted bytes,
/// a line end if the last line lacks one, an empty line.
///
/// Call [`begin`](Self::begin), [`write`](Self::write) as often as needed, [`end`](Self::end). What
/// was written is durable only once the owner of `W` has synced it.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    quoter: Quoter,
    piece: Vec<u8>,
    last: u8,
}

impl<W: Write> Writer<W> {
    /// Appends to `out`, which stands at its start or behind an empty line.
    pub fn new(out: W) -> Self {
        Self {
            out,
            quoter: Quoter::new(),
            piece: Vec::new(),
            last: b'\n',
        }
    }

    /// Writes the From_ line of a message received at `unix_ms`, in milliseconds since 1970.
    ///
    /// # Errors
    /// What `W` reports; the file then ends in the middle of a message.
    pub fn begin(&mut self, sender: &str, unix_ms: u64) -> io::Result<()> {
        self.last = b'\n';
        self.out.write_all(from_line(sender, unix_ms).as_bytes())
    }

    /// Writes the next bytes of the message.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.last = bytes.last().copied().unwrap_or(self.last);
        self.quoter.push(bytes, &mut self.piece);
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn end(&mut self) -> io::Result<()> {
        self.quoter.finish(&mut self.piece);
        if self.last != b'\n' {
            self.piece.push(b'\n');
        }
        self.piece.push(b'\n');
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// What was written to; a few octets of a message that is not ended may be held back.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// Gives `out` back, not flushed.
    pub fn into_inner(self) -> W {
        self.out
    }
}
