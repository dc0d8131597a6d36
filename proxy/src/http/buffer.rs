//! Read buffers: lent by the worker while there is something to read, given back when a connection idles.

use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of a pooled buffer: a typical head and a 10 KiB body in one read, and the step in which bodies pass.
pub const BUFFER_BYTES: usize = 16 * 1024;

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
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// An empty one, without memory.
    pub fn new(pool: &BufferPool) -> ReadBuffer {
        ReadBuffer { pool: pool.clone(), store: None, start: 0, end: 0 }
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
        let Some(old) = self.store.take() else { return };
        let mut new = vec![0; old.len() * 2].into_boxed_slice();
        let held = self.end - self.start;
        new[..held].copy_from_slice(&old[self.start..self.end]);
        (self.start, self.end) = (0, held);
        self.pool.give(old);
        self.store = Some(new);
    }

    /// Whether it has memory at present.
    #[cfg(test)]
    pub fn holds_memory(&self) -> bool {
        self.store.is_some()
    }

    /// Gives the memory back if nothing is unused.
    pub fn park(&mut self) {
        if self.start == self.end
            && let Some(store) = self.store.take()
        {
            (self.start, self.end) = (0, 0);
            self.pool.give(store);
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            self.pool.give(store);
        }
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
