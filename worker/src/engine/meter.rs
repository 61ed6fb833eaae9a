//! What a run may use, and the ways a host call can end it.
//!
//! One [`Meter`] counts every byte the guest makes the host keep: linear memory, tables and
//! `/tmp` against the memory limit, standard output and `/out` against the output limit. Going
//! over is not an error that the guest could handle but the end of the run, because the end is
//! the same on every machine. Fuel is not counted here: the guest's machine code does that.

use quorate_common::manifest::FILES_MAX;
use thiserror::Error;
use wasmtime::ResourceLimiter;

use super::tree::Area;

/// What a file or folder in `/tmp` costs beyond its bytes. The node, its name (at most 255
/// bytes, kept twice) and its share of three maps come to some 700 bytes.
pub(super) const NODE_BYTES: u64 = 1_024;

/// What a table element costs: wasmtime keeps a pointer, sometimes with its type.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// Modules of one component that run together: a program and its adapter are four, and one that is linked
/// from libraries has one for each.
pub(super) const INSTANCES_MAX: usize = 64;

/// Memories of them together. Each takes gigabytes of addresses, and one is what a program has.
pub(super) const MEMORIES_MAX: usize = 4;

/// Why a host call ends the run; each but [`Halt::Host`] is an outcome replicas vote on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Halt {
    /// The guest called `proc_exit`.
    #[error("the program exited with code {0}")]
    Exit(i32),
    /// A host call cost more fuel than was left.
    #[error("the fuel is used up")]
    Fuel,
    /// Over the memory limit.
    #[error("the memory limit is reached")]
    Memory,
    /// Over the output limit, or over the number of files.
    #[error("the output limit is reached")]
    Output,
    /// A component broke a rule of the component model, or holds more than it may.
    #[error("the component broke a rule of the component model")]
    Misuse,
    /// This machine failed the guest: no fault of the task, so no vote.
    #[error("this machine could not provide memory that the task is allowed to have")]
    Host,
}

/// Counts of what is used, against limits.
#[derive(Debug)]
pub(crate) struct Meter {
    memory: Count,
    output: Count,
    /// Files and folders in `/out`.
    output_nodes: usize,
}

#[derive(Debug)]
struct Count {
    used: u64,
    max: u64,
}

impl Count {
    fn take(&mut self, bytes: u64, over: Halt) -> Result<(), Halt> {
        let used = self.used.checked_add(bytes).filter(|used| *used <= self.max).ok_or(over)?;
        self.used = used;
        Ok(())
    }

    fn give_back(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }
}

impl Meter {
    pub(crate) fn new(memory_max: u64, output_max: u64) -> Self {
        let memory = Count { used: 0, max: memory_max };
        Self { memory, output: Count { used: 0, max: output_max }, output_nodes: 0 }
    }

    /// Takes `bytes` for standard output.
    pub(crate) fn take_stdout(&mut self, bytes: u64) -> Result<(), Halt> {
        self.output.take(bytes, Halt::Output)
    }

    /// Takes `bytes` for a file. What is never written has no count.
    pub(crate) fn take_bytes(&mut self, area: Area, bytes: u64) -> Result<(), Halt> {
        match area {
            Area::In | Area::Lib => Ok(()),
            Area::Out => self.output.take(bytes, Halt::Output),
            Area::Tmp => self.memory.take(bytes, Halt::Memory),
        }
    }

    pub(crate) fn give_back_bytes(&mut self, area: Area, bytes: u64) {
        match area {
            Area::In | Area::Lib => {}
            Area::Out => self.output.give_back(bytes),
            Area::Tmp => self.memory.give_back(bytes),
        }
    }

    /// Takes what one more file or folder costs.
    pub(crate) fn take_node(&mut self, area: Area) -> Result<(), Halt> {
        match area {
            Area::In | Area::Lib => Ok(()),
            Area::Out if self.output_nodes >= FILES_MAX => Err(Halt::Output),
            Area::Out => {
                self.output_nodes += 1;
                Ok(())
            }
            Area::Tmp => self.memory.take(NODE_BYTES, Halt::Memory),
        }
    }

    pub(crate) fn give_back_node(&mut self, area: Area) {
        match area {
            Area::In | Area::Lib => {}
            Area::Out => self.output_nodes = self.output_nodes.saturating_sub(1),
            Area::Tmp => self.memory.give_back(NODE_BYTES),
        }
    }
}

/// What is used, for tests to compare with what is there.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) memory: u64,
    pub(crate) output: u64,
    pub(crate) output_nodes: usize,
}

#[cfg(test)]
impl Meter {
    pub(crate) fn used(&self) -> Used {
        let (memory, output) = (self.memory.used, self.output.used);
        Used { memory, output, output_nodes: self.output_nodes }
    }
}

/// Growth beyond the module's own maximum fails in the guest, as the specification says. Growth
/// beyond the task's limit ends the run. Growth that only this machine refuses ends it without a
/// vote: otherwise a machine short of memory would take another path than its peers.
impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory.take((desired - current) as u64, Halt::Memory)?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Halt::Host.into())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = (desired - current) as u64;
        self.memory.take(elements.saturating_mul(TABLE_ELEMENT_BYTES), Halt::Memory)?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Halt::Host.into())
    }

    /// A pack is two, its image and its code; of a component's, its form says how many there are.
    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
