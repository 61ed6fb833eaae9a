//! What is made of what came: the bag is read, a module or pack compiled, an image given to the container engine. Blocks
//! for as long as that takes, on a thread for it.

use super::PreparedDeal;
use crate::{
    blobs::{BlobError, Blobs},
    engine::PackError,
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
use std::sync::Arc;

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
) -> Result<Result<Arc<PreparedDeal>, GiveUpReason>, GiveUpReason> {
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
        return Ok(Err(GiveUpReason::Engine));
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
    match runner.prepare(deal.app, &code) {
        Ok(()) => {}
        Err(PackError::Bad(error)) => {
            // Its tasks end before they begin, and that is a result: see `runner`.
            tracing::warn!(deal = %deal.slot, error = %Chain(&error), "the module cannot be run");
        }
        Err(error @ PackError::Missing { .. }) => {
            tracing::warn!(deal = %deal.slot, error = %Chain(&error), "the pack is not ready");
            return Err(GiveUpReason::Engine);
        }
    }
    Ok(Ok(Arc::new(PreparedDeal { bag, app: deal.app, code, files })))
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
) -> Result<Result<Arc<PreparedDeal>, GiveUpReason>, GiveUpReason> {
    let archive = blobs.path(deal.app);
    runner.prepare_image(deal.app, &prepared.code, &archive).map_err(|error| {
        tracing::warn!(deal = %deal.slot, error = %Chain(&error), "the image cannot be made ready");
        give_up_reason(&error)
    })?;
    Ok(Ok(Arc::new(prepared)))
}
