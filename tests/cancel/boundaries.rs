//! A restore under load is canceled, or given another Clone, after every I/O of it; and power is lost after every I/O
//! of the cancel, of the re-target and of what follows.
//!
//! Replay: the failure names profile, tick, step and fate; `CLONE_GROUP_TRACE=1` tells what happens.

use ::clone_group::ffi::types::*;

use super::array::*;
use crate::common::world::{Profile, World};

fn profiles() -> Vec<Profile> {
    let mut profiles = Vec::new();
    for volatile in [false, true] {
        for host_durable in [false, true] {
            for immediate in [0, 128, 256] {
                for redirect in [false, true] {
                    profiles.push(Profile {
                        volatile,
                        host_durable,
                        redirect,
                        immediate,
                        persist_flush: immediate == 128,
                        discard_zeroes: redirect,
                        ..PROFILE
                    });
                }
            }
        }
    }
    profiles
}

/// Host I/O of every kind to the Source and to the Clones: parts of extents, runs in different states, whole extents,
/// the short last one whole and in part, what is copied, what differs, what does not.
const REQUESTS: [(u32, usize, usize, usize, bool); 16] = [
    (CLONE_GROUP_IO_WRITE, 0, 1, 2, false),
    (CLONE_GROUP_IO_READ, 0, 16, 4, false),
    (CLONE_GROUP_IO_WRITE, 0, 6, 4, true),
    (CLONE_GROUP_IO_READ, 1, 30, 5, false),
    (CLONE_GROUP_IO_WRITE, 0, 16, 4, false),
    (CLONE_GROUP_IO_READ, 0, 22, 3, false),
    (CLONE_GROUP_IO_WRITE, 2, 10, 2, false),
    (CLONE_GROUP_IO_WRITE_ZEROES, 0, 24, 4, false),
    (CLONE_GROUP_IO_FLUSH, 0, 0, 1, false),
    (CLONE_GROUP_IO_WRITE, 0, 36, 2, false),
    (CLONE_GROUP_IO_DISCARD, 0, 28, 3, false),
    (CLONE_GROUP_IO_READ, 0, 28, 8, false),
    (CLONE_GROUP_IO_WRITE, 0, 12, 1, false),
    (CLONE_GROUP_IO_READ, 0, 0, 12, false),
    (CLONE_GROUP_IO_WRITE, 0, 31, 2, true),
    (CLONE_GROUP_IO_READ, 2, 8, 4, false),
];

/// Extents of the Source that hosts may change.
fn touched() -> Vec<bool> {
    let mut touched = vec![false; 10];
    for (operation, lu, first, count, _) in REQUESTS {
        if lu == 0 && !matches!(operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_FLUSH) {
            touched[first / EXTENT_BLOCKS..=(first + count - 1) / EXTENT_BLOCKS].fill(true);
        }
    }
    touched
}

/// Drives a restore from Clone 1 under load. After so many ticks the change is asked for, and the load goes on; so
/// many I/Os later, if that is said, power fails. Tells whether the change was accepted, with its tag.
fn load(world: &World, ask: Ask, ticks: usize, step: Option<u64>) -> Option<Result<u64, i32>> {
    let mut asked = None;
    let mut requests = REQUESTS.iter();
    for tick in 0.. {
        if world.power_is_off() {
            break;
        }
        if tick == ticks {
            asked = Some(world.ask(ask));
            let inner = &mut *world.inner.borrow_mut();
            inner.power_fails_at = step.map_or(u64::MAX, |step| inner.steps + step);
        }
        let mut idle = false;
        if tick % 3 == 0 {
            match requests.next() {
                Some(&(operation, lu, first, count, fua)) => {
                    // Hosts write no block that is being written: nobody promises an order for that.
                    let open = world.inner.borrow().models[lu][first..first + count]
                        .iter()
                        .any(|block| block.is_open());
                    if !open || matches!(operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_FLUSH) {
                        world.host(operation, lu, first, count, fua);
                    }
                }
                None => idle = true,
            }
        }
        world.poll(1);
        world.complete_some(1);
        if tick % 7 == 6 {
            world.step(1);
        }
        if idle && tick > ticks {
            world.settle();
            break;
        }
    }
    asked
}

