//! The command line: every command, flag and help text. Nothing is decided here; `lib` dispatches.

use crate::{amount, rows, units};
use clap::{ArgAction, Args, Parser, Subcommand};
use quorate_chain::{Address, B256};
use quorate_common::{digest::Digest, ids::PoolId, telemetry::LogFormat};
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

const ABOUT: &str = "Run bags of tasks on strangers' machines, and prove the results.";

const EXAMPLES: &str = "\
Examples:
  quorate wallet new                                     make an account
  quorate wallet deposit 10QTT                           put money into the contract
  quorate run app.wasm --each-line in.txt -o out         run one task per line
  quorate verify out                                     check every receipt, offline

Exit codes: quorate help exit-codes";

const BENCH_EXAMPLES: &str = "\
Examples:
  quorate bench                                          everything: about three minutes
  quorate bench --only load --replication 3 --json       one figure, for scripts

Takes a release build to mean anything: cargo build --release --workspace";

const PACK_EXAMPLES: &str = "\
Examples:
  deploy/packs/python/build                              make the Python pack from its published parts
  quorate pack show                                      what it is, and who signed it
  quorate run script.py --with numpy --each-line in.txt -o out";

const RUN_EXAMPLES: &str = "\
Examples:
  quorate run app.wasm -- 607                            one task; its output is printed
  quorate run app.wasm --each-line exponents.txt -o out  `{line}` is the argument
  quorate run pi.wasm --array 1-100 -o out -- --seed {task.index}
  quorate run dock.wasm --each-json ligands.jsonl -i receptor.pdb -o out -- --name {name}
  quorate run app.wasm --each-line names.txt -i data/{line}.csv:in.csv -o out
  quorate run fit.py --each-line seeds.txt --with numpy,sklearn.svm -o out
                                                         a script on the Python runtime pack
  quorate run app.wasm --each-line in.txt --dry-run      what it would cost
  quorate run app.wasm --each-line in.txt -o out --app-order app.json --dataset-order data.json
                                                         pay the owners of both, too
  quorate run app.wasm --each-line in.txt --save-order order.json
                                                         sign, for a sponsor to pay; then: order place

Placeholders: {task.index} (the number of --array, else counted from 0), {line}, {FIELD} of a JSON
row, {a.b} for nested fields; {{ and }} are braces. Without ARGS, a line or number is the argument
and a JSON row is standard input. Files given with -i appear below /in; a task's results are its
standard output and what it writes below /out.";

/// `quorate`.
#[derive(Debug, Parser)]
#[command(
    name = "quorate",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file, on top of the user's and the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a configuration key, as `--set order.trust=100`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub set: Vec<String>,
    /// The scheduler's HTTP API (key `api`)
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
    /// The account that orders and pays (key `wallet`)
    #[arg(long, global = true, value_name = "NAME")]
    pub wallet: Option<String>,
    /// File with the wallet's password (key `password_file`)
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<String>,
    /// JSON-RPC node of the chain (key `chain.url`)
    #[arg(long, global = true, value_name = "URL")]
    pub chain_url: Option<String>,
    /// Print JSON: one document, or one event a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no notes and no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log more; -vv logs everything
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// How log lines look: text or json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true
    )]
    pub log_format: LogFormat,
    /// No colours, as with NO_COLOR
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Give up waiting after this long (exit code 5); an order goes on
    #[arg(long, global = true, value_name = "TIME", value_parser = units::duration)]
    pub timeout: Option<Duration>,
}

