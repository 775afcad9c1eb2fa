//! Reverse Synchronization through the C ABI: each of its rules shown once on purpose, and power lost after every
//! single I/O of one, with hosts that write and read.
//!
//! Replay of a power loss: the failure names profile, fate and step; `CLONE_GROUP_TRACE=1` tells what happens.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, World};

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
fn fractured(profile: Profile) -> Placed {
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
fn reversing(profile: Profile) -> Placed {
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

/// R24: a copy of which the Source lost a piece with a failed flush does not count.
#[test]
fn r24_a_copy_of_which_the_source_lost_a_piece_is_made_again() {
    for map_per_clone in [false, true] {
        let world = reversing(Profile { volatile: true, map_per_clone, copy_blocks: 2, ..HELD });
        world.step(1);
        // The first of two pieces is written.
        for (operation, lu) in [(CLONE_GROUP_IO_READ, 1), (CLONE_GROUP_IO_WRITE, 0)] {
            assert_eq!(world.complete_where(copy_io(operation, lu)), 1);
            world.poll(64);
        }
        assert_eq!(world.held_where(copy_io(CLONE_GROUP_IO_READ, 1)), 1);
        world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        run(&world, is_metadata);
        assert_eq!(world.fail_where(is(CLONE_GROUP_IO_FLUSH, 0)), 1);
        run(&world, |_| true);
        assert_eq!(world.clone_info(1).extents_left, 4, "a copy of which a piece is lost counts");
        assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        finish(&world);
    }
}

/// R40: the intent is durable before either leg goes out.
#[test]
fn r40_the_intent_is_durable_before_either_leg() {
    for map_per_clone in [false, true] {
        let world = reversing(Profile { map_per_clone, ..HELD });
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        world.poll(64);
        let pages = world.held_where(is(CLONE_GROUP_IO_PERSIST_WRITE, CLONE_GROUP_LU_NONE));
        assert_eq!((pages, world.held_where(is_host)), (1, 0), "per Clone: {map_per_clone}");
        run(&world, is_metadata);
        assert_eq!(world.held_where(host_io(CLONE_GROUP_IO_WRITE, 0)), 1);
        assert_eq!(world.held_where(host_io(CLONE_GROUP_IO_WRITE, 1)), 1);
        // Another one to the extent needs no page: the devices check that its bit is durable.
        world.host(CLONE_GROUP_IO_WRITE, 0, 29, 1, false);
        assert_eq!(world.held_where(is_host), 4);
        finish(&world);
    }
}

/// R41: hosts read the Clone, copied or not, until the flip, after a power loss too; then the Source.
#[test]
fn r41_reads_come_from_the_clone_until_the_flip() {
    let mut world = reversing(HELD);
    let reads_from = |world: &World, lu: u32| {
        for block in [2, 14, 30] {
            let before = world.held_where(host_io(CLONE_GROUP_IO_READ, lu));
            world.host(CLONE_GROUP_IO_READ, 0, block, 1, false);
            assert_eq!(world.held_where(host_io(CLONE_GROUP_IO_READ, lu)), before + 1);
        }
        run(world, |_| true);
    };
    reads_from(&world, 1);
    for _ in 0..2 {
        // One extent is copied.
        world.step(1);
        run(&world, |_| true);
        reads_from(&world, 1);
    }
    assert_eq!(world.clone_info(1).extents_left, 2);
    world.lose_power(|| true);
    world.power_on();
    assert_eq!(world.run_operation(RECOVER), CLONE_GROUP_OK);
    world.after_recovery();
    assert_eq!(world.info().reversing_lu, 1);
    reads_from(&world, 1);
    world.check_lu_after_loss(0);
    finish(&world);
    world.inner.borrow_mut().profile.immediate = 0;
    reads_from(&world, 0);
}

/// R42: a write is acknowledged when both legs are over.
#[test]
fn r42_a_write_is_acknowledged_after_both_legs() {
    for first in [0, 1] {
        let world = reversing(HELD);
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        run(&world, is_metadata);
        run(&world, host_io(CLONE_GROUP_IO_WRITE, first));
        assert_eq!(world.hosts_open(), 1, "acknowledged after the leg to LU {first} alone");
        run(&world, host_io(CLONE_GROUP_IO_WRITE, 1 - first));
        assert_eq!(world.hosts_open(), 0);
        finish(&world);
    }
}

/// R43: a write that overlaps one under way waits for both legs of it.
#[test]
fn r43_overlapping_writes_are_serialised() {
    let world = reversing(HELD);
    world.host(CLONE_GROUP_IO_WRITE, 0, 29, 2, false);
    run(&world, is_metadata);
    let mut payload = [77_u64; 2];
    // The model of hosts does not write twice at once.
    // SAFETY: a live group; the payload outlives the request.
    let status =
        unsafe { clone_group_host_write(world.group(), 0, 30, 2, payload.as_mut_ptr().cast(), 0, 5) };
    assert_eq!(status, CLONE_GROUP_PENDING);
    run(&world, is_metadata);
    assert_eq!(world.held_where(is_host), 2, "both writes are under way");
    run(&world, host_io(CLONE_GROUP_IO_WRITE, 1));
    assert_eq!(world.held_where(is_host), 1);
    run(&world, host_io(CLONE_GROUP_IO_WRITE, 0));
    // It was held, and held now are its own legs. In whatever order they come, it is the last.
    world.inner.borrow_mut().profile.immediate = 256;
    world.settle();
    let inner = world.inner.borrow();
    assert_eq!((inner.devices[0].now[30], inner.devices[1].now[30]), (77, 77));
    assert_eq!(inner.devices[0].now, inner.devices[1].now);
}

/// R44, R45, E7: a host write before the copy's read, between its read and its write, or while that is under way: the
/// extent is copied again, the host does not wait, and both LUs are equal in the end.
#[test]
fn r44_collisions_at_each_moment() {
    for moment in 0..3 {
        for clone_first in [false, true] {
            let world = reversing(HELD);
            let write = |world: &World| {
                world.host(CLONE_GROUP_IO_WRITE, 0, 2, 1, false);
                run(world, is_metadata);
                assert_eq!(world.held_where(is_host), 2, "the host waits for the copy");
            };
            let (early, late) = if clone_first { (1, 0) } else { (0, 1) };
            if moment == 0 {
                write(&world);
                run(&world, host_io(CLONE_GROUP_IO_WRITE, early));
            }
            world.step(1);
            assert_eq!(world.held_where(copy_io(CLONE_GROUP_IO_READ, 1)), 1);
            if moment == 1 {
                write(&world);
                run(&world, host_io(CLONE_GROUP_IO_WRITE, early));
            }
            assert_eq!(world.complete_where(copy_io(CLONE_GROUP_IO_READ, 1)), 1);
            run(&world, is_metadata);
            assert_eq!(world.held_where(copy_io(CLONE_GROUP_IO_WRITE, 0)), 1);
            if moment == 2 {
                write(&world);
                run(&world, host_io(CLONE_GROUP_IO_WRITE, early));
            }
            run(&world, copy_io(CLONE_GROUP_IO_WRITE, 0));
            run(&world, host_io(CLONE_GROUP_IO_WRITE, late));
            assert_eq!(world.hosts_open(), 0);
            assert_eq!(world.statistics().collisions, 1, "moment {moment}");
            assert_eq!(world.clone_info(1).extents_left, 4, "a collided extent left the Delta Map (R45)");
            finish(&world);
        }
    }
}

/// R46, TC-16: a host that never stops writing to an extent does not keep a Reverse Synchronization from ending. R48:
/// the flip comes under that load, too.
#[test]
fn r46_a_hot_extent_is_copied_in_the_end() {
    for map_per_clone in [false, true] {
        let world = reversing(Profile { map_per_clone, ..HELD });
        let mut turns = 0;
        while world.info().reversing_lu != 0 {
            let open = world.inner.borrow().models[0][0].is_open();
            if !open {
                world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
            }
            world.step(2);
            world.complete_some(1);
            turns += 1;
            assert!(turns < 20_000, "it does not end: {} left", world.clone_info(1).extents_left);
        }
        let statistics = world.statistics();
        assert!(statistics.collisions >= 3, "the test lost its collisions: {}", statistics.collisions);
        assert!(statistics.exclusive_copies >= 1, "no copy was exclusive");
        finish(&world);
    }
}

/// R48: the flip waits for what is under way, not for what it holds itself, and flushes both LUs before the superblock.
#[test]
fn r48_the_flip_holds_hosts_and_drains() {
    for volatile in [false, true] {
        let world = reversing(Profile { volatile, ..HELD });
        // A slow write and a slow read are under way; everything is copied.
        world.host(CLONE_GROUP_IO_WRITE, 0, 37, 1, false);
        world.host(CLONE_GROUP_IO_READ, 0, 20, 1, false);
        run(&world, is_metadata);
        for _ in 0..20 {
            world.step(4);
            run(&world, |io| !is_host(io));
        }
        assert_eq!(world.clone_info(1).extents_left, 0);
        assert_eq!(world.info().reversing_lu, 1, "the flip did not wait for what is under way");
        // Those that come now are held.
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        world.host(CLONE_GROUP_IO_READ, 0, 21, 1, false);
        world.host(CLONE_GROUP_IO_READ, 1, 21, 1, false);
        run(&world, |io| !is_host(io));
        assert_eq!(world.held_where(is_host), 3, "a request was not held");
        let superblocks = world.statistics().superblock_writes;
        run(&world, is_host);
        for lu in [0, 1].into_iter().filter(|_| volatile) {
            assert_eq!(world.held_where(is(CLONE_GROUP_IO_FLUSH, lu)), 1, "LU {lu} is not flushed");
            assert_eq!(world.statistics().superblock_writes, superblocks, "before the flush of LU {lu}");
            run(&world, is(CLONE_GROUP_IO_FLUSH, lu));
        }
        assert_eq!(world.statistics().superblock_writes, superblocks + 1);
        assert_eq!(world.info().reversing_lu, 1);
        run(&world, is_metadata);
        assert_eq!(world.info().reversing_lu, 0);
        // The read that was held goes to the Source now; the Clone is mirrored, and hosts do not use it.
        assert_eq!(world.held_where(host_io(CLONE_GROUP_IO_READ, 0)), 1);
        assert_eq!(world.held_where(host_io(CLONE_GROUP_IO_READ, 1)), 0);
        run(&world, |_| true);
        finish(&world);
    }
}

/// R50: a failed leg to the Clone fails the host; one to the Source does not. Both are copied again.
#[test]
fn r50_each_leg_may_fail() {
    for map_per_clone in [false, true] {
        for lu in [0, 1] {
            let mut world = reversing(Profile { map_per_clone, ..HELD });
            let (tag, _) = world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
            run(&world, is_metadata);
            assert_eq!(world.fail_where(host_io(CLONE_GROUP_IO_WRITE, lu)), 1);
            run(&world, |io| is_metadata(io) || is_host(io));
            assert_eq!(world.hosts_open(), 0);
            assert_eq!(world.inner.borrow().failed.contains(&tag), lu == 1, "LU {lu}");
            assert_eq!(world.clone_info(1).extents_left, 5, "LU {lu}: the extent is not copied again");
            // A power loss does not forget it.
            world.lose_power(|| true);
            world.power_on();
            assert_eq!(world.run_operation(RECOVER), CLONE_GROUP_OK);
            world.after_recovery();
            assert!(world.map(CLONE_GROUP_MAP_DELTA, 1)[7]);
            world.check_lu_after_loss(0);
            finish(&world);
        }
    }
}

/// R51: a payload that may change under the write is copied to the Source from the Clone.
#[test]
fn r51_an_unstable_payload_is_copied_again() {
    for map_per_clone in [false, true] {
        let world = reversing(Profile { map_per_clone, immediate: 256, ..HELD });
        let before = world.statistics().sync_extents;
        let mut payload = [7_u64; 2];
        let flags = CLONE_GROUP_HOST_UNSTABLE;
        // SAFETY: a live group; the payload outlives the request.
        let status =
            unsafe { clone_group_host_write(world.group(), 0, 29, 2, payload.as_mut_ptr().cast(), flags, 5) };
        assert!(status >= CLONE_GROUP_OK);
        world.settle();
        assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
        assert_eq!(world.statistics().sync_extents, before + 5, "the extent was not copied again");
        assert_equal(&world);
    }
}

/// R22: a host flush is one of both LUs, and done when both are.
#[test]
fn r22_a_host_flush_reaches_both() {
    for late in [0, 1] {
        let world = reversing(Profile { volatile: true, ..HELD });
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        run(&world, |io| is_metadata(io) || is_host(io));
        world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        world.poll(64);
        for lu in [0, 1] {
            assert_eq!(world.held_where(is(CLONE_GROUP_IO_FLUSH, lu)), 1);
        }
        run(&world, is(CLONE_GROUP_IO_FLUSH, 1 - late));
        assert_eq!(world.hosts_open(), 1, "done before LU {late} is flushed");
        run(&world, is(CLONE_GROUP_IO_FLUSH, late));
        assert_eq!(world.hosts_open(), 0);
        finish(&world);
    }
}

/// R24, N10: a flush of either LU fails: what hosts wrote lately is copied again, but only after a resume, and not lost
/// by a power loss before it. The host hears of the Clone's failure only.
#[test]
fn r24_a_flush_of_either_lu_fails() {
    for (lu, power_loss, map_per_clone) in [0, 1]
        .into_iter()
        .flat_map(|lu| [(lu, false, false), (lu, false, true), (lu, true, false), (lu, true, true)])
    {
        let mut world = reversing(Profile { volatile: true, map_per_clone, ..HELD });
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        run(&world, |io| is_metadata(io) || is_host(io));
        // One extent is copied, too.
        world.step(1);
        run(&world, |_| true);
        assert_eq!(world.clone_info(1).extents_left, 3);
        world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        world.poll(64);
        assert_eq!(world.fail_where(is(CLONE_GROUP_IO_FLUSH, lu)), 1);
        run(&world, |_| true);
        let status = world.inner.borrow().flushes.last().map(|done| done.1);
        assert_eq!(status, Some(if lu == 1 { -5 } else { CLONE_GROUP_OK }));
        let conditions = world.clone_info(1).conditions;
        assert_eq!(conditions & CLONE_GROUP_CONDITION_STALLED, CLONE_GROUP_CONDITION_STALLED);
        let delta = world.map(CLONE_GROUP_MAP_DELTA, 1);
        assert!(delta[0] && delta[7], "a flush of LU {lu} failed, and {delta:?} is to be copied");
        if power_loss {
            world.lose_power(|| false);
            world.power_on();
            assert_eq!(world.run_operation(RECOVER), CLONE_GROUP_OK);
            world.after_recovery();
            let delta = world.map(CLONE_GROUP_MAP_DELTA, 1);
            assert!(
                delta[0] && delta[7],
                "a flush of LU {lu} failed, and after a power loss {delta:?} is left"
            );
            world.check_lu_after_loss(0);
        } else {
            for _ in 0..10 {
                world.step(8);
                run(&world, |_| true);
            }
            assert_eq!(world.info().reversing_lu, 1, "it went on without a resume");
            assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        }
        finish(&world);
    }
}

/// R39: what is refused meanwhile. Hosts read and flush the Clone itself, and write it through the Source only.
#[test]
fn r39_other_operations_are_refused_meanwhile() {
    let world = reversing(Profile { immediate: 256, ..HELD });
    // SAFETY: a live group, here and below.
    let synchronize = |group, tag| unsafe { clone_group_synchronize(group, 2, tag) };
    // SAFETY: as above.
    let restore = |group, tag| unsafe { clone_group_protected_restore(group, 2, tag) };
    // SAFETY: as above.
    let reverse = |group, tag| unsafe { clone_group_reverse_synchronize(group, 2, tag) };
    // SAFETY: as above.
    let remove = |group, tag| unsafe { clone_group_clone_remove(group, 1, tag) };
    // SAFETY: as above.
    let add = |group, tag| unsafe { clone_group_clone_add(group, 2, tag) };
    let refused: [(&str, Call); 8] = [
        ("fracture", FRACTURE),
        ("reverse", REVERSE),
        ("restore", RESTORE),
        ("synchronize another one", synchronize),
        ("restore another one", restore),
        ("reverse another one", reverse),
        ("remove", remove),
        ("add", add),
    ];
    for (name, call) in refused {
        assert_eq!(world.operation(call), Err(CLONE_GROUP_ERR_STATE), "{name}");
    }
    for operation in [CLONE_GROUP_IO_WRITE, CLONE_GROUP_IO_DISCARD, CLONE_GROUP_IO_WRITE_ZEROES] {
        assert_eq!(world.host(operation, 1, 0, 1, false).1, Some(CLONE_GROUP_ERR_STATE));
    }
    assert_eq!(world.host(CLONE_GROUP_IO_FLUSH, 1, 0, 1, false).1, Some(CLONE_GROUP_OK));
    let clone = world.inner.borrow().devices[1].now.clone();
    assert_eq!(world.read_now(1, 0, 8).as_deref(), Ok(&clone[..8]));
    assert_eq!(world.read_now(0, 0, 8).as_deref(), Ok(&clone[..8]));
    // A pause stops the copies, and only them.
    assert_eq!(world.run_operation(PAUSE), CLONE_GROUP_OK);
    world.settle();
    assert_eq!((world.info().reversing_lu, world.clone_info(1).extents_left), (1, 4));
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 0, 1, 1, false).1, Some(CLONE_GROUP_OK));
    assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
    finish(&world);
}

