//! `quorate run`: from a module and some lines to checked results on disk. One step after the other;
//! each can fail with nothing lost, and from the signature on the order lives without this program.

use crate::{
    amount,
    api::Api,
    chain,
    cli::RunArgs,
    context::Context,
    follow::{follow, insist, within},
    history::{Entry, History, short},
    image, order,
    output::facts,
    place::{self, Sellers, Terms},
    plan::Plan,
    progress::Progress,
    results::{self, Fetched, Want},
    sealing,
    signed::OrdersFile,
    units, upload, verify, wallet,
};
use quorate_chain::Signer;
use quorate_common::{
    Address,
    api::{OrderView, PlaceOrder, PoolInfo},
    clock::SystemClock,
    exit::{Code, Failure},
    manifest::Ended,
    messages::Message as _,
    orders::SignedOrder,
};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Tasks shown by `--dry-run`.
const SHOWN_TASKS: usize = 3;

/// `run --json`.
#[derive(Debug, Serialize)]
struct Done<'a> {
    schema: &'static str,
    order: &'a OrderView,
    seconds: u64,
    output: Option<&'a PathBuf>,
    results: Option<&'a Fetched>,
    verified: Option<bool>,
}

/// Runs the command. The exit code is the task's own with `--exit-status`, else 0.
///
/// # Errors
/// Everything that can go wrong on the way; [`Code::Failed`] if a task failed.
pub async fn run(context: &Context, args: &RunArgs) -> Result<u8, Failure> {
    if args.exit_status
        && (args.each_line.is_some() || args.array.is_some() || args.each_json.is_some())
    {
        let text = "--exit-status is for one task; expected no --each-line, --array or --each-json";
        return Err(Failure::new(Code::Usage, text));
    }
    let plan = Plan::build(args, image::find(args, context.output).await?)?;
    let api = Api::new(&context.config.api()?)?;
    if args.dry_run {
        return dry_run(context, args, &plan, &api).await.map(|()| 0);
    }
    let pool = api.pool().await?;
    let sealed = match &args.encrypt_to {
        Some(to) => Some(sealing::seal(context, to, plan.clone(), &api, &pool).await?),
        None => None,
    };
    let plan = sealed.as_ref().map_or(plan, |sealed| sealed.plan.clone());
    if let Some(path) = &args.save_order {
        return save_order(context, args, &plan, &api, &pool, path).await.map(|()| 0);
    }
    let (order, placed) = place_order(context, args, &plan, &api, &pool).await?;
    if args.detach {
        let document =
            json!({ "schema": "quorate.placed/v1", "order": order.order, "tasks": order.tasks });
        context.output.note(format!("follow it: quorate order watch {}", short(order.order)));
        return context.output.either(&document, || order.order.to_string()).map(|()| 0);
    }
    let work = finish(context, args, &api, &pool, order, placed);
    within(context, work).await
}

/// Checks, uploads, signs and places.
async fn place_order(
    context: &Context,
    args: &RunArgs,
    plan: &Plan,
    api: &Api,
    pool: &PoolInfo,
) -> Result<(OrderView, PlaceOrder), Failure> {
    let (config, output) = (&context.config, context.output);
    place::pinned(config, &pool.domain)?;
    let sellers = Sellers::read(args, plan, &pool.domain)?;
    let terms = Terms::settle(args, config, pool)?.sold_by(&sellers);
    let cost = terms.cost(plan.tasks())?;
    let signer = wallet::open(config)?;
    check_funds(context, pool, &signer, cost, plan.tasks()).await?;
    bring(context, api, plan).await?;
    let req = terms.order(plan, pool, signer.address())?;
    let placed = PlaceOrder {
        app_order: sellers.app,
        dataset_order: sellers.dataset,
        ..place::sign(req, &pool.domain, &signer)
    };
    let order = send(context, api, pool, &placed, args.name.clone()).await?;
    let (tasks, trust) = (order.tasks, order.trust);
    output.note(format!("order {}", order.order));
    output.note(format!(
        "{tasks} tasks, trust {trust}, at most {} each",
        amount::tokens(terms.max_unit_price.max(terms.price()))
    ));
    Ok((order, placed))
}

async fn bring(context: &Context, api: &Api, plan: &Plan) -> Result<(), Failure> {
    let uploaded = upload::plan(api, plan).await?;
    context.output.note(format!(
        "uploaded {} in {} blobs ({} were there)",
        units::show_bytes(uploaded.bytes),
        uploaded.blobs,
        uploaded.known
    ));
    Ok(())
}

/// Writes an order down, then sends it to the scheduler.
pub(crate) async fn send(
    context: &Context,
    api: &Api,
    pool: &PoolInfo,
    placed: &PlaceOrder,
    name: Option<String>,
) -> Result<OrderView, Failure> {
    let id = placed.req.struct_hash();
    let entry = Entry {
        order: id,
        api: api.base().to_owned(),
        domain: pool.domain,
        name,
        placed_unix_ms: SystemClock::start().now().unix_ms,
        placed: placed.into(),
    };
    // Written down first: an answer that is lost must not lose the order.
    History::of_user()?.add(&entry)?;
    context.is_about(id);
    api.place(placed).await
}

