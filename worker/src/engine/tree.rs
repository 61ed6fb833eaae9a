//! The files a task sees: a tree in memory with three roots, `/in`, `/out` and `/tmp`, and a fourth for
//! the library of a runtime pack.
//!
//! Nothing of the machine shows through: numbers count up in the order of creation, folders list
//! in that order, there are no times, owners, modes or links. Inputs are created in the order of
//! their paths, so `/in` lists sorted. Every byte and every node is taken from the [`Meter`]
//! before it is kept, and given back when the last name and the last descriptor are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_common::manifest::{PATH_BYTES_MAX, check_path};

use super::meter::{Halt, Meter};
use super::wasi::errno::Errno;

/// A node's number: what the guest sees as inode, never used twice.
pub(crate) type Ino = u64;

/// Numbers below are the cookies of `.` and `..` in a listing, so that every node's number can
/// be its own cookie.
const FIRST_INO: Ino = 2;

/// Bytes a file may keep allocated beyond twice its length before the rest is returned.
const SLACK_BYTES: usize = 4_096;

/// Files that all runs of a pack share: path below the library's root, and bytes.
pub(crate) type Library = Vec<(String, Arc<Vec<u8>>)>;

/// One of the roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Area {
    /// The inputs; read-only.
    In,
    /// The results.
    Out,
    /// Scratch space, forgotten at the end.
    Tmp,
    /// What a runtime pack brings; read-only, and there only if it brings something.
    Lib,
}

impl Area {
    /// The roots that every task has.
    pub(crate) const ALL: [Self; 3] = [Self::In, Self::Out, Self::Tmp];

    /// Where the guest finds it.
    pub(crate) const fn mount(self) -> &'static str {
        match self {
            Self::In => "/in",
            Self::Out => "/out",
            Self::Tmp => "/tmp",
            Self::Lib => "/usr/local/lib",
        }
    }

    pub(crate) const fn root(self) -> Ino {
        FIRST_INO + self as Ino
    }

    pub(crate) fn check_writable(self) -> Result<(), Errno> {
        match self {
            Self::In | Self::Lib => Err(Errno::Rofs),
            Self::Out | Self::Tmp => Ok(()),
        }
    }
}

/// Why an operation on the tree did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The guest gets this number and goes on.
    Errno(Errno),
    /// The run is over.
    Halt(Halt),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Halt> for Fault {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// The tree; see the module.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<Ino, Node>,
    next: Ino,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    area: Area,
    /// Itself for a root.
    parent: Ino,
    name: Arc<str>,
    /// Bytes of the path from the area's root; 0 for a root.
    path_len: usize,
    /// Whether a folder still names it.
    linked: bool,
    /// Descriptors that hold it.
    open: u32,
}

#[derive(Debug)]
enum Kind {
    File(Vec<u8>),
    /// A file of a library, never written.
    Shared(Arc<Vec<u8>>),
    Folder(Folder),
}

/// A folder's children, by name to find one, by number to list them: a listing that goes on from
/// a number neither skips nor repeats when the guest removes what it has seen.
#[derive(Debug, Default)]
struct Folder {
    names: BTreeMap<Arc<str>, Ino>,
    order: BTreeSet<Ino>,
}

/// What a node is, for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) ino: Ino,
    pub(crate) area: Area,
    pub(crate) folder: bool,
    pub(crate) len: u64,
}

/// Where a path leads: a name in a folder, and the node there if it exists. The name is empty
/// when the path leads to a folder itself (`.`, `a/..`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'p> {
    pub(crate) parent: Ino,
    pub(crate) name: &'p str,
    pub(crate) node: Option<Ino>,
    /// The path ends in a slash, so only a folder will do.
    pub(crate) slash: bool,
}

