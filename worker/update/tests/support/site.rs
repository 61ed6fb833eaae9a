//! What a publisher serves: a folder of releases, and a web server of a few lines with faults on demand.

use super::publisher::{self, DAY, Publisher};
use quorate_common::clock::SystemClock;
use quorate_update::{
    publish,
    rules::{Artefact, Release, Root},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Site {
    dir: TempDir,
    publisher: Publisher,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::of(Publisher::new())
    }

    pub(crate) fn of(mut publisher: Publisher) -> Self {
        let keys = publisher.keys[..3].iter().map(|key| key.public()).collect();
        publisher.root = Root { keys, expires_unix: now() + 365 * DAY, ..publisher.root };
        let site = Self { dir: tempfile::tempdir().unwrap(), publisher };
        let root = site.publisher.sign_root(&site.publisher.root, &[0, 1]);
        fs::write(site.root(), publish::to_bytes(&root).unwrap()).unwrap();
        site
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::new()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root.json")
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn path(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// Publishes these bytes as a version.
    pub(crate) fn publish(&self, text: &str, sequence: u64, program: &[u8]) -> Artefact {
        let file = self.dir.path().join("program");
        fs::write(&file, program).unwrap();
        let artefact = publish::lay(self.dir.path(), &file).unwrap();
        let release = Release {
            created_unix: now(),
            expires_unix: now() + 30 * DAY,
            artefacts: [(quorate_update::platform(), artefact)].into(),
            ..self.publisher.release(text, sequence)
        };
        let document = self.publisher.sign(&release, &[1, 2]);
        publish::show(self.dir.path(), &self.publisher.root, &document).unwrap();
        artefact
    }
}

fn now() -> u64 {
    SystemClock::start().now().unix_s().max(publisher::NOW - 300 * DAY)
}

#[derive(Debug, Default)]
struct Faults {
    ranges: bool,
    /// The line breaks after so many bytes of a program.
    cut: Option<usize>,
    /// So many bytes come after the last one.
    extra: usize,
    only_blobs: bool,
    asked: Vec<u64>,
}

pub(crate) struct Web {
    address: std::net::SocketAddr,
    faults: Arc<Mutex<Faults>>,
}

impl Web {
    pub(crate) async fn serve(
        dir: PathBuf,
        ranges: bool,
        cut: Option<usize>,
        extra: usize,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Faults { ranges, cut, extra, ..Faults::default() };
        let faults = Arc::new(Mutex::new(faults));
        let shared = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (dir, faults) = (dir.clone(), Arc::clone(&shared));
                // A client that had enough closes in the middle.
                tokio::spawn(async move { answer(stream, &dir, &faults).await.ok() });
            }
        });
        Self { address, faults }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn mend(&self) {
        self.faults.lock().unwrap().cut = None;
    }

    pub(crate) fn only_blobs_are_endless(&self) {
        self.faults.lock().unwrap().only_blobs = true;
    }

    /// From which bytes on programs were asked for.
    pub(crate) fn asked(&self) -> Vec<u64> {
        self.faults.lock().unwrap().asked.clone()
    }
}

async fn answer(mut stream: TcpStream, dir: &Path, faults: &Mutex<Faults>) -> std::io::Result<()> {
    let mut request = vec![0; 8192];
    let n = stream.read(&mut request).await?;
    let request = String::from_utf8_lossy(&request[..n]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let Ok(mut body) = fs::read(dir.join(path)) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    };
    let is_blob = path.starts_with("blobs/");
    let mut status = "200 OK";
    let mut cut = None;
    {
        let mut faults = faults.lock().unwrap();
        if let Some(from) = range(&request).filter(|_| is_blob) {
            faults.asked.push(from);
            if faults.ranges {
                body.drain(..usize::try_from(from).unwrap().min(body.len()));
                status = "206 Partial Content";
            }
        }
        if is_blob {
            cut = faults.cut;
        }
        if is_blob || !faults.only_blobs {
            body.extend(vec![b' '; faults.extra]);
        }
    }
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())]).await
}

fn range(request: &str) -> Option<u64> {
    let lower = request.to_ascii_lowercase();
    let (_, rest) = lower.split_once("range: bytes=")?;
    rest.split('-').next()?.parse().ok()
}
