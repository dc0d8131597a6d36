//! A connection whose client is left alone for a while, because there was no time for one of its requests.
//!
//! HTTP/2 cannot say "no more for now" but for one stream at a time, and to refuse those costs a third of serving them.
//! So nothing is read, and what the client may still send is what its streams and windows allow. That holds for all its
//! streams, uploads too: the pause is shorter than that of an HTTP/1.1 connection.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::overload::Resting;
use crate::timer::Timer;
use crate::worker::Worker;

/// What a connection's reader and its streams share.
pub struct Pause {
    worker: Rc<Worker>,
    /// Streams under way.
    active: Rc<Cell<usize>>,
    /// Most connections never need one.
    timer: OnceCell<Timer>,
    resting: RefCell<Option<Resting>>,
    /// What is read now came while nothing was.
    late: Cell<bool>,
}

impl Pause {
    /// None so far.
    pub fn new(worker: &Rc<Worker>, active: &Rc<Cell<usize>>) -> Rc<Pause> {
        Rc::new(Pause {
            worker: worker.clone(),
            active: active.clone(),
            timer: OnceCell::new(),
            resting: RefCell::default(),
            late: Cell::default(),
        })
    }

    /// Begins one of this length, unless one has begun.
    pub fn begin(&self, length: Duration) {
        let mut resting = self.resting.borrow_mut();
        if resting.is_none() {
            let timer = self.timer.get_or_init(|| self.worker.wheel.timer());
            timer.set(Some(timer.now() + length));
            *resting =
                Some(Resting::begin(&self.worker, u32::try_from(self.active.get()).unwrap_or(u32::MAX)));
        }
    }

    /// Ready when the connection may be read.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut resting = self.resting.borrow_mut();
        if resting.is_some() {
            if let Some(timer) = self.timer.get() {
                ready!(timer.poll_fired(cx));
                timer.set(None);
            }
            *resting = None;
            self.late.set(true);
        }
        Poll::Ready(())
    }

    /// All that was there has been read.
    pub fn caught_up(&self) {
        self.late.set(false);
    }

    /// Whether what is read now came during a pause.
    pub fn is_late(&self) -> bool {
        self.late.get()
    }
}
