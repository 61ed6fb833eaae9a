//! Simulated workers, all of one market: connected together, gone together, on threads of their own.

use super::simulated::{Mode, Simulated};
use quinn::Endpoint;
use quorate_common::{
    api::PoolInfo,
    exit::{Code, Failure},
    ids::WorkerIdx,
    keys::{NodeKey, VoteKey},
    report::Chain,
};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{runtime::Runtime, task::JoinSet};

/// Workers that share a UDP socket: so few that its buffers hold a burst of all of them.
const PER_SOCKET: usize = 64;
/// Handshakes at once: a scheduler's accept queue is bounded, and thousands at once are an attack.
const AT_ONCE: usize = 64;

/// A registered worker.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Who it is.
    pub node_key: NodeKey,
    /// Signs its votes.
    pub vote_key: VoteKey,
    /// How the contract knows it.
    pub worker: WorkerIdx,
}

/// Connected workers.
pub(super) struct Crowd {
    runtime: Option<Runtime>,
    endpoints: Vec<Endpoint>,
}

impl Crowd {
    /// Connects every member, some at a time; each is welcomed when this returns.
    pub(super) async fn connect(
        pool: &PoolInfo,
        members: &[Member],
        slots: u16,
        modes: Vec<Mode>,
    ) -> Result<Self, Failure> {
        let internal = |error: &dyn std::error::Error| Failure::new(Code::Internal, Chain(error));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("workers").enable_all().build();
        let runtime = runtime.map_err(|error| internal(&error))?;
        let (pool, members) = (pool.clone(), members.to_vec());
        let connecting = runtime.spawn(connect_all(pool, members, slots, modes));
        let endpoints = connecting.await.map_err(|error| internal(&error))??;
        Ok(Self { runtime: Some(runtime), endpoints })
    }

    /// Closes every connection.
    pub(super) async fn leave(mut self) {
        for endpoint in &self.endpoints {
            endpoint.close(0_u32.into(), b"the benchmark is over");
        }
        for endpoint in &self.endpoints {
            endpoint.wait_idle().await;
        }
        self.endpoints.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // A runtime may not be dropped inside of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn connect_all(
    pool: PoolInfo,
    members: Vec<Member>,
    slots: u16,
    modes: Vec<Mode>,
) -> Result<Vec<Endpoint>, Failure> {
    let to: SocketAddr = pool.quic.parse().map_err(|_| {
        Failure::new(Code::Conflict, format!("`quic` is `{}`; expected IP:PORT", pool.quic))
    })?;
    let mut endpoints = Vec::new();
    let mut greetings = JoinSet::new();
    for (at, (member, mode)) in members.into_iter().zip(modes).enumerate() {
        if at % PER_SOCKET == 0 {
            let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into());
            endpoints.push(endpoint.map_err(|error| Failure::new(Code::Internal, error))?);
        }
        let Some(endpoint) = endpoints.last().cloned() else { continue };
        let simulated = Simulated::new(&pool, member, slots, mode);
        greetings.spawn(async move { simulated.start(endpoint, to).await });
        if greetings.len() >= AT_ONCE {
            joined(greetings.join_next().await)?;
        }
    }
    while let Some(greeting) = greetings.join_next().await {
        joined(Some(greeting))?;
    }
    Ok(endpoints)
}

fn joined(
    greeting: Option<Result<Result<(), Failure>, tokio::task::JoinError>>,
) -> Result<(), Failure> {
    match greeting {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(Failure::new(Code::Internal, error)),
        None => Ok(()),
    }
}
