//! `wasi:clocks`: the made-up clock of preview 1, in preview 2's units.

use super::held::{Held, Pollable, When};
use super::types::Datetime;
use super::{Call, Context, Host, functions, give, interface};
use crate::engine::meter::Halt;
use crate::engine::wasi::clock::{NS_PER_S, STEP_NS};
use wasmtime::component::{Linker, Resource};

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    functions! { interface(linker, "clocks/monotonic-clock")?, give:
        "now" = monotonic_now();
        "resolution" = monotonic_resolution();
        "subscribe-instant" = subscribe_instant(when: u64);
        "subscribe-duration" = subscribe_duration(ns: u64);
    }
    functions! { interface(linker, "clocks/wall-clock")?, give:
        "now" = wall_now();
        "resolution" = wall_resolution();
    }
    Ok(())
}

impl Call<'_> {
    fn monotonic_now(&mut self) -> Result<u64, Halt> {
        Ok(self.host.clock.monotonic_ns())
    }

    fn monotonic_resolution(&mut self) -> Result<u64, Halt> {
        Ok(STEP_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Pollable>, Halt> {
        self.hold(Held::Pollable(When::At(when)))
    }

    /// Counted from the next look at the clock, which polling takes: as in preview 1, where both are one call.
    fn subscribe_duration(&mut self, ns: u64) -> Result<Resource<Pollable>, Halt> {
        let next = self.host.clock.elapsed_ns().saturating_add(STEP_NS);
        self.hold(Held::Pollable(When::At(next.saturating_add(ns))))
    }

    fn wall_now(&mut self) -> Result<Datetime, Halt> {
        Ok(datetime(self.host.clock.wall_ns()))
    }

    fn wall_resolution(&mut self) -> Result<Datetime, Halt> {
        Ok(datetime(STEP_NS))
    }
}

fn datetime(ns: u64) -> Datetime {
    Datetime { seconds: ns / NS_PER_S, nanoseconds: (ns % NS_PER_S) as u32 }
}
