//! The door for orders: everything that can be wrong with one, named by field, value and expectation,
//! before the grid hears of it. The contract checks again; this saves gas and answers in words.

use crate::{blobs::Blobs, shared::Shared};
use quorate_common::{
    B256,
    api::PlaceOrder,
    bag::{BAG_BYTES_MAX, Bag},
    digest::Digest,
    exit::{Code, Failure},
    ids::{REPLICAS_MAX, TASKS_MAX},
    keys::{Signature, recover},
    messages::{Message as _, ReqOrder},
};

/// Checks everything about an order that needs no chain. Returns its signature's bytes.
///
/// # Errors
/// The first thing wrong, as the API says it.
pub fn check(shared: &Shared, place: &PlaceOrder) -> Result<Vec<u8>, Failure> {
    let req = &place.req;
    let signature = signature(shared, place)?;
    check_terms(shared, req)?;
    check_times(shared, req)?;
    bag_fits(&shared.blobs, &req.app, &req.params, req.tasks)?;
    Ok(signature.to_bytes().to_vec())
}

fn signature(shared: &Shared, place: &PlaceOrder) -> Result<Signature, Failure> {
    let mut bytes = [0; 64];
    let text = place.signature.strip_prefix("0x").unwrap_or(&place.signature);
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        let shown: String = place.signature.chars().take(24).collect();
        refuse("signature", shown, "128 hex digits (64 bytes, EIP-2098)")
    })?;
    let signature = Signature::from_bytes(&bytes);
    let signer = recover(shared.separator.digest(place.req.struct_hash()), &signature);
    if signer == Some(place.req.requester) {
        return Ok(signature);
    }
    let found = signer.map_or("nobody".to_owned(), |signer| signer.to_string());
    let domain = shared.domain;
    Err(Failure::new(
        Code::Denied,
        format!("order signature is by {found}; expected the requester {}", place.req.requester),
    )
    .hint(format!(
        "sign for chain {} and contract {}: another chain or contract gives another signer",
        domain.chain_id, domain.contract
    )))
}

fn check_terms(shared: &Shared, req: &ReqOrder) -> Result<(), Failure> {
    let offer = &shared.offer.order;
    if !req.pool_restrict.is_zero() && req.pool_restrict != shared.pool.restrict() {
        let expected = format!("zero (any pool) or {} ({})", shared.pool.restrict(), shared.pool);
        return Err(refuse("poolRestrict", req.pool_restrict, expected));
    }
    if req.category != offer.category {
        return Err(refuse("category", req.category, offer.category));
    }
    let missing = req.tag & !offer.tag;
    if !missing.is_zero() {
        return Err(refuse("tag", req.tag, format!("only bits of this pool's {}", offer.tag)));
    }
    for (field, owner) in [("appOwner", req.app_owner), ("datasetOwner", req.dataset_owner)] {
        if !owner.is_zero() {
            return Err(refuse(
                field,
                owner,
                "zero: this pool takes free applications and datasets",
            ));
        }
    }
    if req.max_unit_price < offer.unit_price {
        let message = format!(
            "order field `maxUnitPrice` is {}; expected at least this pool's price {}",
            req.max_unit_price, offer.unit_price
        );
        return Err(Failure::new(Code::Funds, message).hint("raise --max-price"));
    }
    if req.tasks == 0 || req.tasks > TASKS_MAX {
        return Err(refuse("tasks", req.tasks, format!("1 to {TASKS_MAX}; split the order")));
    }
    if req.trust == 0 || req.trust > offer.trust {
        return Err(refuse("trust", req.trust, format!("1 to {}", offer.trust)));
    }
    if req.replicas == 0 || usize::from(req.replicas) > REPLICAS_MAX {
        return Err(refuse("replicas", req.replicas, format!("1 to {REPLICAS_MAX}")));
    }
    if req.max_task_time == 0 || req.max_task_time > offer.max_task_time {
        return Err(refuse(
            "maxTaskTime",
            req.max_task_time,
            format!("1 to {} s", offer.max_task_time),
        ));
    }
    Ok(())
}

fn check_times(shared: &Shared, req: &ReqOrder) -> Result<(), Failure> {
    let now = shared.now().unix_s();
    if req.expiry <= now {
        return Err(refuse("expiry", req.expiry, format!("later than now, {now}")));
    }
    if req.deadline <= now {
        return Err(refuse("deadline", req.deadline, format!("later than now, {now}")));
    }
    Ok(())
}

/// Whether module and bag are here and fit each other and the number of tasks.
///
/// # Errors
/// What is missing or does not fit.
pub fn bag_fits(blobs: &Blobs, app: &B256, params: &B256, tasks: u32) -> Result<(), Failure> {
    let (app, params) = (Digest::from(*app), Digest::from(*params));
    let missing = |name: &str, digest: &Digest| {
        Failure::new(Code::NotFound, format!("{name} {digest} is not here"))
            .hint(format!("upload it first: PUT /v1/blobs/{digest}"))
    };
    if !blobs.has(&app) {
        return Err(missing("app", &app));
    }
    let bytes = blobs.read(&params, BAG_BYTES_MAX as u64).map_err(|_| missing("bag", &params))?;
    let bag = Bag::parse(&bytes).map_err(|error| Failure::new(Code::Usage, error))?;
    if bag.app != app {
        return Err(refuse("app", app, format!("the bag's app {}", bag.app)));
    }
    if bag.tasks.len() != tasks as usize {
        return Err(refuse("tasks", tasks, format!("the bag's {} tasks", bag.tasks.len())));
    }
    let files = bag.files.iter().chain(bag.tasks.iter().flat_map(|task| &task.files));
    match files.map(|file| &file.digest).find(|digest| !blobs.has(digest)) {
        Some(digest) => Err(missing("input file", digest)),
        None => Ok(()),
    }
}

fn refuse(field: &str, value: impl ToString, expected: impl ToString) -> Failure {
    let (value, expected) = (value.to_string(), expected.to_string());
    Failure::new(Code::Usage, format!("order field `{field}` is {value}; expected {expected}"))
}
