//! A siege of the QUIC door: peers that open what they may and leave gaps, trickle, shake hands and go,
//! shake half a hand, send frames that are too large. Fifty honest workers finish their bag meanwhile, a
//! newcomer is welcomed in time, and memory stays under a bound.

use super::{
    stage::{PATIENCE, Program, Template, said},
    worker::{Heard, Member, Pool, Step, Vote, Worker},
};
use quinn::{Connection, Endpoint};
use quorate_common::{
    api::PoolInfo,
    ids::WorkerIdx,
    keys::{NodeKey, VoteKey, random32},
    quic,
    wire::{FRAME_BYTES_MAX, Open, ToWorker},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

const WORKERS: u8 = 50;
/// Tasks of the bag, each voted on by three workers at least.
const TASKS: u32 = 240;
/// Replicas a worker runs at once.
const SLOTS: u16 = 4;
/// Connections of each patient kind, from an address of their own each.
const PATIENT: usize = 300;
/// Reconnections of the storm, and how many at once.
const STORM: usize = 1_000;
const STORM_AT_ONCE: usize = 64;
/// First packets of handshakes that never go on.
const HALF_HANDS: usize = 1_000;
/// How much the siege may add. The door lets 1,024 strangers in, with 64 KiB of window, 64 KiB of an
/// unfinished frame and some 60 KiB of quinn's state each: 192 MiB; 16 MiB wait before the door.
const GROWTH_MAX: u64 = (192 + 16) << 20;
/// How long a newcomer may wait for its welcome in the middle of it, on two busy cores.
const WELCOME: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_siege_costs_honest_workers_little_and_memory_is_bounded() {
    let template = Template::make(WORKERS).await;
    let data = template.copy();
    let program = Program::serve(data.path(), &[], &["batch.tasks=512"]).unwrap();
    let info = serde_json::from_value(program.get("/v1/pool").await.unwrap()).unwrap();
    let pool = pool(&info);
    let (newcomer, honest) = template.cast.members.split_last().unwrap();
    let _crowd = honest_crowd(&program, pool, honest).await;
    let calm = bag_is_done(&program, &template, 1).await;
    let before = memory(program.pid);

    let siege = Siege::begin(&program, &info);
    let (besieged, welcome) = tokio::join!(bag_is_done(&program, &template, 2), async {
        siege.is_on().await;
        welcomed_after(&program, pool, newcomer).await
    });
    let counts = siege.end().await;
    let peak = peak_memory(program.pid).saturating_sub(before);
    let rate = |took: Duration| f64::from(TASKS) / took.as_secs_f64();
    eprintln!(
        "calm {:.0} tasks/s, besieged {:.0} tasks/s; a newcomer waits {welcome:?}; {counts}; memory grows \
         by {} of {} MiB",
        rate(calm),
        rate(besieged),
        peak >> 20,
        GROWTH_MAX >> 20
    );
    assert!(peak < GROWTH_MAX, "{peak} bytes");
    assert!(welcome < WELCOME, "{welcome:?}");
    assert!(program.has_ended().is_none(), "{}", said(data.path()));
    assert!(program.end().success(), "{}", said(data.path()));
}

fn pool(info: &PoolInfo) -> Pool {
    Pool {
        pool: info.pool,
        node_key: info.node_key,
        signer: info.signer,
        separator: info.domain.separator(),
    }
}

/// Connects workers that vote on whatever they are given.
async fn honest_crowd(program: &Program, pool: Pool, members: &[Member]) -> JoinSet<()> {
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut crowd = JoinSet::new();
    for member in members {
        let mut worker = Worker::new(member.clone(), pool);
        let (tell, hear) = mpsc::channel(64);
        assert!(worker.connect(&endpoint, program.quic, SLOTS, tell).await);
        crowd.spawn(work(worker, hear));
    }
    crowd
}

async fn work(mut worker: Worker, mut hear: mpsc::Receiver<(WorkerIdx, Heard)>) {
    while let Some((_, Some(heard))) = hear.recv().await {
        match heard {
            ToWorker::Deal(deal) => drop(worker.deals.insert(deal.slot, deal.id)),
            ToWorker::Duties(duties) => {
                worker.acks(&duties);
                let commits =
                    duties.assigns.iter().map(|item| (item.task, item.attempt, Step::Commit));
                let reveal = |root| Step::Reveal(root);
                let reveals =
                    duties.sets.iter().map(|item| (item.task, item.attempt, reveal(item.root)));
                let votes: Vec<Vote> = commits.chain(reveals).collect();
                if !votes.is_empty() && !worker.vote(&votes).await {
                    return;
                }
            }
            ToWorker::Goodbye(goodbye) => panic!("{}", goodbye.reason),
            ToWorker::Welcome(_)
            | ToWorker::Cancel(_)
            | ToWorker::Fetch { .. }
            | ToWorker::Settled(_) => {}
        }
    }
}

/// Places a bag and waits until it is done; how long that took.
async fn bag_is_done(program: &Program, template: &Template, salt: u8) -> Duration {
    let began = Instant::now();
    let order = program.order(&template.cast.requester, TASKS, salt).await.unwrap();
    program
        .until("the bag to be done", async || {
            let view = program.get(&format!("/v1/orders/{order}")).await.unwrap();
            (view["phase"] == "done").then(|| assert_eq!(view["accepted"], TASKS, "{view}"))
        })
        .await;
    began.elapsed()
}

async fn welcomed_after(program: &Program, pool: Pool, member: &Member) -> Duration {
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut worker = Worker::new(member.clone(), pool);
    let (tell, mut hear) = mpsc::channel(64);
    let began = Instant::now();
    // As a real worker does, it comes again if it is not heard.
    loop {
        assert!(began.elapsed() < PATIENCE, "nobody welcomes a newcomer");
        if worker.connect(&endpoint, program.quic, 0, tell.clone()).await
            && matches!(hear.recv().await, Some((_, Some(ToWorker::Welcome(_)))))
        {
            break;
        }
    }
    began.elapsed()
}

fn memory(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

fn peak_memory(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Everybody who means harm.
struct Siege {
    front: Front,
    attackers: Vec<JoinHandle<()>>,
}

/// Where they attack, and what they got done.
#[derive(Clone)]
struct Front {
    to: SocketAddr,
    info: PoolInfo,
    over: Arc<AtomicBool>,
    inside: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    storms: Arc<AtomicU64>,
    half: Arc<AtomicU64>,
}

impl Siege {
    fn begin(program: &Program, info: &PoolInfo) -> Self {
        let counter = Arc::<AtomicU64>::default;
        let front = Front {
            to: program.quic,
            info: info.clone(),
            over: Arc::default(),
            inside: counter(),
            refused: counter(),
            storms: counter(),
            half: counter(),
        };
        let attackers = vec![
            tokio::spawn(front.clone().patient(2, Front::hoard)),
            tokio::spawn(front.clone().patient(3, Front::trickle)),
            tokio::spawn(front.clone().patient(4, Front::boast)),
            tokio::spawn(front.clone().storm(5)),
            tokio::spawn(front.clone().half_hands()),
        ];
        Self { front, attackers }
    }

    /// Waits until it is at its height.
    async fn is_on(&self) {
        let began = Instant::now();
        while self.front.inside.load(Ordering::Relaxed) < 100 {
            assert!(began.elapsed() < PATIENCE, "nobody got in");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) -> String {
        self.front.over.store(true, Ordering::Relaxed);
        for attacker in self.attackers {
            attacker.await.unwrap();
        }
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        format!(
            "{} patient peers were in, {} were ended, {} stormed in, {} half handshakes",
            count(&self.front.inside),
            count(&self.front.refused),
            count(&self.front.storms),
            count(&self.front.half)
        )
    }
}

/// Something a peer does with its connection and its key.
type Harm = fn(Front, Connection, NodeKey) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Front {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Many peers from one address that each do `harm` until they are ended, and come again.
    async fn patient(self, host: u8, harm: Harm) {
        let endpoint = Endpoint::client((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
        let mut peers = JoinSet::new();
        for _ in 0..PATIENT {
            let (front, endpoint) = (self.clone(), endpoint.clone());
            peers.spawn(async move {
                while !front.is_over() {
                    let key = NodeKey::from_bytes(&random32().unwrap());
                    let Some(connection) = front.connect(&endpoint, &key).await else { continue };
                    front.inside.fetch_add(1, Ordering::Relaxed);
                    harm(front.clone(), connection.clone(), key).await;
                    let ended = connection.close_reason().is_some();
                    front.refused.fetch_add(u64::from(ended), Ordering::Relaxed);
                }
            });
        }
        while peers.join_next().await.is_some() {}
    }

    /// A stranger's handshake, given up when the siege is over.
    async fn connect(&self, endpoint: &Endpoint, key: &NodeKey) -> Option<Connection> {
        let config = quic::client_config(key, self.info.node_key).unwrap();
        let connecting = endpoint.connect_with(config, self.to, quic::SERVER_NAME).ok()?;
        tokio::select! {
            connection = connecting => connection.ok(),
            () = self.until_over() => None,
        }
    }

    async fn until_over(&self) {
        while !self.is_over() {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says hello as a stranger, begins the largest frame and leaves the rest out; opens every stream it
    /// may and fills it, past what it was granted.
    fn hoard(
        self,
        connection: Connection,
        key: NodeKey,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Ok((mut send, _recv)) = connection.open_bi().await else { return };
            let mut bytes = self.hello(key);
            bytes.extend_from_slice(&u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes());
            bytes.extend(vec![7; FRAME_BYTES_MAX - 1]);
            let grab = async {
                drop(send.write_all(&bytes).await);
                let mut streams = Vec::new();
                while let Ok((mut send, recv)) = connection.open_bi().await {
                    drop(send.write_all(&vec![7; 1 << 20]).await);
                    streams.push((send, recv));
                }
            };
            tokio::select! { () = grab => {}, () = self.until_over() => {} }
        })
    }

    /// A hello, a byte a second.
    fn trickle(
        self,
        connection: Connection,
        key: NodeKey,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Ok((mut send, _recv)) = connection.open_bi().await else { return };
            for byte in self.hello(key) {
                if self.is_over() || send.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        })
    }

    /// A frame that says it is larger than any may be.
    fn boast(
        self,
        connection: Connection,
        _key: NodeKey,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Ok((mut send, _recv)) = connection.open_bi().await else { return };
            drop(send.write_all(&[0xff; 64]).await);
            tokio::select! { _ = connection.closed() => {}, () = self.until_over() => {} }
        })
    }

    /// A hello that holds, of somebody nobody knows.
    fn hello(&self, node_key: NodeKey) -> Vec<u8> {
        let vote_key = VoteKey::from_bytes(&[9; 32]).unwrap();
        let member = Member { node_key, vote_key, index: WorkerIdx(0) };
        let mut bytes = Vec::new();
        let hello = Worker::new(member, pool(&self.info)).hello(1);
        quorate_common::wire::encode(&Open::Control(hello), &mut bytes);
        bytes
    }

    /// Comes and goes.
    async fn storm(self, host: u8) {
        let endpoint = Endpoint::client((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
        let mut peers = JoinSet::new();
        for _ in 0..STORM {
            if peers.len() >= STORM_AT_ONCE {
                peers.join_next().await;
            }
            if self.is_over() {
                break;
            }
            let (front, endpoint) = (self.clone(), endpoint.clone());
            peers.spawn(async move {
                let key = NodeKey::from_bytes(&random32().unwrap());
                if let Some(connection) = front.connect(&endpoint, &key).await {
                    connection.close(0_u32.into(), b"just looking");
                    front.storms.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while peers.join_next().await.is_some() {}
    }

    /// First packets from a thousand ports, recorded from clients that believe they talk to somebody
    /// else, and nothing after them: what a liar about his address can do.
    async fn half_hands(self) {
        let sink = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let mut packet = vec![0; 2048];
        for n in 0..HALF_HANDS {
            let key = NodeKey::from_bytes(&random32().unwrap());
            let config = quic::client_config(&key, self.info.node_key).unwrap();
            let to = sink.local_addr().unwrap();
            let connecting = endpoint.connect_with(config, to, quic::SERVER_NAME).unwrap();
            let (length, _) = sink.recv_from(&mut packet).await.unwrap();
            drop(connecting);
            let host = 10 + u8::try_from(n % 200).unwrap();
            let liar = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
            let sent = liar.send_to(&packet[..length], self.to).unwrap();
            self.half.fetch_add(u64::from(sent == length), Ordering::Relaxed);
            if self.is_over() {
                return;
            }
        }
    }
}
