//! The thread that formats and writes.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::sink::Sink;
use super::{Message, State, format};

/// Lines are written in one piece up to about this many bytes: few calls under load.
const BATCH: usize = 64 * 1024;

/// What comes within this after a line is written with it: waking this thread for each line cost a busy worker
/// more than the line itself. The queue has room for this long at 800,000 lines a second.
const GATHER: Duration = Duration::from_millis(10);

/// Writes until every handle is gone.
pub(super) fn run(records: &Receiver<Message>, state: &State) {
    let mut writer = Writer { records, state, sink: Sink::off(), lines: Vec::new() };
    while let Ok(message) = records.recv() {
        if matches!(message, Message::Record(_)) {
            // Ended early by a flush.
            std::thread::park_timeout(GATHER);
        }
        writer.write_from(message);
        // Whoever asks for a flush is in the list before its wake is in the queue, and the wake may have been
        // taken out together with records: so the list is looked at until it is empty, not once a wake.
        loop {
            let flushes = std::mem::take(&mut *state.flushes());
            if flushes.is_empty() {
                break;
            }
            if let Ok(message) = records.try_recv() {
                writer.write_from(message);
            }
            for done in flushes {
                // Whoever asked may have stopped waiting.
                let _ = done.try_send(());
            }
        }
    }
}

struct Writer<'a> {
    records: &'a Receiver<Message>,
    state: &'a State,
    sink: Sink,
    lines: Vec<u8>,
}

impl Writer<'_> {
    /// Writes `first` and everything that is in the queue behind it.
    fn write_from(&mut self, first: Message) {
        let mut next = Some(first);
        while next.is_some() {
            self.take_over();
            let mut count = 0;
            // A wake ends the batch: what is behind it belongs to the new target.
            while let Some(Message::Record(record)) = next.take() {
                if !self.sink.is_off() {
                    format::line(&record, self.sink.format, &mut self.lines);
                    count += 1;
                }
                if self.lines.len() < BATCH {
                    next = self.records.try_recv().ok();
                }
            }
            self.write(count);
            next = self.records.try_recv().ok();
        }
        self.take_over();
    }

    fn take_over(&mut self) {
        if let Some(sink) = self.state.next().take() {
            self.sink = sink;
        }
    }

    fn write(&mut self, count: u64) {
        if count > 0 {
            let written = self.sink.write(&self.lines, Instant::now());
            let counter = if written.is_ok() { &self.state.written } else { &self.state.dropped };
            counter.fetch_add(count, Relaxed);
        }
        self.lines.clear();
    }
}
