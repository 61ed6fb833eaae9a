//! Following an order to its end, whatever happens to the connection in between: after a break the
//! order is read again, so nothing depends on having seen every event.

use crate::{
    api::{self, Api, ServerEvent},
    context::Context,
    history::short,
    output::Output,
    progress::{Progress, is_over},
};
use quorate_common::{
    B256,
    api::OrderView,
    backoff::Backoff,
    exit::{Code, Failure},
};

/// The first delay after a break, at most, in milliseconds.
const FIRST_MS: u64 = 250;
/// The longest delay, in milliseconds: a scheduler that restarts is found soon.
const CAP_MS: u64 = 10_000;

/// Waits until the order is done or refused, and says how it stands then.
///
/// # Errors
/// The scheduler's refusals. That it does not answer is no error: it is tried again until the
/// caller gives up.
pub async fn follow(api: &Api, order: B256, progress: &mut Progress) -> Result<OrderView, Failure> {
    let mut backoff = Backoff::new(FIRST_MS, CAP_MS);
    loop {
        let outcome = match stream(api, order, progress, &mut backoff).await {
            Ok(None) => read(api, order, progress).await,
            other => other,
        };
        match outcome {
            Ok(Some(view)) => {
                progress.finish();
                return Ok(view);
            }
            Ok(None) => {}
            Err(failure) if api::is_unreachable(&failure) => progress.trouble(&failure),
            Err(failure) => {
                progress.finish();
                return Err(failure);
            }
        }
        api::pause(&mut backoff).await;
    }
}

/// Does `work`, which can be broken off and repeated, until the scheduler has answered all of it. That
/// it does not answer is no error, as for [`follow`].
///
/// # Errors
/// The scheduler's refusals, and whatever else fails.
pub async fn insist<T>(
    output: Output,
    mut work: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut backoff = Backoff::new(FIRST_MS, CAP_MS);
    loop {
        match work().await {
            Err(failure) if api::is_unreachable(&failure) => {
                output.note(format!("{}; trying again", failure.message));
                api::pause(&mut backoff).await;
            }
            outcome => return outcome,
        }
    }
}

/// Runs `work`, but no longer than `--timeout` allows.
///
/// # Errors
/// [`Code::TimedOut`], or the work's own.
pub async fn within<T>(
    context: &Context,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(timeout) = context.timeout else { return work.await };
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        let text = format!("--timeout of {}s ran out", timeout.as_secs());
        let failure = Failure::new(Code::TimedOut, text);
        Err(match context.order.get() {
            Some(order) => {
                failure.hint(format!("the order goes on: quorate order watch {}", short(*order)))
            }
            None => failure,
        })
    })
}

/// One connection's worth of events. `None`: it ended before the order did.
async fn stream(
    api: &Api,
    order: B256,
    progress: &mut Progress,
    backoff: &mut Backoff,
) -> Result<Option<OrderView>, Failure> {
    let mut events = api.events(order).await?;
    while let Some(event) = events.next().await? {
        backoff.succeed();
        match event {
            ServerEvent::Order(view) => {
                progress.order(&view)?;
                if ends(&view) {
                    return Ok(Some(*view));
                }
            }
            ServerEvent::Task(task) => progress.task(&task)?,
            ServerEvent::Lagged => {
                if let Some(view) = read(api, order, progress).await? {
                    return Ok(Some(view));
                }
            }
        }
    }
    Ok(None)
}

/// Reads the order again; says how it stands if it is over.
async fn read(
    api: &Api,
    order: B256,
    progress: &mut Progress,
) -> Result<Option<OrderView>, Failure> {
    let view = api.order(order).await?;
    progress.order(&view)?;
    Ok(ends(&view).then_some(view))
}

/// Whether nothing is to be waited for: it is over, or its program disagrees with itself. Then a task that
/// PoCo has decided ends, without a loser, only with its deal.
fn ends(order: &OrderView) -> bool {
    is_over(order.phase) || order.disagreement.is_some()
}
