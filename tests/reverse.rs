//! Reverse Synchronization through the C ABI: each of its rules shown once on purpose, and power lost after every
//! single I/O of one, with hosts that write and read.
//!
//! Replay of a power loss: the failure names profile, fate and step; `CLONE_GROUP_TRACE=1` tells what happens.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Profile, World};

/// Ten extents of four blocks, the last one short; one copy is one extent. Every I/O waits to be completed.
const HELD: Profile = Profile { immediate: 0, ..Profile::QUIET };

type Call = fn(*mut clone_group, u64) -> i32;

// SAFETY: the world passes a live group, here and below.
const FORMAT: Call = |group, tag| unsafe { clone_group_format(group, 0, tag) };
// SAFETY: as above.
const RECOVER: Call = |group, tag| unsafe { clone_group_recover(group, 0, tag) };
// SAFETY: as above.
const FRACTURE: Call = |group, tag| unsafe { clone_group_fracture(group, 1, std::ptr::null(), 0, tag) };
// SAFETY: as above.
const REVERSE: Call = |group, tag| unsafe { clone_group_reverse_synchronize(group, 1, tag) };
// SAFETY: as above.
const RESTORE: Call = |group, tag| unsafe { clone_group_protected_restore(group, 1, tag) };
// SAFETY: as above.
const RESUME: Call = |group, tag| unsafe { clone_group_resume(group, tag) };
// SAFETY: as above.
const PAUSE: Call = |group, tag| unsafe { clone_group_pause(group, tag) };

fn add(world: &World, lu: u32) -> i32 {
    // SAFETY: a live group.
    world.run_operation(|group, tag| unsafe { clone_group_clone_add(group, lu, tag) })
}

fn synchronize(world: &World, lu: u32) -> i32 {
    // SAFETY: a live group.
    world.run_operation(|group, tag| unsafe { clone_group_synchronize(group, lu, tag) })
}

/// Clone 1 is fractured, and hosts wrote the Source since in the first four extents. With a second Clone, that one is
/// mirrored. All is durable.
fn fractured(profile: Profile) -> Box<World> {
    let mut world = World::new(Profile { immediate: 256, faults: 0, ..profile }, 3);
    world.power_on();
    assert_eq!(world.run_operation(FORMAT), CLONE_GROUP_OK);
    for lu in 1..=profile.clones as u32 {
        assert_eq!(add(&world, lu), CLONE_GROUP_OK);
        assert_eq!(synchronize(&world, lu), CLONE_GROUP_OK);
        world.settle();
    }
    world.inner.borrow_mut().note_fracture();
    assert_eq!(world.run_operation(FRACTURE), CLONE_GROUP_OK);
    for extent in 0..4 {
        world.host(CLONE_GROUP_IO_WRITE, 0, 4 * extent + 1, 2, true);
    }
    world.settle();
    world.inner.borrow_mut().profile = profile;
    world
}

/// A Reverse Synchronization began, and four extents are to be copied; none is.
fn reversing(profile: Profile) -> Box<World> {
    let world = fractured(profile);
    world.inner.borrow_mut().note_fracture();
    assert_eq!(world.run_operation(REVERSE), CLONE_GROUP_OK);
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING);
    assert_eq!(world.clone_info(1).extents_left, 4);
    world
}

fn is_metadata(io: &clone_group_io) -> bool {
    io.lu == CLONE_GROUP_LU_NONE
}

fn is_host(io: &clone_group_io) -> bool {
    io.flags & CLONE_GROUP_IO_HOST != 0
}

fn is(operation: u32, lu: u32) -> impl Fn(&clone_group_io) -> bool {
    move |io| io.operation == operation && io.lu == lu
}

fn host_io(operation: u32, lu: u32) -> impl Fn(&clone_group_io) -> bool {
    move |io| is_host(io) && is(operation, lu)(io)
}

fn copy_io(operation: u32, lu: u32) -> impl Fn(&clone_group_io) -> bool {
    move |io| !is_host(io) && is(operation, lu)(io)
}

/// Polls, and completes what satisfies the test, until nothing moves.
fn run(world: &World, completes: impl Fn(&clone_group_io) -> bool) {
    for _ in 0..1000 {
        let state = world.poll(64);
        let ended = world.complete_where(&completes);
        if ended == 0 && state != CLONE_GROUP_MORE {
            return;
        }
    }
    panic!("polls always want more");
}

/// Everything is completed at once from now on; the Reverse Synchronization must end, with equal LUs.
fn finish(world: &World) {
    world.inner.borrow_mut().profile.immediate = 256;
    world.settle();
    assert_eq!(world.info().reversing_lu, 0, "the Reverse Synchronization does not end");
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    assert_eq!(world.clone_info(1).extents_left, 0);
    assert_equal(world);
    world.check_lu_now(0);
    world.check_delta_maps();
}

fn assert_equal(world: &World) {
    let inner = world.inner.borrow();
    let differ = (0..inner.profile.blocks).filter(|&at| inner.devices[0].now[at] != inner.devices[1].now[at]);
    assert_eq!(differ.collect::<Vec<_>>(), [] as [usize; 0], "blocks in which Source and Clone differ");
}

/// R24, R41: a copy that read what the Clone lost afterwards with a failed flush does not count.
#[test]
fn r24_a_copy_that_read_what_the_clone_lost_is_made_again() {
    for map_per_clone in [false, true] {
        let world = reversing(Profile { volatile: true, map_per_clone, ..HELD });
        // A host write that both caches have.
        world.host(CLONE_GROUP_IO_WRITE, 0, 2, 1, false);
        run(&world, |io| is_metadata(io) || is_host(io));
        assert_eq!(world.hosts_open(), 0);
        // The copy of its extent has read it, and its write is under way.
        world.step(1);
        assert_eq!(world.complete_where(copy_io(CLONE_GROUP_IO_READ, 1)), 1);
        run(&world, is_metadata);
        assert_eq!(world.held_where(copy_io(CLONE_GROUP_IO_WRITE, 0)), 1);
        world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        run(&world, is_metadata);
        assert_eq!(world.fail_where(is(CLONE_GROUP_IO_FLUSH, 1)), 1);
        run(&world, |_| true);
        assert_eq!(world.inner.borrow().flushes.last().map(|done| done.1), Some(-5));
        assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        finish(&world);
    }
}
