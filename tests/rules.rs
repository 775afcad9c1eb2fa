//! Rules that random lives pass by too seldom, each shown once on purpose, through the C ABI. The test's name says
//! the rule.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, World};

const PROFILE: Profile = Profile { blocks: 256, ..Profile::QUIET };

type Call = fn(*mut clone_group, u64) -> i32;

// SAFETY: the world passes a live group.
const SYNCHRONIZE_1: Call = |group, tag| unsafe { clone_group_synchronize(group, 1, tag) };
// SAFETY: the world passes a live group.
const SYNCHRONIZE_2: Call = |group, tag| unsafe { clone_group_synchronize(group, 2, tag) };
// SAFETY: the world passes a live group.
const FRACTURE_1: Call = |group, tag| unsafe { clone_group_fracture(group, 1, std::ptr::null(), 0, tag) };
// SAFETY: the world passes a live group.
const RESTORE_1: Call = |group, tag| unsafe { clone_group_protected_restore(group, 1, tag) };
// SAFETY: the world passes a live group.
const RESTORE_2: Call = |group, tag| unsafe { clone_group_protected_restore(group, 2, tag) };
// SAFETY: the world passes a live group.
const ADD_1: Call = |group, tag| unsafe { clone_group_clone_add(group, 1, tag) };
// SAFETY: the world passes a live group.
const ADD_2: Call = |group, tag| unsafe { clone_group_clone_add(group, 2, tag) };
// SAFETY: the world passes a live group.
const REMOVE_1: Call = |group, tag| unsafe { clone_group_clone_remove(group, 1, tag) };

fn array(profile: Profile) -> Placed {
    let mut world = World::new(Profile { immediate: 256, faults: 0, ..profile }, 3);
    world.power_on();
    // SAFETY: a live group.
    let format = |group, tag| unsafe { clone_group_format(group, 0, tag) };
    assert_eq!(world.run_operation(format), CLONE_GROUP_OK);
    assert_eq!(world.run_operation(ADD_1), CLONE_GROUP_OK);
    world.inner.borrow_mut().profile = profile;
    world
}

/// Clone 1 is mirrored and equal.
fn mirrored(profile: Profile) -> Placed {
    let world = array(profile);
    assert_eq!(world.run_operation(SYNCHRONIZE_1), CLONE_GROUP_OK);
    world.settle();
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    world
}

/// Clone 1 is being restored from; four extents differ, none is copied yet.
fn restoring(profile: Profile) -> Placed {
    let world = mirrored(profile);
    world.inner.borrow_mut().note_fracture();
    assert_eq!(world.run_operation(FRACTURE_1), CLONE_GROUP_OK);
    world.host(CLONE_GROUP_IO_WRITE, 0, 0, 16, true);
    while world.hosts_open() > 0 {
        world.poll(8);
        world.complete_some(8);
    }
    world.inner.borrow_mut().note_fracture();
    assert_eq!(world.run_operation(RESTORE_1), CLONE_GROUP_OK);
    world
}

/// R46: a host that never stops writing to an extent does not keep a Synchronization from ending (TC-16).
#[test]
fn r46_a_hot_extent_is_copied_in_the_end() {
    let world = array(Profile { immediate: 0, ..PROFILE });
    assert_eq!(world.run_operation(SYNCHRONIZE_1), CLONE_GROUP_OK);
    let mut turns = 0;
    while world.clone_info(1).state != CLONE_GROUP_CLONE_SYNCHRONIZED {
        // Each write is under way while the extent is copied.
        let open = world.inner.borrow().models[0][0].is_open();
        if !open {
            world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
        }
        world.step(2);
        world.complete_some(1);
        turns += 1;
        assert!(
            turns < 20_000,
            "the Synchronization does not end: {} left",
            world.clone_info(1).extents_left
        );
    }
    let statistics = world.statistics();
    assert!(statistics.collisions >= 3, "the test lost its collisions: {}", statistics.collisions);
    assert!(statistics.exclusive_copies >= 1, "no copy was exclusive");
    world.settle();
    let inner = world.inner.borrow();
    assert_eq!(inner.devices[0].now, inner.devices[1].now);
}

