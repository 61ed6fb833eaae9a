//! An image that lies in a registry: what its name stands for today becomes a document, which is signed. The image is not
//! fetched here; its manifest and configuration are, so that what every worker would refuse is refused now.

use crate::{cli::RunArgs, config, failure, output::Output, plan::FileBlob};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
};
use quorate_docker::{Platform, image::check_config};
use quorate_registry::{Reference, Registries, RegistryError, Resolved, resolve};
use std::{fs, path::Path};

/// The folder that documents are kept in, below the user's state folder.
const FOLDER: &str = "images";
/// Pools' workers are of this kind until one says otherwise.
const PLATFORM: Platform = Platform::Amd64;

/// The document of the image that `args` names, unless it names a file.
///
/// # Errors
/// The registry's, and what no worker would run.
pub(crate) async fn find(args: &RunArgs, output: Output) -> Result<Option<FileBlob>, Failure> {
    let is_image = args.docker || args.iexec;
    let name = args.app.to_str().filter(|_| is_image && !args.app.exists());
    let Some(reference) = name.and_then(|name| Reference::parse(name).ok()) else {
        return Ok(None);
    };
    let registries = Registries::one(&reference.registry).map_err(|error| failed(&error))?;
    let found = resolve(&registries, &reference, &PLATFORM.to_string()).await;
    let Resolved { image, config } = found.map_err(|error| failed(&error))?;
    let parts = image.parts().map_err(|error| Failure::new(Code::Usage, error))?;
    check_config(&config, parts.len() - 1, PLATFORM).map_err(|error| {
        let text = format!("{} is not an image for workers: {error}", image.name());
        Failure::new(Code::Usage, text).hint("build it for linux/amd64, and push it again")
    })?;
    output.note(format!("image {} for {PLATFORM}", image.name()));
    write(&image.to_bytes(), &config::state_dir()?.join(FOLDER)).map(Some)
}

/// As any app, it is a file that is uploaded.
fn write(document: &[u8], folder: &Path) -> Result<FileBlob, Failure> {
    let digest = Digest::of(document);
    let path = folder.join(format!("{digest}.json"));
    fs::create_dir_all(folder).map_err(|error| failure::file("make", folder, &error))?;
    fs::write(&path, document).map_err(|error| failure::file("write", &path, &error))?;
    Ok(FileBlob { path, len: document.len() as u64, digest })
}

fn failed(error: &RegistryError) -> Failure {
    let code = match error {
        RegistryError::Unreachable { .. } | RegistryError::Client(_) => Code::Unreachable,
        RegistryError::Missing(_) => Code::NotFound,
        RegistryError::Account(_) | RegistryError::Forbidden { .. } => Code::Denied,
        RegistryError::Disk { .. } => Code::Internal,
        RegistryError::Setting(_)
        | RegistryError::Reference(_)
        | RegistryError::Unlisted(_)
        | RegistryError::TooLong { .. }
        | RegistryError::WrongBytes(_)
        | RegistryError::Strange { .. }
        | RegistryError::Image(_) => Code::Usage,
    };
    Failure::new(code, error)
}
