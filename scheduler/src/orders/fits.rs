//! What of an order's work can be refused before anything is paid: one refusal each, with its reason.

use super::{Tasks, Work};
use crate::blobs::Blobs;
use quorate_common::{
    B256,
    bag::{AppKind, Bag, InputFile, Limits, SCHEMA, Task},
    digest::Digest,
    exit::Code,
    keys::NodeKey,
    pack::{PIECE_BYTES, Pack},
};

/// A scheduler's shelf, and a bag for it.
struct Shelf {
    blobs: Blobs,
    bag: Bag,
    _dir: tempfile::TempDir,
}

impl Shelf {
    fn new(app: &[u8]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(dir.path(), 1 << 20, 1 << 24).expect("blobs").blobs;
        let app = blobs.put_small(app).expect("kept");
        let bag = Bag {
            schema: SCHEMA.into(),
            kind: AppKind::Wasm,
            dataset: None,
            app,
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: Vec::new(),
            tasks: vec![Task::default(); 2],
        };
        Self { blobs, bag, _dir: dir }
    }

    /// What an order of the bag is told, after a change.
    #[track_caller]
    fn refuses(&self, change: impl FnOnce(&mut Asked), code: Code, expected: &str) {
        let mut asked = Asked {
            app: self.bag.app.0.into(),
            params: self.keep(&self.bag.to_bytes()),
            dataset: B256::ZERO,
            tag: self.bag.kind.tag(),
            tasks: Tasks::All(2),
        };
        asked.fits(&self.blobs).expect("it fits before");
        change(&mut asked);
        let failure = asked.fits(&self.blobs).expect_err(expected);
        assert!(failure.message.contains(expected), "{failure}");
        assert_eq!(failure.exit, code as u8, "{failure}");
    }

    fn keep(&self, bytes: &[u8]) -> B256 {
        self.blobs.put_small(bytes).expect("kept").0.into()
    }
}

/// What an order asks for.
struct Asked {
    app: B256,
    params: B256,
    dataset: B256,
    tag: B256,
    tasks: Tasks,
}

impl Asked {
    fn fits(&self, blobs: &Blobs) -> Result<(), quorate_common::exit::Failure> {
        let Self { app, params, dataset, tag, .. } = self;
        let tasks = match self.tasks {
            Tasks::All(tasks) => Tasks::All(tasks),
            Tasks::Part { first, tasks } => Tasks::Part { first, tasks },
        };
        Work { app, params, dataset, tag: *tag, tasks }.fits(blobs).map(drop)
    }
}

const NOWHERE: B256 = B256::repeat_byte(7);

#[test]
fn what_is_not_here_is_named() {
    let shelf = Shelf::new(b"an app");
    let nowhere = Digest::from(NOWHERE);
    shelf.refuses(|work| work.app = NOWHERE, Code::NotFound, &format!("app {nowhere} is not"));
    shelf.refuses(|work| work.params = NOWHERE, Code::NotFound, &format!("bag {nowhere} is not"));
    // A dataset that is paid for, and that no task would find.
    let expected = format!("`dataset` is {nowhere}; expected a file that all tasks of the bag");
    shelf.refuses(|work| work.dataset = NOWHERE, Code::Usage, &expected);
}

