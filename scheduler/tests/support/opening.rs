//! Deals that are not opened, or not ready, when the scheduler dies: it takes them up where they were.

use super::{
    free,
    pool::{MODULE, Pool, on_system},
    sides::{matched, part},
};
use quorate_chain::U256;
use quorate_common::{
    api::PlaceOrder,
    bag::{Bag, Limits, SCHEMA, Task},
    digest::Digest,
    messages::ReqOrder,
};
use quorate_grid::Grid;
use quorate_scheduler::{actors::grid::Query, dev};
use std::time::Duration;
use tokio::sync::oneshot;

const TASKS: u32 = 3;
/// Longest wait for something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

impl Pool {
    /// Waits until the grid says so.
    async fn until(&self, what: &str, is_so: impl Fn(&Grid) -> bool + Clone + Send + 'static) {
        let wait = async {
            loop {
                let (reply, hear) = oneshot::channel();
                let is_so = is_so.clone();
                self.running.grid.do_send(Query(Box::new(move |grid| {
                    reply.send(is_so(grid)).unwrap();
                })));
                if hear.await.unwrap() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("waited in vain for {what}"));
    }

    /// What the gas account can pay.
    async fn gas(&self, wei: u128) {
        let chain = self.chain.settlement.chain();
        chain.set_balance(dev::gas().address(), U256::from(wei)).await.unwrap();
    }
}

fn is_ready(grid: &Grid) -> Option<bool> {
    grid.deals().values().next().map(|deal| deal.ready)
}

/// Somebody else was quicker with a part, and the scheduler dies before it could open the rest: it has no
/// gas money.
#[test]
fn the_rest_of_an_order_is_opened_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut placed: Option<PlaceOrder> = None;
    on_system(async {
        let pool = Pool::start(data.path()).await;
        pool.gas(0).await;
        let place = pool.sign(pool.order(TASKS).await);
        let (status, body) = pool.place(&place).await;
        assert_eq!(status, 202, "{body}");
        part(&pool, &place, 1).await;
        pool.until("the stranger's deal", |grid| is_ready(grid) == Some(true)).await;
        pool.running.stop().await;
        placed = Some(place);
    });
    free(&data.path().join("journal"));
    on_system(async {
        let pool = Pool::start(data.path()).await;
        pool.until("what was known", |grid| grid.deals().len() == 1).await;
        pool.gas(1 << 70).await;
        let order = matched(&pool, &placed.take().unwrap()).await;
        let parts: Vec<(u32, u32)> = order.deals.iter().map(|d| (d.first, d.tasks)).collect();
        assert_eq!(parts, [(0, 1), (1, 2)]);
        pool.running.stop().await;
    });
}

fn bag() -> Bag {
    Bag {
        schema: SCHEMA.into(),
        kind: Default::default(),
        dataset: None,
        app: Digest::of(MODULE),
        with: Vec::new(),
        command: Vec::new(),
        readers: Vec::new(),
        limits: Limits::default(),
        files: Vec::new(),
        tasks: vec![Task::default(); TASKS as usize],
    }
}

/// A deal of bytes that the scheduler has never seen, opened by somebody else.
async fn unseen(pool: &Pool) -> PlaceOrder {
    let info = pool.info().await;
    let place = pool.sign(ReqOrder {
        requester: pool.requester.address(),
        app: Digest::of(MODULE).word(),
        params: Digest::of(&bag().to_bytes()).word(),
        pool_restrict: info.pool.restrict(),
        max_unit_price: info.unit_price.0,
        tasks: TASKS,
        trust: 5,
        replicas: 15,
        max_task_time: 60,
        expiry: info.unix_s + 3600,
        deadline: info.unix_s + 3600,
        ..ReqOrder::default()
    });
    part(pool, &place, TASKS).await;
    pool.until("the deal", |grid| is_ready(grid) == Some(false)).await;
    place
}

#[test]
fn a_deal_is_worked_on_when_its_bytes_have_come() {
    let data = tempfile::tempdir().unwrap();
    on_system(async {
        let pool = Pool::start(data.path()).await;
        unseen(&pool).await;
        pool.put(MODULE).await;
        pool.put(b"something else").await;
        pool.until("half of it", |grid| is_ready(grid) == Some(false)).await;
        pool.put(&bag().to_bytes()).await;
        pool.until("the deal to be ready", |grid| is_ready(grid) == Some(true)).await;
        pool.running.stop().await;
    });
}

/// The bytes were brought, and the scheduler died before it looked.
#[test]
fn a_deal_whose_bytes_came_just_before_a_crash_is_worked_on_after_it() {
    let data = tempfile::tempdir().unwrap();
    on_system(async {
        let pool = Pool::start(data.path()).await;
        unseen(&pool).await;
        // Past the door, which tells that bytes have come.
        for bytes in [MODULE.to_vec(), bag().to_bytes()] {
            let mut upload = pool.running.shared.blobs.begin();
            upload.write(&bytes).unwrap();
            upload.finish(Some(Digest::of(&bytes))).unwrap();
        }
        pool.until("nobody to look", |grid| is_ready(grid) == Some(false)).await;
        pool.running.stop().await;
    });
    free(&data.path().join("journal"));
    on_system(async {
        let pool = Pool::start(data.path()).await;
        pool.until("the deal to be ready", |grid| is_ready(grid) == Some(true)).await;
        pool.running.stop().await;
    });
}