/// What remains to be checked once the restore was canceled; `turn` decides what follows.
fn after_cancel(world: &mut World, turn: usize) {
    check_refused(world);
    world.check_delta_maps();
    match turn % 5 {
        0 => restore_exactly(world, 1),
        1 => restore_exactly(world, 2),
        2 => accept_and_check(world),
        3 => {
            world.does(Ask::Close);
            world.lose_power(|| false);
            world.power_on();
            world.does(Ask::Recover);
            world.after_recovery();
            check_refused(world);
            restore_exactly(world, 1);
        }
        _ => {
            // Another restore, canceled too.
            world.does(Ask::Restore(2));
            world.host(CLONE_GROUP_IO_WRITE, 0, 21, 2, false);
            world.host(CLONE_GROUP_IO_READ, 0, 8, 4, false);
            world.does(Ask::Cancel(2));
            check_refused(world);
            restore_exactly(world, 1);
        }
    }
}

/// Wherever a restore is canceled, its Clone is untouched, the Source is refused, nothing waits for ever, and the
/// Delta Maps say exactly what differs.
#[test]
fn a_restore_is_canceled_after_every_io() {
    let touched = touched();
    let mut canceled = 0;
    for profile in profiles() {
        let mut over = 0;
        for ticks in 0.. {
            let mut world = two_points_in_time(profile, 7 + ticks as u64);
            let snapshot = content(&world, 1);
            world.does(Ask::Restore(1));
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let asked = load(&world, Ask::Cancel(1), ticks, None);
                let status = match asked.expect("the cancel was asked for") {
                    Ok(tag) => world.done_operation(tag).expect("the cancel is done"),
                    Err(status) => status,
                };
                assert_eq!(content(&world, 1), snapshot, "the Clone was modified (I1)");
                if status != CLONE_GROUP_OK {
                    assert_eq!(status, CLONE_GROUP_ERR_STATE);
                    assert_eq!(
                        world.info().restoring_lu,
                        0,
                        "it was refused though the restore was not over"
                    );
                    over += 1;
                    return false;
                }
                let marked = delta(&world, 1);
                for (extent, differs) in differing(&world, 1).into_iter().enumerate() {
                    assert!(
                        touched[extent] || marked[extent] == differs,
                        "extent {extent}: differs {differs}, its bit is {}",
                        marked[extent]
                    );
                }
                after_cancel(&mut world, ticks);
                canceled += 1;
                true
            }));
            assert!(outcome.is_ok(), "replay: {profile:?}, canceled after tick {ticks}");
            if over > 3 {
                break;
            }
        }
    }
    println!("{canceled} restores canceled");
    assert!(canceled > 700, "the scenario lost its I/Os: {canceled} restores canceled only");
}

/// Wherever a restore is given another Clone, every read after it sees that Clone or what hosts wrote since, both
/// Clones are untouched, and exactly what differs is copied.
#[test]
fn a_restore_is_retargeted_after_every_io() {
    let mut retargeted = 0;
    for profile in profiles() {
        let mut over = 0;
        for ticks in 0.. {
            let world = two_points_in_time(profile, 7 + ticks as u64);
            let snapshot = content(&world, 1);
            world.does(Ask::Restore(1));
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let asked = load(&world, Ask::Retarget(2), ticks, None);
                let status = match asked.expect("the re-target was asked for") {
                    Ok(tag) => world.done_operation(tag).expect("the re-target is done"),
                    Err(status) => status,
                };
                assert_eq!(content(&world, 1), snapshot, "the first Clone was modified (I1)");
                assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
                world.check_lu_now(0);
                world.check_delta_maps();
                if status == CLONE_GROUP_OK {
                    retargeted += 1;
                    assert_eq!(world.info().restore_generation, 2);
                    let protected = world.inner.borrow().restoring.is_none();
                    assert!(protected, "no word came of the end");
                    restore_exactly(&world, [2, 1][ticks % 2]);
                    restore_exactly(&world, 1);
                } else {
                    assert_eq!(status, CLONE_GROUP_ERR_STATE);
                    over += 1;
                }
            }));
            assert!(outcome.is_ok(), "replay: {profile:?}, re-targeted after tick {ticks}");
            if over > 3 {
                break;
            }
        }
    }
    println!("{retargeted} restores re-targeted");
    assert!(retargeted > 700, "the scenario lost its I/Os: {retargeted} restores re-targeted only");
}

