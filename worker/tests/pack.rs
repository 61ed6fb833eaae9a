//! The Python runtime pack from outside: scripts run, and come to the same bytes and fuel each time.
//!
//! The pack is made by `deploy/packs/python/build` and is not part of the repository: `QUORATE_PYTHON_PACK`
//! names its folder, and without it the tests say so and end. Compiled code and warm images are kept
//! in the folder `QUORATE_PACK_CACHE` names, if it names one: compiling takes minutes of all cores.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "pack/python.rs"]
mod python;

use python::Python;
use quorate_common::manifest::Ended;
use quorate_worker::engine::Cancel;
use std::time::{Duration, Instant};

/// Which start of a task is fast enough, once its imports are warm.
const START_MAX: Duration = Duration::from_millis(300);

#[test]
fn a_script_sees_its_arguments_its_input_and_where_to_write() {
    let Some(python) = Python::find(&[]) else { return };
    let script = "
import sys, os
print(sys.argv, sys.stdin.read(), open('/in/data.txt').read())
open('/out/result.txt', 'w').write('done')
print(sorted(os.environ.items()))
exit(3)
";
    let mut job = python.job(script, &["a", "b c"]);
    job.stdin = b"from stdin".to_vec();
    job.inputs.push(("data.txt".into(), b"from a file".to_vec()));
    let run = python.run(job);
    let said = python::stdout(&run);
    let expected = "['/in/script.py', 'a', 'b c'] from stdin from a file\n\
                    [('HOME', '/tmp'), ('PYTHONTZPATH', ''), ('TMPDIR', '/tmp')]\n";
    assert_eq!((said.as_str(), run.manifest.ended), (expected, Ended::Exit(3)), "{}", run.stderr_tail);
    assert_eq!(run.manifest.files[0].0, "result.txt");
}

#[test]
fn numpy_computes_the_same_bytes_and_fuel_each_time() {
    let Some(python) = Python::find(&["numpy"]) else { return };
    let script = "
import numpy, random, time, os
a = numpy.random.default_rng(1).normal(size=(64, 64))
print(numpy.linalg.svd(a)[1].tobytes().hex()[:64])
print(numpy.random.rand(), random.random(), os.urandom(4).hex(), hash('x'), time.time())
print({'b', 'a', 'c'}, id(object()))
";
    let first = python.run(python.job(script, &[]));
    assert_eq!(first.manifest.ended, Ended::Exit(0), "{}", first.stderr_tail);
    let again = python.run(python.job(script, &[]));
    assert_eq!((&first.manifest, &first.blobs), (&again.manifest, &again.blobs));
    let mut other = python.job(script, &[]);
    other.seed = [8; 32];
    let other = python::stdout(&python.run(other));
    let first = python::stdout(&first);
    eprintln!("{first}{other}");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&first)[0], lines(&other)[0], "a seeded generator is the script's own");
    assert_ne!(lines(&first)[1], lines(&other)[1], "the rest is the task's");
}

#[test]
fn what_goes_wrong_in_a_script_is_a_result() {
    let Some(python) = Python::find(&["numpy"]) else { return };
    let ends = |script: &str| {
        let run = python.run(python.job(script, &[]));
        let again = python.run(python.job(script, &[]));
        assert_eq!(run.manifest, again.manifest, "{script}");
        (run.manifest.ended, run.stderr_tail)
    };
    let (ended, said) = ends("import torch");
    assert_eq!(ended, Ended::Exit(1));
    assert!(said.contains("No module named 'torch'"), "{said}");
    assert_eq!(ends("raise SystemExit(7)").0, Ended::Exit(7));
    assert_eq!(ends("import os; os._exit(9)").0, Ended::Exit(9));
    assert_eq!(ends("while True: pass").0, Ended::Fuel);
    assert_eq!(ends("x = [bytearray(1 << 24) for _ in range(1 << 10)]").0, Ended::Memory);
    let (ended, said) = ends("def f(n): return f(n + 1)\nf(0)");
    assert_eq!(ended, Ended::Exit(1));
    assert!(said.contains("RecursionError"), "{said}");
    // What C++ throws is caught, or becomes a Python exception.
    let (ended, said) = ends("import numpy\nnumpy.empty(1 << 40)");
    assert_eq!(ended, Ended::Exit(1));
    assert!(said.contains("Error"), "{said}");
}

#[test]
fn a_warm_start_is_fast() {
    for with in [&["numpy"][..], &["numpy", "sklearn.svm"]] {
        let Some(python) = Python::find(with) else { return };
        let imports: String = with.iter().map(|name| format!("import {name}\n")).collect();
        let cold = Python::find(&[]).unwrap();
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            let run = python.module().run(python.job(&imports, &[]), &Cancel::new()).unwrap();
            assert_eq!(run.manifest.ended, Ended::Exit(0), "{}", run.stderr_tail);
            best = best.min(start.elapsed());
        }
        let start = Instant::now();
        let run = cold.run(cold.job(&imports, &[]));
        assert_eq!(run.manifest.ended, Ended::Exit(0), "{}", run.stderr_tail);
        eprintln!("{with:?}: {best:?} warm, {:?} without", start.elapsed());
        assert!(best < START_MAX, "{with:?} took {best:?}, expected at most {START_MAX:?}");
    }
}
