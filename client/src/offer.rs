//! `quorate offer`: signed orders of those who sell an application or a dataset, or pay for somebody's
//! request; how they are ended, signed on chain, and paid.

mod royalties;

use crate::{
    amount,
    api::Api,
    chain,
    cli::{OfferCommand, OfferTerms},
    config::Config,
    context::Context,
    place,
    plan::{self, FileBlob},
    signed::{Named, OrdersFile, wanted},
    units, upload, wallet,
};
use quorate_chain::{Call, Settlement};
use quorate_common::{
    Address, B256,
    clock::SystemClock,
    exit::{Code, Failure},
    keys,
    messages::{AppOrder, DatasetOrder, Domain, Message, SponsorOrder},
    orders::SignedOrder,
};
use std::{path::Path, time::Duration};

/// Runs an offer command.
///
/// # Errors
/// The files', the wallet's, the chain's, the scheduler's.
pub async fn run(context: &Context, command: &OfferCommand) -> Result<(), Failure> {
    match command {
        OfferCommand::App { module, only_dataset, terms } => {
            app(context, module, *only_dataset, terms).await
        }
        OfferCommand::Dataset { file, only_app, terms } => {
            dataset(context, file, *only_app, terms).await
        }
        OfferCommand::Sponsor { order, most, expires, output } => {
            sponsor(context, order, *most, *expires, output.as_deref())
        }
        OfferCommand::Presign { file } => {
            tell_chain(context, file, Settlement::presign_order).await
        }
        OfferCommand::Cancel { file } => tell_chain(context, file, Settlement::cancel_order).await,
        OfferCommand::Royalties { deal } => royalties::run(context, *deal).await,
    }
}

async fn app(
    context: &Context,
    module: &Path,
    only_dataset: Option<B256>,
    terms: &OfferTerms,
) -> Result<(), Failure> {
    let blob = plan::module(module)?;
    let seller = Seller::of(context, terms).await?;
    let order = AppOrder {
        owner: seller.owner,
        app: blob.digest.word(),
        price: terms.price,
        tasks: terms.tasks,
        tag: terms.tag.unwrap_or_default(),
        dataset_restrict: only_dataset.unwrap_or_default(),
        pool_restrict: terms.only_pool.unwrap_or_default(),
        requester_restrict: terms.only_requester.unwrap_or_default(),
        expiry: seller.expiry,
        salt: salt()?,
    };
    let app = Some(seller.signed(context, order)?);
    let file = OrdersFile { app, ..OrdersFile::empty(seller.domain) };
    offered(context, &file, &blob, terms).await
}

async fn dataset(
    context: &Context,
    path: &Path,
    only_app: Option<B256>,
    terms: &OfferTerms,
) -> Result<(), Failure> {
    let blob = FileBlob::at(path)?;
    let seller = Seller::of(context, terms).await?;
    let order = DatasetOrder {
        owner: seller.owner,
        dataset: blob.digest.word(),
        price: terms.price,
        tasks: terms.tasks,
        tag: terms.tag.unwrap_or_default(),
        app_restrict: only_app.unwrap_or_default(),
        pool_restrict: terms.only_pool.unwrap_or_default(),
        requester_restrict: terms.only_requester.unwrap_or_default(),
        expiry: seller.expiry,
        salt: salt()?,
    };
    let dataset = Some(seller.signed(context, order)?);
    let file = OrdersFile { dataset, ..OrdersFile::empty(seller.domain) };
    offered(context, &file, &blob, terms).await
}

/// Who sells, until when, and for which contract.
struct Seller {
    owner: Address,
    expiry: u64,
    domain: Domain,
    unsigned: bool,
}

impl Seller {
    async fn of(context: &Context, terms: &OfferTerms) -> Result<Self, Failure> {
        let config = &context.config;
        let owner = terms.owner.map_or_else(|| wallet::address_of(config), Ok)?;
        let (domain, unsigned) = (chain::domain(config).await?, terms.unsigned);
        Ok(Self { owner, expiry: until(terms.expires), domain, unsigned })
    }

