//! One test a refusal of an upstream's response. The client gets a 502 for each.

use causeway_proxy_http1::{Fault, RequestKind, ResponseError};

use crate::support::{response_split, small};

fn assert_refused(input: &[u8], to: RequestKind, error: ResponseError) {
    for split in 0..=input.len() {
        for step in [1, 7, input.len()] {
            let result = response_split(input, &small(), to, split, step).map(|_| ());
            assert_eq!(result, Err(error), "split at {split} by {step}: {}", input.escape_ascii());
        }
    }
}

macro_rules! refused {
    ($($name:ident: $input:expr => $error:expr;)*) => {$(
        #[test]
        fn $name() {
            let input = $input;
            let input: &[u8] = input.as_ref();
            assert_refused(input, RequestKind::PLAIN, $error.into());
        }
    )*};
}

fn with(field: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n").into_bytes()
}

refused! {
    bare_lf_after_status_line_rfc9112_2_2: b"HTTP/1.1 200 OK\n\r\n" => Fault::BareLf;
    bare_lf_after_field_rfc9112_2_2: with("A: b\nC: d") => Fault::BareLf;
    bare_cr_in_reason_rfc9112_2_2: b"HTTP/1.1 200 O\rK\r\n\r\n" => Fault::BareCr;
    bare_cr_in_value_rfc9112_2_2: with("A: b\rC: d") => Fault::BareCr;
    folded_line_rfc9112_5_2: with("A: b\r\n c") => Fault::ObsFold;
    space_before_colon_rfc9112_5_1: with("A : b") => Fault::SpaceBeforeColon;
    invalid_name_rfc9110_5_1: with("A@: b") => Fault::FieldName;
    nul_in_value_rfc9110_5_5: with("A: \0") => Fault::FieldValue;
    empty_line_before_status_line_rfc9112_4: b"\r\nHTTP/1.1 200 OK\r\n\r\n" => ResponseError::StatusLine;
    no_http_at_all_rfc9112_4: b"SSH-2.0-OpenSSH_9.6\r\n" => ResponseError::StatusLine;
    short_line_of_another_version_rfc9112_2_3: b"HTTP/2.1 2\nDate: a\r\n\r\n" => ResponseError::Version;
    status_of_two_digits_rfc9112_4: b"HTTP/1.1 20 OK\r\n\r\n" => ResponseError::StatusLine;
    status_of_four_digits_rfc9112_4: b"HTTP/1.1 2000 OK\r\n\r\n" => ResponseError::StatusLine;
    status_with_sign_rfc9112_4: b"HTTP/1.1 +20 OK\r\n\r\n" => ResponseError::StatusLine;
    no_status_rfc9112_4: b"HTTP/1.1\r\n\r\n" => ResponseError::StatusLine;
    two_spaces_before_status_rfc9112_4: b"HTTP/1.1  200 OK\r\n\r\n" => ResponseError::StatusLine;
    nul_in_reason_rfc9112_4: b"HTTP/1.1 200 O\0K\r\n\r\n" => ResponseError::StatusLine;
    status_below_100_rfc9110_15: b"HTTP/1.1 099 Low\r\n\r\n" => ResponseError::Status;
    status_above_599_rfc9110_15: b"HTTP/1.1 600 High\r\n\r\n" => ResponseError::Status;
    version_2_0_rfc9112_2_3: b"HTTP/2.0 200 OK\r\n\r\n" => ResponseError::Version;
    status_line_too_long: format!("HTTP/1.1 200 {}\r\n\r\n", "a".repeat(200)) => Fault::TooLarge;
    head_too_large: with(&format!("A: {}", "b".repeat(600))) => Fault::TooLarge;
    too_many_fields: with("A: b\r\n".repeat(9).trim_end()) => Fault::TooMany;
    too_many_connection_options: with(&format!("Connection: {}", "a,".repeat(33))) => Fault::ConnectionOptions;
    length_and_coding_rfc9112_6_3: with("Content-Length: 5\r\nTransfer-Encoding: chunked") => Fault::LengthAndCoding;
    two_equal_lengths_rfc9110_8_6: with("Content-Length: 5\r\nContent-Length: 5") => Fault::DuplicateContentLength;
    list_of_lengths_rfc9110_8_6: with("Content-Length: 5, 5") => Fault::BadContentLength;
    signed_length_rfc9110_8_6: with("Content-Length: +5") => Fault::BadContentLength;
    chunked_not_last_rfc9112_6_3: with("Transfer-Encoding: chunked, gzip") => Fault::BadTransferEncoding;
    unknown_coding_rfc9112_6_1: with("Transfer-Encoding: gzip, chunked") => Fault::UnknownCoding;
    two_coding_lines: with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") => Fault::DuplicateTransferEncoding;
    coding_in_http_1_0_rfc9112_6_1:
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" => Fault::CodingInHttp10;
    unasked_101_rfc9110_7_8:
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n" => ResponseError::UnexpectedUpgrade;
}

#[test]
fn a_101_without_upgrade_field_rfc9110_15_2_2() {
    let input = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n";
    assert_refused(input, RequestKind::UPGRADE, ResponseError::UnexpectedUpgrade);
}

#[test]
fn a_101_in_http_1_0_rfc9110_7_8() {
    let input = b"HTTP/1.0 101 Switching\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n";
    assert_refused(input, RequestKind::UPGRADE, ResponseError::UnexpectedUpgrade);
}

#[test]
fn framing_is_checked_even_where_no_body_comes() {
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
    assert_refused(input, RequestKind::HEAD, Fault::DuplicateContentLength.into());
}
