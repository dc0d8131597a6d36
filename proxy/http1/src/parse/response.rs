//! Response heads (RFC 9112 sections 4, 6.3 and 9.3).

use crate::class;
use crate::error::{Fault, ResponseError};
use crate::fields::Span;
use crate::head::{Framing, RequestKind, ResponseHead, Version, mark};
use crate::known::Known;
use crate::limits::Limits;
use crate::parse::{framing, lines};

/// Parses the response head at the start of `input`; `to` says what it answers.
///
/// Results and `resume` are as for [`parse_request`](crate::parse_request). An interim response (1xx but
/// 101) is a head of its own: parse on behind it. Nothing before the status line is skipped.
pub fn parse_response(
    input: &[u8],
    limits: &Limits,
    to: RequestKind,
    resume: &mut usize,
    head: &mut ResponseHead,
) -> Result<Option<usize>, ResponseError> {
    let window = &input[..input.len().min(limits.head_cap())];
    if *resume == 0 {
        head.clear();
        match status_line(window, limits, head)? {
            Some(end) => *resume = end,
            None => return Ok(None),
        }
    }
    match lines::parse(window, resume, limits.head_count, &mut head.fields, &mut head.present)? {
        Some(end) => {
            *resume = 0;
            head.bytes.extend_from_slice(&window[..end]);
            finish(head, to)?;
            Ok(Some(end))
        }
        None if window.len() == limits.head_cap() => Err(Fault::TooLarge.into()),
        None => Ok(None),
    }
}

/// `HTTP-version SP 3DIGIT SP [reason-phrase] CRLF`. The SP before an absent phrase may be missing too:
/// many servers leave it out, and nothing can be read two ways by it.
fn status_line(
    window: &[u8],
    limits: &Limits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, ResponseError> {
    let line = &window[..window.len().min(limits.line_cap())];
    let incomplete =
        if line.len() < limits.line_cap() { Ok(None) } else { Err(ResponseError::Head(Fault::TooLarge)) };
    // What cannot become `HTTP/` is not worth waiting for.
    let start = &line[..line.len().min(5)];
    if !b"HTTP/".starts_with(start) {
        return Err(ResponseError::StatusLine);
    }
    // A line that has ended already is as short whatever comes behind it.
    let short = |part: &[u8]| if part.contains(&b'\n') { Err(ResponseError::StatusLine) } else { incomplete };
    let Some((version, rest)) = line.split_first_chunk::<8>() else { return short(line) };
    head.version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [.., b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(ResponseError::Version),
        _ => return Err(ResponseError::StatusLine),
    };
    let Some([space, digits @ ..]) = rest.first_chunk::<4>() else { return short(rest) };
    if *space != b' ' || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ResponseError::StatusLine);
    }
    head.status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));

    let reason = match line.get(12) {
        Some(b' ') => 13,
        Some(b'\r' | b'\n') => 12,
        Some(_) => return Err(ResponseError::StatusLine),
        None => return incomplete,
    };
    // reason-phrase has the octets of a field value (RFC 9112 section 4).
    let end = class::end_of_value(line, reason);
    match &line[end..] {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return incomplete,
        [b'\r', ..] => return Err(Fault::BareCr.into()),
        [b'\n', ..] => return Err(Fault::BareLf.into()),
        _ => return Err(ResponseError::StatusLine),
    }
    if !(100..600).contains(&head.status) {
        return Err(ResponseError::Status);
    }
    head.reason = Span::new(reason, end);
    Ok(Some(end + 2))
}

/// What follows from the fields together, once all are there.
fn finish(head: &mut ResponseHead, to: RequestKind) -> Result<(), ResponseError> {
    let declared = framing::declared(&head.bytes, &head.fields, head.present, head.version)?;
    if let Framing::Length(length) = declared {
        head.content_length = Some(length);
    }
    let upgrade = head.value_of(Known::Upgrade);
    let options = mark(&head.bytes, &mut head.fields, head.present)?;
    head.persistent = !options.close && (head.version == Version::Http11 || options.keep_alive);

    if head.status == 101 {
        if !to.upgrade || upgrade.is_none_or(Span::is_empty) || head.version != Version::Http11 {
            return Err(ResponseError::UnexpectedUpgrade);
        }
        head.tunnel = true;
    }
    if matches!(head.status, 101 | 426) {
        head.upgrade = upgrade;
    }
    if to.connect && (200..300).contains(&head.status) {
        head.tunnel = true;
    }
    // RFC 9112 section 6.3, rules 1 to 8, in its order.
    let bodiless = head.status < 200 || head.status == 204 || head.tunnel;
    if bodiless {
        // Such a response must not carry these (RFC 9110 section 8.6, RFC 9112 section 6.1). They are
        // ignored, and not sent on; but the sender may believe in them and send a body.
        if !declared.is_empty() {
            head.persistent = false;
        }
        head.remove(Known::ContentLength);
    } else if !to.head && head.status != 304 {
        head.framing = match declared {
            Framing::None => Framing::UntilClose,
            framing => framing,
        };
    }
    if head.tunnel || head.framing == Framing::UntilClose {
        head.persistent = false;
    }
    Ok(())
}
