//! `versions/`: the state, and one folder for each version. The state is written first and as a whole;
//! the link and the folders follow from it, and are put right again by [`Folder::settle`] after a crash.
//! Nothing in here is believed because of its name: owner, mode, kind and hash are looked at before a
//! program is started.

mod checks;
mod part;

use crate::{
    PROGRAM, UpdateError,
    rules::{Artefact, State},
};
use checks::{
    NO_FOLLOW, hash, is_ours, is_own_dir, make_dir, new_file, open_plain, remove_if_there, stat,
    sync_dir,
};
pub use part::Part;
use semver::Version;
use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of the state's file.
const STATE: &str = "state.json";
/// Bytes of the state: a few versions with their notes.
const STATE_BYTES_MAX: u64 = 256 << 10;
/// The link people and tools follow to what runs.
const LINK: &str = "current";
/// Files on their way.
const INCOMING: &str = "incoming";

/// A moment after which everything may stop: tests stop there, each in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The state is written beside the old one.
    StateWritten,
    /// The state is the new one.
    StateReplaced,
    /// Some bytes have come.
    Received,
    /// All bytes are there and verified.
    Verified,
    /// The version's folder is made.
    FolderMade,
    /// The program is in it.
    Placed,
    /// The new link is made beside the old one.
    LinkMade,
    /// The link is the new one.
    LinkReplaced,
    /// A version that is of no use is gone.
    Removed,
}

/// Called at each step; an error stops everything there, as a crash would.
pub type Hook = Arc<dyn Fn(Step) -> io::Result<()> + Send + Sync>;

/// The folder, checked to be its owner's alone.
#[derive(Clone)]
pub struct Folder {
    dir: PathBuf,
    hook: Option<Hook>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Folder {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// The disk failed, or others may write there.
    pub fn open(dir: &Path) -> Result<Self, UpdateError> {
        Self::open_with(dir, None)
    }

    /// With a hook, for tests.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open_with(dir: &Path, hook: Option<Hook>) -> Result<Self, UpdateError> {
        let folder = Self { dir: dir.into(), hook };
        make_dir(dir)?;
        make_dir(&dir.join(INCOMING))?;
        Ok(folder)
    }

