//! Asks a source, fetches what the rules want, and remembers. It decides nothing.

use crate::{
    Folder, Source, UpdateError,
    rules::{Artefact, Document, Effect, Input, Me, ROOT_BYTES_MAX, Root, State},
};
use quorate_common::{clock::SystemClock, digest::Digest};
use semver::Version;
use std::path::Path;

/// Everything an updater is made of.
#[derive(Clone, Debug)]
pub struct Updater {
    folder: Folder,
    source: Source,
    me: Me,
    clock: SystemClock,
}

impl Updater {
    /// An updater that trusts the root document in a file: the owner put it there.
    ///
    /// # Errors
    /// The file is no root, or the folder is not the owner's alone.
    pub fn new(folder: Folder, source: Source, root: &Path, me: Me) -> Result<Self, UpdateError> {
        let bytes = std::fs::read(root).map_err(|error| UpdateError::disk(root, "read", error))?;
        let document = Document::parse(&bytes, ROOT_BYTES_MAX)?;
        let root = Root::first(&document)?;
        let anchor = Digest::of(document.body.as_bytes());
        folder.change(|state: &mut Option<State>| {
            match state {
                Some(state) => state.anchored(anchor, root),
                None => *state = Some(State::new(anchor, root)),
            }
            Ok::<_, UpdateError>(())
        })?;
        Ok(Self { folder, source, me, clock: SystemClock::start() })
    }

    /// Who asks.
    pub fn me(&self) -> &Me {
        &self.me
    }

    /// What is remembered.
    ///
    /// # Errors
    /// The disk failed.
    pub fn state(&self) -> Result<State, UpdateError> {
        let state = self.folder.load()?;
        state.ok_or_else(|| UpdateError::Missing(self.folder.dir().display().to_string()))
    }

    /// Asks the source; what it shows is remembered as far as it is believed.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub async fn check(&self) -> Result<Vec<Effect>, UpdateError> {
        let roots = self.source.roots(self.state()?.root.version).await?;
        let release = self.source.release(&self.me.channel).await?;
        let now = self.clock.now().unix_s();
        self.change(|state| Ok(state.look(now, &self.me, &roots, &release)?))
    }

    /// The clock was wrong before and is right now.
    ///
    /// # Errors
    /// The disk failed.
    pub fn trust_clock(&self) -> Result<(), UpdateError> {
        let now = self.clock.now().unix_s();
        self.change(|state| {
            state.trust_clock(now);
            Ok(())
        })
    }

    /// Has the program of a version, verified and in its place.
    ///
    /// # Errors
    /// [`UpdateError`]; calling it again goes on.
    pub async fn fetch(&self, version: Version, file: Artefact) -> Result<(), UpdateError> {
        if self.folder.program(&version, &file).is_err() {
            let mut part = self.folder.part(&file)?;
            self.source.program(&file, &mut part).await?;
            part.verify()?;
            self.folder.place(&version, part)?;
        }
        self.tell(Input::Staged(version)).map(drop)
    }

    /// Tells the rules.
    ///
    /// # Errors
    /// The rules refuse, or the disk failed.
    pub fn tell(&self, input: Input) -> Result<Vec<Effect>, UpdateError> {
        let now = self.clock.now().unix_s();
        self.change(|state| Ok(state.handle(now, input)?))
    }

    /// Link and folders as the state says.
    ///
    /// # Errors
    /// The disk failed.
    pub fn settle(&self) -> Result<(), UpdateError> {
        self.folder.settle(&self.state()?)
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let gone = || UpdateError::Missing(self.folder.dir().display().to_string());
        self.folder.change(|state| change(state.as_mut().ok_or_else(gone)?))
    }
}
