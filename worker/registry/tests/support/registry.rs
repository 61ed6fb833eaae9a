//! Debian's registry (`apt-get install docker-registry`) on a port of its own, filled by the test itself.

use quorate_common::digest::Digest;
use reqwest::{Client, Response, header::LOCATION};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// What the registry says of where it listens.
const LISTENS: &str = "listening on ";

/// A registry. It ends with the test.
pub(crate) struct Registry {
    program: Child,
    /// `127.0.0.1:PORT`, as orders name it.
    pub(crate) name: String,
    http: Client,
}

impl Registry {
    /// Starts one that keeps everything in `folder`; none if the program is not there.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let config = folder.join("registry.yml");
        let root = folder.join("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            root.display()
        );
        std::fs::write(&config, text).expect("written");
        let mut command = Command::new("docker-registry");
        let program =
            command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut program) = program.spawn() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "docker-registry is not there: run deploy/test"
            );
            eprintln!("NOT TESTED: docker-registry is not there; deploy/test installs it");
            return None;
        };
        let log = BufReader::new(program.stderr.take().expect("piped"));
        let (said, heard) = std::sync::mpsc::channel();
        // Read to its end, or the program would wait for room.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once(LISTENS) {
                    drop(said.send(rest.split(['"', ' ']).next().unwrap_or_default().to_owned()));
                }
            }
        });
        let name = heard.recv_timeout(std::time::Duration::from_secs(60)).expect("it listens");
        drop(rustls::crypto::ring::default_provider().install_default());
        Some(Self { program, name, http: Client::new() })
    }

    /// Puts an image there, and says its manifest's digest. `layers` are as they travel.
    pub(crate) async fn push(
        &self,
        repository: &str,
        tag: &str,
        config: &[u8],
        layers: &[Vec<u8>],
    ) -> Digest {
        let row = |kind: &str, bytes: &[u8]| {
            let (digest, size) = (Digest::of(bytes), bytes.len());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{digest}","size":{size}}}"#
            )
        };
        let rows: Vec<_> = layers.iter().map(|layer| row("layer.v1.tar+gzip", layer)).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            row("config.v1+json", config),
            rows.join(",")
        );
        for blob in std::iter::once(config).chain(layers.iter().map(Vec::as_slice)) {
            self.push_blob(repository, blob).await;
        }
        self.push_manifest(repository, tag, "manifest", &manifest).await
    }

    /// Puts an index there that names one manifest for `platform`, and says its digest.
    pub(crate) async fn push_index(
        &self,
        repository: &str,
        tag: &str,
        (digest, bytes): (Digest, usize),
        (os, architecture): (&str, &str),
    ) -> Digest {
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{bytes},"platform":{{"os":"{os}","architecture":"{architecture}"}}}}]}}"#
        );
        self.push_manifest(repository, tag, "index", &index).await
    }

    async fn push_manifest(&self, repository: &str, tag: &str, kind: &str, text: &str) -> Digest {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.name);
        let kind = format!("application/vnd.oci.image.{kind}.v1+json");
        let put = self.http.put(url).header("Content-Type", kind).body(text.to_owned());
        good(put.send().await).await;
        Digest::of(text.as_bytes())
    }

    async fn push_blob(&self, repository: &str, bytes: &[u8]) {
        let url = format!("http://{}/v2/{repository}/blobs/uploads/", self.name);
        let began = good(self.http.post(url).send().await).await;
        let location = began.headers()[LOCATION].to_str().expect("text").to_owned();
        let url = format!("{location}&digest=sha256:{}", Digest::of(bytes));
        good(self.http.put(url).body(bytes.to_vec()).send().await).await;
    }
}

async fn good(response: reqwest::Result<Response>) -> Response {
    let response = response.expect("an answer");
    let status = response.status();
    if status.is_success() {
        return response;
    }
    panic!("{status}: {}", response.text().await.unwrap_or_default())
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
