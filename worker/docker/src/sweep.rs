//! What an earlier life of the worker left on the engine, after a crash: found by its label, and taken away.

use crate::{
    engine::{CALL, Engine, EngineError, away, within},
    profile::LABEL,
};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use std::collections::HashMap;

/// How much was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Containers, running or not.
    pub containers: usize,
    /// Volumes.
    pub volumes: usize,
    /// Images.
    pub images: usize,
}

impl Engine {
    /// Takes everything away that has this worker's label. Nothing of it may be in use: one worker, one label.
    ///
    /// # Errors
    /// Something is there that cannot be removed: the engine should not get new work.
    pub fn sweep(&self) -> Result<Swept, EngineError> {
        let engine = self.clone();
        self.block(async move { engine.swept().await })
    }

    /// What of this worker is there.
    ///
    /// # Errors
    /// The engine does not say.
    pub fn left(&self) -> Result<Swept, EngineError> {
        let engine = self.clone();
        self.block(async move {
            let containers = engine.containers().await?.len();
            let volumes = engine.volumes().await?.len();
            let images = engine.images().await?.len();
            Ok(Swept { containers, volumes, images })
        })
    }

    async fn swept(&self) -> Result<Swept, EngineError> {
        let mut swept = Swept::default();
        for id in self.containers().await? {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            let call = self.docker.remove_container(&id, Some(options));
            away("remove a container of an earlier life", call).await?;
            swept.containers += 1;
        }
        for name in self.volumes().await? {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            let call = self.docker.remove_volume(&name, Some(options));
            away("remove a folder of an earlier life", call).await?;
            swept.volumes += 1;
        }
        for id in self.images().await? {
            self.unload(&id).await?;
            swept.images += 1;
        }
        Ok(swept)
    }

    async fn containers(&self) -> Result<Vec<String>, EngineError> {
        let options =
            ListContainersOptionsBuilder::default().all(true).filters(&self.mine()).build();
        let call = self.docker.list_containers(Some(options));
        let found = within("list containers", CALL, call).await?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    async fn volumes(&self) -> Result<Vec<String>, EngineError> {
        let options = ListVolumesOptionsBuilder::default().filters(&self.mine()).build();
        let found = within("list folders", CALL, self.docker.list_volumes(Some(options))).await?;
        Ok(found.volumes.into_iter().flatten().map(|volume| volume.name).collect())
    }

    async fn images(&self) -> Result<Vec<String>, EngineError> {
        let options = ListImagesOptionsBuilder::default().all(true).filters(&self.mine()).build();
        let found = within("list images", CALL, self.docker.list_images(Some(options))).await?;
        Ok(found.into_iter().map(|image| image.id).collect())
    }

    fn mine(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{LABEL}={}", self.profile.worker)])])
    }
}
