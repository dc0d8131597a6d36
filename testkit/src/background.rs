//! One runtime on a thread of its own, where upstreams live.
//!
//! A test's runtime is single-threaded and ends with the test. An upstream in it would stop answering whenever
//! the test is busy, and a proxy would see a sick endpoint where there is only a busy test.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};

/// The runtime's handle; it is started by the first call and lives as long as the process.
pub(crate) fn handle() -> &'static Handle {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("upstreams".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .expect("a thread");
        handle
    })
}

/// Runs a future there and waits for it.
pub(crate) async fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    handle().spawn(future).await.expect("the task on the background thread does not panic")
}