/// R69: what a host waits for is copied before background copies that are ready already, however small the polls are.
#[test]
fn r69_copy_on_demand_comes_first() {
    let world = restoring(Profile { copies: 4, immediate: 0, ..PROFILE });
    world.step(8);
    let background = |io: &clone_group_io| io.operation == CLONE_GROUP_IO_READ && io.lu == 1;
    assert_eq!(world.complete_where(background), 3, "three copies in the background, one slot left");
    world.host(CLONE_GROUP_IO_WRITE, 0, 13, 1, false);
    let before = world.inner.borrow().log.len();
    for _ in 0..4 {
        world.poll(1);
    }
    let inner = world.inner.borrow();
    let submitted: Vec<(u32, u32, bool)> = inner.log[before..]
        .iter()
        .map(|io| (io.operation, io.lu, io.flags & CLONE_GROUP_IO_URGENT != 0))
        .collect();
    let write = (CLONE_GROUP_IO_WRITE, 0, false);
    assert_eq!(submitted, [(CLONE_GROUP_IO_READ, 1, true), write, write, write]);
}

/// R51: a payload that may change under the write is copied to the Clone again.
#[test]
fn r51_an_unstable_payload_is_copied_again() {
    let world = mirrored(PROFILE);
    let before = world.statistics().sync_extents;
    let mut payload = [7_u64; 2];
    let flags = CLONE_GROUP_HOST_UNSTABLE;
    // SAFETY: a live group; the payload outlives the request.
    let status =
        unsafe { clone_group_host_write(world.group(), 0, 9, 2, payload.as_mut_ptr().cast(), flags, 5) };
    assert!(status >= CLONE_GROUP_OK);
    world.settle();
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    assert_eq!(world.statistics().sync_extents, before + 1, "the extent was not copied again");
}

/// R76: an operation that waits in a drain behind a hung LU can be aborted, and hosts go on.
#[test]
fn r76_a_drain_can_be_aborted() {
    let world = mirrored(PROFILE);
    world.inner.borrow_mut().note_fracture();
    assert_eq!(world.run_operation(FRACTURE_1), CLONE_GROUP_OK);
    world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
    world.settle();
    // The LU hangs: this write does not complete.
    world.inner.borrow_mut().profile.immediate = 0;
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false).1, None);
    let tag = world.operation(RESTORE_1).expect("the restore is accepted");
    for _ in 0..10 {
        world.poll(8);
    }
    assert_eq!(world.done_operation(tag), None, "the drain did not wait for the write");
    let (_, held) = world.host(CLONE_GROUP_IO_READ, 0, 100, 1, false);
    assert_eq!(held, None, "a new request was not held");
    // SAFETY: a live group.
    assert_eq!(unsafe { clone_group_abort(world.group(), tag) }, CLONE_GROUP_OK);
    world.poll(8);
    assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_ERR_CANCELED));
    for _ in 0..50 {
        world.poll(8);
        world.complete_some(4);
    }
    assert_eq!(world.hosts_open(), 0, "hosts do not go on");
    assert_eq!(world.info().restoring_lu, 0);
}

/// R78: write intents of a mirrored Clone stay within their bound, however many extents hosts write to.
#[test]
fn r78_write_intents_are_bounded() {
    for immediate in [0, 256] {
        let world = mirrored(Profile { immediate, ..PROFILE });
        for extent in 0..64 {
            world.host(CLONE_GROUP_IO_WRITE, 0, extent * 4 + 1, 1, false);
            for _ in 0..200 {
                world.poll(8);
                world.complete_some(4);
                let intents = world.info().persistent_delta_extents;
                assert!(intents <= 16, "{intents} intents, 16 are allowed");
            }
        }
        assert_eq!(world.hosts_open(), 0, "a write waits for ever");
    }
}

/// R24: when a flush of the library itself fails, the next host flush says so, and only that one.
#[test]
fn r24_a_failed_flush_is_reported_once() {
    let world = restoring(Profile { volatile: true, immediate: 0, ..PROFILE });
    // All copies are made; the flush behind them is under way.
    let before = world.statistics();
    for _ in 0..200 {
        world.step(4);
        if world.statistics().sync_extents < before.sync_extents + 4 {
            world.complete_some(1);
        }
    }
    let flushes = world.statistics().engine_flushes - before.engine_flushes;
    assert_eq!((world.held(), flushes), (1, 1), "no flush is under way");
    world.inner.borrow_mut().profile.faults = 65536;
    world.complete_some(world.held());
    world.poll(8);
    world.inner.borrow_mut().profile.faults = 0;
    let flush = || {
        let (tag, status) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        for _ in 0..50 {
            world.poll(8);
            world.complete_some(4);
        }
        let finished = world.inner.borrow().flushes.iter().find(|done| done.0 == tag).map(|done| done.1);
        status.or(finished).expect("the flush ends")
    };
    assert_eq!(flush(), -5, "the host was not told");
    assert_eq!(flush(), CLONE_GROUP_OK, "the error was told twice");
    // Nothing is lost: the Clone is as it was, so the copies are simply made again after a resume.
    assert_eq!(world.clone_info(1).conditions & CLONE_GROUP_CONDITION_STALLED, CLONE_GROUP_CONDITION_STALLED);
    // SAFETY: a live group.
    let resume: Call = |group, tag| unsafe { clone_group_resume(group, tag) };
    assert_eq!(world.run_operation(resume), CLONE_GROUP_OK);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
    let inner = world.inner.borrow();
    assert_eq!(inner.devices[0].now, inner.devices[1].now);
}

