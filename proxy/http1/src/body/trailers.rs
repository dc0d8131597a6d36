//! Trailer fields.

use crate::error::{BodyError, Fault};
use crate::fields::{Field, impl_fields};
use crate::head::HOP_BY_HOP;
use crate::known::Known;
use crate::limits::Limits;
use crate::parse::lines;

/// The fields after a chunked body (RFC 9112 section 7.1.2), or after an HTTP/2 one.
///
/// They are never merged into the head. Those that this proxy knows, and that would change framing,
/// routing, authentication or trust after these were decided, are dropped (RFC 9110 section 6.5.1); gRPC's
/// and unknown ones pass.
#[derive(Debug, Clone, Default)]
pub struct Trailers {
    pub bytes: Vec<u8>,
    pub fields: Vec<Field>,
    pub(crate) present: u64,
    resume: usize,
}

impl_fields!(Trailers);

/// What no trailer may be: it would frame or route a message that has gone already.
const FORBIDDEN: u64 =
    1 << Known::ContentLength as u64 | 1 << Known::TransferEncoding as u64 | 1 << Known::Host as u64;

/// The known fields that may be trailers.
const PASSING: u64 = 1 << Known::Other as u64
    | 1 << Known::GrpcStatus as u64
    | 1 << Known::GrpcMessage as u64
    | 1 << Known::GrpcRetryPushback as u64
    | 1 << Known::Date as u64
    | 1 << Known::ProxyStatus as u64
    | 1 << Known::Server as u64
    | 1 << Known::XRequestId as u64
    | 1 << Known::TraceParent as u64
    | 1 << Known::TraceState as u64;

impl Trailers {
    /// Whether nothing is to be sent on.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Empties the trailers and keeps their buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        (self.present, self.resume) = (0, 0);
    }

    /// Drops the fields that may not be trailers. Decoding has done it already; call it after pushing
    /// what came by HTTP/2.
    ///
    /// # Errors
    /// [`BodyError::ForbiddenTrailer`] for `Content-Length`, `Transfer-Encoding` and `Host`.
    pub fn mark_forbidden(&mut self) -> Result<(), BodyError> {
        if self.present & FORBIDDEN != 0 {
            return Err(BodyError::ForbiddenTrailer);
        }
        for field in &mut self.fields {
            field.drop |= (PASSING & !HOP_BY_HOP) & field.known.bit() == 0;
        }
        Ok(())
    }

    /// Takes the next octets of a trailer section. `Ok(Some(n))`: it ended `n` octets into `input`;
    /// `Ok(None)`: all octets were taken, more must come.
    pub(crate) fn feed(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, BodyError> {
        if self.bytes.is_empty() && input.starts_with(b"\r\n") {
            return Ok(Some(2));
        }
        let before = self.bytes.len();
        let room = limits.head_cap().saturating_sub(before);
        self.bytes.extend_from_slice(&input[..input.len().min(room)]);
        let (fields, present) = (&mut self.fields, &mut self.present);
        let end = lines::parse(&self.bytes, &mut self.resume, limits.head_count, fields, present)
            .map_err(BodyError::Trailer)?;
        match end {
            Some(end) => {
                self.bytes.truncate(end);
                self.mark_forbidden()?;
                Ok(Some(end - before))
            }
            None if self.bytes.len() == limits.head_cap() => Err(BodyError::Trailer(Fault::TooLarge)),
            None => Ok(None),
        }
    }
}
