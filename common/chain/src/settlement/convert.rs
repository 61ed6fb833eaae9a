//! Between the protocol's structs (`quorate-common`) and the generated ones, field by field, so
//! that a field added on one side does not compile on the other.

use crate::abi::{BookBench, Court, Escape, Market, Settlement as Abi, StepBench, WordBench};
use quorate_common::accounts::{DealAccount, TaskRec, Vote, WorkerAccount};
use quorate_common::anchor::{Anchor, Opening};
use quorate_common::ids::PoolId;
use quorate_common::messages::{
    AppOrder, Assign, CommitAck, CommitSet, DatasetOrder, Header, PoolOrder, ReqOrder, Reveal,
    RevealAck, SponsorOrder,
};
use quorate_common::terms::DealTerms;

/// From ours to theirs.
macro_rules! to_abi {
    ($($ours:ident => $theirs:ty { $($field:ident $sol:ident $(. $inner:tt)?,)* })*) => {$(
        impl From<&$ours> for $theirs {
            fn from(value: &$ours) -> Self {
                let $ours { $($field,)* } = value;
                Self { $($sol: $field $(.$inner)? .to_owned(),)* }
            }
        }
    )*};
}

/// What every contract takes that looks at batches.
macro_rules! header {
    ($module:ident) => {
        to_abi! {
        Header => $module::Header {
            pool poolId.0,
            index index,
            parent parent,
            tasks_root tasksRoot,
            state_root stateRoot,
            evidence evidence,
            count count,
            payout payout,
            fees fees,
            royalties royalties,
            slashed slashed,
            cum_fees cumFees,
        }
        }
    };
}

/// A deal's terms.
macro_rules! terms {
    ($module:ident) => {
        to_abi! {
        DealTerms => $module::DealTerms {
            requester requester,
            payer payer,
            beneficiary beneficiary,
            callback callback,
            pool poolId.0,
            app app,
            app_owner appOwner,
            app_price appPrice,
            dataset dataset,
            dataset_owner datasetOwner,
            dataset_price datasetPrice,
            params params,
            unit_price unitPrice,
            tasks tasks,
            trust trust,
            replicas replicas,
            stake_ratio stakeRatio,
            scheduler_ratio schedulerRatio,
            category category,
            tag tag,
            max_task_time maxTaskTime,
            deadline deadline,
            req_hash reqHash,
            filled_before filledBefore,
        }
        }
    };
}

/// The structs that both the contract and its benches take.
macro_rules! shared {
    ($module:ident) => {
        header!($module);
        terms!($module);
        accounts!($module);
    };
}

/// The leaves of the state tree.
macro_rules! accounts {
    ($module:ident) => {
        to_abi! {
        WorkerAccount => $module::WorkerAccount {
            owner owner,
            vote_key voteKey,
            cum_earned cumEarned,
            cum_slashed cumSlashed,
            score score,
            last_task_seq lastTaskSeq,
        }
        DealAccount => $module::DealAccount {
            deal_id dealId.0,
            settled_root settledRoot,
            settled_count settledCount,
            spent spent,
            refunded refunded,
        }
            }
    };
}

/// What only the court and its benches take.
macro_rules! task {
    ($module:ident) => {
        to_abi! {
        TaskRec => $module::TaskRec {
            deal_id dealId.0,
            task_idx taskIdx,
            attempt attempt,
            outcome outcome,
            commit_set_root commitSetRoot,
            winner_digest winnerDigest,
            reward reward,
            run_payout runPayout,
            run_fees runFees,
            run_royalties runRoyalties,
            run_slash runSlash,
            votes_hash votesHash,
            post_state_root postStateRoot,
        }
            }
    };
}

shared!(Abi);
header!(Court);
task!(Court);
shared!(StepBench);
task!(StepBench);
shared!(BookBench);
task!(BookBench);
terms!(Escape);
accounts!(Escape);
header!(WordBench);
terms!(WordBench);
task!(WordBench);

