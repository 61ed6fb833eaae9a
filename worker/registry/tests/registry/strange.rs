//! A registry that says what a test wants it to say, whatever that is.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What is sent to who asks.
pub(crate) enum Answer {
    /// These bytes, then the line is closed.
    Bytes(Vec<u8>),
    /// These, then zeros until nobody listens.
    Endless(Vec<u8>),
}

/// Where it is, and what it was asked.
pub(crate) struct Strange {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Strange {
    pub(crate) async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), asked.clone());
        tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                tokio::spawn(serve(line, answer.clone(), log.clone()));
            }
        });
        Self { address, asked }
    }

    /// As orders name it.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// The heads of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics there").clone()
    }
}

async fn serve<A>(mut line: TcpStream, answer: Arc<A>, log: Arc<Mutex<Vec<String>>>)
where
    A: Fn(&str) -> Answer + Send + Sync,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = line.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    log.lock().expect("no test panics there").push(head.clone());
    match answer(&head) {
        Answer::Bytes(bytes) => drop(line.write_all(&bytes).await),
        Answer::Endless(bytes) => {
            let zeros = vec![0; 64 << 10];
            let mut sent = line.write_all(&bytes).await;
            while sent.is_ok() {
                sent = line.write_all(&zeros).await;
            }
        }
    }
}

/// An answer with these headers and body.
pub(crate) fn http(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    Answer::Bytes([head(status, headers, body.len()), body.to_vec()].concat())
}

pub(crate) fn head(status: &str, headers: &[(&str, &str)], len: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}
