//! Heads from HTTP/2 under the same rules.

use causeway_proxy_http1::*;

use crate::support::sent;

const GET: H2Request<'static> = H2Request {
    method: b"GET",
    scheme: Some(b"https"),
    authority: Some(b"a.example"),
    path: Some(b"/p?q"),
    protocol: None,
};

fn built(
    request: &H2Request<'_>,
    fields: &[(&str, &str)],
    end_of_stream: bool,
) -> Result<RequestHead, RequestError> {
    let mut head = RequestHead::default();
    head.begin_h2(request)?;
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes())?;
    }
    head.finish_h2(end_of_stream)?;
    Ok(head)
}

#[test]
fn a_request_becomes_what_http_1_1_would_have_said() {
    let head = built(&GET, &[("accept", "*/*"), ("te", "trailers")], true).unwrap();
    assert_eq!((head.path(), head.query(), head.host()), (&b"/p"[..], Some(&b"q"[..]), &b"a.example"[..]));
    assert_eq!(
        (head.version, head.framing, head.target.scheme),
        (Version::Http2, Framing::None, Some(Scheme::Https))
    );
    let expected =
        "GET /p?q HTTP/1.1\r\nHost: a.example\r\naccept: */*\r\nConnection: te\r\nTE: trailers\r\n\r\n";
    assert_eq!(sent(&head), expected);
}

