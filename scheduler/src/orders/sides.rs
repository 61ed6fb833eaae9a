//! What can be wrong with the orders that come with a request: each is there if and only if the request
//! names its owner, is for what the request names, asks no more than the request pays, and allows it.

use super::{Id, check_expiry, check_tag, may_not, refuse, refuse_in};
use crate::shared::Shared;
use quorate_common::{
    Address, B256,
    exit::{Code, Failure},
    messages::{AppOrder, DatasetOrder, Message as _, ReqOrder, SponsorOrder},
    orders::Sides,
};

/// Checks all that needs no chain.
pub(super) fn check(shared: &Shared, req: &ReqOrder, sides: &Sides) -> Result<(), Failure> {
    let app = sides.app.as_ref().map(|app| &app.order);
    present("app order", "appOwner", req.app_owner, app.is_some())?;
    if let Some(app) = app {
        Sold::app(req, app).check(shared, req)?;
    }
    let dataset = sides.dataset.as_ref().map(|dataset| &dataset.order);
    present("dataset order", "datasetOwner", req.dataset_owner, dataset.is_some())?;
    if let Some(dataset) = dataset {
        Sold::dataset(req, dataset).check(shared, req)?;
    }
    check_offer(shared, req)?;
    match &sides.sponsor {
        Some(sponsor) => check_sponsor(shared, req, &sponsor.order, sides.royalty()),
        None => Ok(()),
    }
}

fn present(order: &str, field: &str, owner: Address, given: bool) -> Result<(), Failure> {
    match (owner.is_zero(), given) {
        (false, false) => {
            let expected = format!("zero (it is free), or its owner's {order} with the order");
            Err(refuse(field, owner, expected))
        }
        (true, true) => {
            let expected = format!("the owner who signed the {order}: without one it is free");
            Err(refuse(field, owner, expected))
        }
        _ => Ok(()),
    }
}

/// What a seller's order says, and what it is held against.
struct Sold {
    name: &'static str,
    /// Who sells, and who the request says does.
    owner: (Address, Address),
    /// The field that names what is sold, what it says, and what the request asks for.
    good: (&'static str, B256, B256),
    /// The request's limit by name, the price, and the limit.
    price: (&'static str, u128, u128),
    tasks: u32,
    tag: B256,
    expiry: u64,
    /// The field that limits what it is used with, what it says, and what the request uses it with.
    beside: (&'static str, B256, B256),
    pool: B256,
    requester: B256,
}

impl Sold {
    fn app(req: &ReqOrder, app: &AppOrder) -> Self {
        Self {
            name: "app order",
            owner: (app.owner, req.app_owner),
            good: ("app", app.app, req.app),
            price: ("appMaxPrice", app.price, req.app_max_price),
            tasks: app.tasks,
            tag: app.tag,
            expiry: app.expiry,
            beside: ("datasetRestrict", app.dataset_restrict, req.dataset),
            pool: app.pool_restrict,
            requester: app.requester_restrict,
        }
    }

    fn dataset(req: &ReqOrder, dataset: &DatasetOrder) -> Self {
        Self {
            name: "dataset order",
            owner: (dataset.owner, req.dataset_owner),
            good: ("dataset", dataset.dataset, req.dataset),
            price: ("datasetMaxPrice", dataset.price, req.dataset_max_price),
            tasks: dataset.tasks,
            tag: dataset.tag,
            expiry: dataset.expiry,
            beside: ("appRestrict", dataset.app_restrict, req.app),
            pool: dataset.pool_restrict,
            requester: dataset.requester_restrict,
        }
    }

    fn check(&self, shared: &Shared, req: &ReqOrder) -> Result<(), Failure> {
        self.fits(req)?;
        check_tag(shared, self.name, self.tag)?;
        check_expiry(shared, self.name, self.expiry)?;
        let (field, beside, used) = self.beside;
        allowed(self.name, field, beside, used, Id::Digest)?;
        allowed(self.name, "poolRestrict", self.pool, shared.pool.restrict(), Id::Pool)?;
        let requester = req.requester.into_word();
        allowed(self.name, "requesterRestrict", self.requester, requester, Id::Account)
    }

    /// The seller and what is sold are the request's, the price and the volume are enough.
    fn fits(&self, req: &ReqOrder) -> Result<(), Failure> {
        let name = self.name;
        let (owner, asked) = self.owner;
        if owner != asked {
            return Err(refuse_in(name, "owner", owner, format!("the order's {asked}")));
        }
        let (field, good, asked) = self.good;
        if good != asked || good.is_zero() {
            return Err(refuse_in(name, field, good, format!("the order's {asked}, not zero")));
        }
        let (limit, price, most) = self.price;
        if price > most {
            let text = format!(
                "{name} field `price` is {price}; expected at most the order's `{limit}` {most}"
            );
            return Err(Failure::new(Code::Funds, text));
        }
        if self.tasks < req.tasks {
            let expected = format!("at least the order's {}", req.tasks);
            return Err(refuse_in(name, "tasks", self.tasks, expected));
        }
        Ok(())
    }
}

/// What this pool's own offer allows.
fn check_offer(shared: &Shared, req: &ReqOrder) -> Result<(), Failure> {
    let offer = &shared.offer.order;
    let own = [
        ("app", offer.app_restrict, req.app, Id::Digest),
        ("dataset", offer.dataset_restrict, req.dataset, Id::Digest),
        ("requester", offer.requester_restrict, req.requester.into_word(), Id::Account),
    ];
    for (field, restrict, id, kind) in own {
        if may_not(restrict, id, kind) {
            return Err(refuse(field, id, format!("{restrict}: this pool takes no other")));
        }
    }
    Ok(())
}

fn check_sponsor(
    shared: &Shared,
    req: &ReqOrder,
    sponsor: &SponsorOrder,
    royalty: u128,
) -> Result<(), Failure> {
    let (name, hash) = ("sponsor order", req.struct_hash());
    if sponsor.sponsor.is_zero() {
        return Err(refuse_in(name, "sponsor", sponsor.sponsor, "the account that pays"));
    }
    if sponsor.req_hash != hash {
        let expected = format!("this order's struct hash {hash}");
        return Err(refuse_in(name, "reqHash", sponsor.req_hash, expected));
    }
    check_expiry(shared, name, sponsor.expiry)?;
    let price = shared.offer.order.unit_price.saturating_add(royalty);
    let cost = price.saturating_mul(req.tasks.into());
    if sponsor.max_cost >= cost {
        return Ok(());
    }
    let (most, tasks) = (sponsor.max_cost, req.tasks);
    let text = format!(
        "{name} field `maxCost` is {most}; expected at least {cost} for {tasks} tasks at {price}"
    );
    Err(Failure::new(Code::Funds, text))
}

fn allowed(order: &str, field: &str, allowed: B256, id: B256, kind: Id) -> Result<(), Failure> {
    if !may_not(allowed, id, kind) {
        return Ok(());
    }
    let text = format!("{order} field `{field}` is {allowed}; expected zero (any) or {id}");
    Err(Failure::new(Code::Denied, text))
}
