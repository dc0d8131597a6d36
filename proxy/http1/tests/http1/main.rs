//! Promises of the codec as a caller sees it.

mod bodies;
mod forwarding;
mod heads;
mod http2;
mod properties;
mod request_refusals;
mod response_refusals;
mod support;
