//! The host's functions called directly, with whatever arguments.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::collection::vec;
use proptest::prelude::*;
use quorate_common::manifest::{Ended, Entry, Manifest};

use super::*;
use crate::engine::tree::{Area, tests};

const MEMORY_BYTES: usize = 4_096;
const LIMIT: u64 = 50_000;

/// Paths that calls are given, each at a multiple of 16 in the guest's memory.
const PATHS: [&str; 10] = ["a", "b", "a/b", "a/a", ".", "..", "b/..", "a/b/c/d", "../a", "/out/a"];

pub(super) fn host() -> Host {
    let inputs = ["a/b", "b"].map(|path| (path.to_owned(), path.repeat(50).into_bytes())).to_vec();
    let mut tree = Tree::new(&[], inputs).unwrap();
    Host {
        memory: None,
        meter: Meter::new(LIMIT, LIMIT),
        fds: Fds::new(&mut tree),
        tree,
        handles: Handles::default(),
        args: vec!["task".into(), "1".into()],
        env: vec!["A=1".into()],
        stdin: b"input".to_vec(),
        stdout: Vec::new(),
        stderr: Tail::default(),
        clock: Clock::new(1_700_000_000),
        random: Random::new([7; 32]),
    }
}

/// Memory with the paths at its beginning and zeros behind.
fn memory() -> Vec<u8> {
    let mut memory = vec![0; MEMORY_BYTES];
    for (n, path) in PATHS.iter().enumerate() {
        memory[16 * n..][..path.len()].copy_from_slice(path.as_bytes());
    }
    memory
}

/// What the meter says is used is what is there.
pub(super) fn check(host: &Host) {
    let (out_bytes, out_nodes) = tests::held(&host.tree, Area::Out);
    let (tmp_bytes, tmp_nodes) = tests::held(&host.tree, Area::Tmp);
    let used = host.meter.used();
    assert_eq!(used.output, host.stdout.len() as u64 + out_bytes);
    assert_eq!(used.output_nodes as u64, out_nodes);
    assert_eq!(used.memory, tmp_bytes + tmp_nodes * crate::engine::meter::NODE_BYTES);
    assert!(used.output <= LIMIT && used.memory <= LIMIT);
    tests::check_shape(&host.tree);
}

/// An argument: descriptors, paths and their lengths, flags, pointers in and out of memory.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..16_u64,
        3 => (0..PATHS.len() as u64).prop_map(|n| n * 16),
        2 => 160..MEMORY_BYTES as u64,
        1 => MEMORY_BYTES as u64 - 9..MEMORY_BYTES as u64 + 9,
        1 => any::<u64>(),
        1 => Just(u64::MAX),
        1 => Just(u64::from(u32::MAX)),
    ]
}

/// Calls that tend to succeed: opening, making, moving and removing by the paths above.
fn likely() -> impl Strategy<Value = (usize, [u64; 9])> {
    let index = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
    let path = (0..PATHS.len()).prop_map(|n| [n as u64 * 16, PATHS[n].len() as u64]);
    let fd = prop_oneof![3..6_u64, 3..12_u64];
    let how = prop_oneof![Just(0), Just(1), Just(9), Just(2), 0..16_u64];
    let open = index("path_open");
    let opened =
        (fd.clone(), path.clone(), how, any::<bool>()).prop_map(move |(fd, path, how, append)| {
            (open, [fd, 0, path[0], path[1], how, u64::MAX, u64::MAX, u64::from(append), 1_000])
        });
    let on_path = ["path_create_directory", "path_unlink_file", "path_remove_directory"].map(index);
    let one = (prop::sample::select(on_path.to_vec()), fd.clone(), path.clone())
        .prop_map(|(call, fd, path)| (call, [fd, path[0], path[1], 0, 0, 0, 0, 0, 0]));
    let rename = index("path_rename");
    let moved = (fd.clone(), path.clone(), fd.clone(), path)
        .prop_map(move |(fd, a, to, b)| (rename, [fd, a[0], a[1], to, b[0], b[1], 0, 0, 0]));
    let on_fd = ["fd_close", "fd_filestat_set_size", "fd_seek", "fd_allocate"].map(index);
    let sized = (prop::sample::select(on_fd.to_vec()), 0..14_u64, 0..30_000_u64)
        .prop_map(|(call, fd, len)| (call, [fd, len, 0, 1_000, 0, 0, 0, 0, 0]));
    // The buffers at 2,000 are set up by the test.
    let on_buffers = ["fd_write", "fd_read"].map(index);
    let transfer = (prop::sample::select(on_buffers.to_vec()), 0..14_u64)
        .prop_map(|(call, fd)| (call, [fd, 2_000, 3, 1_000, 0, 0, 0, 0, 0]));
    let list = index("fd_readdir");
    let listed = (fd, 0..300_u64, 0..20_u64)
        .prop_map(move |(fd, len, cookie)| (list, [fd, 3_000, len, cookie, 1_000, 0, 0, 0, 0]));
    prop_oneof![4 => opened, 3 => one, 2 => moved, 3 => sized, 3 => transfer, 1 => listed]
}

