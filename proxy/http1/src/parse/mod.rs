//! From octets to heads.
//!
//! One pass, line by line: a line is checked and split while its end is looked for, and the whole head is
//! copied into the head's buffer at the end, so the read buffer is free for the body. What is incomplete
//! is resumed at the line where it broke off, so a head that drips in costs no more than its longest line
//! again for each read. (Looking for the empty line first, as many do, is a second pass over everything,
//! and sees a bad first line only when the last one is there.)

pub(crate) mod authority;
pub(crate) mod framing;
pub(crate) mod lines;
mod request;
mod response;
pub(crate) mod target;

pub use request::parse_request;
pub use response::parse_response;
