//! What is to be sent, kept from before it is sent until it is final.
//!
//! One folder for an account on a chain, locked; in it one file for every transaction that is not
//! final, named by its nonce. Not one file for all: on a chain that takes twenty minutes to be
//! final there are hundreds, and each is written only when it changes. A file is written aside,
//! synced and renamed, so that it is there whole or not at all; its last line is a checksum.
//!
//! A transaction with a key leaves its receipt behind, so that whoever asks for the same again
//! after a crash gets it. The newest [`DONE_MAX`] are kept. Without a folder all of this is in
//! memory and as good as the process.

use crate::error::SettleError;
use crate::outbox::{Prepared, Receipt};
use alloy::primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Receipts kept for callers that may ask again: as many as batches may wait for the chain. A
/// caller asks again right after its restart for what it had under way, not for last year's.
const DONE_MAX: usize = 1_024;

/// Transactions that may wait to be final at once. On a chain that takes twenty minutes it is three
/// a second, more than one account gets mined; each is a file of some kilobytes.
const UNFINISHED_MAX: usize = 4_096;

/// What the file says it is.
const SCHEMA: &str = "quorate.intent/1";

const ENDING: &str = "intent";
const UNBORN: &str = "unborn";

/// A transaction and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    schema: String,
    chain_id: u64,
    account: Address,
    /// Call, nonce and signed versions.
    pub(super) prepared: Prepared,
    /// What came of it, once that is final.
    pub(super) done: Option<Receipt>,
}

/// An intent, and what only this process knows of it.
#[derive(Debug)]
struct Entry {
    intent: Intent,
    /// Callers who are waiting for it.
    watchers: u32,
    /// A node may have it. True unless every answer so far was a refusal.
    handed: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Intents {
    chain_id: u64,
    account: Address,
    folder: Option<Folder>,
    known: Mutex<BTreeMap<u64, Entry>>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Held as long as the outbox lives; the system lets go of it when the process dies.
    _lock: File,
}

/// Somebody waits for an intent, until dropped.
#[derive(Debug)]
pub(super) struct Watch {
    intents: Arc<Intents>,
    nonce: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(entry) = self.intents.known().get_mut(&self.nonce) {
            entry.watchers = entry.watchers.saturating_sub(1);
        }
    }
}

impl Intents {
    /// Nothing on disk.
    pub(super) fn in_memory(chain_id: u64, account: Address) -> Self {
        Self { chain_id, account, folder: None, known: Mutex::default() }
    }

