//! `quorate run --encrypt-to`: input files that only named workers can read. Who they are is read from the
//! command line, the pool or a file; how files are sealed is `common`'s.

use crate::{
    api::Api,
    chain,
    config::Config,
    context::Context,
    failure,
    plan::{FileBlob, Plan},
};
use quorate_common::{
    B256,
    api::{PoolInfo, WorkerRow},
    digest::Digest,
    exit::{Code, Failure},
    sealed::{FilesKey, READERS_MAX, Reader, SealError},
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs,
    path::Path,
};
use tempfile::TempDir;

/// All workers that are connected now.
const POOL: &str = "pool";

/// A plan whose input files are sealed, and the folder they are in until they are uploaded.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// The plan.
    pub plan: Plan,
    /// Holds the sealed files.
    _folder: TempDir,
}

/// Seals a plan's input files to the workers that `to` names: `pool`, numbers of workers, or a file of node
/// keys. Arguments and standard input stay readable.
///
/// # Errors
/// [`Code::Usage`] for nobody, [`Code::Conflict`] where the chain knows a worker by another key.
pub(crate) async fn seal(
    context: &Context,
    to: &str,
    plan: Plan,
    api: &Api,
    pool: &PoolInfo,
) -> Result<Sealed, Failure> {
    let nodes = readers(&context.config, to, api, pool).await?;
    context.output.note(format!(
        "input files are sealed to {} workers; arguments and results are not",
        nodes.len()
    ));
    sealed(plan, &nodes)
}

async fn readers(
    config: &Config,
    to: &str,
    api: &Api,
    pool: &PoolInfo,
) -> Result<BTreeSet<B256>, Failure> {
    let nodes = match numbers(to) {
        Some(numbers) => {
            let rows = chosen(&api.workers().await?, to, numbers.as_deref())?;
            known_to_the_chain(config, pool, &rows).await?;
            rows.into_iter().map(|(_, node)| node).collect()
        }
        None => from_file(Path::new(to))?,
    };
    let count = nodes.len();
    if (1..=READERS_MAX).contains(&count) {
        return Ok(nodes);
    }
    let text = format!("--encrypt-to {to} names {count} workers; expected 1 to {READERS_MAX}");
    Err(Failure::new(Code::Usage, text).hint("quorate poco or GET /v1/workers lists a pool's"))
}

/// The workers' numbers; the inner `None`: all of the pool. The outer one: it is a file.
fn numbers(to: &str) -> Option<Option<Vec<u32>>> {
    if to == POOL {
        return Some(None);
    }
    let numbers: Option<Vec<u32>> = to.split(',').map(|part| part.trim().parse().ok()).collect();
    numbers.map(Some)
}

fn chosen(
    rows: &[WorkerRow],
    to: &str,
    numbers: Option<&[u32]>,
) -> Result<Vec<(u32, B256)>, Failure> {
    let of = |row: &WorkerRow| (row.worker.0, row.node_key);
    let Some(numbers) = numbers else {
        return Ok(rows.iter().filter(|row| row.connected).map(of).collect());
    };
    let find = |number: &u32| {
        rows.iter().find(|row| row.worker.0 == *number).map(of).ok_or_else(|| {
            Failure::new(Code::NotFound, format!("--encrypt-to {to}: no worker {number} here"))
        })
    };
    numbers.iter().map(find).collect()
}

/// A scheduler that gave its own keys for its workers' could read everything: where a node of the chain is
/// configured, the contract says whose they are.
async fn known_to_the_chain(
    config: &Config,
    pool: &PoolInfo,
    rows: &[(u32, B256)],
) -> Result<(), Failure> {
    if config.nodes()?.is_empty() {
        tracing::warn!(
            "`chain.url` is not set: the scheduler's word is taken for its workers' keys"
        );
        return Ok(());
    }
    let contract = chain::connect(config, pool.domain).await?;
    for (worker, node) in rows {
        let found = contract.worker_of_node_key(*node).await;
        let found = found.map_err(|error| failure::chain(&error))?;
        if found.map(|found| found.0) != Some(*worker) {
            let text = format!(
                "the scheduler says worker {worker} has node key {node}; the contract does not"
            );
            return Err(Failure::new(Code::Conflict, text).hint("do not trust this scheduler"));
        }
    }
    Ok(())
}

