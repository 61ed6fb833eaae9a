//! Two machines pair over a real line, and what strangers try.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use quorate_common::keys::NodeKey;
use quorate_machines::{
    Answer, Book, Card, Code, Command, LinkError, Machine, PairError, Report, link, pair,
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
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
        let (mut said, mut told) = (vec![0; 4096], vec![0; 4096]);
        loop {
            tokio::select! {
                n = guest.read(&mut said) => {
                    let n = n.unwrap_or(0);
                    swap_key(&mut said[..n]);
                    if n == 0 || host.write_all(&said[..n]).await.is_err() { return; }
                }
                n = host.read(&mut told) => {
                    let n = n.unwrap_or(0);
                    if n == 0 || guest.write_all(&told[..n]).await.is_err() { return; }
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

/// Longer than any answer on this machine takes.
const PATIENCE: Duration = Duration::from_secs(5);

fn report() -> Report {
    Report { name: "tower".into(), ..Report::default() }
}

#[tokio::test]
async fn a_companion_is_asked_and_obeys_and_a_stranger_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machines.json");
    let two = Machine { name: "laptop".into(), key: key(2).public(), address: None };
    Book::change(&path, |book| book.add(two)).unwrap();
    let endpoint = link::listen(&key(1), ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    tokio::spawn(link::serve(endpoint, path.clone(), move |machine, from, command| {
        hears.lock().unwrap().push((machine.name, from, command));
        async move {
            if command == Command::Finish {
                return Answer::Refused("not\u{1b} now".into());
            }
            Answer::Report(Box::new(report()))
        }
    }));
    let one = Machine { name: "tower".into(), key: key(1).public(), address: Some(address) };
    let pause = Command::Pause { for_ms: Some(7) };
    for command in [Command::Status, pause, Command::Resume] {
        let answer = link::ask(&key(2), &one, command, PATIENCE).await.unwrap();
        assert_eq!(answer, report());
    }
    assert_eq!(heard.lock().unwrap()[1], ("laptop".into(), address.ip(), pause));
    let refused = link::ask(&key(2), &one, Command::Finish, PATIENCE).await.unwrap_err();
    assert_eq!(refused.to_string(), "`tower` says no: not now");

    let stranger = link::ask(&key(3), &one, Command::Status, PATIENCE).await.unwrap_err();
    assert!(stranger.to_string().contains("not paired with this machine"), "{stranger}");
    // Somebody else at the address has another key.
    let other = Machine { key: key(4).public(), ..one.clone() };
    let error = link::ask(&key(2), &other, Command::Status, PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("something with another key answers there"), "{error}");
    // Who was removed is not heard any more, at once.
    let gone = Book::change(&path, |book| Ok(book.remove(key(2).public()))).unwrap();
    assert!(gone.is_some());
    let gone = link::ask(&key(2), &one, Command::Status, PATIENCE).await.unwrap_err();
    assert!(gone.to_string().contains("not paired with this machine"), "{gone}");
    assert_eq!(heard.lock().unwrap().len(), 4);
    let deaf = Machine { address: None, ..one };
    let deaf = link::ask(&key(2), &deaf, Command::Status, PATIENCE).await;
    assert!(matches!(deaf, Err(LinkError::Deaf(_))));
}

/// A worker's port and a scheduler's speak different protocols: nothing said on one is a word of the other.
#[tokio::test]
async fn what_is_meant_for_a_scheduler_is_not_heard_by_a_companion() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machines.json");
    let two = Machine { name: "laptop".into(), key: key(2).public(), address: None };
    Book::change(&path, |book| book.add(two)).unwrap();
    let endpoint = link::listen(&key(1), ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(link::serve(endpoint, path, |_, _, _| async { Answer::Refused("heard".into()) }));
    let mut worker = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let config = quorate_common::quic::client_config(&key(2), key(1).public()).unwrap();
    worker.set_default_client_config(config);
    let refused = worker.connect(address, "quorate").unwrap().await.unwrap_err();
    assert!(matches!(refused, quinn::ConnectionError::ConnectionClosed(_)), "{refused}");
}

/// A companion that says what no machine should say, and one that says it for ever.
#[tokio::test]
async fn an_answer_is_bounded_in_bytes_and_in_time() {
    let endpoint = link::listen(&key(1), ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        for is_long in [true, false] {
            let connection = endpoint.accept().await.unwrap().await.unwrap();
            let (mut send, _recv) = connection.accept_bi().await.unwrap();
            if is_long {
                send.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
            }
            connection.closed().await;
        }
    });
    let one = Machine { name: "tower".into(), key: key(1).public(), address: Some(address) };
    let long = link::ask(&key(2), &one, Command::Status, PATIENCE).await.unwrap_err();
    assert!(long.to_string().contains("expected at most 32768"), "{long}");
    let patience = Duration::from_secs(1);
    let late = link::ask(&key(2), &one, Command::Status, patience).await.unwrap_err();
    assert!(late.to_string().contains("no answer within 1 s"), "{late}");
}

#[tokio::test]
async fn names_that_cannot_be_kept_and_oneself_are_refused_on_both_sides() {
    let code = Code::new().unwrap();
    let all = Card { name: "ALL".into(), ..card(2, None) };
    let long = Card { name: "x".repeat(65), ..card(2, None) };
    let strange = Card { name: "a\u{1b}[2J".into(), ..card(2, None) };
    for bad in [all, long, strange] {
        let (listener, address) = listener().await;
        let good = card(1, None);
        tokio::select! {
            host = pair::host(&listener, &bad, code) => panic!("paired with {host:?}"),
            joined = pair::join(address, &good, code) =>
                assert!(matches!(joined, Err(PairError::Name(_))), "{joined:?}"),
        }
        tokio::select! {
            host = pair::host(&listener, &good, code) => panic!("paired with {host:?}"),
            joined = pair::join(address, &bad, code) => assert!(joined.is_err()),
        }
        tokio::select! {
            host = pair::host(&listener, &good, code) => panic!("paired with {host:?}"),
            joined = pair::join(address, &good, code) =>
                assert!(matches!(joined, Err(PairError::Itself)), "{joined:?}"),
        }
    }
}

#[test]
fn a_book_is_private_bounded_and_knows_each_name_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machines.json");
    let machine = |n: u8| {
        let Card { name, key, .. } = card(n, None);
        Machine { name, key, address: None }
    };
    let add = |machine: Machine| Book::change(&path, |book| book.add(machine));
    for n in 0..64 {
        add(machine(n)).unwrap();
    }
    assert!(add(machine(64)).unwrap_err().to_string().contains("64 others already"));
    // Pairing again renews what is known.
    add(Machine { name: "new".into(), ..machine(5) }).unwrap();
    let twin = Machine { name: "new".into(), ..machine(6) };
    assert!(add(twin).unwrap_err().to_string().contains("another machine is called `new`"));
    let book = Book::read(&path).unwrap();
    assert_eq!((book.machines().len(), book.by_name("machine-5")), (64, None));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&path, r#"{ "schema": "quorate.machines/v2", "machines": [] }"#).unwrap();
    assert!(Book::read(&path).is_err());
}

/// Two programs at once: each change is made to what the other wrote.
#[test]
fn no_change_of_the_book_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machines.json");
    std::thread::scope(|scope| {
        for n in 1..=8 {
            let path = &path;
            scope.spawn(move || {
                let Card { name, key, .. } = card(n, None);
                Book::change(path, |book| book.add(Machine { name, key, address: None })).unwrap();
            });
        }
    });
    assert_eq!(Book::read(&path).unwrap().machines().len(), 8);
}
