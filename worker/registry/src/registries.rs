//! The registries that somebody lists: a volunteer's are those that may learn his address.

use crate::{
    RegistryError, Repository,
    guard::{Entry, Guard},
};
use quorate_common::image::is_registry;
use reqwest::{Client, redirect::Policy};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use url::Url;

/// Longest wait for a connection, and longest silence on it.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);
/// What Docker Hub is called, and where it is.
const HUB: &str = "docker.io";
const HUB_BASE: &str = "registry-1.docker.io";

/// A list of registries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registries {
    guard: Arc<Guard>,
    /// Made for the first that is asked: it reads every certificate of this system, and needs that there are some.
    http: Arc<OnceLock<Client>>,
}

impl Registries {
    /// From what an owner wrote: `HOST`, `HOST:PORT`, or `http://HOST:PORT` for one without TLS. An address of the
    /// owner's own network, or `localhost`, may be asked if it stands here as such.
    ///
    /// # Errors
    /// [`RegistryError::Setting`].
    pub fn listed(texts: &[String]) -> Result<Self, RegistryError> {
        let entries = texts.iter().map(|text| entry(text)).collect::<Result<_, _>>()?;
        Ok(Self { guard: Arc::new(Guard { entries }), http: Arc::default() })
    }

    /// One that a requester names on his own command line: as Docker has it, this machine's own needs no TLS.
    ///
    /// # Errors
    /// [`RegistryError::Setting`].
    pub fn one(registry: &str) -> Result<Self, RegistryError> {
        let host = registry.split(':').next().unwrap_or(registry);
        let is_local = host == "localhost" || host.starts_with("127.");
        let text = if is_local { format!("http://{registry}") } else { registry.to_owned() };
        Self::listed(&[text])
    }

    /// Whether a registry may be asked.
    pub fn lists(&self, registry: &str) -> bool {
        self.guard.entries.iter().any(|entry| entry.name == registry)
    }

    /// Whether nobody may.
    pub fn is_empty(&self) -> bool {
        self.guard.entries.is_empty()
    }

    /// A repository of a listed registry.
    ///
    /// # Errors
    /// [`RegistryError::Unlisted`], [`RegistryError::Client`].
    pub fn open(&self, registry: &str, repository: &str) -> Result<Repository, RegistryError> {
        let entry = self.guard.entries.iter().find(|entry| entry.name == registry);
        let entry = entry.ok_or_else(|| RegistryError::Unlisted(registry.to_owned()))?;
        let repository = (entry.base.clone(), repository.to_owned());
        Ok(Repository::new(self.http()?, self.guard.clone(), repository))
    }

    fn http(&self) -> Result<Client, RegistryError> {
        if let Some(http) = self.http.get() {
            return Ok(http.clone());
        }
        // The one process-wide provider; an error means that somebody else installed one before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder()
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            // Each step is looked at by the guard, and so is each address.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(self.guard.clone())
            .build()
            .map_err(|error| RegistryError::Client(error.to_string()))?;
        Ok(self.http.get_or_init(|| http).clone())
    }
}

fn entry(text: &str) -> Result<Entry, RegistryError> {
    let bad = || RegistryError::Setting(text.chars().take(80).collect());
    let (scheme, name) =
        text.strip_prefix("http://").map_or(("https", text), |name| ("http", name));
    if !is_registry(name) {
        return Err(bad());
    }
    let place = if name == HUB { HUB_BASE } else { name };
    let base: Url = format!("{scheme}://{place}/").parse().map_err(|_| bad())?;
    Ok(Entry { name: name.to_owned(), base })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_or_refused() {
        let texts =
            ["docker.io", "registry.example:5000", "http://192.168.1.5:5000"].map(str::to_owned);
        let registries = Registries::listed(&texts).expect("a list");
        assert!(registries.lists("docker.io") && registries.lists("192.168.1.5:5000"));
        assert!(!registries.lists("registry-1.docker.io") && !registries.lists("registry.example"));
        let error = registries.open("quay.example", "a").expect_err("unlisted").to_string();
        assert_eq!(
            error,
            "the registry quay.example is not in the list of those that may be asked"
        );
        for bad in ["", "https://x", "a/b", "*", "user@host", "ftp://x"] {
            let error = Registries::listed(&[bad.to_owned()]).expect_err(bad).to_string();
            assert!(error.contains("expected HOST or HOST:PORT"), "{error}");
        }
        assert!(Registries::listed(&[]).expect("an empty list").is_empty());
    }
}