/// Checks, uploads and signs; what is signed is kept in a file, for others to add their orders to.
async fn save_order(
    context: &Context,
    args: &RunArgs,
    plan: &Plan,
    api: &Api,
    pool: &PoolInfo,
    path: &Path,
) -> Result<(), Failure> {
    let (config, output) = (&context.config, context.output);
    place::pinned(config, &pool.domain)?;
    let sellers = Sellers::read(args, plan, &pool.domain)?;
    let terms = Terms::settle(args, config, pool)?.sold_by(&sellers);
    let cost = terms.cost(plan.tasks())?;
    let signer = wallet::open(config)?;
    bring(context, api, plan).await?;
    let signed = place::sign(terms.order(plan, pool, signer.address())?, &pool.domain, &signer);
    let id = signed.req.struct_hash();
    let request = Some(SignedOrder { order: signed.req, signature: signed.signature });
    let Sellers { app, dataset } = sellers;
    OrdersFile { request, app, dataset, ..OrdersFile::empty(pool.domain) }
        .write(Some(path), output)?;
    let (cost, file) = (amount::tokens(cost).replace(' ', ""), path.display());
    output.note(format!("order {id} is signed and not placed; {} tasks cost {cost}", plan.tasks()));
    output.note(format!(
        "a sponsor signs: quorate offer sponsor {file} --most {cost} -o sponsor.json"
    ));
    output
        .note(format!("then place it:   quorate order place {file} --sponsor-order sponsor.json"));
    Ok(())
}

async fn check_funds(
    context: &Context,
    pool: &PoolInfo,
    signer: &Signer,
    cost: u128,
    tasks: u32,
) -> Result<(), Failure> {
    if context.config.nodes()?.is_empty() {
        tracing::debug!("`chain.url` is not set: the scheduler checks the balance");
        return Ok(());
    }
    let contract = chain::connect(&context.config, pool.domain).await?;
    let free = contract.free_of(signer.address()).await;
    place::covered(free.map_err(|error| crate::failure::chain(&error))?, cost, tasks)
}

/// Follows the order, fetches and checks what came out, and says so.
async fn finish(
    context: &Context,
    args: &RunArgs,
    api: &Api,
    pool: &PoolInfo,
    order: OrderView,
    placed: PlaceOrder,
) -> Result<u8, Failure> {
    let clock = SystemClock::start();
    let mut progress = Progress::new(context.output, false);
    let order = follow(api, order.order, &mut progress).await?;
    order::not_refused(&order)?;
    let single = order.tasks == 1 && args.output.is_none();
    let (mut fetched, mut verified, mut ended) = (None, None, None);
    if let Some(dir) = &args.output {
        let want = Want {
            order: order.order,
            placed: Some(placed),
            domain: pool.domain,
            receipts: !args.no_receipts,
        };
        // What came is kept, so a scheduler that goes away meanwhile costs a second look at it.
        let fetch = async || results::write(api, dir, &want, context.output).await;
        let found = insist(context.output, fetch).await?;
        ended = found.ended;
        if want.receipts {
            verified = Some(verify_quietly(dir)?);
        }
        fetched = Some(found);
    } else if single {
        ended =
            insist(context.output, async || print_only_task(context, api, &order).await).await?;
    }
    let seconds = clock.now().mono_ms / 1000;
    let done = Done {
        schema: "quorate.run/v1",
        order: &order,
        seconds,
        output: args.output.as_ref(),
        results: fetched.as_ref(),
        verified: verified.as_ref().map(|report: &verify::Report| report.ok),
    };
    say(context, &done, verified.as_ref(), single)?;
    if let Some(report) = &verified {
        report.settle()?;
    }
    exit_code(args, &order, fetched.as_ref(), ended)
}

/// Holds the fresh folder against its own receipts.
fn verify_quietly(dir: &Path) -> Result<verify::Report, Failure> {
    verify::directory(dir, &verify::Options::default())
}

async fn print_only_task(
    context: &Context,
    api: &Api,
    order: &OrderView,
) -> Result<Option<Ended>, Failure> {
    let tasks = results::all_tasks(api, order.order).await?;
    let Some(digest) = tasks.first().and_then(|task| task.result) else { return Ok(None) };
    let (ended, bytes) = results::stdout(api, digest).await?;
    if !context.output.json {
        context.output.raw(&bytes)?;
    }
    Ok(Some(ended))
}

fn say(
    context: &Context,
    done: &Done<'_>,
    report: Option<&verify::Report>,
    single: bool,
) -> Result<(), Failure> {
    let output = context.output;
    if output.json {
        return output.document(done);
    }
    let text = summary(done, report);
    if single {
        output.note(text)
    } else if !output.quiet {
        output.line(text)?
    }
    Ok(())
}