impl Global {
    /// Flags that are configuration keys: flag, key, value.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let named = [
            ("--api", "api", &self.api),
            ("--wallet", "wallet", &self.wallet),
            ("--password-file", "password_file", &self.password_file),
            ("--chain-url", "chain.url", &self.chain_url),
        ];
        named.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.as_deref()?)))
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole market in this process: chain, scheduler, six workers, settlement
    Demo(DemoArgs),
    /// Run a WASM module once, or once per line, number or JSON row
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Look at orders and fetch their results
    #[command(subcommand)]
    Order(OrderCommand),
    /// Sell an application or a dataset, pay for somebody's order, and be paid
    #[command(subcommand, after_help = OFFER_EXAMPLES)]
    Offer(OfferCommand),
    /// Check a folder of results and receipts; needs no network
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Follow pools on chain, repeat all they settle, and challenge what is wrong
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(WatchArgs),
    /// End a pool that has left its duties, and settle what it left
    #[command(subcommand, after_help = POOL_EXAMPLES)]
    Pool(PoolCommand),
    /// Accounts and money
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Make and look at runtime packs, which scripts run on
    #[command(subcommand, after_help = PACK_EXAMPLES)]
    Pack(PackCommand),
    /// Weigh votes as the scheduler and the contract do
    #[command(after_help = POCO_EXAMPLES)]
    Poco(PocoArgs),
    /// Measure the real scheduler program under load, with simulated workers
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArgs),
    /// Show or write the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print help for a command or topic, as `quorate help order ls` or `quorate help exit-codes`
    Help {
        /// A command, or `exit-codes`
        topic: Vec<String>,
    },
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The WASM module (WASI preview 1), a Python script, or with --docker or --iexec an image: its archive (`docker
    /// save`), or REGISTRY/REPOSITORY:TAG or @sha256:DIGEST, which volunteers fetch who list that registry
    #[arg(value_name = "APP")]
    pub app: PathBuf,
    /// Packages that a script's tasks start with, imported once on each worker
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub with: Vec<String>,
    /// Folder of the runtime pack a script runs on [default: the user's Python]
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    /// APP is a container image: inputs are below /in, results what it leaves below /out
    #[arg(long, conflicts_with_all = ["iexec", "with", "pack"])]
    pub docker: bool,
    /// APP is an image made for iExec: IEXEC_IN, IEXEC_OUT, computed.json
    #[arg(long, conflicts_with_all = ["with", "pack"])]
    pub iexec: bool,
    /// Seal input files to these workers: `pool` (all connected now), numbers (1,4,7) or a file of node keys
    #[arg(long, value_name = "WORKERS")]
    pub encrypt_to: Option<String>,
    /// One task per line of FILE (`-`: standard input); blank lines are passed over
    #[arg(long, value_name = "FILE", group = "source")]
    pub each_line: Option<PathBuf>,
    /// One task per number, both ends included
    #[arg(long, value_name = "A-B", group = "source", value_parser = rows::parse_array)]
    pub array: Option<RangeInclusive<u64>>,
    /// One task per JSON object: one a line, or one array of them
    #[arg(long, value_name = "FILE", group = "source")]
    pub each_json: Option<PathBuf>,
    /// File or folder that tasks find below /in, there named PATH; may be repeated
    #[arg(short = 'i', long = "input", value_name = "FILE[:PATH]", action = ArgAction::Append)]
    pub inputs: Vec<String>,
    /// Standard input of each task; may hold placeholders
    #[arg(long, value_name = "TEXT")]
    pub stdin: Option<String>,
    /// Folder for results and receipts
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Ask for a chance of a wrong result below 1/T (key order.trust)
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..))]
    pub trust: Option<u32>,
    /// Highest price of one task: units, or a decimal as 0.002 (key order.max_price)
    #[arg(long, value_name = "P", value_parser = amount::parse)]
    pub max_price: Option<u128>,
    /// Most replicas a task may take (key order.replicas)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=15))]
    pub replicas: Option<u8>,
    /// Longest time of one replica (key order.time_limit)
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub time_limit: Option<Duration>,
    /// Give up unfinished tasks after this long (key order.deadline)
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub deadline: Option<Duration>,
    /// WASM fuel of one task, about one unit per instruction [default: 1T]
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub fuel: Option<u64>,
    /// Memory of one task [default: 256MiB, of a script 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub memory: Option<u64>,
    /// Bytes a task may write, standard output included [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub max_output: Option<u64>,
    /// The order of who sells the module (`quorate offer app`)
    #[arg(long, value_name = "FILE")]
    pub app_order: Option<PathBuf>,
    /// The order of who sells a dataset (`quorate offer dataset`); tasks find it below /in
    #[arg(long, value_name = "FILE")]
    pub dataset_order: Option<PathBuf>,
    /// Where below /in, unless -i brings the dataset under a name of its own
    #[arg(long, value_name = "PATH", default_value = "dataset", requires = "dataset_order")]
    pub dataset_path: String,
    /// Upload and sign, but do not place: write the order to FILE, for a sponsor and `order place`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "detach", "dry_run"])]
    pub save_order: Option<PathBuf>,
    /// Place the order, print its id and leave
    #[arg(long, conflicts_with = "output")]
    pub detach: bool,
    /// Print what would be ordered and what it would cost; order nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A name for `order ls`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Do not wait for receipts; `order results ORDER -o DIR` fetches them later
    #[arg(long, requires = "output")]
    pub no_receipts: bool,
    /// End with the task's own exit code (one task only)
    #[arg(long, conflicts_with = "detach")]
    pub exit_status: bool,
    /// Arguments of each task; may hold placeholders
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// `pack`.
#[derive(Debug, Subcommand)]
pub enum PackCommand {
    /// Cut a module and its files into pieces, and sign for them
    Make {
        /// The reactor module; its custom sections are left out
        #[arg(long, value_name = "FILE")]
        module: PathBuf,
        /// File that the module finds in its library folder, there named PATH; may be repeated
        #[arg(long = "file", value_name = "FILE[:PATH]", action = ArgAction::Append)]
        files: Vec<String>,
        /// Packages that --with may name
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        offers: Vec<String>,
        /// What it is called
        #[arg(long)]
        name: String,
        /// Which one it is
        #[arg(long)]
        version: String,
        /// Publisher's ed25519 key; made if there is none
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Folder for document and pieces
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Print what a pack is, after checking its signature
    Show {
        /// Its folder [default: the user's Python]
        folder: Option<PathBuf>,
    },
}

/// `order`.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// List the orders placed from this machine
    Ls {
        /// All of them, not only the newest twenty
        #[arg(long)]
        all: bool,
        /// Do not ask the scheduler where they stand
        #[arg(long)]
        offline: bool,
    },
    /// Print an order, and its tasks with --tasks
    Show {
        /// The order, or the beginning of its id
        order: String,
        /// Its tasks too
        #[arg(long)]
        tasks: bool,
    },
    /// Place an order that was signed before (`quorate run --save-order`), print its id and leave
    #[command(after_help = "\
The scheduler asks the contract whether all orders fit, so a contract wallet's signature or none at all
(after `quorate offer presign`) is as good as a key's.

Examples:
  quorate order place order.json --sponsor-order sponsor.json
  quorate order place order.json --app-order app.json --name primes")]
    Place {
        /// The signed order
        file: PathBuf,
        /// The order of who sells the module
        #[arg(long, value_name = "FILE")]
        app_order: Option<PathBuf>,
        /// The order of who sells the dataset
        #[arg(long, value_name = "FILE")]
        dataset_order: Option<PathBuf>,
        /// The order of who pays
        #[arg(long, value_name = "FILE")]
        sponsor_order: Option<PathBuf>,
        /// A name for `order ls`
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Follow an order until it is done; exit code 10 if tasks failed
    Watch {
        /// The order, or the beginning of its id
        order: String,
    },
    /// Fetch what is missing of results and receipts
    #[command(after_help = "\
What is there already is checked and kept, so the command can be repeated at any time.

Example:
  quorate order results 7f3k -o out")]
    Results {
        /// The order, or the beginning of its id
        order: String,
        /// Folder for results and receipts
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        /// Results only; do not wait for receipts
        #[arg(long)]
        no_receipts: bool,
    },
    /// Say why an order waits, or why one task is where it is: replicas, weights, votes
    Explain {
        /// The order, or the beginning of its id
        order: String,
        /// The task, from 0; without it the whole order, by what its tasks wait for
        task: Option<u32>,
    },
    /// Bring back into the wallet what an order paid for tasks that failed
    #[command(after_help = "\
A failed task is refunded once its batch is final, which is after the contract's challenge window.
Anybody may send the transaction; the money goes to the requester's free balance in any case.

Example:
  quorate order refund 7f3k")]
    Refund {
        /// The order, or the beginning of its id
        order: String,
    },
    /// Print a task's receipt
    Receipt {
        /// The order, or the beginning of its id
        order: String,
        /// The task, from 0
        #[arg(default_value_t = 0)]
        task: u32,
    },
}

const OFFER_EXAMPLES: &str = "\
Examples:
  quorate offer app model.wasm --price 0.001 --tasks 10000 -o app.json
                                                sell each run of a module
  quorate offer dataset genome.fa --price 500 --tasks 10000 --only-pool 1 --upload -o data.json
                                                sell a dataset, to tasks of one pool
  quorate offer sponsor order.json --most 5QTT -o sponsor.json
                                                pay for an order somebody saved
  quorate offer cancel app.json                 no further deals; those made stand
  quorate offer royalties                       be paid for the tasks that succeeded

An offer is a signed file: give it to whoever should use it. Nothing is published, and nothing costs gas
but presign, cancel and royalties. Prices are per task and paid only for tasks that succeed.";

/// `offer`.
#[derive(Debug, Subcommand)]
pub enum OfferCommand {
    /// Sign an order that sells runs of a WASM module
    App {
        /// The WASM module
        #[arg(value_name = "APP.wasm")]
        module: PathBuf,
        /// Only with this dataset: its sha256, or a group contract's address
        #[arg(long, value_name = "SHA256|GROUP", value_parser = digest_or_group)]
        only_dataset: Option<B256>,
        /// Price and conditions
        #[command(flatten)]
        terms: OfferTerms,
    },
    /// Sign an order that sells the use of a file
    Dataset {
        /// The file
        file: PathBuf,
        /// Only with this application: its sha256, or a group contract's address
        #[arg(long, value_name = "SHA256|GROUP", value_parser = digest_or_group)]
        only_app: Option<B256>,
        /// Price and conditions
        #[command(flatten)]
        terms: OfferTerms,
    },
    /// Sign that this wallet pays for an order somebody saved
    Sponsor {
        /// The order, as `quorate run --save-order` wrote it
        #[arg(value_name = "ORDER.json")]
        order: PathBuf,
        /// The most to pay, for all deals of the order: units, or a decimal as 1.5 or 2QTT
        #[arg(long, value_name = "M", value_parser = amount::parse)]
        most: u128,
        /// No deal is paid later; default: as long as the order holds
        #[arg(long, value_name = "TIME", value_parser = units::duration)]
        expires: Option<Duration>,
        /// File to write; else it is printed
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Sign this wallet's orders in a file on chain: then they need no signature
    Presign {
        /// A file of signed or unsigned orders
        file: PathBuf,
    },
    /// End this wallet's orders in a file for good; deals made of them stand
    Cancel {
        /// A file of orders
        file: PathBuf,
    },
    /// Have the owners of applications and datasets paid, as far as batches are final
    Royalties {
        /// The deal's number in the pool; without it every deal of this wallet's
        deal: Option<u32>,
    },
}

/// What every seller says.
#[derive(Clone, Debug, Args)]
pub struct OfferTerms {
    /// Price of one task: units, or a decimal as 0.002 or 2QTT
    #[arg(long, value_name = "P", value_parser = amount::parse)]
    pub price: u128,
    /// How many tasks, over all deals
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tasks: u32,
    /// Only on this pool: its number, or a group contract's address
    #[arg(long, value_name = "N|GROUP", value_parser = pool_or_group)]
    pub only_pool: Option<B256>,
    /// Only for this requester's address, or a group contract's members
    #[arg(long, value_name = "0x…", value_parser = account_or_group)]
    pub only_requester: Option<B256>,
    /// What it needs of a pool, a bit each: 32 bytes of hex
    #[arg(long, value_name = "0x…")]
    pub tag: Option<B256>,
    /// No deal is made later
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = units::duration)]
    pub expires: Duration,
    /// Bring the bytes to the scheduler, too
    #[arg(long)]
    pub upload: bool,
    /// Leave the signature empty: the account presigns on chain, or signs elsewhere
    #[arg(long)]
    pub unsigned: bool,
    /// The seller, if it is not this wallet
    #[arg(long, value_name = "0x…", requires = "unsigned")]
    pub owner: Option<Address>,
    /// File to write; else it is printed
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The command line, for manual pages and completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

fn digest_or_group(text: &str) -> Result<B256, String> {
    let digest = text.parse::<Digest>().map(|digest| digest.word()).ok();
    digest.or_else(|| group(text)).ok_or_else(|| {
        format!("`{text}` is neither: expected 64 hex digits, or a contract's 0x and 40")
    })
}

fn pool_or_group(text: &str) -> Result<B256, String> {
    let pool = text.parse().ok().map(|pool| PoolId(pool).restrict());
    pool.or_else(|| group(text)).ok_or_else(|| {
        format!("`{text}` is neither: expected a pool's number, or a contract's 0x and 40 digits")
    })
}

fn account_or_group(text: &str) -> Result<B256, String> {
    group(text).ok_or_else(|| format!("`{text}` is no address: expected 0x and 40 hex digits"))
}

fn group(text: &str) -> Option<B256> {
    text.parse::<Address>().ok().map(|address| address.into_word())
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  quorate verify out                          against the anchors that came with the folder
  quorate verify out --rpc http://127.0.0.1:8545
                                              and these against the chain
  quorate verify out --chain-id 31337 --contract 0x5fbd… --root 0x8a1c…
                                              against a header hash you know yourself

Every receipt is checked from the workers' signatures to the batch's header, the vote is counted
again, and every byte of every file must be what the receipts say. Exit code 10 if anything is not.";

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The folder `run -o` or `order results -o` wrote
    pub dir: PathBuf,
    /// The chain the contract is on
    #[arg(long, value_name = "N", requires = "contract", requires = "roots")]
    pub chain_id: Option<u64>,
    /// The settlement contract
    #[arg(long, value_name = "0x…", requires = "chain_id", requires = "roots")]
    pub contract: Option<Address>,
    /// Hash of a finalized batch header; one per batch
    #[arg(long = "root", value_name = "HASH", id = "roots", requires = "chain_id", requires = "contract", action = ArgAction::Append)]
    pub roots: Vec<B256>,
    /// Compare the anchors with the contract through this JSON-RPC node
    #[arg(long, value_name = "URL")]
    pub rpc: Option<String>,
    /// Do not fail for tasks that have neither result nor receipt yet
    #[arg(long)]
    pub partial: bool,
}

const WATCH_EXAMPLES: &str = "\
Examples:
  quorate watch --api https://pool.example              watch every pool of the contract
  quorate watch --pool 1 --evidence 1=https://pool.example --evidence https://mirror.example
                                                        one pool, evidence from either URL
  quorate watch --words worker/words                    and hold schedulers to what they signed;
                                                        `words` is in a worker's data folder
  quorate watch --once --dry-run --json                 check what there is, send nothing

Every batch is fetched, repeated task by task and compared with the chain. What is wrong is asked
of the contract's court first, for free. Only what convinces it is announced and then proven: the
wallet's account pays the gas, about 350,000 for a proof, and has a share of a quarter of the pool's
bond six hours later. Evidence that nobody has is asked for on chain after --patience.

A pool is repeated from its first batch on. --data keeps a copy of the evidence, how far each pool
was repeated, and challenges with their salts; the command can be ended and started at any time.

Exit codes with --once: 0 nothing is wrong; 10 a fraud was found; 4 something could not be checked.
All of them: quorate help exit-codes";

/// `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Watch only this pool; may be repeated
    #[arg(long = "pool", value_name = "N", action = ArgAction::Append)]
    pub pools: Vec<u32>,
    /// Where evidence is served, for every pool or for one; may be repeated [default: the key `api`]
    #[arg(long, value_name = "[N=]URL", action = ArgAction::Append)]
    pub evidence: Vec<String>,
    /// Folder of *.jsonl files with what schedulers have signed, as workers keep it; may be repeated
    #[arg(long, value_name = "DIR", action = ArgAction::Append)]
    pub words: Vec<PathBuf>,
    /// Folder for the mirror of evidence and the state of challenges [default: in the state folder]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Block the contract was deployed in: the first run reads events from here
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from_block: u64,
    /// How long evidence may be missing before a task is asked for on chain
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = units::duration)]
    pub patience: Duration,
    /// Most tasks of one batch to ask for on chain, at 70,000 gas each: a pool that answers the first is
    /// asked for all, and each answer costs it three times as much
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub asks: u32,
    /// End when everything known was checked
    #[arg(long)]
    pub once: bool,
    /// Check, and send nothing; needs no wallet
    #[arg(long)]
    pub dry_run: bool,
}