to_abi! {
    ReqOrder => Market::ReqOrder {
        requester requester,
        beneficiary beneficiary,
        callback callback,
        app app,
        app_owner appOwner,
        app_max_price appMaxPrice,
        dataset dataset,
        dataset_owner datasetOwner,
        dataset_max_price datasetMaxPrice,
        params params,
        pool_restrict poolRestrict,
        max_unit_price maxUnitPrice,
        tasks tasks,
        tag tag,
        category category,
        trust trust,
        replicas replicas,
        max_task_time maxTaskTime,
        expiry expiry,
        deadline deadline,
        salt salt,
    }
    PoolOrder => Market::PoolOrder {
        pool poolId.0,
        unit_price unitPrice,
        tasks tasks,
        tag tag,
        category category,
        trust trust,
        stake_ratio stakeRatio,
        scheduler_ratio schedulerRatio,
        max_task_time maxTaskTime,
        app_restrict appRestrict,
        dataset_restrict datasetRestrict,
        requester_restrict requesterRestrict,
        expiry expiry,
        salt salt,
    }
    AppOrder => Market::AppOrder {
        owner owner,
        app app,
        price price,
        tasks tasks,
        tag tag,
        dataset_restrict datasetRestrict,
        pool_restrict poolRestrict,
        requester_restrict requesterRestrict,
        expiry expiry,
        salt salt,
    }
    DatasetOrder => Market::DatasetOrder {
        owner owner,
        dataset dataset,
        price price,
        tasks tasks,
        tag tag,
        app_restrict appRestrict,
        pool_restrict poolRestrict,
        requester_restrict requesterRestrict,
        expiry expiry,
        salt salt,
    }
    SponsorOrder => Market::SponsorOrder {
        sponsor sponsor,
        req_hash reqHash,
        max_cost maxCost,
        expiry expiry,
        salt salt,
    }
    Opening => Abi::Opening {
        state_root stateRoot,
        header_hash headerHash,
        committed_at committedAt,
        inbox inbox,
    }
    Anchor => Abi::Anchor {
        state_root stateRoot,
        rest rest,
    }
    Anchor => Escape::Anchor {
        state_root stateRoot,
        rest rest,
    }
    Reveal => Abi::Reveal {
        pool poolId.0,
        task_id taskId,
        attempt attempt,
        set_root commitSetRoot,
        digest resultDigest,
        salt salt,
    }
}

/// The scheduler's words, for whoever takes one.
macro_rules! commit_set {
    ($module:ident) => {
        to_abi! {
        CommitSet => $module::CommitSet {
            pool poolId.0,
            task_id taskId,
            attempt attempt,
            root commitSetRoot,
            n n,
            reveal_deadline revealDeadline,
        }
        }
    };
}

commit_set!(Abi);
commit_set!(Court);
commit_set!(WordBench);
commit_set!(Escape);

/// What a worker was promised.
macro_rules! promises {
    ($module:ident) => {
        to_abi! {
        Assign => $module::Assign {
            pool poolId.0,
            deal dealId.0,
            task_idx taskIdx,
            attempt attempt,
            worker workerIdx.0,
            seed_epoch seedEpoch,
            commit_deadline commitDeadline,
            reveal_deadline revealDeadline,
        }
        CommitAck => $module::CommitAck {
            pool poolId.0,
            task_id taskId,
            attempt attempt,
            worker workerIdx.0,
            commitment commitment,
            seq seq,
        }
        }
    };
}

promises!(WordBench);
promises!(Escape);

/// A vote with its signature.
macro_rules! vote {
    ($module:ident) => {
        to_abi! {
        Vote => $module::Vote {
            worker workerIdx,
            attempt attempt,
            digest resultDigest,
            salt salt,
            frame_index frameIndex,
            frame_count frameCount,
            path path,
            r r,
            vs vs,
        }
        }
    };
}

vote!(Court);
vote!(Escape);

/// A receipt for a reveal, for whoever takes one.
macro_rules! reveal_ack {
    ($module:ident) => {
        to_abi! {
        RevealAck => $module::RevealAck {
            pool poolId.0,
            task_id taskId,
            attempt attempt,
            worker workerIdx.0,
            vote_hash voteHash,
            stored stored,
            seq seq,
        }
        }
    };
}

reveal_ack!(WordBench);
reveal_ack!(StepBench);

/// From theirs to ours.
macro_rules! from_abi {
    ($($theirs:ty => $ours:ident { $($field:ident: $value:expr,)* } of $name:ident)*) => {$(
        impl From<$theirs> for $ours {
            fn from($name: $theirs) -> Self {
                Self { $($field: $value,)* }
            }
        }
    )*};
}

from_abi! {
    Abi::Header => Header {
        pool: PoolId(header.poolId),
        index: header.index,
        parent: header.parent,
        tasks_root: header.tasksRoot,
        state_root: header.stateRoot,
        evidence: header.evidence,
        count: header.count,
        payout: header.payout,
        fees: header.fees,
        royalties: header.royalties,
        slashed: header.slashed,
        cum_fees: header.cumFees,
    } of header
    Abi::DealTerms => DealTerms {
        requester: terms.requester,
        payer: terms.payer,
        beneficiary: terms.beneficiary,
        callback: terms.callback,
        pool: PoolId(terms.poolId),
        app: terms.app,
        app_owner: terms.appOwner,
        app_price: terms.appPrice,
        dataset: terms.dataset,
        dataset_owner: terms.datasetOwner,
        dataset_price: terms.datasetPrice,
        params: terms.params,
        unit_price: terms.unitPrice,
        tasks: terms.tasks,
        trust: terms.trust,
        replicas: terms.replicas,
        stake_ratio: terms.stakeRatio,
        scheduler_ratio: terms.schedulerRatio,
        category: terms.category,
        tag: terms.tag,
        max_task_time: terms.maxTaskTime,
        deadline: terms.deadline,
        req_hash: terms.reqHash,
        filled_before: terms.filledBefore,
    } of terms
}
