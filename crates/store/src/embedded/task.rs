//! Futures that are completed from threads of the store, and those threads.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use crate::StoreError;

/// Locks; a panic elsewhere is no reason for a second one here.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Slot<T> {
    Waiting(Option<Waker>),
    Ready(Result<T, StoreError>),
    Taken,
}

/// The sending half: dropped without a word, the receiver gets an error.
pub(super) struct Promise<T>(Option<Arc<Mutex<Slot<T>>>>);

/// The receiving half.
pub(super) struct Answer<T>(Arc<Mutex<Slot<T>>>);

pub(super) fn promise<T>() -> (Promise<T>, Answer<T>) {
    let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
    (Promise(Some(Arc::clone(&slot))), Answer(slot))
}

impl<T> Promise<T> {
    pub(super) fn keep(mut self, value: Result<T, StoreError>) {
        self.fill(value);
    }

    fn fill(&mut self, value: Result<T, StoreError>) {
        let Some(slot) = self.0.take() else { return };
        let before = std::mem::replace(&mut *lock(&slot), Slot::Ready(value));
        if let Slot::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.fill(Err(StoreError::Temporary("the store is closing".into())));
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.0);
        if let Slot::Waiting(waker) = &mut *slot {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Ready(value) => Poll::Ready(value),
            _ => Poll::Ready(Err(StoreError::Temporary("asked twice".into()))),
        }
    }
}

/// Waits for an answer on a thread that may wait.
pub(super) fn wait<T>(answer: Answer<T>) -> Result<T, StoreError> {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut answer = std::pin::pin!(answer);
    loop {
        match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    closing: bool,
}

/// Threads for what has to wait for a device. They start when first needed.
#[derive(Default)]
pub(super) struct Workers {
    shared: Arc<(Mutex<Queue>, Condvar)>,
}

impl Workers {
    /// Runs `work` on a thread that may wait.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (promise, answer) = promise();
        let mut queue = lock(&self.shared.0);
        queue.jobs.push_back(Box::new(move || promise.keep(work())));
        if queue.idle < queue.jobs.len()
            && queue.threads.len() < crate::limits::WORKER_THREADS
            && !queue.closing
        {
            let shared = Arc::clone(&self.shared);
            let builder = std::thread::Builder::new().name("store-worker".into());
            match builder.spawn(move || serve(&shared)) {
                Ok(thread) => queue.threads.push(thread),
                // Those that are there will do it; without any, the answer must not wait for ever.
                Err(_) if queue.threads.is_empty() => queue.jobs.clear(),
                Err(_) => {}
            }
        }
        drop(queue);
        self.shared.1.notify_one();
        answer
    }

    /// Finishes what was begun and ends the threads.
    pub(super) fn close(&self) {
        let threads = {
            let mut queue = lock(&self.shared.0);
            queue.closing = true;
            std::mem::take(&mut queue.threads)
        };
        self.shared.1.notify_all();
        for thread in threads {
            // The last handle may be dropped by a worker itself, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn serve(shared: &(Mutex<Queue>, Condvar)) {
    let mut queue = lock(&shared.0);
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            job();
            queue = lock(&shared.0);
        } else if queue.closing {
            return;
        } else {
            queue.idle += 1;
            queue = shared.1.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}
