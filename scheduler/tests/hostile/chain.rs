//! A development chain of its own behind JSON-RPC, so that a scheduler's disk can be set back and the
//! chain not.

use super::stage::Cast;
use actix_web::{App, HttpServer, dev::Server, web};
use quorate_chain::embedded::EmbeddedNode;
use quorate_scheduler::{
    dev::{self, DevChain},
    http::rpc,
};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, thread};
use tokio::sync::oneshot;

/// Bytes of one request at most: the largest batch commitment is far smaller.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// See the module. On a thread of its own, which lives as long as the process.
pub(crate) struct OtherChain {
    url: String,
    contract: String,
}

impl OtherChain {
    /// Starts it, and registers everybody for the pool whose keys are in `data`.
    pub(crate) async fn start(data: &Path, workers: u8) -> (Self, Cast) {
        let (ready, wait) = oneshot::channel();
        let dir = data.to_path_buf();
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let dev = DevChain::start(None).await.unwrap();
                let cast = Cast::register(&dev, &dir, workers).await;
                let path = dir.join("keys/gas.key");
                fs::write(&path, hex::encode(**dev::gas().secret())).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                let (server, url) = serve(&dev.node);
                let chain = Self { url, contract: dev.settlement.address().to_string() };
                assert!(ready.send((chain, cast)).is_ok());
                server.await.unwrap();
            });
        });
        wait.await.unwrap()
    }

    /// What a scheduler has to be told to work on it.
    pub(crate) fn settings(&self, cast: &Cast) -> Vec<String> {
        vec![
            "chain.preset=dev".into(),
            format!("chain.url={}", self.url),
            format!("chain.contract={}", self.contract),
            format!("pool.id={}", cast.pool.0),
        ]
    }
}

fn serve(node: &EmbeddedNode) -> (Server, String) {
    let node = web::Data::new(node.clone());
    let app = move || {
        let limit = web::JsonConfig::default().limit(REQUEST_BYTES_MAX);
        App::new().app_data(limit).app_data(node.clone()).route("/", web::post().to(answer))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", server.addrs()[0]);
    (server.run(), url)
}

async fn answer(node: web::Data<EmbeddedNode>, body: web::Json<Value>) -> web::Json<Value> {
    let node = EmbeddedNode::clone(&node);
    let answer = web::block(move || rpc::answer(&node, body.into_inner())).await;
    web::Json(answer.unwrap_or(Value::Null))
}
