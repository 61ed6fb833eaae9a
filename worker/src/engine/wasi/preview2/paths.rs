//! The functions of `wasi:filesystem/types` that begin at a folder and follow a path.

use super::held::{Descriptor, Held, Opened};
use super::types::{
    DescriptorFlags, DescriptorStat, MetadataHash, NewTimestamp, OpenFlags, PathFlags,
};
use super::{Call, Context, Host, answer, functions};
use crate::engine::tree::{Fault, Ino, Stat};
use crate::engine::wasi::errno::Errno;
use crate::engine::wasi::fds::rights::FD_WRITE;
use crate::engine::wasi::path_calls::{CREATE, EXCLUSIVE, FOLDER, TRUNCATE, VISIT_FUEL};
use wasmtime::component::{LinkerInstance, Resource};

type This = Resource<Descriptor>;

pub(super) fn define(types: &mut LinkerInstance<'_, Host>) -> wasmtime::Result<()> {
    functions! { types, answer:
        "[method]descriptor.create-directory-at" = create_directory_at(this: This, path: String);
        "[method]descriptor.stat-at" = stat_at(this: This, follow: PathFlags, path: String);
        "[method]descriptor.metadata-hash-at" =
            metadata_hash_at(this: This, follow: PathFlags, path: String);
        "[method]descriptor.set-times-at" = set_times_at(
            this: This, follow: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp
        );
        "[method]descriptor.link-at" =
            link_at(this: This, follow: PathFlags, from: String, folder: This, to: String);
        "[method]descriptor.open-at" = open_at(
            this: This, follow: PathFlags, path: String, how: OpenFlags, flags: DescriptorFlags
        );
        "[method]descriptor.readlink-at" = readlink_at(this: This, path: String);
        "[method]descriptor.remove-directory-at" = remove_directory_at(this: This, path: String);
        "[method]descriptor.rename-at" =
            rename_at(this: This, from: String, folder: This, to: String);
        "[method]descriptor.symlink-at" = symlink_at(this: This, target: String, path: String);
        "[method]descriptor.unlink-file-at" = unlink_file_at(this: This, path: String);
    }
    Ok(())
}

impl Call<'_> {
    /// The folder behind a descriptor.
    pub(super) fn folder(&mut self, this: &This) -> Result<Ino, Fault> {
        let ino = self.opened(this)?.ino;
        match self.host.tree.stat(ino)?.folder {
            true => Ok(ino),
            false => Err(Errno::Notdir.into()),
        }
    }

    /// The same, with a path that is paid for.
    pub(super) fn start(&mut self, this: &This, path: &str) -> Result<Ino, Fault> {
        // It has come, so it costs, whatever becomes of it.
        self.check_path(path)?;
        self.folder(this)
    }

    /// What is at a path that must exist.
    pub(super) fn at(&mut self, this: &This, path: &str) -> Result<Stat, Fault> {
        let from = self.start(this, path)?;
        let place = self.host.tree.resolve(from, path)?;
        Ok(self.host.tree.stat(place.node.ok_or(Errno::Noent)?)?)
    }

    pub(super) fn create_directory_at(&mut self, this: This, path: String) -> Result<(), Fault> {
        let from = self.start(&this, &path)?;
        let host = &mut *self.host;
        let place = host.tree.resolve(from, &path)?;
        host.tree.create_folder(place, &mut host.meter).map(drop)
    }

    pub(super) fn stat_at(
        &mut self,
        this: This,
        _: PathFlags,
        path: String,
    ) -> Result<DescriptorStat, Fault> {
        Ok(self.at(&this, &path)?.into())
    }

    pub(super) fn metadata_hash_at(
        &mut self,
        this: This,
        _: PathFlags,
        path: String,
    ) -> Result<MetadataHash, Fault> {
        Ok(self.at(&this, &path)?.into())
    }

    pub(super) fn set_times_at(
        &mut self,
        this: This,
        _: PathFlags,
        path: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> Result<(), Fault> {
        Ok(self.at(&this, &path)?.area.check_writable()?)
    }

    pub(super) fn link_at(
        &mut self,
        _: This,
        _: PathFlags,
        from: String,
        _: This,
        to: String,
    ) -> Result<(), Fault> {
        self.pay_path((from.len() + to.len()) as u64)?;
        Err(Errno::Notsup.into())
    }

    pub(super) fn symlink_at(
        &mut self,
        _: This,
        target: String,
        path: String,
    ) -> Result<(), Fault> {
        self.pay_path((target.len() + path.len()) as u64)?;
        Err(Errno::Notsup.into())
    }

    /// Nothing is a link: invalid, if there is something at all.
    pub(super) fn readlink_at(&mut self, this: This, path: String) -> Result<String, Fault> {
        self.at(&this, &path)?;
        Err(Errno::Inval.into())
    }

    pub(super) fn open_at(
        &mut self,
        this: This,
        _: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<This, Fault> {
        let from = self.start(&this, &path)?;
        // Nothing may happen to the tree that the guest then has no descriptor of.
        self.check_room()?;
        let writes = flags.contains(DescriptorFlags::WRITE);
        let base = if writes { FD_WRITE } else { 0 };
        let ino = self.open_node(from, &path, numbers(how), base)?;
        let stat = self.host.tree.stat(ino)?;
        let writes = if stat.folder { stat.area.check_writable().is_ok() } else { writes };
        let reads = stat.folder || flags.contains(DescriptorFlags::READ);
        self.open(Held::Descriptor(Opened { ino, reads, writes }))
    }

    pub(super) fn remove_directory_at(&mut self, this: This, path: String) -> Result<(), Fault> {
        let from = self.start(&this, &path)?;
        let host = &mut *self.host;
        let place = host.tree.resolve(from, &path)?;
        host.tree.remove_folder(place, &mut host.meter)
    }

    pub(super) fn unlink_file_at(&mut self, this: This, path: String) -> Result<(), Fault> {
        let from = self.start(&this, &path)?;
        let host = &mut *self.host;
        let place = host.tree.resolve(from, &path)?;
        host.tree.unlink(place, &mut host.meter)
    }

    pub(super) fn rename_at(
        &mut self,
        this: This,
        from: String,
        folder: This,
        to: String,
    ) -> Result<(), Fault> {
        self.check_path(&from)?;
        self.check_path(&to)?;
        let (from_folder, to_folder) = (self.folder(&this)?, self.folder(&folder)?);
        let host = &mut *self.host;
        let from = host.tree.resolve(from_folder, &from)?;
        let to = host.tree.resolve(to_folder, &to)?;
        let visited = host.tree.rename(from, to, &mut host.meter)?;
        Ok(self.burn(visited as u64 * VISIT_FUEL)?)
    }
}

/// How to open, in preview 1's numbers.
fn numbers(how: OpenFlags) -> u32 {
    [
        (OpenFlags::CREATE, CREATE),
        (OpenFlags::DIRECTORY, FOLDER),
        (OpenFlags::EXCLUSIVE, EXCLUSIVE),
        (OpenFlags::TRUNCATE, TRUNCATE),
    ]
    .into_iter()
    .filter(|(flag, _)| how.contains(*flag))
    .map(|(_, number)| number)
    .sum()
}
