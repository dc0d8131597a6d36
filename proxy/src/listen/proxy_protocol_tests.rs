use proptest::prelude::*;

use super::*;

fn ends(source: &str, destination: &str) -> Addresses {
    Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn complete(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Progress::Complete(header)) => header,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

/// A header of version 2 with this command, family and body.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&V2_SIGNATURE[..], &[0x20 | command, family], &length, body].concat()
}

const BLOCK_V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn the_examples_of_the_specification_are_read() {
    let text = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
    let header = complete(text);
    assert_eq!(header.addresses, Some(ends("192.168.0.1:56324", "192.168.0.11:443")));
    assert_eq!(&text[header.length..], b"GET / HTTP/1.1\r\n");
    // Section 2.1, "worst case": 107 bytes.
    let worst = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
    assert_eq!(worst.len(), 107, "{worst}");
    assert_eq!(complete(worst.as_bytes()), Header { addresses: None, length: 107 });
    let header = complete(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
    assert_eq!(header.addresses, Some(ends("[2001:db8::1]:0", "[::1]:65535")));
    assert_eq!(complete(b"PROXY UNKNOWN\r\n").addresses, None);
}

#[test]
fn version_2_knows_its_families() {
    let v4 = Some(ends("192.0.2.1:12345", "198.51.100.2:443"));
    assert_eq!(complete(&binary(1, 0x11, &BLOCK_V4)).addresses, v4);
    let mut six = [0; 36];
    (six[15], six[31]) = (1, 2);
    (six[33], six[35]) = (80, 81);
    assert_eq!(complete(&binary(1, 0x21, &six)).addresses, Some(ends("[::1]:80", "[::2]:81")));
    for (what, header) in [
        ("LOCAL", binary(0, 0, &[])),
        ("LOCAL with anything behind it", binary(0, 0x11, b"xyz")),
        ("UNSPEC", binary(1, 0, b"xyz")),
        ("UDP", binary(1, 0x12, &BLOCK_V4)),
        ("Unix", binary(1, 0x31, &[0; 216])),
    ] {
        let expected = Header { addresses: None, length: header.len() };
        assert_eq!(complete(&[&header[..], b"more"].concat()), expected, "{what}");
    }
}

#[test]
fn extensions_are_passed_over_and_their_checksum_is_held() {
    let with = |extensions: &[u8]| binary(1, 0x11, &[&BLOCK_V4[..], extensions].concat());
    // ALPN, a NOOP, and one of a load balancer's own.
    let plain = with(&[0x01, 0, 2, b'h', b'2', 0x04, 0, 0, 0xEA, 0, 1, 7]);
    assert!(complete(&plain).addresses.is_some());
    for cut in [&[0x01][..], &[0x01, 0], &[0x01, 0, 3, 1, 2], &[0x03, 0, 3, 1, 2, 3]] {
        assert!(matches!(parse(&with(cut)), Err(Refusal::Malformed(_))), "{cut:?}");
    }
    let mut summed = with(&[0x04, 0, 1, 9, 0x03, 0, 4, 0, 0, 0, 0, 0x01, 0, 1, 5]);
    let sum = !crc32c(!0, &summed);
    let at = summed.len() - 8;
    summed[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    assert!(complete(&summed).addresses.is_some());
    // All but the byte that says that it is a checksum: then there is none.
    for flipped in (16..summed.len()).filter(|flipped| *flipped != at - 3) {
        let mut bad = summed.clone();
        bad[flipped] ^= 0x80;
        assert!(parse(&bad).is_err(), "byte {flipped}");
    }
    let twice = with(&[0x03, 0, 4, 0, 0, 0, 0, 0x03, 0, 4, 0, 0, 0, 0]);
    assert!(parse(&twice).is_err());
}

#[test]
fn the_checksum_is_the_one_of_rfc_3720() {
    // RFC 3720 appendix B.4.
    assert_eq!(!crc32c(!0, &[0; 32]), 0x8A91_36AA);
    assert_eq!(!crc32c(!0, &[0xFF; 32]), 0x62A8_AB43);
    assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
}

#[test]
fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
    for text in [
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "PROXX",
        "PROXY\tTCP4",
        "\r\n\r\n\0\r\nQUIX",
        "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    ] {
        assert_eq!(parse(text.as_bytes()), Err(Refusal::NoHeader), "{text:?}");
    }
    for text in [
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.\u{e9} 1 2\r\n",
    ] {
        assert!(
            matches!(parse(text.as_bytes()), Err(Refusal::Malformed(_))),
            "{text:?}: {:?}",
            parse(text.as_bytes())
        );
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(MAX_V1));
    assert_eq!(parse(long.as_bytes()), Err(Refusal::TooLong));
    let barely = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1 - 15));
    assert_eq!(parse(barely.as_bytes()), Err(Refusal::TooLong));
    for (what, header) in [
        ("version 1 in binary", [&V2_SIGNATURE[..], &[0x11, 0x11, 0, 0]].concat()),
        ("an unknown command", binary(2, 0x11, &BLOCK_V4)),
        ("an unknown family", binary(1, 0x41, &BLOCK_V4)),
        ("an unknown transport", binary(1, 0x13, &BLOCK_V4)),
        ("too short for IPv4", binary(1, 0x11, &BLOCK_V4[..11])),
        ("too short for IPv6", binary(1, 0x21, &[0; 35])),
        ("too short for Unix", binary(1, 0x31, &[0; 215])),
    ] {
        assert!(matches!(parse(&header), Err(Refusal::Malformed(_))), "{what}");
    }
    let long = [&V2_SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(parse(&long), Err(Refusal::TooLong));
}

