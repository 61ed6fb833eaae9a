//! Images in registries: each part a blob of the worker's own, from the registry that the order names, if its owner
//! lists that. What comes is what the order's document says to the digest, or it does not come. Whatever a
//! registry does, it is never a vote: it may answer each worker differently.

use super::{Deals, TRIES_MAX, TRY_AGAIN};
use crate::{
    blobs::{BlobError, Holder},
    transfer::TransferError,
};
use quorate_common::{
    bag::Bag,
    image::{DOCUMENT_BYTES_MAX, ImageRef, Part},
    report::Chain,
    wire::{DealInfo, GiveUpReason},
};
use quorate_registry::{Registries, RegistryError, Repository};

/// Why a part of an image is not here.
#[derive(Debug, thiserror::Error)]
enum PartError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Month(#[from] TransferError),
}

impl PartError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Registry(error) if error.may_pass())
    }
}

impl Deals {
    /// The image in a registry that the app is, if it is one and the bag's tasks are for containers. Documents that
    /// name none are taken for archives, and refused as that.
    pub(super) fn image(&self, deal: &DealInfo) -> Result<Option<ImageRef>, GiveUpReason> {
        if self.blobs.len(deal.app) > DOCUMENT_BYTES_MAX as u64 {
            return Ok(None);
        }
        let document = self.blobs.read(deal.app).map_err(|_| GiveUpReason::Input)?;
        let Ok(image) = ImageRef::parse(&document) else { return Ok(None) };
        let bag = self.blobs.read(deal.bag).map_err(|_| GiveUpReason::Input)?;
        let is_wasm = Bag::parse(&bag).is_ok_and(|bag| bag.kind.is_wasm());
        Ok((!is_wasm).then_some(image))
    }

    /// Makes an image's parts be here: one that is here already stays, whoever brought it.
    pub(super) async fn bring_image(
        &self,
        holder: Holder,
        registries: &Registries,
        image: &ImageRef,
    ) -> Result<(), GiveUpReason> {
        let lost = |error: &dyn std::error::Error| {
            tracing::warn!(image = image.name(), error = %error, "the image cannot be fetched");
            GiveUpReason::Input
        };
        let parts = image.parts().map_err(|error| lost(&error))?;
        self.blobs.hold(holder, &parts.iter().map(|part| part.digest).collect::<Vec<_>>());
        let from = registries.open(&image.registry, &image.repository);
        let from = from.map_err(|error| lost(&error))?;
        for part in parts {
            self.bring_part(&from, part).await?;
        }
        Ok(())
    }

    /// Makes a part of an image be here. What may pass is tried a few times, each from where the last one broke off.
    async fn bring_part(&self, from: &Repository, part: Part) -> Result<(), GiveUpReason> {
        let flight = self.flight(part.digest);
        let _turn = flight.lock().await;
        let mut tries = 1;
        while !self.blobs.has(part.digest) {
            let permit = self.permits.acquire().await;
            let outcome = self.fetch_part(from, part).await;
            drop(permit);
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if error.may_pass() && tries < TRIES_MAX => {
                    tracing::debug!(error = %Chain(&error), "a part of an image broke off");
                    self.blobs.keep_part(part.digest);
                    tries += 1;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a part of an image cannot be fetched");
                    return Err(GiveUpReason::Input);
                }
            }
        }
        Ok(())
    }

    /// At the owner's pace, and of his month.
    async fn fetch_part(&self, from: &Repository, part: Part) -> Result<(), PartError> {
        let _turn = self.pace.down().turn().await;
        self.blobs.make_room(part.digest, part.bytes)?;
        let path = self.blobs.part(part.digest);
        let mut booked = self.pace.book(part.digest, part.bytes)?;
        let mut pay = |bytes: usize| {
            booked.moved(bytes as u64);
            self.pace.moved_elsewhere(bytes as u64);
            self.pace.down().owes(bytes)
        };
        from.blob(part, &path, &mut pay).await?;
        Ok(self.blobs.adopt(part.digest, part.bytes, &path)?)
    }
}