#[test]
fn an_input_file_that_is_not_here_is_named() {
    let shelf = Shelf::new(b"an app");
    for is_shared in [true, false] {
        let mut bag = shelf.bag.clone();
        let file = InputFile { path: "data".into(), digest: Digest::from(NOWHERE), sealed: false };
        if is_shared {
            bag.files.push(file)
        } else {
            bag.tasks[1].files.push(file)
        }
        let params = shelf.keep(&bag.to_bytes());
        let expected = format!("input file {} is not here", Digest::from(NOWHERE));
        shelf.refuses(|work| work.params = params, Code::NotFound, &expected);
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let shelf = Shelf::new(b"an app");
    let other = shelf.keep(b"another app");
    shelf.refuses(|work| work.app = other, Code::Usage, "`app` is ");
    let containers = AppKind::Docker.tag();
    let expected = "for a bag of kind Wasm";
    shelf.refuses(|work| work.tag = containers, Code::Usage, expected);
    shelf.refuses(
        |work| work.tasks = Tasks::All(3),
        Code::Usage,
        "`tasks` is 3; expected the bag's 2",
    );
    let part = Tasks::Part { first: 1, tasks: 2 };
    shelf.refuses(
        |work| work.tasks = part,
        Code::Usage,
        "the bag has 2 tasks, the deal is of 2 from 1",
    );
    let no_bag = shelf.keep(b"{}");
    shelf.refuses(|work| work.params = no_bag, Code::Usage, "bag");
}

#[test]
fn a_bag_of_containers_needs_a_tag_that_says_so() {
    let mut shelf = Shelf::new(b"an image");
    for kind in [AppKind::Docker, AppKind::Iexec] {
        shelf.bag.kind = kind;
        let expected = format!("expected {} for a bag of kind {kind:?}", kind.tag());
        shelf.refuses(|work| work.tag = B256::ZERO, Code::Usage, &expected);
    }
}

#[test]
fn an_image_in_a_registry_that_is_named_badly_is_refused() {
    let mut shelf = Shelf::new(b"an image");
    shelf.bag.kind = AppKind::Docker;
    let named = |registry: &str| {
        let digest = Digest::of(b"a configuration");
        format!(
            r#"{{"schema":"quorate.image/v1","registry":"{registry}","repository":"app","manifest":"{{\"schemaVersion\":2,\"config\":{{\"digest\":\"sha256:{digest}\",\"size\":1}}}}"}}"#
        )
    };
    let order = |document: &str| {
        let app = shelf.blobs.put_small(document.as_bytes()).expect("kept");
        let params = shelf.keep(&Bag { app, ..shelf.bag.clone() }.to_bytes());
        (app.0.into(), params)
    };
    let (good, bad) = (order(&named("registry.example")), order(&named("user@registry.example")));
    shelf.refuses(|work| (work.app, work.params) = bad, Code::Usage, "image field `registry` is");
    let asked = Asked {
        app: good.0,
        params: good.1,
        dataset: B256::ZERO,
        tag: AppKind::Docker.tag(),
        tasks: Tasks::All(2),
    };
    asked.fits(&shelf.blobs).expect("a good one fits");
}

#[test]
fn a_runtime_pack_without_one_of_its_pieces_is_refused() {
    let shelf = Shelf::new(b"an app");
    let document = format!(
        r#"{{"schema":"quorate.pack/v1","name":"python","version":"1","convention":"wasi-python/1","module":{},"files":[],"offers":[],"publisher":"{}","signature":""}}"#,
        part(&[Digest::of(b"one"), Digest::from(NOWHERE)]),
        B256::ZERO
    );
    let pack: Pack = serde_json::from_str(&document).expect("a pack");
    let pack = pack.signed(&NodeKey::from_bytes(&[7; 32])).to_bytes();
    Pack::parse(&pack).expect("a signed pack");
    shelf.blobs.put_small(b"one").expect("kept");
    let mut bag = shelf.bag.clone();
    bag.app = shelf.blobs.put_small(&pack).expect("kept");
    let app = bag.app.0.into();
    let params = shelf.keep(&bag.to_bytes());
    let expected = format!("piece of the runtime pack {} is not here", Digest::from(NOWHERE));
    shelf.refuses(|work| (work.app, work.params) = (app, params), Code::NotFound, &expected);
}

fn part(pieces: &[Digest]) -> String {
    let bytes = PIECE_BYTES * (pieces.len() as u64 - 1) + 1;
    let digest = Digest::of(b"all of it");
    let pieces: Vec<String> = pieces.iter().map(|piece| format!("\"{piece}\"")).collect();
    format!(r#"{{"bytes":{bytes},"digest":"{digest}","pieces":[{}]}}"#, pieces.join(","))
}
