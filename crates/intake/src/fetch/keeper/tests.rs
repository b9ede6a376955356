use std::sync::Arc;
use std::time::Duration;

use restante_store::{MailStore, MailboxId, MessageFilter};
use restante_testkit::MemoryStore;
use tokio::time::timeout;

use super::*;

async fn store() -> (Arc<MemoryStore>, MailboxId) {
    let store = Arc::new(MemoryStore::default());
    let id = store.create_mailbox("me").await.expect("made");
    (store, id)
}

fn never() -> Archived {
    Box::new(|_| false)
}

async fn put(keeper: &mut Keeper, ticket: Ticket, body: &[u8]) {
    let id = ticket.to_string().into_bytes();
    keeper.begin(ticket, id, None, false).await.expect("begun");
    for piece in body.chunks(10_000) {
        keeper.write(piece).await.expect("written");
    }
    keeper.end().await.expect("ended");
}

#[tokio::test]
async fn what_is_told_as_stored_is_there_with_its_ledger() {
    let (store, id) = store().await;
    let mut keeper = Keeper::mailbox(store.clone(), id, "a", never()).expect("a thread");
    let bodies: Vec<Vec<u8>> = (0..50)
        .map(|n| vec![b'a' + n % 26; 3_000 * usize::from(n)])
        .collect();
    for (ticket, body) in (0..).zip(&bodies) {
        put(&mut keeper, ticket, body).await;
    }
    let mut kept = Vec::new();
    while keeper.outstanding() > 0 {
        kept.extend(keeper.kept().await.expect("told"));
    }
    assert_eq!(kept.len(), 50);
    for Kept { ticket, outcome } in kept {
        let Ok(KeptAs::Stored {
            unique_id: Some(unique_id),
            size,
            digest,
        }) = outcome
        else {
            panic!("{outcome:?}");
        };
        let body = &bodies[ticket as usize];
        assert_eq!(
            (size, digest),
            (body.len() as u64, *blake3::hash(body).as_bytes())
        );
        let info = store
            .message(unique_id)
            .await
            .expect("asked")
            .expect("there");
        assert_eq!(info.digest, digest);
        assert_eq!(
            info.source.expect("a source").remote_id,
            ticket.to_string().into_bytes()
        );
    }
}

#[tokio::test]
async fn what_did_not_come_whole_is_nowhere() {
    let (store, id) = store().await;
    let mut keeper = Keeper::mailbox(store.clone(), id, "a", never()).expect("a thread");
    keeper
        .begin(1, b"1".to_vec(), None, false)
        .await
        .expect("begun");
    keeper.write(&[0; 200_000]).await.expect("written");
    keeper.abandon().await.expect("dropped");
    put(&mut keeper, 2, b"whole\r\n").await;
    let kept = keeper.finish().await.expect("told");
    assert_eq!(kept.len(), 1);
    let all = store
        .browse(id, MessageFilter::Live, None, 10)
        .await
        .expect("listed");
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn nothing_is_told_while_nothing_is_outstanding() {
    let (store, id) = store().await;
    let mut keeper = Keeper::mailbox(store, id, "a", never()).expect("a thread");
    let waited = timeout(Duration::from_millis(50), keeper.kept()).await;
    assert!(waited.is_err());
    put(&mut keeper, 1, b"x").await;
    // Given up half-way, it is told the next time.
    let _early = timeout(Duration::from_millis(1), keeper.kept()).await;
    if keeper.outstanding() > 0 {
        assert_eq!(keeper.kept().await.expect("told").len(), 1);
    }
}

#[tokio::test]
async fn archived_octets_are_not_stored_again() {
    let (store, id) = store().await;
    let known = *blake3::hash(b"known").as_bytes();
    let archived: Archived = Box::new(move |digest| *digest == known);
    let mut keeper = Keeper::mailbox(store.clone(), id, "a", archived).expect("a thread");
    put(&mut keeper, 1, b"known").await;
    put(&mut keeper, 2, b"new").await;
    let kept = keeper.finish().await.expect("told");
    let of = |ticket| {
        kept.iter()
            .find(|kept| kept.ticket == ticket)
            .expect("told")
    };
    assert_eq!(
        of(1).outcome,
        Ok(KeptAs::Archived {
            size: 5,
            digest: known
        })
    );
    assert!(matches!(of(2).outcome, Ok(KeptAs::Stored { .. })));
}

#[tokio::test]
async fn a_store_that_fails_fails_every_message_of_the_batch() {
    let (store, _) = store().await;
    let nowhere = MailboxId::new(1, [0; 10]);
    let mut keeper = Keeper::mailbox(store, nowhere, "a", never()).expect("a thread");
    put(&mut keeper, 1, b"x").await;
    put(&mut keeper, 2, b"y").await;
    let kept = keeper.finish().await.expect("told");
    assert_eq!(kept.len(), 2);
    assert!(
        kept.iter()
            .all(|kept| matches!(kept.outcome, Err(KeepError::Target(_))))
    );
}