impl Tree {
    /// The roots, the library and the inputs, which must be sorted. The library comes first, so that
    /// its numbers are the same in every run of a pack.
    ///
    /// # Errors
    /// A sentence naming the path that is refused, repeated or below another file.
    pub(crate) fn new(
        library: &[(String, Arc<Vec<u8>>)],
        inputs: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, String> {
        let mut tree = Self { nodes: BTreeMap::new(), next: FIRST_INO };
        let library_root = (!library.is_empty()).then_some(Area::Lib);
        for area in Area::ALL.into_iter().chain(library_root) {
            tree.insert(Kind::Folder(Folder::default()), area, area.root(), "".into());
        }
        let shared = library.iter().map(|(path, bytes)| (path, Kind::Shared(bytes.clone())));
        for (path, file) in shared {
            tree.add(Area::Lib, path, file)?;
        }
        for (path, bytes) in inputs {
            tree.add(Area::In, &path, Kind::File(bytes))?;
        }
        Ok(tree)
    }

    fn add(&mut self, area: Area, path: &str, file: Kind) -> Result<(), String> {
        check_path(path).map_err(|error| error.to_string())?;
        self.add_file(area, path, file)
            .map_err(|_| format!("the path {path:?} is given twice or is below another file"))
    }

    fn add_file(&mut self, area: Area, path: &str, file: Kind) -> Result<(), Errno> {
        let (folders, name) = path.rsplit_once('/').map_or(("", path), |split| split);
        let mut at = area.root();
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            at = match self.folder(at)?.names.get(folder) {
                Some(ino) => *ino,
                None => self.insert_named(Kind::Folder(Folder::default()), at, folder)?,
            };
        }
        if self.folder(at)?.names.contains_key(name) {
            return Err(Errno::Exist);
        }
        self.insert_named(file, at, name).map(drop)
    }

    pub(crate) fn stat(&self, ino: Ino) -> Result<Stat, Errno> {
        let node = self.node(ino)?;
        let (folder, len) = match &node.kind {
            Kind::File(bytes) => (false, bytes.len() as u64),
            Kind::Shared(bytes) => (false, bytes.len() as u64),
            Kind::Folder(_) => (true, 0),
        };
        Ok(Stat { ino, area: node.area, folder, len })
    }

