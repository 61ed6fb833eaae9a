//! From the command line to a bag: rows, filled-in arguments, input files and their digests. Reads
//! files, asks no network; what it comes to can be shown (`--dry-run`) or uploaded.

use crate::{
    cli::RunArgs,
    failure, pack,
    rows::{Row, Source},
    signed::{OrdersFile, wanted},
    template::{self, TemplateError},
};
use quorate_common::{
    bag::{AppKind, Bag, FILES_MAX, InputFile, Limits, SCHEMA, Task},
    digest::Digest,
    exit::{Code, Failure},
};
use quorate_docker::{ImageError, Platform, image};
use quorate_worker::engine::{Engine, MODULE_BYTES_MAX, PrepareError};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Bytes hashed at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// Memory of a script's task unless told otherwise: CPython with SciPy imported takes half of it, and a
/// worker offers as much for each slot unless told otherwise.
const SCRIPT_MEMORY_BYTES: u64 = 512 << 20;
/// Folders in folders that an input folder may have: a cycle of links ends here.
const DEPTH_MAX: usize = 32;

/// What is to be ordered.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The module.
    pub app: FileBlob,
    /// The bag.
    pub bag: Bag,
    /// The bag as its blob.
    pub bag_bytes: Vec<u8>,
    /// sha256 of it.
    pub bag_digest: Digest,
    /// Input files, each once.
    pub inputs: BTreeMap<Digest, FileBlob>,
}

/// A local file that is a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBlob {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub len: u64,
    /// Its sha256.
    pub digest: Digest,
}

impl Plan {
    /// Reads and fills in everything. `image` is the document of the app, if a registry has it.
    ///
    /// # Errors
    /// [`Code::Usage`] for what cannot be a bag, naming what and why; unreadable files.
    pub fn build(args: &RunArgs, image: Option<FileBlob>) -> Result<Self, Failure> {
        let kind = kind(args);
        let App { app, script, with, pieces } = App::of(args, kind, image)?;
        let source = source(args);
        let rows = source.rows()?;
        let templates = if args.args.is_empty() && args.stdin.is_none() {
            source.default_args()
        } else {
            args.args.clone()
        };
        let mut files = Files::default();
        let (shared, own): (Vec<_>, Vec<_>) = args
            .inputs
            .iter()
            .map(|text| InputSpec::parse(text))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .partition(|spec| !spec.is_template());
        let mut shared = files.shared(&shared)?;
        let dataset = dataset(args, &shared)?;
        let named = args.dataset_order.as_ref().and(dataset.as_ref());
        let named = named.map(|file| file.path.clone());
        shared.extend(dataset);
        let script = script.map(|file| files.script(&file, &mut shared)).transpose()?;
        files.blobs.extend(pieces);
        let mut tasks = Vec::with_capacity(rows.len());
        for (idx, row) in rows.iter().enumerate() {
            tasks.push(Task {
                args: script.iter().cloned().chain(fill_all(&templates, idx, row)?).collect(),
                stdin: stdin(args, idx, row)?,
                files: files.own(&own, idx, row, &shared)?,
            });
        }
        let bag = Bag {
            schema: SCHEMA.into(),
            app: app.digest,
            with,
            kind,
            readers: Vec::new(),
            command: if kind.is_wasm() { Vec::new() } else { templates.clone() },
            dataset: named.filter(|_| kind == AppKind::Iexec),
            limits: limits(args),
            files: shared,
            tasks,
        };
        bag.check().map_err(|error| Failure::new(Code::Usage, error))?;
        Self::of(app, bag, files.blobs)
    }

    /// A plan of what is finished.
    ///
    /// # Errors
    /// [`Code::Usage`] for what cannot be a bag.
    pub fn of(
        app: FileBlob,
        bag: Bag,
        inputs: BTreeMap<Digest, FileBlob>,
    ) -> Result<Self, Failure> {
        let bag_bytes = bag.to_bytes();
        // The same check everybody else makes: size and shape of the blob.
        Bag::parse(&bag_bytes).map_err(|error| Failure::new(Code::Usage, error))?;
        let bag_digest = Digest::of(&bag_bytes);
        Ok(Self { app, bag, bag_bytes, bag_digest, inputs })
    }

    /// Tasks in the bag.
    pub fn tasks(&self) -> u32 {
        u32::try_from(self.bag.tasks.len()).expect("a bag has at most 65,536 tasks")
    }

