//! Power is lost after every single I/O of a Protected Restore, from the fracture before it to the second restore
//! after it, with unflushed writes lost, kept and torn. After each loss the group recovers, every block holds a
//! legal value, the Clone is as it was, and the restore ends as it should.
//!
//! Replay: the failure names profile, step and fate; `CLONE_GROUP_TRACE=1` tells what happens.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, World};

const EXTENT_BLOCKS: usize = 4;
/// Ten extents, the last one short.
const BLOCKS: usize = 38;

fn profiles() -> Vec<Profile> {
    let mut profiles = Vec::new();
    for volatile in [false, true] {
        for host_durable in [false, true] {
            for immediate in [0, 128, 256] {
                for redirect in [false, true] {
                    profiles.push(Profile {
                        blocks: BLOCKS,
                        extent_blocks: EXTENT_BLOCKS,
                        clones: 2,
                        spare_clones: 0,
                        copies: 3,
                        copy_blocks: 8,
                        volatile,
                        host_durable,
                        redirect,
                        persist_flush: immediate == 128,
                        discard_zeroes: redirect,
                        offload: false,
                        map_per_clone: profiles.len().is_multiple_of(3),
                        immediate,
                        retry: 0,
                        faults: 0,
                        metadata_faults: 0,
                        intents: 16,
                        skip_equal: false,
                    });
                }
            }
        }
    }
    profiles
}

/// Two Clones of the Source; the first one is fractured, and the Source changed since.
fn prepare(profile: Profile) -> Placed {
    let mut world = World::new(profile, 7);
    world.power_on();
    // SAFETY: a live group, here and below.
    unsafe {
        assert_eq!(world.run_operation(|group, tag| clone_group_format(group, 0, tag)), CLONE_GROUP_OK);
        for lu in [1, 2] {
            assert_eq!(
                world.run_operation(|group, tag| clone_group_clone_add(group, lu, tag)),
                CLONE_GROUP_OK
            );
            assert_eq!(
                world.run_operation(|group, tag| clone_group_synchronize(group, lu, tag)),
                CLONE_GROUP_OK
            );
            world.settle();
        }
        world.inner.borrow_mut().note_fracture();
        let fracture = |group, tag| clone_group_fracture(group, 1, std::ptr::null(), 0, tag);
        assert_eq!(world.run_operation(fracture), CLONE_GROUP_OK);
    }
    for (first, count) in [(0, 3), (9, 2), (16, 4), (21, 9), (36, 2)] {
        world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
    }
    world.settle();
    world
}

/// The part during which power may be lost. Returns early when it is.
fn restore_under_load(world: &World) {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    let begun = world.run_operation(|group, tag| unsafe { clone_group_protected_restore(group, 1, tag) });
    if begun != CLONE_GROUP_OK {
        return;
    }
    // A part of an extent, two extents in different states, a whole extent, the short last one whole and in
    // part, zeroes, a read that needs a copy, a flush.
    let requests = [
        (CLONE_GROUP_IO_WRITE, 1, 2, false),
        (CLONE_GROUP_IO_WRITE, 6, 4, true),
        (CLONE_GROUP_IO_WRITE, 16, 4, false),
        (CLONE_GROUP_IO_READ, 22, 3, false),
        (CLONE_GROUP_IO_WRITE_ZEROES, 24, 4, false),
        (CLONE_GROUP_IO_FLUSH, 0, 1, false),
        (CLONE_GROUP_IO_WRITE, 36, 2, false),
        (CLONE_GROUP_IO_DISCARD, 28, 3, false),
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

/// What must hold after the loss, whatever was lost.
fn recover_and_finish(world: &mut World, snapshot: &[u64]) {
    world.power_on();
    // SAFETY: a live group, here and below.
    let recovered = world.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
    assert_eq!(recovered, CLONE_GROUP_OK, "Recovery failed");
    world.after_recovery();
    let restored = world.info().restore_generation == 1;
    world.check_lu_after_loss(0);
    world.check_lu_after_loss(1);
    world.check_delta_maps();
    world.settle();
    assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
    world.check_lu_now(0);
    world.check_delta_maps();
    assert_eq!(world.inner.borrow().devices[1].now, snapshot, "the Clone was modified");
    if !restored {
        return;
    }
    // A second restore copies what hosts wrote and nothing else, and gives the same point in time.
    let differs = world.clone_info(1).extents_left;
    let before = world.statistics();
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    let again = world.run_operation(|group, tag| unsafe { clone_group_protected_restore(group, 1, tag) });
    assert_eq!(again, CLONE_GROUP_OK);
    world.settle();
    let after = world.statistics();
    let copied = after.sync_extents + after.cod_extents - before.sync_extents - before.cod_extents;
    assert_eq!(copied, differs, "the second restore copies other extents than those that differ");
    assert_eq!(
        world.inner.borrow().devices[0].now,
        snapshot,
        "the second restore gives another point in time"
    );
}

/// Power is lost after each I/O in turn, until the scenario runs to its end.
#[test]
fn power_lost_after_every_io_of_a_restore() {
    let mut images = 0;
    for profile in profiles() {
        for fate in 0..6_u64 {
            for step in 1.. {
                let mut world = prepare(profile);
                let snapshot = world.inner.borrow().devices[1].now.clone();
                {
                    let inner = &mut *world.inner.borrow_mut();
                    inner.power_fails_at = inner.steps + step;
                }
                restore_under_load(&world);
                let complete = !world.power_is_off();
                let mut dice = fastrand::Rng::with_seed(fate * 1000 + step);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    world.lose_power(move || match fate {
                        0 => false,
                        1 => true,
                        _ => dice.bool(),
                    });
                    recover_and_finish(&mut world, &snapshot);
                }));
                images += 1;
                assert!(
                    outcome.is_ok(),
                    "replay: {profile:?}, power lost after step {step}, fate {fate}: power loss {images}"
                );
                if complete {
                    break;
                }
            }
        }
    }
    println!("{images} power losses");
    assert!(images > 10_000, "the scenario lost its I/Os: {images} power losses only");
}
