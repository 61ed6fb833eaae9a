//! Who may come in at the QUIC door, and how wide it opens. A *stranger* is whoever has not been welcomed
//! as a registered worker: anybody can make a key and shake hands, so strangers are few, short-lived and
//! narrow; registered workers paid gas for their place, and staked ones have something to lose.
//!
//! Memory a whole crowd of strangers can take is [`STRANGERS_MAX`] times what one can: its window, one
//! unfinished frame, and quinn's state of some 60 KiB: 192 MiB.

use quinn::{Connection, VarInt};
use quorate_common::quic::{STREAMS_MAX, WINDOW_BYTES};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Strangers at once. Honest ones are known within two round trips, so a thousand are a thousand
/// workers arriving within the same half second.
pub const STRANGERS_MAX: usize = 1_024;
/// Strangers of one address (of one /64 in IPv6): a quarter, so that nobody holds the door shut alone.
pub const STRANGERS_PER_ADDRESS: u32 = 256;
/// Above so many strangers an address is made to answer before anything is computed for it. A guess:
/// fewer are an ordinary morning, and the question costs every honest worker a round trip.
pub const ASK_ABOVE: usize = 128;
/// How long a stranger may stay: a worker that has just registered asks again every 15 seconds at most.
pub const STAY: Duration = Duration::from_secs(20);
/// Handshakes of one address that may come at once: ten seconds of its rate, a lecture hall behind one
/// address that comes back after a restart.
const BURST_S: u32 = 10;
/// Addresses whose rates are remembered: 4 MiB. When there are more, those that have been quiet go.
const ADDRESSES_MAX: usize = 65_536;
/// Bytes a registered worker without a stake may have in flight: a quarter of a stranger's crowd each.
const UNSTAKED_WINDOW_BYTES: u32 = 256 << 10;

/// What to do with somebody who knocks.
#[derive(Debug)]
pub enum Answer {
    /// Come in, as a stranger.
    Enter(Pass),
    /// Show first that the address is yours.
    Ask,
    /// Nothing is said: who is honest tries again by himself, and a liar's address gets no packet.
    Ignore,
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    /// Handshakes a second of one address.
    rate: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    strangers: usize,
    by_address: BTreeMap<IpAddr, u32>,
    buckets: BTreeMap<IpAddr, Bucket>,
}

/// Handshakes an address may still make, as of a time; it fills with the rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Door {
    /// A door that lets each address shake hands so often a second.
    pub fn new(rate: u32) -> Arc<Self> {
        Arc::new(Self { rate, state: Mutex::default() })
    }

    /// Somebody knocks at `now`, from an address that is theirs for sure or not.
    pub fn knock(self: &Arc<Self>, from: IpAddr, validated: bool, now: Instant) -> Answer {
        let from = household(from);
        let mut state = self.state();
        if state.strangers >= STRANGERS_MAX {
            return Answer::Ignore;
        }
        if !validated && state.strangers >= ASK_ABOVE {
            return Answer::Ask;
        }
        if state.by_address.get(&from).copied().unwrap_or(0) >= STRANGERS_PER_ADDRESS
            || !state.pays(from, self.rate, now)
        {
            return Answer::Ignore;
        }
        state.strangers += 1;
        *state.by_address.entry(from).or_default() += 1;
        Answer::Enter(Pass { door: Arc::clone(self), from, stranger: AtomicBool::new(true) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes one handshake out of the address's bucket, if there is one.
    fn pays(&mut self, from: IpAddr, rate: u32, now: Instant) -> bool {
        let full = f64::from(rate) * f64::from(BURST_S);
        if self.buckets.len() >= ADDRESSES_MAX && !self.buckets.contains_key(&from) {
            let refilled = |bucket: &Bucket| bucket.now(rate, now) >= full;
            self.buckets.retain(|_, bucket| !refilled(bucket));
            if self.buckets.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let bucket = self.buckets.entry(from).or_insert(Bucket { left: full, at: now });
        *bucket = Bucket { left: bucket.now(rate, now).min(full), at: now };
        let pays = bucket.left >= 1.0;
        bucket.left -= f64::from(u8::from(pays));
        pays
    }
}

impl Bucket {
    fn now(&self, rate: u32, now: Instant) -> f64 {
        self.left + now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate)
    }
}

/// Whose addresses are one: a /64 is what one customer gets.
fn household(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => IpAddr::V4(ip),
            None => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        },
    }
}

/// A place among the strangers, given back when its holder is known or gone.
#[derive(Debug)]
pub struct Pass {
    door: Arc<Door>,
    from: IpAddr,
    stranger: AtomicBool,
}

impl Pass {
    /// Whether the holder is a stranger still.
    pub fn is_stranger(&self) -> bool {
        self.stranger.load(Ordering::Acquire)
    }

    /// The holder is a registered worker with this stake: its connection is opened wide.
    pub fn is_worker(&self, connection: &Connection, stake: u128) {
        self.give_back();
        let window = if stake > 0 { WINDOW_BYTES } else { UNSTAKED_WINDOW_BYTES };
        connection.set_max_concurrent_bi_streams(STREAMS_MAX.into());
        connection.set_receive_window(VarInt::from_u32(window));
    }

    fn give_back(&self) {
        if !self.stranger.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut state = self.door.state();
        state.strangers -= 1;
        if let Some(count) = state.by_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&self.from);
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    fn enter(door: &Arc<Door>, n: u32, now: Instant) -> Option<Pass> {
        match door.knock(address(n), true, now) {
            Answer::Enter(pass) => Some(pass),
            Answer::Ask | Answer::Ignore => None,
        }
    }

    #[test]
    fn one_address_takes_a_quarter_and_all_together_take_the_whole() {
        let (door, now) = (Door::new(10_000), Instant::now());
        let mut inside: Vec<Pass> = (0..1_000).filter_map(|_| enter(&door, 1, now)).collect();
        assert_eq!(inside.len(), STRANGERS_PER_ADDRESS as usize);
        assert!(matches!(door.knock(address(2), false, now), Answer::Ask));
        inside.extend((0..10_000).filter_map(|n| enter(&door, 2 + n, now)));
        assert_eq!(inside.len(), STRANGERS_MAX);
        assert!(matches!(door.knock(address(0), true, now), Answer::Ignore));
        inside.pop();
        assert!(enter(&door, 0, now).is_some());
    }

    #[test]
    fn an_address_comes_as_often_as_its_rate_allows() {
        let (door, began) = (Door::new(5), Instant::now());
        let come = |now| (0..200).filter(|_| enter(&door, 1, now).is_some()).count();
        assert_eq!(come(began), 50, "ten seconds' worth at once");
        assert_eq!(come(began + Duration::from_secs(2)), 10);
        assert_eq!(come(began + Duration::from_secs(3600)), 50, "and never more");
        assert!(enter(&door, 2, began).is_some(), "another address is another matter");
    }

    #[test]
    fn one_household_is_one_address() {
        let v6 = |text: &str| household(text.parse().expect("an address"));
        assert_eq!(v6("2001:db8:1:2:3::4"), v6("2001:db8:1:2:ffff::1"));
        assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
        assert_eq!(v6("::ffff:10.0.0.1"), address(1));
    }
}