    /// Bytes of all blobs.
    pub fn bytes(&self) -> u64 {
        let inputs: u64 = self.inputs.values().map(|blob| blob.len).sum();
        self.app.len + self.bag_bytes.len() as u64 + inputs
    }
}

impl FileBlob {
    /// Hashes a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let bad = |error| failure::file("read", path, &error);
        let mut file = File::open(path).map_err(bad)?;
        let (mut hash, mut len, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
        loop {
            let read = file.read(&mut chunk).map_err(bad)?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            len += read as u64;
        }
        Ok(Self { path: path.to_owned(), len, digest: Digest(hash.finalize().into()) })
    }
}

/// What the tasks run.
struct App {
    /// The module, or the pack's document.
    app: FileBlob,
    /// What a pack runs.
    script: Option<PathBuf>,
    /// What it imports before.
    with: Vec<String>,
    /// The pack's pieces.
    pieces: BTreeMap<Digest, FileBlob>,
}

impl App {
    fn of(args: &RunArgs, kind: AppKind, image: Option<FileBlob>) -> Result<Self, Failure> {
        let is_script = args.app.extension().is_some_and(|extension| extension == "py");
        if is_script && kind.is_wasm() {
            return Self::script(args);
        }
        if !args.with.is_empty() || args.pack.is_some() {
            let text =
                format!("--with and --pack are for a script; {} is none", args.app.display());
            return Err(usage(text).hint("name a file that ends in .py"));
        }
        let app = image.map_or_else(|| app(&args.app, kind), Ok)?;
        Ok(Self { app, script: None, with: Vec::new(), pieces: BTreeMap::new() })
    }

    fn script(args: &RunArgs) -> Result<Self, Failure> {
        let found = pack::find(args.pack.as_deref())?;
        let mut with = args.with.clone();
        with.sort();
        with.dedup();
        if let Some(name) = with.iter().find(|name| !found.pack.offers(name)) {
            let (pack, offers) = (&found.pack, found.pack.offers.join(", "));
            let text = format!("--with {name}: {} {} has no such package", pack.name, pack.version);
            return Err(usage(text).hint(format!("it has {offers}")));
        }
        let (app, pieces, script) = (found.document, found.pieces, Some(args.app.clone()));
        Ok(Self { app, script, with, pieces })
    }
}

fn kind(args: &RunArgs) -> AppKind {
    match (args.docker, args.iexec) {
        (_, true) => AppKind::Iexec,
        (true, false) => AppKind::Docker,
        (false, false) => AppKind::Wasm,
    }
}

fn app(path: &Path, kind: AppKind) -> Result<FileBlob, Failure> {
    match kind {
        AppKind::Wasm => module(path),
        AppKind::Docker | AppKind::Iexec => archive(path),
    }
}

/// What every worker would say of an image, said before anything is paid.
fn archive(path: &Path) -> Result<FileBlob, Failure> {
    let blob = FileBlob::at(path)?;
    let refused = |error: ImageError| {
        usage(format!("{} is not an image for workers: {error}", path.display()))
            .hint("build it for linux/amd64, then `docker save IMAGE -o FILE.tar`")
    };
    // Pools' workers are of this kind until one says otherwise.
    let source = image::Source::Archive { path, digest: &blob.digest.0 };
    let image = image::read(source, Platform::Amd64, &[]).map_err(refused)?;
    tracing::debug!(id = image.id, "the image can be run");
    Ok(blob)
}

/// Every worker would refuse what is no program for its sandbox, and the order would wait in vain.
pub(crate) fn module(path: &Path) -> Result<FileBlob, Failure> {
    let blob = FileBlob::at(path)?;
    let bytes = if blob.len > MODULE_BYTES_MAX as u64 {
        Err(PrepareError::TooLarge { len: blob.len as usize, max: MODULE_BYTES_MAX })
    } else {
        Ok(fs::read(path).map_err(|error| failure::file("read", path, &error))?)
    };
    let checked = bytes.and_then(|bytes| Engine::check(&bytes));
    checked.map_err(|error| {
        usage(format!("{} is not a WASM module for workers: {error}", path.display())).hint(
            "compile a program for wasm32-wasip1 or wasip2, as with `clang --target=wasm32-wasi`",
        )
    })?;
    Ok(blob)
}

