//! Goal: a group with as many Clones as there can be (255, and 50 with a map for each) does what one with two does:
//! all are synchronized at once, a restore fractures those that mirror in the same atomic step, their image is the undo,
//! and the queries say from which Clones a restore is allowed and what it would copy.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, World};

const EXTENT_BLOCKS: usize = 4;

/// Every Clone is added and synchronized, all at the same time.
fn mirrored(profile: Profile) -> Placed {
    let mut world = World::new(profile, 11);
    world.power_on();
    // SAFETY: a live group, here and below.
    let format = |group, tag| unsafe { clone_group_format(group, 0, tag) };
    assert_eq!(world.run_operation(format), CLONE_GROUP_OK);
    for lu in 1..=profile.clones as u32 {
        // SAFETY: as above.
        let add = |group, tag| unsafe { clone_group_clone_add(group, lu, tag) };
        assert_eq!(world.run_operation(add), CLONE_GROUP_OK);
        // SAFETY: as above.
        let synchronize = |group, tag| unsafe { clone_group_synchronize(group, lu, tag) };
        assert_eq!(world.run_operation(synchronize), CLONE_GROUP_OK);
    }
    let synchronizing = (1..=profile.clones)
        .filter(|&lu| world.clone_info(lu).state == CLONE_GROUP_CLONE_SYNCHRONIZING)
        .count();
    assert_eq!(synchronizing, profile.clones, "all Synchronizations run at once");
    world.settle();
    for lu in 1..=profile.clones {
        let info = world.clone_info(lu);
        assert_eq!((info.state, info.extents_left), (CLONE_GROUP_CLONE_SYNCHRONIZED, 0), "Clone {lu}");
        assert_eq!(
            info.conditions & CLONE_GROUP_CONDITION_RESTORABLE,
            0,
            "Clone {lu} is no point in time yet"
        );
        let inner = world.inner.borrow();
        assert_eq!(inner.devices[0].now, inner.devices[lu].now, "Clone {lu}");
    }
    world
}

fn write(world: &World, first: usize, count: usize) {
    world.host(CLONE_GROUP_IO_WRITE, 0, first, count, true);
    for _ in 0..1000 {
        world.poll(8);
        world.complete_some(8);
    }
    assert_eq!(world.hosts_open(), 0, "a write does not end");
}

fn life(profile: Profile) {
    let mut world = mirrored(profile);
    let last = profile.clones;
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group, here and below.
    let fracture = |group, tag| unsafe { clone_group_fracture(group, 1, std::ptr::null(), 0, tag) };
    assert_eq!(world.run_operation(fracture), CLONE_GROUP_OK);
    let then = world.inner.borrow().devices[0].now.clone();
    // Extents 1 and 2 change after the fracture, in every Clone but the first.
    write(&world, EXTENT_BLOCKS, 2 * EXTENT_BLOCKS);
    let before = world.inner.borrow().devices[0].now.clone();
    assert_eq!(world.inner.borrow().devices[last].now, before);
    let info = world.clone_info(1);
    assert_ne!(info.conditions & CLONE_GROUP_CONDITION_RESTORABLE, 0);
    assert_eq!(info.extents_left, 2, "what a restore from Clone 1 would copy");

    world.inner.borrow_mut().note_fracture();
    // SAFETY: as above.
    let restore = |group, tag| unsafe { clone_group_protected_restore(group, 1, tag) };
    assert_eq!(world.run_operation(restore), CLONE_GROUP_OK);
    for lu in 2..=last {
        assert_eq!(
            world.clone_info(lu).state,
            CLONE_GROUP_CLONE_FRACTURED,
            "fractured with the start: Clone {lu}"
        );
    }
    // While it runs, no Clone can be restored from; a power loss changes nothing of that.
    world.lose_power(|| true);
    world.power_on();
    // SAFETY: as above.
    let recover = |group, tag| unsafe { clone_group_recover(group, 0, tag) };
    assert_eq!(world.run_operation(recover), CLONE_GROUP_OK);
    world.after_recovery();
    assert_eq!(world.info().restoring_lu, 1);
    assert!((1..=last).all(|lu| world.clone_info(lu).conditions & CLONE_GROUP_CONDITION_RESTORABLE == 0));
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
    assert_eq!(world.inner.borrow().devices[0].now, then, "the point in time");

    // The undo: the last Clone has the Source as it was before the restore.
    let info = world.clone_info(last);
    assert_ne!(info.conditions & CLONE_GROUP_CONDITION_RESTORABLE, 0);
    assert!(info.extents_left >= 2, "what was restored differs from Clone {last}");
    if profile.map_per_clone {
        assert_eq!(info.extents_left, 2, "exactly that differs");
    }
    let lu = last as u32;
    // SAFETY: as above.
    let undo = |group, tag| unsafe { clone_group_protected_restore(group, lu, tag) };
    assert_eq!(world.run_operation(undo), CLONE_GROUP_OK);
    world.settle();
    assert_eq!(world.inner.borrow().devices[0].now, before, "undone");
    for lu in 2..=last {
        assert_eq!(world.inner.borrow().devices[lu].now, before, "Clone {lu} is untouched (I1)");
    }
}

/// 255 Clones with one map for all.
#[test]
fn clones_255() {
    life(Profile { clones: 255, blocks: 9 * EXTENT_BLOCKS, ..Profile::QUIET });
}

/// 50 Clones with a map for each: the most that a page of 512 bytes has columns for.
#[test]
fn clones_50_with_a_map_for_each() {
    life(Profile { clones: 50, blocks: 9 * EXTENT_BLOCKS, map_per_clone: true, ..Profile::QUIET });
}

/// The same with a volatile cache and completions in any order.
#[test]
fn clones_50_with_volatile_caches() {
    let quiet = Profile { clones: 50, blocks: 9 * EXTENT_BLOCKS, map_per_clone: true, ..Profile::QUIET };
    life(Profile { volatile: true, persist_flush: true, immediate: 100, ..quiet });
}