    fn signed<T: Message>(&self, context: &Context, order: T) -> Result<SignedOrder<T>, Failure> {
        let signature = if self.unsigned {
            String::new()
        } else {
            signature(&context.config, &self.domain, &order)?
        };
        Ok(SignedOrder { order, signature })
    }
}

async fn offered(
    context: &Context,
    file: &OrdersFile,
    blob: &FileBlob,
    terms: &OfferTerms,
) -> Result<(), Failure> {
    if terms.upload {
        let api = Api::new(&context.config.api()?)?;
        if file.dataset.is_some() {
            upload::dataset(&api, blob).await?;
        } else {
            upload::file(&api, blob).await?;
        }
        context.output.note(format!("uploaded {}", units::show_bytes(blob.len)));
    }
    file.write(terms.output.as_deref(), context.output)?;
    for Named { what, account, hash } in file.orders() {
        let (price, tasks) = (amount::tokens(terms.price), terms.tasks);
        let life = units::show_seconds(terms.expires.as_secs());
        context.output.note(format!(
            "{what} {hash}: {account} sells {} at {price} a task, {tasks} tasks, for {life}",
            blob.digest
        ));
        if terms.unsigned {
            context.output.note("it is unsigned: good once its account presigned it on chain");
        }
    }
    Ok(())
}

fn sponsor(
    context: &Context,
    path: &Path,
    most: u128,
    expires: Option<Duration>,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let mut file = OrdersFile::read(path)?;
    let config = &context.config;
    place::pinned(config, &file.domain)?;
    let req = wanted(file.request.as_ref(), "request", path)?.order.clone();
    let expiry = expires.map_or(req.expiry, until);
    let req_hash = req.struct_hash();
    let (sponsor, max_cost) = (wallet::address_of(config)?, most);
    let order = SponsorOrder { sponsor, req_hash, max_cost, expiry, salt: salt()? };
    let signature = signature(config, &file.domain, &order)?;
    let hash = order.struct_hash();
    let sponsor_order = Some(SignedOrder { order, signature });
    file = OrdersFile { sponsor: sponsor_order, ..OrdersFile::empty(file.domain) };
    file.write(output, context.output)?;
    let (most, who) = (amount::tokens(most), req.requester);
    context.output.note(format!(
        "sponsor order {hash}: {sponsor} pays at most {most} for order {req_hash} of {who}"
    ));
    Ok(())
}

/// Sends a transaction for every order of the file that is this wallet's.
async fn tell_chain(
    context: &Context,
    path: &Path,
    call: fn(&Settlement, B256) -> Call,
) -> Result<(), Failure> {
    let file = OrdersFile::read(path)?;
    let config = &context.config;
    place::pinned(config, &file.domain)?;
    let ours = wallet::address_of(config)?;
    let named = file.orders();
    let own: Vec<B256> =
        named.iter().filter(|named| named.account == ours).map(|named| named.hash).collect();
    if own.is_empty() {
        let of: Vec<String> =
            named.iter().map(|named| format!("{} of {}", named.what, named.account)).collect();
        let of = if of.is_empty() { "nothing".into() } else { of.join(", ") };
        let text = format!("{} holds {of}; expected an order of {ours}", path.display());
        return Err(Failure::new(Code::Denied, text).hint("--wallet NAME chooses another account"));
    }
    let contract = chain::connect(config, file.domain).await?;
    let signer = wallet::open(config)?;
    let calls = own.into_iter().map(|hash| call(&contract, hash)).collect();
    wallet::transact(context, &contract, signer, calls, 0).await
}

fn signature<T: Message>(config: &Config, domain: &Domain, order: &T) -> Result<String, Failure> {
    let digest = domain.separator().digest(order.struct_hash());
    Ok(place::encode_signature(&wallet::open(config)?.sign(digest)))
}

fn until(expires: Duration) -> u64 {
    SystemClock::start().now().unix_s().saturating_add(expires.as_secs())
}

fn salt() -> Result<B256, Failure> {
    let salt = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?;
    Ok(B256::new(salt))
}
