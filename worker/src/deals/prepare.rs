//! What is made of what came: the bag is read, a module or pack compiled, an image given to the container engine. Blocks
//! for as long as that takes, on a thread for it, or until nobody waits for it any more.

use super::{PreparedDeal, cell::Outcome};
use crate::{
    blobs::{BlobError, Blobs},
    engine::{Cancel, PackError},
    runner::{Packed, Program, Runner, give_up_reason},
};
use quorate_common::{
    bag::Bag,
    image::ImageRef,
    keys::NodeKey,
    pack::Pack,
    report::Chain,
    sealed::{FilesKey, SealError},
    wire::{DealInfo, GiveUpReason},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What this machine has for any deal.
pub(super) struct Machine<'a> {
    pub(super) blobs: Arc<Blobs>,
    pub(super) runner: &'a dyn Runner,
    pub(super) memory_bytes: u64,
    pub(super) node_key: &'a NodeKey,
}

pub(super) fn prepare_blocking(
    machine: Machine<'_>,
    deal: &DealInfo,
    image: Option<ImageRef>,
    cancel: &Cancel,
) -> Outcome {
    let Machine { blobs, runner, memory_bytes, node_key } = machine;
    let lost = |error: BlobError| {
        tracing::warn!(error = %Chain(&error), "a blob cannot be read");
        GiveUpReason::Input
    };
    let bag = match Bag::parse(&blobs.read(deal.bag).map_err(lost)?) {
        Ok(bag) => bag,
        Err(error) => {
            tracing::warn!(deal = %deal.slot, %error, "the bag cannot be used");
            return Ok(Err(GiveUpReason::Input));
        }
    };
    if bag.app != deal.app {
        tracing::warn!(deal = %deal.slot, bag = %bag.app, deal_app = %deal.app, "two modules");
        return Ok(Err(GiveUpReason::Input));
    }
    if bag.limits.memory_bytes > memory_bytes {
        let wanted = bag.limits.memory_bytes;
        tracing::warn!(deal = %deal.slot, wanted, memory_bytes, "too little memory is offered");
        return Ok(Err(GiveUpReason::Room));
    }
    let files = match open_key(&bag, node_key) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(deal = %deal.slot, error = %Chain(&error), "its inputs cannot be read");
            return Ok(Err(GiveUpReason::Input));
        }
    };
    if !bag.kind.is_wasm() {
        let code = match image {
            Some(image) => Program::Image(Arc::new(image), blobs.folder().to_owned()),
            None => Program::Archive,
        };
        return prepare_image(
            &blobs,
            runner,
            deal,
            PreparedDeal { bag, app: deal.app, code, files },
        );
    }
    let app = blobs.read(deal.app).map_err(lost)?;
    let code = code(app, &bag, blobs);
    let began = Instant::now();
    match runner.prepare(deal.app, &code, cancel) {
        Ok(()) => {}
        Err(PackError::Bad(error)) => {
            // Its tasks end before they begin, and that is a result: see `runner`.
            tracing::warn!(deal = %deal.slot, error = %Chain(&error), "the module cannot be run");
        }
        Err(error) => {
            tracing::warn!(deal = %deal.slot, error = %Chain(&error), "the program is not ready");
            return not_ready(&error, began.elapsed(), deal);
        }
    }
    Ok(Ok(Arc::new(PreparedDeal { bag, app: deal.app, code, files })))
}

/// What would be the same for the deal's next task is not tried again.
fn not_ready(error: &PackError, took: Duration, deal: &DealInfo) -> Outcome {
    // Whoever waits next has a quarter more time at most.
    let most = Duration::from_secs(deal.max_task_time) / 4 * 3;
    match error {
        PackError::Bound { is_late: false, .. } => Ok(Err(GiveUpReason::Memory)),
        PackError::Bound { is_late: true, .. } => Ok(Err(GiveUpReason::Deadline)),
        PackError::Stopped if took >= most => Ok(Err(GiveUpReason::Deadline)),
        PackError::Stopped => Err(GiveUpReason::Leaving),
        PackError::Missing { .. } | PackError::Bad(_) => Err(GiveUpReason::Engine),
    }
}

/// Opens sealed inputs, if there are any.
fn open_key(bag: &Bag, node_key: &NodeKey) -> Result<Option<FilesKey>, SealError> {
    let sealed = !bag.readers.is_empty();
    sealed.then(|| FilesKey::open_from(bag, node_key)).transpose()
}

/// What an app's blob is. Whatever is no pack that its publisher signed is taken for a module, and
/// refused as that.
fn code(app: Vec<u8>, bag: &Bag, blobs: Arc<Blobs>) -> Program {
    match Pack::parse(&app) {
        Ok(pack) => Program::Pack(Arc::new(Packed { pack, with: bag.with.clone(), blobs })),
        Err(_) => Program::Module(Arc::new(app)),
    }
}

fn prepare_image(
    blobs: &Blobs,
    runner: &dyn Runner,
    deal: &DealInfo,
    prepared: PreparedDeal,
) -> Outcome {
    let archive = blobs.path(deal.app);
    runner.prepare_image(deal.app, &prepared.code, &archive).map_err(|error| {
        tracing::warn!(deal = %deal.slot, error = %Chain(&error), "the image cannot be made ready");
        give_up_reason(&error)
    })?;
    Ok(Ok(Arc::new(prepared)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::{
        digest::Digest,
        ids::{DealId, DealSlot},
    };

    #[test]
    fn what_would_be_the_same_for_the_next_task_is_kept_for_the_deal() {
        let deal = DealInfo {
            slot: DealSlot(1),
            id: DealId([0; 32].into()),
            app: Digest::ZERO,
            bag: Digest::ZERO,
            first: 0,
            unit_price: 0,
            stake: 0,
            max_task_time: 100,
            deadline: 0,
        };
        let not_ready = |error: PackError, seconds| match not_ready(
            &error,
            Duration::from_secs(seconds),
            &deal,
        ) {
            Ok(Err(kept)) => Ok(kept),
            Err(passing) => Err(passing),
            Ok(Ok(_)) => panic!("{error} is no deal"),
        };
        let bound = |is_late| PackError::Bound { reason: String::new(), is_late };
        assert_eq!(not_ready(bound(false), 1), Ok(GiveUpReason::Memory));
        assert_eq!(not_ready(bound(true), 1), Ok(GiveUpReason::Deadline));
        assert_eq!(not_ready(PackError::Stopped, 75), Ok(GiveUpReason::Deadline));
        assert_eq!(not_ready(PackError::Stopped, 74), Err(GiveUpReason::Leaving));
        let missing = PackError::Missing { what: "a piece", reason: String::new() };
        assert_eq!(not_ready(missing, 99), Err(GiveUpReason::Engine));
    }
}
