//! A scheduler that acknowledges and then falls silent, against a real worker and the real contracts: what
//! the worker keeps, demands, and says on chain.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(dead_code, reason = "the scheduler's end is shared with other tests")]

#[path = "support/scheduler.rs"]
mod scheduler;

use quorate_chain::{
    Chain, ChainUrl, EmbeddedConfig, EmbeddedNode, Finality, Follower, Outbox, OutboxConfig,
    Settlement, Signer, U256,
    events::{ChainEvent, Forced},
    preset,
    settlement::{deploy_settlement, deploy_token},
};
use quorate_common::{
    B256,
    anchor::SLACK_S,
    bag::Task,
    frame::{self, FrameTree},
    keys::{NodeKey, VoteKey},
    messages::{CommitSet, Message as _},
    wire::{AssignItem, Duties},
    word::{Said, Word},
};
use quorate_policy::Claims;
use quorate_worker::{
    EngineRunner, WorkerOptions,
    engine::{Engine, EngineConfig},
    escape::EscapeOptions,
};
use scheduler::{
    CONTRACT, POOL, Scheduler, Session, WORKER, deal_id, nothing, set_of_one, soon, task,
};
use std::{path::Path, sync::Arc, time::Duration};

const ECHO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\02\00\00\00ok")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"#;

/// The contracts on a chain in this process, with a pool whose signer the scheduler is.
struct World {
    url: ChainUrl,
    settlement: Settlement,
    operator: Outbox,
}

impl World {
    async fn start(signer: &VoteKey) -> Self {
        let now = quorate_common::clock::SystemClock::start().now().unix_s();
        let node = EmbeddedNode::new(EmbeddedConfig::new(31_337, now)).unwrap();
        let url = ChainUrl::Embedded(node);
        let chain = Chain::connect(&url).unwrap();
        let operator = funded(&chain, 0x10).await;
        let token = deploy_token(&operator, operator.account()).await.unwrap();
        let settlement = deploy_settlement(&operator, token, 3 * 86_400).await.unwrap();
        let bond = 1_000;
        let calls = [
            settlement.approve(U256::from(bond)),
            settlement.deposit(bond),
            settlement.register_pool(signer.address(), B256::repeat_byte(3), bond),
        ];
        for call in calls {
            operator.send(call).await.unwrap();
        }
        CONTRACT.set(settlement.address()).unwrap();
        Self { url, settlement, operator }
    }

    /// The next entry of the pool's inbox.
    async fn entry(&self, follower: &mut Follower) -> Forced {
        let next = async {
            loop {
                if let Some(batch) = follower.next_batch().await.unwrap() {
                    for located in batch.events {
                        if let ChainEvent::Forced(forced) = located.event {
                            return forced;
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        soon("an entry of the inbox", next).await
    }

    async fn follower(&self) -> Follower {
        let (chain, contract) = (self.settlement.chain().clone(), self.settlement.address());
        let first = chain.head().await.unwrap().number;
        Follower::start(chain, contract, Finality::Latest, first).await.unwrap()
    }
}

async fn funded(chain: &Chain, byte: u8) -> Outbox {
    let signer = Signer::from_secret(&[byte; 32]).unwrap();
    chain.set_balance(signer.address(), U256::from(10).pow(U256::from(19))).await.unwrap();
    let config =
        OutboxConfig { finality: Finality::Latest, ..OutboxConfig::of(preset("dev").unwrap()) };
    Outbox::new(chain.clone(), signer, config)
}

fn options(scheduler: &Scheduler, world: &World, dir: &Path) -> WorkerOptions {
    let signer = Signer::from_secret(&[0x20; 32]).unwrap();
    WorkerOptions {
        invite: scheduler.invite(),
        node_key: NodeKey::from_bytes(&[1; 32]),
        vote_key: VoteKey::from_bytes(&[2; 32]).unwrap(),
        data_dir: dir.to_owned(),
        slots: 1,
        ask: 0,
        memory_bytes: 1 << 30,
        cache_bytes: 64 << 20,
        name: "ann's laptop".into(),
        runner: Arc::new(EngineRunner::new(Engine::new(EngineConfig::default()).unwrap())),
        hook: None,
        chain: vec![world.url.clone()],
        escape: Some(EscapeOptions {
            chain: vec![world.url.clone()],
            signer,
            claims: Claims::default(),
        }),
    }
}

/// An assignment whose time to reveal is over before the work is done: no need to wait for it.
async fn assign(session: &mut Session, scheduler: &Scheduler) {
    let now_s = scheduler.clock.now().unix_s();
    let item = AssignItem {
        task: task(0, 0),
        attempt: 0,
        seed_epoch: 0,
        commit_deadline: now_s + 60,
        reveal_deadline: now_s + 1,
    };
    session.duties(Duties { assigns: vec![item], ..nothing() }).await;
}

#[test]
fn a_worker_that_is_never_shown_its_set_demands_it_and_reveals_on_chain() {
    actix::System::new().block_on(async {
        let signer = VoteKey::from_bytes(&[4; 32]).unwrap();
        let world = World::start(&signer).await;
        funded(world.settlement.chain(), 0x20).await;
        let mut scheduler = Scheduler::start();
        let dir = tempfile::tempdir().unwrap();
        let worker = quorate_worker::start(options(&scheduler, &world, dir.path())).await.unwrap();
        let mut session = scheduler.session().await;
        let deal = scheduler.deal(0, &wat::parse_str(ECHO).unwrap(), vec![Task::default()]);
        session.welcome().await;
        session.describe(&deal).await;
        assign(&mut session, &scheduler).await;
        let commit = session.one_commit().await;
        let mut inbox = world.follower().await;
        session.ack(&commit).await;

        let demand = world.entry(&mut inbox).await.demand().unwrap();
        assert_eq!((demand.attempt, demand.worker), (0, WORKER));
        assert_eq!(demand.task_id, deal_id(0).task_id(0));

        let set = set_of_one(&commit, scheduler.clock.now().unix_s() + 2 * SLACK_S);
        let set: CommitSet = set.message(POOL, demand.task_id);
        let separator = scheduler::domain().separator();
        let hash = set.struct_hash();
        let signature = frame::sign(&signer, &separator, &[hash]);
        let proof = FrameTree::new(&[hash]).proof(0, signature);
        world.operator.send(world.settlement.answer_set(&set, &proof)).await.unwrap();
        assert_eq!(world.entry(&mut inbox).await.set().unwrap().set, set);

        let vote = world.entry(&mut inbox).await.vote().unwrap();
        assert_eq!(vote.reveal.set_root, set.root);
        let by = vote.proof.signer(&separator, vote.reveal.struct_hash());
        assert_eq!(by, Some(session.hello.vote_key));
        let opened =
            separator.commitment(demand.task_id, 0, WORKER, vote.reveal.digest, vote.reveal.salt);
        assert_eq!(opened, commit.commitment);
        worker.stop().await;
        check_words(&dir.path().join("words"), signer.address());
    });
}

fn check_words(dir: &Path, signer: quorate_common::Address) {
    let separator = scheduler::domain().separator();
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            let word: Word = serde_json::from_str(line).unwrap();
            assert_eq!(word.signer(&separator), Some(signer));
            kinds.push(match word.said {
                Said::Assign(_) => "assign",
                Said::CommitAck(_) => "commit ack",
                Said::CommitSet(_) => "set",
                Said::RevealAck(_) => "reveal ack",
            });
        }
    }
    assert_eq!(kinds, ["assign", "commit ack", "set"]);
}
