//! `run`: the worker until somebody interrupts it, or it cannot go on.

use super::{
    Global, RunArgs,
    config::Config,
    engines, failure, machines,
    output::Output,
    owner, pools,
    renewal::{Left, Renewal},
    show::STATUS_FILE,
};
use crate::{
    Allowance, StartError, Status, WorkerHandle, WorkerOptions,
    cgroup::JobGroup,
    control::Control,
    escape::EscapeOptions,
    governor::{Ends, Governor, SESSION_SOCKET, Sight},
    page::{self, Door, Key, Page},
    start::{self, Company},
    team::{Guest, Team, first_parts},
};
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
    keys,
};
use quorate_senses::session::{self, Surroundings};
use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Pause between two writes of the status file: people do not read faster.
const STATUS_PAUSE: Duration = Duration::from_millis(500);
/// Exit status after a second SIGINT or SIGTERM.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// `run`.
pub(crate) async fn run(global: Global, args: RunArgs, output: Output) -> Result<Left, Failure> {
    let slots = args.slots.map(|slots| slots.to_string());
    let args_flags = [("--slots", "slots", slots), ("--docker", "docker.use", args.docker)];
    let config = Config::load(&global, &args_flags)?;
    let mut signals = Signals::listen()?;
    if start::is_running(&config.data_dir) {
        return Err(failure::start(&StartError::Running(config.data_dir)));
    }
    let (group, options) = (JobGroup::open(), options(&config, output)?);
    let mut renewal = Renewal::begin(&config, &options, output)?;
    let node_key = options.node_key.clone();
    let said = (global, args_flags);
    let mut governor = governor(&config, said.clone()).await?;
    let others = pools::active(&config)?;
    let shares: Vec<u16> = std::iter::once(config.share()?)
        .chain(others.iter().map(|other| other.member.share))
        .collect();
    let (first, network) = governor.first().await;
    let parts = first_parts(first, &shares);
    let company = Company::new(group, config.docker_price()?);
    company.pace(network);
    let guests: Vec<_> = others.into_iter().zip(parts[1..].iter().copied()).collect();
    let guests = start_guests(&config, &options, guests, &company).await?;
    let worker = crate::start_under(options, parts[0], &company);
    let worker = worker.await.map_err(|error| failure::start(&error))?;
    let Status { name, node_key: public, scheduler, .. } = worker.view();
    output.note(format!("{name} works for {scheduler}; its node key is {public}"));
    if let Some(listen) = config.metrics()? {
        let at = crate::metrics::serve(listen, worker.watch()).await.map_err(|error| {
            Failure::new(Code::Conflict, format!("metrics.listen {listen}: {error}"))
                .hint("choose another port")
        })?;
        output.note(format!("metrics at http://{at}/metrics"));
    }
    machines::serve(&config, &node_key, output)?;
    let (stop, mut stopped) = mpsc::channel(1);
    let team = Team::new((&worker, shares[0]), &guests);
    let governing = govern(governor, (&worker, team), (&config, said), stop, output);
    let (shown, governing) = governing.await?;
    let reporter = tokio::spawn(report(shown, config.path(STATUS_FILE)));
    let outcome = tokio::select! {
        outcome = until_over(&worker, shares.len() == 1, &mut signals, &mut stopped) => outcome.map(|()| Left::Over),
        left = renewal.watch(&worker) => Ok(left),
    };
    if outcome.is_ok() {
        output.note("leaving: giving back what is unfinished, showing what is sealed");
    }
    let leaving: Vec<_> =
        guests.into_iter().map(|guest| tokio::spawn(guest.handle.stop())).collect();
    let all = async {
        worker.stop().await;
        for left in leaving {
            // One that panicked has nothing left to say.
            drop(left.await);
        }
    };
    tokio::select! {
        () = all => {}
        status = signals.next() => std::process::exit(status),
    }
    // With the worker its last status is out, so governor and reporter end by themselves.
    drop((governing.await, reporter.await));
    match outcome {
        Ok(left) => Ok(renewal.end(left).await),
        Err(failure) => Err(failure),
    }
}

/// An agent for each further pool, with the first one's engine, keys and limits. One that cannot start keeps nobody
/// from working.
async fn start_guests(
    config: &Config,
    home: &WorkerOptions,
    others: Vec<(pools::Other, Allowance)>,
    company: &Company,
) -> Result<Vec<Guest>, Failure> {
    let (mut guests, all) = (Vec::new(), others.len() as u64 + 1);
    for (other, part) in others {
        let pools::Other { name, dir, member } = other;
        let config = config.for_pool(&member.invite, dir.clone())?;
        let mut invite = member.invite;
        invite.api = config.api(&invite);
        let options = WorkerOptions {
            data_dir: dir,
            cache_bytes: home.cache_bytes / all,
            chain: config.nodes(&invite)?,
            escape: escape(&config, &invite)?,
            invite,
            ..home.clone()
        };
        match crate::start_under(options, part, company).await {
            Ok(handle) => guests.push(Guest { name, share: member.share, handle }),
            Err(error) => tracing::error!(pool = name, %error, "this pool goes without its worker"),
        }
    }
    Ok(guests)
}

fn options(config: &Config, output: Output) -> Result<WorkerOptions, Failure> {
    let mut invite = config.invite()?;
    invite.api = config.api(&invite);
    let node_key = keys::node_key_at(&config.path("node.key"));
    let vote_key = keys::vote_key_at(&config.path("vote.key"));
    Ok(WorkerOptions {
        node_key: node_key.map_err(|error| failure::key(&error))?,
        vote_key: vote_key.map_err(|error| failure::key(&error))?,
        data_dir: config.data_dir.clone(),
        slots: config.slots()?,
        ask: config.price()?,
        memory_bytes: config.memory_bytes()?,
        cache_bytes: config.cache_bytes()?,
        name: config.name()?,
        runner: engines::runner(config, output)?,
        hook: None,
        chain: config.nodes(&invite)?,
        escape: escape(config, &invite)?,
        invite,
    })
}

