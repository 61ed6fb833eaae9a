//! The door for orders: everything that can be wrong with one, named by field, value and expectation,
//! before the grid hears of it; then the contract is asked whether it would match ([`would_open`]). What
//! is refused here costs nobody gas.

#[cfg(test)]
mod fits;
mod sides;

use crate::{blobs::Blobs, shared::Shared};
use quorate_chain::{
    error::SettleError,
    settlement::{Orders, Settlement, Signed},
};
use quorate_common::{
    Address, B256,
    api::PlaceOrder,
    bag::{AppKind, BAG_BYTES_MAX, Bag},
    digest::Digest,
    exit::{Code, Failure},
    ids::{REPLICAS_MAX, TASKS_MAX},
    image::{self, ImageRef},
    messages::{Message as _, ReqOrder},
    orders::{Sides, SignatureError, SignedOrder, decode_signature},
    pack::{DOCUMENT_BYTES_MAX, Pack},
    report::Chain as Report,
    terms::DealTerms,
};
use quorate_grid::{calibration, deal::Order};

/// What came with an order that may be placed.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The requester's signature.
    pub signature: Vec<u8>,
    /// Who sells to it, and who pays.
    pub sides: Sides,
}

/// Checks everything about an order that needs no chain.
///
/// # Errors
/// The first thing wrong, as the API says it.
pub fn check(shared: &Shared, place: &PlaceOrder) -> Result<Checked, Failure> {
    let req = &place.req;
    let signature = decode_signature(&place.signature).map_err(|e| bad_signature("order", &e))?;
    let sides = decode_sides(place)?;
    check_terms(shared, req)?;
    check_times(shared, req)?;
    sides::check(shared, req, &sides)?;
    let (app, params, dataset) = (&req.app, &req.params, &req.dataset);
    Work { app, params, dataset, tag: req.tag, tasks: Tasks::All(req.tasks) }
        .fits(&shared.blobs)?;
    Ok(Checked { signature, sides })
}

/// Asks the contract whether it would match an order now: signatures of contract accounts and presigned
/// ones, groups, what is used of each order already, and money.
///
/// # Errors
/// The contract's own words.
pub async fn would_open(
    settlement: &Settlement,
    shared: &Shared,
    req: &ReqOrder,
    checked: &Checked,
) -> Result<(), Failure> {
    let orders = matched(shared, req, &checked.signature, &checked.sides);
    let Err(error) = settlement.would_open(&orders, req.tasks).await else { return Ok(()) };
    // A part may be matched already; then the rest is asked for.
    let left = match error.revert_name() {
        Some("OrderFilled") => left(settlement, req).await,
        _ => None,
    };
    match left {
        Some(left) if (1..req.tasks).contains(&left) => {
            let rest = settlement.would_open(&orders, left).await;
            rest.map_err(|error| refused(shared, &orders, left, &error))
        }
        _ => Err(refused(shared, &orders, req.tasks, &error)),
    }
}

/// The orders as the contract is given them, with this pool's offer.
pub fn matched<'a>(
    shared: &'a Shared,
    req: &'a ReqOrder,
    signature: &'a [u8],
    sides: &'a Sides,
) -> Orders<'a> {
    let offer = &shared.offer;
    let (req, offer_signature) = (Signed { order: req, signature }, &shared.offer_signature);
    Orders::with_sides(req, Signed { order: &offer.order, signature: offer_signature }, sides)
}

/// Tasks of a request that no deal took yet; nothing if the chain does not say.
pub async fn left(settlement: &Settlement, req: &ReqOrder) -> Option<u32> {
    let used = settlement.use_of(req.requester, req.struct_hash()).await.ok()?;
    Some(req.tasks.saturating_sub(used.filled))
}

/// The account that opens deals need not sign to sponsor them, so anybody could name it: it sponsors
/// nothing.
///
/// # Errors
/// If an order does name it.
pub fn not_ours_to_pay(shared: &Shared, order: &Order, ours: Address) -> Result<(), Failure> {
    match &order.sides.sponsor {
        Some(sponsor) if sponsor.order.sponsor == ours => {
            let pool = shared.pool;
            let expected = format!("another account than the one that opens the deals of {pool}");
            Err(refuse_in("sponsor order", "sponsor", ours, expected))
        }
        _ => Ok(()),
    }
}

/// What the grid must know of a deal's bag, if it can be worked on here.
///
/// # Errors
/// What is missing or does not fit.
pub fn deal_fits(blobs: &Blobs, terms: &DealTerms) -> Result<calibration::Work, Failure> {
    own_results(terms.beneficiary, terms.requester)?;
    let tasks = Tasks::Part { first: terms.filled_before, tasks: terms.tasks };
    let (app, params, dataset, tag) = (&terms.app, &terms.params, &terms.dataset, terms.tag);
    let bag = Work { app, params, dataset, tag, tasks }.fits(blobs)?;
    let seller = if terms.app_owner.is_zero() { terms.requester } else { terms.app_owner };
    let readers = bag.readers.iter().map(|reader| reader.node).collect();
    Ok(calibration::Work { program: bag.program(seller), readers })
}