    /// Opens an account's folder in `dir`, made if absent, and reads what is in it.
    pub(super) fn open(dir: &Path, chain_id: u64, account: Address) -> Result<Self, SettleError> {
        let path = dir.join(format!("{chain_id}-{account}"));
        make_durable_dir(&path).map_err(|error| broken(&path, &error))?;
        let lock = lock(&path.join("lock"), account)?;
        let folder = Some(Folder { path: path.clone(), _lock: lock });
        let mut known = BTreeMap::new();
        for file in files(&path).map_err(|error| broken(&path, &error))? {
            let intent = read(&file, chain_id, account)?;
            let entry = Entry { intent, watchers: 0, handed: true };
            known.insert(entry.intent.prepared.nonce, entry);
        }
        Ok(Self { chain_id, account, folder, known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is about to be sent. Writes nothing if it is kept already, and forgets no version
    /// that is: any of them may be the one that is mined.
    ///
    /// # Errors
    /// [`SettleError::NonceTaken`] if another call is kept for this nonce; the disk's.
    pub(super) async fn save(self: &Arc<Self>, prepared: &Prepared) -> Result<(), SettleError> {
        let (nonce, account) = (prepared.nonce, self.account);
        let known = self.known().get(&nonce).map(|entry| entry.intent.prepared.clone());
        if known.as_ref().is_some_and(|known| known.call != prepared.call) {
            return Err(SettleError::NonceTaken { account, nonce });
        }
        let old = known.map(|known| known.versions).unwrap_or_default();
        if prepared.versions.iter().all(|version| old.contains(version)) {
            return Ok(());
        }
        let mut prepared = prepared.clone();
        let new = std::mem::replace(&mut prepared.versions, old);
        for version in new {
            if !prepared.versions.contains(&version) {
                prepared.versions.push(version);
            }
        }
        let intent = Intent {
            schema: SCHEMA.to_owned(),
            chain_id: self.chain_id,
            account: self.account,
            prepared,
            done: None,
        };
        self.put(intent).await
    }

    /// It is final: its file goes, or its receipt stays for whoever has its key. A failing disk is
    /// no harm here: the file then says less than is true, and a restart finds the rest out.
    pub(super) async fn finished(self: &Arc<Self>, prepared: &Prepared, receipt: &Receipt) {
        let kept = self.of(prepared);
        let Some(mut intent) = kept.filter(|intent| intent.prepared.key.is_some()) else {
            return self.forget(prepared).await;
        };
        if intent.done.as_ref() == Some(receipt) {
            return;
        }
        intent.done = Some(receipt.clone());
        if let Err(error) = self.put(intent).await {
            tracing::warn!("outbox: a receipt is not kept: {error}");
        }
        for nonce in self.stale() {
            self.remove(nonce).await;
        }
    }

    /// It will never be mined, or is final and nobody asks for it.
    pub(super) async fn forget(self: &Arc<Self>, prepared: &Prepared) {
        if self.of(prepared).is_some() {
            self.remove(prepared.nonce).await;
        }
    }

    /// The kept intent that is this very transaction, whatever versions it has.
    pub(super) fn of(&self, prepared: &Prepared) -> Option<Intent> {
        let known = self.known();
        let intent = &known.get(&prepared.nonce)?.intent;
        (intent.prepared.call == prepared.call).then(|| intent.clone())
    }

    /// The newest intent with this key.
    pub(super) fn keyed(&self, key: B256) -> Option<Intent> {
        let known = self.known();
        let mut intents = known.values().rev().map(|entry| &entry.intent);
        intents.find(|intent| intent.prepared.key == Some(key)).cloned()
    }

    /// What is not final, by nonce.
    pub(super) fn unfinished(&self) -> Vec<Prepared> {
        self.open_ones(|_| true)
    }

    /// What is not final and nobody waits for.
    pub(super) fn unwatched(&self) -> Vec<Prepared> {
        self.open_ones(|entry| entry.watchers == 0)
    }

    /// What must be seen to before the next: nonces that are not `used`, and what nobody waits for.
    pub(super) fn left(&self, used: u64) -> Vec<Prepared> {
        self.open_ones(|entry| entry.watchers == 0 || entry.intent.prepared.nonce >= used)
    }

    fn open_ones(&self, keep: impl Fn(&Entry) -> bool) -> Vec<Prepared> {
        let known = self.known();
        let open = known.values().filter(|entry| entry.intent.done.is_none() && keep(entry));
        open.map(|entry| entry.intent.prepared.clone()).collect()
    }

    /// How many are not final.
    pub(super) fn count(&self) -> usize {
        self.known().values().filter(|entry| entry.intent.done.is_none()).count()
    }

    /// Whether one more would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= UNFINISHED_MAX
    }

    /// The nonce after the last that is spoken for; zero if none is.
    pub(super) fn next_nonce(&self) -> u64 {
        let known = self.known();
        let mut open = known.iter().rev().filter(|(_, entry)| entry.intent.done.is_none());
        open.next().map_or(0, |(nonce, _)| nonce + 1)
    }

    /// Somebody waits for it now.
    pub(super) fn watch(self: &Arc<Self>, nonce: u64) -> Watch {
        if let Some(entry) = self.known().get_mut(&nonce) {
            entry.watchers += 1;
        }
        Watch { intents: Arc::clone(self), nonce }
    }

    /// A node may have it from now on.
    pub(super) fn handed(&self, nonce: u64) {
        if let Some(entry) = self.known().get_mut(&nonce) {
            entry.handed = true;
        }
    }

    /// Whether a node may have it.
    pub(super) fn may_be_out(&self, nonce: u64) -> bool {
        self.known().get(&nonce).is_some_and(|entry| entry.handed)
    }

    /// Receipts beyond what is kept.
    fn stale(&self) -> Vec<u64> {
        let known = self.known();
        let done = known.iter().rev().filter(|(_, entry)| entry.intent.done.is_some());
        done.skip(DONE_MAX).map(|(nonce, _)| *nonce).collect()
    }

    /// On disk first, then in memory. On a thread that may block; it ends what it began even if
    /// the caller goes away.
    async fn put(self: &Arc<Self>, intent: Intent) -> Result<(), SettleError> {
        let own = Arc::clone(self);
        let write = move || {
            own.write(&intent)?;
            let mut known = own.known();
            match known.get_mut(&intent.prepared.nonce) {
                Some(entry) => entry.intent = intent,
                None => {
                    let nonce = intent.prepared.nonce;
                    known.insert(nonce, Entry { intent, watchers: 0, handed: false });
                }
            }
            Ok(())
        };
        if self.folder.is_none() {
            return write();
        }
        tokio::task::spawn_blocking(write).await.expect("writing a file does not panic")
    }

    fn write(&self, intent: &Intent) -> Result<(), SettleError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.path.join(name(intent.prepared.nonce));
        let unborn = path.with_extension(UNBORN);
        let written = File::create(&unborn).and_then(|mut file| {
            file.write_all(&encode(intent))?;
            file.sync_all()?;
            fs::rename(&unborn, &path)?;
            sync_dir(&folder.path)
        });
        written.map_err(|error| broken(&path, &error))
    }

    async fn remove(self: &Arc<Self>, nonce: u64) {
        let own = Arc::clone(self);
        let erase = move || {
            if let Some(folder) = &own.folder
                && let Err(error) = fs::remove_file(folder.path.join(name(nonce)))
                    .and_then(|()| sync_dir(&folder.path))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("outbox: {}: {error}", folder.path.join(name(nonce)).display());
            }
            own.known().remove(&nonce);
        };
        if self.folder.is_none() {
            return erase();
        }
        tokio::task::spawn_blocking(erase).await.expect("removing a file does not panic");
    }
}

