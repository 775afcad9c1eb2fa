//! Fault loops: in every script the n-th call of each class of callbacks goes wrong, for n = 1, 2, ... until the script
//! does not reach it any more; once and for ever; refused, completed with an error, or to be offered again. Nothing
//! panics, each request ends once, the group is in a documented state, and once faults stop it can be brought back.
//! On small scripts power is lost as well, after every I/O that follows the fault.
//!
//! Replay: `CLONE_GROUP_FAULT="restore/full/during PageWrite 3 Refused Once"`.

mod common;
mod scripts;

#[path = "explorer/check.rs"]
mod check;
#[path = "faults/class.rs"]
mod class;
#[path = "explorer/image.rs"]
mod image;
#[path = "faults/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use check::{Allowed, Recorder, Situation, Way};
use class::{CLASSES, Class, Fault, How, Often};
use scripts::Script;

/// Failures after which no further script is begun.
const ENOUGH_FAILURES: usize = 20;
const MANNERS: [(How, Often); 6] = [
    (How::Refused, Often::Once),
    (How::Refused, Often::ForEver),
    (How::Completed, Often::Once),
    (How::Completed, Often::ForEver),
    (How::Retry, Often::Once),
    (How::Retry, Often::ForEver),
];

/// Runs a loop over each script, as many at a time as there are cores; the sums by class, and what failed.
fn over_all(
    scripts: &[Script],
    one: impl Fn(&Script, &mut BTreeMap<Class, usize>, &mut Vec<String>) + Sync,
) -> (BTreeMap<Class, usize>, Vec<String>) {
    let found = Mutex::new((BTreeMap::new(), Vec::new()));
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (mut runs, mut failures) = (BTreeMap::new(), Vec::new());
                    one(script, &mut runs, &mut failures);
                    let (sums, lines): &mut (BTreeMap<Class, usize>, Vec<String>) =
                        &mut found.lock().expect("no panic with the lock");
                    runs.into_iter().for_each(|(class, runs)| *sums.entry(class).or_default() += runs);
                    lines.append(&mut failures);
                    if lines.len() >= ENOUGH_FAILURES {
                        next.store(scripts.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no panic with the lock")
}

/// All faults of a script: calls `one` for each, which returns how many calls of the class there were.
fn each_fault(mut one: impl FnMut(Fault) -> Option<usize>) {
    for class in CLASSES {
        for (how, often) in MANNERS {
            for call in 1.. {
                let reached = one(Fault { class, call, how, often });
                if reached.is_none_or(|reached| reached < call) {
                    break;
                }
            }
        }
    }
}

fn named(script: &Script, fault: Fault) -> String {
    let Fault { class, call, how, often } = fault;
    format!("CLONE_GROUP_FAULT=\"{} {class:?} {call} {how:?} {often:?}\"", script.name)
}

fn report(what: &str, sums: &BTreeMap<Class, usize>, failures: &[String]) {
    for (class, runs) in sums {
        println!("{:16} {runs:8}", format!("{class:?}"));
    }
    println!("{} {what}, {} failed", sums.values().sum::<usize>(), failures.len());
    assert!(failures.is_empty(), "replay with\n{}", failures[..failures.len().min(20)].join("\n"));
}

/// The scripts of this run: all; of a build that is not optimized a part.
fn scripts() -> Vec<Script> {
    let step = if cfg!(debug_assertions) { 23 } else { 1 };
    scripts::all().into_iter().step_by(step).collect()
}

fn whole_run(script: &Script, fault: Fault) -> usize {
    let (mut world, reached) = run::play(script, fault, |_| {});
    run::bring_back(&mut world);
    reached
}

/// Whatever callback goes wrong, whenever and however: no panic, each request ends once, the state is a documented one,
/// and there is a way back.
#[test]
fn every_call_goes_wrong() {
    if let Ok(line) = std::env::var("CLONE_GROUP_FAULT") {
        return replay(&line);
    }
    let (sums, failures) = over_all(&scripts(), |script, runs, failures| {
        each_fault(|fault| {
            let outcome = catch_unwind(AssertUnwindSafe(|| whole_run(script, fault)));
            if outcome.is_err() {
                failures.push(named(script, fault));
            }
            let reached = *outcome.as_ref().unwrap_or(&0);
            if reached >= fault.call {
                *runs.entry(fault.class).or_default() += 1;
            }
            outcome.ok()
        });
    });
    report("faults", &sums, &failures);
    if !cfg!(debug_assertions) {
        assert!(sums.values().sum::<usize>() >= 18_000, "the scripts lost their calls");
    }
}

/// Power is lost after a fault, at each boundary that follows.
#[test]
fn power_lost_after_every_fault() {
    if std::env::var_os("CLONE_GROUP_FAULT").is_some() {
        return;
    }
    let mut small = scripts::all();
    small.retain(|script| script.small);
    if cfg!(debug_assertions) {
        small.truncate(2);
    }
    let (sums, failures) = over_all(&small, |script, runs, failures| {
        let mut seen = std::collections::HashSet::new();
        each_fault(|fault| {
            if fault.how == How::Retry {
                return None;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| crash(script, fault, &mut seen)));
            match outcome {
                Ok((reached, images)) => {
                    *runs.entry(fault.class).or_default() += images;
                    Some(reached)
                }
                Err(_) => {
                    failures.push(named(script, fault) + " with a power loss");
                    None
                }
            }
        });
    });
    report("power losses after a fault", &sums, &failures);
}

/// Images in the middle of a run with a fault, at most so many of each boundary.
const IMAGES_OF_A_BOUNDARY: usize = 16;

fn crash(script: &Script, fault: Fault, seen: &mut std::collections::HashSet<u64>) -> (usize, usize) {
    let recorder = Recorder::default();
    let (world, reached) = run::play(script, fault, |world| recorder.attach(world));
    world.inner.borrow_mut().boundary = None;
    let mut images = 0;
    for (boundary, allowed) in recorder.boundaries(Situation::of(&world), false) {
        // A superblock whose write failed may be there or not: any situation.
        let allowed = Allowed { situations: Vec::new(), ..allowed };
        let mut tasks = Vec::new();
        boundary.for_each(|image, key| {
            if seen.insert(key) {
                tasks.push((key, image));
            }
        });
        tasks.sort_by_key(|&(key, _)| key);
        for &(key, image) in tasks.iter().take(IMAGES_OF_A_BOUNDARY) {
            let (blocks, units) = boundary.fates(image);
            check::check(
                &mut boundary.snapshot.after_loss(&blocks, &units),
                &allowed,
                Way::new(key, 0, false),
            );
            images += 1;
        }
    }
    (reached, images)
}

fn replay(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let class = CLASSES.into_iter().find(|class| format!("{class:?}") == words[1]).expect("a class");
    let manner = |&(how, often): &(How, Often)| format!("{how:?} {often:?}") == words[3..5].join(" ");
    let (how, often) = MANNERS.into_iter().find(manner).expect("a manner");
    let fault = Fault { class, call: words[2].parse().expect("the number of a call"), how, often };
    let script = scripts::named(words[0]);
    if words.len() > 5 {
        crash(&script, fault, &mut std::collections::HashSet::new());
    } else {
        whole_run(&script, fault);
    }
}
