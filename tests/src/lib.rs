//! What the promises have in common: a proxy in front of something, and users of it.
#![forbid(unsafe_code)]

pub mod soak;
pub mod storm;
pub mod streams;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use causeway_testkit::client::{Answer, Client, Error, get_as};
use causeway_testkit::config::Config;
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::{Folder, Proxy, gateway};
use causeway_testkit::raw::{Message, Raw};
use causeway_testkit::script::Scripted;

/// A running proxy, the address that users know, and its config.
pub struct Site {
    /// The process.
    pub proxy: Proxy,
    /// Its Gateway's cleartext listener.
    pub at: SocketAddr,
    /// What it was started with; edit it and [`Proxy::reload`].
    pub config: Config,
    /// Keeps the address.
    pub lease: PortLease,
}

impl Site {
    /// Starts a proxy with the usual config after `edit`.
    pub async fn start(edit: impl FnOnce(&mut Config)) -> Site {
        Site::start_in(Folder::new(), edit).await
    }

    /// The same with a folder of the test's own.
    pub async fn start_in(folder: Folder, edit: impl FnOnce(&mut Config)) -> Site {
        let (lease, mut config) = gateway();
        edit(&mut config);
        folder.write(&config.text());
        let proxy = Proxy::start_in(Arc::new(folder)).await;
        Site { proxy, at: lease.addr(), config, lease }
    }

    /// A proxy in front of one cluster `a` with these endpoints.
    pub async fn over(endpoints: &[SocketAddr]) -> Site {
        Site::start(|config| {
            config.cluster("a", 1, endpoints);
        })
        .await
    }

    /// GET as a user, whole.
    pub async fn get(&self, user: &str, path: &str) -> Answer {
        get_as(self.at, user, path).await
    }

    /// Which endpoint answers a user.
    pub async fn endpoint_of(&self, user: &str) -> String {
        let answer = self.get(user, "/").await;
        assert_eq!(answer.status, 200, "{user}: {}", answer.text());
        answer.header("x-endpoint").to_owned()
    }

    /// A raw connection to the Gateway.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.at).await
    }
}

/// Sends request after request until the server ends the connection in an orderly way. An error is one that a
/// user would have seen.
///
/// # Errors
/// A request that was sent and got no answer.
///
/// # Panics
/// At an answer other than 200.
pub async fn keep_asking(mut client: Client, answered: Arc<AtomicU64>) -> Result<(), Error> {
    loop {
        let answer = client.get("/", &[("x-user-id", "u")]).await;
        match answer {
            Ok(answer) => {
                assert_eq!(answer.status, 200);
                answered.fetch_add(1, Relaxed);
                if answer.header("connection") == "close" {
                    return Ok(());
                }
            }
            // Not sent: an HTTP/2 connection that has said GOAWAY takes no more.
            Err(error) if error.downcast_ref::<hyper::Error>().is_some_and(is_unsent) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn is_unsent(error: &hyper::Error) -> bool {
    let goaway = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    let refused =
        goaway.is_some_and(|error| error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR));
    error.is_canceled() || error.is_closed() || refused
}

/// Whole requests that an upstream has received.
#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<Vec<Message>>>);

impl Received {
    /// Notes one.
    pub fn push(&self, request: Message) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }

    /// All so far.
    pub fn all(&self) -> Vec<Message> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The only one.
    ///
    /// # Panics
    /// When there are none or several.
    pub fn only(&self) -> Message {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap_or_else(|| unreachable!())
    }
}

/// An upstream that keeps what it receives and gives each request the same answer.
pub async fn recording(answer: &str) -> (Scripted, Received) {
    let received = Received::default();
    let (kept, answer) = (received.clone(), answer.to_owned());
    let upstream = Scripted::start(move |mut raw| {
        let (kept, answer) = (kept.clone(), answer.clone());
        async move {
            while let Some(request) = raw.request().await {
                if request.end == causeway_testkit::raw::End::Whole {
                    kept.push(request);
                }
                if raw.send(&answer).await.is_err() {
                    return;
                }
            }
        }
    });
    (upstream.await, received)
}

/// The plainest answer.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
