//! The guest's memory, seen from the host: every pointer is checked, nothing is trusted.

use super::Call;
use super::errno::Errno;
use crate::engine::meter::Halt;
use crate::engine::tree::Fault;

/// Buffers of one scattered read or write: `IOV_MAX` of wasi-libc and Linux. More is `EINVAL`.
const BUFFERS_MAX: u32 = 1_024;

/// Bytes one scattered read or write moves; more are moved short, as POSIX allows. Bounds the
/// time between two looks at the deadline, since buffers may overlap and add up to terabytes.
pub(super) const TRANSFER_BYTES_MAX: u32 = 16 * 1_024 * 1_024;

/// Bytes of a path argument: `PATH_MAX` of Linux. More is `ENAMETOOLONG`.
const PATH_ARG_BYTES_MAX: u32 = 4_096;

/// Fuel for every buffer of a scattered read or write.
const BUFFER_FUEL: u64 = 24;

/// Fuel for every byte that a call moves.
const BYTE_FUEL: u64 = 1;

/// Fuel for every byte by which something that is kept grows: clearing it, moving it as it grows,
/// and naming it by its sha256 in the end.
const GROWTH_BYTE_FUEL: u64 = 4;

/// Fuel for every path, beyond its bytes.
const PATH_FUEL: u64 = 300;

/// Fuel for every byte of a path: a look-up of two bytes costs up to a microsecond in a large
/// folder, some thousand instructions at worst and some fifty as a rule.
const PATH_BYTE_FUEL: u64 = 32;

/// A buffer in the guest's memory, not checked yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    pub(super) ptr: u32,
    pub(super) len: u32,
}

impl Call<'_> {
    pub(super) fn burn_bytes(&mut self, bytes: u64) -> Result<(), Halt> {
        self.burn(bytes.saturating_mul(BYTE_FUEL))
    }

    pub(super) fn burn_growth(&mut self, bytes: u64) -> Result<(), Halt> {
        self.burn(bytes.saturating_mul(GROWTH_BYTE_FUEL))
    }

    pub(super) fn read(&self, ptr: u32, len: u32) -> Result<&[u8], Errno> {
        slice(self.memory, ptr, len)
    }

    pub(super) fn read_array<const N: usize>(&self, ptr: u32) -> Result<[u8; N], Errno> {
        let start = ptr as usize;
        let bytes = self.memory.get(start..start + N).ok_or(Errno::Fault)?;
        bytes.try_into().map_err(|_| Errno::Fault)
    }

    pub(super) fn write(&mut self, ptr: u32, bytes: &[u8]) -> Result<(), Errno> {
        let start = ptr as usize;
        let end = start.checked_add(bytes.len()).ok_or(Errno::Fault)?;
        self.memory.get_mut(start..end).ok_or(Errno::Fault)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, ptr: u32, value: u32) -> Result<(), Errno> {
        self.write(ptr, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, ptr: u32, value: u64) -> Result<(), Errno> {
        self.write(ptr, &value.to_le_bytes())
    }

    /// Pays for a path and for finding what is there.
    pub(super) fn pay_path(&mut self, len: u64) -> Result<(), Halt> {
        self.burn(PATH_FUEL.saturating_add(len.saturating_mul(PATH_BYTE_FUEL)))
    }

    /// A path that came as a string, which was taken over before it could be paid for.
    pub(super) fn check_path(&mut self, path: &str) -> Result<(), Fault> {
        self.pay_path(path.len() as u64)?;
        match path.len() > PATH_ARG_BYTES_MAX as usize {
            true => Err(Errno::Nametoolong.into()),
            false => Ok(()),
        }
    }

    /// A path argument, paid for.
    pub(super) fn path(&mut self, ptr: u32, len: u32) -> Result<String, Fault> {
        if len > PATH_ARG_BYTES_MAX {
            return Err(Errno::Nametoolong.into());
        }
        self.pay_path(len.into())?;
        let path = std::str::from_utf8(self.read(ptr, len)?).map_err(|_| Errno::Ilseq)?;
        Ok(path.to_owned())
    }

    /// The buffers of a scattered read or write, each within memory, together at most
    /// [`TRANSFER_BYTES_MAX`]: what is over is left out, the transfer is then a short one.
    pub(super) fn buffers(&mut self, ptr: u32, count: u32) -> Result<Vec<Buffer>, Fault> {
        if count > BUFFERS_MAX {
            return Err(Errno::Inval.into());
        }
        self.burn(u64::from(count) * BUFFER_FUEL)?;
        let list = self.read(ptr, count * 8)?;
        let mut left = TRANSFER_BYTES_MAX;
        let mut buffers = Vec::with_capacity(count as usize);
        for at in list.chunks_exact(8) {
            let [ptr, len] = [0, 4].map(|at_word| word(at, at_word));
            self.read(ptr, len)?;
            let taken = len.min(left);
            left -= taken;
            buffers.push(Buffer { ptr, len: taken });
        }
        Ok(buffers)
    }
}

/// `memory[ptr..ptr + len]`, or `EFAULT`.
pub(super) fn slice(memory: &[u8], ptr: u32, len: u32) -> Result<&[u8], Errno> {
    let start = ptr as usize;
    let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
    memory.get(start..end).ok_or(Errno::Fault)
}

/// `memory[ptr..ptr + len]` to write to, or `EFAULT`.
pub(super) fn slice_mut(memory: &mut [u8], ptr: u32, len: u32) -> Result<&mut [u8], Errno> {
    let start = ptr as usize;
    let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
    memory.get_mut(start..end).ok_or(Errno::Fault)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Bytes in all buffers.
pub(super) fn total(buffers: &[Buffer]) -> u32 {
    buffers.iter().map(|buffer| buffer.len).sum()
}