/// Node keys, one a line; `#` begins a remark.
fn from_file(path: &Path) -> Result<BTreeSet<B256>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        failure::file("read", path, &error).hint("--encrypt-to takes `pool`, numbers, or a file")
    })?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let node = |line: &str| {
        line.parse().map_err(|_| {
            let shown: String = line.chars().take(80).collect();
            let text = format!("{}: `{shown}` is no node key", path.display());
            Failure::new(Code::Usage, text).hint("expected 64 hex digits a line")
        })
    };
    lines.filter(|line| !line.is_empty()).map(node).collect()
}

fn sealed(plan: Plan, nodes: &BTreeSet<B256>) -> Result<Sealed, Failure> {
    let key = FilesKey::random().map_err(refused)?;
    let folder = TempDir::new().map_err(|error| Failure::new(Code::Internal, error))?;
    let Plan { app, mut bag, mut inputs, .. } = plan;
    let mut known: BTreeMap<Digest, FileBlob> = BTreeMap::new();
    let files = bag.files.iter_mut().chain(bag.tasks.iter_mut().flat_map(|task| &mut task.files));
    for file in files {
        // A dataset is its seller's, and guarded by other means.
        let Some(plain) = inputs.get(&file.digest) else { continue };
        let sealed = match known.entry(file.digest) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(seal_file(plain, &key, folder.path())?),
        };
        (file.digest, file.sealed) = (sealed.digest, true);
    }
    inputs.retain(|digest, _| !known.contains_key(digest));
    inputs.extend(known.into_values().map(|blob| (blob.digest, blob)));
    let reader = |node: &B256| Reader { node: *node, key: String::new() };
    bag.readers = nodes.iter().map(reader).collect();
    key.seal_to(&mut bag).map_err(refused)?;
    Ok(Sealed { plan: Plan::of(app, bag, inputs)?, _folder: folder })
}

fn seal_file(plain: &FileBlob, key: &FilesKey, folder: &Path) -> Result<FileBlob, Failure> {
    let bytes =
        fs::read(&plain.path).map_err(|error| failure::file("read", &plain.path, &error))?;
    if Digest::of(&bytes) != plain.digest {
        let text = format!("{} changed while it was read", plain.path.display());
        return Err(Failure::new(Code::Usage, text));
    }
    let sealed = key.seal(&bytes).map_err(refused)?;
    let (digest, len) = (Digest::of(&sealed), sealed.len() as u64);
    let path = folder.join(digest.to_string());
    fs::write(&path, sealed).map_err(|error| failure::file("written", &path, &error))?;
    Ok(FileBlob { path, len, digest })
}

fn refused(error: SealError) -> Failure {
    Failure::new(Code::Usage, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_it_names() {
        assert_eq!(numbers("pool"), Some(None));
        assert_eq!(numbers("1, 22,3"), Some(Some(vec![1, 22, 3])));
        for file in ["readers.txt", "1,x", "", "-1"] {
            assert_eq!(numbers(file), None, "{file}");
        }
    }

    #[test]
    fn node_keys_are_read_from_a_file() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("keys");
        let key = B256::repeat_byte(7);
        fs::write(&path, format!("# mine\n{key} # at home\n\n{}\n", &key.to_string()[2..]))
            .expect("written");
        assert_eq!(from_file(&path).expect("keys"), [key].into());
        fs::write(&path, "abc\n").expect("written");
        let refused = from_file(&path).expect_err("no key");
        assert!(refused.message.contains("`abc` is no node key"), "{}", refused.message);
    }
}
