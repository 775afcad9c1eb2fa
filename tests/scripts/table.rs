//! The scripts, by combination.

use ::clone_group::ffi::types::*;

use super::{Ask, Host, Script, Step};
use crate::common::world::Profile;
use Step::{Begin, Complete, Copy, Do, Poll, Settle};

/// Four extents, the last one short.
const ARRAY: Profile =
    Profile { blocks: 14, extent_blocks: 4, copies: 2, copy_blocks: 4, immediate: 0, ..Profile::QUIET };

/// NV and VC media, HD and HV hosts, shared and own maps, one and two Clones, reads redirected or not.
const ARRAYS: [Profile; 10] = [
    Profile { volatile: true, ..ARRAY },
    Profile { volatile: true, map_per_clone: true, redirect: true, ..ARRAY },
    Profile { volatile: true, clones: 1, immediate: 128, ..ARRAY },
    Profile { volatile: true, host_durable: true, redirect: true, ..ARRAY },
    Profile { persist_flush: true, ..ARRAY },
    Profile { volatile: true, clones: 1, redirect: true, discard_zeroes: true, copies: 1, ..ARRAY },
    Profile { volatile: true, host_durable: true, map_per_clone: true, persist_flush: true, ..ARRAY },
    Profile { host_durable: true, map_per_clone: true, redirect: true, immediate: 128, ..ARRAY },
    Profile { volatile: true, map_per_clone: true, persist_flush: true, copy_blocks: 8, ..ARRAY },
    Profile { volatile: true, persist_flush: true, copy_blocks: 2, discard_zeroes: true, ..ARRAY },
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Restore,
    Reverse,
    First,
    Again,
    Fracture,
    Idle,
    Format,
    Add,
    Remove,
    Cancel,
    Retarget,
    Accept,
    Verify,
    Close,
}

const OPERATIONS: [(Operation, &str); 14] = [
    (Operation::Restore, "restore"),
    (Operation::Reverse, "reverse"),
    (Operation::First, "first"),
    (Operation::Again, "again"),
    (Operation::Fracture, "fracture"),
    (Operation::Idle, "idle"),
    (Operation::Format, "format"),
    (Operation::Add, "add"),
    (Operation::Remove, "remove"),
    (Operation::Cancel, "cancel"),
    (Operation::Retarget, "retarget"),
    (Operation::Accept, "accept"),
    (Operation::Verify, "verify"),
    (Operation::Close, "close"),
];

const REQUESTS: [&str; 9] = ["read", "partial", "full", "multi", "tail", "zeroes", "discard", "fua", "flush"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    Before,
    During,
    After,
}

const MOMENTS: [(Moment, &str); 3] =
    [(Moment::Before, "before"), (Moment::During, "during"), (Moment::After, "after")];

/// Every combination.
pub fn all() -> Vec<Script> {
    combinations(|_, _, _| true)
}

/// The combinations that every run of the tests tries: all requests at all moments of the two restores, and of
/// everything else each request at one moment.
pub fn chosen() -> Vec<Script> {
    combinations(|operation, request, moment| match operation {
        0 | 1 => true,
        2..=5 => (operation + request + moment) % 3 == 0,
        _ => {
            (operation + request) % 3 == 0 && (operation + request / 3 + moment) % 3 == 0 || {
                (operation + request) % 4 == 1 && (request + moment) % 3 == 1
            }
        }
    })
}

pub fn named(name: &str) -> Script {
    all().into_iter().find(|script| script.name == name).unwrap_or_else(|| panic!("no script {name}"))
}

fn combinations(wanted: impl Fn(usize, usize, usize) -> bool) -> Vec<Script> {
    let mut scripts = Vec::new();
    for (at, &(operation, operation_name)) in OPERATIONS.iter().enumerate() {
        for (request, request_name) in REQUESTS.iter().enumerate() {
            for (when, &(moment, moment_name)) in MOMENTS.iter().enumerate() {
                if !wanted(at, request, when) {
                    continue;
                }
                let mut profile = ARRAYS[(7 * at + 3 * request + 4 * when) % ARRAYS.len()];
                if matches!(operation, Operation::Retarget | Operation::Add | Operation::Remove) {
                    profile.clones = 2;
                }
                let (prepare, steps) = script(operation, request, moment, profile.clones as u32);
                scripts.push(Script {
                    name: format!("{operation_name}/{request_name}/{moment_name}"),
                    profile,
                    prepare,
                    steps,
                    small: request < 2 && moment == Moment::After && at < 10,
                });
            }
        }
    }
    scripts
}

fn host(operation: u32, lu: usize, first: usize, count: usize) -> Step {
    Step::Host(Host { operation, lu, first, count, fua: false })
}

