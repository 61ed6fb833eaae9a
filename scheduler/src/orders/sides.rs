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
        check_app(shared, req, app)?;
    }
    let dataset = sides.dataset.as_ref().map(|dataset| &dataset.order);
    present("dataset order", "datasetOwner", req.dataset_owner, dataset.is_some())?;
    if let Some(dataset) = dataset {
        check_dataset(shared, req, dataset)?;
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

/// What both sellers' orders say.
struct Sold {
    name: &'static str,
    owner: (Address, Address),
    good: (&'static str, B256, B256),
    price: (&'static str, u128, u128),
    tasks: u32,
}

fn check_sold(req: &ReqOrder, sold: &Sold) -> Result<(), Failure> {
    let (owner, asked) = sold.owner;
    if owner != asked {
        return Err(refuse_in(sold.name, "owner", owner, format!("the order's {asked}")));
    }
    let (field, good, asked) = sold.good;
    if good != asked || good.is_zero() {
        return Err(refuse_in(sold.name, field, good, format!("the order's {asked}, not zero")));
    }
    let (limit, price, most) = sold.price;
    if price > most {
        let name = sold.name;
        let text = format!(
            "{name} field `price` is {price}; expected at most the order's `{limit}` {most}"
        );
        return Err(Failure::new(Code::Funds, text));
    }
    if sold.tasks < req.tasks {
        let expected = format!("at least the order's {}", req.tasks);
        return Err(refuse_in(sold.name, "tasks", sold.tasks, expected));
    }
    Ok(())
}

fn check_app(shared: &Shared, req: &ReqOrder, app: &AppOrder) -> Result<(), Failure> {
    let name = "app order";
    let sold = Sold {
        name,
        owner: (app.owner, req.app_owner),
        good: ("app", app.app, req.app),
        price: ("appMaxPrice", app.price, req.app_max_price),
        tasks: app.tasks,
    };
    check_sold(req, &sold)?;
    check_tag(shared, name, app.tag)?;
    check_expiry(shared, name, app.expiry)?;
    allowed(name, "datasetRestrict", app.dataset_restrict, req.dataset, Id::Digest)?;
    allowed(name, "poolRestrict", app.pool_restrict, shared.pool.restrict(), Id::Pool)?;
    let requester = req.requester.into_word();
    allowed(name, "requesterRestrict", app.requester_restrict, requester, Id::Account)
}

fn check_dataset(shared: &Shared, req: &ReqOrder, dataset: &DatasetOrder) -> Result<(), Failure> {
    let name = "dataset order";
    let sold = Sold {
        name,
        owner: (dataset.owner, req.dataset_owner),
        good: ("dataset", dataset.dataset, req.dataset),
        price: ("datasetMaxPrice", dataset.price, req.dataset_max_price),
        tasks: dataset.tasks,
    };
    check_sold(req, &sold)?;
    check_tag(shared, name, dataset.tag)?;
    check_expiry(shared, name, dataset.expiry)?;
    allowed(name, "appRestrict", dataset.app_restrict, req.app, Id::Digest)?;
    allowed(name, "poolRestrict", dataset.pool_restrict, shared.pool.restrict(), Id::Pool)?;
    let requester = req.requester.into_word();
    allowed(name, "requesterRestrict", dataset.requester_restrict, requester, Id::Account)
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