/// R65 on both legs: zeroes and discards leave the same on both, whatever the LUs declare.
#[test]
fn r65_zeroes_and_discards_leave_both_equal() {
    for discard_zeroes in [false, true] {
        let world = reversing(Profile { immediate: 256, discard_zeroes, ..HELD });
        for (operation, first, count) in [
            (CLONE_GROUP_IO_DISCARD, 1, 2),
            (CLONE_GROUP_IO_WRITE_ZEROES, 4, 6),
            (CLONE_GROUP_IO_DISCARD, 12, 4),
            (CLONE_GROUP_IO_DISCARD, 30, 8),
        ] {
            world.host(operation, 0, first, count, false);
            world.step(1);
        }
        finish(&world);
    }
}

/// R76: a hung LU does not hold hosts for ever at the flip: a pause comes first, and hosts go on; a resume tries again.
#[test]
fn r76_a_pause_comes_before_a_flip_that_hangs() {
    for volatile in [false, true] {
        let world = reversing(Profile { volatile, ..HELD });
        // A write that hangs on the Source; with a cache, its flush hangs too.
        world.host(CLONE_GROUP_IO_WRITE, 0, 37, 1, false);
        let hangs = move |io: &clone_group_io| {
            io.lu == 0 && (io.operation == CLONE_GROUP_IO_FLUSH || !volatile && is_host(io))
        };
        for _ in 0..20 {
            world.step(4);
            run(&world, move |io| !hangs(io));
        }
        assert_eq!((world.clone_info(1).extents_left, world.held_where(hangs)), (0, 1));
        world.host(CLONE_GROUP_IO_READ, 0, 20, 1, false);
        run(&world, move |io| !hangs(io));
        assert_eq!(world.hosts_open(), 1 + usize::from(!volatile), "the read was not held");
        let tag = world.operation(PAUSE).expect("a pause is accepted");
        run(&world, move |io| !hangs(io));
        assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
        assert_eq!(world.hosts_open(), usize::from(!volatile), "the read is held still");
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        world.host(CLONE_GROUP_IO_READ, 0, 20, 1, false);
        run(&world, move |io| !hangs(io) && !is_host(io));
        assert!(world.held_where(is_host) >= 3, "hosts do not go on");
        assert_eq!(world.info().reversing_lu, 1);
        run(&world, |_| true);
        assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        finish(&world);
    }
}