/// Twenty digits, so that names sort as nonces do.
fn name(nonce: u64) -> String {
    format!("{nonce:020}.{ENDING}")
}

fn encode(intent: &Intent) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(intent).expect("an intent is plain data");
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
    bytes
}

/// Every intent's file. What a crash left unborn was not sent and goes.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(ENDING) => found.push(path),
            Some(UNBORN) => fs::remove_file(path)?,
            Some(_) | None => {}
        }
    }
    Ok(found)
}

fn read(path: &Path, chain_id: u64, account: Address) -> Result<Intent, SettleError> {
    let bytes = fs::read(path).map_err(|error| broken(path, &error))?;
    let intent = decode(&bytes).ok_or_else(|| damaged(path, "its checksum is wrong"))?;
    if (intent.chain_id, intent.account) != (chain_id, account) {
        return Err(damaged(path, "it is of another chain or account"));
    }
    let Prepared { nonce, versions, .. } = &intent.prepared;
    let named = path.file_name().is_some_and(|found| *found == *name(*nonce));
    let whole = versions.iter().all(|version| keccak256(&version.raw) == version.hash);
    if !named || versions.is_empty() || !whole {
        return Err(damaged(path, "its parts contradict each other"));
    }
    Ok(intent)
}

fn decode(bytes: &[u8]) -> Option<Intent> {
    let text = bytes.strip_suffix(b"\n")?;
    let (json, crc) = text.split_at_checked(text.len().checked_sub(9)?)?;
    let crc = std::str::from_utf8(crc.strip_prefix(b"\n")?).ok()?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    if crc32c::crc32c(json) != crc {
        return None;
    }
    let intent: Intent = serde_json::from_slice(json).ok()?;
    (intent.schema == SCHEMA).then_some(intent)
}

/// A transaction that may be on its way cannot be guessed, so this is a person's decision.
fn damaged(path: &Path, how: &str) -> SettleError {
    let nonce = path.file_stem().unwrap_or_default().to_string_lossy();
    let nonce = nonce.trim_start_matches('0');
    let nonce = if nonce.is_empty() { "0" } else { nonce };
    let problem = format!(
        "{how}; it holds the account's transaction with nonce {nonce}. Look in a block explorer \
         whether that nonce is used in a final block, or cannot be (no such transaction is \
         pending), then move the file away and start again"
    );
    SettleError::OutboxFile { path: path.to_owned(), problem }
}

fn broken(path: &Path, error: &io::Error) -> SettleError {
    let problem = format!("{error}; nothing is sent that cannot be kept: free or repair the disk");
    SettleError::OutboxFile { path: path.to_owned(), problem }
}