const POOL_EXAMPLES: &str = "\
Examples:
  quorate pool neglect 1 --words ~/words            end a pool that left a task unsettled
  quorate pool settle 1 --evidence seen             have its last tasks judged by the votes shown
  quorate pool settle 1 --dry-run                   say what would be paid; send nothing

A pool may be ended from seven days after the deadline of a deal on that it left unsettled. Until the
contract's window and three days later its workers show their votes (`quorate-worker settle`); in the four
days after that anybody has tasks judged by all votes shown; then what is left can be refunded
(`quorate order refund`). The account that sends pays the gas and gets nothing.";

/// `pool`.
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// End a live pool that froze a vote and left its task unsettled for seven days after the deal's deadline
    Neglect {
        /// The pool, and who has its evidence
        #[command(flatten)]
        remains: PoolRemains,
        /// Folder of *.jsonl files with what its scheduler has signed, as workers keep it; may be repeated
        #[arg(long, value_name = "DIR", action = ArgAction::Append, required = true)]
        words: Vec<PathBuf>,
    },
    /// Have every task of a dead pool settled of which votes were shown and decide
    Settle {
        /// The pool, and who has its evidence
        #[command(flatten)]
        remains: PoolRemains,
    },
}

/// What both need.
#[derive(Clone, Debug, Args)]
pub struct PoolRemains {
    /// The pool's number
    #[arg(value_name = "POOL")]
    pub pool: u32,
    /// Who has the evidence of its final batches: a URL that serves it, or the folder of a `quorate watch`;
    /// may be repeated [default: the key `api`]. A pool without final batches needs none
    #[arg(long, value_name = "URL|DIR", action = ArgAction::Append)]
    pub evidence: Vec<String>,
    /// Block the contract was deployed in: its events are read from here
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from_block: u64,
    /// Say what would be done, what it would pay and the gas it takes; needs no wallet, sends nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `wallet`.
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// Make an account with a fresh key (keystore V3)
    New {
        /// Its name; default: the key `wallet`
        name: Option<String>,
    },
    /// Take in a private key, read from a file or typed
    #[command(after_help = "\
The key is never taken from the command line, where others could see it.

Example:
  quorate wallet import main --key-file key.hex")]
    Import {
        /// The account's name; default: the key `wallet`
        name: Option<String>,
        /// File with 64 hex digits (`-`: standard input)
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
    /// List the accounts
    Ls,
    /// Print the account's address
    Address,
    /// Print what the account has: free in the contract, in tokens, for gas
    Balance {
        /// Somebody else's
        address: Option<Address>,
    },
    /// Move tokens into the contract, where orders are paid from
    Deposit {
        /// Units, or a decimal as 1.5 or 2QTT
        #[arg(value_parser = amount::parse)]
        amount: u128,
    },
    /// Move free tokens out of the contract
    Withdraw {
        /// Units, or a decimal as 1.5 or 2QTT
        #[arg(value_parser = amount::parse)]
        amount: u128,
    },
    /// Send tokens to somebody, or with --eth the chain's own coin
    Send {
        /// Whom to
        to: Address,
        /// Units (wei with --eth), or a decimal as 1.5
        amount: String,
        /// Send the chain's own coin, for gas
        #[arg(long)]
        eth: bool,
    },
    /// Carry what somebody has signed to the chain, for the gas: a worker's registration, its exit, a claim
    #[command(after_help = "\
Nobody but its owner can win or lose by it: the contract checks the signatures and pays only the owner.

Example:
  quorate-worker join INVITE --permit worker.json       on a machine without coins
  quorate wallet carry worker.json                      wherever there are some")]
    Carry {
        /// The permit (`-`: standard input)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the account's private key; asks for the password
    Export {
        /// Yes, print the secret
        #[arg(long)]
        yes: bool,
    },
}

const POCO_EXAMPLES: &str = "\
A vote by a worker with score s weighs max(s/3, 3) - 1. A group is the product of its weights; it is
credible when group / (1 + sum of groups) > 1 - 1/trust.

Examples:
  quorate poco --trust 100 12:a 100:b 300:b
  quorate poco --trust 5 0:x 0:x 0:x --json";

/// `poco`.
#[derive(Debug, Args)]
pub struct PocoArgs {
    /// Ask for a chance of a wrong result below 1/T
    #[arg(long, value_name = "T")]
    pub trust: u32,
    /// The votes in order: the worker's score and what it votes for
    #[arg(value_name = "SCORE:VOTE", required = true)]
    pub votes: Vec<String>,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every key and its value
    Show {
        /// And where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Write a commented file with every key
    Init {
        /// Where; default: the user's quorate.toml
        file: Option<PathBuf>,
    },
}

/// `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Prime exponents to test, one a line; default: 2 to about 2,300
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Where results and receipts go
    #[arg(long, short, value_name = "DIR", default_value = "quorate-demo")]
    pub output: PathBuf,
    /// 1 / (chance of a wrong result); new workers need 3 votes for 5
    #[arg(long, default_value_t = 5)]
    pub trust: u32,
    /// Tasks in a batch
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    /// Keep journal, index and blobs here instead of in a temporary folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// The scheduler's program; default: the one beside this one
    #[arg(long, value_name = "FILE")]
    pub scheduler: Option<PathBuf>,
    /// Simulated workers
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(15..=10_000))]
    pub workers: u32,
    /// Replicas each takes at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub slots: u16,
    /// Requesters that place orders
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub requesters: u32,
    /// Tasks of each measurement of throughput
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tasks: u32,
    /// Orders of one task, one after the other, for each latency
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub samples: u32,
    /// Replicas per task, one measurement each
    #[arg(long, default_values_t = [1, 3, 5], value_delimiter = ',', value_name = "K,..",
        value_parser = clap::value_parser!(u8).range(1..=7))]
    pub replication: Vec<u8>,
    /// Workers that only connect
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub idle: u32,
    /// Tasks that are open when the scheduler is killed
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub open: u32,
    /// Simulated workers among them that answer wrongly
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub liars: u32,
    /// Port of the schedulers' API; 0: any free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub port: u16,
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,..")]
    pub only: Vec<BenchPart>,
    /// Keep the scheduler's folders here instead of in a temporary folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A setting of the scheduler, as `batch.tasks=512`; may be repeated
    #[arg(long = "with", value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub set: Vec<String>,
}

/// What `bench` can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchPart {
    /// Throughput and latency
    Load,
    /// Memory of connections
    Idle,
    /// Recovery after kill -9
    Restart,
}

impl Default for BenchArgs {
    fn default() -> Self {
        let Ok(Cli { command: Command::Bench(args), .. }) =
            Cli::try_parse_from(["quorate", "bench"])
        else {
            unreachable!("every argument has a default")
        };
        args
    }
}
