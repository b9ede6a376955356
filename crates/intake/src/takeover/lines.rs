//! Lines of bytes, read without holding the file.

use std::io::{BufRead, BufReader, Read, Result};

use super::limits::LINE_OCTETS;

/// Hands out a file's lines without their ends, CR LF or LF; those that are too long are left out.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::new(input),
            line: Vec::new(),
        }
    }

    /// The next line, and whether it had its end: one without may be cut short, and the beginning of
    /// an id may be another's id. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], bool)>> {
        loop {
            self.line.clear();
            let most = LINE_OCTETS as u64 + 2;
            if self
                .input
                .by_ref()
                .take(most)
                .read_until(b'\n', &mut self.line)?
                == 0
            {
                return Ok(None);
            }
            let ended = self.line.last() == Some(&b'\n');
            if ended {
                self.line.pop();
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
            }
            if self.line.len() <= LINE_OCTETS {
                return Ok(Some((&self.line, ended)));
            }
            if !ended {
                self.skip()?;
            }
        }
    }

    /// Reads on to the end of the line.
    fn skip(&mut self) -> Result<()> {
        loop {
            let part = self.input.fill_buf()?;
            if part.is_empty() {
                return Ok(());
            }
            match memchr::memchr(b'\n', part) {
                Some(at) => {
                    self.input.consume(at + 1);
                    return Ok(());
                }
                None => {
                    let all = part.len();
                    self.input.consume(all);
                }
            }
        }
    }
}