#[test]
fn cookies_are_joined_rfc9113_8_2_3() {
    let head =
        built(&GET, &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")], true).unwrap();
    assert_eq!(head.get_all(Known::Cookie).collect::<Vec<_>>(), [b"a=1; b=2; c=3"]);
    assert!(sent(&head).contains("cookie: a=1; b=2; c=3\r\n"));
}

#[test]
fn a_body_is_framed_by_length_or_chunks() {
    let post = H2Request { method: b"POST", ..GET };
    let framing = |fields: &[(&str, &str)], end| built(&post, fields, end).map(|head| head.framing);
    assert_eq!(framing(&[("content-length", "5")], false), Ok(Framing::Length(5)));
    assert_eq!(framing(&[], false), Ok(Framing::Chunked));
    assert_eq!(framing(&[], true), Ok(Framing::None));
    assert_eq!(framing(&[("content-length", "0")], true), Ok(Framing::Length(0)));
    assert_eq!(framing(&[("content-length", "5")], true), Err(Fault::BadContentLength.into()));
    assert_eq!(framing(&[("content-length", "+5")], false), Err(Fault::BadContentLength.into()));
    let two = [("content-length", "5"), ("content-length", "5")];
    assert_eq!(framing(&two, false), Err(Fault::DuplicateContentLength.into()));
}

#[test]
fn extended_connect_becomes_a_get_with_upgrade_rfc8441() {
    let connect = H2Request { method: b"CONNECT", protocol: Some(b"websocket"), ..GET };
    let head = built(&connect, &[], false).unwrap();
    assert_eq!(
        (head.method, head.upgrade(), head.framing),
        (Method::Get, Some(&b"websocket"[..]), Framing::None)
    );
    let expected =
        "GET /p?q HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(sent(&head), expected);
    let announced = built(&connect, &[("content-length", "5")], false).unwrap();
    assert_eq!((announced.framing, announced.get(Known::ContentLength)), (Framing::None, None));
    for tunnel_past_us in [&b"h2c"[..], b"H2C", b"two words"] {
        let connect = H2Request { protocol: Some(tunnel_past_us), ..connect };
        assert_eq!(built(&connect, &[], false).err(), Some(RequestError::H2Pseudo));
    }
}

#[test]
fn plain_connect_has_an_authority_only_rfc9113_8_5() {
    let connect =
        H2Request { method: b"CONNECT", scheme: None, authority: Some(b"b:443"), path: None, protocol: None };
    let head = built(&connect, &[], false).unwrap();
    assert_eq!((head.target.form, head.host()), (Form::Authority, &b"b:443"[..]));
    let with_path = H2Request { path: Some(b"/"), ..connect };
    assert_eq!(built(&with_path, &[], false).map(|_| ()), Err(RequestError::H2Pseudo));
}

#[test]
fn malformed_pseudo_fields_are_refused_rfc9113_8_3_1() {
    for (request, error) in [
        (H2Request { method: b"G T", ..GET }, RequestError::Method),
        (H2Request { method: b"", ..GET }, RequestError::Method),
        (H2Request { path: None, ..GET }, RequestError::H2Pseudo),
        (H2Request { path: Some(b""), ..GET }, RequestError::Target),
        (H2Request { path: Some(b"http://x/"), ..GET }, RequestError::Target),
        (H2Request { path: Some(b"*"), ..GET }, RequestError::AsteriskForm),
        (H2Request { path: Some(b"/ HTTP/1.1\r\nX: y"), ..GET }, RequestError::Target),
        (H2Request { path: Some(b"/a#b"), ..GET }, RequestError::Target),
        (H2Request { scheme: None, ..GET }, RequestError::H2Pseudo),
        (H2Request { scheme: Some(b"ftp"), ..GET }, RequestError::H2Pseudo),
        (H2Request { authority: Some(b"u@a"), ..GET }, RequestError::Host),
        (H2Request { authority: Some(b""), ..GET }, RequestError::Host),
        (H2Request { authority: None, ..GET }, RequestError::MissingHost),
        (H2Request { protocol: Some(b"websocket"), ..GET }, RequestError::H2Pseudo),
        (H2Request { method: b"CONNECT", protocol: Some(b"a\r\nb"), ..GET }, RequestError::H2Pseudo),
    ] {
        assert_eq!(built(&request, &[], true).map(|_| ()), Err(error), "{request:?}");
    }
}

#[test]
fn host_must_agree_with_authority_or_stand_in_for_it_rfc9113_8_3_1() {
    assert!(built(&GET, &[("host", "A.example")], true).is_ok());
    assert_eq!(built(&GET, &[("host", "b")], true).map(|_| ()), Err(RequestError::HostMismatch));
    let hosts = [("host", "a.example"), ("host", "a.example")];
    assert_eq!(built(&GET, &hosts, true).map(|_| ()), Err(RequestError::DuplicateHost));
    let bare = H2Request { authority: None, ..GET };
    assert_eq!(built(&bare, &[("host", "b")], true).unwrap().host(), b"b");
    assert_eq!(built(&bare, &[("host", "u@b")], true).map(|_| ()), Err(RequestError::Host));
}

#[test]
fn connection_specific_fields_are_malformed_rfc9113_8_2_2() {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_eq!(built(&GET, &[(name, "x")], true).map(|_| ()), Err(RequestError::H2ConnectionField));
    }
    assert_eq!(built(&GET, &[("te", "gzip")], true).map(|_| ()), Err(RequestError::H2ConnectionField));
}

#[test]
fn responses_are_framed_for_http_1_1() {
    let framing = |status, fields: &[(&str, &str)], to, end| {
        let mut head = ResponseHead::default();
        head.begin(status, Version::Http2)?;
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes())?;
        }
        head.finish_h2(to, end)?;
        let mut out = Vec::new();
        write_response(&head, &mut out, &ResponseOut::of(&head, Version::Http11, false));
        Ok::<_, ResponseError>((head.framing, String::from_utf8(out).unwrap()))
    };
    let plain = RequestKind::PLAIN;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    assert_eq!(framing(200, &[], plain, false), Ok((Framing::Chunked, chunked)));
    let empty = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
    assert_eq!(framing(404, &[], plain, true), Ok((Framing::Length(0), empty)));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_owned();
    assert_eq!(framing(200, &[("content-length", "9")], RequestKind::HEAD, true), Ok((Framing::None, head)));
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    assert_eq!(framing(204, &[("content-length", "0")], plain, true), Ok((Framing::None, no_content)));
    assert_eq!(framing(101, &[], plain, true), Err(ResponseError::UnexpectedUpgrade));
    assert_eq!(framing(99, &[], plain, true), Err(ResponseError::Status));
    assert_eq!(framing(200, &[("connection", "x")], plain, true), Err(ResponseError::H2ConnectionField));
}
