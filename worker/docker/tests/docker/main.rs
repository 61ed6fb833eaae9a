//! Containers on real engines: ordinary runs, strange images, hostile programs. `QUORATE_TEST_DOCKER` and
//! `QUORATE_TEST_PODMAN` name their sockets; `deploy/test` starts both. Without them these tests say that they
//! did nothing, and fail where CI runs them.

mod gate;
mod hostile;
mod images;
mod place;
mod runs;
