//! Waiting: for a condition, no longer than needed, and never for ever.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something, and returns it.
///
/// # Panics
/// If there is nothing within `most`, naming `what` was waited for.
pub(crate) async fn until<T>(
    what: &str,
    most: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < most, "waited {} s in vain for {what}", most.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}