/// What holds after Recovery, whatever was lost. `done`: the change was reported as done before.
fn recover_and_check(world: &mut World, ask: Ask, done: bool, snapshots: &[Vec<u64>; 2], turn: usize) {
    world.power_on();
    world.does(Ask::Recover);
    world.after_recovery();
    assert_eq!(content(world, 1), snapshots[0], "the Clone was modified (I1)");
    let info = world.info();
    let changed = is_invalid(world) || info.restore_generation == 2;
    assert!(changed || !done, "the change was done and is gone");
    assert_eq!(is_invalid(world), changed && matches!(ask, Ask::Cancel(_)));
    world.check_lu_after_loss(2);
    world.check_delta_maps();
    if is_invalid(world) {
        return after_cancel(world, turn);
    }
    if info.restoring_lu != 0 {
        assert_eq!(info.restoring_lu, if changed { 2 } else { 1 });
        let write = world.host(CLONE_GROUP_IO_WRITE, info.restoring_lu as usize, 0, 1, false).1;
        assert_eq!(write, Some(CLONE_GROUP_ERR_PROTECTED));
    }
    match turn % 3 {
        1 if info.restoring_lu != 0 => {
            world.does(Ask::Cancel(info.restoring_lu));
            return after_cancel(world, turn / 3);
        }
        2 if info.restoring_lu != 0 => {
            world.does(Ask::Retarget(3 - info.restoring_lu));
            world.check_lu_now(0);
        }
        _ => world.check_lu_after_loss(0),
    }
    world.settle();
    assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
    world.check_lu_now(0);
    world.check_delta_maps();
    restore_exactly(world, 1 + turn % 2);
}

fn power_lost_in(ask: Ask, later: &[usize]) -> usize {
    let mut images = 0;
    for profile in profiles() {
        for &ticks in later {
            for fate in 0..4_u64 {
                for step in 1.. {
                    let mut world = two_points_in_time(profile, 11);
                    let snapshots = [content(&world, 1), content(&world, 2)];
                    world.does(Ask::Restore(1));
                    let mut dice = fastrand::Rng::with_seed(fate * 1000 + step);
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        let asked = load(&world, ask, ticks, Some(step));
                        let complete = !world.power_is_off();
                        let accepted = asked.expect("the change was asked for");
                        let done =
                            accepted.is_ok_and(|tag| world.done_operation(tag) == Some(CLONE_GROUP_OK));
                        world.lose_power(move || match fate {
                            0 => false,
                            1 => true,
                            _ => dice.bool(),
                        });
                        recover_and_check(&mut world, ask, done, &snapshots, step as usize + fate as usize);
                        complete
                    }));
                    images += 1;
                    match outcome {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(_) => panic!(
                            "replay: {profile:?}, {ask:?} after tick {ticks}, power lost after step {step}, fate {fate}"
                        ),
                    }
                }
            }
        }
    }
    images
}

#[test]
fn power_lost_after_every_io_of_a_cancel() {
    let images = power_lost_in(Ask::Cancel(1), &[3, 9, 15, 22, 30, 40]);
    println!("{images} power losses");
    assert!(images > 5000, "the scenario lost its I/Os: {images} power losses only");
}

#[test]
fn power_lost_after_every_io_of_a_retarget() {
    let images = power_lost_in(Ask::Retarget(2), &[5, 33]);
    println!("{images} power losses");
    assert!(images > 5000, "the scenario lost its I/Os: {images} power losses only");
}
