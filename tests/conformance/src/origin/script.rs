//! What an origin does with a request: steps, in order.

use std::time::Duration;

use crate::wire::h2::Frame;

/// The stream of a frame that is to be sent on the request's own.
pub const THIS: u32 = u32::MAX;

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the request's body. Without it an answer may be early; what is left is read after the last step.
    Body,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Opens a WebSocket: a 101 with the answer to the request's key (RFC 6455 section 4.2.2).
    Switch,
    /// Sends frames, those of the stream [`THIS`] on the request's own.
    Frames(Vec<Frame>),
    /// Waits.
    Pause(Duration),
    /// Ends the connection in order.
    Close,
    /// Ends it by a reset.
    Reset,
    /// Says nothing more, until the other end goes.
    Hang,
    /// Sends back whatever comes, until the other end ends its direction.
    Echo,
}

/// All that is done with one request.
pub type Script = Vec<Step>;

/// Reads the request, sends `answer`, and keeps the connection.
pub fn answer(answer: impl Into<Vec<u8>>) -> Script {
    vec![Step::Body, Step::Send(answer.into())]
}

/// Reads the request, sends `answer`, and closes.
pub fn last_answer(answer: impl Into<Vec<u8>>) -> Script {
    vec![Step::Body, Step::Send(answer.into()), Step::Close]
}

/// Reads the request and sends frames.
pub fn frames(frames: impl Into<Vec<Frame>>) -> Script {
    vec![Step::Body, Step::Frames(frames.into())]
}

/// Reads the request and says nothing.
pub fn silence() -> Script {
    vec![Step::Body, Step::Hang]
}