fn write(lu: usize, first: usize, count: usize) -> Step {
    host(CLONE_GROUP_IO_WRITE, lu, first, count)
}

fn flush(lu: usize) -> Step {
    host(CLONE_GROUP_IO_FLUSH, lu, 0, 1)
}

/// What hosts ask of the LU. Of the extents, 0, 2 and 3 differ from Clone 1, and 1 does not.
fn requests(request: usize, lu: usize) -> Vec<Step> {
    match REQUESTS[request] {
        "read" => vec![host(CLONE_GROUP_IO_READ, lu, 2, 8)],
        "partial" => vec![write(lu, 1, 2)],
        "full" => vec![write(lu, 8, 4)],
        "multi" => vec![write(lu, 2, 5)],
        "tail" => vec![write(lu, 13, 1), host(CLONE_GROUP_IO_READ, lu, 11, 3), write(lu, 12, 2)],
        "zeroes" => vec![host(CLONE_GROUP_IO_WRITE_ZEROES, lu, 7, 3)],
        "discard" => vec![host(CLONE_GROUP_IO_DISCARD, lu, 0, 6)],
        "fua" => {
            vec![Step::Host(Host { operation: CLONE_GROUP_IO_WRITE, lu, first: 9, count: 2, fua: true })]
        }
        _ => vec![write(lu, 5, 1), write(lu, 8, 1), Poll(2), Complete(3), flush(lu)],
    }
}

/// Clone 1 is a point in time, from which the Source differs in extents 0, 2 and 3; Clone 2, if there is one, is
/// mirrored. Nothing is in a cache.
fn point_in_time(clones: u32) -> Vec<Step> {
    let mut steps = mirrored(clones);
    steps.extend([Do(Ask::Fracture(1)), write(0, 2, 1), Settle, write(0, 9, 3), write(0, 13, 1), Settle]);
    steps.extend([flush(0), Settle]);
    steps
}

fn mirrored(clones: u32) -> Vec<Step> {
    let mut steps = vec![Do(Ask::Format)];
    for lu in 1..=clones {
        steps.extend([Do(Ask::Add(lu)), Do(Ask::Synchronize(lu)), Settle]);
    }
    steps.extend([write(0, 4, 2), Settle, flush(0), Settle]);
    steps
}

/// Clone 1 is being restored from, paused or not; extent 0 is copied, extent 3 was written by hosts.
fn restoring(clones: u32) -> Vec<Step> {
    let mut steps = point_in_time(clones);
    if clones == 2 {
        // The other one is a point in time of its own.
        steps.extend([Do(Ask::Fracture(2)), write(0, 6, 1), Settle, flush(0), Settle]);
    }
    steps.extend([Do(Ask::Pause), Do(Ask::Restore(1)), write(0, 13, 1), Settle]);
    steps
}

/// What has to be there, and what is asked for.
fn situation(operation: Operation, clones: u32) -> (Vec<Step>, Vec<Ask>) {
    match operation {
        Operation::Restore => (point_in_time(clones), vec![Ask::Restore(1)]),
        Operation::Reverse => (point_in_time(clones), vec![Ask::Reverse(1)]),
        Operation::First => {
            let mut steps = mirrored(clones - 1);
            steps.push(Do(Ask::Add(clones)));
            (steps, vec![Ask::Synchronize(clones)])
        }
        Operation::Again => (point_in_time(clones), vec![Ask::Synchronize(1)]),
        Operation::Fracture => (mirrored(clones), vec![Ask::Fracture(1)]),
        Operation::Idle => (point_in_time(clones), vec![]),
        Operation::Format => (Vec::new(), vec![Ask::Format, Ask::Add(1), Ask::Synchronize(1)]),
        Operation::Add => {
            let mut steps = point_in_time(1);
            steps.push(Do(Ask::Synchronize(1)));
            (steps, vec![Ask::Add(2), Ask::Synchronize(2)])
        }
        Operation::Remove => (point_in_time(clones), vec![Ask::Remove(1), Ask::Add(1)]),
        // A restore is canceled, and asked for again.
        Operation::Cancel => (restoring(clones), vec![Ask::Cancel(1), Ask::Restore(1)]),
        Operation::Retarget => (restoring(clones), vec![Ask::Retarget(2)]),
        Operation::Accept => {
            let mut steps = restoring(clones);
            steps.extend([Do(Ask::Resume), Copy(1), Complete(1), Do(Ask::Cancel(1)), Settle]);
            (steps, vec![Ask::Accept])
        }
        Operation::Verify => (point_in_time(clones), vec![Ask::Verify(1)]),
        Operation::Close => (point_in_time(clones), vec![Ask::Close]),
    }
}

