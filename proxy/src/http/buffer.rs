//! Read buffers: lent by the worker while there is something to read, given back when a connection idles.
//!
//! Two sizes: one for heads and small bodies, and a large one for long bodies, lent from one read to the end of the
//! writes that it leads to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Bytes of a pooled buffer: a typical head and a 10 KiB body in one read.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Bytes of a large buffer, the step of long bodies. Fewer and larger writes are what makes a body cheap: each is a
/// pass through the network stack. CPU for 10 MiB over loopback, against steps of 16 KiB: 0.65 with 32 and 64 KiB,
/// 0.52 with 128, 0.45 with 256, 0.41 with 512, which no longer leaves the second level cache (1 MiB) to others.
const LARGE_BYTES: usize = 256 * 1024;

/// Large buffers lent at once by a worker (32 MiB): the bound on what slow readers of long bodies can hold. Beyond
/// it bodies pass in steps of [`BUFFER_BYTES`].
const LARGE_LENT: usize = 128;

/// Large buffers kept for reuse (2 MiB). Whoever waits for input holds none, so a few serve many connections, and
/// the one that is used next is the one that is still in the cache.
const LARGE_KEEP: usize = 8;

/// Buffers kept for reuse per worker; more than that go back to the allocator after a burst.
const KEEP: usize = 256;

/// An output buffer above this is not kept: a burst of large heads must not stay in memory.
const KEEP_OUTPUT_BYTES: usize = 32 * 1024;

/// A worker's spare buffers.
#[derive(Clone, Default)]
pub struct BufferPool(Rc<Spare>);

#[derive(Default)]
struct Spare {
    inputs: RefCell<Vec<Box<[u8]>>>,
    outputs: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    large_lent: Cell<usize>,
}

