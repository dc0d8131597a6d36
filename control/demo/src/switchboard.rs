//! The demo by `curl`: everything that a key does, for scripts and for those without a terminal.
//!
//! | request | effect |
//! | --- | --- |
//! | `POST /clusters/NAME/kill[?endpoint=N]` | SIGKILL |
//! | `POST /clusters/NAME/restore[?endpoint=N]` | start again, lift faults |
//! | `POST /clusters/NAME/slow[?ms=800]` | each answer waits |
//! | `POST /clusters/NAME/err[?percent=10]` | 503 for a share |
//! | `POST /clusters/NAME/status[?code=500]` | this status for all |
//! | `POST /clusters/NAME/hang[?endpoint=N]` | no answers |
//! | `POST /clusters/NAME/close` | connections closed instead of answers |
//! | `POST /clusters/NAME/ok` | lift faults |
//! | `GET /status` | what the view shows, as JSON |
//! | `GET /` | this list |
//!
//! It listens on loopback, and a web page cannot use it: a request must name it in `Host` (no DNS
//! rebinding) and carry no `Origin`.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{
    origin::{Behaviour, number, query_value},
    stage::{Action, Refused, Stage},
};

/// Makes the body of `GET /status`.
pub type Status = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

type Answer = Response<Full<Bytes>>;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, stage: Arc<Stage>, status: Status) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: wait for some to come back instead of spinning.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let (stage, status) = (stage.clone(), status.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(stage.clone(), status.clone(), request));
            // A client that goes away early is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(stage: Arc<Stage>, status: Status, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let query = request.uri().query().unwrap_or("");
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    Ok(match (request.method(), path.as_slice()) {
        _ if !trusted(request.headers(), &stage) => text(StatusCode::FORBIDDEN, "not from here\n".to_owned()),
        (&Method::GET, ["status"]) => text(StatusCode::OK, format!("{}\n", status())),
        (&Method::GET, [""]) => text(StatusCode::OK, help(&stage)),
        (&Method::POST, ["clusters", cluster, verb]) => match order(verb, query) {
            Ok((action, endpoint)) => match stage.act(cluster, endpoint, action).await {
                Ok(done) => text(StatusCode::OK, format!("{done}\n")),
                Err(Refused::Unknown(problem)) => text(StatusCode::NOT_FOUND, format!("{problem}\n")),
                Err(Refused::Failed(problem)) => text(StatusCode::CONFLICT, format!("{problem}\n")),
            },
            Err(problem) => text(StatusCode::BAD_REQUEST, format!("{problem}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, help(&stage)),
    })
}

fn trusted(headers: &HeaderMap, stage: &Stage) -> bool {
    let control = stage.topology.control;
    let names = [control.to_string(), format!("localhost:{}", control.port())];
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| names.iter().any(|name| name == host)) && !headers.contains_key(header::ORIGIN)
}

/// What a verb and its query ask for, and of which endpoint.
fn order(verb: &str, query: &str) -> Result<(Action, Option<usize>), String> {
    let endpoint = match query_value(query, "endpoint") {
        None => None,
        text => Some(number(text, 0, 0..=99, "endpoint")? as usize),
    };
    let action = match verb {
        "kill" => Action::Kill,
        "restore" => Action::Restore,
        "ok" | "slow" | "err" | "status" | "hang" | "close" => {
            Action::Behave(Behaviour::from_query(&format!("kind={verb}&{query}"))?)
        }
        other => {
            return Err(format!("unknown {other:?}: kill, restore, ok, slow, err, status, hang or close"));
        }
    };
    Ok((action, endpoint))
}

/// Lines for a person to copy.
pub fn things_to_try(stage: &Stage) -> Vec<String> {
    let (gateway, control) = (stage.topology.gateway, stage.topology.control);
    let first = &stage.topology.clusters[0].name;
    let post = |verb: &str| format!("curl -X POST 'http://{control}/clusters/{first}/{verb}'");
    vec![
        format!("curl -H 'x-user-id: alice' http://{gateway}/"),
        post("kill"),
        post("slow?ms=800"),
        post("err?percent=10"),
        post("hang?endpoint=0"),
        post("restore"),
        format!("curl http://{control}/status"),
        format!("curl http://{}/clusters", stage.topology.admin),
    ]
}

fn help(stage: &Stage) -> String {
    let names: Vec<&str> = stage.topology.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    format!(
        "POST /clusters/NAME/VERB[?endpoint=N]\n  NAME: {}\n  VERB: kill, restore, ok, slow?ms=800, \
         err?percent=10, status?code=500, hang, close\nGET /status\n\nto try:\n  {}\n",
        names.join(", "),
        things_to_try(stage).join("\n  ")
    )
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::origin::Fault;

    #[test]
    fn verbs_are_understood_with_the_demos_numbers() {
        let behave = |fault: Fault| Action::Behave(fault.into());
        assert_eq!(order("kill", ""), Ok((Action::Kill, None)));
        assert_eq!(order("restore", "endpoint=1"), Ok((Action::Restore, Some(1))));
        assert_eq!(order("slow", ""), Ok((behave(Fault::Slow(Duration::from_millis(800))), None)));
        assert_eq!(order("err", "percent=3"), Ok((behave(Fault::Err { percent: 3 }), None)));
        assert_eq!(order("hang", "endpoint=0"), Ok((behave(Fault::Hang), Some(0))));
        assert_eq!(order("ok", ""), Ok((behave(Fault::Ok), None)));
    }

    #[test]
    fn nonsense_is_answered_with_what_there_is() {
        assert!(order("explode", "").expect_err("unknown").contains("restore"));
        assert!(order("kill", "endpoint=first").expect_err("no number").contains("endpoint"));
        assert!(order("err", "percent=1000").expect_err("too many").contains("0 to 100"));
    }
}
