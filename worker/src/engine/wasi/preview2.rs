//! WASI preview 2 (0.2.x): what a component imports, over the same tree, clock, randomness and meter as preview 1.
//!
//! A function here is a method of [`Call`] as preview 1's are, without a memory: wasmtime carries what components
//! pass, by their types. It burns [`CALL_FUEL`] and then for what it moves. What a component holds of the host
//! stands in [`held`], and there is room for so much. Sockets are refused, as in preview 1, and nothing waits.
//!
//! Absent: `wasi:http` and interfaces that are not stable (`wasi:clocks/timezone`, `exit-with-code`).

mod cli;
mod clocks;
mod filesystem;
pub(crate) mod held;
mod io;
mod paths;
mod poll;
mod random;
mod sockets;
mod types;

use wasmtime::component::{Linker, LinkerInstance, ResourceType, WasmList};
use wasmtime::{AsContext as _, StoreContextMut};

use self::types::ErrorCode;
use super::guest::TRANSFER_BYTES_MAX;
use super::{CALL_FUEL, Call, Host};
use crate::engine::meter::Halt;
use crate::engine::tree::Fault;

/// Bytes that a component hands over in one call; more is [`Halt::Misuse`]. Bounds the time between two
/// looks at the deadline, as in preview 1.
pub(crate) const CALL_BYTES_MAX: usize = TRANSFER_BYTES_MAX as usize;

/// The interfaces that are offered, without release.
const INTERFACES: [&str; 27] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// The guest's state in the middle of a call.
type Context<'a> = StoreContextMut<'a, Host>;

/// Whether a component may import an interface of this name, whatever release of 0.2 it was made for.
pub(crate) fn offers(name: &str) -> bool {
    let interface = name.strip_prefix("wasi:").and_then(|rest| rest.split_once("@0.2."));
    interface.is_some_and(|(interface, patch)| {
        let released = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
        released && INTERFACES.contains(&interface)
    })
}

/// Defines preview 2 in `linker`.
///
/// # Errors
/// Only if a name is defined twice.
pub(crate) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    cli::define(linker)?;
    clocks::define(linker)?;
    filesystem::define(linker)?;
    io::define(linker)?;
    poll::define(linker)?;
    random::define(linker)?;
    sockets::define(linker)
}

/// An interface to define functions in. The linker takes it for every release of 0.2.
fn interface<'l>(
    linker: &'l mut Linker<Host>,
    name: &str,
) -> wasmtime::Result<LinkerInstance<'l, Host>> {
    linker.instance(&format!("wasi:{name}@0.2.0"))
}

/// Runs one function of the host that cannot fail in the guest.
fn give<R>(
    context: &mut Context<'_>,
    function: impl FnOnce(&mut Call<'_>) -> Result<R, Halt>,
) -> wasmtime::Result<(R,)> {
    let fuel = context.get_fuel()?;
    let mut call = Call { memory: &mut [], host: context.data_mut(), fuel };
    let done = call.burn(CALL_FUEL).and_then(|()| function(&mut call));
    let fuel = call.fuel;
    context.set_fuel(fuel)?;
    Ok((done?,))
}

/// The same for a function without a result.
fn act(
    context: &mut Context<'_>,
    function: impl FnOnce(&mut Call<'_>) -> Result<(), Halt>,
) -> wasmtime::Result<()> {
    let ((),) = give(context, function)?;
    Ok(())
}

/// Runs one function of the host that the guest is told the error code of.
fn answer<R>(
    context: &mut Context<'_>,
    function: impl FnOnce(&mut Call<'_>) -> Result<R, Fault>,
) -> wasmtime::Result<(Result<R, ErrorCode>,)> {
    give(context, |call| match function(call) {
        Ok(done) => Ok(Ok(done)),
        Err(Fault::Errno(errno)) => Ok(Err(errno.into())),
        Err(Fault::Halt(halt)) => Err(halt),
    })
}

/// The bytes of a list, paid for before they are copied.
fn bytes(context: &mut Context<'_>, list: &WasmList<u8>) -> wasmtime::Result<Vec<u8>> {
    let left = context.get_fuel()?.checked_sub(list.len() as u64);
    context.set_fuel(left.unwrap_or(0))?;
    left.ok_or(Halt::Fuel)?;
    Ok(list.as_le_slice(context.as_context()).to_vec())
}

/// Defines functions in an interface: each is a method of [`Call`] and is run by `$by`.
macro_rules! functions {
    ($linker:expr, $by:ident: $($name:literal = $method:ident($($arg:ident: $type:ty),*);)*) => {
        $($linker.func_wrap($name, |mut context: Context<'_>, ($($arg,)*): ($($type,)*)| {
            $by(&mut context, |call| call.$method($($arg),*))
        })?;)*
    };
}
use functions;

/// Ties a resource of an interface to its kind here; dropping it frees its place.
fn resource<T: 'static>(
    interface: &mut LinkerInstance<'_, Host>,
    name: &str,
) -> wasmtime::Result<()> {
    interface.resource(name, ResourceType::host::<T>(), |mut context, rep| {
        act(&mut context, |call| call.let_go(rep))
    })
}

#[cfg(test)]
mod tests;
