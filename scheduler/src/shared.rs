//! What every part of the shell reads: keys, clocks, the deals that frames may name, metrics, events.
//! Nothing here decides; everything is set once or only grows.

use crate::{blobs::Blobs, config::Config, gauges::Unsettled, refusals::Visitors};
use quorate_common::{
    clock::{Floor, Now, SystemClock},
    ids::{DealId, DealSlot, PoolId, TaskKey},
    keys::{NodeKey, VoteKey},
    messages::{Domain, Separator},
};
use quorate_grid::{
    deal::{Opened, SignedPoolOrder},
    effect::TaskSettled,
};
use quorate_monitoring::SchedulerMetrics;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64},
    },
};
use tokio::sync::{Notify, broadcast};

/// Events a slow listener may lag behind before it is told to read again: five seconds of a busy
/// scheduler.
pub const EVENTS_MAX: usize = 65_536;

/// Something to tell whoever watches.
#[derive(Clone, Debug)]
pub enum Event {
    /// A task is over.
    Task(TaskSettled),
    /// An order's phase changed.
    Order,
    /// The scheduler ends: streams do as well, or it would wait for them.
    Stopping,
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    /// The operator's settings.
    pub config: Config,
    /// The pool.
    pub pool: PoolId,
    /// Chain and contract.
    pub domain: Domain,
    /// The domain separator.
    pub separator: Separator,
    /// Signs frames and headers.
    pub signer: VoteKey,
    /// The scheduler's identity.
    pub node_key: NodeKey,
    /// The offer deals are opened with.
    pub offer: SignedPoolOrder,
    /// Its signature's bytes.
    pub offer_signature: [u8; 64],
    /// Bytes by digest.
    pub blobs: Arc<Blobs>,
    /// Counters for Prometheus.
    pub metrics: SchedulerMetrics,
    /// Digits of the token after the point; its contract is asked at the start.
    pub token_decimals: AtomicU8,
    /// How long settled tasks wait for the chain.
    pub unsettled: Unsettled,
    /// For those who watch.
    pub events: broadcast::Sender<Event>,
    /// Who was turned away, and what workers call themselves.
    pub visitors: Visitors,
    /// Somebody has brought bytes: a deal may have waited for them.
    pub uploaded: Notify,
    /// Whether no new orders are taken.
    pub draining: AtomicBool,
    /// Acknowledgements given: never behind what a worker can have heard.
    pub acknowledged: AtomicU64,
    clock: SystemClock,
    /// What the chain says the time is at least.
    floor: Floor,
    deals: RwLock<BTreeMap<DealSlot, DealId>>,
}

/// What [`Shared::new`] needs.
#[derive(Debug)]
pub struct Parts {
    /// The operator's settings.
    pub config: Config,
    /// The pool.
    pub pool: PoolId,
    /// Chain and contract.
    pub domain: Domain,
    /// Signs frames and headers.
    pub signer: VoteKey,
    /// The scheduler's identity.
    pub node_key: NodeKey,
    /// The offer deals are opened with.
    pub offer: SignedPoolOrder,
    /// Bytes by digest.
    pub blobs: Arc<Blobs>,
}

impl Shared {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, pool, domain, signer, node_key, offer, blobs } = parts;
        Self {
            config,
            pool,
            domain,
            separator: domain.separator(),
            signer,
            node_key,
            offer_signature: offer.signature.to_bytes(),
            offer,
            blobs,
            metrics: SchedulerMetrics::new(),
            token_decimals: AtomicU8::new(18),
            unsettled: Unsettled::default(),
            events: broadcast::channel(EVENTS_MAX).0,
            visitors: Visitors::default(),
            uploaded: Notify::new(),
            draining: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            clock: SystemClock::start(),
            floor: Floor::default(),
            deals: RwLock::default(),
        }
    }

    /// Both clocks, the wall as the chain counts.
    pub fn now(&self) -> Now {
        self.floor.lift(self.clock.now())
    }

    /// Unix seconds by this machine alone, which may be wrong: only to be compared with the chain's.
    pub fn own_clock_s(&self) -> f64 {
        self.clock.now().unix_ms as f64 / 1e3
    }

    /// Notes the chain's time, if it is ahead: deadlines are judged by it.
    pub fn chain_is_at(&self, unix_s: u64) {
        self.floor.raise(self.clock.now(), unix_s);
    }

    /// From now on frames may name this deal.
    pub fn know_deal(&self, deal: &Opened) {
        let mut deals = self.deals.write().unwrap_or_else(PoisonError::into_inner);
        deals.insert(deal.slot, deal.id());
        drop(self.events.send(Event::Order));
    }

    /// The ids of the deals that `tasks` belong to, by slot; absent ones are unknown.
    pub fn deal_id(&self, task: TaskKey) -> Option<DealId> {
        let deals = self.deals.read().unwrap_or_else(PoisonError::into_inner);
        deals.get(&task.deal).copied()
    }
}
