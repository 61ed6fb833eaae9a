//! `neglect`, `claim-abandoned` and `settle`: what a worker's owner can do when the pool is gone for good,
//! with what is in the worker's folder and on chain. What is sent, and why not, is [`acts`]'s.
//!
//! [`acts`]: crate::remains::acts

use super::{Global, RemainsArgs, amount, chain, config::Config, failure, output::Output, owner};
use crate::{
    gas,
    remains::{
        Remains, RemainsError, Source,
        acts::{Report, Sender},
        promises::Promises,
        tell,
    },
};
use quorate_chain::SettleError;
use quorate_common::{
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys,
};

/// `neglect`.
pub(crate) async fn neglect(
    global: Global,
    args: RemainsArgs,
    output: Output,
) -> Result<(), Failure> {
    let desk = Desk::open(&global, &args, output).await?;
    let reports = desk.remains.neglect(&desk.promises, &desk.sender).await;
    desk.say("quorate.neglect/v1", &reports.map_err(|error| failure::chain(&error))?)
}

/// `claim-abandoned`.
pub(crate) async fn claim(
    global: Global,
    args: RemainsArgs,
    output: Output,
) -> Result<(), Failure> {
    let desk = Desk::open(&global, &args, output).await?;
    let (worker, sender) = (desk.worker, &desk.sender);
    let reports = desk.remains.claim_abandoned(&desk.promises, worker, sender).await;
    desk.say("quorate.claim-abandoned/v1", &reports.map_err(|error| failure::chain(&error))?)
}

/// `settle`.
pub(crate) async fn settle(
    global: Global,
    args: RemainsArgs,
    output: Output,
) -> Result<(), Failure> {
    let desk = Desk::open(&global, &args, output).await?;
    let reports = desk.show_and_settle().await.map_err(|error| failure::chain(&error))?;
    desk.say("quorate.settle/v1", &reports)
}

/// The pool's remains, and who does something about them.
struct Desk {
    config: Config,
    remains: Remains,
    promises: Promises,
    worker: WorkerIdx,
    sender: Sender,
    output: Output,
}

impl Desk {
    async fn open(global: &Global, args: &RemainsArgs, output: Output) -> Result<Self, Failure> {
        let config = Config::load(global, &[])?;
        let invite = config.invite()?;
        let settlement = chain::connect(&config, &invite).await?;
        let node_key = keys::node_key_at(&config.path("node.key"));
        let node_key = node_key.map_err(|error| failure::key(&error))?;
        let found = settlement.worker_of_node_key(node_key.public()).await;
        let worker = found.map_err(|error| failure::chain(&error))?.ok_or_else(|| {
            Failure::new(Code::NotFound, "the contract does not know this worker")
                .hint("`quorate-worker join` registers it")
        })?;
        let sender = if args.dry_run {
            Sender::Nobody
        } else {
            Sender::Outbox(gas::outbox(&settlement, owner::open(&config, output)?))
        };
        let sources = sources(&config, &invite, args);
        let remains = Remains::open(&settlement, invite.pool, args.from_block, &sources, &sender);
        let remains = remains.await.map_err(|error| no_remains(&error))?;
        let (words, votes) = ([config.path("words")], [config.path("votes")]);
        let promises = Promises::read(&remains, &words, &votes);
        let promises = promises.map_err(|(path, error)| failure::file(&path, &error))?;
        Ok(Self { config, remains, promises, worker, sender, output })
    }

    async fn show_and_settle(&self) -> Result<Vec<Report>, SettleError> {
        let key = keys::vote_key_at(&self.config.path("vote.key"));
        let mut reports = Vec::new();
        match key {
            Ok(key) => {
                let shown = self.remains.show(&self.promises, self.worker, &key, &self.sender);
                reports.extend(shown.await?);
            }
            Err(error) => self.output.note(format!("no vote is shown: {error}")),
        }
        reports.extend(self.remains.settle(&self.sender).await?);
        Ok(reports)
    }

    /// Says what came of it. Nothing to do at all is an error, and so is nothing that the contract takes.
    fn say(&self, schema: &str, reports: &[Report]) -> Result<(), Failure> {
        if reports.is_empty() {
            return Err(self.nothing());
        }
        let document = tell::document(schema, self.remains.pool(), &self.sender, reports);
        self.output.either(&document, || tell::lines(reports, amount::show))?;
        tell::verdict(reports)
    }

    fn nothing(&self) -> Failure {
        let pool = self.remains.pool();
        let text =
            format!("nothing is left to do: no task of {pool} in {} is unsettled", self.dir());
        Failure::new(Code::NotFound, text)
            .hint("what is final is paid by `quorate-worker claim`; `earnings` shows it")
    }

    fn dir(&self) -> String {
        self.config.path("words").display().to_string()
    }
}

fn sources(config: &Config, invite: &Invite, args: &RemainsArgs) -> Vec<Source> {
    if args.evidence.is_empty() {
        return config.api(invite).iter().map(|url| Source::from(url.as_str())).collect();
    }
    args.evidence.iter().map(|text| Source::from(text.as_str())).collect()
}

fn no_remains(error: &RemainsError) -> Failure {
    error.failure(failure::chain)
}
