//! An array with two points in time, and what must hold when a restore is left.

use ::clone_group::ffi::types::*;

pub use crate::common::stage::Ask;
use crate::common::world::{Placed, Profile, World};

pub const EXTENT_BLOCKS: usize = 4;

/// Ten extents, the last one short.
pub const PROFILE: Profile =
    Profile { blocks: 38, extent_blocks: EXTENT_BLOCKS, copies: 3, copy_blocks: 8, ..Profile::QUIET };

/// Clones 1 and 2 are two points in time of the Source, which has changed since; hosts wrote to Clone 2, too. Which
/// extents differ from the Source: from Clone 1 all but 3 and 6, from Clone 2 {0, 2, 5, 9}.
pub fn two_points_in_time(profile: Profile, seed: u64) -> Placed {
    let mut world = World::new(profile, seed);
    world.power_on();
    world.does(Ask::Format);
    for lu in [1, 2] {
        world.does(Ask::Add(lu));
        world.does(Ask::Synchronize(lu));
        world.settle();
    }
    world.does(Ask::Fracture(1));
    for (first, count) in [(0, 3), (5, 2), (9, 2), (16, 4), (30, 5)] {
        world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
        world.settle();
    }
    world.does(Ask::Fracture(2));
    for (first, count) in [(2, 1), (21, 2), (36, 2)] {
        world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
        world.settle();
    }
    world.host(CLONE_GROUP_IO_WRITE, 2, 9, 1, false);
    world.settle();
    world
}

pub fn content(world: &World, lu: usize) -> Vec<u64> {
    world.inner.borrow().devices[lu].now.clone()
}

/// Extents in which the two LUs differ on the media.
pub fn differing(world: &World, lu: usize) -> Vec<bool> {
    let inner = world.inner.borrow();
    let chunks = |lu: usize| inner.devices[lu].now.chunks(inner.profile.extent_blocks);
    chunks(0).zip(chunks(lu)).map(|(source, clone)| source != clone).collect()
}

pub fn delta(world: &World, lu: usize) -> Vec<bool> {
    world.map(CLONE_GROUP_MAP_DELTA, lu)
}

pub fn is_invalid(world: &World) -> bool {
    world.info().conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0
}

/// A canceled restore: nobody is served the Source, its Clones are there for everybody.
pub fn check_refused(world: &World) {
    let info = world.info();
    assert!(is_invalid(world), "the Source is valid");
    assert_eq!((info.restoring_lu, info.protected_restore_extents, info.cod_queue_depth), (0, 0, 0));
    for operation in [
        CLONE_GROUP_IO_READ,
        CLONE_GROUP_IO_WRITE,
        CLONE_GROUP_IO_FLUSH,
        CLONE_GROUP_IO_DISCARD,
        CLONE_GROUP_IO_WRITE_ZEROES,
    ] {
        let refused = world.host(operation, 0, 8, 1, false).1;
        assert_eq!(refused, Some(CLONE_GROUP_ERR_SOURCE_INVALID), "operation {operation}");
    }
    for lu in [1, 2] {
        assert_eq!(world.clone_info(lu).state, CLONE_GROUP_CLONE_FRACTURED);
        assert_eq!(world.clone_info(lu).conditions, CLONE_GROUP_CONDITION_RESTORABLE);
        assert_eq!(world.ask(Ask::Synchronize(lu as u32)), Err(CLONE_GROUP_ERR_SOURCE_INVALID));
        assert_eq!(world.ask(Ask::Cancel(lu as u32)), Err(CLONE_GROUP_ERR_STATE));
        assert_eq!(world.ask(Ask::Retarget(lu as u32)), Err(CLONE_GROUP_ERR_STATE));
        world.check_lu_now(lu);
    }
}

/// A restore from this Clone, without hosts, copies as many extents as the Delta Map has, and brings the Clone's
/// content.
pub fn restore_exactly(world: &World, lu: usize) {
    let snapshot = content(world, lu);
    let before = world.statistics();
    let marked = delta(world, lu).iter().filter(|&&bit| bit).count() as u64;
    world.does(Ask::Restore(lu as u32));
    world.settle();
    assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
    assert!(!is_invalid(world), "a new restore leaves the Source invalid");
    let after = world.statistics();
    let copied = after.sync_extents + after.cod_extents - before.sync_extents - before.cod_extents;
    assert_eq!(copied, marked, "other extents were copied than those in the Delta Map");
    assert_eq!(content(world, 0), snapshot, "the Source is not the point in time");
    assert_eq!(content(world, lu), snapshot, "the Clone was modified");
    world.check_lu_now(0);
    world.check_delta_maps();
}

/// The mixture is served and stays what it is, also after a power loss.
pub fn accept_and_check(world: &mut World) {
    world.does(Ask::Accept);
    assert!(!is_invalid(world));
    let mixture = content(world, 0);
    world.check_lu_now(0);
    world.check_delta_maps();
    world.lose_power(|| false);
    world.power_on();
    world.does(Ask::Recover);
    world.after_recovery();
    assert!(!is_invalid(world), "the acceptance was not durable");
    assert_eq!(content(world, 0), mixture, "what hosts read of the mixture is gone (R59)");
    world.check_lu_after_loss(0);
    world.check_delta_maps();
    assert!(world.host(CLONE_GROUP_IO_WRITE, 0, 5, 9, false).1.is_none_or(|status| status == CLONE_GROUP_OK));
    world.settle();
    world.check_lu_now(0);
    restore_exactly(world, 1);
}