/// R24: when a flush of the library itself fails, the next host flush says so once if it was one of the Clone, which
/// has what hosts see, also after the flip; of the Source it never does.
#[test]
fn r24_a_flush_of_the_library_fails() {
    for (lu, after_the_flip) in [(0, false), (0, true), (1, false), (1, true)] {
        let world = reversing(Profile { volatile: true, map_per_clone: true, ..HELD });
        let flush = || {
            let (tag, status) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
            run(&world, |_| true);
            let finished = world.inner.borrow().flushes.iter().find(|done| done.0 == tag).map(|done| done.1);
            status.or(finished).expect("the flush ends")
        };
        // So many intents that they are to be cleared.
        for extent in 0..10 {
            world.host(CLONE_GROUP_IO_WRITE, 0, 4 * extent, 1, false);
            run(&world, |io| is_metadata(io) || is_host(io));
        }
        assert_eq!((world.hosts_open(), world.held_where(is(CLONE_GROUP_IO_FLUSH, lu))), (0, 1));
        assert_eq!(world.fail_where(is(CLONE_GROUP_IO_FLUSH, lu)), 1);
        run(&world, |_| true);
        assert_eq!(world.clone_info(1).extents_left, 10);
        let told = if lu == 1 { [-5, CLONE_GROUP_OK] } else { [CLONE_GROUP_OK; 2] };
        if !after_the_flip {
            assert_eq!([flush(), flush()], told, "LU {lu}");
        }
        assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        finish(&world);
        if after_the_flip {
            assert_eq!([flush(), flush()], told, "LU {lu}, after the flip");
        }
        assert_eq!(flush(), CLONE_GROUP_OK);
    }
}

