//! Two machines pair over a real line, and what strangers try.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quorate_common::keys::NodeKey;
use quorate_machines::{
    Answer, Book, Card, Code, Command, LinkError, Machine, PairError, link, pair,
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn key(n: u8) -> NodeKey {
    NodeKey::from_bytes(&[n; 32])
}

fn card(n: u8, port: Option<u16>) -> Card {
    Card { name: format!("machine-{n}"), key: key(n).public(), port }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Puts key 9 where key 2 is.
fn swap_key(bytes: &mut [u8]) {
    let [theirs, ours] = [2, 9].map(|n| format!("{:#x}", key(n).public()));
    let at = bytes.windows(theirs.len()).position(|window| window == theirs.as_bytes());
    if let Some(at) = at {
        bytes[at..at + ours.len()].copy_from_slice(ours.as_bytes());
    }
}

/// Another code than this one.
fn other(code: Code) -> Code {
    let wrong: Code = "1234-5678".parse().unwrap();
    if wrong == code { "8765-4321".parse().unwrap() } else { wrong }
}

#[tokio::test]
async fn one_code_makes_two_machines_known_to_each_other() {
    let (listener, address) = listener().await;
    let code = Code::new().unwrap();
    let (one, two) = (card(1, Some(7)), card(2, None));
    let (host, join) =
        tokio::join!(pair::host(&listener, &one, code), pair::join(address, &two, code));
    let (host, join) = (host.unwrap(), join.unwrap());
    assert_eq!((host.name.as_str(), host.key, host.address), ("machine-2", two.key, None));
    let there = SocketAddr::new(address.ip(), 7);
    assert_eq!((join.name.as_str(), join.key, join.address), ("machine-1", one.key, Some(there)));
}

#[tokio::test]
async fn three_wrong_codes_spoil_a_code_and_two_do_not() {
    let (listener, address) = listener().await;
    let code = Code::new().unwrap();
    for wrong in [2, 3] {
        let guests = async {
            for _ in 0..wrong {
                let error = pair::join(address, &card(2, None), other(code)).await.unwrap_err();
                assert!(matches!(error, PairError::WrongCode), "{error}");
            }
            if wrong == 2 {
                pair::join(address, &card(2, None), code).await.unwrap();
            }
        };
        let own = card(1, None);
        let (host, ()) = tokio::join!(pair::host(&listener, &own, code), guests);
        assert_eq!(host.is_ok(), wrong == 2);
        assert!(wrong == 2 || matches!(host, Err(PairError::Spent)));
    }
}

#[tokio::test]
async fn a_try_counts_even_if_who_tried_hangs_up_first() {
    let (listener, address) = listener().await;
    let code = Code::new().unwrap();
    let guesser = async {
        for _ in 0..3 {
            // Reads the card, sends an opening, takes the proof to compare, and goes.
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _card: Card = quorate_machines::frame::read(&mut stream, 1024).await.unwrap();
            // `A` and a point of the curve.
            let element = "41".to_owned() + &"00".repeat(32);
            let opening = json!({ "card": card(3, None), "element": element });
            quorate_machines::frame::write(&mut stream, &opening).await.unwrap();
            drop(stream.read(&mut [0; 512]).await);
        }
        let late = pair::join(address, &card(2, None), code).await;
        assert!(late.is_err(), "the code is spent");
    };
    let own = card(1, None);
    let host = async {
        let host = pair::host(&listener, &own, code).await;
        drop(listener);
        host
    };
    let (host, ()) = tokio::join!(host, guesser);
    assert!(matches!(host, Err(PairError::Spent)));
}

#[tokio::test]
async fn somebody_in_the_middle_cannot_show_a_key_of_their_own() {
    let (listener, address) = listener().await;
    let (middle, trap) = self::listener().await;
    let code = Code::new().unwrap();
    // Everything is passed on, but for the guest's key.
    let swap = async {
        let (mut guest, _) = middle.accept().await.unwrap();
        let mut host = TcpStream::connect(address).await.unwrap();
        let mut bytes = vec![0; 4096];
        loop {
            tokio::select! {
                n = guest.read(&mut bytes) => {
                    let n = n.unwrap_or(0);
                    swap_key(&mut bytes[..n]);
                    if n == 0 || host.write_all(&bytes[..n]).await.is_err() { return; }
                }
                n = host.read(&mut bytes) => {
                    let n = n.unwrap_or(0);
                    if n == 0 || guest.write_all(&bytes[..n]).await.is_err() { return; }
                }
            }
        }
    };
    let own = card(1, None);
    let joining = async {
        let guest = card(2, None);
        tokio::select! {
            joined = pair::join(trap, &guest, code) => joined,
            () = swap => Err(PairError::Spent),
        }
    };
    tokio::select! {
        host = pair::host(&listener, &own, code) => panic!("paired with {host:?}"),
        joined = joining => assert!(matches!(joined, Err(PairError::WrongCode)), "{joined:?}"),
    }
}

#[tokio::test]
async fn a_companion_is_asked_and_obeys_and_a_stranger_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machines.json");
    let mut book = Book::read(&path).unwrap();
    let two = Machine { name: "laptop".into(), key: key(2).public(), address: None };
    book.add(two).unwrap();
    book.write(&path).unwrap();
    let endpoint = link::listen(&key(1), ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    tokio::spawn(link::serve(endpoint, path.clone(), move |name, command| {
        hears.lock().unwrap().push((name, command));
        async { Answer::Status(json!({ "link": "up" })) }
    }));
    let one = Machine { name: "tower".into(), key: key(1).public(), address: Some(address) };
    let pause = Command::Pause { until_unix_ms: Some(7) };
    for command in [Command::Status, pause, Command::Finish, Command::Resume] {
        let answer = link::ask(&key(2), &one, command).await.unwrap();
        assert_eq!(answer, Answer::Status(json!({ "link": "up" })));
    }
    assert_eq!(heard.lock().unwrap()[1], ("laptop".into(), pause));

    let stranger = link::ask(&key(3), &one, Command::Status).await.unwrap_err();
    assert!(stranger.to_string().contains("not paired with this machine"), "{stranger}");
    // Somebody else at the address has another key.
    let other = Machine { key: key(4).public(), ..one.clone() };
    let error = link::ask(&key(2), &other, Command::Status).await.unwrap_err();
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
    // Who was removed is not heard any more, at once.
    assert!(book.remove("laptop").is_some());
    book.write(&path).unwrap();
    let gone = link::ask(&key(2), &one, Command::Status).await.unwrap_err();
    assert!(gone.to_string().contains("not paired with this machine"), "{gone}");
    assert_eq!(heard.lock().unwrap().len(), 4);
    let deaf = Machine { address: None, ..one };
    assert!(matches!(link::ask(&key(2), &deaf, Command::Status).await, Err(LinkError::Deaf(_))));
}

#[test]
fn a_book_is_private_bounded_and_knows_each_name_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machines.json");
    let mut book = Book::read(&path).unwrap();
    let machine = |n: u8| {
        let Card { name, key, .. } = card(n, None);
        Machine { name, key, address: None }
    };
    for n in 0..64 {
        book.add(machine(n)).unwrap();
    }
    assert!(book.add(machine(64)).is_err());
    // Pairing again renews what is known.
    book.add(Machine { name: "new".into(), ..machine(5) }).unwrap();
    assert_eq!((book.machines().len(), book.by_name("machine-5")), (64, None));
    let twin = Machine { name: "new".into(), ..machine(6) };
    assert!(book.add(twin).unwrap_err().to_string().contains("another machine is called `new`"));
    book.write(&path).unwrap();
    assert_eq!(Book::read(&path).unwrap(), book);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
