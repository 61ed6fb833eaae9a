//! What a worker must be given to start.

use crate::{blobs::BlobError, escape::EscapeOptions, runner::Runner, store::StoreError};
use quorate_chain::ChainUrl;
use quorate_common::{
    ids::TaskKey,
    invite::Invite,
    keys::{NodeKey, VoteKey},
    quic::SetupError,
};
use std::{fmt, io, path::PathBuf, sync::Arc};

/// Called when a run begins, with its task and round. For demonstrations and tests: the answer may
/// cut the line under the run.
pub type Hook = Arc<dyn Fn(TaskKey, u16) -> Whim + Send + Sync>;

/// What a hook wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whim {
    /// Nothing special.
    Work,
    /// The connection breaks without a word; the run goes on.
    CutTheLine,
}

/// Everything a worker is made of.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Where it works, and for whom.
    pub invite: Invite,
    /// Who it is.
    pub node_key: NodeKey,
    /// How it votes.
    pub vote_key: VoteKey,
    /// Its folder: store, blobs, evidence, lock. One worker, one folder.
    pub data_dir: PathBuf,
    /// Replicas at once, up to [`quorate_common::wire::SLOTS_MAX`].
    pub slots: u16,
    /// The least price of a task it works for, in token units.
    pub ask: u128,
    /// Memory it offers for all of them, in bytes; a task that may take more than its slot's share
    /// is given back.
    pub memory_bytes: u64,
    /// Bytes of blobs it keeps.
    pub cache_bytes: u64,
    /// A name for people, at most 64 bytes.
    pub name: String,
    /// Who runs its jobs.
    pub runner: Arc<dyn Runner>,
    /// Called when a run begins.
    pub hook: Option<Hook>,
    /// Nodes of the contract's chain, to keep a claim ticket by; without any, none is kept.
    pub chain: Vec<ChainUrl>,
    /// The means to be heard on chain, if the owner gives any.
    pub escape: Option<EscapeOptions>,
}

/// Bytes of blobs kept unless told otherwise: some hundred modules with their inputs.
pub const CACHE_BYTES: u64 = 2 << 30;

/// Why a worker does not start. Nothing was sent to anybody.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option is out of range.
    #[error("option `{field}` is {value}; expected {expected}")]
    Option {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// Another one uses the folder.
    #[error("another worker runs in {0}; give each worker a data folder of its own")]
    Running(PathBuf),
    /// The folder cannot be used.
    #[error("data folder {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was sealed cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blob folder cannot be used.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The worker's thread ended before the worker began.
    #[error("the worker's thread could not be started")]
    Thread,
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("invite", &self.invite)
            .field("data_dir", &self.data_dir)
            .field("slots", &self.slots)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
