//! Random simulation of a whole array: hosts, synchronizations, fractures, Protected Restores and the ways out of them,
//! Reverse Synchronizations, Verify, sets of groups, power losses, closes, formats and Recovery, in an order that a seed decides.
//! Hosts are checked against a model of what they may see, their reads for linearizability, every I/O when it is submitted.
//!
//! Replay one seed: `CLONE_GROUP_SEED=17 cargo test --test simulation`. More seeds: `CLONE_GROUP_SEEDS=20000`, with
//! `--release`; `CLONE_GROUP_PROGRESS=1` shows how far it is.

mod common;
#[path = "simulation/damage.rs"]
mod damage;
#[path = "simulation/doubt.rs"]
mod doubt;
#[path = "simulation/hang.rs"]
mod hang;
#[path = "simulation/heal.rs"]
mod heal;
#[path = "simulation/lasting.rs"]
mod lasting;
#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/log.rs"]
mod log;
#[path = "simulation/operator.rs"]
mod operator;
#[path = "simulation/outlast.rs"]
mod outlast;
#[path = "simulation/prepared.rs"]
mod prepared;
#[path = "simulation/pressure.rs"]
mod pressure;
#[path = "simulation/progress.rs"]
mod progress;
#[path = "simulation/restart.rs"]
mod restart;
#[path = "simulation/rot.rs"]
mod rot;
#[path = "simulation/sets.rs"]
mod sets;
#[path = "simulation/swarm.rs"]
mod swarm;

use common::seeds::{Summary, attempt, run, seeds};
use life::{Life, Mode};
use progress::Progress;
use sets::Sets;

fn live(seed: u64, mode: Mode) -> Summary {
    Life::begin(seed, mode).run(mode)
}

/// Debug builds run a few, so that `cargo test` stays short; optimized ones 25,000 in all.
fn some(debug: u64, optimized: u64) -> std::ops::Range<u64> {
    seeds(if cfg!(debug_assertions) { debug } else { optimized })
}

/// Hosts, operations and power losses in random order lose nothing and end.
#[test]
fn random_lives_without_faults() {
    run("cargo test --test simulation random_lives_without_faults", some(100, 7000), |seed| {
        live(seed, Mode::NoFaults)
    });
}

/// The same with I/Os and metadata writes that fail at any time.
#[test]
fn random_lives_with_faults() {
    run("cargo test --test simulation random_lives_with_faults", some(100, 7000), |seed| {
        live(seed, Mode::Safety)
    });
}

/// Faults stop, hosts do not: every request, operation and copy ends within a bound.
#[test]
fn random_lives_that_must_end() {
    run("cargo test --test simulation random_lives_that_must_end", some(60, 4000), |seed| {
        live(seed, Mode::Liveness)
    });
}

/// The medium of the metadata suffers at power losses: what cannot be known counts as different, or is refused.
#[test]
fn random_lives_with_damage() {
    run("cargo test --test simulation random_lives_with_damage", some(30, 2000), |seed| {
        live(seed, Mode::Damage)
    });
}

/// Faults last for a time, and errors come in rows: when hosts are silent everything comes to rest, and the maps are exact.
#[test]
fn random_lives_with_lasting_faults() {
    run("cargo test --test simulation random_lives_with_lasting_faults", some(30, 3000), |seed| {
        live(seed, Mode::Lasting)
    });
}

/// Flushes fail in Reverse Synchronizations, and what may be lost with them is copied again (N10).
#[test]
fn random_lives_in_reverse() {
    run("cargo test --test simulation random_lives_in_reverse", some(30, 2000), |seed| {
        live(seed, Mode::Reverse)
    });
}

/// Clones of several groups fit together, whatever comes between (R77).
#[test]
fn random_sets_of_groups() {
    let total = run("cargo test --test simulation random_sets_of_groups", some(60, 2000), |seed| {
        Sets::begin(seed).run(3)
    });
    if total.seeds >= 40 {
        for what in [
            "sets committed",
            "sets aborted",
            "committed after a power loss",
            "aborted after a power loss",
            "groups told by the controller",
        ] {
            assert!(total.counted(what) > 0, "none of the {what}: {:?}", total.counts);
        }
    }
}

/// A power loss undoes no more of a first Synchronization, or of a restore, than a bound, on however many map pages (R72, R73).
#[test]
fn random_copies_cut_short() {
    run("cargo test --test simulation random_copies_cut_short", some(5, 200), |seed| {
        let mut summary = Progress::synchronize(seed);
        summary.add(&Progress::restore(seed));
        summary.seeds = 1;
        summary
    });
}

/// Hosts write more at once than may have write intents, and each write goes out in its turn (R78, I7).
#[test]
fn random_writes_under_pressure() {
    run("cargo test --test simulation random_writes_under_pressure", some(3, 100), pressure::live);
}

/// A seed is a life: the same submissions, completions, results and power losses, whatever runs beside it.
#[test]
fn the_same_seed_is_the_same_life() {
    let seeds = if cfg!(debug_assertions) { 0..20 } else { 0..100 };
    let digest = |seed: u64| {
        attempt(seed, |seed| live(seed, Mode::Safety)).map(|summary| summary.digest).unwrap_or_default()
    };
    let once: Vec<u64> = seeds.clone().map(digest).collect();
    let again = std::thread::spawn(move || seeds.rev().map(digest).collect::<Vec<u64>>());
    let mut again = again.join().unwrap();
    again.reverse();
    assert_eq!(once, again);
    let mut distinct = once.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() == once.len(), "different seeds live the same life");
}
