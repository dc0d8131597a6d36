//! An upstream that does exactly what a test says, byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::background;
use crate::ports::PortLease;
use crate::raw::Raw;

/// An upstream by script: one call of the script a connection, on the background thread.
pub struct Scripted {
    lease: PortLease,
    connections: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Scripted {
    /// Starts one.
    pub async fn start<F>(script: impl Fn(Raw) -> F + Send + Sync + 'static) -> Scripted
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let lease = PortLease::take();
        let addr = lease.addr();
        let listener = background::run(TcpListener::bind(addr)).await.expect("a leased port can be bound");
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        let accepting = background::handle().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Relaxed);
                tokio::spawn(script(Raw::over(stream)));
            }
        });
        Scripted { lease, connections, accepting }
    }

    /// One that reads requests and gives each the same answer.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Scripted {
        let answer: Arc<[u8]> = answer.into().into();
        Scripted::start(move |mut raw| {
            let answer = answer.clone();
            async move {
                while raw.request().await.is_some() {
                    if raw.send(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
