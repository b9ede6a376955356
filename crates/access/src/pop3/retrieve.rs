//! Bodies, streamed piece by piece.

use restante_proto::dot::{Encoder, TERMINATOR};
use restante_proto::limits::OUTPUT_OCTETS;
use restante_store::{Body, StoreError};

use super::connection::Connection;
use super::failure;
use super::record::{End, Record};
use crate::buffers;

/// Why a body did not reach its end.
enum Broken {
    Store(StoreError),
    Connection(End),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<End> for Broken {
    fn from(end: End) -> Self {
        Self::Connection(end)
    }
}

impl Connection {
    /// RFC 1939 §5 RETR; state TRANSACTION. RFC 1939 §7 TOP; state TRANSACTION. While none of the reply has been sent, a body
    /// that cannot be read is an `-ERR`; later only the end of the connection keeps the client from
    /// taking a part for the whole.
    pub(super) async fn retrieve(
        &mut self,
        index: usize,
        top: Option<u64>,
        record: &mut Record,
    ) -> Result<(), End> {
        let before = self.out.len();
        let sent = record.octets;
        match self.send_body(index, top, record).await {
            Ok(()) => {
                match top {
                    None => {
                        record.retr += 1;
                        self.note_retrieved(index);
                    }
                    Some(_) => record.top += 1,
                }
                Ok(())
            }
            Err(Broken::Connection(end)) => Err(end),
            Err(Broken::Store(error)) => {
                record.trouble("cannot read a message", &error);
                if record.octets != sent {
                    return Err(End::Failed("a message broke off"));
                }
                self.out.truncate(before);
                self.session.body(Err(failure(&error)), &mut self.out);
                Ok(())
            }
        }
    }

    /// For a device in a window: whether all of it arrives is seen at QUIT.
    fn note_retrieved(&mut self, index: usize) {
        if let Some(device) = &mut self.device
            && device.window.is_some()
        {
            if device.retrieved.len() <= index {
                device.retrieved.resize(index + 1, false);
            }
            device.retrieved[index] = true;
        }
    }

    async fn send_body(
        &mut self,
        index: usize,
        top: Option<u64>,
        record: &mut Record,
    ) -> Result<(), Broken> {
        let maildrop = self.maildrop.as_ref().ok_or(StoreError::NotFound)?;
        let mut body = maildrop.body(index).await?;
        self.session.body(Ok(()), &mut self.out);
        match top {
            None if body.hints().clean() => self.send_clean(&mut *body, record).await,
            None => self.send_encoded(&mut *body, Encoder::new(), record).await,
            Some(lines) => {
                self.send_encoded(&mut *body, Encoder::top(lines), record)
                    .await
            }
        }
    }

    /// The bytes are on the wire what they are in the store: they go straight to the output.
    async fn send_clean(&mut self, body: &mut dyn Body, record: &mut Record) -> Result<(), Broken> {
        while body.read(&mut self.out).await? > 0 {
            if self.out.len() >= OUTPUT_OCTETS {
                self.flush(record).await?;
            }
        }
        self.out.extend_from_slice(TERMINATOR);
        Ok(())
    }

    async fn send_encoded(
        &mut self,
        body: &mut dyn Body,
        mut encoder: Encoder,
        record: &mut Record,
    ) -> Result<(), Broken> {
        let mut piece = buffers::take();
        while !encoder.is_done() && body.read(&mut piece).await? > 0 {
            encoder.push(&piece, &mut self.out);
            piece.clear();
            if self.out.len() >= OUTPUT_OCTETS {
                self.flush(record).await?;
            }
        }
        buffers::give(&mut piece);
        encoder.finish(&mut self.out);
        Ok(())
    }
}
