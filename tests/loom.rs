//! Goal: what several threads and interrupt handlers touch without the lock is right in every order of their steps,
//! and with every value that the memory model lets a load see (d7, R67). Method: loom runs each of these small
//! programs - at most three threads of about four calls - again and again until it has seen all orders with at most
//! four preemptions. The code is that of the library; only its atomics are loom's (`src/atomic.rs`).
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom --target-dir target/loom`; without that flag this file is
//! empty. `CLONE_GROUP_PREEMPTIONS` asks for another bound. A failure prints the assertion; loom's own variables
//! (`LOOM_CHECKPOINT_FILE`, `LOOM_LOG`) replay and trace it.

#![cfg(loom)]

#[path = "loom/completions.rs"]
mod completions;
#[path = "loom/explore.rs"]
mod explore;
#[path = "loom/extent_map.rs"]
mod extent_map;
#[path = "loom/turn.rs"]
mod turn;
#[path = "loom/votes.rs"]
mod votes;
