//! The error numbers of WASI preview 1 that this host returns, as its specification counts them.

/// Why a host call did not do what was asked; the guest sees the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    Badf = 8,
    Busy = 10,
    Exist = 20,
    Fault = 21,
    Fbig = 22,
    Ilseq = 25,
    Inval = 28,
    Io = 29,
    Isdir = 31,
    Mfile = 33,
    Nametoolong = 37,
    Noent = 44,
    Notdir = 54,
    Notempty = 55,
    Notsup = 58,
    Overflow = 61,
    Rofs = 69,
    Spipe = 70,
    Xdev = 75,
    Notcapable = 76,
}
