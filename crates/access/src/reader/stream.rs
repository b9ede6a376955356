//! Answers that are not held whole: a thread reads, the browser's pace bounds it.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::body::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// Pieces that wait for the browser.
const PIECES: usize = 4;

struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.get_mut().0.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Writes into the answer; waits while the browser does not read, and fails once it is gone.
pub(super) struct Sink(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = Bytes::copy_from_slice(bytes);
        match self.0.blocking_send(Ok(piece)) {
            Ok(()) => Ok(bytes.len()),
            Err(_gone) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body that `write` writes on a thread of its own. An error cuts the answer off, so that nobody takes a part for all.
pub(super) fn body(write: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut sink = Sink(sender);
        if let Err(error) = write(&mut sink) {
            // Whoever went away hears nothing of it.
            let _gone = sink.0.blocking_send(Err(error));
        }
    });
    Body::new(Pieces(receiver))
}
