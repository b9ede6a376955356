//! Servers that show a part of the maildrop, hide what was fetched, or lose patience.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use restante_intake::destination::{Destination, DestinationError, DestinationFuture, Incoming};
use restante_intake::fetch::{BoxFuture, OpenDestination, Target};
use restante_testkit::scripted::{Quirks, messages};

use crate::bench::Bench;

fn gmail() -> Quirks {
    Quirks {
        window: Some(4),
        hides_retrieved: true,
        ..Quirks::default()
    }
}

/// Sessions follow each other until one brings nothing new.
#[tokio::test]
async fn a_window_is_fetched_to_its_end() {
    let all = messages(14);
    let mut bench = Bench::new(all.clone(), gmail()).await;
    bench.account.shows_window = true;
    let summary = bench.fetch().await.summary();
    assert_eq!(summary.stored, 14);
    assert!(
        (4..=6).contains(&bench.server.sessions()),
        "{}",
        bench.server.sessions()
    );
    assert_eq!(bench.server.most_at_once(), 1);
    bench.assert_archived(&all);
    // What is hidden has not been deleted, and is not fetched again when it shows.
    assert_eq!(bench.server.maildrop().len(), 14);
    bench.server.change(|quirks| quirks.window = None);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    assert_eq!(bench.count("RETR"), 14);
}

#[tokio::test]
async fn once_is_once() {
    let mut bench = Bench::new(messages(14), gmail()).await;
    bench.account.shows_window = true;
    bench.options.once = true;
    assert_eq!(bench.fetch().await.summary().stored, 4);
    assert_eq!(bench.server.sessions(), 1);
}

/// The same with deletion: each session has new ones to show.
#[tokio::test]
async fn a_window_is_emptied_by_deleting() {
    let all = messages(10);
    let quirks = Quirks {
        window: Some(3),
        ..Quirks::default()
    };
    let mut bench = Bench::new(all.clone(), quirks).await.deleting();
    bench.account.shows_window = true;
    assert_eq!(bench.fetch().await.summary().deleted, 10);
    assert!(bench.server.maildrop().is_empty());
    bench.assert_archived(&all);
}

/// A window that always shows the same, without deletion, is left after one look.
#[tokio::test]
async fn a_window_that_does_not_move_ends_the_fetch() {
    let quirks = Quirks {
        window: Some(3),
        ..Quirks::default()
    };
    let mut bench = Bench::new(messages(10), quirks).await;
    bench.account.shows_window = true;
    assert_eq!(bench.fetch().await.summary().stored, 3);
    assert!(bench.server.sessions() <= 2);
}

type Shelf = Arc<Mutex<Vec<Vec<u8>>>>;

/// A destination that takes its time to store.
struct Slow {
    shelf: Shelf,
    waiting: Vec<Vec<u8>>,
    current: Vec<u8>,
    pause: Duration,
}

struct Opens(Shelf, Duration);

impl OpenDestination for Opens {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Destination>, DestinationError>> {
        let slow = Slow {
            shelf: Arc::clone(&self.0),
            waiting: Vec::new(),
            current: Vec::new(),
            pause: self.1,
        };
        Box::pin(async move { Ok(Box::new(slow) as Box<dyn Destination>) })
    }
}

impl Destination for Slow {
    fn begin<'a>(
        &'a mut self,
        _incoming: &'a Incoming<'a>,
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        self.current.clear();
        Box::pin(async { Ok(()) })
    }

    fn write<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        self.current.extend_from_slice(bytes);
        Box::pin(async { Ok(()) })
    }

    fn finish(&mut self) -> DestinationFuture<'_, Result<(), DestinationError>> {
        self.waiting.push(std::mem::take(&mut self.current));
        Box::pin(async { Ok(()) })
    }

    fn abandon(&mut self) -> DestinationFuture<'_, ()> {
        self.current.clear();
        Box::pin(async {})
    }

    fn flush(&mut self) -> DestinationFuture<'_, Vec<Result<(), DestinationError>>> {
        Box::pin(async move {
            if self.waiting.is_empty() {
                return Vec::new();
            }
            tokio::time::sleep(self.pause).await;
            let mut shelf = self.shelf.lock().expect("no test panicked");
            let stored: Vec<_> = self
                .waiting
                .drain(..)
                .map(|bytes| shelf.push(bytes))
                .collect();
            stored.into_iter().map(Ok).collect()
        })
    }

    fn close(self: Box<Self>) -> DestinationFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// The server drops the connection while a slow destination stores: nothing is lost, nothing comes
/// twice, and in the end everything is deleted.
#[tokio::test]
async fn an_idle_drop_while_storing_costs_nothing() {
    let all = messages(3);
    let quirks = Quirks {
        idle: Some(Duration::from_secs(1)),
        ..Quirks::default()
    };
    let mut bench = Bench::new(all.clone(), quirks).await.deleting();
    let shelf = Shelf::default();
    bench.account.target = Target::Elsewhere {
        name: "slow".into(),
        open: Arc::new(Opens(Arc::clone(&shelf), Duration::from_millis(1_500))),
    };
    for _ in 0..3 {
        let _ = bench.fetch().await;
        for gone in bench.server.deleted() {
            let shelf = shelf.lock().expect("no test panicked");
            assert!(shelf.contains(&gone.bytes));
        }
    }
    let mut stored = shelf.lock().expect("no test panicked").clone();
    let mut expected: Vec<_> = all.into_iter().map(|message| message.bytes).collect();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
    assert!(bench.server.maildrop().is_empty());
}
