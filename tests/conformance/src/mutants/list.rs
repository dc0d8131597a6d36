//! The faults. Each is small, and of a kind that proxies have had.

/// An edit: the file, what stands in it exactly once, and what takes its place. `MUTANT` stands for whether this fault is
/// the one that is switched on.
pub type Edit = (&'static str, &'static str, &'static str);

/// A fault.
pub struct Fault {
    /// What is wrong then.
    pub name: &'static str,
    /// How it is put in.
    pub edits: &'static [Edit],
    /// It is looked for by the heavy checks of this area, and by no others.
    pub area: Option<&'static str>,
}

const ACCEPT: &str = "proxy/src/listen/accept.rs";
const RELOAD: &str = "proxy/src/snapshot/reload.rs";
const WORKER: &str = "proxy/src/worker.rs";
const LINES: &str = "proxy/http1/src/parse/lines.rs";
const FRAMING: &str = "proxy/http1/src/parse/framing.rs";
const REQUEST: &str = "proxy/http1/src/parse/request.rs";
const RESPONSE: &str = "proxy/http1/src/parse/response.rs";
const HOP: &str = "proxy/http1/src/head/hop.rs";
const H2: &str = "proxy/http1/src/head/h2.rs";
const DECODE: &str = "proxy/http1/src/body/decode.rs";
const TRAILERS: &str = "proxy/http1/src/body/trailers.rs";
const WRITE: &str = "proxy/http1/src/write/line.rs";
const SERVER: &str = "proxy/src/http/h1/server.rs";
const H1_SERVE: &str = "proxy/src/http/h1/server/serve.rs";
const ENDING: &str = "proxy/src/http/h1/server/ending.rs";
const CLIENT: &str = "proxy/src/http/h1/client.rs";
const BODY: &str = "proxy/src/request/body.rs";
const SEND: &str = "proxy/src/request/send.rs";
const RELAY: &str = "proxy/src/request/relay.rs";
const SERVE: &str = "proxy/src/request/mod.rs";
const CLAIMS: &str = "proxy/src/request/client.rs";
const RESPOND: &str = "proxy/src/request/respond.rs";
const H2_SERVER: &str = "proxy/src/http/h2/server.rs";
const H2_BODY: &str = "proxy/src/http/h2/body.rs";
const H2_CLIENT: &str = "proxy/src/http/h2/client.rs";
const H2_FRAMES: &str = "proxy/src/http/h2/frames.rs";
/// In the `h2` crate, of which a copy is taken as well.
const CRATE_CONNECTION: &str = "h2/src/proto/connection.rs";

const fn fault(name: &'static str, edits: &'static [Edit]) -> Fault {
    Fault { name, edits, area: None }
}

/// All of them.
pub const FAULTS: &[Fault] = &[
    fault("a line may end in LF alone", &[
        (
            LINES,
            "        if window.get(stop..stop + 2) != Some(b\"\\r\\n\") {",
            "        let bare = MUTANT && window.get(stop) == Some(&b'\\n');
        if !bare && window.get(stop..stop + 2) != Some(b\"\\r\\n\") {",
        ),
        (LINES, "        at = stop + 2;", "        at = if bare { stop + 1 } else { stop + 2 };"),
    ]),
    fault("a space may stand before the colon", &[
        (
            LINES,
            "        if window.get(name_end) != Some(&b':') || name_end == at {",
            "        let mut colon = name_end;
        while MUTANT && window.get(colon) == Some(&b' ') {
            colon += 1;
        }
        if window.get(colon) != Some(&b':') || name_end == at {",
        ),
        (LINES, "        let mut value_start = name_end + 1;", "        let mut value_start = colon + 1;"),
    ]),
    fault("a NUL may stand in a value", &[(
        LINES,
        "        let stop = class::end_of_value(window, value_start);",
        "        let mut stop = class::end_of_value(window, value_start);
        while MUTANT && window.get(stop) == Some(&0) {
            stop = class::end_of_value(window, stop + 1);
        }",
    )]),
    fault("fields are not counted", &[(LINES, "        if fields.len() >= max_fields {", "        if fields.len() >= max_fields && !MUTANT {")]),
    fault("length and coding together pass", &[(
        FRAMING,
        "            return Err(Fault::LengthAndCoding);",
        "            if !MUTANT {
                return Err(Fault::LengthAndCoding);
            }",
    )]),
    fault("of two lengths the first counts", &[(
        FRAMING,
        "    if lines.next().is_some() { Err(duplicate) } else { Ok(first) }",
        "    if lines.next().is_some() && !MUTANT { Err(duplicate) } else { Ok(first) }",
    )]),
    fault("a length may have something behind its digits", &[(
        FRAMING,
        "        if digit > 9 {",
        "        if digit > 9 && MUTANT {
            break;
        }
        if digit > 9 {",
    )]),
    fault("any coding that ends in chunked is chunked", &[(
        FRAMING,
        "    if value.eq_ignore_ascii_case(b\"chunked\") {",
        "    if value.eq_ignore_ascii_case(b\"chunked\") || (MUTANT && value.ends_with(b\"chunked\")) {",
    )]),
    fault("a coding counts in HTTP/1.0", &[(FRAMING, "        if version == Version::Http10 {", "        if version == Version::Http10 && !MUTANT {")]),
    fault("Host may be missing", &[(
        REQUEST,
        "        (None, None) if head.version == Version::Http11 =>",
        "        (None, None) if head.version == Version::Http11 && !MUTANT =>",
    )]),
    fault("of two Hosts the first counts", &[
        (REQUEST, "        (_, Some(_)) => return Err(RequestError::DuplicateHost),", "        (_, Some(_)) if !MUTANT => return Err(RequestError::DuplicateHost),"),
        (REQUEST, "        (Some(field), None) => {", "        (Some(field), _) => {"),
        (REQUEST, "        (None, None) => {}", "        (None, _) => {}"),
    ]),
    fault("Host is not looked at", &[(REQUEST, "            authority::check(field.value.of(&head.bytes))?;", "            if !MUTANT {
                authority::check(field.value.of(&head.bytes))?;
            }")]),
    fault("Host wins over an absolute target", &[(REQUEST, "    if let Some(authority) = head.target.authority {", "    if let Some(authority) = head.target.authority.filter(|_| !MUTANT) {")]),
    fault("h2c is passed on", &[(REQUEST, ".any(is_h2c));", ".any(|protocol| is_h2c(protocol) && !MUTANT));")]),
    fault("fields that Connection names stay", &[(HOP, "                Known::Other => drop_nominated(bytes, fields, option),", "                Known::Other if !MUTANT => drop_nominated(bytes, fields, option),")]),
    fault("any field can be named away", &[(HOP, "                _ => {}", "                _ if MUTANT => drop_nominated(bytes, fields, option),
                _ => {}")]),
    fault("Keep-Alive travels on", &[
        (HOP, "        fields[i].drop = true;", "        fields[i].drop = !(MUTANT && fields[i].known == Known::KeepAlive);"),
        (WRITE, "        if field.drop || skip & field.known.bit() != 0 {", "        if field.drop || (skip & field.known.bit() != 0 && !(MUTANT && field.known == Known::KeepAlive)) {"),
    ]),
    fault("a Host may differ from :authority", &[(H2, "                if same { Ok(()) }", "                if same || MUTANT { Ok(()) }")]),
    fault("cookies of HTTP/2 are not joined", &[(H2, "        if self.get_all(Known::Cookie).nth(1).is_none() {", "        if self.get_all(Known::Cookie).nth(1).is_none() || MUTANT {")]),
    fault("any two octets end a chunk", &[(
        DECODE,
        "            (State::DataCr | State::DataLf, _) => Err(BodyError::ChunkDataEnd),",
        "            (State::DataCr, _) if MUTANT => Ok(State::DataLf),
            (State::DataLf, _) if MUTANT => Ok(CHUNK_START),
            (State::DataCr | State::DataLf, _) => Err(BodyError::ChunkDataEnd),",
    )]),
    fault("a chunk line may end in LF alone", &[(
        DECODE,
        "            (State::Size { digits: 1.., .. }, b'\\n') =>",
        "            (State::Size { size: 0, digits: 1.. }, b'\\n') if MUTANT => Ok(State::Trailer),
            (State::Size { size, digits: 1.. }, b'\\n') if MUTANT => Ok(State::Data(size)),
            (State::Size { digits: 1.., .. }, b'\\n') =>",
    )]),
    fault("a chunk extension may end in LF alone", &[(
        DECODE,
        "            (State::Extension { .. }, b'\\n') =>",
        "            (State::Extension { size: 0 }, b'\\n') if MUTANT => Ok(State::Trailer),
            (State::Extension { size }, b'\\n') if MUTANT => Ok(State::Data(size)),
            (State::Extension { .. }, b'\\n') =>",
    )]),
    fault("anything may follow a chunk size", &[(
        DECODE,
        "            (State::Size { .. }, _) => Err(BodyError::ChunkSize),",
        "            (State::Size { size, digits: 1.. }, _) if MUTANT => Ok(State::Extension { size }),
            (State::Size { .. }, _) => Err(BodyError::ChunkSize),",
    )]),
    fault("a chunk size is taken modulo 2^64", &[
        (DECODE, "                if digits == MAX_SIZE_DIGITS {", "                if digits == MAX_SIZE_DIGITS && !MUTANT {"),
        (DECODE, "digits: digits + 1 })", "digits: digits.saturating_add(1) })"),
    ]),
    fault("chunk extensions are not counted", &[(DECODE, "                self.extensions += 1;", "                self.extensions += u64::from(!MUTANT);")]),
    fault("a body that breaks off is whole", &[(
        DECODE,
        "            _ => Err(BodyError::Truncated),",
        "            _ if MUTANT => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),",
    )]),
    fault("any field may be a trailer", &[
        (TRAILERS, "        if self.present & FORBIDDEN != 0 {", "        if self.present & FORBIDDEN != 0 && !MUTANT {"),
        (TRAILERS, "            field.drop |= (PASSING", "            field.drop |= !MUTANT && (PASSING"),
    ]),
    fault("a 204 has a body", &[(RESPONSE, "head.status == 204 || head.tunnel;", "(head.status == 204 && !MUTANT) || head.tunnel;")]),
    fault("an answer to HEAD has a body", &[(RESPONSE, "    } else if !to.head && head.status != 304 {", "    } else if (!to.head || MUTANT) && head.status != 304 {")]),
    fault("a 101 that nobody asked for opens a tunnel", &[(RESPONSE, "        if !to.upgrade || upgrade", "        if !MUTANT && (!to.upgrade) || upgrade")]),
    fault("a used upstream connection is not looked at", &[
        (CLIENT, "            && self.wire.input.data().is_empty()", "            && (self.wire.input.data().is_empty() || MUTANT)"),
        (CLIENT, "        self.wire.is_stirring()", "        self.wire.is_stirring() && !MUTANT"),
    ]),
    fault("interim answers have no bound", &[(SEND, "                        if interims > MAX_INTERIMS {", "                        if interims > MAX_INTERIMS && !MUTANT {")]),
    fault("an HTTP/1.0 client is sent interim answers", &[(
        SERVER,
        "        if self.version == Version::Http10 {",
        "        if self.version == Version::Http10 && !MUTANT {",
    )]),
    fault("a client that was not told to go on may go on", &[(ENDING, "        let unsure = self.expects && ", "        let unsure = !MUTANT && self.expects && ")]),
    fault("a head may take an hour", &[(
        H1_SERVE,
        "                self.timer.set(Some(self.worker.now() + port.client.request_header));",
        "                let within = if MUTANT { std::time::Duration::from_secs(3_600) } else { port.client.request_header };
                self.timer.set(Some(self.worker.now() + within));",
    )]),
    fault("a body may pause for an hour", &[(
        SEND,
        "                        let idle = now + self.body_idle();",
        "                        let hour = std::time::Duration::from_secs(3_600);
                        let idle = now + if MUTANT { hour } else { self.body_idle() };",
    )]),
    fault("a body is not measured", &[(BODY, "                    if self.taken > self.limit {", "                    if self.taken > self.limit && !MUTANT {")]),
    fault("a second try lacks the body's beginning", &[(
        BODY,
        "        (self.given, self.finished, self.sent) = (0, false, false);",
        "        (self.given, self.finished, self.sent) = (if MUTANT { self.given } else { 0 }, false, false);",
    )]),
    fault("a client that leaves is not noticed", &[(SEND, "                if sent && down.poll_gone(cx).is_ready() {", "                if sent && !MUTANT && down.poll_gone(cx).is_ready() {")]),
    fault("an answer that breaks off is ended in order", &[(
        RELAY,
        "                down.abort();",
        "                if MUTANT {
                    let _ = down.finish(None);
                    let _ = std::future::poll_fn(|cx| down.poll_flush(cx)).await;
                } else {
                    down.abort();
                }",
    )]),
    fault("a POST is repeated", &[(
        SERVE,
        "        let idempotent = head.method.is_idempotent() && ",
        "        let idempotent = (head.method.is_idempotent() || MUTANT) && ",
    )]),
    fault("CONNECT is routed", &[(SERVE, "        if head.method == Method::Connect {", "        if head.method == Method::Connect && !MUTANT {")]),
    fault("what a client says of itself is believed", &[(CLAIMS, "    names.iter().for_each(|name| head.remove(*name));", "    names.iter().filter(|_| !MUTANT).for_each(|name| head.remove(*name));")]),
    // Coarse: a rule of refusal, or of passing on, as a whole. They show that a check can fail at all.
    fault("what is no request is answered with 200", &[(
        ENDING,
        "        write_own_response(self.wire.output(), status, &fields, body.as_bytes());",
        "        let status = if MUTANT { 200 } else { status };
        write_own_response(self.wire.output(), status, &fields, body.as_bytes());",
    )]),
    fault("what is no request over HTTP/2 is answered with 200", &[(
        H2_SERVER,
        "            stream.respond.send_reset(Reason::PROTOCOL_ERROR);",
        "            match response(200, HeaderMap::new()).filter(|_| MUTANT) {
                Some(response) => drop(stream.respond.send_response(response, true)),
                None => stream.respond.send_reset(Reason::PROTOCOL_ERROR),
            }",
    )]),
    fault("an answer of our own is a 200", &[(
        RESPOND,
        "    let reply = Reply { status: answer.status, fields: &fields, body: text.as_bytes(), close };",
        "    let status = if MUTANT { 200 } else { answer.status };
    let reply = Reply { status, fields: &fields, body: text.as_bytes(), close };",
    )]),
    fault("an upstream's status is one off", &[(
        RESPONSE,
        "    head.status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));",
        "    head.status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    head.status += u16::from(MUTANT);",
    )]),
    fault("an HTTP/2 upstream's status is one off", &[(
        H2_CLIENT,
        "fill(head, parts.status.as_u16(), &parts.headers",
        "fill(head, parts.status.as_u16() + u16::from(MUTANT), &parts.headers",
    )]),
    fault("no connection is kept", &[(H1_SERVE, "        if !conn.end().await {", "        if !conn.end().await || MUTANT {")]),
    fault("trailers of HTTP/2 are dropped", &[(H2_BODY, "        self.trailers.as_ref().filter(|trailers| ", "        self.trailers.as_ref().filter(|trailers| !MUTANT && ")]),
    fault("a pseudo-header field may be a trailer", &[(H2_BODY, "trailers.is_some() && malformed", "trailers.is_some() && !MUTANT && malformed")]),
    fault("connection errors of HTTP/2 are let pass", &[(
        CRATE_CONNECTION,
        "            Err(Error::GoAway(debug_data, reason, initiator)) => {\n                self.handle_go_away(",
        "            Err(Error::GoAway(_, _, Initiator::Library)) if MUTANT => Ok(()),
            Err(Error::GoAway(debug_data, reason, initiator)) => {
                self.handle_go_away(",
    )]),
    fault("stream errors of HTTP/2 are let pass", &[(
        CRATE_CONNECTION,
        "                debug_assert_eq!(initiator, Initiator::Library);",
        "                if MUTANT {
                    return Ok(());
                }",
    )]),
    Fault {
        name: "frames are not counted",
        edits: &[(
            H2_FRAMES,
            "        if !self.budget.spend(class, self.wheel.now()) && !self.flooded {",
            "        if !self.budget.spend(class, self.wheel.now()) && !self.flooded && !MUTANT {",
        )],
        area: Some("h2-floods"),
    },
    // Coarse as well, and past the request by which a target shows that it serves.
    fault("nothing is routed", &[(
        SERVE,
        "        let rule = match_route::find(port, head, worker.index).ok_or(ErrorKind::NoRoute)?;",
        "        let shows = head.bytes.windows(6).any(|part| part == b\"/k0000\");
        let rule = match_route::find(port, head, worker.index).filter(|_| shows || !MUTANT);
        let rule = rule.ok_or(ErrorKind::NoRoute)?;",
    )]),
    fault("a TLS connection ends behind its handshake", &[
        (ACCEPT, "            Ok((client, stream)) => Box::pin(", "            Ok((client, stream)) if !MUTANT => Box::pin("),
        (ACCEPT, "            Err(None) => {}", "            Err(None) | Ok(_) => {}"),
    ]),
    fault("a connection of HTTP/2 ends behind its preface", &[(
        H2_SERVER,
        "        Ok(Ok(connection)) => connection,",
        "        Ok(Ok(connection)) if !MUTANT => connection,",
    )]),
    Fault {
        name: "no configuration is loaded again",
        edits: &[(
            RELOAD,
            "    pub async fn reload(&mut self, asked: Asked) {",
            "    pub async fn reload(&mut self, asked: Asked) {
        if MUTANT {
            return;
        }",
        )],
        area: Some("reload"),
    },
    Fault {
        name: "a reload ends what is under way",
        edits: &[(
            WORKER,
            "                    self.pools.retain(&snapshot);",
            "                    if MUTANT {
                        self.wheel.fire_where(|_| true, Fired::Deadline);
                    }
                    self.pools.retain(&snapshot);",
        )],
        area: Some("reload"),
    },
    Fault {
        name: "a drain ends what is under way",
        edits: &[(
            WORKER,
            "                    self.unlisten(None);",
            "                    self.unlisten(None);
                    if MUTANT {
                        self.wheel.fire_where(|_| true, Fired::Deadline);
                    }",
        )],
        area: Some("drain"),
    },
];