fn decode_sides(place: &PlaceOrder) -> Result<Sides, Failure> {
    fn side<T: Clone>(
        name: &str,
        order: Option<&SignedOrder<T>>,
    ) -> Result<Option<quorate_common::orders::Signed<T>>, Failure> {
        let decoded = order.map(SignedOrder::decode).transpose();
        decoded.map_err(|error| bad_signature(name, &error))
    }
    Ok(Sides {
        app: side("app order", place.app_order.as_ref())?,
        dataset: side("dataset order", place.dataset_order.as_ref())?,
        sponsor: side("sponsor order", place.sponsor_order.as_ref())?,
    })
}

fn bad_signature(order: &str, error: &SignatureError) -> Failure {
    Failure::new(Code::Usage, format!("{order} field `signature` {error}"))
}

fn check_terms(shared: &Shared, req: &ReqOrder) -> Result<(), Failure> {
    let offer = &shared.offer.order;
    if may_not(req.pool_restrict, shared.pool.restrict(), Id::Pool) {
        let expected = format!("zero (any pool) or {} ({})", shared.pool.restrict(), shared.pool);
        return Err(refuse("poolRestrict", req.pool_restrict, expected));
    }
    if req.category != offer.category {
        return Err(refuse("category", req.category, offer.category));
    }
    check_tag(shared, "order", req.tag)?;
    own_results(req.beneficiary, req.requester)?;
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
    check_expiry(shared, "order", req.expiry)?;
    let now = shared.now().unix_s();
    if req.deadline <= now {
        return Err(refuse("deadline", req.deadline, format!("later than now, {now}")));
    }
    Ok(())
}

fn check_expiry(shared: &Shared, order: &str, expiry: u64) -> Result<(), Failure> {
    let now = shared.now().unix_s();
    if expiry > now {
        return Ok(());
    }
    Err(refuse_in(order, "expiry", expiry, format!("later than now, {now}")))
}

fn check_tag(shared: &Shared, order: &str, tag: B256) -> Result<(), Failure> {
    let ours = shared.offer.order.tag;
    if (tag & !ours).is_zero() {
        return Ok(());
    }
    Err(refuse_in(order, "tag", tag, format!("only bits of this pool's {ours}")))
}

/// Results are not encrypted: nobody but who ordered can be promised that they are theirs alone.
fn own_results(beneficiary: Address, requester: Address) -> Result<(), Failure> {
    if beneficiary.is_zero() || beneficiary == requester {
        return Ok(());
    }
    let expected =
        format!("zero or the requester {requester}: results are not encrypted for somebody else");
    Err(refuse("beneficiary", beneficiary, expected))
}

/// What a restriction names where it is no group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Id {
    /// A digest: anything longer than an address is one.
    Digest,
    /// A number: no contract is at so low an address.
    Pool,
    /// An address, which may be a group's as well.
    Account,
}

/// Whether a restriction certainly excludes an id. A group's members only the contract can ask for.
fn may_not(allowed: B256, id: B256, kind: Id) -> bool {
    let no_group = match kind {
        Id::Digest => allowed[..12] != [0; 12],
        Id::Pool => allowed[..12] != [0; 12] || allowed[..28] == [0; 28],
        Id::Account => allowed[..12] != [0; 12],
    };
    !allowed.is_zero() && allowed != id && no_group
}

/// What is to be worked on, by digest.
struct Work<'a> {
    app: &'a B256,
    params: &'a B256,
    dataset: &'a B256,
    tag: B256,
    tasks: Tasks,
}

/// Whether all pieces are here, if the app is a runtime pack.
fn pack_is_here(blobs: &Blobs, app: &Digest) -> Result<(), Failure> {
    let Ok(document) = blobs.read(app, DOCUMENT_BYTES_MAX as u64) else { return Ok(()) };
    let Ok(pack) = Pack::parse(&document) else { return Ok(()) };
    match pack.pieces().find(|piece| !blobs.has(piece)) {
        Some(piece) => Err(missing("piece of the runtime pack", &piece)),
        None => Ok(()),
    }
}

/// Whether the app names an image, if it is a document that means to: every worker would refuse it otherwise.
fn image_is_named(blobs: &Blobs, bag: &Bag) -> Result<(), Failure> {
    let document = blobs.read(&bag.app, image::DOCUMENT_BYTES_MAX as u64).unwrap_or_default();
    if bag.kind.is_wasm() || !ImageRef::is_meant(&document) {
        return Ok(());
    }
    ImageRef::parse(&document).map(drop).map_err(|error| Failure::new(Code::Usage, error))
}

/// Which of a bag's tasks.
enum Tasks {
    /// Exactly so many.
    All(u32),
    /// A deal's.
    Part { first: u32, tasks: u32 },
}