/// The means to be heard on chain: an account of its own, since the owner's stays closed.
fn escape(config: &Config, invite: &Invite) -> Result<Option<EscapeOptions>, Failure> {
    let Some(path) = config.file_of("escape.key_file") else { return Ok(None) };
    let chain = config.nodes(invite)?;
    if chain.is_empty() {
        let text = "`escape.key_file` is set, but no JSON-RPC node is named";
        return Err(Failure::new(Code::Usage, text).hint("set chain.url"));
    }
    let (signer, claims) = (owner::from_file(&path)?, config.claims()?);
    Ok(Some(EscapeOptions { chain, signer, claims }))
}

/// What the command line said, to be said again when the configuration is read again.
type Said = (Global, [(&'static str, &'static str, Option<String>); 2]);

/// The policy, with everything it looks at.
async fn governor(config: &Config, (global, flags): Said) -> Result<Governor, Failure> {
    let preferences = config.preferences()?;
    let socket = config.file_of("session.socket");
    let programs = config.programs()?;
    let with_containers = preferences.containers;
    let failed = |error: io::Error| failure::file(&config.data_dir, &error);
    fs::create_dir_all(&config.data_dir).map_err(failed)?;
    let sight = Sight::open(&config.data_dir, socket.as_deref(), &programs, with_containers).await;
    let reload = move || {
        let text = |failure: Failure| failure.to_string();
        let config = Config::load(&global, &flags).map_err(text)?;
        Ok((config.preferences().map_err(text)?, config.programs().map_err(text)?))
    };
    let sight = sight.map_err(failed)?;
    Ok(Governor::new(&config.data_dir, preferences, sight, Box::new(reload)))
}

/// Puts it in charge, and a session agent beside it where this is a session.
async fn govern(
    governor: Governor,
    (worker, team): (&WorkerHandle, Team),
    (config, said): (&Config, Said),
    stop: mpsc::Sender<()>,
    output: Output,
) -> Result<(watch::Receiver<Status>, JoinHandle<()>), Failure> {
    let control = Control::listen(&config.data_dir);
    let (control, commands) = control.map_err(|error| failure::file(&config.data_dir, &error))?;
    let (shown, watched) = watch::channel(worker.view());
    let status = worker.watch();
    let page = Page { said, commands: control.asked(), shown: watched.clone() };
    let door = open_page(config, page, output).await?;
    let ends = Ends { commands, control, status, shown, team, stop, door };
    let named = config.file_of("session.socket");
    let (here, socket) =
        (Surroundings::here(), named.unwrap_or_else(|| config.path(SESSION_SOCKET)));
    if here.is_session() {
        tokio::spawn(async move { session::tell(&here, &socket).await });
    }
    Ok((watched, tokio::spawn(governor.run(ends))))
}

/// The owner's page, if it is wanted. A machine whose every port is taken works without one.
async fn open_page(
    config: &Config,
    page: Page,
    output: Output,
) -> Result<Option<Arc<Door>>, Failure> {
    let Some(listen) = config.page()? else { return Ok(None) };
    let key = Key::open(&config.data_dir);
    let key = key.map_err(|error| failure::file(&config.data_dir, &error))?;
    let (door, listener) = match Door::open(listen, key).await {
        Ok(opened) => opened,
        Err(error) => {
            output.note(format!("no page: page.listen {listen}: {error}"));
            return Ok(None);
        }
    };
    let door = Arc::new(door);
    output.note(format!(
        "your page: http://{}; `quorate-worker open` lets a browser in",
        door.address()
    ));
    tokio::spawn(page::serve(Arc::clone(&door), listener, Arc::new(page)));
    Ok(Some(door))
}

/// Waits for a signal or the owner's word (fine), or for the worker to say why it cannot go on. A pool that wants it
/// no more is not the end where there are others.
async fn until_over(
    worker: &WorkerHandle,
    is_alone: bool,
    signals: &mut Signals,
    stopped: &mut mpsc::Receiver<()>,
) -> Result<(), Failure> {
    let mut watch = worker.watch();
    let is_over = |status: &Status| (is_alone && status.ended.is_some()) || status.broken.is_some();
    tokio::select! {
        _ = signals.next() => Ok(()),
        Some(()) = stopped.recv() => Ok(()),
        status = watch.wait_for(is_over) => {
            let gone = || Failure::new(Code::Internal, "the worker's thread ended");
            let status = status.map_err(|_| gone())?.clone();
            match (status.broken, status.ended) {
                (Some(reason), _) => Err(Failure::new(Code::Internal, reason)),
                (None, Some(reason)) => Err(Failure::new(Code::Denied, reason)
                    .hint("ask the pool's operator, then start the worker again")),
                (None, None) => Err(gone()),
            }
        }
    }
}

/// Keeps the status file fresh for as long as the worker lives.
async fn report(mut status: watch::Receiver<Status>, path: PathBuf) {
    loop {
        let now = status.borrow_and_update().clone();
        if let Err(error) = now.write(&path) {
            tracing::warn!(%error, path = %path.display(), "the status file cannot be written");
        }
        if status.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(STATUS_PAUSE).await;
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::new(Code::Internal, format!("no signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// The exit status that belongs to the next signal.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}
