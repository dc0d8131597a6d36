//! From heads to octets.
//!
//! Fields that pass are copied as they were spelled and ordered, neighbours in one run; framing, `Host`,
//! `Connection` and what belongs to it are written anew, so what the next hop sees of them is ours
//! whatever came in. Writing cannot fail: what would be invalid is made harmless (see [`line::field`]), so
//! that no caller has an error path that is never taken.

mod chunk;
mod line;
mod request;
mod response;

pub use chunk::{CHUNK_END, ChunkHeader, write_chunk, write_last_chunk};
pub use request::{RequestOut, write_request};
pub use response::{
    CONTINUE, ResponseOut, reason_phrase, write_own_head, write_own_response, write_response,
};