impl BufferPool {
    fn take(&self) -> Box<[u8]> {
        self.0.inputs.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    fn give(&self, buffer: Box<[u8]>) {
        let mut spare = self.0.inputs.borrow_mut();
        if buffer.len() == BUFFER_BYTES && spare.len() < KEEP {
            spare.push(buffer);
        }
    }

    /// A large buffer, unless too many are lent out.
    fn take_large(&self) -> Option<Box<[u8]>> {
        let lent = self.0.large_lent.get();
        if lent >= LARGE_LENT {
            return None;
        }
        self.0.large_lent.set(lent + 1);
        let spare = self.0.large.borrow_mut().pop();
        Some(spare.unwrap_or_else(|| vec![0; LARGE_BYTES].into_boxed_slice()))
    }

    fn give_large(&self, buffer: Box<[u8]>) {
        self.0.large_lent.set(self.0.large_lent.get() - 1);
        let mut spare = self.0.large.borrow_mut();
        if spare.len() < LARGE_KEEP {
            spare.push(buffer);
        }
    }

    /// An empty output buffer.
    pub fn take_output(&self) -> Vec<u8> {
        self.0.outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an output buffer back.
    pub fn give_output(&self, mut output: Vec<u8>) {
        let mut spare = self.0.outputs.borrow_mut();
        if output.capacity() > 0 && output.capacity() <= KEEP_OUTPUT_BYTES && spare.len() < KEEP {
            output.clear();
            spare.push(output);
        }
    }
}

/// What was read and not yet used: `store[start..end]`. Holds no memory while empty and [`ReadBuffer::park`]ed.
pub struct ReadBuffer {
    pool: BufferPool,
    store: Option<Box<[u8]>>,
    /// `store` is one of the pool's large buffers.
    large: bool,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// An empty one, without memory.
    pub fn new(pool: &BufferPool) -> ReadBuffer {
        ReadBuffer { pool: pool.clone(), store: None, large: false, start: 0, end: 0 }
    }

    /// The unused bytes.
    pub fn data(&self) -> &[u8] {
        self.store.as_ref().map_or(&[], |store| &store[self.start..self.end])
    }

    /// Marks the first `n` unused bytes as used.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Prepares to read a long body in large steps, if there is nothing unused and the pool has a large buffer.
    pub fn widen(&mut self) {
        if self.large || self.start != self.end {
            return;
        }
        if let Some(large) = self.pool.take_large() {
            self.give_store();
            (self.store, self.large) = (Some(large), true);
        }
    }

    /// Gives a large buffer back if nothing is unused: what waits for input holds none.
    pub fn narrow(&mut self) {
        if self.large {
            self.park();
        }
    }

    /// Room to read into. Moves what is unused to the front first when the room behind it is short.
    pub fn room(&mut self) -> &mut [u8] {
        let store = self.store.get_or_insert_with(|| self.pool.take());
        if self.start > 0 && store.len() - self.end < store.len() / 4 {
            store.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut store[self.end..]
    }

    /// Says that the first `n` bytes of the room were filled.
    pub fn filled(&mut self, n: usize) {
        self.end += n;
    }

    /// Whether there is no room left although nothing is used up: the caller must [`ReadBuffer::grow`].
    pub fn is_full(&self) -> bool {
        self.store.as_ref().is_some_and(|store| self.end - self.start == store.len())
    }

    /// Doubles the memory, for a head that does not fit.
    pub fn grow(&mut self) {
        let Some(old) = &self.store else { return };
        let mut new = vec![0; old.len() * 2].into_boxed_slice();
        let held = self.end - self.start;
        new[..held].copy_from_slice(&old[self.start..self.end]);
        (self.start, self.end) = (0, held);
        self.give_store();
        self.store = Some(new);
    }

    /// Whether it has memory at present.
    #[cfg(test)]
    pub fn holds_memory(&self) -> bool {
        self.store.is_some()
    }

    /// Gives the memory back if nothing is unused.
    pub fn park(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.give_store();
        }
    }

    fn give_store(&mut self) {
        let large = std::mem::take(&mut self.large);
        match self.store.take() {
            Some(store) if large => self.pool.give_large(store),
            Some(store) => self.pool.give(store),
            None => {}
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.give_store();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_buffer_holds_no_memory_and_its_memory_is_used_again() {
        let pool = BufferPool::default();
        let mut buffer = ReadBuffer::new(&pool);
        buffer.room()[..3].copy_from_slice(b"abc");
        buffer.filled(3);
        buffer.park();
        assert_eq!(buffer.data(), b"abc", "unused bytes are never given away");
        buffer.consume(3);
        buffer.park();
        assert!(buffer.store.is_none());
        assert_eq!(pool.0.inputs.borrow().len(), 1);
    }

    #[test]
    fn a_large_buffer_is_held_only_with_unused_bytes_in_it() {
        let pool = BufferPool::default();
        let mut buffer = ReadBuffer::new(&pool);
        buffer.room()[0] = b'x';
        buffer.filled(1);
        buffer.widen();
        assert_eq!(buffer.data(), b"x", "unused bytes stay where they are");
        buffer.consume(1);
        buffer.widen();
        assert_eq!(buffer.room().len(), LARGE_BYTES);
        buffer.filled(2);
        buffer.narrow();
        assert_eq!(buffer.data().len(), 2);
        buffer.consume(2);
        buffer.narrow();
        assert!(buffer.store.is_none());
        assert_eq!((pool.0.large.borrow().len(), pool.0.large_lent.get()), (1, 0));
    }

    #[test]
    fn what_is_lent_in_large_buffers_is_bounded_and_the_rest_read_in_small_steps() {
        let pool = BufferPool::default();
        let wide = || {
            let mut buffer = ReadBuffer::new(&pool);
            buffer.widen();
            buffer
        };
        let mut lent: Vec<_> = (0..LARGE_LENT).map(|_| wide()).collect();
        assert_eq!(wide().room().len(), BUFFER_BYTES);
        // Also what grew, and what was dropped, counts as given back.
        lent[0].grow();
        lent.truncate(1);
        assert_eq!(pool.0.large_lent.get(), 0);
        assert_eq!(pool.0.large.borrow().len(), LARGE_KEEP);
        assert_eq!(wide().room().len(), LARGE_BYTES);
    }

    #[test]
    fn growing_and_moving_keep_the_unused_bytes() {
        let pool = BufferPool::default();
        let mut buffer = ReadBuffer::new(&pool);
        let n = buffer.room().len();
        buffer.room().fill(b'x');
        buffer.filled(n);
        assert!(buffer.is_full());
        buffer.grow();
        assert_eq!(buffer.data().len(), n);
        buffer.consume(n - 2);
        let _ = buffer.room();
        assert_eq!(buffer.data(), b"xx");
    }
}
