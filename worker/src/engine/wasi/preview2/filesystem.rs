//! `wasi:filesystem`: descriptors of files and folders. What is done by a path is in [`super::paths`].

use super::held::{
    Descriptor, DirectoryEntryStream, Held, InputStream, IoError, Opened, OutputStream, Sink,
    Source,
};
use super::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
    MetadataHash, NewTimestamp,
};
use super::{
    CALL_BYTES_MAX, Call, Context, Host, answer, bytes, functions, give, interface, resource,
};
use crate::engine::meter::Halt;
use crate::engine::tree::{Area, Fault, Ino};
use crate::engine::wasi::errno::Errno;
use crate::engine::wasi::fd_calls::ENTRY_FUEL;
use wasmtime::component::{Linker, LinkerInstance, Resource, WasmList};

type This = Resource<Descriptor>;
type Listing = Resource<DirectoryEntryStream>;

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    functions! { interface(linker, "filesystem/preopens")?, give:
        "get-directories" = roots();
    }
    let mut types = interface(linker, "filesystem/types")?;
    resource::<Descriptor>(&mut types, "descriptor")?;
    resource::<DirectoryEntryStream>(&mut types, "directory-entry-stream")?;
    define_descriptor(&mut types)?;
    super::paths::define(&mut types)
}

fn define_descriptor(types: &mut LinkerInstance<'_, Host>) -> wasmtime::Result<()> {
    functions! { types, give:
        "filesystem-error-code" = error_code(error: Resource<IoError>);
        "[method]descriptor.is-same-object" = is_same(this: This, other: This);
    }
    functions! { types, answer:
        "[method]descriptor.read-via-stream" = reader(this: This, at: u64);
        "[method]descriptor.write-via-stream" = writer(this: This, at: u64);
        "[method]descriptor.append-via-stream" = appender(this: This);
        "[method]descriptor.advise" = advise(this: This, at: u64, len: u64, advice: Advice);
        "[method]descriptor.sync-data" = sync(this: This);
        "[method]descriptor.sync" = sync(this: This);
        "[method]descriptor.get-flags" = flags(this: This);
        "[method]descriptor.get-type" = kind(this: This);
        "[method]descriptor.set-size" = set_size(this: This, len: u64);
        "[method]descriptor.set-times" =
            set_times(this: This, accessed: NewTimestamp, modified: NewTimestamp);
        "[method]descriptor.read" = read_at(this: This, len: u64, at: u64);
        "[method]descriptor.read-directory" = listing(this: This);
        "[method]descriptor.stat" = stat(this: This);
        "[method]descriptor.metadata-hash" = metadata_hash(this: This);
        "[method]directory-entry-stream.read-directory-entry" = entry(this: Listing);
    }
    type Params = (This, WasmList<u8>, u64);
    types.func_wrap("[method]descriptor.write", |mut context, (this, list, at): Params| {
        let contents = bytes(&mut context, &list)?;
        answer(&mut context, |call| call.write_at(&this, &contents, at))
    })
}

