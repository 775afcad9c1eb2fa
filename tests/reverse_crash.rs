//! Power is lost after every single I/O of a Reverse Synchronization under host load, from its start to the flip, with
//! unflushed writes lost, kept and torn. After each loss the Clone's content counts (R41), every block holds a legal
//! value and keeps it (R59), the end is Synchronized with equal LUs, and a fracture and a restore after it bring the
//! point in time.
//!
//! Replay: the failure names profile, step and fate; `CLONE_GROUP_TRACE=1` tells what happens.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, World};

type Call = fn(*mut clone_group, u64) -> i32;

// SAFETY: the world passes a live group.
const FORMAT: Call = |group, tag| unsafe { clone_group_format(group, 0, tag) };
// SAFETY: the world passes a live group.
const RECOVER: Call = |group, tag| unsafe { clone_group_recover(group, 0, tag) };
// SAFETY: the world passes a live group.
const REVERSE: Call = |group, tag| unsafe { clone_group_reverse_synchronize(group, 1, tag) };
// SAFETY: the world passes a live group.
const RESTORE: Call = |group, tag| unsafe { clone_group_protected_restore(group, 1, tag) };

/// What the second Clone is when the Reverse Synchronization starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Second {
    Mirrored,
    Fractured,
    OutOfSync,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    profile: Profile,
    second: Second,
}

fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for volatile in [false, true] {
        for host_durable in [false, true] {
            for immediate in [0, 128, 256] {
                for map_per_clone in [false, true] {
                    let second =
                        [Second::Mirrored, Second::Fractured, Second::OutOfSync][scenarios.len() % 3];
                    let profile = Profile {
                        volatile,
                        host_durable,
                        immediate,
                        map_per_clone,
                        copies: 3,
                        copy_blocks: 8,
                        persist_flush: immediate == 128,
                        discard_zeroes: host_durable,
                        ..Profile::QUIET
                    };
                    scenarios.push(Scenario { profile, second });
                }
            }
        }
    }
    scenarios
}

fn operate(world: &World, call: impl FnOnce(*mut clone_group, u64) -> i32) {
    assert_eq!(world.run_operation(call), CLONE_GROUP_OK);
}

fn fracture(world: &World, lu: u32) {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_fracture(group, lu, std::ptr::null(), 0, tag) });
}

/// Clone 1 is fractured; hosts wrote the Source and the Clone since.
fn prepare(scenario: Scenario) -> Placed {
    let mut world = World::new(scenario.profile, 11);
    world.power_on();
    operate(&world, FORMAT);
    for lu in [1, 2] {
        // SAFETY: a live group.
        operate(&world, |group, tag| unsafe { clone_group_clone_add(group, lu, tag) });
        if lu == 1 || scenario.second != Second::OutOfSync {
            // SAFETY: a live group.
            operate(&world, |group, tag| unsafe { clone_group_synchronize(group, lu, tag) });
            world.settle();
        }
    }
    fracture(&world, 1);
    world.host(CLONE_GROUP_IO_WRITE, 0, 3, 6, false);
    world.settle();
    if scenario.second == Second::Fractured {
        fracture(&world, 2);
    }
    for (lu, first, count) in [(0, 16, 4), (1, 20, 2), (0, 25, 1), (1, 27, 1), (0, 36, 2)] {
        world.host(CLONE_GROUP_IO_WRITE, lu, first, count, false);
    }
    world.settle();
    world
}

/// The part during which power may be lost. Returns early when it is.
fn reverse_under_load(world: &World) {
    world.inner.borrow_mut().note_fracture();
    if world.run_operation(REVERSE) != CLONE_GROUP_OK {
        return;
    }
    let requests = [
        (CLONE_GROUP_IO_WRITE, 1, 2, false),
        (CLONE_GROUP_IO_WRITE, 6, 4, true),
        (CLONE_GROUP_IO_WRITE, 12, 1, false),
        (CLONE_GROUP_IO_READ, 2, 8, false),
        (CLONE_GROUP_IO_WRITE_ZEROES, 24, 4, false),
        (CLONE_GROUP_IO_FLUSH, 0, 1, false),
        (CLONE_GROUP_IO_WRITE, 36, 2, false),
        (CLONE_GROUP_IO_DISCARD, 29, 3, false),
        (CLONE_GROUP_IO_WRITE, 13, 1, true),
        (CLONE_GROUP_IO_READ, 30, 8, false),
    ];
    for (operation, first, count, fua) in requests {
        if world.power_is_off() {
            return;
        }
        world.host(operation, 0, first, count, fua);
        world.poll(3);
        world.complete_some(2);
        world.step(1);
    }
    world.settle();
}

fn content(world: &World, lu: usize) -> Vec<u64> {
    world.inner.borrow().devices[lu].now.clone()
}

/// What must hold after the loss, whatever was lost.
fn recover_and_finish(world: &mut World) {
    world.power_on();
    operate(world, RECOVER);
    world.after_recovery();
    let began = world.info().restore_generation == 1;
    if world.info().reversing_lu != 0 {
        let clone = content(world, 1);
        for (block, value) in clone.iter().enumerate() {
            assert_eq!(
                world.read_now(0, block, 1),
                Ok(vec![*value]),
                "block {block} is not the Clone's (R41)"
            );
        }
    }
    world.check_lu_after_loss(0);
    for lu in [1, 2] {
        let usable = world.inner.borrow().usable[lu];
        if usable {
            world.check_lu_after_loss(lu);
        }
    }
    world.check_delta_maps();
    // Hosts go on.
    world.host(CLONE_GROUP_IO_WRITE, 0, 9, 5, false);
    world.step(1);
    world.host(CLONE_GROUP_IO_READ, 0, 6, 20, false);
    world.settle();
    assert_eq!(world.info().reversing_lu, 0, "the Reverse Synchronization does not end");
    world.check_lu_now(0);
    world.check_delta_maps();
    if !began {
        assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED);
        return;
    }
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    assert_eq!(content(world, 0), content(world, 1), "Synchronized, and not equal");
    restore_the_point_in_time(world);
}

fn restore_the_point_in_time(world: &World) {
    fracture(world, 1);
    let snapshot = content(world, 1);
    world.host(CLONE_GROUP_IO_WRITE, 0, 7, 6, false);
    world.host(CLONE_GROUP_IO_WRITE, 0, 37, 1, false);
    world.settle();
    world.inner.borrow_mut().note_fracture();
    operate(world, RESTORE);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
    assert_eq!(content(world, 0), snapshot, "the restore gives another point in time");
    world.check_delta_maps();
}

/// Power is lost after each I/O in turn, until the scenario runs to its end.
#[test]
fn power_lost_after_every_io_of_a_reverse_synchronization() {
    let mut images = 0;
    for scenario in scenarios() {
        for fate in 0..5_u64 {
            for step in 1.. {
                let mut world = prepare(scenario);
                {
                    let inner = &mut *world.inner.borrow_mut();
                    inner.power_fails_at = inner.steps + step;
                }
                reverse_under_load(&world);
                let complete = !world.power_is_off();
                let mut dice = fastrand::Rng::with_seed(fate * 1000 + step);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    world.lose_power(move || match fate {
                        0 => false,
                        1 => true,
                        _ => dice.bool(),
                    });
                    recover_and_finish(&mut world);
                }));
                images += 1;
                assert!(
                    outcome.is_ok(),
                    "replay: {scenario:?}, power lost after step {step}, fate {fate}: power loss {images}"
                );
                if complete {
                    break;
                }
            }
        }
    }
    println!("{images} power losses");
    assert!(images > 8_000, "the scenario lost its I/Os: {images} power losses only");
}
