//! `earnings` and `claim`: what was earned by this worker's own count, what is final by a proof
//! against the contract, and how it is paid out.

use super::{
    Global, amount, chain,
    config::Config,
    failure,
    output::{Output, facts},
    owner,
    show::STATUS_FILE,
};
use crate::status::Status;
use quorate_chain::{Settlement, error::SettleError, settlement::SeatView};
use quorate_common::{
    api::WorkerProof,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys, merkle,
    report::Chain,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// Longest wait for the scheduler's API.
const API_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer read from it, in bytes: a proof has 2 KB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// `earnings`.
pub(crate) async fn show(global: Global, output: Output) -> Result<(), Failure> {
    let account = Account::find(&global).await?;
    let counted = Status::read(&account.config.path(STATUS_FILE)).ok();
    let counted = counted.map_or(0, |status| status.view.totals.earned);
    let proof = account.proof().await?;
    let proven = proof.as_ref().map_or(0, |proof| proof.account.cum_earned);
    let SeatView { stake, slashed, claimed } = account.seat;
    let due = proven.saturating_sub(claimed);
    let document = json!({
        "schema": "quorate.earnings/v1",
        "worker": account.worker,
        "counted": counted.to_string(),
        "final": proven.to_string(),
        "claimed": claimed.to_string(),
        "due": due.to_string(),
        "stake": stake.to_string(),
        "slashed": slashed.to_string(),
        "batch": proof.as_ref().map(|proof| proof.index),
    });
    output.either(&document, || {
        facts(&[
            ("worker", account.worker.to_string()),
            ("earned", format!("{} by this worker's own count", amount::show(counted))),
            ("final", amount::show(proven)),
            ("claimed", amount::show(claimed)),
            ("due", amount::show(due)),
            ("stake", amount::show(stake)),
            ("slashed", amount::show(slashed)),
        ])
    })
}

/// `claim`.
pub(crate) async fn claim(global: Global, output: Output) -> Result<(), Failure> {
    let account = Account::find(&global).await?;
    let nothing = || {
        Failure::new(Code::NotFound, "nothing is due: no final batch has unpaid earnings").hint(
            "a batch is final after its challenge window; `quorate-worker earnings` shows more",
        )
    };
    let proof = account.proof().await?.ok_or_else(nothing)?;
    let due = proof.account.cum_earned.saturating_sub(account.seat.claimed);
    if due == 0 {
        return Err(nothing());
    }
    let signer = owner::open(&account.config, output)?;
    let owner = signer.address();
    let outbox = chain::outbox(&account.settlement, signer);
    let WorkerProof { account: ref leaf, ref path, ref opening, index, .. } = proof;
    let (pool, worker) = (account.invite.pool, account.worker);
    let call = account.settlement.claim(pool, worker, leaf, path, index, &opening.anchor());
    output.note(format!("sending: {}", call.what));
    let receipt = outbox.send(call).await.map_err(|error| failure::chain(&error))?;
    let document = json!({
        "schema": "quorate.claim/v1",
        "worker": worker,
        "paid": due.to_string(),
        "to": leaf.owner,
        "batch": index,
        "tx": receipt.tx,
        "gas": receipt.gas_used,
    });
    tracing::debug!(%owner, "claimed");
    output.either(&document, || format!("paid {} to {}", amount::show(due), leaf.owner))
}

/// Asks the scheduler's API.
pub(crate) async fn get<T: DeserializeOwned>(api: &str, path: &str) -> Result<T, Failure> {
    // The one process-wide provider; an error means that somebody else installed one before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(API_TIMEOUT).build();
    let client = client.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
    let url = format!("{}{path}", api.trim_end_matches('/'));
    let unreachable = |error: reqwest::Error| {
        Failure::new(Code::Unreachable, format!("{url}: {}", Chain(&error.without_url())))
    };
    let mut response = client.get(&url).send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let text = format!("{url}: the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(Failure::new(Code::Unreachable, text));
        }
        body.extend_from_slice(&chunk);
    }
    if status == reqwest::StatusCode::NOT_FOUND {
        return Err(Failure::new(Code::NotFound, format!("{url}: not found")));
    }
    if !status.is_success() {
        let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        return Err(Failure::new(Code::Unreachable, format!("{url}: {status}: {said}")));
    }
    serde_json::from_slice(&body).map_err(|error| {
        Failure::new(Code::Unreachable, format!("{url}: the answer is not as expected: {error}"))
    })
}

/// This worker on chain.
struct Account {
    config: Config,
    invite: Invite,
    settlement: Settlement,
    worker: WorkerIdx,
    seat: SeatView,
}

impl Account {
    async fn find(global: &Global) -> Result<Self, Failure> {
        let config = Config::load(global, &[])?;
        let invite = config.invite()?;
        let node_key = keys::node_key_at(&config.path("node.key"));
        let node_key = node_key.map_err(|error| failure::key(&error))?;
        let settlement = chain::connect(&config, &invite).await?;
        let found = settlement.worker_of_node_key(node_key.public()).await;
        let worker = found.map_err(|error| failure::chain(&error))?.ok_or_else(|| {
            Failure::new(Code::NotFound, "the contract does not know this worker")
                .hint("`quorate-worker join` registers it")
        })?;
        let seat = settlement.seat(invite.pool, worker).await;
        let seat = seat.map_err(|error| failure::chain(&error))?;
        Ok(Self { config, invite, settlement, worker, seat })
    }

    /// This worker's account in the newest final batch, checked against the contract's own root;
    /// nothing if it is in none.
    async fn proof(&self) -> Result<Option<WorkerProof>, Failure> {
        let api = self.config.api(&self.invite).ok_or_else(|| {
            Failure::new(Code::Usage, "neither the invitation nor `api` names the scheduler's API")
                .hint("set `api`; the pool's operator knows it")
        })?;
        let path = format!("/v1/workers/{}/proof", self.worker.0);
        let proof: WorkerProof = match get(&api, &path).await {
            Ok(proof) => proof,
            Err(failure) if failure.exit == Code::NotFound as u8 => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if !self.is_proven(&proof).await.map_err(|error| failure::chain(&error))? {
            let text = format!("the scheduler's proof does not fit batch {} on chain", proof.index);
            return Err(
                Failure::new(Code::Failed, text).hint("nothing was sent; tell the pool's operator")
            );
        }
        Ok(Some(proof))
    }

    /// Whether the proof leads to the state of a final batch, as the contract has it.
    async fn is_proven(&self, proof: &WorkerProof) -> Result<bool, SettleError> {
        let pool = self.settlement.pool(self.invite.pool).await?;
        let word = self.settlement.batch(self.invite.pool, proof.index).await?;
        let anchor = proof.opening.anchor();
        let (leaf, index) = (proof.account.leaf(), u64::from(self.worker.0));
        let (root, depth) = (anchor.state_root, merkle::STATE_DEPTH);
        let leads = merkle::proves(root, depth, leaf, index, &proof.path);
        Ok(leads && word == anchor.word() && proof.index <= pool.finalized)
    }
}
