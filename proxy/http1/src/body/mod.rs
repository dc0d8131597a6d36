//! Bodies: where they end, without copying them.

mod decode;
mod trailers;

pub use decode::{BodyDecoder, Decoded};
pub use trailers::Trailers;