fn lock(path: &Path, account: Address) -> Result<File, SettleError> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let file = open.map_err(|error| broken(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(SettleError::AccountBusy { account, path: path.to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(broken(path, &error)),
    }
}

/// Makes `dir` and its parents; a folder made here survives a power cut.
fn make_durable_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_durable_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Makes the names in `dir` durable.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Nothing to do: NTFS journals its names itself, and a folder cannot be opened as a file.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::outbox::{Call, Fees, Version};
    use alloy::primitives::{Bytes, U256};

    const ACCOUNT: Address = Address::repeat_byte(7);

    fn prepared(nonce: u64, key: Option<B256>) -> Prepared {
        let raw = Bytes::from(nonce.to_be_bytes().to_vec());
        let hash = keccak256(&raw);
        let versions = vec![Version { raw, hash, fees: Fees { max_fee: 2, tip: 1 } }];
        let call = Call::transfer(Address::ZERO, U256::from(nonce));
        Prepared { call, key, nonce, gas_limit: 21_000, versions }
    }

    fn receipt() -> Receipt {
        Receipt {
            tx: B256::ZERO,
            block_number: 1,
            block_hash: B256::ZERO,
            gas_used: 1,
            fee_wei: U256::ONE,
            contract: None,
            logs: Vec::new(),
        }
    }

    fn open(dir: &Path) -> Result<Arc<Intents>, SettleError> {
        Intents::open(dir, 1, ACCOUNT).map(Arc::new)
    }

    #[tokio::test]
    async fn what_is_saved_comes_back_and_what_is_final_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, keyed) = (prepared(4, None), prepared(5, Some(B256::ZERO)));
        let intents = open(dir.path()).unwrap();
        intents.save(&plain).await.unwrap();
        intents.save(&keyed).await.unwrap();
        assert!(matches!(open(dir.path()), Err(SettleError::AccountBusy { .. })));
        drop(intents);
        let intents = open(dir.path()).unwrap();
        assert_eq!(intents.unfinished(), [plain.clone(), keyed.clone()]);
        assert_eq!(intents.next_nonce(), 6);
        intents.finished(&plain, &receipt()).await;
        intents.finished(&keyed, &receipt()).await;
        drop(intents);
        let intents = open(dir.path()).unwrap();
        assert!(intents.unfinished().is_empty());
        assert_eq!(intents.of(&plain), None);
        assert_eq!(intents.keyed(B256::ZERO).unwrap().done, Some(receipt()));
    }

    #[tokio::test]
    async fn a_torn_write_is_forgotten_and_a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let intents = open(dir.path()).unwrap();
        intents.save(&prepared(4, None)).await.unwrap();
        drop(intents);
        let folder = dir.path().join(format!("1-{ACCOUNT}"));
        let path = folder.join(name(4));
        fs::write(folder.join(name(5)).with_extension(UNBORN), "half").unwrap();
        assert_eq!(open(dir.path()).unwrap().unfinished().len(), 1);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(13) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, bad).unwrap();
            let error = open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("00004.intent") && error.contains("nonce 4"), "{at}: {error}");
        }
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(open(dir.path()).is_err());
        fs::write(&path, &good).unwrap();
        fs::rename(&path, folder.join(name(5))).unwrap();
        assert!(open(dir.path()).is_err(), "a file under another nonce's name");
    }

    #[tokio::test]
    async fn what_waits_to_be_final_is_bounded() {
        let intents = Arc::new(Intents::in_memory(1, ACCOUNT));
        for nonce in 0..UNFINISHED_MAX as u64 {
            intents.save(&prepared(nonce, None)).await.unwrap();
        }
        assert!(intents.is_full());
        let watch = intents.watch(0);
        assert_eq!(intents.left(u64::MAX).len(), UNFINISHED_MAX - 1, "all but the watched one");
        drop(watch);
        intents.finished(&prepared(0, None), &receipt()).await;
        assert!(!intents.is_full());
    }

    #[tokio::test]
    async fn old_receipts_go_first() {
        let intents = Arc::new(Intents::in_memory(1, ACCOUNT));
        for nonce in 0..DONE_MAX as u64 + 3 {
            let prepared = prepared(nonce, Some(B256::from(U256::from(nonce))));
            intents.save(&prepared).await.unwrap();
            intents.finished(&prepared, &receipt()).await;
        }
        let kept = |nonce: u64| intents.keyed(B256::from(U256::from(nonce))).is_some();
        assert_eq!((kept(2), kept(3)), (false, true));
    }
}
