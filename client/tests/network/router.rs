//! A home's router between a worker and the scheduler: forwards datagrams both ways, each client from a
//! port of its own, and does what its weather says. Its dice come from a seed.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::UdpSocket, task::JoinHandle, time::sleep};

/// Largest datagram.
const DATAGRAM_BYTES: usize = 64 << 10;

/// What happens to datagrams, in percent of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) twice: u64,
    /// Delayed, each by its own time, so that they overtake each other.
    pub(crate) late: u64,
    pub(crate) late_ms: u64,
    pub(crate) cut: bool,
}

/// See the module.
pub(crate) struct Router {
    /// Where the worker connects to.
    pub(crate) front: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    front: UdpSocket,
    scheduler: SocketAddr,
    weather: Mutex<Weather>,
    dice: Mutex<u64>,
    /// The outer port of each client.
    ports: Mutex<BTreeMap<SocketAddr, Port>>,
    /// Bytes that came out of it: towards the worker, and from it.
    down: AtomicU64,
    up: AtomicU64,
}

/// Bytes that have gone through a router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) down: u64,
    pub(crate) up: u64,
}

/// Reads a router's counts, as long as anybody likes.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Inner>);

impl Meter {
    pub(crate) fn read(&self) -> Carried {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Carried { down: read(&self.0.down), up: read(&self.0.up) }
    }
}

struct Port {
    socket: Arc<UdpSocket>,
    task: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.task.abort();
        self.forget_ports();
    }
}

impl Router {
    /// A router in calm weather.
    pub(crate) async fn plug(scheduler: SocketAddr, seed: u64) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = front.local_addr().unwrap();
        let weather = Weather { loss: 0, twice: 0, late: 0, late_ms: 0, cut: false };
        let inner = Arc::new(Inner {
            front,
            scheduler,
            weather: Mutex::new(weather),
            dice: Mutex::new(seed),
            ports: Mutex::default(),
            down: AtomicU64::new(0),
            up: AtomicU64::new(0),
        });
        let task = tokio::spawn(Arc::clone(&inner).forward());
        Self { front: address, inner, task }
    }

    pub(crate) fn weather(&self, weather: Weather) {
        *self.inner.weather.lock().unwrap() = weather;
    }

    /// What it has carried.
    pub(crate) fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.inner))
    }

    /// As a router does that restarts: the same clients come from new ports.
    pub(crate) fn forget_ports(&self) {
        self.inner.ports.lock().unwrap().clear();
    }
}

impl Inner {
    async fn forward(self: Arc<Self>) {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            // A client that is gone answers with an error of its own.
            let Ok((length, from)) = self.front.recv_from(&mut datagram).await else { continue };
            let known = self.ports.lock().unwrap().get(&from).map(|port| Arc::clone(&port.socket));
            let out = match known {
                Some(out) => out,
                None => self.open(from).await,
            };
            let bytes = datagram[..length].to_vec();
            let inner = Arc::clone(&self);
            self.clone().carry(bytes, move |bytes| {
                inner.up.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                drop(out.try_send(bytes));
            });
        }
    }

    async fn open(self: &Arc<Self>, from: SocketAddr) -> Arc<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect(self.scheduler).await.unwrap();
        // Or the first datagram is lost with each new port, and a handshake waits a second for its repetition.
        socket.writable().await.unwrap();
        let socket = Arc::new(socket);
        let task = tokio::spawn(Arc::clone(self).answer(Arc::clone(&socket), from));
        let port = Port { socket: Arc::clone(&socket), task };
        self.ports.lock().unwrap().insert(from, port);
        socket
    }

    async fn answer(self: Arc<Self>, socket: Arc<UdpSocket>, to: SocketAddr) {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            let Ok(length) = socket.recv(&mut datagram).await else { continue };
            let (bytes, inner) = (datagram[..length].to_vec(), Arc::clone(&self));
            self.clone().carry(bytes, move |bytes| {
                inner.down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                drop(inner.front.try_send_to(bytes, to));
            });
        }
    }

    /// Lets the weather have a datagram. One that finds a full buffer is lost, as anywhere.
    fn carry(self: Arc<Self>, bytes: Vec<u8>, send: impl Fn(&[u8]) + Send + 'static) {
        let weather = *self.weather.lock().unwrap();
        if weather.cut || self.roll() < weather.loss {
            return;
        }
        let copies = 1 + u64::from(self.roll() < weather.twice);
        let is_late = self.roll() < weather.late;
        let wait = if is_late { self.draw() % weather.late_ms } else { 0 };
        if wait == 0 {
            return (0..copies).for_each(|_| send(&bytes));
        }
        tokio::spawn(async move {
            sleep(Duration::from_millis(wait)).await;
            (0..copies).for_each(|_| send(&bytes));
        });
    }

    fn roll(&self) -> u64 {
        self.draw() % 100
    }

    /// splitmix64.
    fn draw(&self) -> u64 {
        let mut state = self.dice.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
