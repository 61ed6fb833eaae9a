//! How much of the line transfers may take: bytes a second each way, and how many are left of the month.
//!
//! Inputs, packs and results are paced here; the few bytes of the control stream are not. A limited direction
//! moves one blob at a time, in pieces of a quarter of a second, so that the other end sees it move. A connection that
//! was made before a limit was set may get 256 KiB at once when a transfer begins, a later one what a second has.

use crate::transfer::TransferError;
use quorate_common::digest::Digest;
use quorate_policy::Network;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex as Turns, MutexGuard as Turn},
    time::Instant,
};

/// Pieces a second.
const PIECES_S: u64 = 4;
/// The largest piece, in bytes: what is moved at a time where nothing is limited.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 10;
/// The least that a stream may have under way: any frame's head, and a few packets.
const WINDOW_BYTES_MIN: u32 = 16 << 10;
/// How much of what was not used may be made up for: a piece.
const SAVED: Duration = Duration::from_millis(1_000 / PIECES_S);

/// The limits of a worker's line. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    down: Way,
    up: Way,
    month: Mutex<Month>,
    /// Bytes that came over other connections than the scheduler's, and were not asked for yet.
    elsewhere: AtomicU64,
}

/// What the owner lets be moved in a month.
#[derive(Debug, Default)]
struct Month {
    /// Bytes that are left; none: any.
    left: Option<u64>,
    /// Bytes of it that transfers under way will take.
    booked: u64,
}

/// Bytes of the month that a transfer will take, until it ends.
#[derive(Debug)]
pub(crate) struct Booking<'a> {
    shared: &'a Shared,
    bytes: u64,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Bytes a second; 0: any.
    rate: AtomicU64,
    /// When what was moved so far is paid for.
    paid: Mutex<Option<Instant>>,
    turns: Turns<()>,
}

impl Pace {
    /// Keeps to these limits from now on, transfers that are under way included.
    pub fn follow(&self, network: Network) {
        let Network { down_bytes_s, up_bytes_s, left_bytes } = network;
        self.0.down.rate.store(down_bytes_s, Ordering::Relaxed);
        self.0.up.rate.store(up_bytes_s, Ordering::Relaxed);
        self.0.month().left = left_bytes;
    }

    /// Bytes that a stream may have under way towards here: those of a second; none: as many as anybody's.
    pub(crate) fn window(&self) -> Option<u32> {
        let rate = self.0.down.rate();
        (rate > 0).then(|| u32::try_from(rate).unwrap_or(u32::MAX).max(WINDOW_BYTES_MIN))
    }

    pub(crate) fn down(&self) -> &Way {
        &self.0.down
    }

    pub(crate) fn up(&self) -> &Way {
        &self.0.up
    }

    /// So many bytes came over a connection of their own.
    pub(crate) fn moved_elsewhere(&self, bytes: u64) {
        self.0.elsewhere.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many that were since the last call: they count for the month too.
    pub(crate) fn take_elsewhere(&self) -> u64 {
        self.0.elsewhere.swap(0, Ordering::Relaxed)
    }

    /// Sets so many bytes of the month aside for a blob.
    pub(crate) fn book(&self, digest: Digest, len: u64) -> Result<Booking<'_>, TransferError> {
        let mut month = self.0.month();
        let left = month.left.map(|left| left.saturating_sub(month.booked));
        if let Some(left) = left.filter(|left| *left < len) {
            return Err(TransferError::Month { digest, len, left });
        }
        month.booked += len;
        Ok(Booking { shared: &self.0, bytes: len })
    }
}

impl Shared {
    fn month(&self) -> MutexGuard<'_, Month> {
        self.month.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Booking<'_> {
    /// So many of them were moved.
    pub(crate) fn moved(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut month = self.shared.month();
        month.booked -= bytes;
        month.left = month.left.map(|left| left.saturating_sub(bytes));
    }
}

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        self.shared.month().booked -= self.bytes;
    }
}

impl Way {
    /// Waits for the blobs before, where the direction is limited.
    pub(crate) async fn turn(&self) -> Option<Turn<'_, ()>> {
        if self.rate() == 0 { None } else { Some(self.turns.lock().await) }
    }

    /// Bytes to move at a time.
    pub(crate) fn piece(&self) -> usize {
        match self.rate() {
            0 => PIECE_BYTES_MAX,
            rate => usize::try_from(rate / PIECES_S).map_or(PIECE_BYTES_MAX, fit),
        }
    }

    /// Waits until so many bytes more are within the limit.
    pub(crate) async fn pay(&self, bytes: usize) {
        if let Some(until) = self.bill(Instant::now(), bytes) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// How long to wait until so many bytes more are within the limit.
    pub(crate) fn owes(&self, bytes: usize) -> Duration {
        let now = Instant::now();
        self.bill(now, bytes).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// When these bytes are paid for, those before them first.
    fn bill(&self, now: Instant, bytes: usize) -> Option<Instant> {
        let rate = self.rate();
        if rate == 0 {
            return None;
        }
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = now.checked_sub(SAVED).unwrap_or(now);
        let from = paid.map_or(now, |paid| paid.max(saved));
        let until = from + Duration::from_secs(bytes as u64).div_f64(rate as f64);
        *paid = Some(until);
        Some(until)
    }

    fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }
}

/// A piece of a kibibyte at least.
fn fit(bytes: usize) -> usize {
    bytes.clamp(1 << 10, PIECE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_over_any_while_and_ends_when_it_is_lifted() {
        let pace = Pace::default();
        pace.follow(Network { down_bytes_s: 40 << 10, up_bytes_s: 0, left_bytes: None });
        let (began, way) = (Instant::now(), pace.down());
        assert_eq!(way.piece(), 10 << 10);
        let pieces = |from: Instant, pieces| {
            (0..pieces).fold(from, |now, _| way.bill(now, way.piece()).expect("limited").max(now))
        };
        let ended = pieces(began, 20);
        assert_eq!(ended - began, Duration::from_secs(5), "200 KiB at 40 KiB/s");
        // What was not used for a minute is not made up for, but for a piece.
        let later = ended + Duration::from_secs(60);
        assert_eq!(pieces(later, 20) - later, Duration::from_millis(4_750));
        assert_eq!(pace.up().bill(later, 1 << 30), None);
        pace.follow(Network::default());
        assert_eq!((way.bill(later, 1 << 30), way.piece()), (None, PIECE_BYTES_MAX));
    }

    #[test]
    fn a_month_is_not_overdrawn() {
        let pace = Pace::default();
        drop(pace.book(Digest::ZERO, u64::MAX).expect("no limit"));
        let of_month = |left| Network { left_bytes: Some(left), ..Network::default() };
        pace.follow(of_month(100));
        let mut first = pace.book(Digest::ZERO, 60).expect("there");
        let error = pace.book(Digest::ZERO, 60).expect_err("60 of 40").to_string();
        assert!(error.contains("has 60 bytes; this month 40 are left"), "{error}");
        // Counted from outside meanwhile, and once only.
        first.moved(10);
        pace.follow(of_month(90));
        assert!(pace.book(Digest::ZERO, 41).is_err());
        drop(pace.book(Digest::ZERO, 40).expect("there"));
        // What broke off is free again.
        drop(first);
        drop(pace.book(Digest::ZERO, 90).expect("there"));
    }
}