    /// Whether an updater was ever here: without making anything.
    pub fn is_in_use(dir: &Path) -> bool {
        dir.join(STATE).symlink_metadata().is_ok()
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was remembered, if anything was.
    ///
    /// # Errors
    /// The file is damaged, or not its owner's.
    pub fn load(&self) -> Result<Option<State>, UpdateError> {
        let path = self.dir.join(STATE);
        let file = match open_plain(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(UpdateError::disk(path, "read", error)),
        };
        is_ours(&path, &stat(&path, &file)?)?;
        let mut bytes = Vec::new();
        let read = file.take(STATE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| UpdateError::disk(&path, "read", error))?;
        let state: State = serde_json::from_slice(&bytes).map_err(|error| {
            let why = format!("is damaged ({error}); move it away to begin anew from the root");
            UpdateError::Unsafe { path: path.clone(), why }
        })?;
        Ok(Some(state))
    }

    /// Changes what is remembered: alone, from disk to disk. What `change` asks for may be done after this
    /// has returned.
    ///
    /// # Errors
    /// The disk failed; the old state is in force. What `change` says, after the state was written.
    pub fn change<T, E: Into<UpdateError>>(
        &self,
        change: impl FnOnce(&mut Option<State>) -> Result<T, E>,
    ) -> Result<T, UpdateError> {
        let path = self.dir.join("lock");
        let open =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = open.and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(|error| UpdateError::disk(&path, "locked", error))?;
        let before = self.load()?;
        let mut state = before.clone();
        let outcome = change(&mut state);
        if let Some(state) = state.filter(|state| before.as_ref() != Some(state)) {
            self.save(&state)?;
        }
        drop(lock);
        outcome.map_err(Into::into)
    }

    fn save(&self, state: &State) -> Result<(), UpdateError> {
        let path = self.dir.join(STATE);
        let text = serde_json::to_vec_pretty(state).map_err(io::Error::from);
        let temporary = self.dir.join("state.json.new");
        let write = |text: Vec<u8>| {
            remove_if_there(&temporary)?;
            let mut file = new_file(&temporary, 0o600)?;
            file.write_all(&text)?;
            file.sync_all()?;
            self.at(Step::StateWritten)?;
            fs::rename(&temporary, &path)?;
            sync_dir(&self.dir)?;
            self.at(Step::StateReplaced)
        };
        text.and_then(write).map_err(|error| UpdateError::disk(&path, "written", error))
    }

    /// The file of a version on its way, with what came of it so far.
    pub fn part(&self, file: &Artefact) -> Result<Part, UpdateError> {
        let path = self.dir.join(INCOMING).join(file.sha256.to_string());
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(NO_FOLLOW)
            .open(&path);
        let opened = open.map_err(|error| UpdateError::disk(&path, "written", error))?;
        is_ours(&path, &stat(&path, &opened)?)?;
        // A worker and a command may want the same at once; the second finds it in place later.
        opened.try_lock().map_err(|error| UpdateError::disk(&path, "locked", error.into()))?;
        Part::resume(path, opened, *file, self.clone())
    }

    /// Puts a verified file where its version belongs, and on disk.
    ///
    /// # Errors
    /// The disk failed; the file is still incoming, or already in place.
    pub fn place(&self, version: &Version, part: Part) -> Result<(), UpdateError> {
        let dir = self.dir.join(version.to_string());
        make_dir(&dir)?;
        let place = || {
            self.at(Step::FolderMade)?;
            fs::set_permissions(&part.path, fs::Permissions::from_mode(0o700))?;
            part.file.sync_all()?;
            fs::rename(&part.path, dir.join(PROGRAM))?;
            sync_dir(&dir)?;
            sync_dir(&self.dir)?;
            self.at(Step::Placed)
        };
        place().map_err(|error| UpdateError::disk(&dir, "written", error))
    }

    /// The program of a version, if it is still the file that was verified.
    ///
    /// # Errors
    /// [`UpdateError::Unsafe`], [`UpdateError::WrongBytes`]: it must not be started.
    pub fn program(&self, version: &Version, file: &Artefact) -> Result<PathBuf, UpdateError> {
        let dir = self.dir.join(version.to_string());
        let metadata = dir.symlink_metadata();
        let metadata = metadata.map_err(|error| UpdateError::disk(&dir, "read", error))?;
        is_own_dir(&dir, &metadata)?;
        let path = dir.join(PROGRAM);
        let opened = open_plain(&path).map_err(|error| UpdateError::disk(&path, "read", error))?;
        is_ours(&path, &stat(&path, &opened)?)?;
        let got = hash(&opened, file.bytes.saturating_add(1))
            .map_err(|error| UpdateError::disk(&path, "read", error))?;
        if got != file.sha256 {
            let place = path.display().to_string();
            return Err(UpdateError::WrongBytes { place, expected: file.sha256, got });
        }
        Ok(path)
    }

    /// Makes link and folders what the state says; whatever stopped half-way goes on here.
    ///
    /// # Errors
    /// The disk failed; calling it again goes on.
    pub fn settle(&self, state: &State) -> Result<(), UpdateError> {
        self.point(state.current.as_ref())
            .map_err(|error| UpdateError::disk(self.dir.join(LINK), "replaced", error))?;
        self.sweep(state).map_err(|error| UpdateError::disk(&self.dir, "tidied", error))
    }

    fn point(&self, version: Option<&Version>) -> io::Result<()> {
        let link = self.dir.join(LINK);
        let target = version.map(|version| PathBuf::from(version.to_string()));
        if fs::read_link(&link).ok() == target && target.is_some() {
            return Ok(());
        }
        let Some(target) = target else { return remove_if_there(&link) };
        let temporary = self.dir.join("current.new");
        remove_if_there(&temporary)?;
        symlink(target, &temporary)?;
        self.at(Step::LinkMade)?;
        fs::rename(&temporary, &link)?;
        sync_dir(&self.dir)?;
        self.at(Step::LinkReplaced)
    }

    /// Removes versions nobody needs and files that will not come any more; other names are not ours.
    fn sweep(&self, state: &State) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(version) = entry.file_name().to_string_lossy().parse::<Version>() else {
                continue;
            };
            if !state.kept.contains_key(&version) && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
                self.at(Step::Removed)?;
            }
        }
        let offer = state.offer.as_ref().and_then(|offer| offer.file);
        let coming = offer.map(|file| file.sha256.to_string());
        for entry in fs::read_dir(self.dir.join(INCOMING))? {
            let entry = entry?;
            if Some(entry.file_name().to_string_lossy().as_ref()) != coming.as_deref() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn at(&self, step: Step) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(step))
    }
}
