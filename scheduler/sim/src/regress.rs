//! Seeds that found something once: they run for ever.
