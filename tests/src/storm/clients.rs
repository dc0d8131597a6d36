//! Clients that speak HTTP properly, by hyper.

use std::sync::Arc;
use std::time::Duration;

use causeway_testkit::client::{Body, Client, Error, empty, full};
use causeway_testkit::faulty::{BYTES, ID, pattern};
use http::Method;
use http_body_util::BodyExt;

use super::dripping::dripping;
use super::{Books, Chance, Crowd, Fate, Got, LONGEST, MOST_KEPT, Target, Wanted, judge};

/// Names of users: enough to be spread over all endpoints, few enough to come back.
const NAMES: u64 = 500;

/// The largest of the small bodies: some fit into one segment, some into no buffer at once.
const SMALL: u64 = 40_000;

/// A client.
pub(super) struct User {
    pub chance: Chance,
    pub target: Target,
    pub crowd: Crowd,
    pub books: Arc<Books>,
}

impl User {
    pub fn new(number: u64, target: Target, crowd: Crowd, books: Arc<Books>) -> User {
        User { chance: Chance::new(crowd.seed, number), target, crowd, books }
    }

    /// Does one thing.
    pub async fn act(&mut self, act: &'static str) {
        match act {
            "keep-alive" => self.several(act).await,
            "new" => {
                let wanted = self.small();
                self.alone(act, wanted).await;
            }
            "http2" => self.at_once(act).await,
            "upload" => {
                let upload = if self.chance.one_in(8) { self.crowd.big } else { self.length() };
                let wanted = Wanted { upload, ..self.small() };
                self.alone(act, wanted).await;
            }
            "big" => {
                let wanted = Wanted { bytes: self.crowd.big, ..self.small() };
                self.alone(act, wanted).await;
            }
            "stream" => self.stream(act).await,
            "leave-http2" => self.leave_http2(act).await,
            _ => self.rude(act).await,
        }
    }

    fn length(&mut self) -> usize {
        64 + self.chance.below(SMALL) as usize
    }

    pub fn small(&mut self) -> Wanted {
        Wanted { id: self.chance.any(), bytes: self.length(), upload: 0, echo: false }
    }

    pub fn name(&mut self) -> String {
        format!("user-{}", self.chance.below(NAMES))
    }

    async fn connect(&mut self, http2: bool) -> Result<Client, Error> {
        let target = &self.target;
        match (http2, self.chance.one_in(3)) {
            (false, false) => Client::http1(target.http).await,
            (true, false) => Client::http2(target.http).await,
            (false, true) => Client::tls(target.https, target.tls1.clone(), target.name).await,
            (true, true) => Client::tls(target.https, target.tls2.clone(), target.name).await,
        }
    }

    fn note(&self, act: &'static str, (fate, bytes): (Fate, usize)) -> bool {
        self.books.note(act, &fate, bytes);
        matches!(fate, Fate::Right | Fate::Sick | Fate::Refused(_))
    }

    /// A connection for each request.
    async fn alone(&mut self, act: &'static str, wanted: Wanted) {
        let http2 = self.chance.one_in(3);
        let ended = match self.connect(http2).await {
            Ok(mut client) => {
                let body = full(pattern::upload(wanted.id, wanted.upload));
                exchange(&mut client, &self.name(), &wanted, body).await
            }
            Err(_) => (Fate::Lost, 0),
        };
        self.note(act, ended);
    }

    /// Several requests on a connection of HTTP/1.1, until something is wrong with it.
    async fn several(&mut self, act: &'static str) {
        let Ok(mut client) = self.connect(false).await else {
            self.note(act, (Fate::Lost, 0));
            return;
        };
        for _ in 0..=self.chance.below(MOST_KEPT) {
            let (wanted, name) = (self.small(), self.name());
            let ended = tokio::time::timeout(LONGEST, exchange(&mut client, &name, &wanted, empty())).await;
            let Ok(ended) = ended else { return self.books.hung(act) };
            // A proxy may end a connection behind an answer, and says so: the next request would only find that out.
            if !self.note(act, ended) || !client.is_open().await {
                return;
            }
        }
    }

