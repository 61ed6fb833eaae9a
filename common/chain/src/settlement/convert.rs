//! Between the protocol's structs (`quorate-common`) and the generated ones, field by field, so
//! that a field added on one side does not compile on the other.

use crate::abi::Settlement as Abi;
use quorate_common::accounts::{DealAccount, WorkerAccount};
use quorate_common::ids::PoolId;
use quorate_common::messages::{Header, PoolOrder, ReqOrder};

impl From<&ReqOrder> for Abi::ReqOrder {
    fn from(order: &ReqOrder) -> Self {
        let ReqOrder {
            requester,
            app,
            params,
            pool,
            max_unit_price,
            tasks,
            trust,
            replicas,
            max_task_time,
            expiry,
            deadline,
            salt,
        } = order;
        Self {
            requester: *requester,
            app: *app,
            params: *params,
            poolId: pool.0,
            maxUnitPrice: *max_unit_price,
            tasks: *tasks,
            trust: *trust,
            replicas: *replicas,
            maxTaskTime: *max_task_time,
            expiry: *expiry,
            deadline: *deadline,
            salt: *salt,
        }
    }
}

impl From<&PoolOrder> for Abi::PoolOrder {
    fn from(order: &PoolOrder) -> Self {
        let PoolOrder {
            pool,
            unit_price,
            tasks,
            trust,
            stake_ratio,
            scheduler_ratio,
            max_task_time,
            expiry,
            salt,
        } = order;
        Self {
            poolId: pool.0,
            unitPrice: *unit_price,
            tasks: *tasks,
            trust: *trust,
            stakeRatio: *stake_ratio,
            schedulerRatio: *scheduler_ratio,
            maxTaskTime: *max_task_time,
            expiry: *expiry,
            salt: *salt,
        }
    }
}

impl From<&Header> for Abi::Header {
    fn from(header: &Header) -> Self {
        let Header {
            pool,
            index,
            parent,
            tasks_root,
            state_root,
            evidence,
            count,
            payout,
            fees,
            slashed,
            ring_root,
        } = header;
        Self {
            poolId: pool.0,
            index: *index,
            parent: *parent,
            tasksRoot: *tasks_root,
            stateRoot: *state_root,
            evidence: *evidence,
            count: *count,
            payout: *payout,
            fees: *fees,
            slashed: *slashed,
            ringRoot: *ring_root,
        }
    }
}

impl From<Abi::Header> for Header {
    fn from(header: Abi::Header) -> Self {
        Self {
            pool: PoolId(header.poolId),
            index: header.index,
            parent: header.parent,
            tasks_root: header.tasksRoot,
            state_root: header.stateRoot,
            evidence: header.evidence,
            count: header.count,
            payout: header.payout,
            fees: header.fees,
            slashed: header.slashed,
            ring_root: header.ringRoot,
        }
    }
}

impl From<&WorkerAccount> for Abi::WorkerAccount {
    fn from(account: &WorkerAccount) -> Self {
        let WorkerAccount { owner, vote_key, cum_earned, cum_slashed, score, last_task_seq } =
            account;
        Self {
            owner: *owner,
            voteKey: *vote_key,
            cumEarned: *cum_earned,
            cumSlashed: *cum_slashed,
            score: *score,
            lastTaskSeq: *last_task_seq,
        }
    }
}

impl From<&DealAccount> for Abi::DealAccount {
    fn from(account: &DealAccount) -> Self {
        let DealAccount { deal_id, settled_root, settled_count, spent, refunded } = account;
        Self {
            dealId: deal_id.0,
            settledRoot: *settled_root,
            settledCount: *settled_count,
            spent: *spent,
            refunded: *refunded,
        }
    }
}
