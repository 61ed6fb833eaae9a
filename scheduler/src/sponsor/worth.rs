//! What is worth the pool's gas: nothing that the contract would refuse, nothing that is another pool's to pay, no
//! help to whoever does not need it. Asked before anything is counted.

use super::chain;
use crate::http::State;
use quorate_chain::{
    U256,
    outbox::Call,
    settlement::{CARRIED_GAS_MAX, SeatView, WorkerView},
};
use quorate_common::{
    exit::{Code, Failure},
    ids::WorkerIdx,
    permit::{Act, Permit},
};

/// Refuses what the contract would refuse, and what is not this pool's to pay. A claim is put again with this
/// pool's own proof, so that nobody is made to pay for a wrong one.
pub(super) async fn useful(state: &State, permit: &Permit) -> Result<Option<Call>, Failure> {
    let settlement = &state.settlement;
    let conflict = |text: String| Failure::new(Code::Conflict, text);
    match &permit.act {
        Act::Register { binding, .. } => {
            in_time(state, binding.deadline)?;
            let known = settlement.worker_of_node_key(binding.node_key).await.map_err(chain)?;
            let voter = settlement.worker_of_vote_key(binding.vote_key).await.map_err(chain)?;
            match known.or(voter) {
                Some(worker) => Err(conflict(format!("{worker} is registered with that key"))),
                None => Ok(None),
            }
        }
        Act::Operate { owner, op, .. } => {
            in_time(state, op.deadline)?;
            let (view, _) = known(state, op.worker).await?;
            if view.owner != *owner {
                let text = format!("{}'s owner is {}, not {owner}", op.worker, view.owner);
                return Err(Failure::new(Code::Denied, text));
            }
            let next = settlement.nonce_of(*owner).await.map_err(chain)?;
            if op.nonce != next {
                return Err(conflict(format!("`nonce` is {}; expected {next}", op.nonce)));
            }
            Ok(None)
        }
        Act::Claim { pool, proof } => {
            let worker = proof.worker;
            if *pool != state.shared.pool {
                let text = format!("this is {}, not {pool}", state.shared.pool);
                return Err(Failure::new(Code::Denied, text));
            }
            let (_, seat) = known(state, worker).await?;
            let (index, opening, account, path) = state.finals.worker(worker);
            let due = account.as_ref().filter(|account| account.cum_earned > seat.claimed);
            let account = due.ok_or_else(|| conflict(format!("nothing is due to {worker}")))?;
            let call = settlement.claim(*pool, worker, account, &path, index, &opening.anchor());
            Ok(Some(Call { gas_max: Some(CARRIED_GAS_MAX), ..call }))
        }
    }
}

fn in_time(state: &State, deadline: u64) -> Result<(), Failure> {
    let now = state.shared.now().unix_s();
    if deadline > now {
        return Ok(());
    }
    let text = format!("`deadline` is {deadline}, and it is {now}: sign anew");
    Err(Failure::new(Code::Conflict, text))
}

pub(super) async fn known(
    state: &State,
    worker: WorkerIdx,
) -> Result<(WorkerView, SeatView), Failure> {
    let view = state.settlement.worker(worker).await.map_err(|error| {
        match error.revert_name() == Some("UnknownWorker") {
            true => Failure::new(Code::NotFound, format!("{worker} is not registered")),
            false => chain(error),
        }
    })?;
    let seat = state.settlement.seat(state.shared.pool, worker).await.map_err(chain)?;
    Ok((view, seat))
}

pub(super) async fn may_start(
    state: &State,
    view: &WorkerView,
    seat: SeatView,
) -> Result<u128, Failure> {
    let advance = state.sponsor.rules.advance;
    let no = |code, text: &str| Err(Failure::new(code, text));
    if advance == 0 {
        return no(Code::Denied, "this pool gives nobody a first stake");
    }
    if view.exit_at.is_some() || seat.stake > 0 || seat.claimed > 0 {
        return no(Code::Conflict, "a first stake is for newcomers; this worker has begun already");
    }
    let have = state.settlement.token_balance(state.outbox.account()).await.map_err(chain)?;
    if have < U256::from(advance) {
        return no(Code::Funds, "the pool has no tokens left for first stakes; tell its operator");
    }
    Ok(advance)
}

pub(super) async fn may_exit(
    state: &State,
    view: &WorkerView,
    seat: SeatView,
) -> Result<(), Failure> {
    let now = state.settlement.chain().head().await.map_err(chain)?.timestamp;
    let out = view.exit_at.is_some_and(|at| at <= now.max(state.shared.now().unix_s()));
    if out && seat.stake > 0 {
        return Ok(());
    }
    let text = "there is no stake of it here that could leave now";
    Err(Failure::new(Code::Conflict, text))
}

pub(super) async fn may_pass_on(
    state: &State,
    view: &WorkerView,
    worker: WorkerIdx,
) -> Result<(), Failure> {
    let (_, _, account, _) = state.finals.worker(worker);
    let has_earned = account.is_some_and(|account| account.cum_earned > 0);
    let has = state.settlement.token_balance(view.owner).await.map_err(chain)?;
    if has_earned && !has.is_zero() {
        return Ok(());
    }
    Err(Failure::new(Code::Conflict, "its owner has nothing that was earned here to pass on"))
}