impl Work<'_> {
    /// Whether module, bag and dataset are here and fit each other and the tasks.
    fn fits(&self, blobs: &Blobs) -> Result<Bag, Failure> {
        let app = Digest::from(*self.app);
        if !blobs.has(&app) {
            return Err(missing("app", &app));
        }
        let bag = self.bag(blobs)?;
        if bag.app != app {
            return Err(refuse("app", app, format!("the bag's app {}", bag.app)));
        }
        if AppKind::is_containers(self.tag) != AppKind::is_containers(bag.kind.tag()) {
            let expected = format!("{} for a bag of kind {:?}", bag.kind.tag(), bag.kind);
            return Err(refuse("tag", self.tag, expected));
        }
        self.tasks.are_in(&bag)?;
        self.dataset_is_shared(&bag)?;
        pack_is_here(blobs, &app)?;
        image_is_named(blobs, &bag)?;
        let files = bag.files.iter().chain(bag.tasks.iter().flat_map(|task| &task.files));
        match files.map(|file| &file.digest).find(|digest| !blobs.has(digest)) {
            Some(digest) => Err(missing("input file", digest)),
            None => Ok(bag),
        }
    }

    fn bag(&self, blobs: &Blobs) -> Result<Bag, Failure> {
        let params = Digest::from(*self.params);
        let bytes = blobs.read(&params, BAG_BYTES_MAX as u64);
        let bytes = bytes.map_err(|_| missing("bag", &params))?;
        Bag::parse(&bytes).map_err(|error| Failure::new(Code::Usage, error))
    }

    /// A dataset is a file that every task finds.
    fn dataset_is_shared(&self, bag: &Bag) -> Result<(), Failure> {
        let dataset = Digest::from(*self.dataset);
        if dataset == Digest::ZERO || bag.files.iter().any(|file| file.digest == dataset) {
            return Ok(());
        }
        let expected = "a file that all tasks of the bag share: add it to the bag's `files`";
        Err(refuse("dataset", dataset, expected))
    }
}

impl Tasks {
    fn are_in(&self, bag: &Bag) -> Result<(), Failure> {
        let there = bag.tasks.len();
        match *self {
            Self::All(tasks) if tasks as usize != there => {
                Err(refuse("tasks", tasks, format!("the bag's {there} tasks")))
            }
            Self::Part { first, tasks } if first as usize + tasks as usize > there => {
                let text =
                    format!("the bag has {there} tasks, the deal is of {tasks} from {first}");
                Err(Failure::new(Code::Usage, text))
            }
            Self::All(_) | Self::Part { .. } => Ok(()),
        }
    }
}

fn missing(name: &str, digest: &Digest) -> Failure {
    Failure::new(Code::NotFound, format!("{name} {digest} is not here"))
        .hint(format!("upload it first: PUT /v1/blobs/{digest}"))
}

/// The contract's refusal as the API's.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a chain says is its fault")]
fn refused(shared: &Shared, orders: &Orders<'_>, tasks: u32, error: &SettleError) -> Failure {
    match error {
        SettleError::InsufficientToken { account, have, want } => {
            let message = format!(
                "free balance of {account} is {have} token units; expected at least {want} for \
                 {tasks} tasks"
            );
            let more = want.saturating_sub(*have);
            Failure::new(Code::Funds, message)
                .hint(format!("deposit {more} more: quorate wallet deposit"))
        }
        SettleError::Reverted(revert) => {
            if revert.name != "BadSignature" {
                return Failure::new(code_of(&revert.name), Report(error));
            }
            let domain = shared.domain;
            let text = format!("{} signature: {}", whose(orders, &revert.text), Report(error));
            Failure::new(Code::Denied, text).hint(format!(
                "sign for chain {} and contract {}: another chain or contract gives another signer",
                domain.chain_id, domain.contract
            ))
        }
        _ => Failure::new(Code::Chain, Report(error)),
    }
}

/// Which of the orders a refused signature belongs to, by the account the contract expected.
fn whose(orders: &Orders<'_>, text: &str) -> &'static str {
    let accounts = [
        ("order", Some(orders.req.order.requester)),
        ("app order", orders.app.map(|app| app.order.owner)),
        ("dataset order", orders.dataset.map(|dataset| dataset.order.owner)),
        ("sponsor order", orders.sponsor.map(|sponsor| sponsor.order.sponsor)),
    ];
    let expected = |account: Address| text.contains(&format!("expected = {account}"));
    let found = accounts.into_iter().find(|(_, account)| account.is_some_and(expected));
    found.map_or("pool order", |(name, _)| name)
}

fn code_of(revert: &str) -> Code {
    match revert {
        "Restricted" => Code::Denied,
        "PriceTooHigh" | "SponsorSpent" => Code::Funds,
        "OrderFilled" | "OrderExpired" | "PoolClosed" => Code::Conflict,
        "" => Code::Chain,
        _ => Code::Usage,
    }
}

fn refuse(field: &str, value: impl ToString, expected: impl ToString) -> Failure {
    refuse_in("order", field, value, expected)
}

fn refuse_in(order: &str, field: &str, value: impl ToString, expected: impl ToString) -> Failure {
    let (value, expected) = (value.to_string(), expected.to_string());
    Failure::new(Code::Usage, format!("{order} field `{field}` is {value}; expected {expected}"))
}
