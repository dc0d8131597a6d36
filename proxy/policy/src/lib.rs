//! Pure traffic policy: where a request goes, and what moves that
