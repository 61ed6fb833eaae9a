//! The simulator: production rules in a world made of one seed, hundreds of times faster than life.
//! `sim` runs whole pools under faults and checks what must never break; `tables` measures what trust
//! costs. Nothing here is in any program that is shipped.

pub mod tables;
