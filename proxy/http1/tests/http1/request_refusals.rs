//! One test a refusal, named by what is refused and the section that says so. Each is tried whole and at
//! every split, since what an attacker can split must not be seen otherwise.

use causeway_proxy_http1::{Fault, RequestError};

use crate::support::{request_split, request_within, small};

fn assert_refused(input: &[u8], error: RequestError, status: u16) {
    let limits = small();
    assert_eq!(request_within(input, &limits).map(|_| ()), Err(error), "{}", input.escape_ascii());
    assert_eq!(error.status(), status);
    for split in 0..input.len() {
        for step in [1, 7, input.len()] {
            let result = request_split(input, &limits, split, step).map(|_| ());
            assert_eq!(result, Err(error), "split at {split} by {step}: {}", input.escape_ascii());
        }
    }
}

macro_rules! refused {
    ($($name:ident: $input:expr => $error:expr, $status:literal;)*) => {$(
        #[test]
        fn $name() {
            let input = $input;
            let input: &[u8] = input.as_ref();
            assert_refused(input, $error.into(), $status);
        }
    )*};
}

fn with(field: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n").into_bytes()
}

fn target(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn host(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

// RFC 9112 section 2.2: lines.
refused! {
    bare_lf_after_request_line_rfc9112_2_2: b"GET / HTTP/1.1\nHost: a\r\n\r\n" => Fault::BareLf, 400;
    bare_lf_after_field_rfc9112_2_2: b"GET / HTTP/1.1\r\nHost: a\n\r\n" => Fault::BareLf, 400;
    bare_lf_as_last_line_rfc9112_2_2: b"GET / HTTP/1.1\r\nHost: a\r\n\n" => Fault::BareLf, 400;
    bare_lf_before_request_line_rfc9112_2_2: b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" => Fault::BareLf, 400;
    bare_lf_inside_value_rfc9112_2_2: with("A: b\nC: d") => Fault::BareLf, 400;
    bare_cr_inside_value_rfc9112_2_2: with("A: b\rC: d") => Fault::BareCr, 400;
    bare_cr_before_crlf_rfc9112_2_2: with("A: b\r") => Fault::BareCr, 400;
    bare_cr_at_line_start_rfc9112_2_2: with("\rA: b") => Fault::BareCr, 400;
    bare_cr_after_request_line_rfc9112_2_2: b"GET / HTTP/1.1\rHost: a\r\n\r\n" => Fault::BareCr, 400;
    bare_cr_before_request_line_rfc9112_2_2: b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n" => Fault::BareCr, 400;
    two_empty_lines_before_request_line_rfc9112_2_2:
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::Method, 400;
    space_before_first_field_rfc9112_2_2:
        b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n" => Fault::ObsFold, 400;
    folded_line_rfc9112_5_2: with("A: b\r\n c") => Fault::ObsFold, 400;
    folded_line_by_tab_rfc9112_5_2: with("A: b\r\n\tc") => Fault::ObsFold, 400;
    folded_framing_rfc9112_5_2: with("Transfer-Encoding:\r\n chunked") => Fault::ObsFold, 400;
}

// RFC 9112 section 5.1, RFC 9110 section 5: fields.
refused! {
    space_before_colon_rfc9112_5_1: with("A : b") => Fault::SpaceBeforeColon, 400;
    tab_before_colon_rfc9112_5_1: with("Content-Length\t: 5") => Fault::SpaceBeforeColon, 400;
    empty_name_rfc9110_5_1: with(": b") => Fault::FieldName, 400;
    line_without_colon_rfc9112_5: with("nonsense") => Fault::FieldName, 400;
    nul_in_name_rfc9110_5_1: with("A\0B: c") => Fault::FieldName, 400;
    control_in_name_rfc9110_5_1: with("Transfer-Encoding\x0b: chunked") => Fault::FieldName, 400;
    non_ascii_in_name_rfc9110_5_1: with("H\u{f6}st: c") => Fault::FieldName, 400;
    parenthesis_in_name_rfc9110_5_6_2: with("A(B): c") => Fault::FieldName, 400;
    slash_in_name_rfc9110_5_6_2: with("A/B: c") => Fault::FieldName, 400;
    nul_in_value_rfc9110_5_5: with("A: b\0c") => Fault::FieldValue, 400;
    nul_at_end_of_value_rfc9110_5_5: with("A: b\0") => Fault::FieldValue, 400;
    escape_in_value_rfc9110_5_5: with("A: \x1b[2J") => Fault::FieldValue, 400;
    del_in_value_rfc9110_5_5: with("A: b\x7f") => Fault::FieldValue, 400;
    vertical_tab_before_value_rfc9110_5_5: with("Transfer-Encoding: \x0bchunked") => Fault::FieldValue, 400;
    too_many_fields_rfc6585_5: with("A: b\r\n".repeat(8).trim_end()) => Fault::TooMany, 431;
    head_too_large_rfc6585_5: with(&format!("A: {}", "b".repeat(600))) => Fault::TooLarge, 431;
    endless_name_rfc6585_5: with(&"b".repeat(600)) => Fault::TooLarge, 431;
    too_many_connection_options: with(&format!("Connection: {}", "a,".repeat(33))) => Fault::ConnectionOptions, 400;
}

// RFC 9112 section 6, RFC 9110 section 8.6: framing.
refused! {
    length_and_coding_rfc9112_6_3:
        with("Content-Length: 5\r\nTransfer-Encoding: chunked") => Fault::LengthAndCoding, 400;
    coding_and_length_rfc9112_6_3:
        with("Transfer-Encoding: chunked\r\nContent-Length: 5") => Fault::LengthAndCoding, 400;
    coding_and_zero_length_rfc9112_6_3:
        with("Transfer-Encoding: chunked\r\nContent-Length: 0") => Fault::LengthAndCoding, 400;
    two_equal_lengths_rfc9110_8_6:
        with("Content-Length: 5\r\nContent-Length: 5") => Fault::DuplicateContentLength, 400;
    two_lengths_rfc9110_8_6: with("Content-Length: 5\r\ncontent-length: 6") => Fault::DuplicateContentLength, 400;
    list_of_equal_lengths_rfc9110_8_6: with("Content-Length: 5, 5") => Fault::BadContentLength, 400;
    list_of_lengths_rfc9110_8_6: with("Content-Length: 5,6") => Fault::BadContentLength, 400;
    signed_length_rfc9110_8_6: with("Content-Length: +5") => Fault::BadContentLength, 400;
    negative_length_rfc9110_8_6: with("Content-Length: -5") => Fault::BadContentLength, 400;
    empty_length_rfc9110_8_6: with("Content-Length:") => Fault::BadContentLength, 400;
    blank_length_rfc9110_8_6: with("Content-Length: \t ") => Fault::BadContentLength, 400;
    hexadecimal_length_rfc9110_8_6: with("Content-Length: 0x5") => Fault::BadContentLength, 400;
    length_with_inner_space_rfc9110_8_6: with("Content-Length: 5 6") => Fault::BadContentLength, 400;
    length_over_64_bits_rfc9110_8_6: with("Content-Length: 18446744073709551621") => Fault::BadContentLength, 400;
    length_over_63_bits_rfc9110_8_6: with("Content-Length: 9223372036854775808") => Fault::BadContentLength, 400;
    unknown_coding_rfc9112_6_1: with("Transfer-Encoding: gzip, chunked") => Fault::UnknownCoding, 501;
    chunked_not_last_rfc9112_6_3: with("Transfer-Encoding: chunked, gzip") => Fault::BadTransferEncoding, 400;
    chunked_twice_rfc9112_6_1: with("Transfer-Encoding: chunked, chunked") => Fault::BadTransferEncoding, 400;
    no_chunked_rfc9112_6_3: with("Transfer-Encoding: gzip") => Fault::BadTransferEncoding, 400;
    identity_rfc9112_6_3: with("Transfer-Encoding: identity") => Fault::BadTransferEncoding, 400;
    chunked_with_parameter_rfc9112_7_1: with("Transfer-Encoding: chunked;a=b") => Fault::BadTransferEncoding, 400;
    chunked_misspelled_rfc9112_6_3: with("Transfer-Encoding: xchunked") => Fault::BadTransferEncoding, 400;
    chunked_quoted_rfc9112_6_3: with("Transfer-Encoding: \"chunked\"") => Fault::BadTransferEncoding, 400;
    chunked_with_empty_element_rfc9112_6_3: with("Transfer-Encoding: ,chunked") => Fault::BadTransferEncoding, 400;
    empty_coding_rfc9112_6_3: with("Transfer-Encoding:") => Fault::BadTransferEncoding, 400;
    two_coding_lines_rfc9112_6_1:
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x") => Fault::DuplicateTransferEncoding, 400;
    coding_in_http_1_0_rfc9112_6_1:
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" => Fault::CodingInHttp10, 400;
}

// RFC 9112 section 3: the request line.
refused! {
    empty_method_rfc9112_3: b" / HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::Method, 400;
    method_with_separator_rfc9110_9_1: b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::Method, 400;
    method_with_nul_rfc9110_9_1: b"GET\0 / HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::Method, 400;
    tab_after_method_rfc9112_3: b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::Method, 400;
    a_tls_hello_rfc9112_3: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" => RequestError::Method, 400;
    two_spaces_before_target_rfc9112_3: b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    two_spaces_before_version_rfc9112_3: b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    empty_target_rfc9112_3: b"GET  HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    space_after_version_rfc9112_3: b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    no_version_rfc9112_3: b"GET /\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    no_version_and_no_more_rfc9112_3: b"GET /\r\n" => RequestError::RequestLine, 400;
    short_version_rfc9112_2_3: b"GET / HTTP/1\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    lower_case_version_rfc9112_2_3: b"GET / http/1.1\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    other_protocol_rfc9112_2_3: b"GET / ICAP/1.1\r\nHost: a\r\n\r\n" => RequestError::Protocol, 400;
    short_third_word_rfc9112_2_3: b"GET / .1\r\nHost: a\r\n\r\n" => RequestError::Protocol, 400;
    broken_http2_preface_rfc9113_3_4: b"INVALID CONNECTION PREFACE\r\n\r\n" => RequestError::Protocol, 400;
    long_word_behind_a_space_in_target: b"GET /a longerword HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    version_with_more_digits_rfc9112_2_3: b"GET / HTTP/1.10\r\nHost: a\r\n\r\n" => RequestError::RequestLine, 400;
    version_2_0_rfc9110_15_6_6: b"GET / HTTP/2.0\r\nHost: a\r\n\r\n" => RequestError::Version, 505;
    version_1_2_rfc9110_15_6_6: b"GET / HTTP/1.2\r\nHost: a\r\n\r\n" => RequestError::Version, 505;
    version_0_9_rfc9110_15_6_6: b"GET / HTTP/0.9\r\nHost: a\r\n\r\n" => RequestError::Version, 505;
    http2_preface_rfc9110_15_6_6: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" => RequestError::Version, 505;
    long_target_rfc9110_15_5_15: target(&format!("/{}", "a".repeat(200))) => RequestError::LineTooLong, 414;
    long_method_rfc9112_3: format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(200)) => RequestError::LineTooLong, 414;
}

// RFC 9112 section 3.2: targets.
refused! {
    space_in_target_rfc9112_3_2: target("/a b") => RequestError::RequestLine, 400;
    tab_in_target_rfc9112_3_2: target("/a\tb") => RequestError::Target, 400;
    nul_in_target_rfc9112_3_2: target("/a\0b") => RequestError::Target, 400;
    cr_in_target_rfc9112_3_2: target("/a\rb") => RequestError::RequestLine, 400;
    non_ascii_in_target_rfc9112_3_2: target("/\u{fc}") => RequestError::Target, 400;
    del_in_query_rfc9112_3_2: target("/?a\x7f") => RequestError::Target, 400;
    fragment_rfc9112_3_2: target("/a#b") => RequestError::Target, 400;
    fragment_after_query_rfc9112_3_2: target("/a?b#c") => RequestError::Target, 400;
    backslash_in_path_rfc3986_3_3: target("/a\\..\\b") => RequestError::Target, 400;
    backslash_in_absolute_path_rfc3986_3_3: target("http://a/b\\c") => RequestError::Target, 400;
    relative_target_rfc9112_3_2: target("a/b") => RequestError::Target, 400;
    query_only_rfc9112_3_2_1: target("?a") => RequestError::Target, 400;
    asterisk_without_options_rfc9112_3_2_4: target("*") => RequestError::AsteriskForm, 400;
    asterisk_with_more_rfc9112_3_2_4: b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::Target, 400;
    authority_without_connect_rfc9112_3_2_3: target("a:443") => RequestError::AuthorityForm, 400;
    connect_with_path_rfc9112_3_2_3:
        b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::AuthorityForm, 400;
    connect_with_absolute_rfc9112_3_2_3:
        b"CONNECT http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::AuthorityForm, 400;
    connect_without_port_rfc9110_9_3_6:
        b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::AuthorityForm, 400;
    connect_with_empty_port_rfc9110_9_3_6:
        b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::AuthorityForm, 400;
    connect_with_port_zero_rfc9110_9_3_6:
        b"CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::AuthorityForm, 400;
    connect_with_user_rfc9112_3_2_3:
        b"CONNECT u@a:443 HTTP/1.1\r\nHost: a\r\n\r\n" => RequestError::AuthorityForm, 400;
    user_in_absolute_target_rfc9110_4_2_4: target("http://user@a/") => RequestError::Host, 400;
    empty_host_in_absolute_target_rfc9110_4_2_1: target("http:///a") => RequestError::Host, 400;
    other_scheme_rfc9110_4_2: target("ftp://a/") => RequestError::Target, 400;
}

// RFC 9112 section 3.2, RFC 9110 section 7.2: Host.
refused! {
    missing_host_rfc9112_3_2: b"GET / HTTP/1.1\r\nA: b\r\n\r\n" => RequestError::MissingHost, 400;
    no_field_at_all_rfc9112_3_2: b"GET / HTTP/1.1\r\n\r\n" => RequestError::MissingHost, 400;
    missing_host_with_absolute_target_rfc9112_3_2:
        b"GET http://a/ HTTP/1.1\r\n\r\n" => RequestError::MissingHost, 400;
    two_hosts_rfc9112_3_2: host("a\r\nHost: b") => RequestError::DuplicateHost, 400;
    two_equal_hosts_rfc9112_3_2: host("a\r\nhOST: a") => RequestError::DuplicateHost, 400;
    two_hosts_in_http_1_0_rfc9112_3_2:
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n" => RequestError::DuplicateHost, 400;
    two_hosts_with_absolute_target_rfc9112_3_2:
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" => RequestError::DuplicateHost, 400;
    empty_host_rfc9110_4_2_1: host("") => RequestError::Host, 400;
    user_in_host_rfc9110_7_2: host("user@a") => RequestError::Host, 400;
    space_in_host_rfc9110_7_2: host("a b") => RequestError::Host, 400;
    path_in_host_rfc9110_7_2: host("a/b") => RequestError::Host, 400;
    host_with_bad_port_rfc9110_7_2: host("a:8o") => RequestError::Host, 400;
    host_with_large_port_rfc9110_7_2: host("a:65536") => RequestError::Host, 400;
    invalid_host_under_absolute_target_rfc9112_3_2:
        b"GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n" => RequestError::Host, 400;
    invalid_host_in_http_1_0_rfc9112_3_2: b"GET / HTTP/1.0\r\nHost: a@b\r\n\r\n" => RequestError::Host, 400;
}
