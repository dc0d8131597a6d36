//! A PROXY protocol header: where it ends does not depend on how it arrives, and what we write is read as it was meant.

use std::net::{IpAddr, SocketAddr};

use causeway_proxy::listen::proxy_protocol::{Addresses, MAX_V2, Progress, Version, parse, write};

pub fn run(input: &[u8]) {
    let Ok(Progress::Complete(header)) = parse(input) else {
        // What is refused whole is refused, or waited for, from its first byte on, and never taken.
        for end in 0..input.len() {
            assert!(
                !matches!(parse(&input[..end]), Ok(Progress::Complete(_))),
                "a part is taken, the whole is not"
            );
        }
        return;
    };
    assert!(header.length <= input.len() && header.length <= MAX_V2);
    for end in 0..header.length {
        match parse(&input[..end]) {
            // More than is asked for would be taken from whoever comes next on the connection.
            Ok(Progress::Incomplete { at_least }) => assert!(end < at_least && at_least <= header.length),
            other => panic!("{end} of {} bytes: {other:?}", header.length),
        }
    }
    assert_eq!(parse(&input[..header.length]).ok(), Some(Progress::Complete(header)));
    for version in [Version::V1, Version::V2] {
        let written = write(version, header.addresses.as_ref());
        match parse(&written) {
            Ok(Progress::Complete(again)) => {
                assert_eq!(again.length, written.len());
                assert_eq!(again.addresses.map(canonical), header.addresses.map(canonical));
            }
            other => panic!("{version:?} {:?} is read as {other:?}", header.addresses),
        }
    }
}

/// An IPv4 address that was told as IPv6 is the same address, and is told on as what it is.
fn canonical(addresses: Addresses) -> [(IpAddr, u16); 2] {
    [addresses.source, addresses.destination].map(|at: SocketAddr| (at.ip().to_canonical(), at.port()))
}
