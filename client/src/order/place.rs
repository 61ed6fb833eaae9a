//! `quorate order place`: an order that was signed before, with the orders of others that came meanwhile.

use crate::{
    api::Api,
    context::Context,
    history::short,
    place,
    run::send,
    signed::{OrdersFile, wanted},
};
use quorate_common::exit::Failure;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Files with others' orders; each goes before what the order's own file holds.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    pub(super) app_order: &'a Option<PathBuf>,
    pub(super) dataset_order: &'a Option<PathBuf>,
    pub(super) sponsor_order: &'a Option<PathBuf>,
}

/// Places it.
pub(super) async fn run(
    context: &Context,
    path: &Path,
    beside: &Beside<'_>,
    name: Option<String>,
) -> Result<(), Failure> {
    let api = Api::new(&context.config.api()?)?;
    let pool = api.pool().await?;
    place::pinned(&context.config, &pool.domain)?;
    let read = |path: &Path| OrdersFile::read(path)?.for_domain(&pool.domain, path);
    let mut file = read(path)?;
    if let Some(path) = beside.app_order {
        file.app = Some(wanted(read(path)?.app, "app order", path)?);
    }
    if let Some(path) = beside.dataset_order {
        file.dataset = Some(wanted(read(path)?.dataset, "dataset order", path)?);
    }
    if let Some(path) = beside.sponsor_order {
        file.sponsor = Some(wanted(read(path)?.sponsor, "sponsor order", path)?);
    }
    let placed = file.place(path)?;
    let order = send(context, &api, &pool, &placed, name).await?;
    let document = json!({
        "schema": "quorate.placed/v1", "order": order.order, "tasks": order.tasks,
    });
    context.output.note(format!("follow it: quorate order watch {}", short(order.order)));
    context.output.either(&document, || order.order.to_string())
}