/// R35, R39: what is refused while a restore runs, and with which status.
#[test]
fn r39_a_restore_excludes_other_operations() {
    let world = restoring(PROFILE);
    for (name, call, status) in [
        ("synchronize", SYNCHRONIZE_1, CLONE_GROUP_ERR_STATE),
        ("fracture", FRACTURE_1, CLONE_GROUP_ERR_STATE),
        ("a second restore", RESTORE_1, CLONE_GROUP_ERR_STATE),
        ("remove", REMOVE_1, CLONE_GROUP_ERR_STATE),
        ("add", ADD_2, CLONE_GROUP_ERR_STATE),
        ("a restore from an LU that is no Clone", RESTORE_2, CLONE_GROUP_ERR_NO_LU),
        ("synchronize an LU that is no Clone", SYNCHRONIZE_2, CLONE_GROUP_ERR_NO_LU),
    ] {
        assert_eq!(world.operation(call), Err(status), "{name}");
    }
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 1, 0, 1, false).1, Some(CLONE_GROUP_ERR_PROTECTED));
    assert_eq!(world.host(CLONE_GROUP_IO_READ, 1, 0, 1, false).1, Some(CLONE_GROUP_OK));
}

/// R61: an extent that cannot be read from the Clone fails who needs a copy of it, the rest goes on, the engine
/// waits, and a write over all of the extent heals it.
#[test]
fn r61_a_whole_write_heals_a_bad_extent() {
    let world = restoring(PROFILE);
    world.inner.borrow_mut().bad_blocks = vec![(1, 5)];
    world.inner.borrow_mut().fault_seen = true;
    world.settle_or_stall();
    let info = world.clone_info(1);
    assert_eq!((info.extents_left, info.extents_failed, info.first_failed_extent), (1, 1, 1));
    assert_eq!(info.conditions, CLONE_GROUP_CONDITION_STALLED);
    // A part of the bad extent cannot be written: nobody knows the rest of it.
    let (tag, _) = world.host(CLONE_GROUP_IO_WRITE, 0, 6, 1, false);
    world.settle_or_stall();
    assert!(world.inner.borrow().failed.contains(&tag), "a write to a part of a bad extent succeeded");
    // A good block of it can be read: from the Clone.
    assert!(world.read_now(0, 6, 1).is_ok());
    assert_eq!(world.read_now(0, 5, 1), Err(-5));
    // All of it can be written.
    world.host(CLONE_GROUP_IO_WRITE, 0, 4, 4, false);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
    world.check_lu_now(0);
}

/// R24: a read that is under way on the Source when a flush fails, and with it the cache drops the copy that it
/// should find, does not return what the Source held before the restore.
#[test]
fn r24_a_read_of_a_dropped_copy_fails() {
    let world = restoring(Profile { volatile: true, immediate: 0, ..PROFILE });
    let (tag, _) = world.host(CLONE_GROUP_IO_READ, 0, 1, 1, false);
    // The copy on demand is made; the read and the flush of the copy go out.
    while world.statistics().cod_extents == 0 {
        world.poll(8);
        world.complete_some(1);
        world.poll(0);
        world.step(0);
    }
    for _ in 0..50 {
        world.step(4);
        world
            .complete_where(|io| io.operation != CLONE_GROUP_IO_FLUSH && io.flags & CLONE_GROUP_IO_HOST == 0);
    }
    assert_eq!(world.held(), 2, "a read and a flush are under way");
    world.inner.borrow_mut().fault_seen = true;
    world.inner.borrow_mut().profile.faults = 65536;
    world.complete_where(|io| io.operation == CLONE_GROUP_IO_FLUSH);
    world.inner.borrow_mut().devices[0].drop_cached();
    world.inner.borrow_mut().profile.faults = 0;
    world.poll(8);
    world.complete_where(|_| true);
    world.poll(8);
    assert!(world.inner.borrow().failed.contains(&tag), "the read returned what the cache dropped");
}
