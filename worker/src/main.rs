//! `quorate-worker`: the volunteer's program. Everything is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lean();
    ExitCode::from(quorate_worker::cli::main())
}

/// Has the kernel give memory by the page. By 2 MiB, as the allocator asks for, an idle worker has twice of what
/// it uses.
fn lean() {
    // Where the kernel has no such pages there is nothing to refuse.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
