//! A few lines of HTTP that play a scheduler, so that it can misbehave on cue: refuse, break off,
//! answer other bytes. One request per connection.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
};

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// What it is told.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status and body.
    Whole(u16, Vec<u8>),
    /// An event stream that ends after these bytes.
    Stream(String),
    /// An event stream that breaks off after these bytes.
    Broken(String),
}

impl Answer {
    pub(crate) fn json(document: &impl serde::Serialize) -> Self {
        Self::Whole(200, serde_json::to_vec(document).unwrap())
    }

    pub(crate) fn refusal(status: u16, code: &str, retryable: bool) -> Self {
        let error = serde_json::json!({ "code": code, "message": "no", "retryable": retryable });
        Self::Whole(status, serde_json::json!({ "error": error }).to_string().into_bytes())
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Server {
    /// Answers every request by `answer` until the test ends.
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answer) = (Arc::<(Mutex<Vec<String>>, Condvar)>::default(), Arc::new(answer));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let Some(request) = read(&stream) else { return };
                    log.0.lock().unwrap().push(format!("{} {}", request.method, request.path));
                    log.1.notify_all();
                    write(stream, answer(&request), request.method == "HEAD");
                });
            }
        });
        Self { url, asked }
    }

    /// How often something was asked.
    pub(crate) fn times(&self, request: &str) -> usize {
        count(&self.asked.0.lock().unwrap(), request)
    }

    /// Waits until something is asked.
    pub(crate) fn wait_for(&self, request: &str) {
        let asked = self.asked.0.lock().unwrap();
        drop(self.asked.1.wait_while(asked, |asked| count(asked, request) == 0).unwrap());
    }
}

fn count(asked: &[String], request: &str) -> usize {
    asked.iter().filter(|asked| asked.starts_with(request)).count()
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut len = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, body })
}

fn write(mut stream: TcpStream, answer: Answer, head_only: bool) {
    let (head, body) = match answer {
        Answer::Whole(status, body) => {
            (format!("HTTP/1.1 {status} X\r\ncontent-length: {}", body.len()), body)
        }
        Answer::Stream(text) => ("HTTP/1.1 200 OK".to_owned(), text.into_bytes()),
        Answer::Broken(text) => {
            (format!("HTTP/1.1 200 OK\r\ncontent-length: {}", text.len() + 100), text.into_bytes())
        }
    };
    // A client that went away is what some tests are about.
    let _ = stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes());
    if !head_only {
        let _ = stream.write_all(&body);
    }
}
