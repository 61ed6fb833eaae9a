//! `quorate demo`: the whole market in one process, with every real part: a chain with the real contract,
//! a scheduler with journal and index, six workers over QUIC (four honest, one liar, one whose line keeps
//! breaking), a requester, real work, receipts, settlement. It plays nothing: it starts the programs'
//! own libraries and watches. Exits 0 only if every result stands, the liar paid for its lies, and the
//! money adds up to the last unit.

mod books;
mod cast;
mod summary;
mod work;

use crate::{
    api::Api,
    cli::DemoArgs,
    follow::follow,
    output::Output,
    progress::Progress,
    results::{self, Want},
    upload,
    verify::{self, Anchors},
};
use books::Market;
use cast::Cast;
use quorate_common::{
    api::{BatchView, OrderView, PlaceOrder},
    exit::{Code, Failure},
    keys,
};
use quorate_scheduler::{
    actors::grid::Arrived,
    dev::{self, DevChain, WINDOW_S},
    system::{self, Boot, Running},
};
use std::{path::PathBuf, time::Duration};
use summary::Summary;

/// Token units per task: a thousandth of a token.
pub const UNIT_PRICE: u128 = 1_000_000_000_000_000;
/// How often the demo looks whether the settler is done.
const LOOK: Duration = Duration::from_millis(50);
/// How long the settler may take for all batches of the demo, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo; 0 if everything held, else [`Code::Failed`].
///
/// # Errors
/// What kept it from being played to the end.
pub fn run(args: &DemoArgs, output: Output) -> Result<u8, Failure> {
    let folder = Folder::new(args)?;
    let summary = actix::System::new().block_on(play(args, &folder, output))?;
    summary.print(output)?;
    Ok(if summary.holds() { 0 } else { Code::Failed as u8 })
}

async fn play(args: &DemoArgs, folder: &Folder, output: Output) -> Result<Summary, Failure> {
    let work = work::Work::read(args)?;
    output.note("starting a chain, a scheduler, a requester and six workers");
    let chain = DevChain::start(None).await?;
    let running = scheduler(&chain, folder, args).await?;
    let requester = dev::account(1);
    chain.fund(&requester, UNIT_PRICE * u128::from(work.tasks()) * 2).await?;
    let cast = Cast::start(&chain, &running, &folder.data).await?;
    let market = Market::new(chain.clone(), running.shared.pool);
    let api = Api::new(&format!("http://{}", running.http))?;
    let placed = place(&api, &work, args, &requester).await?;
    let order = follow(&api, placed.order, &mut Progress::new(output, false)).await?;
    output.note("closing the last batch, waiting out the challenge window, finalizing, claiming");
    let batches = settle(&api, &chain, &running).await?;
    let claims = cast.claim(&chain, &api, running.shared.pool).await?;
    market.refund(&api, order.deal).await?;
    write_results(&api, args, &placed, output).await?;
    let roots = batches.iter().map(|batch| batch.hash).collect();
    let anchors = Anchors { domain: running.shared.domain, roots };
    let options = verify::Options { anchors: Some(anchors), partial: false };
    let report = verify::directory(&args.output, &options)?;
    let found = work.found(&args.output)?;
    let workers = cast.reckon(&running).await?;
    let money = market.balance(&requester, &cast).await?;
    let gas = summary::Gas::read(&running, &claims);
    cast.stop().await;
    running.stop().await;
    Ok(Summary {
        order,
        batches,
        claims,
        report,
        found,
        workers,
        money,
        gas,
        folder: args.output.clone(),
    })
}

/// Where the demo keeps things while it runs.
struct Folder {
    data: PathBuf,
    keep: bool,
}

impl Folder {
    fn new(args: &DemoArgs) -> Result<Self, Failure> {
        let chosen = args.data.clone();
        let data = chosen.clone().unwrap_or_else(|| {
            std::env::temp_dir().join(format!("quorate-demo-{}", std::process::id()))
        });
        std::fs::create_dir_all(&data).map_err(|error| {
            Failure::new(Code::Internal, format!("folder {}: {error}", data.display()))
        })?;
        Ok(Self { data, keep: chosen.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // A folder that stays behind in the temporary directory is a nuisance, no failure.
            drop(std::fs::remove_dir_all(&self.data));
        }
    }
}

async fn scheduler(chain: &DevChain, folder: &Folder, args: &DemoArgs) -> Result<Running, Failure> {
    let key = || keys::random32().map_err(|error| Failure::new(Code::Internal, error));
    let node_key = keys::NodeKey::from_bytes(&key()?);
    let signer = keys::VoteKey::from_bytes(&key()?)
        .ok_or_else(|| Failure::new(Code::Internal, "a random key was none; run it again"))?;
    let mut config = dev::config(&folder.data.join("scheduler"));
    config.unit_price = UNIT_PRICE;
    // Short enough that the worker with the broken line is replaced while one watches.
    config.policy.lease_ms = 200;
    config.policy.batch_tasks = args.batch;
    std::fs::create_dir_all(&config.data).map_err(|error| {
        Failure::new(Code::Internal, format!("folder {}: {error}", config.data.display()))
    })?;
    let pool = chain.pool(signer.address(), node_key.public()).await?;
    system::start(Boot {
        config,
        node_key,
        signer,
        gas: dev::gas(),
        settlement: chain.settlement.clone(),
        pool,
        node: Some(chain.node.clone()),
    })
    .await
}

/// An order that was placed.
struct Placed {
    order: quorate_common::B256,
    signed: PlaceOrder,
    domain: quorate_common::messages::Domain,
}

async fn place(
    api: &Api,
    work: &work::Work,
    args: &DemoArgs,
    requester: &quorate_chain::keystore::Signer,
) -> Result<Placed, Failure> {
    let pool = api.pool().await?;
    upload::bytes(api, work.app(), work::MODULE).await?;
    let bag = work.bag();
    upload::bytes(api, quorate_common::digest::Digest::of(&bag), &bag).await?;
    let req = work.order(&pool, requester.address(), &bag, args.trust)?;
    let signed = crate::place::sign(req, &pool.domain, requester);
    let order: OrderView = api.place(&signed).await?;
    Ok(Placed { order: order.order, signed, domain: pool.domain })
}

/// Closes the last batch, lets the window pass, and waits until every batch is final.
async fn settle(api: &Api, chain: &DevChain, running: &Running) -> Result<Vec<BatchView>, Failure> {
    running.grid.do_send(Arrived(quorate_grid::Input::CloseBatch));
    wait_for(api, "committed", |batch| batch.state != "closed").await?;
    let warped = chain.settlement.chain().warp(WINDOW_S + 60).await;
    warped.map_err(|error| crate::failure::chain(&error))?;
    wait_for(api, "final", |batch| batch.state == "final").await
}

async fn wait_for(
    api: &Api,
    what: &str,
    is_there: impl Fn(&BatchView) -> bool,
) -> Result<Vec<BatchView>, Failure> {
    let wait = async {
        loop {
            let batches = api.batches().await?.batches;
            if !batches.is_empty() && batches.iter().all(&is_there) {
                return Ok(batches);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| {
        Err(Failure::new(Code::TimedOut, format!("not every batch is {what} after two minutes")))
    })
}

async fn write_results(
    api: &Api,
    args: &DemoArgs,
    placed: &Placed,
    output: Output,
) -> Result<(), Failure> {
    let want = Want {
        order: placed.order,
        placed: Some(placed.signed.clone()),
        domain: placed.domain,
        receipts: true,
    };
    results::write(api, &args.output, &want, output).await.map(drop)
}