#[test]
fn a_header_of_mixed_families_is_written_as_ipv6() {
    let mixed = ends("192.0.2.1:1", "[2001:db8::1]:2");
    assert_eq!(&*write(Version::V1, Some(&mixed)), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
    let disguised = ends("[::ffff:192.0.2.1]:1", "192.0.2.2:2");
    assert_eq!(&*write(Version::V1, Some(&disguised)), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    assert_eq!(&*write(Version::V1, None), b"PROXY UNKNOWN\r\n");
    assert_eq!(&*write(Version::V2, None), &binary(0, 0, &[])[..]);
    assert_eq!(
        &*write(Version::V2, Some(&ends("192.0.2.1:12345", "198.51.100.2:443"))),
        binary(1, 0x11, &BLOCK_V4)
    );
}

fn any_addresses() -> impl Strategy<Value = Addresses> {
    let four = (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    let six = (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    (prop_oneof![four, six], any::<u16>(), any::<u16>()).prop_map(|((from, to), a, b)| Addresses {
        source: SocketAddr::new(from, a),
        destination: SocketAddr::new(to, b),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_and_every_part_of_it_waits_for_the_rest(
        addresses in any_addresses(),
        v2 in any::<bool>(),
        behind in any::<Vec<u8>>(),
    ) {
        let written = write(if v2 { Version::V2 } else { Version::V1 }, Some(&addresses));
        let header = complete(&[&written[..], &behind].concat());
        prop_assert_eq!(header, Header { addresses: Some(same_family(&addresses)), length: written.len() });
        for n in 0..written.len() {
            match parse(&written[..n]) {
                Ok(Progress::Incomplete { at_least }) => prop_assert!(at_least > n && at_least <= written.len()),
                other => prop_assert!(false, "{:?} of {} bytes", other, n),
            }
        }
    }

    #[test]
    fn no_bytes_confuse_it(signed in any::<bool>(), v2 in any::<bool>(), rest in any::<Vec<u8>>()) {
        let start: &[u8] = match (signed, v2) { (false, _) => b"", (_, true) => V2_SIGNATURE, (_, false) => V1_START };
        let bytes = [start, &rest].concat();
        match parse(&bytes) {
            Ok(Progress::Complete(header)) => {
                prop_assert!(header.length <= bytes.len());
                // Nothing behind the header decides what it says.
                prop_assert_eq!(parse(&bytes[..header.length]), Ok(Progress::Complete(header)));
            }
            Ok(Progress::Incomplete { at_least }) => prop_assert!(at_least > bytes.len() && at_least <= MAX_V2),
            Err(_) => {}
        }
    }
}