fn any_call() -> impl Strategy<Value = (usize, [u64; 9])> {
    let wild = (0..NAMES.len(), prop::array::uniform9(argument()));
    prop_oneof![2 => likely(), 1 => wild]
}

/// Makes one call with plenty of fuel, checks everything, and says how it went.
fn call(host: &mut Host, memory: &mut [u8], index: usize, args: [u64; 9]) -> (Done, u64) {
    let fuel = 1_000_000;
    let mut call = Call { memory, host, fuel };
    let done = call_by_index(&mut call, index, args);
    let burnt = fuel - call.fuel;
    check(host);
    (done, burnt)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No sequence of calls panics or makes the host hold more than the limits, what is held is
    /// what is counted, the same calls have the same effect, and the end is a valid manifest.
    #[test]
    fn any_calls_are_survived_and_repeatable(calls in vec(any_call(), 1..80)) {
        let (mut host1, mut host2) = (host(), host());
        let (mut memory1, mut memory2) = (memory(), memory());
        for (index, args) in calls {
            for memory in [&mut memory1, &mut memory2] {
                // Three buffers: 100 bytes, none, 2,000 bytes that overlap the first.
                for (n, word) in [100, 100, 0, 0, 60, 2_000].into_iter().enumerate() {
                    memory[2_000 + 4 * n..][..4].copy_from_slice(&u32::to_le_bytes(word));
                }
            }
            let done = call(&mut host1, &mut memory1, index, args);
            prop_assert_eq!(done, call(&mut host2, &mut memory2, index, args));
            prop_assert_eq!(&memory1, &memory2);
            if matches!(done.0, Err(Fault::Halt(_))) {
                break;
            }
        }
        let close = NAMES.iter().position(|name| *name == "fd_close").unwrap();
        for fd in 0..100 {
            let _ = call(&mut host1, &mut memory1, close, [fd, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        prop_assert_eq!(tests::nameless(&host1.tree), 0);
        let results = host1.tree.into_results();
        prop_assert_eq!(&results, &host2.tree.into_results());
        let files = results.into_iter().map(|(path, bytes)| (path, Entry::of(&bytes))).collect();
        let manifest = Manifest { ended: Ended::Fuel, fuel: 0, stdout: None, files };
        prop_assert_eq!(Manifest::parse(manifest.encode().as_bytes()), Ok(manifest));
    }

    /// A call without fuel for it does nothing.
    #[test]
    fn a_call_that_cannot_be_paid_leaves_no_trace((index, args) in likely(), fuel in 0..300_u64) {
        let mut host = host();
        let mut memory = memory();
        for (n, word) in [100, 100, 0, 0, 60, 2_000].into_iter().enumerate() {
            memory[2_000 + 4 * n..][..4].copy_from_slice(&u32::to_le_bytes(word));
        }
        let mut call = Call { memory: &mut memory, host: &mut host, fuel };
        if call_by_index(&mut call, index, args) == Err(Fault::Halt(Halt::Fuel)) {
            prop_assert_eq!(call.fuel, 0);
            prop_assert_eq!(host.stdout.len(), 0);
            prop_assert_eq!(tests::held(&host.tree, Area::Out), (0, 0));
            prop_assert_eq!(tests::held(&host.tree, Area::Tmp), (0, 0));
        }
    }
}

#[test]
fn random_bytes_are_the_stream_that_is_written_down() {
    use sha2::{Digest as _, Sha256};
    let mut stream = Vec::new();
    for block in 0_u64..4 {
        let input = [&b"quorate-random/1"[..], &[7; 32], &block.to_le_bytes()].concat();
        stream.extend_from_slice(&Sha256::digest(input));
    }
    // In pieces of any size.
    let mut random = Random::new([7; 32]);
    let mut bytes = [0; 128];
    for piece in [0..1, 1..33, 33..34, 34..128] {
        random.fill(&mut bytes[piece]);
    }
    assert_eq!(bytes[..], stream);
}

/// Lays out subscriptions, polls, and returns the events as (userdata, errno, type, bytes).
fn poll(host: &mut Host, subscriptions: &[[u64; 6]]) -> Vec<(u64, u16, u8, u64)> {
    let mut memory = vec![0; MEMORY_BYTES];
    for (n, word) in subscriptions.iter().flatten().enumerate() {
        memory[8 * n..][..8].copy_from_slice(&word.to_le_bytes());
    }
    let count = subscriptions.len() as u32;
    let mut call = Call { memory: &mut memory, host, fuel: 1_000_000 };
    call.poll_oneoff(0, 2_000, count, 4_000).unwrap();
    let word = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().unwrap());
    let ready = word(4_000) as usize;
    let event = |at: usize| (word(at), word(at + 8) as u16, memory[at + 10], word(at + 16));
    (0..ready).map(|n| event(2_000 + 32 * n)).collect()
}

#[test]
fn sleeping_moves_the_clock_to_the_first_time_that_is_waited_for() {
    let mut host = host();
    // userdata, type, clock, timeout, precision, flags
    let relative = |userdata, ns| [userdata, 0, 1, ns, 0, 0];
    let absolute = |userdata, clock, ns| [userdata, 0, clock, ns, 0, 1];
    assert_eq!(poll(&mut host, &[relative(8, 5_000_000), relative(9, 3_000_000)]), [(9, 0, 0, 0)]);
    assert_eq!(host.clock.monotonic_ns(), 5_000_000, "one look, three milliseconds, one look");
    // Wall time is given from 1970 on.
    let noon = 1_700_000_000_000_000_000 + 10_000_000;
    assert_eq!(poll(&mut host, &[absolute(7, 0, noon)]), [(7, 0, 0, 0)]);
    assert_eq!(host.clock.monotonic_ns(), 11_000_000);
    // What is past is due at once, and so is the end of time, without overflow.
    assert_eq!(poll(&mut host, &[absolute(6, 1, 0)]), [(6, 0, 0, 0)]);
    assert_eq!(poll(&mut host, &[relative(5, u64::MAX)]), [(5, 0, 0, 0)]);
    assert_eq!(host.clock.monotonic_ns(), u64::MAX);
}

#[test]
fn files_and_streams_are_always_ready_so_nobody_sleeps() {
    let mut host = host();
    let (read, write) = (|fd| [fd, 1, fd, 0, 0, 0], |fd| [fd, 2, fd, 0, 0, 0]);
    let hour = [99, 0, 1, 3_600_000_000_000, 0, 0];
    let events = poll(&mut host, &[hour, read(0), write(1), read(77), [98, 0, 9, 0, 0, 0]]);
    assert_eq!(events, [(0, 0, 1, 5), (1, 0, 2, u64::MAX), (77, 8, 1, 0), (98, 28, 0, 0)]);
    assert_eq!(host.clock.monotonic_ns(), 2_000_000);
}

#[test]
fn the_import_set_is_complete() {
    // The functions of wasi_snapshot_preview1, from its specification; proc_exit is apart.
    assert_eq!(NAMES.len() + 1, 46);
    assert!(offers("proc_exit") && offers("sock_accept") && !offers("fd_steal"));
}
