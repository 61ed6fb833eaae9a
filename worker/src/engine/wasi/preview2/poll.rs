//! `wasi:io/poll`: nobody waits. Files and streams are always ready; waiting for a time moves the clock to it.

use super::held::{Held, Pollable, When};
use super::{Call, Context, Host, act, functions, give, interface, resource};
use crate::engine::meter::Halt;
use wasmtime::component::{Linker, Resource, WasmList};

/// Things that one call polls, as in preview 1. None, or more, breaks the interface's rules.
const POLLED_MAX: usize = 1_024;

/// Fuel for each of them.
const POLLED_FUEL: u64 = 80;

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut poll = interface(linker, "io/poll")?;
    resource::<Pollable>(&mut poll, "pollable")?;
    functions! { poll, give:
        "[method]pollable.ready" = pollable_ready(this: Resource<Pollable>);
    }
    functions! { poll, act:
        "[method]pollable.block" = pollable_block(this: Resource<Pollable>);
    }
    poll.func_wrap("poll", |mut context, (list,): (WasmList<Resource<Pollable>>,)| {
        let whens = whens(&mut context, &list)?;
        give(&mut context, |call| Ok(call.wait(&whens)))
    })
}

/// What the guest waits for, paid for before it is looked at.
fn whens(
    context: &mut Context<'_>,
    list: &WasmList<Resource<Pollable>>,
) -> wasmtime::Result<Vec<When>> {
    if list.len() == 0 || list.len() > POLLED_MAX {
        return Err(Halt::Misuse.into());
    }
    give(context, |call| call.burn(list.len() as u64 * POLLED_FUEL))?;
    let polled = list.iter(&mut *context)?.collect::<wasmtime::Result<Vec<_>>>()?;
    let fuel = context.get_fuel()?;
    let mut call = Call { memory: &mut [], host: context.data_mut(), fuel };
    Ok(polled.iter().map(|this| call.when(this)).collect::<Result<_, _>>()?)
}

impl Call<'_> {
    fn when(&mut self, this: &Resource<Pollable>) -> Result<When, Halt> {
        let held = *self.held(this)?;
        let Held::Pollable(when) = held else { return Err(held.strange()) };
        Ok(when)
    }

    fn pollable_ready(&mut self, this: Resource<Pollable>) -> Result<bool, Halt> {
        let now = self.host.clock.monotonic_ns();
        Ok(self.when(&this)?.is_ready(now))
    }

    fn pollable_block(&mut self, this: Resource<Pollable>) -> Result<(), Halt> {
        let when = self.when(&this)?;
        self.wait(&[when]);
        Ok(())
    }

    /// Looks at the clock, moves it to the first time that is waited for if nothing is ready before, and
    /// returns what is ready then.
    fn wait(&mut self, whens: &[When]) -> Vec<u32> {
        let clock = &mut self.host.clock;
        let now = clock.monotonic_ns();
        let first = whens.iter().map(|when| when.due(now)).min().unwrap_or(now);
        clock.advance(first.saturating_sub(now));
        let ready = (0..).zip(whens).filter(|(_, when)| when.is_ready(first.max(now)));
        ready.map(|(index, _)| index).collect()
    }
}

impl When {
    fn due(self, now: u64) -> u64 {
        match self {
            Self::Always => now,
            Self::At(due) => due,
        }
    }

    fn is_ready(self, now: u64) -> bool {
        self.due(now) <= now
    }
}
