//! A deal's terms: all that its orders agreed on, fixed at the match. Their hash is the deal's id, so
//! whoever holds the terms can prove them. Which orders match is the contract's business.

use crate::{
    ids::{DealId, PoolId},
    messages::{Message as _, PoolOrder, ReqOrder, Word},
};
use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

macro_rules! terms {
    ($($(#[$doc:meta])* $field:ident: $rust:ty,)*) => {
        /// PROTOCOL.md section 2, `DealTerms`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct DealTerms { $($(#[$doc])* pub $field: $rust,)* }

        impl DealTerms {
            /// The deal's id: `keccak256(abi.encode(terms))`.
            pub fn id(&self) -> DealId {
                let words = [$(self.$field.word(),)*];
                DealId(keccak256(words.as_flattened()))
            }
        }
    };
}

terms! {
    /// Who asked.
    requester: Address,
    /// Who paid, and gets back what is not spent.
    payer: Address,
    /// Whose key results are encrypted for; zero: the requester's.
    beneficiary: Address,
    /// EIP-1154 consumer that results can be pushed to, or zero.
    callback: Address,
    /// Who works.
    pool: PoolId,
    /// sha256 of the application.
    app: B256,
    /// Who is paid for it; zero: nobody.
    app_owner: Address,
    /// Token units per task.
    app_price: u128,
    /// sha256 of the dataset; zero: none.
    dataset: B256,
    /// Who is paid for it; zero: nobody.
    dataset_owner: Address,
    /// Token units per task.
    dataset_price: u128,
    /// sha256 of the bag.
    params: B256,
    /// Token units per task to the pool.
    unit_price: u128,
    /// Tasks in this deal.
    tasks: u32,
    /// 1 / (chance of a wrong result) asked for.
    trust: u32,
    /// Most replicas a task may take, 1 to 15.
    replicas: u8,
    /// Whole percent of the unit price a vote puts at stake.
    stake_ratio: u8,
    /// Whole percent of a reward that is the scheduler's.
    scheduler_ratio: u8,
    /// The class of work.
    category: u16,
    /// What the work needs, a bit each.
    tag: B256,
    /// Seconds one replica may take.
    max_task_time: u64,
    /// Unix seconds; the deal's work ends here.
    deadline: u64,
    /// Struct hash of the requester's order.
    req_hash: B256,
    /// Tasks of the requester's order that earlier deals took.
    filled_before: u32,
}

impl DealTerms {
    /// What the contract makes of a request for a free application without dataset or sponsor, and a
    /// pool's order: `tasks` of them after `filled_before`.
    pub fn of(req: &ReqOrder, offer: &PoolOrder, filled_before: u32, tasks: u32) -> Self {
        Self {
            requester: req.requester,
            payer: req.requester,
            beneficiary: req.beneficiary,
            callback: req.callback,
            pool: offer.pool,
            app: req.app,
            app_owner: Address::ZERO,
            app_price: 0,
            dataset: req.dataset,
            dataset_owner: Address::ZERO,
            dataset_price: 0,
            params: req.params,
            unit_price: offer.unit_price,
            tasks,
            trust: req.trust,
            replicas: req.replicas,
            stake_ratio: offer.stake_ratio,
            scheduler_ratio: offer.scheduler_ratio,
            category: req.category,
            tag: req.tag,
            max_task_time: req.max_task_time,
            deadline: req.deadline,
            req_hash: req.struct_hash(),
            filled_before,
        }
    }

    /// Whether a deal of these terms does what `req` asked for, at no higher price than it allowed.
    pub fn keep(&self, req: &ReqOrder) -> bool {
        let who = (self.requester, self.beneficiary, self.callback);
        let what = (self.app, self.app_owner, self.dataset, self.dataset_owner, self.params);
        let how = (self.category, self.trust, self.replicas, self.max_task_time);
        let prices = [
            (self.app_price, req.app_max_price),
            (self.dataset_price, req.dataset_max_price),
            (self.unit_price, req.max_unit_price),
        ];
        self.req_hash == req.struct_hash()
            && who == (req.requester, req.beneficiary, req.callback)
            && what == (req.app, req.app_owner, req.dataset, req.dataset_owner, req.params)
            && how == (req.category, req.trust, req.replicas, req.max_task_time)
            // Application and dataset may need more of a pool.
            && (self.tag & req.tag) == req.tag
            && self.deadline == req.deadline
            && prices.iter().all(|(price, most)| price <= most)
    }

    /// Token units per task to owners of application and dataset.
    pub fn royalty(&self) -> u128 {
        self.app_price.saturating_add(self.dataset_price)
    }

    /// Token units per task in all.
    pub fn price(&self) -> u128 {
        self.unit_price.saturating_add(self.royalty())
    }
}
