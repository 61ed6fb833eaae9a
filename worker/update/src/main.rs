//! `quorate-release`: what a publisher does, offline where the keys are: make keys and roots, describe a
//! release, sign it one after the other or each alone and combine, and lay everything into a folder for
//! any web server.

use clap::{Args, Parser, Subcommand};
use quorate_common::{
    B256,
    clock::SystemClock,
    exit::{Code, Failure},
    keys,
    report::Chain,
};
use quorate_update::{
    UpdateError, platform, publish,
    rules::{Artefact, Document, RELEASE_BYTES_MAX, Release, Root},
};
use semver::Version;
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const EXAMPLES: &str = "\
Once, three people each on a machine of their own:
  quorate-release key ann.key                             prints the public key
  quorate-release root --key ANN --key BOB --key EVE -o root.json
  quorate-release sign root.json --key-file ann.key       and another one

For each release, and again before it expires:
  quorate-release release --version 0.2.0 --sequence 7 --share 50 \\
      --program x86_64-linux=target/release/quorate-worker --dir site -o stable.json
  quorate-release sign stable.json --key-file ann.key     and another one
  quorate-release show stable.json --root root.json --dir site";

#[derive(Debug, Parser)]
#[command(
    name = "quorate-release",
    version,
    about = "Sign and publish releases of quorate-worker.",
    after_help = EXAMPLES,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, or show the public half of the one that is there
    Key {
        /// 64 hex digits, mode 0600
        file: PathBuf,
    },
    /// Write a root: whose signatures count
    Root(RootArgs),
    /// Write a release and lay its programs into the folder
    Release(Box<ReleaseArgs>),
    /// Add a signature
    Sign {
        /// A root or a release
        document: PathBuf,
        /// The key of whoever signs
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
    /// Take over the signatures that others made of the same document
    Combine {
        /// It gets them
        document: PathBuf,
        /// They have them
        others: Vec<PathBuf>,
    },
    /// Say whether enough keys of a root have signed
    Verify {
        /// A root or a release
        document: PathBuf,
        /// The root
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
    },
    /// Lay a signed document into the folder, if workers would believe it
    Show {
        /// A root or a release
        document: PathBuf,
        /// The root that workers trust
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// What the web server serves
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
struct RootArgs {
    /// A public key; give three
    #[arg(long = "key", value_name = "HEX", required = true)]
    keys: Vec<B256>,
    /// How many must sign
    #[arg(long, default_value_t = 2)]
    threshold: usize,
    /// One more than the root before
    #[arg(long, default_value_t = 1)]
    number: u64,
    /// Days until a successor must be there
    #[arg(long, default_value_t = 730)]
    days: u64,
    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct ReleaseArgs {
    /// What it installs
    #[arg(long)]
    version: Version,
    /// One more than the channel's document before
    #[arg(long)]
    sequence: u64,
    /// The channel
    #[arg(long, default_value = "stable")]
    channel: String,
    /// How many in a thousand machines it is meant for so far
    #[arg(long, default_value_t = 1000)]
    share: u16,
    /// The oldest version it may follow
    #[arg(long, default_value = "0.1.0")]
    from: Version,
    /// Days until it must be signed again, so that a frozen source is noticed
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// What it brings
    #[arg(long, default_value = "")]
    notes: String,
    /// A program, as x86_64-linux=FILE; without the platform, this machine's
    #[arg(long = "program", value_name = "[PLATFORM=]FILE", required = true)]
    programs: Vec<String>,
    /// What the web server serves
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

fn main() -> ExitCode {
    let Err(error) = run(Cli::parse().command) else { return ExitCode::SUCCESS };
    let failure = match error.downcast::<UpdateError>() {
        Ok(error) => Failure::new(Code::Denied, Chain(&*error)),
        Err(error) => Failure::new(Code::Internal, Chain(&*error)),
    };
    eprintln!("error: {failure}");
    ExitCode::from(failure.exit)
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Key { file } => {
            println!("{}", keys::node_key_at(&file)?.public());
            Ok(())
        }
        Command::Root(args) => write(&args.output.clone(), &Document::new(&root(args))?),
        Command::Release(args) => write(&args.output.clone(), &release(*args)?),
        Command::Sign { document, key_file } => sign(&document, &key_file),
        Command::Combine { document, others } => combine(&document, &others),
        Command::Verify { document, root } => verify(&read(&document)?, &read(&root)?),
        Command::Show { document, root, dir } => {
            let root = Root::first(&read(&root)?).map_err(UpdateError::from)?;
            println!("{}", publish::show(&dir, &root, &read(&document)?)?.display());
            Ok(())
        }
    }
}

fn root(args: RootArgs) -> Root {
    Root {
        schema: Root::SCHEMA.into(),
        version: args.number,
        expires_unix: now() + args.days * 86_400,
        keys: args.keys.into_iter().collect(),
        threshold: args.threshold,
    }
}

fn release(args: ReleaseArgs) -> Result<Document, UpdateError> {
    let mut artefacts: BTreeMap<String, Artefact> = BTreeMap::new();
    for program in &args.programs {
        let own = platform();
        let (platform, file) = program.split_once('=').unwrap_or((&own, program));
        artefacts.insert(platform.to_owned(), publish::lay(&args.dir, Path::new(file))?);
    }
    let document = Document::new(&Release {
        schema: Release::SCHEMA.into(),
        product: quorate_update::PROGRAM.into(),
        channel: args.channel,
        version: args.version,
        sequence: args.sequence,
        created_unix: now(),
        expires_unix: now() + args.days * 86_400,
        share: args.share,
        from: args.from,
        notes: args.notes,
        artefacts,
    })?;
    // A mistake shows here, not on every machine.
    Release::read(&document)?;
    Ok(document)
}

fn sign(path: &Path, key_file: &Path) -> Result<(), Box<dyn Error>> {
    let mut document = read(path)?;
    let context = publish::context(&document).map_err(UpdateError::from)?;
    if !key_file.exists() {
        return Err(format!(
            "{}: no such key; `quorate-release key` makes one",
            key_file.display()
        )
        .into());
    }
    document.sign(context, &keys::node_key_at(key_file)?);
    write(path, &document)
}

fn combine(path: &Path, others: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut document = read(path)?;
    for other in others {
        document.combine(read(other)?).map_err(UpdateError::from)?;
    }
    write(path, &document)
}

fn verify(document: &Document, root: &Document) -> Result<(), Box<dyn Error>> {
    let root = Root::first(root).map_err(UpdateError::from)?;
    let context = publish::context(document).map_err(UpdateError::from)?;
    root.check("document", context, document).map_err(UpdateError::from)?;
    println!("signed by {} keys; {} are enough", document.signers(context).len(), root.threshold);
    Ok(())
}

fn read(path: &Path) -> Result<Document, UpdateError> {
    let bytes = fs::read(path).map_err(|source| UpdateError::Disk {
        path: path.into(),
        verb: "read",
        source,
    })?;
    Ok(Document::parse(&bytes, RELEASE_BYTES_MAX)?)
}

fn write(path: &Path, document: &Document) -> Result<(), Box<dyn Error>> {
    Ok(fs::write(path, publish::to_bytes(document)?)?)
}

fn now() -> u64 {
    SystemClock::start().now().unix_s()
}
