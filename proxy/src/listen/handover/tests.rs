//! Both sides in one process, each on a thread of its own.

use std::os::unix::net::UnixStream;
use std::thread;

use super::wire::{FDS, Wire};
use super::*;

fn pair() -> (Wire, Wire) {
    let (a, b) = UnixStream::pair().unwrap();
    (Wire::new(a, PATIENCE).unwrap(), Wire::new(b, PATIENCE).unwrap())
}

#[test]
fn descriptors_come_with_their_own_message_and_long_messages_come_whole() {
    use std::os::fd::AsFd;
    let (a, b) = pair();
    let sockets: Vec<_> = (0..FDS).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let health = "x".repeat(3 << 20);
    let sends = thread::spawn({
        let health = health.clone();
        move || {
            let offer = Offer { pid: 1, generation: 2, clock: 3, health };
            a.send(&ToNew::Offer(offer), &[]).unwrap();
            let port = SocketsOf::Port("[::]:80".parse().unwrap());
            a.send(&ToNew::Sockets(port), &sockets.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
            a.send(&ToNew::Sockets(SocketsOf::Admin(None)), &[sockets[0].as_fd()]).unwrap();
            a.send(&ToNew::All, &[]).unwrap();
            sockets.iter().map(|socket| socket.local_addr().unwrap()).collect::<Vec<_>>()
        }
    });
    let (ToNew::Offer(offer), none) = b.receive().unwrap() else { panic!("no offer") };
    assert!(none.is_empty() && offer.health == health);
    let (ToNew::Sockets(SocketsOf::Port(_)), many) = b.receive().unwrap() else { panic!("no sockets") };
    let (ToNew::Sockets(SocketsOf::Admin(None)), one) = b.receive().unwrap() else { panic!("no admin") };
    let (ToNew::All, rest) = b.receive().unwrap() else { panic!("no end") };
    let sent = sends.join().unwrap();
    let came: Vec<_> =
        many.into_iter().map(|fd| std::net::TcpListener::from(fd).local_addr().unwrap()).collect();
    assert_eq!(came, sent);
    assert_eq!((one.len(), rest.len()), (1, 0));
}

#[test]
fn what_is_no_message_is_an_error() {
    use std::io::Write;
    for (what, bytes) in [
        ("a length that is a lie", &[200, 0, 0, 0, b'{'][..]),
        ("a length beyond the bound", &[0, 0, 0, 255]),
        ("half a length", &[1, 0]),
        ("nothing", &[]),
        ("no JSON", &[2, 0, 0, 0, b'{', b'{']),
        ("an unknown word", b"\x0e\0\0\0{\"say\":\"boo\"}"),
    ] {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(bytes).unwrap();
        drop(a);
        assert!(Wire::new(b, PATIENCE).unwrap().receive::<ToOld>().is_err(), "{what}");
    }
}

#[test]
fn a_successor_that_was_given_up_hears_it_although_its_own_word_came_too_late() {
    let (old, new) = pair();
    old.send(&ToNew::GaveUp, &[]).unwrap();
    drop(old);
    assert!(Predecessor::over(new).relieve().unwrap_err().contains("gave up"));
}

#[test]
fn a_predecessor_that_dies_on_the_way_leaves_its_successor_serving() {
    let (old, new) = pair();
    drop(old);
    assert_eq!(Predecessor::over(new).relieve(), Ok(()));
    // With a word of ours unread: its end is a reset.
    let (old, new) = pair();
    new.send(&ToOld::Serving, &[]).unwrap();
    drop(old);
    assert_eq!(Predecessor::over(new).relieve(), Ok(()));
}

#[test]
fn a_word_that_crosses_with_the_end_of_patience_is_answered() {
    let (old, new) = pair();
    old.send(&ToNew::GaveUp, &[]).unwrap();
    new.send(&ToOld::Serving, &[]).unwrap();
    drop(old);
    assert!(Predecessor::over(new).relieve().is_err());
}