    /// Several requests at once on a connection of HTTP/2.
    async fn at_once(&mut self, act: &'static str) {
        let Ok(client) = self.connect(true).await else {
            self.note(act, (Fate::Lost, 0));
            return;
        };
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..=self.chance.below(6) {
            let upload = if self.chance.one_in(3) { self.length() } else { 0 };
            let (mut client, name) = (client.share(), self.name());
            let wanted = Wanted { upload, ..self.small() };
            streams.spawn(async move {
                let body = full(pattern::upload(wanted.id, wanted.upload));
                exchange(&mut client, &name, &wanted, body).await
            });
        }
        for ended in streams.join_all().await {
            self.note(act, ended);
        }
    }

    /// Messages both ways, as gRPC has them, with pauses.
    async fn stream(&mut self, act: &'static str) {
        let http2 = !self.chance.one_in(4);
        let Ok(mut client) = self.connect(http2).await else {
            self.note(act, (Fate::Lost, 0));
            return;
        };
        let wanted = Wanted { upload: self.length(), echo: true, ..self.small() };
        let pieces = 2 + self.chance.below(20) as usize;
        let body = dripping(&pattern::upload(wanted.id, wanted.upload), pieces, Duration::from_millis(10));
        let ended = exchange(&mut client, &self.name(), &wanted, body).await;
        self.note(act, ended);
    }

    /// Gives streams up at any time; what else is on the connection must not feel it.
    async fn leave_http2(&mut self, act: &'static str) {
        let Ok(mut client) = self.connect(true).await else {
            self.note(act, (Fate::Lost, 0));
            return;
        };
        for _ in 0..3 {
            let wanted = Wanted { bytes: self.crowd.big, ..self.small() };
            let (mut other, name) = (client.share(), self.name());
            let body = full(pattern::upload(wanted.id, wanted.upload));
            let wait = Duration::from_micros(self.chance.below(20_000));
            let ended = tokio::time::timeout(wait, exchange(&mut other, &name, &wanted, body)).await;
            self.note(act, ended.unwrap_or((Fate::Left, 0)));
        }
        let wanted = self.small();
        let ended = exchange(&mut client, &self.name(), &wanted, empty()).await;
        self.note(act, ended);
    }
}

/// One request and what became of it, with the number of body bytes that came.
async fn exchange(client: &mut Client, user: &str, wanted: &Wanted, body: Body) -> (Fate, usize) {
    let (id, bytes) = (format!("{:x}", wanted.id), wanted.bytes.to_string());
    let mut fields = vec![("x-user-id", user), (ID, id.as_str()), (BYTES, bytes.as_str())];
    let method = if wanted.upload > 0 { Method::POST } else { Method::GET };
    let path = if wanted.echo { "/stream" } else { "/" };
    if wanted.echo {
        // Its own deadline is what ends a call whose other side has fallen silent: pauses are a stream's right.
        fields.extend([("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "2S")]);
    }
    let request = client.request(method, path, &fields, body);
    let Ok(response) = client.send(request).await else { return (Fate::Lost, 0) };
    let (head, mut body) = response.into_parts();
    let (mut received, mut whole) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => received.extend_from_slice(&data),
            Ok(Err(trailers)) => {
                // A gRPC call that breaks off is told so behind what came of it.
                let code = trailers.trailers_ref().and_then(|trailers| trailers.get("grpc-status"));
                whole &= code.is_none_or(|code| code == "0");
                let theirs = trailers.trailers_ref().and_then(|trailers| trailers.get(ID));
                if let Some(theirs) = theirs.filter(|theirs| theirs.as_bytes() != id.as_bytes()) {
                    return (Fate::Wrong(format!("request {id}: the trailers of {theirs:?}")), 0);
                }
            }
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    let got = Got { status: head.status.as_u16(), body: &received, whole };
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    (judge(wanted, &got, field), received.len())
}
