//! Registries: a real one, and such as mean harm.

#[path = "../support/registry.rs"]
mod real;

mod honest;
mod hostile;
mod strange;
