//! What a task has on the engine while it runs: two containers and three volumes, all of them gone afterwards.
//!
//! The output folder is memory, which is gone with the last container that has it; so a second one, of ours,
//! holds both folders open until the output is collected. It also receives the inputs, for the task's own
//! container may not write to them.

use crate::{
    engine::{CALL, Engine, EngineError, away, within},
    guest,
    output::{Collector, Files, OutputError},
    profile::{Bound, Command, Limits},
    tar::{Item, Writer},
};
use bollard::{
    models::ContainerCreateBody,
    query_parameters::{
        DownloadFromContainerOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveVolumeOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use futures_util::StreamExt as _;
use std::{collections::BTreeSet, time::Duration};

/// Longest time to bring the inputs, half a gigabyte at most, or to fetch the output.
const TRANSFER: Duration = Duration::from_secs(300);
/// What the holder itself may use, which does nothing; whatever it writes is counted for it.
const HOLDER_BYTES: u64 = 16 << 20;

/// Where a task finds its folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Its inputs, read-only.
    pub input: &'static str,
    /// Its results.
    pub output: &'static str,
}

/// What a task has on the engine.
#[derive(Debug)]
pub(crate) struct Held {
    engine: Engine,
    folders: Folders,
    holder: Option<String>,
    container: Option<String>,
    volumes: Vec<String>,
}

impl Held {
    pub(crate) fn new(engine: Engine, folders: Folders) -> Self {
        Self { engine, folders, holder: None, container: None, volumes: Vec::new() }
    }

    /// Makes folders and holder, and brings the inputs.
    pub(crate) async fn set_up(
        &mut self,
        limits: &Limits,
        inputs: &[(String, Vec<u8>)],
    ) -> Result<(), EngineError> {
        let profile = self.engine.profile.clone();
        for request in [profile.input(), profile.output(limits), profile.scratch(limits)] {
            let docker = &self.engine.docker;
            let volume = within("make a folder", CALL, docker.create_volume(request)).await?;
            self.volumes.push(volume.name);
        }
        let command = Command {
            image: guest::id(&profile.worker),
            args: vec!["hold".to_owned()],
            ..Command::default()
        };
        let small = Limits { memory_bytes: HOLDER_BYTES, output_bytes: 0, ..*limits };
        let [input, output, _] = self.bound(false);
        let body = profile.container(command, &small, &[input, output]);
        let holder = self.create(body).await?;
        self.holder = Some(holder.clone());
        self.start(&holder).await?;
        if !inputs.is_empty() {
            self.bring(&holder, archive(inputs)).await?;
        }
        Ok(())
    }

    /// Makes the task's own container.
    pub(crate) async fn create_task(
        &mut self,
        command: Command,
        limits: &Limits,
    ) -> Result<String, EngineError> {
        let body = self.engine.profile.container(command, limits, &self.bound(true));
        let id = self.create(body).await?;
        self.container = Some(id.clone());
        Ok(id)
    }

    async fn create(&self, body: ContainerCreateBody) -> Result<String, EngineError> {
        let docker = &self.engine.docker;
        let created = within("make a container", CALL, docker.create_container(None, body)).await?;
        Ok(created.id)
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), EngineError> {
        within("start a container", CALL, self.engine.docker.start_container(id, None)).await
    }

    fn bound(&self, read_only: bool) -> [Bound<'_>; 3] {
        [
            Bound { volume: &self.volumes[0], at: self.folders.input, read_only },
            Bound { volume: &self.volumes[1], at: self.folders.output, read_only: false },
            Bound { volume: &self.volumes[2], at: "/tmp", read_only: false },
        ]
    }

    async fn bring(&self, holder: &str, archive: Vec<u8>) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::default().path(self.folders.input).build();
        let body = bollard::body_full(archive.into());
        let docker = &self.engine.docker;
        let call = docker.upload_to_container(holder, Some(options), body);
        within("bring the inputs", TRANSFER, call).await
    }

    /// What the task left. Stops reading as soon as it is known to be no result.
    pub(crate) async fn collect(
        &self,
        most: u64,
    ) -> Result<Result<Files, OutputError>, EngineError> {
        let holder = self.holder.as_deref().unwrap_or_default();
        let options =
            DownloadFromContainerOptionsBuilder::default().path(self.folders.output).build();
        let stream = self.engine.docker.download_from_container(holder, Some(options));
        let read = async {
            let mut stream = std::pin::pin!(stream);
            let mut collector = Collector::new(most);
            while let Some(piece) = stream.next().await {
                if let Err(error) = collector.feed(&piece?) {
                    return Ok(Err(error));
                }
            }
            Ok(collector.finish())
        };
        match within("fetch the output", TRANSFER, read).await? {
            Err(OutputError::Tar(error)) => Err(EngineError::Strange(format!("output: {error}"))),
            outcome => Ok(outcome),
        }
    }

    /// Takes everything away. What cannot be is left for the next start's sweep, and said.
    pub(crate) async fn clear(self) {
        let docker = &self.engine.docker;
        for id in self.container.iter().chain(&self.holder) {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            let call = docker.remove_container(id, Some(options));
            if let Err(error) = away("remove a container", call).await {
                tracing::warn!(id, error = %quorate_common::report::Chain(&error), "left behind");
            }
        }
        for name in &self.volumes {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            let call = docker.remove_volume(name, Some(options));
            if let Err(error) = away("remove a folder", call).await {
                tracing::warn!(name, error = %quorate_common::report::Chain(&error), "left behind");
            }
        }
    }
}

/// Files with the folders they are in, each folder once and before what is in it.
fn archive(inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut sorted: Vec<_> = inputs.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut writer = Writer::default();
    let mut folders = BTreeSet::new();
    for (path, bytes) in sorted {
        for (at, _) in path.match_indices('/') {
            if folders.insert(&path[..at]) {
                writer.add(Item::Folder(&path[..at]), &[]);
            }
        }
        writer.add(Item::File(path), bytes);
    }
    writer.finish()
}