/// The file that a dataset's buyer gets, unless it is one of `shared` already. Its bytes are its seller's
/// to bring to the scheduler.
fn dataset(args: &RunArgs, shared: &[InputFile]) -> Result<Option<InputFile>, Failure> {
    let Some(path) = &args.dataset_order else { return Ok(None) };
    let sold = wanted(OrdersFile::read(path)?.dataset, "dataset order", path)?;
    let digest = Digest::from(sold.order.dataset);
    if shared.iter().any(|file| file.digest == digest) {
        return Ok(None);
    }
    let file = InputFile { path: args.dataset_path.clone(), digest, sealed: false };
    distinct(std::slice::from_ref(&file), shared)?;
    Ok(Some(file))
}

fn source(args: &RunArgs) -> Source<'_> {
    match (&args.each_line, &args.array, &args.each_json) {
        (Some(path), ..) => Source::Lines(path),
        (_, Some(range), _) => Source::Array(range),
        (.., Some(path)) => Source::Json(path),
        _ => Source::Single,
    }
}

fn limits(args: &RunArgs) -> Limits {
    let mut default = Limits::default();
    if args.app.extension().is_some_and(|extension| extension == "py") {
        default.memory_bytes = SCRIPT_MEMORY_BYTES;
    }
    Limits {
        fuel: args.fuel.unwrap_or(default.fuel),
        memory_bytes: args.memory.unwrap_or(default.memory_bytes),
        output_bytes: args.max_output.unwrap_or(default.output_bytes),
    }
}

fn fill_all(templates: &[String], idx: usize, row: &Row) -> Result<Vec<String>, Failure> {
    templates.iter().map(|template| fill(template, idx, row)).collect()
}

fn fill(template: &str, idx: usize, row: &Row) -> Result<String, Failure> {
    template::fill(template, idx, &row.fields).map_err(|error: TemplateError| usage(error))
}

fn stdin(args: &RunArgs, idx: usize, row: &Row) -> Result<String, Failure> {
    match (&args.stdin, &row.json) {
        (Some(template), _) => fill(template, idx, row),
        (None, Some(json)) if args.args.is_empty() => Ok(json.clone()),
        (None, _) => Ok(String::new()),
    }
}

/// `FILE[:PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InputSpec {
    file: String,
    path: Option<String>,
}

impl InputSpec {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (file, path) = match text.rsplit_once(':') {
            Some((file, path)) => (file, Some(path.to_owned())),
            None => (text, None),
        };
        if file.is_empty() || path.as_deref() == Some("") {
            return Err(usage(format!("-i {text}: expected FILE or FILE:PATH")));
        }
        Ok(Self { file: file.to_owned(), path })
    }

    fn is_template(&self) -> bool {
        template::is_template(&self.file) || self.path.as_deref().is_some_and(template::is_template)
    }

    fn filled(&self, idx: usize, row: &Row) -> Result<Self, Failure> {
        let path = self.path.as_ref().map(|path| fill(path, idx, row)).transpose()?;
        Ok(Self { file: fill(&self.file, idx, row)?, path })
    }
}

/// Input files found so far; a file named by many tasks is hashed once.
#[derive(Debug, Default)]
struct Files {
    known: BTreeMap<PathBuf, Digest>,
    blobs: BTreeMap<Digest, FileBlob>,
}

impl Files {
    fn shared(&mut self, specs: &[InputSpec]) -> Result<Vec<InputFile>, Failure> {
        let mut files = Vec::new();
        for spec in specs {
            self.add(spec, &mut files)?;
        }
        distinct(&files, &[])?;
        Ok(files)
    }

    /// Adds a script to the files that all tasks see, and says where they find it.
    fn script(&mut self, file: &Path, shared: &mut Vec<InputFile>) -> Result<String, Failure> {
        let name = name_of(file)?;
        let mut own = Vec::new();
        self.one(file, name.clone(), &mut own)?;
        distinct(&own, shared)?;
        shared.append(&mut own);
        Ok(format!("/in/{name}"))
    }

    fn own(
        &mut self,
        specs: &[InputSpec],
        idx: usize,
        row: &Row,
        shared: &[InputFile],
    ) -> Result<Vec<InputFile>, Failure> {
        let mut files = Vec::new();
        for spec in specs {
            self.add(&spec.filled(idx, row)?, &mut files)?;
        }
        if !files.is_empty() {
            distinct(&files, shared)?;
        }
        Ok(files)
    }