/// However a Reverse Synchronization is kept from ending, polls come to rest: none wants to be called again for ever.
#[test]
fn r76_polls_come_to_rest_whatever_stands_in_the_way() {
    let rest = |world: &World, why: &str| {
        let polls = (0..2000).take_while(|_| world.step(8) == CLONE_GROUP_MORE).count();
        assert!(polls < 2000, "{why}: polls want more for ever");
        assert_eq!(world.info().reversing_lu, 1, "{why}: the test lost what stands in the way");
    };
    for map_per_clone in [false, true] {
        for clones in [1, 2] {
            let quick = Profile { volatile: true, immediate: 256, map_per_clone, clones, ..HELD };

            let world = reversing(quick);
            assert_eq!(world.run_operation(PAUSE), CLONE_GROUP_OK);
            rest(&world, "paused");
            assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
            finish(&world);

            let world = reversing(quick);
            world.inner.borrow_mut().bad_blocks = vec![(1, 5)];
            world.inner.borrow_mut().fault_seen = true;
            rest(&world, "a block of the Clone is bad");
            let info = world.clone_info(1);
            assert_eq!((info.extents_left, info.extents_failed, info.first_failed_extent), (1, 1, 1));
            // Hosts go on beside it, and read what they write.
            world.host(CLONE_GROUP_IO_WRITE, 0, 6, 1, false);
            world.settle_or_stall();
            rest(&world, "a block of the Clone is bad, and hosts wrote");
            world.inner.borrow_mut().bad_blocks.clear();
            assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
            finish(&world);

            let world = reversing(quick);
            world.inner.borrow_mut().profile.immediate = 0;
            for _ in 0..100 {
                world.step(8);
                world.fail_where(is(CLONE_GROUP_IO_FLUSH, 0));
                world.complete_where(|_| true);
            }
            world.inner.borrow_mut().profile.immediate = 256;
            rest(&world, "flushes of the Source fail");
            let superblocks = world.statistics().superblock_writes;
            rest(&world, "flushes of the Source failed");
            assert_eq!(world.statistics().superblock_writes, superblocks);
            assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
            finish(&world);

            let world = reversing(quick);
            world.inner.borrow_mut().profile.metadata_faults = 65536;
            world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
            rest(&world, "metadata writes fail");
            let failed = CLONE_GROUP_CONDITION_METADATA_FAILED;
            assert_eq!(world.info().conditions & failed, failed);
            // What is durable already may be written and read still.
            assert!(world.read_now(0, 30, 1).is_ok());
            world.inner.borrow_mut().profile.metadata_faults = 0;
            // SAFETY: a live group.
            let repair = |group, tag| unsafe { clone_group_metadata_repair(group, tag) };
            assert_eq!(world.run_operation(repair), CLONE_GROUP_OK);
            finish(&world);
        }
    }
}

