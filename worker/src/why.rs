//! The one answer to "why is it not working?": the same in `status`, `explain`, the log and whatever page there
//! will be.

use crate::status::Status;
use quorate_agent::LinkView;
use quorate_policy::Reason;

/// Why nothing is done, or nothing new is taken; none while work is under way. `status` is what the worker said
/// last, if it ever ran.
pub fn why(status: Option<&Status>, is_running: bool) -> Option<Reason> {
    let Some(status) = status.filter(|_| is_running) else { return Some(Reason::NotRunning) };
    if let Some(what) = &status.broken {
        return Some(Reason::Broken { what: what.clone() });
    }
    if let Some(reason) = status.mood.as_ref().and_then(|mood| mood.reason.clone()) {
        return Some(reason);
    }
    if let Some(why) = &status.ended {
        return Some(Reason::Ended { why: why.clone() });
    }
    by_the_link(status)
}

fn by_the_link(status: &Status) -> Option<Reason> {
    if status.pools.iter().any(|pool| pool.running > 0) {
        return None;
    }
    let connecting = || "it is connecting to the pool".to_owned();
    match status.view.link {
        LinkView::Down | LinkView::Greeting => {
            Some(Reason::NoConnection { note: status.note.clone().unwrap_or_else(connecting) })
        }
        LinkView::Unregistered => Some(Reason::Unregistered),
        LinkView::Up if status.view.leaving => Some(Reason::Leaving),
        LinkView::Up if status.view.running > 0 => None,
        LinkView::Up if !status.view.notice.is_empty() => {
            Some(Reason::Restrained { notice: status.view.notice.clone() })
        }
        LinkView::Up => Some(Reason::NoWork),
    }
}
