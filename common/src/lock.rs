//! Waiting for the lock of something whose last holder is on its way out. Which error means that is the
//! caller's to say; two programs on one folder are kept apart by the folder's own lock, not here.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a holder on its way out may take. A loaded machine finishes a database's last background
/// job in milliseconds; after this long it is no such holder, and the caller hears so.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// Pause between two tries: short beside what opening a database takes.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls `open` again, for [`WAIT_MAX`] at most, while it fails only because the lock `is_held`.
///
/// # Errors
/// What `open` said last.
pub fn wait_for<T, E>(
    mut open: impl FnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let until = Instant::now() + WAIT_MAX;
    loop {
        match open() {
            Err(error) if is_held(&error) && Instant::now() < until => pause(),
            done => return done,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nobody tells when a lock is let go: ask again")]
fn pause() {
    thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_held_lock_is_waited_for() {
        let mut answers = ["held", "held", "broken", "held"].into_iter();
        let open = || answers.next().map_or(Ok(()), Err);
        assert_eq!(wait_for(open, |error| *error == "held"), Err("broken"));
        let mut tries = 0;
        let open = || {
            tries += 1;
            if tries < 4 { Err("held") } else { Ok(tries) }
        };
        assert_eq!(wait_for(open, |error| *error == "held"), Ok(4));
    }

    #[test]
    fn who_never_lets_go_is_named() {
        let began = Instant::now();
        assert_eq!(wait_for(|| Err::<(), _>("held"), |_| true), Err("held"));
        assert!(began.elapsed() >= WAIT_MAX);
    }
}
