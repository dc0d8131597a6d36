//! TLS on both sides, by rustls with the aws-lc-rs provider.
//!
//! Nothing here writes a key anywhere: rustls's own key log (`SSLKEYLOGFILE`) is never asked for, the types that
//! hold keys have no `Debug` that shows them, and errors about files say nothing of what is in them.

pub mod client;
pub mod client_auth;
pub mod identity;
pub mod pem;
pub mod san;
pub mod server;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The one provider of the process. Passed explicitly: with two providers linked in by accident,
/// `ServerConfig::builder()` panics.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<Arc<CryptoProvider>> =
        std::sync::LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}
