//! The tasks that serve streams: each serves one at a time, and then the next one, of whatever connection.
//!
//! A task a stream was rejected: its future is 3 KiB, which `tokio` copies about six times on its way into the task
//! and out of it, beside allocating it; and a timer a stream leaves a note in the wheel for each request.
//! Here a task that has nothing to do waits with its timer among the worker's spare ones.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::server::{Job, serve_stream};
use crate::timer::{Tag, Timer};

/// Tasks kept per worker; more than that end after a burst.
const KEEP: usize = 256;

/// A worker's tasks that wait for a stream.
#[derive(Default)]
pub struct Servants(RefCell<Vec<Rc<Servant>>>);

/// What a task and those who have work for it share.
#[derive(Default)]
struct Servant {
    job: Cell<Option<Job>>,
    waker: Cell<Option<Waker>>,
}

/// Has a stream served by a task of its worker.
pub fn serve(job: Job) {
    let worker = job.worker.clone();
    let spare = worker.servants.0.borrow_mut().pop();
    if let Some(servant) = spare {
        servant.job.set(Some(job));
        if let Some(waker) = servant.waker.take() {
            waker.wake();
        }
        return;
    }
    let servant = Rc::new(Servant { job: Cell::new(Some(job)), ..Servant::default() });
    let timer = Rc::new(worker.wheel.timer());
    worker.wheel.spawn(run(servant, timer));
}

/// A panic ends the task while it is among nobody's spare ones.
async fn run(servant: Rc<Servant>, timer: Rc<Timer>) {
    loop {
        let job = servant.job().await;
        let worker = job.worker.clone();
        serve_stream(job, &timer).await;
        timer.set(None);
        timer.tag(Tag::None);
        let mut spare = worker.servants.0.borrow_mut();
        if spare.len() >= KEEP {
            return;
        }
        spare.push(servant.clone());
    }
}

impl Servant {
    fn job(&self) -> impl Future<Output = Job> + '_ {
        std::future::poll_fn(|cx| {
            if let Some(job) = self.job.take() {
                return Poll::Ready(job);
            }
            self.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
    }
}
