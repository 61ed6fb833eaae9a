//! The image's configuration: the few things of it that reach a container, and how they are written anew.

use super::ImageError;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Bytes of environment, command and working folder together: an engine's own limit is that of the kernel's
/// arguments, two megabytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What an engine's machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// 64-bit Intel and AMD.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// What is read; the rest of a configuration is nobody's business here.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    architecture: String,
    os: String,
    #[serde(default)]
    config: Run,
    rootfs: Layers,
}

/// What a container of the image runs, unless told otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Run {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Layers {
    r#type: String,
    diff_ids: Vec<String>,
}

/// What is written.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    architecture: &'a str,
    config: WrittenRun<'a>,
    created: &'static str,
    os: &'a str,
    rootfs: &'a Layers,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenRun<'a> {
    env: &'a [String],
    entrypoint: Option<&'a [String]>,
    cmd: Option<&'a [String]>,
    working_dir: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

impl Platform {
    /// What this program was compiled for, if containers can run there.
    pub fn here() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// As images name it.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

impl Config {
    pub(super) fn read(bytes: &[u8], name: &str) -> Result<Self, ImageError> {
        let bad = |error| ImageError::part(name, format!("is no image configuration: {error}"));
        serde_json::from_slice(bytes).map_err(bad)
    }

    pub(super) fn check(&self, platform: Platform) -> Result<(), ImageError> {
        if self.os != "linux" || self.architecture != platform.architecture() {
            let found = format!("{}/{}", self.os, self.architecture).escape_debug().to_string();
            return Err(ImageError::Platform { found, expected: platform.to_string() });
        }
        let bytes: usize = self.texts().map(|text| text.len() + 1).sum();
        if bytes > TEXT_BYTES_MAX {
            let what = format!("{bytes} bytes of environment and command");
            return Err(ImageError::TooLarge { what, most: TEXT_BYTES_MAX as u64 });
        }
        if self.texts().any(|text| text.contains('\0')) {
            return Err(ImageError::part("the image's configuration", "has a NUL character"));
        }
        let folder = self.config.working_dir.as_deref().unwrap_or_default();
        // A folder of the kernel's leads out of the container on engines of early 2024.
        let is_strange = !folder.is_empty() && !folder.starts_with('/');
        if is_strange || folder.split('/').any(|part| part == ".." || part == "proc") {
            let problem = format!("is {folder:?}; expected an absolute path outside of /proc");
            return Err(ImageError::part("the image's working folder", problem));
        }
        Ok(())
    }

    pub(super) fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }

    pub(super) fn has_command(&self) -> bool {
        let some = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|w| !w.is_empty());
        some(&self.config.entrypoint) || some(&self.config.cmd)
    }

    /// The configuration that engines get.
    pub(super) fn rewritten(&self, labels: &[(&str, &str)]) -> Vec<u8> {
        let run = &self.config;
        let written = Written {
            architecture: &self.architecture,
            config: WrittenRun {
                env: run.env.as_deref().unwrap_or_default(),
                entrypoint: run.entrypoint.as_deref(),
                cmd: run.cmd.as_deref(),
                working_dir: run.working_dir.as_deref().filter(|d| !d.is_empty()).unwrap_or("/"),
                labels: labels.iter().copied().collect(),
            },
            created: "1970-01-01T00:00:00Z",
            os: &self.os,
            rootfs: &self.rootfs,
        };
        serde_json::to_vec(&written).expect("texts and lists are JSON")
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let Run { env, entrypoint, cmd, working_dir } = &self.config;
        let lists = [env, entrypoint, cmd].into_iter().flatten().flatten();
        lists.chain(working_dir)
    }
}

impl Written<'_> {
    /// `manifest.json` of an archive without tags.
    pub(super) fn manifest(config: &str, layers: &[String]) -> Vec<u8> {
        let image = serde_json::json!([{ "Config": config, "RepoTags": null, "Layers": layers }]);
        serde_json::to_vec(&image).expect("a manifest is JSON")
    }
}