    fn add(&mut self, spec: &InputSpec, files: &mut Vec<InputFile>) -> Result<(), Failure> {
        let file = Path::new(&spec.file);
        let metadata = fs::metadata(file).map_err(|error| failure::file("read", file, &error))?;
        if metadata.is_dir() {
            return self.folder(file, spec.path.as_deref().unwrap_or(""), DEPTH_MAX, files);
        }
        let path = match &spec.path {
            Some(path) => path.clone(),
            None => name_of(file)?,
        };
        self.one(file, path, files)
    }

    fn folder(
        &mut self,
        folder: &Path,
        below: &str,
        depth: usize,
        files: &mut Vec<InputFile>,
    ) -> Result<(), Failure> {
        if depth == 0 {
            return Err(usage(format!(
                "-i {}: more than {DEPTH_MAX} folders deep",
                folder.display()
            )));
        }
        let bad = |error| failure::file("list", folder, &error);
        let entries = fs::read_dir(folder).map_err(bad)?;
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        paths.sort();
        for path in paths {
            let name = name_of(&path)?;
            let name = if below.is_empty() {
                name
            } else {
                format!("{}/{name}", below.trim_end_matches('/'))
            };
            if path.is_dir() {
                self.folder(&path, &name, depth - 1, files)?;
            } else {
                self.one(&path, name, files)?;
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        file: &Path,
        path: String,
        files: &mut Vec<InputFile>,
    ) -> Result<(), Failure> {
        if files.len() >= FILES_MAX {
            let text = format!("more than {FILES_MAX} input files; pack them into one");
            return Err(usage(text));
        }
        let digest = match self.known.get(file) {
            Some(digest) => *digest,
            None => {
                let blob = FileBlob::at(file)?;
                self.known.insert(file.to_owned(), blob.digest);
                let digest = blob.digest;
                self.blobs.insert(digest, blob);
                digest
            }
        };
        files.push(InputFile { path, digest, sealed: false });
        Ok(())
    }
}

/// Two files of one task cannot have one name.
fn distinct(files: &[InputFile], shared: &[InputFile]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    match files.iter().chain(shared).find(|file| !seen.insert(&file.path)) {
        Some(file) => {
            Err(usage(format!("two inputs are named `{}`; name one with -i FILE:PATH", file.path)))
        }
        None => Ok(()),
    }
}

fn name_of(file: &Path) -> Result<String, Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        usage(format!("-i {}: has no name a task could find; expected FILE:PATH", file.display()))
    })
}

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    /// `(module (func (export "_start")))`.
    const MODULE: &str = "\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().expect("a temporary folder"));
            world.file("app.wasm", MODULE);
            world
        }

        fn file(&self, name: &str, text: &str) -> String {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(&path, text).expect("written");
            path.display().to_string()
        }

        fn plan(&self, args: &[&str]) -> Result<Plan, Failure> {
            let app = self.0.path().join("app.wasm").display().to_string();
            let line = ["quorate", "run", &app].into_iter().chain(args.iter().copied());
            let Command::Run(args) = Cli::try_parse_from(line).expect("a command line").command
            else {
                panic!("run")
            };
            Plan::build(&args, None)
        }
    }

    #[test]
    fn a_line_is_the_argument_unless_told_otherwise() {
        let world = World::new();
        let lines = world.file("in.txt", "2\n3\n");
        let plan = world.plan(&["--each-line", &lines]).expect("a plan");
        let args: Vec<_> = plan.bag.tasks.iter().map(|task| task.args.join(" ")).collect();
        assert_eq!(args, ["2", "3"]);
        let plan = world
            .plan(&["--each-line", &lines, "--", "-n", "{task.index}/{line}"])
            .expect("a plan");
        assert_eq!(plan.bag.tasks[1].args, ["-n", "1/3"]);
        assert_eq!(Bag::parse(&plan.bag_bytes).expect("a bag"), plan.bag);
        assert_eq!(plan.bag_digest, Digest::of(&plan.bag_bytes));
    }

    #[test]
    fn a_json_row_is_standard_input_unless_told_otherwise() {
        let world = World::new();
        let rows = world.file("in.jsonl", "{\"n\":1}\n{\"n\":2}\n");
        let plan = world.plan(&["--each-json", &rows]).expect("a plan");
        assert_eq!(plan.bag.tasks[1].stdin, "{\"n\":2}");
        let plan =
            world.plan(&["--each-json", &rows, "--stdin", "x{n}", "--", "{n}"]).expect("a plan");
        assert_eq!(
            (plan.bag.tasks[0].stdin.as_str(), plan.bag.tasks[0].args.join(" ")),
            ("x1", "1".into())
        );
    }

    #[test]
    fn inputs_are_shared_or_a_tasks_own() {
        let world = World::new();
        let lines = world.file("in.txt", "a\nb\n");
        world.file("data/a.csv", "1");
        world.file("data/b.csv", "1");
        let deep = world.file("tree/x/y.txt", "2");
        let data = world.0.path().join("data").display().to_string();
        let tree = world.0.path().join("tree").display().to_string();
        let own = format!("{data}/{{line}}.csv:in.csv");
        let plan = world
            .plan(&["--each-line", &lines, "-i", &own, "-i", &format!("{tree}:t"), "-i", &deep])
            .expect("a plan");
        let paths: Vec<_> = plan.bag.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["t/x/y.txt", "y.txt"]);
        assert_eq!(plan.bag.tasks[1].files[0].path, "in.csv");
        assert_eq!(plan.inputs.len(), 2, "equal bytes are one blob");
        let error = world.plan(&["-i", &deep, "-i", &format!("{tree}/x")]).expect_err("twice");
        assert!(error.message.contains("two inputs are named `y.txt`"), "{error}");
    }

    #[test]
    fn what_is_no_bag_is_refused() {
        let world = World::new();
        let text = world.file("app.txt", "hello");
        let refused = |args: &[&str], expected: &str| {
            let error = world.plan(args).expect_err(expected);
            assert!(error.message.contains(expected), "{error}");
            assert_eq!(error.exit, 2, "{error}");
        };
        refused(&["--", "{line}"], "`{line}` names `{line}`; task 0 has `{task.index}`");
        refused(&["--fuel", "0"], "`limits.fuel` is 0");
        refused(&["--memory", "5GiB"], "`limits.memory_bytes` is 5368709120");
        refused(&["-i", ":x"], "expected FILE or FILE:PATH");
        refused(&["-i", &format!("{text}:../x")], "files[0].path");
        refused(&["--", &"x".repeat(20_000)], "tasks[0].args");
        let error = module(Path::new(&text)).expect_err("no module");
        assert!(error.message.contains("is not a WASM module"), "{error}");
        assert_eq!(world.plan(&["-i", "/no/such"]).expect_err("missing").exit, 3);
    }

    /// What every worker would say, said while it costs nothing.
    #[test]
    fn an_app_that_no_worker_runs_is_refused() {
        let world = World::new();
        let refused = |program: &str, expected: &str| {
            let path = world.file("other.wasm", program);
            let error = module(Path::new(&path)).expect_err(expected);
            assert!(error.message.contains(expected), "{error}");
            assert_eq!((error.exit, error.hint.is_some()), (2, true), "{error}");
        };
        refused("\0asm\x01\0\0\0\x01\x04", "it is not valid WebAssembly for this engine: ");
        let import = "\x02\x0e\x01\x03env\x06system\0\0\x03\x02";
        let imports = MODULE.replace("\x03\x02", import).replace("_start\0\0", "_start\0\x01");
        refused(
            &imports,
            "it imports env.system, expected functions of wasi_snapshot_preview1 only",
        );
        refused("\0asm\x0d\0\x01\0", "it is a component that exports no wasi:cli/run@0.2");
        refused(&MODULE.replace("_start", "_begin"), "it exports no function _start");
        for architecture in ["arm64", "riscv64"] {
            let path = world.file("image.tar", &image(architecture));
            let error = archive(Path::new(&path)).expect_err(architecture);
            let expected = format!("it is for linux/{architecture}; expected linux/amd64");
            assert!(error.message.contains(&expected), "{error}");
            assert_eq!(error.exit, 2, "{error}");
        }
        let path = world.file("image.tar", &image("amd64"));
        archive(Path::new(&path)).expect("an image for workers");
    }

    /// An archive as `docker save` writes one, of an empty layer.
    fn image(architecture: &str) -> String {
        use quorate_docker::tar::{Item, Writer};
        let layer = Writer::default().finish();
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
            Digest::of(&layer)
        );
        let mut writer = Writer::default();
        let manifest = br#"[{"Config":"c.json","RepoTags":null,"Layers":["l.tar"]}]"#;
        writer.add(Item::File("manifest.json"), manifest);
        writer.add(Item::File("c.json"), config.as_bytes());
        writer.add(Item::File("l.tar"), &layer);
        String::from_utf8(writer.finish()).expect("an empty layer is text")
    }
}