    /// Walks `path` from the folder `from`. `..` is followed inside of `from` and refused where
    /// it would leave it; an absolute path is refused.
    pub(crate) fn resolve<'p>(&self, from: Ino, path: &'p str) -> Result<Place<'p>, Errno> {
        if path.is_empty() {
            return Err(Errno::Noent);
        }
        if path.starts_with('/') {
            return Err(Errno::Notcapable);
        }
        let slash = path.ends_with('/');
        let mut here = Place { parent: from, name: "", node: Some(from), slash };
        let mut depth = 0_usize;
        for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
            let at = here.node.ok_or(Errno::Noent)?;
            let folder = self.folder(at)?;
            if segment == ".." {
                depth = depth.checked_sub(1).ok_or(Errno::Notcapable)?;
                let up = self.node(at)?.parent;
                here = Place { parent: up, name: "", node: Some(up), slash };
            } else {
                depth += 1;
                let node = folder.names.get(segment).copied();
                here = Place { parent: at, name: segment, node, slash };
            }
        }
        // `a/.` and `a/` mean the folder: a file will not do.
        let folder_asked = slash || path.ends_with("/.") || path.ends_with("/..");
        if let (true, Some(ino)) = (folder_asked, here.node) {
            self.folder(ino)?;
        }
        Ok(here)
    }

    /// Creates an empty file at a place that is free.
    pub(crate) fn create_file(
        &mut self,
        place: Place<'_>,
        meter: &mut Meter,
    ) -> Result<Ino, Fault> {
        if place.slash {
            return Err(Errno::Isdir.into());
        }
        self.create(place, Kind::File(Vec::new()), meter)
    }

    /// Creates a folder at a place that is free.
    pub(crate) fn create_folder(
        &mut self,
        place: Place<'_>,
        meter: &mut Meter,
    ) -> Result<Ino, Fault> {
        self.create(place, Kind::Folder(Folder::default()), meter)
    }

    fn create(&mut self, place: Place<'_>, kind: Kind, meter: &mut Meter) -> Result<Ino, Fault> {
        if place.node.is_some() {
            return Err(Errno::Exist.into());
        }
        let parent = self.node(place.parent)?;
        let area = parent.area;
        area.check_writable()?;
        self.check_name(parent, place.name)?;
        meter.take_node(area)?;
        Ok(self.insert_named(kind, place.parent, place.name)?)
    }

    /// A new name must be one that a manifest could hold, wherever it is: a file may move from
    /// folder to folder.
    fn check_name(&self, parent: &Node, name: &str) -> Result<(), Errno> {
        if !parent.linked {
            return Err(Errno::Noent);
        }
        if joined_len(parent.path_len, name) > PATH_BYTES_MAX {
            return Err(Errno::Nametoolong);
        }
        check_path(name).map_err(|_| Errno::Inval)
    }

    /// Removes a file's name; its bytes stay until the last descriptor is closed.
    pub(crate) fn unlink(&mut self, place: Place<'_>, meter: &mut Meter) -> Result<(), Fault> {
        let ino = place.node.ok_or(Errno::Noent)?;
        let stat = self.stat(ino)?;
        if stat.folder {
            return Err(Errno::Isdir.into());
        }
        stat.area.check_writable()?;
        self.detach(ino)?;
        self.forget_unused(ino, meter);
        Ok(())
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(
        &mut self,
        place: Place<'_>,
        meter: &mut Meter,
    ) -> Result<(), Fault> {
        let ino = place.node.ok_or(Errno::Noent)?;
        let area = self.node(ino)?.area;
        let empty = self.folder(ino)?.names.is_empty();
        area.check_writable()?;
        if place.name.is_empty() {
            return Err(Errno::Inval.into());
        }
        if !empty {
            return Err(Errno::Notempty.into());
        }
        self.detach(ino)?;
        self.forget_unused(ino, meter);
        Ok(())
    }

    /// Moves a node, replacing a file by a file or an empty folder by a folder. Returns how many
    /// nodes had to be visited, which the caller charges for.
    pub(crate) fn rename(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        meter: &mut Meter,
    ) -> Result<usize, Fault> {
        let ino = from.node.ok_or(Errno::Noent)?;
        let stat = self.stat(ino)?;
        if from.name.is_empty() || to.name.is_empty() {
            return Err(Errno::Busy.into());
        }
        let parent = self.node(to.parent)?;
        stat.area.check_writable()?;
        if parent.area != stat.area {
            return Err(Errno::Xdev.into());
        }
        if to.slash && !stat.folder {
            return Err(Errno::Notdir.into());
        }
        if to.node == Some(ino) {
            return Ok(0);
        }
        self.check_name(parent, to.name)?;
        self.check_replaceable(stat, to.node)?;
        let path_len = joined_len(parent.path_len, to.name);
        let visited = self.check_move(ino, to.parent, path_len)?;
        if let Some(old) = to.node {
            self.detach(old)?;
            self.forget_unused(old, meter);
        }
        self.detach(ino)?;
        self.attach(ino, to.parent, to.name)?;
        self.shift_paths(&visited, path_len, ino)?;
        Ok(visited.len())
    }

    fn check_replaceable(&self, moved: Stat, old: Option<Ino>) -> Result<(), Errno> {
        let Some(old) = old else { return Ok(()) };
        match (&self.node(old)?.kind, moved.folder) {
            (Kind::File(_) | Kind::Shared(_), false) => Ok(()),
            (Kind::File(_) | Kind::Shared(_), true) => Err(Errno::Notdir),
            (Kind::Folder(_), false) => Err(Errno::Isdir),
            (Kind::Folder(folder), true) if folder.names.is_empty() => Ok(()),
            (Kind::Folder(_), true) => Err(Errno::Notempty),
        }
    }

    /// Everything below `ino` and itself; refuses a move into itself, or one that would make a
    /// path too long.
    fn check_move(&self, ino: Ino, to: Ino, path_len: usize) -> Result<Vec<Ino>, Errno> {
        let before = self.node(ino)?.path_len;
        let mut below = vec![ino];
        let mut next = 0;
        while let Some(at) = below.get(next).copied() {
            next += 1;
            if at == to {
                return Err(Errno::Inval);
            }
            let node = self.node(at)?;
            if node.path_len - before + path_len > PATH_BYTES_MAX {
                return Err(Errno::Nametoolong);
            }
            if let Kind::Folder(folder) = &node.kind {
                below.extend(&folder.order);
            }
        }
        Ok(below)
    }

    /// After a move of `ino`: the paths of all in `moved` begin with one of `path_len` bytes.
    fn shift_paths(&mut self, moved: &[Ino], path_len: usize, ino: Ino) -> Result<(), Errno> {
        let before = self.node(ino)?.path_len;
        for at in moved {
            let node = self.node_mut(*at)?;
            node.path_len = node.path_len - before + path_len;
        }
        Ok(())
    }

    /// Counts a descriptor that now holds `ino`.
    pub(crate) fn hold(&mut self, ino: Ino) -> Result<(), Errno> {
        self.node_mut(ino)?.open += 1;
        Ok(())
    }

    /// A descriptor let go of `ino`.
    pub(crate) fn release(&mut self, ino: Ino, meter: &mut Meter) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.open = node.open.saturating_sub(1);
        }
        self.forget_unused(ino, meter);
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, ino: Ino) -> Result<&[u8], Errno> {
        match &self.node(ino)?.kind {
            Kind::File(bytes) => Ok(bytes),
            Kind::Shared(bytes) => Ok(bytes),
            Kind::Folder(_) => Err(Errno::Isdir),
        }
    }

    /// Writes `bytes` at `offset`; a gap before it reads as zeros. The caller has charged for the
    /// growth with [`Tree::grow`].
    pub(crate) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let file = self.file_mut(ino)?;
        let start = usize::try_from(offset).map_err(|_| Errno::Fbig)?;
        let end = start.checked_add(bytes.len()).ok_or(Errno::Fbig)?;
        file.get_mut(start..end).ok_or(Errno::Io)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Takes from the meter what a file needs to have at least `len` bytes, and returns how many
    /// it lacks. [`Tree::resize`] then allocates them, once they are paid for in fuel too.
    pub(crate) fn grow(&self, ino: Ino, len: u64, meter: &mut Meter) -> Result<u64, Fault> {
        let stat = self.stat(ino)?;
        stat.area.check_writable()?;
        let more = len.saturating_sub(stat.len);
        meter.take_bytes(stat.area, more)?;
        Ok(more)
    }

    /// Sets a file's length. Growth must have been taken with [`Tree::grow`].
    pub(crate) fn resize(&mut self, ino: Ino, len: u64, meter: &mut Meter) -> Result<(), Fault> {
        let area = self.node(ino)?.area;
        area.check_writable()?;
        let file = self.file_mut(ino)?;
        let len = usize::try_from(len).map_err(|_| Errno::Fbig)?;
        let less = file.len().saturating_sub(len);
        file.resize(len, 0);
        if file.capacity() / 2 > len.saturating_add(SLACK_BYTES) {
            file.shrink_to(len);
        }
        meter.give_back_bytes(area, less as u64);
        Ok(())
    }

    /// The children of a folder whose number is at least `from`, with name and whether each is a
    /// folder, in the order of their numbers.
    pub(crate) fn list(
        &self,
        ino: Ino,
        from: Ino,
    ) -> Result<impl Iterator<Item = (Ino, &str, bool)>, Errno> {
        let order = &self.folder(ino)?.order;
        Ok(order.range(from..).filter_map(|ino| {
            let node = self.nodes.get(ino)?;
            Some((*ino, &*node.name, matches!(node.kind, Kind::Folder(_))))
        }))
    }

    pub(crate) fn parent(&self, ino: Ino) -> Result<Ino, Errno> {
        Ok(self.node(ino)?.parent)
    }

    /// The files in `/out` with their paths, sorted by the path's bytes.
    pub(crate) fn into_results(mut self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![(String::new(), Area::Out.root())];
        while let Some((prefix, ino)) = folders.pop() {
            let Ok(folder) = self.folder(ino) else { continue };
            let children: Vec<Ino> = folder.order.iter().copied().collect();
            for child in children {
                let Some(node) = self.nodes.remove(&child) else { continue };
                let path = format!("{prefix}{}", node.name);
                match node.kind {
                    Kind::File(bytes) => files.push((path, bytes)),
                    Kind::Shared(_) => {}
                    Kind::Folder(_) => {
                        folders.push((path + "/", child));
                        self.nodes.insert(child, node);
                    }
                }
            }
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        files
    }

    fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        self.nodes.get(&ino).ok_or(Errno::Noent)
    }

    fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::Noent)
    }

    fn folder(&self, ino: Ino) -> Result<&Folder, Errno> {
        match &self.node(ino)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) | Kind::Shared(_) => Err(Errno::Notdir),
        }
    }

    fn folder_mut(&mut self, ino: Ino) -> Result<&mut Folder, Errno> {
        match &mut self.node_mut(ino)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) | Kind::Shared(_) => Err(Errno::Notdir),
        }
    }

    fn file_mut(&mut self, ino: Ino) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.node_mut(ino)?.kind {
            Kind::File(bytes) => Ok(bytes),
            Kind::Shared(_) => Err(Errno::Rofs),
            Kind::Folder(_) => Err(Errno::Isdir),
        }
    }

    fn insert(&mut self, kind: Kind, area: Area, parent: Ino, name: Arc<str>) -> Ino {
        let ino = self.next;
        self.next += 1;
        let linked = true;
        self.nodes.insert(ino, Node { kind, area, parent, name, path_len: 0, linked, open: 0 });
        ino
    }

    fn insert_named(&mut self, kind: Kind, parent: Ino, name: &str) -> Result<Ino, Errno> {
        let area = self.node(parent)?.area;
        let path_len = joined_len(self.node(parent)?.path_len, name);
        self.folder(parent)?;
        let ino = self.insert(kind, area, parent, name.into());
        self.node_mut(ino)?.path_len = path_len;
        self.attach(ino, parent, name)?;
        Ok(ino)
    }

    fn attach(&mut self, ino: Ino, parent: Ino, name: &str) -> Result<(), Errno> {
        let name: Arc<str> = name.into();
        let folder = self.folder_mut(parent)?;
        folder.names.insert(name.clone(), ino);
        folder.order.insert(ino);
        let node = self.node_mut(ino)?;
        (node.parent, node.name, node.linked) = (parent, name, true);
        Ok(())
    }

    fn detach(&mut self, ino: Ino) -> Result<(), Errno> {
        let node = self.node_mut(ino)?;
        node.linked = false;
        let (parent, name) = (node.parent, node.name.clone());
        let folder = self.folder_mut(parent)?;
        folder.names.remove(&name);
        folder.order.remove(&ino);
        Ok(())
    }

    fn forget_unused(&mut self, ino: Ino, meter: &mut Meter) {
        let Some(node) = self.nodes.get(&ino).filter(|node| !node.linked && node.open == 0) else {
            return;
        };
        if let Kind::File(bytes) = &node.kind {
            meter.give_back_bytes(node.area, bytes.len() as u64);
        }
        meter.give_back_node(node.area);
        self.nodes.remove(&ino);
    }
}

/// Bytes of a path after `name` is joined to a folder whose path has `folder_len` bytes.
fn joined_len(folder_len: usize, name: &str) -> usize {
    if folder_len == 0 { name.len() } else { folder_len + 1 + name.len() }
}

#[cfg(test)]
pub(super) mod tests;