/// R24: a flush at the flip fails, and nothing is left to copy: it is tried again after a resume, not until it works.
#[test]
fn r24_a_failed_flush_at_the_flip_is_not_retried() {
    for lu in [0, 1] {
        let mut world = World::new(Profile { volatile: true, immediate: 256, ..HELD }, 3);
        world.power_on();
        assert_eq!(world.run_operation(FORMAT), CLONE_GROUP_OK);
        assert_eq!((add(&world, 1), synchronize(&world, 1)), (CLONE_GROUP_OK, CLONE_GROUP_OK));
        world.settle();
        world.inner.borrow_mut().note_fracture();
        assert_eq!(world.run_operation(FRACTURE), CLONE_GROUP_OK);
        world.settle();
        world.inner.borrow_mut().note_fracture();
        assert_eq!(world.run_operation(PAUSE), CLONE_GROUP_OK);
        assert_eq!(world.run_operation(REVERSE), CLONE_GROUP_OK);
        world.inner.borrow_mut().profile.immediate = 0;
        assert!(world.operation(RESUME).is_ok());
        let mut failed = 0;
        for _ in 0..50 {
            world.step(8);
            failed += world.fail_where(is(CLONE_GROUP_IO_FLUSH, lu));
            world.complete_where(|_| true);
        }
        assert_eq!(failed, 1, "LU {lu}");
        assert!((0..2000).any(|_| world.step(8) != CLONE_GROUP_MORE), "polls want more for ever");
        assert_eq!((world.info().reversing_lu, world.clone_info(1).extents_left), (1, 0));
        assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        finish(&world);
    }
}