impl Call<'_> {
    pub(super) fn roots(&mut self) -> Result<Vec<(This, String)>, Halt> {
        let root = |call: &mut Self, area: Area| {
            let writes = area.check_writable().is_ok();
            let opened = Opened { ino: area.root(), reads: true, writes };
            Ok((call.hold(Held::Descriptor(opened))?, area.mount().to_owned()))
        };
        Area::ALL.into_iter().map(|area| root(self, area)).collect()
    }

    pub(super) fn error_code(
        &mut self,
        error: Resource<IoError>,
    ) -> Result<Option<ErrorCode>, Halt> {
        Ok(Some(self.errno(&error)?.into()))
    }

    pub(super) fn is_same(&mut self, this: This, other: This) -> Result<bool, Halt> {
        Ok(self.opened(&this)?.ino == self.opened(&other)?.ino)
    }

    /// The file behind a descriptor.
    pub(super) fn file(&mut self, this: &This) -> Result<Opened, Fault> {
        let opened = self.opened(this)?;
        match self.host.tree.stat(opened.ino)?.folder {
            true => Err(Errno::Isdir.into()),
            false => Ok(opened),
        }
    }

    pub(super) fn read_file_of(&mut self, this: &This) -> Result<Ino, Fault> {
        let file = self.file(this)?;
        if file.reads { Ok(file.ino) } else { Err(Errno::Badf.into()) }
    }

    pub(super) fn written_file_of(&mut self, this: &This) -> Result<Ino, Fault> {
        let file = self.file(this)?;
        if file.writes { Ok(file.ino) } else { Err(Errno::Badf.into()) }
    }

    pub(super) fn reader(&mut self, this: This, at: u64) -> Result<Resource<InputStream>, Fault> {
        let ino = self.read_file_of(&this)?;
        self.open(Held::Input(Source::File { ino, at }))
    }

    pub(super) fn writer(&mut self, this: This, at: u64) -> Result<Resource<OutputStream>, Fault> {
        let ino = self.written_file_of(&this)?;
        self.open(Held::Output(Sink::File { ino, at }))
    }

    pub(super) fn appender(&mut self, this: This) -> Result<Resource<OutputStream>, Fault> {
        let ino = self.written_file_of(&this)?;
        self.open(Held::Output(Sink::End { ino }))
    }

    pub(super) fn advise(
        &mut self,
        this: This,
        _at: u64,
        _len: u64,
        _: Advice,
    ) -> Result<(), Fault> {
        self.file(&this).map(drop)
    }

    pub(super) fn sync(&mut self, _: This) -> Result<(), Fault> {
        Ok(())
    }

    pub(super) fn flags(&mut self, this: This) -> Result<DescriptorFlags, Fault> {
        let opened = self.opened(&this)?;
        let folder = self.host.tree.stat(opened.ino)?.folder;
        let writing = match folder {
            true => DescriptorFlags::MUTATE_DIRECTORY,
            false => DescriptorFlags::WRITE,
        };
        let mut flags = DescriptorFlags::empty();
        if opened.reads {
            flags |= DescriptorFlags::READ;
        }
        if opened.writes {
            flags |= writing;
        }
        Ok(flags)
    }

    pub(super) fn kind(&mut self, this: This) -> Result<DescriptorType, Fault> {
        let ino = self.opened(&this)?.ino;
        Ok(DescriptorType::of(self.host.tree.stat(ino)?.folder))
    }

    pub(super) fn set_size(&mut self, this: This, len: u64) -> Result<(), Fault> {
        let ino = self.written_file_of(&this)?;
        self.grow(ino, len)?;
        let host = &mut *self.host;
        host.tree.resize(ino, len, &mut host.meter)
    }

    /// Succeeds and changes nothing, as in preview 1.
    pub(super) fn set_times(
        &mut self,
        _: This,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// The bytes, and whether the file ends behind them.
    pub(super) fn read_at(
        &mut self,
        this: This,
        len: u64,
        at: u64,
    ) -> Result<(Vec<u8>, bool), Fault> {
        let ino = self.read_file_of(&this)?;
        let left = self.host.tree.stat(ino)?.len.saturating_sub(at);
        let len = left.min(len).min(CALL_BYTES_MAX as u64);
        self.burn_bytes(len)?;
        let bytes = self.host.tree.bytes(ino)?;
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok((bytes[start..start + len as usize].to_vec(), len == left))
    }

    pub(super) fn write_at(&mut self, this: &This, bytes: &[u8], at: u64) -> Result<u64, Fault> {
        let ino = self.written_file_of(this)?;
        self.put(ino, at, bytes)?;
        Ok(bytes.len() as u64)
    }

    pub(super) fn listing(&mut self, this: This) -> Result<Listing, Fault> {
        let ino = self.opened(&this)?.ino;
        self.host.tree.list(ino, 0).map(drop)?;
        self.open(Held::Listing { ino, next: 0 })
    }

    pub(super) fn entry(&mut self, this: Listing) -> Result<Option<DirectoryEntry>, Fault> {
        let held = *self.held(&this)?;
        let Held::Listing { ino, next } = held else { return Err(held.strange().into()) };
        self.burn(ENTRY_FUEL)?;
        let Some((child, name, folder)) = self.host.tree.list(ino, next)?.next() else {
            return Ok(None);
        };
        let entry = DirectoryEntry { kind: DescriptorType::of(folder), name: name.to_owned() };
        self.burn_bytes(entry.name.len() as u64)?;
        *self.held(&this)? = Held::Listing { ino, next: child + 1 };
        Ok(Some(entry))
    }

    pub(super) fn stat(&mut self, this: This) -> Result<DescriptorStat, Fault> {
        let ino = self.opened(&this)?.ino;
        Ok(self.host.tree.stat(ino)?.into())
    }

    pub(super) fn metadata_hash(&mut self, this: This) -> Result<MetadataHash, Fault> {
        let ino = self.opened(&this)?.ino;
        Ok(self.host.tree.stat(ino)?.into())
    }
}
