//! `poll_oneoff`: nobody waits. Files and streams are always ready; a sleep moves the clock.

use super::errno::Errno;
use super::fds::Object;
use super::{Call, Done};
use crate::engine::tree::Fault;

/// Subscriptions of one call: one for every descriptor there may be. More is `EINVAL`.
const SUBSCRIPTIONS_MAX: u32 = 1_024;

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;

const TYPE_CLOCK: u8 = 0;
const TYPE_READ: u8 = 1;
const TYPE_WRITE: u8 = 2;

/// `subclockflags::abstime`.
const ABSOLUTE: u16 = 1;

/// What the guest waits for.
#[derive(Debug, Clone, Copy)]
struct Subscription {
    userdata: u64,
    on: On,
}

#[derive(Debug, Clone, Copy)]
enum On {
    /// A time on the monotonic clock, in nanoseconds.
    Clock(u64),
    Fd {
        fd: u32,
        write: bool,
    },
    /// A clock that does not exist.
    BadClock,
}

impl Call<'_> {
    pub(super) fn poll_oneoff(
        &mut self,
        subscriptions: u32,
        events: u32,
        count: u32,
        out: u32,
    ) -> Done {
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(Errno::Inval.into());
        }
        self.burn_bytes(u64::from(count) * u64::from(SUBSCRIPTION_BYTES + EVENT_BYTES))?;
        // Both ranges are looked at before time moves.
        self.read(subscriptions, count * SUBSCRIPTION_BYTES)?;
        self.read(events, count * EVENT_BYTES)?;
        let now = self.host.clock.monotonic_ns();
        let mut wanted = Vec::with_capacity(count as usize);
        for n in 0..count {
            wanted.push(self.subscription(subscriptions + n * SUBSCRIPTION_BYTES, now)?);
        }
        let now = self.sleep(&wanted, now);
        let mut ready = 0;
        for subscription in wanted {
            if let Some(event) = self.event(subscription, now) {
                self.write(events + ready * EVENT_BYTES, &event)?;
                ready += 1;
            }
        }
        Ok(self.write_u32(out, ready)?)
    }

    fn subscription(&mut self, ptr: u32, now: u64) -> Result<Subscription, Fault> {
        let bytes: [u8; SUBSCRIPTION_BYTES as usize] = self.read_array(ptr)?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let on = match bytes[8] {
            TYPE_CLOCK => {
                let absolute = word(40) as u16 & ABSOLUTE != 0;
                self.host.clock.due(word(16) as u32, word(24), absolute, now)
            }
            TYPE_READ => On::Fd { fd: word(16) as u32, write: false },
            TYPE_WRITE => On::Fd { fd: word(16) as u32, write: true },
            _ => return Err(Errno::Inval.into()),
        };
        Ok(Subscription { userdata: word(0), on })
    }

    /// Moves the clock to the first time that is waited for, unless something is ready already,
    /// and returns the time.
    fn sleep(&mut self, wanted: &[Subscription], now: u64) -> u64 {
        let mut first = u64::MAX;
        for subscription in wanted {
            match subscription.on {
                On::Clock(due) => first = first.min(due),
                On::Fd { .. } | On::BadClock => return now,
            }
        }
        let wait = first.saturating_sub(now);
        self.host.clock.advance(wait);
        now.saturating_add(wait)
    }

    fn event(&self, subscription: Subscription, now: u64) -> Option<[u8; EVENT_BYTES as usize]> {
        let (result, kind) = match subscription.on {
            On::Clock(due) if due > now => return None,
            On::Clock(_) => (Ok(0), TYPE_CLOCK),
            On::BadClock => (Err(Errno::Inval), TYPE_CLOCK),
            On::Fd { fd, write: false } => (self.readable(fd), TYPE_READ),
            On::Fd { fd, write: true } => (self.host.fds.get(fd).map(|_| u64::MAX), TYPE_WRITE),
        };
        let (errno, bytes) = match result {
            Ok(bytes) => (0, bytes),
            Err(errno) => (errno as u16, 0),
        };
        let mut event = [0; EVENT_BYTES as usize];
        event[..8].copy_from_slice(&subscription.userdata.to_le_bytes());
        event[8..10].copy_from_slice(&errno.to_le_bytes());
        event[10] = kind;
        event[16..24].copy_from_slice(&bytes.to_le_bytes());
        Some(event)
    }

    /// Bytes that can be read at once.
    fn readable(&self, fd: u32) -> Result<u64, Errno> {
        let at = self.host.fds.get(fd)?;
        let len = match at.object {
            Object::Stdin => self.host.stdin.len() as u64,
            Object::File(ino) => self.host.tree.stat(ino)?.len,
            Object::Stdout | Object::Stderr | Object::Folder(_) => return Err(Errno::Badf),
        };
        Ok(len.saturating_sub(at.offset))
    }
}

impl super::clock::Clock {
    /// When a clock subscription is due, on the monotonic clock.
    fn due(&self, id: u32, timeout: u64, absolute: bool, now: u64) -> On {
        match (id, absolute) {
            (0..=3, false) => On::Clock(now.saturating_add(timeout)),
            (0, true) => On::Clock(timeout.saturating_sub(self.epoch_ns())),
            (1..=3, true) => On::Clock(timeout),
            _ => On::BadClock,
        }
    }
}
