//! Rough numbers of the embedded store on this machine: `cargo run --release --example store_bench`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{Access, Delivery, MailStore, MailboxId, ViewId};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Text that compresses about as mail does.
fn message(number: usize, octets: usize) -> Vec<u8> {
    let mut text = format!("Subject: message {number}\r\n\r\n").into_bytes();
    let mut state = number as u64 * 0x9e37_79b9_7f4a_7c15 + 1;
    while text.len() < octets {
        for _ in 0..9 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.extend_from_slice(format!("word{:x} ", state >> 52).as_bytes());
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

fn deliver(store: &EmbeddedStore, mailbox: MailboxId, bodies: &[Vec<u8>]) {
    let sealed = |bytes: &Vec<u8>| {
        let mut draft = store.draft(Some(bytes.len() as u64)).unwrap();
        draft.write(bytes).unwrap();
        draft.seal().unwrap()
    };
    let delivery = |bytes| Delivery {
        mailbox,
        message: sealed(bytes),
        received_ms: 1_700_000_000_000,
        source: None,
    };
    block_on(store.commit(bodies.iter().map(delivery).collect())).unwrap();
}

fn open_times(store: &EmbeddedStore, mailbox: MailboxId) {
    let since = Instant::now();
    for _ in 0..10_000 {
        drop(block_on(store.open(mailbox, ViewId::PLAIN, Access::Shared)).unwrap());
    }
    println!(
        "open, warm: {:.1} us",
        since.elapsed().as_secs_f64() * 100.0
    );
    let since = Instant::now();
    let maildrop = block_on(store.open(mailbox, ViewId::PLAIN, Access::Shared)).unwrap();
    let count = block_on(maildrop.listing()).unwrap().len();
    println!(
        "listing of {count}: {:.1} ms",
        since.elapsed().as_secs_f64() * 1e3
    );
}

fn drain(store: &EmbeddedStore, mailbox: MailboxId) {
    let maildrop = block_on(store.open(mailbox, ViewId::PLAIN, Access::Shared)).unwrap();
    let count = block_on(maildrop.listing()).unwrap().len();
    let (since, mut octets, mut buf) = (Instant::now(), 0, Vec::new());
    for index in 0..count {
        let mut body = block_on(maildrop.body(index)).unwrap();
        loop {
            buf.clear();
            match block_on(body.read(&mut buf)).unwrap() {
                0 => break,
                read => octets += read,
            }
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    println!(
        "drain of {count} messages, {} MB: {:.0} MB/s, {:.1} us each",
        octets / 1_000_000,
        octets as f64 / 1e6 / seconds,
        seconds * 1e6 / count as f64
    );
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or("/tmp/store-bench".into());
    let folder = Path::new(&folder);
    let _ = std::fs::remove_dir_all(folder);
    let store = EmbeddedStore::open(folder, Options::default()).unwrap();
    let made = |name| block_on(store.create_mailbox(name)).unwrap();
    let (small, large, mixed) = (made("small"), made("large"), made("mixed"));
    let bodies: Vec<_> = (0..200).map(|n| message(n, 12_000)).collect();
    let since = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (store, bodies) = (&store, &bodies);
            scope.spawn(move || {
                for n in 0..1_000 {
                    deliver(store, mixed, &bodies[(n + worker) % 200..][..1]);
                }
            });
        }
    });
    println!(
        "deliveries, 8 threads, 12 KB: {:.0}/s",
        8_000.0 / since.elapsed().as_secs_f64()
    );
    let since = Instant::now();
    let tiny: Vec<_> = (0..1_000).map(|n| message(n, 300)).collect();
    for _ in 0..100 {
        deliver(&store, large, &tiny);
    }
    println!(
        "100,000 small ones in batches: {:.2} s",
        since.elapsed().as_secs_f64()
    );
    deliver(&store, small, &bodies[..20]);
    open_times(&store, small);
    open_times(&store, large);
    drain(&store, mixed);
    drain(&store, mixed);
    drop(store);
    let since = Instant::now();
    let store = EmbeddedStore::open(folder, Options::default()).unwrap();
    let maildrop = block_on(store.open(large, ViewId::PLAIN, Access::Shared)).unwrap();
    println!(
        "restart and open of {}: {:.1} ms",
        maildrop.totals().count,
        since.elapsed().as_secs_f64() * 1e3
    );
    let since = Instant::now();
    drop(maildrop);
    store.rebuild(&mut |_| {}).unwrap();
    println!("rebuild: {:.2} s", since.elapsed().as_secs_f64());
}
