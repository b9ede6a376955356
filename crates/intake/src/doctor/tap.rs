//! A stream that looks at the lines passing through it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Report;

/// What was seen of lines; shared by the stream and whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The current line's first octets.
    line: Vec<u8>,
    last: u8,
    bare_lf: u64,
    spaces: u64,
}

/// What is kept of one line, to judge its form.
const LINE_OCTETS: usize = 512;

impl Seen {
    fn see(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.bare_lf += u64::from(self.last != b'\r');
                self.spaces += u64::from(oddly_spaced(&self.line));
                self.line.clear();
            } else if self.line.len() < LINE_OCTETS {
                self.line.push(byte);
            }
            self.last = byte;
        }
    }
}

/// RFC 1939 §5 LIST, §7 UIDL: one space after the message-number, none before it or at the end.
fn oddly_spaced(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    let inner = text.trim_ascii();
    inner.first().is_some_and(u8::is_ascii_digit)
        && (inner.len() != text.len() || text.windows(2).any(|pair| pair == b"  "))
}

impl Lines {
    /// Notes what was odd.
    pub(super) fn note(&self, report: &mut Report) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.bare_lf > 0 {
            report.odd("ends lines with LF alone instead of CRLF");
        }
        if seen.spaces > 0 {
            report.odd("puts extra spaces into the lines of its listings");
        }
    }
}

/// The stream itself. What it is given at first is read before anything else.
#[derive(Debug)]
pub(super) struct Tap<S> {
    inner: S,
    lines: Lines,
}

impl<S> Tap<S> {
    pub(super) const fn new(inner: S, lines: Lines) -> Self {
        Self { inner, lines }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        let mut seen = this.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.see(&buf.filled()[before..]);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::oddly_spaced;

    #[test]
    fn spaces_are_judged_in_listings_only() {
        for line in [&b"1  120\r"[..], b" 1 120", b"1 120 \r", b"2 id  x"] {
            assert!(oddly_spaced(line), "{line:?}");
        }
        for line in [
            &b"1 120\r"[..],
            b"+OK two  spaces\r",
            b"2 id x",
            b".\r",
            b"",
        ] {
            assert!(!oddly_spaced(line), "{line:?}");
        }
    }
}
