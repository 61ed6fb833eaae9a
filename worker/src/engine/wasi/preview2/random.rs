//! `wasi:random`: the task's one stream of bytes, secure or not.

use super::{Call, Context, Host, functions, give, interface};
use crate::engine::meter::Halt;
use crate::engine::wasi::misc_calls::{RANDOM_BYTE_FUEL, RANDOM_BYTES_MAX};
use wasmtime::component::Linker;

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    functions! { interface(linker, "random/random")?, give:
        "get-random-bytes" = random_bytes(len: u64);
        "get-random-u64" = random_u64();
    }
    functions! { interface(linker, "random/insecure")?, give:
        "get-insecure-random-bytes" = random_bytes(len: u64);
        "get-insecure-random-u64" = random_u64();
    }
    functions! { interface(linker, "random/insecure-seed")?, give:
        "insecure-seed" = random_pair();
    }
    Ok(())
}

impl Call<'_> {
    /// More than preview 1 gives at once has no error to be answered with.
    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>, Halt> {
        if len > u64::from(RANDOM_BYTES_MAX) {
            return Err(Halt::Misuse);
        }
        self.burn(len * RANDOM_BYTE_FUEL)?;
        let mut bytes = vec![0; len as usize];
        self.host.random.fill(&mut bytes);
        Ok(bytes)
    }

    fn random_u64(&mut self) -> Result<u64, Halt> {
        let mut bytes = [0; 8];
        self.burn(bytes.len() as u64 * RANDOM_BYTE_FUEL)?;
        self.host.random.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn random_pair(&mut self) -> Result<(u64, u64), Halt> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}