fn script(operation: Operation, request: usize, moment: Moment, clones: u32) -> (Vec<Step>, Vec<Step>) {
    let (mut prepare, asks) = situation(operation, clones);
    // Nobody is served an invalid Source, nor anything by a group that is closed, or not yet there.
    let lu = if operation == Operation::Accept && moment != Moment::After { 1 } else { 0 };
    let hosts = requests(request, lu);
    let (first, rest) = match asks.split_first() {
        Some((&first, rest)) => (Some(first), rest),
        None => (None, &[][..]),
    };
    let mut steps = Vec::new();
    match (operation, moment) {
        (Operation::Format, _) => {
            if request % 2 == 1 {
                // Over a group that was there before.
                prepare = point_in_time(clones);
                prepare.extend([Do(Ask::Close), Step::Restart]);
            }
            steps.push(Do(if request % 2 == 1 { Ask::FormatForced } else { Ask::Format }));
            let at = MOMENTS.iter().position(|&(other, _)| other == moment).unwrap_or(0);
            let mut asks = rest.to_vec();
            asks.resize(2, Ask::Fracture(1));
            for (number, &ask) in asks.iter().enumerate() {
                if number == at {
                    steps.extend(hosts.clone());
                }
                steps.push(Do(ask));
            }
            if at == 2 {
                steps.push(Settle);
                steps.extend(hosts);
            }
        }
        (Operation::Close, Moment::Before | Moment::During) => {
            steps.extend(hosts);
            if moment == Moment::During {
                steps.extend([Poll(2), Complete(2)]);
            }
            steps.push(Begin(Ask::Close));
        }
        (Operation::Close, Moment::After) => {
            // In the middle of a copy; and what follows the next Recovery.
            steps.extend([Do(Ask::Restore(1)), Copy(1), Do(Ask::Close), Step::Restart, Do(Ask::Recover)]);
            steps.extend(hosts);
        }
        (Operation::Idle, _) => {
            steps.extend(hosts);
            match moment {
                Moment::Before => steps.extend([Poll(2), Complete(1), write(1, 6, 1)]),
                Moment::During => steps.extend([Settle, write(1, 2, 3), Poll(2)]),
                Moment::After => steps.extend([Settle, flush(0), Settle, write(0, 2, 1)]),
            }
        }
        (Operation::Cancel | Operation::Retarget, _) => {
            // Copies and hosts are under way when it is asked for.
            steps.push(Do(Ask::Resume));
            match moment {
                Moment::Before => {
                    steps.push(Copy(1));
                    if operation == Operation::Retarget {
                        // In the cache of the Clone that is given to it.
                        steps.push(write(2, 5, 1));
                    }
                    steps.extend(hosts.clone());
                    steps.extend([Poll(2), Complete(3)]);
                }
                Moment::During => {
                    steps.extend([Copy(1), Complete(1), Poll(2), Complete(1)]);
                    steps.extend(hosts.clone());
                }
                Moment::After => steps.extend([Copy(2), Complete(1)]),
            }
            steps.extend(first.map(Begin));
            steps.extend([Poll(2), Complete(2)]);
            if moment == Moment::After && operation == Operation::Retarget {
                steps.extend(hosts.clone());
            }
        }
        (_, Moment::Before) => {
            if matches!(operation, Operation::Restore | Operation::Reverse) {
                // In the cache of the Clone that will be copied from.
                steps.push(write(1, 10, 1));
            }
            steps.extend(hosts);
            steps.extend([Poll(2), Complete(1)]);
            steps.extend(first.map(Begin));
            steps.extend([Poll(2), Complete(2)]);
        }
        (_, Moment::During) => {
            steps.extend(first.map(Do));
            steps.extend([Copy(1)]);
            steps.extend(hosts);
            steps.extend([Poll(2), Complete(1), Copy(1), Complete(1)]);
            // Beside it, in another extent, and of everything.
            steps.extend([write(lu, 6, 1), Poll(1), host(CLONE_GROUP_IO_READ, lu, 0, 14), Complete(1)]);
        }
        (_, Moment::After) => {
            steps.extend(first.map(Do));
            steps.push(Settle);
            steps.extend(hosts);
        }
    }
    if operation == Operation::Cancel {
        steps.push(Settle);
        steps.extend(rest.iter().map(|&ask| Do(ask)));
        steps.push(Copy(1));
        if moment == Moment::After {
            steps.extend(requests(request, lu));
        }
    } else if operation != Operation::Format {
        steps.push(Settle);
        steps.extend(rest.iter().map(|&ask| Do(ask)));
    }
    steps.push(Settle);
    (prepare, steps)
}
