//! A JSON-RPC node over real HTTP that misbehaves as told: the embedded node behind a socket, with
//! a script between them.

use quorate_chain::embedded::{EmbeddedConfig, EmbeddedNode};
use quorate_chain::transport::{Chain, ChainUrl};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with one request instead of answering it honestly.
pub(crate) enum Fault {
    /// Send these bytes as the body, with this status.
    Body(u16, Vec<u8>),
    /// Answer with this JSON-RPC result, and do nothing.
    Result(Value),
    /// Answer with this JSON-RPC error, and do nothing.
    Error(i64, &'static str),
    /// Do what was asked, then answer with this JSON-RPC error.
    DoneButError(i64, &'static str),
    /// Do what was asked, then close the connection without an answer.
    DoneButSilent,
    /// Close the connection.
    Silent,
}

/// Looks at method and parameters; nothing means honesty.
type Script = dyn FnMut(&str, &Value) -> Option<Fault> + Send;

/// A node at a URL. Serves until the test's runtime ends.
pub(crate) struct FaultyNode {
    pub(crate) node: EmbeddedNode,
    pub(crate) chain: Chain,
    script: Arc<Mutex<Box<Script>>>,
}

impl FaultyNode {
    /// Starts an honest node.
    pub(crate) async fn start() -> Self {
        let node = EmbeddedNode::new(EmbeddedConfig::new(31_337, 1_800_000_000)).unwrap();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, node.clone(), script.clone()));
        let chain = Chain::connect(&ChainUrl::parse(&url).unwrap()).unwrap();
        Self { node, chain, script }
    }

    /// From here on it misbehaves like this.
    pub(crate) fn script(
        &self,
        script: impl FnMut(&str, &Value) -> Option<Fault> + Send + 'static,
    ) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// From here on it is honest.
    pub(crate) fn heal(&self) {
        self.script(|_, _| None);
    }
}

async fn serve(listener: TcpListener, node: EmbeddedNode, script: Arc<Mutex<Box<Script>>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (node, script) = (node.clone(), script.clone());
        tokio::spawn(async move {
            // A broken connection is the client's to notice.
            let _ = answer_all(socket, &node, &script).await;
        });
    }
}

async fn answer_all(
    mut socket: TcpStream,
    node: &EmbeddedNode,
    script: &Mutex<Box<Script>>,
) -> std::io::Result<()> {
    loop {
        let request = read_request(&mut socket).await?;
        let method = request["method"].as_str().unwrap_or_default();
        let fault = (script.lock().unwrap())(method, &request["params"]);
        let honest = || match node.request(method, request["params"].clone()) {
            Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": request["id"], "error":
                {"code": error.code, "message": error.message, "data": error.data}}),
        };
        let failure = |code: i64, message: &str| {
            json!({"jsonrpc": "2.0", "id": request["id"], "error":
                {"code": code, "message": message}})
        };
        let (status, body) = match fault {
            None => (200, honest().to_string().into_bytes()),
            Some(Fault::Body(status, body)) => (status, body),
            Some(Fault::Result(result)) => {
                let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
                (200, answer.to_string().into_bytes())
            }
            Some(Fault::Error(code, message)) => {
                (200, failure(code, message).to_string().into_bytes())
            }
            Some(Fault::DoneButError(code, message)) => {
                honest();
                (200, failure(code, message).to_string().into_bytes())
            }
            Some(Fault::DoneButSilent) => {
                honest();
                return Ok(());
            }
            Some(Fault::Silent) => return Ok(()),
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        // In one piece, or the second waits 40 ms for the first to be acknowledged.
        socket.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

/// One request of the client under test: headers up to an empty line, then `content-length` bytes.
async fn read_request(socket: &mut TcpStream) -> std::io::Result<Value> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}
