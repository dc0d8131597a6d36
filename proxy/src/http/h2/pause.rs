//! A connection whose client is left alone for a while, because there was no time for one of its requests.
//!
//! HTTP/2 cannot say "no more for now" but for one stream at a time, and to refuse those costs about half of serving
//! them. So nothing is read, and what the client may still send is what its streams and windows allow. That holds for all
//! its streams: uploads stand still, answers that wait for a WINDOW_UPDATE too, and who leaves is noticed late. So the
//! pause is shorter than that of an HTTP/1.1 connection, and the last resort.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::overload::Resting;
use crate::timer::Timer;
use crate::worker::Worker;

/// How long until a pause looks whether there is time again, on average.
const LOOK: Duration = Duration::from_millis(100);

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
    /// There is to be no other.
    ended: Cell<bool>,
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
            ended: Cell::default(),
        })
    }

    /// Begins one of this length, unless one has begun. Says what is left of it.
    pub fn begin(&self, length: Duration) -> Duration {
        if self.ended.get() {
            return length;
        }
        let mut resting = self.resting.borrow_mut();
        // Over, and the reader has not come to notice.
        if resting.as_ref().is_some_and(|resting| resting.ends() <= self.worker.now()) {
            *resting = None;
        }
        let resting = resting.get_or_insert_with(|| {
            let requests = u32::try_from(self.active.get()).unwrap_or(u32::MAX);
            let resting = Resting::begin(&self.worker, requests, length, LOOK);
            self.timer.get_or_init(|| self.worker.wheel.timer()).set(Some(resting.next_look()));
            resting
        });
        resting.ends().since(self.worker.now())
    }

    /// Ready when the connection may be read.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rests = self.resting.borrow_mut();
        if let (Some(resting), Some(timer)) = (&*rests, self.timer.get()) {
            loop {
                ready!(timer.poll_fired(cx));
                if resting.is_over() {
                    break;
                }
                timer.set(Some(resting.next_look()));
            }
            timer.set(None);
            *rests = None;
            self.late.set(true);
        }
        Poll::Ready(())
    }

    /// Ends one that has begun, and begins no other, since the connection is to end: what its client has sent is to be
    /// read before that, or closing would reset, and what was sent below the GOAWAY's stream be lost.
    pub fn end(&self) {
        self.ended.set(true);
        if self.resting.take().is_some() {
            self.late.set(true);
        }
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
