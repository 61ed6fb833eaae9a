//! `quorate pool`: what anybody can do about a pool that has left its duties, with what its workers have
//! kept and what is on chain. How is `quorate_worker::remains`'s; a worker's owner has the same commands, for
//! its own votes.

use crate::{amount, chain, cli::PoolCommand, cli::PoolRemains, context::Context, failure, wallet};
use quorate_common::{
    exit::{Code, Failure},
    ids::PoolId,
};
use quorate_worker::remains::{
    Remains, Source,
    acts::{Report, Sender},
    promises::Promises,
    tell,
};
use std::path::PathBuf;

/// Runs a pool command.
///
/// # Errors
/// The chain's; [`Code::NotFound`] where there is nothing to do, [`Code::Conflict`] where the contract
/// refuses all of it.
pub async fn run(context: &Context, command: &PoolCommand) -> Result<(), Failure> {
    match command {
        PoolCommand::Neglect { remains, words } => neglect(context, remains, words).await,
        PoolCommand::Settle { remains } => settle(context, remains).await,
    }
}

async fn neglect(context: &Context, args: &PoolRemains, words: &[PathBuf]) -> Result<(), Failure> {
    let (remains, sender) = open(context, args).await?;
    let promises = Promises::read(&remains, words, &[]);
    let promises = promises.map_err(|(path, error)| failure::file("read", &path, &error))?;
    if promises.is_empty() {
        let text = format!("no word in --words is about an unsettled task of {}", remains.pool());
        return Err(Failure::new(Code::NotFound, text)
            .hint("a worker keeps what the scheduler signed in `words` of its data folder"));
    }
    let reports = remains.neglect(&promises, &sender).await;
    say(context, "quorate.neglect/v1", &remains, &sender, reports)
}

async fn settle(context: &Context, args: &PoolRemains) -> Result<(), Failure> {
    let (remains, sender) = open(context, args).await?;
    let reports = remains.settle(&sender).await;
    say(context, "quorate.settle/v1", &remains, &sender, reports)
}

async fn open(context: &Context, args: &PoolRemains) -> Result<(Remains, Sender), Failure> {
    let config = &context.config;
    let contract = chain::connect(config, chain::domain(config).await?).await?;
    let sender = if args.dry_run {
        Sender::Nobody
    } else {
        Sender::Outbox(chain::outbox(config, &contract, wallet::open(config)?)?)
    };
    let mut sources: Vec<Source> = args.evidence.iter().map(|s| Source::from(s.as_str())).collect();
    if sources.is_empty() {
        // Nobody to ask is no error for a pool without a final batch.
        sources.extend(config.api().ok().map(Source::Url));
    }
    let remains =
        Remains::open(&contract, PoolId(args.pool), args.from_block, &sources, &sender).await;
    Ok((remains.map_err(|error| error.failure(failure::chain))?, sender))
}

fn say(
    context: &Context,
    schema: &str,
    remains: &Remains,
    sender: &Sender,
    reports: Result<Vec<Report>, quorate_chain::SettleError>,
) -> Result<(), Failure> {
    let reports = reports.map_err(|error| failure::chain(&error))?;
    if reports.is_empty() {
        let text = format!("nothing is left to do about {}", remains.pool());
        return Err(Failure::new(Code::NotFound, text)
            .hint("votes are shown by their workers first: `quorate-worker settle`"));
    }
    let document = tell::document(schema, remains.pool(), sender, &reports);
    context.output.either(&document, || tell::lines(&reports, amount::show))?;
    tell::verdict(&reports)
}
