//! What a protocol has to do for the driver.

use std::time::Instant;

use super::tally::{Broken, Tally};

/// One connection's side of a protocol. It does no input or output: what it has to say goes into `out`.
pub trait Speaker {
    /// A new connection: what was under way on the last one is forgotten.
    fn opened(&mut self, out: &mut Vec<u8>);

    /// Sends a request that was due then.
    fn start(&mut self, request: &[u8], due: Instant, out: &mut Vec<u8>);

    /// Takes what came from the server, and counts answers. `false`: the connection is used up, in good order.
    ///
    /// # Errors
    /// It makes no sense, and what is under way is lost.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> Result<bool, Broken>;

    /// The server has closed, which may be how an answer ends.
    fn ended(&mut self, _: &mut Tally) {}

    /// Requests without an answer yet.
    fn under_way(&self) -> usize;

    /// How many may be under way.
    fn limit(&self) -> usize;
}

/// Lets `step` use up as much as it can of what was held back and of what is new, and holds back the rest. It returns
/// how many bytes it used; what it leaves must be short, as the beginning of a head is.
pub fn with_held<E>(
    held: &mut Vec<u8>,
    bytes: &[u8],
    step: impl FnOnce(&[u8]) -> Result<usize, E>,
) -> Result<(), E> {
    if held.is_empty() {
        let used = step(bytes)?;
        held.extend_from_slice(bytes.get(used..).unwrap_or_default());
    } else {
        held.extend_from_slice(bytes);
        let used = step(held)?;
        held.drain(..used.min(held.len()));
    }
    Ok(())
}
