//! A publisher of tests: five keys, three of which are the first root's.

use quorate_common::{digest::Digest, keys::NodeKey};
use quorate_update::rules::{Artefact, Document, Effect, Input, Me, Mode, Release, Root, State};
use semver::Version;

/// A moment in 2026.
pub(crate) const NOW: u64 = 1_790_000_000;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const PLATFORM: &str = "x86_64-linux";

pub(crate) struct Publisher {
    pub(crate) keys: Vec<NodeKey>,
    pub(crate) root: Root,
}

pub(crate) fn key(n: u8) -> NodeKey {
    NodeKey::from_bytes(&[n + 1; 32])
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

pub(crate) fn me(running: &str, mode: Mode) -> Me {
    me_with(&key(77), running, mode)
}

pub(crate) fn me_with(key: &NodeKey, running: &str, mode: Mode) -> Me {
    Me {
        product: "quorate-worker".into(),
        channel: "stable".into(),
        platform: PLATFORM.into(),
        running: version(running),
        mode,
        secret: Me::secret(key),
    }
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let keys: Vec<NodeKey> = (0..5).map(key).collect();
        let root = root(&keys, 1, &[0, 1, 2]);
        Self { keys, root }
    }

    pub(crate) fn state(&self) -> State {
        let document = self.sign_root(&self.root, &[0, 1]);
        let anchor = Digest::of(document.body.as_bytes());
        State::new(anchor, Root::first(&document).unwrap())
    }

    pub(crate) fn root_of(&self, version: u64, keys: &[usize]) -> Root {
        root(&self.keys, version, keys)
    }

    pub(crate) fn sign_root(&self, root: &Root, keys: &[usize]) -> Document {
        let mut document = Document::new(root).unwrap();
        keys.iter().for_each(|&n| document.sign(Root::SCHEMA, &self.keys[n]));
        document
    }

    pub(crate) fn release(&self, text: &str, sequence: u64) -> Release {
        let file = Artefact { sha256: Digest::of(text.as_bytes()), bytes: text.len() as u64 };
        Release {
            schema: Release::SCHEMA.into(),
            product: "quorate-worker".into(),
            channel: "stable".into(),
            version: version(text),
            sequence,
            created_unix: NOW - DAY,
            expires_unix: NOW + 30 * DAY,
            share: 1000,
            from: version("0.0.1"),
            notes: "Faster.".into(),
            artefacts: [(PLATFORM.to_owned(), file)].into(),
        }
    }

    pub(crate) fn sign(&self, release: &Release, keys: &[usize]) -> Document {
        let mut document = Document::new(release).unwrap();
        keys.iter().for_each(|&n| document.sign(Release::SCHEMA, &self.keys[n]));
        document
    }

    pub(crate) fn signed(&self, text: &str, sequence: u64) -> Document {
        self.sign(&self.release(text, sequence), &[0, 1])
    }

    pub(crate) fn on_trial(&self, state: &mut State, text: &str, sequence: u64) {
        self.on_trial_at(NOW, state, text, sequence);
    }

    /// Looks, stages, applies and starts this version.
    pub(crate) fn on_trial_at(&self, now: u64, state: &mut State, text: &str, sequence: u64) {
        let me = me("0.1.0", Mode::Apply);
        let effects = state.look(now, &me, &[], &self.signed(text, sequence)).unwrap();
        assert!(matches!(effects[1], Effect::Fetch(..)), "{effects:?}");
        state.handle(now, Input::Staged(version(text))).unwrap();
        assert_eq!(state.handle(now, Input::Apply).unwrap(), [Effect::Switch]);
        let effects = state.handle(now, Input::Start { own: version("0.1.0") }).unwrap();
        assert_eq!(effects, [Effect::Run { version: Some(version(text)), on_trial: true }]);
    }
}

fn root(all: &[NodeKey], version: u64, keys: &[usize]) -> Root {
    Root {
        schema: Root::SCHEMA.into(),
        version,
        expires_unix: NOW + 365 * DAY,
        keys: keys.iter().map(|&n| all[n].public()).collect(),
        threshold: 2,
    }
}