/// R24: the Source's LU fails altogether: hosts go on with the Clone, and all is copied again when it is back.
#[test]
fn r50_hosts_go_on_without_the_source() {
    for map_per_clone in [false, true] {
        let world = reversing(Profile { volatile: true, map_per_clone, ..HELD });
        for turn in 0..30 {
            let block = turn % 37;
            world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, turn % 2 == 0);
            world.host(CLONE_GROUP_IO_READ, 0, (block + 11) % 37, 1, false);
            if turn % 5 == 4 {
                world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
            }
            for _ in 0..200 {
                world.step(2);
                world.fail_where(|io| io.lu == 0);
                world.complete_where(|_| true);
                if world.hosts_open() == 0 {
                    break;
                }
            }
            assert_eq!(world.hosts_open(), 0, "a host waits for the Source");
        }
        assert_eq!(world.inner.borrow().failed, [] as [u64; 0]);
        assert_eq!(world.info().reversing_lu, 1);
        world.inner.borrow_mut().profile.immediate = 256;
        for _ in 0..10 {
            world.step(8);
            world.complete_where(|_| true);
        }
        assert_eq!(world.run_operation(RESUME), CLONE_GROUP_OK);
        finish(&world);
    }
}

/// R46, R51: a host that never stops writing payloads that may change does not keep it from ending either.
#[test]
fn r51_endless_unstable_writes_do_not_keep_it_from_ending() {
    let world = reversing(HELD);
    let mut payload = [7_u64; 2];
    let mut tag = 500;
    let mut open = false;
    let mut turns = 0;
    while world.info().reversing_lu != 0 {
        let finished = world.inner.borrow().finished.iter().any(|&(done, _)| done == tag);
        if !open || finished {
            tag += 1;
            let flags = CLONE_GROUP_HOST_UNSTABLE;
            let at = payload.as_mut_ptr().cast();
            // SAFETY: a live group; the payload outlives the requests.
            let status = unsafe { clone_group_host_write(world.group(), 0, 9, 2, at, flags, tag) };
            assert_eq!(status, CLONE_GROUP_PENDING);
            open = true;
        }
        world.step(2);
        world.complete_some(1);
        turns += 1;
        assert!(turns < 20_000, "it does not end: {} left", world.clone_info(1).extents_left);
    }
}
