//! Just enough of an executor: the store's futures need no runtime, so its tests need none either.

use restante_store::{
    Access, Body, Delivery, MailStore, MailboxId, Maildrop, Sealed, StoreError, UniqueId, ViewId,
};

pub use pollster::block_on;

/// Writes `bytes` as one draft, in pieces of at most 64 KiB as the trait asks, and seals it.
pub fn seal(store: &dyn MailStore, bytes: &[u8]) -> Result<Sealed, StoreError> {
    let mut draft = store.draft(Some(bytes.len() as u64))?;
    for piece in bytes.chunks(64 * 1024) {
        draft.write(piece)?;
    }
    draft.seal()
}

/// Stores one message in one mailbox.
pub fn deliver(
    store: &dyn MailStore,
    mailbox: MailboxId,
    bytes: &[u8],
) -> Result<UniqueId, StoreError> {
    let message = seal(store, bytes)?;
    let ids = block_on(store.commit(vec![Delivery {
        mailbox,
        message,
        received_ms: crate::memory::wall_clock_ms(),
        source: None,
    }]))?;
    Ok(ids[0])
}

/// All octets of a body.
pub fn read_all(body: &mut dyn Body) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    while block_on(body.read(&mut bytes))? != 0 {}
    Ok(bytes)
}

/// What a freshly opened, shared session of a view would collect, in order.
pub fn collect(
    store: &dyn MailStore,
    mailbox: MailboxId,
    view: ViewId,
) -> Result<Vec<(UniqueId, Vec<u8>)>, StoreError> {
    let drop = block_on(store.open(mailbox, view, Access::Shared))?;
    collect_from(drop.as_ref())
}

/// What a session collects from a maildrop that is open, in order.
pub fn collect_from(drop: &dyn Maildrop) -> Result<Vec<(UniqueId, Vec<u8>)>, StoreError> {
    let listing = block_on(drop.listing())?;
    let mut all = Vec::with_capacity(listing.len());
    for (index, entry) in listing.iter().enumerate() {
        let mut body = block_on(drop.body(index))?;
        all.push((entry.unique_id, read_all(body.as_mut())?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::task::Poll;
    use std::thread;

    use super::*;

    #[test]
    fn a_future_woken_from_another_thread_ends() {
        let mut waited = false;
        let value = block_on(std::future::poll_fn(move |context| {
            if waited {
                return Poll::Ready(7);
            }
            waited = true;
            let waker = context.waker().clone();
            thread::spawn(move || waker.wake());
            Poll::Pending
        }));
        assert_eq!(value, 7);
    }
}