fn summary(done: &Done<'_>, report: Option<&verify::Report>) -> String {
    let order = done.order;
    let mut rows = vec![("order", short(order.order))];
    rows.extend(order::figures(order));
    rows.push(("time", units::show_seconds(done.seconds)));
    if let (Some(dir), Some(results)) = (done.output, done.results) {
        let not_ok = match results.not_ok {
            0 => String::new(),
            count => format!(", {count} with a program that failed"),
        };
        rows.push(("results", format!("{} in {}{not_ok}", results.results, dir.display())));
    }
    if let Some(report) = report {
        let held = if report.ok { "verified" } else { "NOT VERIFIED" };
        rows.push(("receipts", format!("{} {held}", report.receipts)));
    }
    facts(&rows)
}

fn exit_code(
    args: &RunArgs,
    order: &OrderView,
    fetched: Option<&Fetched>,
    ended: Option<Ended>,
) -> Result<u8, Failure> {
    order::not_failed(order)?;
    let not_ok = match (fetched, ended) {
        (Some(fetched), _) => fetched.not_ok,
        (None, Some(ended)) => u32::from(ended != Ended::Exit(0)),
        (None, None) => 0,
    };
    match ended {
        // As a shell has it: the low eight bits.
        Some(Ended::Exit(code)) if args.exit_status => return Ok(code.to_le_bytes()[0]),
        _ => {}
    }
    if not_ok == 0 {
        return Ok(0);
    }
    let how =
        ended.filter(|_| order.tasks == 1).map_or_else(String::new, |ended| format!(" ({ended})"));
    let text = format!("{not_ok} of {} programs did not end with exit code 0{how}", order.tasks);
    Err(Failure::new(Code::Failed, text).hint("each task's manifest says how it ended"))
}

/// Shows what would be ordered. The pool is asked for its price if it answers.
async fn dry_run(context: &Context, args: &RunArgs, plan: &Plan, api: &Api) -> Result<(), Failure> {
    let pool = match api.pool().await {
        Ok(pool) => Some(pool),
        Err(failure) => {
            context.output.warn(format!("no price: {}", failure.message));
            None
        }
    };
    let settle = |pool: &PoolInfo| {
        let sellers = Sellers::read(args, plan, &pool.domain)?;
        Ok(Terms::settle(args, &context.config, pool)?.sold_by(&sellers))
    };
    let terms = pool.as_ref().map(settle).transpose()?;
    // Without a wallet a plan can be shown as well.
    let payer = wallet::address_of(&context.config).ok();
    let cost = terms.map(|terms| terms.cost(plan.tasks())).transpose()?;
    let tasks: Vec<_> = plan.bag.tasks.iter().take(SHOWN_TASKS).collect();
    let document = json!({
        "schema": "quorate.plan/v1",
        "app": plan.app.digest,
        "bag": plan.bag_digest,
        "tasks": plan.tasks(),
        "limits": plan.bag.limits,
        "upload_bytes": plan.bytes(),
        "first_tasks": tasks,
        "unit_price": terms.map(|terms| terms.unit_price.to_string()),
        "app_price": terms.map(|terms| terms.app.unwrap_or_default().1.to_string()),
        "dataset_price": terms.map(|terms| terms.dataset.unwrap_or_default().2.to_string()),
        "payer": payer,
        "cost": cost.map(|cost| cost.to_string()),
        "trust": terms.map(|terms| terms.trust),
    });
    context.output.either(&document, || {
        let mut rows = vec![
            ("app", format!("{} ({})", plan.app.digest, units::show_bytes(plan.app.len))),
            ("bag", format!("{} ({} tasks)", plan.bag_digest, plan.tasks())),
            (
                "inputs",
                format!(
                    "{} files, {} to upload in all",
                    plan.inputs.len(),
                    units::show_bytes(plan.bytes())
                ),
            ),
        ];
        for (idx, task) in tasks.iter().enumerate() {
            rows.push((["task 0", "task 1", "task 2"][idx], format!("{:?}", task.args)));
        }
        if let (Some(terms), Some(cost)) = (terms, cost) {
            rows.push(("trust", terms.trust.to_string()));
            rows.push(("price", format!("{} per task", amount::show(terms.unit_price))));
            if let Some((owner, price)) = terms.app {
                rows.push(("app owner", royalty(owner, price)));
            }
            if let Some((owner, _, price)) = terms.dataset {
                rows.push(("dataset owner", royalty(owner, price)));
            }
            rows.push(("cost", amount::show(cost)));
            let payer = payer.map_or_else(|| "this wallet".to_owned(), |payer| payer.to_string());
            rows.push(("paid by", format!("{payer}, or a sponsor of the saved order")));
        }
        facts(&rows)
    })
}

/// Who is paid for what is not theirs who work.
pub(crate) fn royalty(owner: Address, price: u128) -> String {
    format!("{owner} gets {} per task", amount::show(price))
}
