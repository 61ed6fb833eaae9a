//! A liar in the middle: a port that passes JSON-RPC on to a real node, except where a script says
//! otherwise. It can answer falsely, late, never, or with garbage, with or without doing what was
//! asked.

use super::anvil::post;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with one request instead of passing it on.
pub(crate) enum Twist {
    /// Answer with this result; the node hears nothing.
    Result(Value),
    /// Answer with this status and these bytes; the node hears nothing.
    Body(u16, &'static [u8]),
    /// Never answer; the node hears nothing.
    Hang,
    /// Pass it on, and never pass back the answer.
    DoAndHang,
    /// Pass it on, and change the answer's result.
    Change(fn(&mut Value)),
}

/// Looks at method and parameters; nothing means honesty.
type Script = dyn FnMut(&str, &Value) -> Option<Twist> + Send;

/// See the module. Serves until the test's runtime ends.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    script: Arc<Mutex<Box<Script>>>,
}

impl Proxy {
    /// An honest proxy before the node on port `to`.
    pub(crate) async fn before(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let proxy = Self { port, script };
        let own = proxy.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let own = own.clone();
                // A broken connection is the client's to notice.
                tokio::spawn(async move { drop(own.serve(socket, to).await) });
            }
        });
        proxy
    }

    /// From here on it misbehaves like this.
    pub(crate) fn script(
        &self,
        script: impl FnMut(&str, &Value) -> Option<Twist> + Send + 'static,
    ) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// From here on it is honest.
    #[allow(dead_code, reason = "not every test heals")]
    pub(crate) fn heal(&self) {
        self.script(|_, _| None);
    }

    async fn serve(self, mut socket: TcpStream, to: u16) -> std::io::Result<()> {
        loop {
            let body = read_request(&mut socket).await?;
            let request: Value = serde_json::from_slice(&body)?;
            let method = request["method"].as_str().unwrap_or_default();
            let twist = (self.script.lock().unwrap())(method, &request["params"]);
            let (status, body) = match twist {
                None => post(to, &body).await?,
                Some(Twist::Result(result)) => {
                    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
                    (200, answer.to_string().into_bytes())
                }
                Some(Twist::Body(status, bytes)) => (status, bytes.to_vec()),
                Some(Twist::Hang) => std::future::pending().await,
                Some(Twist::DoAndHang) => {
                    post(to, &body).await?;
                    std::future::pending().await
                }
                Some(Twist::Change(change)) => {
                    let (status, body) = post(to, &body).await?;
                    let mut answer: Value = serde_json::from_slice(&body)?;
                    change(&mut answer["result"]);
                    (status, answer.to_string().into_bytes())
                }
            };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            // In one piece, or the second waits 40 ms for the first to be acknowledged.
            socket.write_all(&[head.as_bytes(), &body].concat()).await?;
        }
    }
}

/// One request: headers up to an empty line, then `content-length` bytes.
async fn read_request(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut body).await?;
    Ok(body)
}
