//! The server's first message, which rustls does not show: whether TLS 1.2 has the extended master
//! secret (RFC 7627), without which no channel binding is unique.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::SERVER_HELLO_OCTETS;

/// A stream that keeps a copy of the first octets read, until they are taken.
#[derive(Debug)]
pub(crate) struct Tapped<S> {
    inner: S,
    copy: Option<Vec<u8>>,
}

impl<S> Tapped<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self {
            inner,
            copy: Some(Vec::new()),
        }
    }

    /// What was copied; from now on nothing is.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.copy.take().unwrap_or_default()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if let Some(copy) = &mut this.copy {
            let room = SERVER_HELLO_OCTETS.saturating_sub(copy.len());
            copy.extend(buf.filled()[before..].iter().take(room));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// RFC 7627 §5.1: the extension's number.
const EXTENDED_MASTER_SECRET: u16 = 0x0017;

/// Whether a TLS 1.2 server's flight begins with a ServerHello that has the extension. The handshake
/// is done: the Finished messages vouch for what stands here.
pub(super) fn has_extended_master_secret(flight: &[u8]) -> bool {
    extensions(&handshake_octets(flight)).is_some_and(|mut rest| {
        while let Some((kind, after)) = number(rest, 2) {
            if kind == u64::from(EXTENDED_MASTER_SECRET) {
                return true;
            }
            match vector(after, 2) {
                Some((_, next)) => rest = next,
                None => return false,
            }
        }
        false
    })
}

/// The content of the leading handshake records, joined: a message may span several.
fn handshake_octets(mut flight: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    // ContentType handshake(22), ProtocolVersion, length
    while let [22, _, _, rest @ ..] = flight {
        let Some((content, next)) = vector(rest, 2) else {
            break;
        };
        octets.extend_from_slice(content);
        flight = next;
    }
    octets
}

/// ```text
/// struct { ProtocolVersion; Random[32]; SessionID<0..32>; CipherSuite; CompressionMethod;
///          Extension extensions<0..2^16-1>; } ServerHello;                    ; RFC 5246 §7.4.1.3
/// ```
fn extensions(octets: &[u8]) -> Option<&[u8]> {
    let (kind, rest) = number(octets, 1)?;
    let (body, _) = vector(rest, 3)?;
    if kind != 2 {
        return None;
    }
    let (_session, rest) = vector(body.get(34..)?, 1)?;
    Some(vector(rest.get(3..)?, 2)?.0)
}

fn number(octets: &[u8], width: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = octets.split_at_checked(width)?;
    Some((number.iter().fold(0, |n, &b| n << 8 | u64::from(b)), rest))
}

/// A length of `width` octets, then that many.
fn vector(octets: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(octets, width)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ServerHello of TLS 1.2 with these extensions, cut into records of `record` octets.
    fn flight(extensions: &[u8], record: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([4, 1, 2, 3, 4]);
        body.extend([0xc0, 0x2f, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let mut message = vec![2, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        message.extend([11, 0, 0, 1, 0]);
        let mut flight = Vec::new();
        for part in message.chunks(record) {
            flight.extend([22, 3, 3]);
            flight.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            flight.extend(part);
        }
        flight
    }

    #[test]
    fn finds_the_extension_however_the_records_are_cut() {
        let with = [0xff, 1, 0, 1, 0, 0, 0x17, 0, 0];
        // renegotiation_info alone, and one whose content looks like the extension
        let without = [0xff, 1, 0, 1, 0];
        let looks = [0, 0x23, 0, 4, 0, 0x17, 0, 0];
        for record in [1, 3, 7, 50, 1_000] {
            assert!(has_extended_master_secret(&flight(&with, record)));
            assert!(!has_extended_master_secret(&flight(&without, record)));
            assert!(!has_extended_master_secret(&flight(&looks, record)));
            assert!(!has_extended_master_secret(&flight(&[], record)));
        }
        let whole = flight(&with, 1_000);
        for end in 0..whole.len() {
            assert!(!has_extended_master_secret(&whole[..end]) || end > 55);
        }
    }
}
