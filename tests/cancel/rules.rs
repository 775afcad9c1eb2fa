//! What cancel, re-target and accept do in each situation, one by one.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::array::*;
use crate::common::world::{Placed, Profile, World};

/// Nothing completes by itself.
const HELD: Profile = Profile { immediate: 0, ..PROFILE };

/// A restore from Clone 1 has begun; nothing is copied yet.
fn restoring(profile: Profile) -> Placed {
    let world = two_points_in_time(Profile { immediate: 256, ..profile }, 5);
    world.does(Ask::Restore(1));
    world.inner.borrow_mut().profile = profile;
    world
}

fn polls(world: &World) {
    for _ in 0..20 {
        world.poll(8);
    }
}

/// Completes everything, and copies nothing in the background.
fn finish(world: &World) {
    for _ in 0..200 {
        world.poll(8);
        world.complete_some(4);
    }
}

fn status_of(world: &World, tag: u64) -> Option<i32> {
    world.inner.borrow().statuses.iter().find(|done| done.0 == tag).map(|done| done.1)
}

fn marked(bits: &[bool]) -> Vec<usize> {
    (0..bits.len()).filter(|&extent| bits[extent]).collect()
}

fn abort(world: &World, tag: u64) -> i32 {
    // SAFETY: a live group.
    unsafe { clone_group_abort(world.group(), tag) }
}

fn saw(world: &World, kind: u32, lu: u32) -> bool {
    world.inner.borrow().events.iter().any(|event| (event.0, event.1) == (kind, lu))
}

/// Each call is refused by the status that its state has.
#[test]
fn what_is_refused_in_which_state() {
    let world = two_points_in_time(Profile { clones: 3, ..PROFILE }, 5);
    let refused = |ask, status| assert_eq!(world.ask(ask), Err(status), "{ask:?}");
    refused(Ask::Cancel(3), CLONE_GROUP_ERR_NO_LU);
    refused(Ask::Cancel(1), CLONE_GROUP_ERR_STATE);
    refused(Ask::Retarget(1), CLONE_GROUP_ERR_STATE);
    refused(Ask::Retarget(3), CLONE_GROUP_ERR_NO_LU);
    refused(Ask::Accept, CLONE_GROUP_ERR_STATE);
    world.does(Ask::Add(3));
    refused(Ask::Cancel(3), CLONE_GROUP_ERR_STATE);
    world.does(Ask::Synchronize(3));
    refused(Ask::Fracture(3), CLONE_GROUP_ERR_NOT_CONSISTENT);
    refused(Ask::Retarget(3), CLONE_GROUP_ERR_STATE);
    world.does(Ask::Restore(1));
    // The Synchronization was cut short by the restore.
    refused(Ask::Cancel(3), CLONE_GROUP_ERR_STATE);
    refused(Ask::Retarget(3), CLONE_GROUP_ERR_NOT_CONSISTENT);
    refused(Ask::Retarget(1), CLONE_GROUP_ERR_STATE);
    refused(Ask::Retarget(9), CLONE_GROUP_ERR_NO_LU);
    refused(Ask::Cancel(2), CLONE_GROUP_ERR_STATE);
    refused(Ask::Accept, CLONE_GROUP_ERR_STATE);
    world.does(Ask::Cancel(1));
    refused(Ask::Synchronize(3), CLONE_GROUP_ERR_SOURCE_INVALID);
    refused(Ask::Cancel(1), CLONE_GROUP_ERR_STATE);
    refused(Ask::Retarget(2), CLONE_GROUP_ERR_STATE);
    // One operation at a time.
    let tag = world.ask(Ask::Accept).expect("accept");
    refused(Ask::Accept, CLONE_GROUP_ERR_BUSY);
    finish(&world);
    assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
    refused(Ask::Accept, CLONE_GROUP_ERR_STATE);
}

/// R38: whatever waits when the restore is canceled, a copy on demand, a map page, the gate, gets the error of its own;
/// what was submitted to an LU finishes. Each ends once (R64).
#[test]
fn waiting_requests_get_their_own_error() {
    let world = restoring(HELD);
    // Submitted: a whole extent that differs, whose data goes out when its bits are durable.
    let (overwrite, _) = world.host(CLONE_GROUP_IO_WRITE, 0, 16, 4, false);
    let (passed, _) = world.host(CLONE_GROUP_IO_READ, 0, 12, 2, false);
    polls(&world);
    world.complete_some(9);
    polls(&world);
    // Waiting for a copy, for a page, and of another Clone.
    let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, 0, 4, false);
    let (part, _) = world.host(CLONE_GROUP_IO_WRITE, 0, 9, 1, false);
    let (clean, _) = world.host(CLONE_GROUP_IO_WRITE, 0, 12, 1, false);
    let (other, _) = world.host(CLONE_GROUP_IO_WRITE, 2, 24, 1, false);
    polls(&world);
    let tag = world.ask(Ask::Cancel(1)).expect("the cancel is accepted");
    polls(&world);
    let (late, _) = world.host(CLONE_GROUP_IO_READ, 0, 30, 1, false);
    let (flush, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    let (clone, _) = world.host(CLONE_GROUP_IO_READ, 1, 30, 1, false);
    assert_eq!(
        (status_of(&world, late), status_of(&world, flush), status_of(&world, clone)),
        (None, None, None)
    );
    finish(&world);
    assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
    for request in [overwrite, passed, other, clone] {
        assert_eq!(status_of(&world, request), Some(CLONE_GROUP_OK));
    }
    for request in [read, part, clean, late, flush] {
        assert_eq!(status_of(&world, request), Some(CLONE_GROUP_ERR_SOURCE_INVALID));
    }
    assert_eq!((world.hosts_open(), world.held()), (0, 0));
    assert!(saw(&world, CLONE_GROUP_EVENT_CANCELED, 1));
    check_refused(&world);
    // Extent 4 is the host's; 0 and 2 were perhaps copied for those who waited; 3 was marked and never written.
    assert!(delta(&world, 1)[4] && delta(&world, 1)[3]);
    restore_exactly(&world, 1);
}

/// R38: a canceled restore stays canceled over any number of power losses and closes, its Clones are read and written,
/// and what hosts write there is tracked.
#[test]
fn an_invalid_source_stays_so() {
    let mut world = restoring(PROFILE);
    world.host(CLONE_GROUP_IO_WRITE, 0, 21, 2, false);
    world.does(Ask::Cancel(1));
    for turn in 0..4 {
        check_refused(&world);
        for lu in [1, 2] {
            let (write, _) = world.host(CLONE_GROUP_IO_WRITE, lu, 26 + turn, 1, false);
            finish(&world);
            assert_eq!(status_of(&world, write), Some(CLONE_GROUP_OK));
            assert!(delta(&world, lu)[(26 + turn) / EXTENT_BLOCKS], "a write to Clone {lu} is not tracked");
        }
        if turn % 2 == 0 {
            world.does(Ask::Close);
        }
        world.lose_power(|| false);
        world.power_on();
        world.does(Ask::Recover);
        world.after_recovery();
    }
    accept_and_check(&mut world);
}

/// A cancel and a re-target copy nothing that is the same already: what was copied stays copied.
#[test]
fn nothing_is_copied_twice() {
    for volatile in [false, true] {
        let world = restoring(Profile { volatile, ..PROFILE });
        let different = marked(&delta(&world, 1));
        let source = content(&world, 0);
        world.step(3);
        polls(&world);
        world.host(CLONE_GROUP_IO_WRITE, 0, 37, 1, false);
        finish(&world);
        world.does(Ask::Cancel(1));
        let left = delta(&world, 1);
        assert_eq!(left, differing(&world, 1), "the Delta Map is not exact");
        assert!(marked(&left).len() < different.len(), "nothing was copied at all");
        world.does(Ask::Restore(1));
        world.step(2);
        finish(&world);
        world.does(Ask::Retarget(2));
        assert_eq!(world.info().protected_restore_extents, 0, "P is not 0");
        let before = world.statistics();
        // It differs where it did before the restores, and where the Source has changed since (R2).
        let now = content(&world, 0);
        let changed = |extent: usize| {
            let blocks = extent * EXTENT_BLOCKS..(extent * EXTENT_BLOCKS + EXTENT_BLOCKS).min(now.len());
            source[blocks.clone()] != now[blocks]
        };
        let different: Vec<usize> =
            (0..10).filter(|&extent| [0, 2, 5, 9].contains(&extent) || changed(extent)).collect();
        assert_eq!(marked(&delta(&world, 2)), different);
        world.settle();
        let after = world.statistics();
        assert_eq!(after.sync_extents - before.sync_extents, different.len() as u64);
        assert_eq!(content(&world, 0), content(&world, 2));
        restore_exactly(&world, 1);
    }
}

/// There and back: each re-target shows the other Clone, whatever hosts wrote under the view before.
#[test]
fn a_restore_goes_there_and_back() {
    // Reads that copy nothing, or the restore would be over.
    let world = restoring(Profile { redirect: true, ..PROFILE });
    let snapshots = [content(&world, 1), content(&world, 2)];
    for turn in 0..6 {
        world.host(CLONE_GROUP_IO_WRITE, 0, 4 * turn, 6, false);
        world.host(CLONE_GROUP_IO_WRITE, 0, 13 + turn, 1, false);
        world.step(1);
        finish(&world);
        let to = 2 - turn % 2;
        world.inner.borrow_mut().events.clear();
        world.does(Ask::Retarget(to as u32));
        for kind in [CLONE_GROUP_EVENT_SOURCE_CHANGED, CLONE_GROUP_EVENT_CLONE_STATE] {
            assert!(saw(&world, kind, to as u32), "event {kind}");
        }
        assert!(saw(&world, CLONE_GROUP_EVENT_CLONE_STATE, 3 - to as u32));
        assert_eq!(world.info().restore_generation, 2 + turn as u64);
        for (block, &value) in snapshots[to - 1].iter().enumerate() {
            assert_eq!(world.read_now(0, block, 1), Ok(vec![value]), "turn {turn} block {block}");
        }
    }
    world.settle();
    restore_exactly(&world, 2);
}

/// A pause belongs to the group and stays: the copies to come wait for the resume, copies on demand do not.
#[test]
fn a_pause_outlives_cancel_and_retarget() {
    let world = restoring(PROFILE);
    world.does(Ask::Pause);
    world.does(Ask::Cancel(1));
    world.does(Ask::Restore(1));
    world.does(Ask::Retarget(2));
    let before = world.statistics();
    for _ in 0..20 {
        world.step(8);
        world.complete_some(8);
    }
    assert_eq!(world.info().conditions, CLONE_GROUP_CONDITION_PAUSED);
    assert_eq!(world.statistics().sync_extents, before.sync_extents);
    world.check_lu_now(0);
    assert!(world.statistics().cod_extents > before.cod_extents);
    world.does(Ask::Resume);
    world.settle();
    assert_eq!(content(&world, 0), content(&world, 2));
}

/// R76: a cancel or a re-target that waits behind a hung LU is taken back by its tag; the restore and hosts go on. Once
/// the superblock is being written it is not.
#[test]
fn a_drain_is_aborted() {
    for ask in [Ask::Cancel(1), Ask::Retarget(2)] {
        let world = restoring(HELD);
        let (hung, _) = world.host(CLONE_GROUP_IO_READ, 0, 12, 1, false);
        let (queued, _) = world.host(CLONE_GROUP_IO_READ, 0, 0, 1, false);
        polls(&world);
        let tag = world.ask(ask).expect("it is accepted");
        polls(&world);
        assert_eq!(world.done_operation(tag), None, "the drain waits for nothing");
        let (late, status) = world.host(CLONE_GROUP_IO_WRITE, 0, 20, 4, false);
        assert_eq!(status, None);
        assert_eq!(abort(&world, tag), CLONE_GROUP_OK);
        assert_eq!(abort(&world, tag), CLONE_GROUP_ERR_NO_REQUEST);
        world.settle();
        assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_ERR_CANCELED));
        for request in [hung, queued, late] {
            assert_eq!(status_of(&world, request), Some(CLONE_GROUP_OK));
        }
        assert_eq!((world.info().restoring_lu, world.info().restore_generation), (0, 1));
        world.check_lu_now(0);
        // The superblock is under way: nothing to be taken back.
        world.inner.borrow_mut().profile.immediate = 256;
        world.does(Ask::Restore(1));
        world.inner.borrow_mut().profile.immediate = 0;
        let tag = world.ask(ask).expect("it is accepted");
        polls(&world);
        assert_eq!(world.held(), 1, "no superblock is under way");
        assert_eq!(abort(&world, tag), CLONE_GROUP_ERR_NO_REQUEST);
        finish(&world);
        assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
    }
}

/// What could not be copied is forgotten with the restore: the next one begins afresh, from a good Clone or a mended one.
#[test]
fn stalled_extents_are_forgotten() {
    for ask in [Ask::Cancel(1), Ask::Retarget(2)] {
        let world = restoring(PROFILE);
        {
            let inner = &mut *world.inner.borrow_mut();
            inner.bad_blocks = vec![(1, 5)];
            inner.fault_seen = true;
        }
        // A run that fails on demand is tried extent by extent.
        world.host(CLONE_GROUP_IO_READ, 0, 0, 10, false);
        world.settle_or_stall();
        assert_eq!(world.clone_info(1).conditions, CLONE_GROUP_CONDITION_STALLED);
        world.does(ask);
        let info = world.clone_info(1);
        assert_eq!(
            (info.conditions & CLONE_GROUP_CONDITION_STALLED, info.extents_failed, info.first_failed_extent),
            (0, 0, 0)
        );
        world.inner.borrow_mut().bad_blocks.clear();
        if ask == Ask::Cancel(1) {
            check_refused(&world);
        } else {
            world.settle();
            assert_eq!(content(&world, 0), content(&world, 2));
        }
        restore_exactly(&world, 1);
    }
}

/// R33: if the superblock of a change fails, nothing has changed in memory, and after the repair the restore comes to
/// its end; if the second slot fails, the change stands. While metadata is failed, neither can be asked for.
#[test]
fn a_superblock_that_fails() {
    for ask in [Ask::Cancel(1), Ask::Retarget(2)] {
        for good in 0..4 {
            let world = restoring(HELD);
            // Bits in P: what the host wrote must be neither lost nor wait for a copy.
            let (write, _) = world.host(CLONE_GROUP_IO_WRITE, 0, 13, 1, true);
            world.host(CLONE_GROUP_IO_WRITE, 0, 1, 2, true);
            finish(&world);
            assert_eq!(status_of(&world, write), Some(CLONE_GROUP_OK));
            assert_eq!(world.info().protected_restore_extents, 2);
            let tag = world.ask(ask).expect("it is accepted");
            polls(&world);
            for _ in 0..good {
                world.complete_some(1);
                polls(&world);
            }
            world.inner.borrow_mut().profile.metadata_faults = 65536;
            finish(&world);
            world.inner.borrow_mut().profile.metadata_faults = 0;
            let status = world.done_operation(tag).expect("it is done");
            let failed = world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
            assert_eq!(status, if good == 0 { -5 } else { CLONE_GROUP_OK }, "{ask:?} good {good}");
            assert_eq!(failed, good < 2);
            if failed {
                assert_eq!(
                    world.ask(Ask::Cancel(1)),
                    Err(match (good, ask) {
                        (1, _) => CLONE_GROUP_ERR_STATE,
                        _ => CLONE_GROUP_ERR_METADATA_FAILED,
                    })
                );
                assert_eq!(world.ask(Ask::Retarget(2)), Err(CLONE_GROUP_ERR_METADATA_FAILED));
                assert_eq!(world.ask(Ask::Accept), Err(CLONE_GROUP_ERR_METADATA_FAILED));
                world.does(Ask::Repair);
            }
            if good == 0 {
                assert_eq!((world.info().restoring_lu, world.info().protected_restore_extents), (1, 2));
            }
            world.settle();
            assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
            if is_invalid(&world) {
                check_refused(&world);
            } else {
                world.check_lu_now(0);
            }
            restore_exactly(&world, 1);
        }
    }
}

/// R24: a flush of the Source that fails does not keep a restore from being canceled: what was copied and not flushed
/// counts as not made. The Source is accepted only when it is flushed. A re-target needs both flushes.
#[test]
fn a_flush_that_fails() {
    let cached = Profile { volatile: true, ..HELD };
    for ask in [Ask::Cancel(1), Ask::Retarget(2), Ask::Accept] {
        let world = restoring(cached);
        if ask == Ask::Accept {
            world.does(Ask::Cancel(1));
        } else {
            let before = world.statistics().sync_extents;
            while world.statistics().sync_extents < before + 2 {
                world.step(1);
                world.complete_some(1);
            }
        }
        let tag = world.ask(ask).expect("it is accepted");
        world.inner.borrow_mut().profile.faults = 0;
        // Whatever is under way finishes; the flush fails.
        for _ in 0..100 {
            polls(&world);
            let flushing = world.only_held() == Some(CLONE_GROUP_IO_FLUSH);
            world.inner.borrow_mut().profile.faults = if flushing { 65536 } else { 0 };
            world.complete_some(1);
        }
        world.inner.borrow_mut().profile.faults = 0;
        finish(&world);
        let status = world.done_operation(tag).expect("it is done");
        assert_eq!(status, if ask == Ask::Cancel(1) { CLONE_GROUP_OK } else { -5 }, "{ask:?}");
        match ask {
            Ask::Retarget(_) => {
                assert_eq!((world.info().restoring_lu, world.info().restore_generation), (1, 1));
                world.does(Ask::Resume);
                world.settle();
                world.check_lu_now(0);
            }
            _ => {
                check_refused(&world);
                world.check_delta_maps();
                world.does(Ask::Accept);
                world.check_lu_now(0);
            }
        }
        restore_exactly(&world, 1);
    }
}

/// R39: only the Clone that is restored from stays; any other one may be removed, also the last one, also while the
/// Source is invalid, and come back when the restore is over.
#[test]
fn clones_are_removed_during_a_restore() {
    let world = restoring(PROFILE);
    world.host(CLONE_GROUP_IO_WRITE, 0, 9, 1, false);
    assert_eq!(world.ask(Ask::Remove(1)), Err(CLONE_GROUP_ERR_STATE));
    world.does(Ask::Remove(2));
    assert_eq!(world.clone_info(2).state, CLONE_GROUP_CLONE_ABSENT);
    assert_eq!(world.ask(Ask::Add(2)), Err(CLONE_GROUP_ERR_STATE));
    assert_eq!(world.ask(Ask::Retarget(2)), Err(CLONE_GROUP_ERR_NO_LU));
    world.host(CLONE_GROUP_IO_WRITE, 0, 17, 6, false);
    world.settle();
    world.check_lu_now(0);
    restore_exactly(&world, 1);
    world.does(Ask::Add(2));
    world.does(Ask::Synchronize(2));
    world.settle();
    world.does(Ask::Fracture(2));
    world.host(CLONE_GROUP_IO_WRITE, 0, 17, 6, false);
    world.settle();
    world.does(Ask::Restore(1));
    world.does(Ask::Cancel(1));
    world.does(Ask::Remove(1));
    world.does(Ask::Remove(2));
    assert!(is_invalid(&world), "the Source was accepted by nobody");
    assert_eq!(world.host(CLONE_GROUP_IO_READ, 0, 0, 1, false).1, Some(CLONE_GROUP_ERR_SOURCE_INVALID));
    world.does(Ask::Add(1));
    assert_eq!(world.ask(Ask::Synchronize(1)), Err(CLONE_GROUP_ERR_SOURCE_INVALID));
    world.does(Ask::Accept);
    world.does(Ask::Synchronize(1));
    world.settle();
    assert_eq!(content(&world, 0), content(&world, 1));
}

/// A removal in the middle of a restore waits for what is under way, and hosts lose nothing.
#[test]
fn a_clone_is_removed_under_load() {
    for profile in [HELD, Profile { volatile: true, redirect: true, immediate: 100, ..PROFILE }] {
        let world = restoring(profile);
        let mut tag = None;
        for turn in 0..60 {
            let block = turn * 7 % 34;
            let open = world.inner.borrow().models[0][block..block + 4].iter().any(|block| block.is_open());
            if !open && world.hosts_open() < 12 {
                world.host(CLONE_GROUP_IO_WRITE, 0, block, 1 + turn % 4, false);
                world.host(CLONE_GROUP_IO_READ, 0, (block + 15) % 30, 8, false);
            }
            if turn == 20 {
                tag = world.ask(Ask::Remove(2)).ok();
            }
            world.poll(2);
            world.complete_some(1);
            world.step(1);
        }
        world.settle();
        assert_eq!(world.done_operation(tag.expect("the removal is accepted")), Some(CLONE_GROUP_OK));
        world.check_lu_now(0);
        restore_exactly(&world, 1);
    }
}

/// R38, R56: a Synchronization that is canceled leaves the Clone OutOfSync; what was copied need not be copied again,
/// and what hosts write meanwhile is.
#[test]
fn a_synchronization_is_canceled() {
    for volatile in [false, true] {
        let world = two_points_in_time(Profile { volatile, immediate: 256, ..PROFILE }, 5);
        world.does(Ask::Synchronize(2));
        let before = delta(&world, 2);
        world.step(2);
        finish(&world);
        world.inner.borrow_mut().profile.immediate = 0;
        world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
        polls(&world);
        let tag = world.ask(Ask::Cancel(2)).expect("the cancel is accepted");
        finish(&world);
        assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
        assert!(saw(&world, CLONE_GROUP_EVENT_CANCELED, 2));
        let info = world.clone_info(2);
        assert_eq!((info.state, info.conditions), (CLONE_GROUP_CLONE_OUT_OF_SYNC, 0));
        assert!(!is_invalid(&world), "the Source has nothing to do with it");
        for (ask, status) in [
            (Ask::Fracture(2), CLONE_GROUP_ERR_NOT_CONSISTENT),
            (Ask::Restore(2), CLONE_GROUP_ERR_NOT_CONSISTENT),
            (Ask::Cancel(2), CLONE_GROUP_ERR_STATE),
        ] {
            assert_eq!(world.ask(ask), Err(status), "{ask:?}");
        }
        assert_eq!(world.host(CLONE_GROUP_IO_READ, 2, 0, 1, false).1, Some(CLONE_GROUP_ERR_STATE));
        world.check_delta_maps();
        assert!(before.len() > 1);
        world.host(CLONE_GROUP_IO_WRITE, 0, 25, 1, false);
        finish(&world);
        world.check_delta_maps();
        world.does(Ask::Synchronize(2));
        world.settle();
        assert_eq!(world.clone_info(2).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
        assert_eq!(content(&world, 0), content(&world, 2));
    }
}

/// R60: a Source that Recovery had to give up can be accepted, too.
#[test]
fn a_source_that_recovery_gave_up_is_accepted() {
    let mut world = restoring(PROFILE);
    world.host(CLONE_GROUP_IO_WRITE, 0, 13, 1, true);
    world.lose_power(|| false);
    let pages = world.page_copies();
    let mut bytes = world.inner.borrow().area.now.clone();
    for page in pages {
        bytes[page].fill(0xEE);
    }
    world.inner.borrow_mut().area.replace(&bytes);
    world.power_on();
    assert_eq!(world.result_of(Ask::Recover), CLONE_GROUP_ERR_RESTORE_MAP_LOST);
    // SAFETY: a live group.
    let abandon =
        |group, tag| unsafe { clone_group_recover(group, CLONE_GROUP_RECOVER_ABANDON_RESTORE, tag) };
    assert_eq!(world.run_operation(abandon), CLONE_GROUP_OK);
    world.after_recovery();
    check_refused(&world);
    accept_and_check(&mut world);
}

/// P is moved into the Delta Map a slice at a time, also where it spans several.
#[test]
fn a_large_protected_restore_map_is_moved_in_slices() {
    let extents = (1 << 18) * 2 + 300;
    let profile = Profile { blocks: extents, extent_blocks: 1, copies: 4, copy_blocks: 64, ..PROFILE };
    let mut world = World::new(profile, 3);
    world.power_on();
    world.does(Ask::Format);
    for lu in [1, 2] {
        world.does(Ask::Add(lu));
        world.does(Ask::Synchronize(lu));
        for _ in 0..100_000 {
            if world.step(256) == CLONE_GROUP_OK {
                break;
            }
        }
        world.does(Ask::Fracture(lu));
    }
    // One extent differs, so that the restore is not over at once.
    world.host(CLONE_GROUP_IO_WRITE, 0, 99, 1, false);
    finish(&world);
    world.does(Ask::Restore(1));
    let ends = [0, 70, (1 << 18) - 3, (1 << 18) + 9, (1 << 19) - 2, (1 << 19) + 290];
    let write = |world: &World| {
        for first in ends {
            world.host(CLONE_GROUP_IO_WRITE, 0, first, 8, false);
        }
        finish(world);
    };
    write(&world);
    world.does(Ask::Retarget(2));
    let mut written: Vec<usize> = ends.iter().flat_map(|&first| first..first + 8).chain([99]).collect();
    written.sort_unstable();
    assert_eq!(world.info().protected_restore_extents, 0);
    assert_eq!((marked(&delta(&world, 1)), marked(&delta(&world, 2))), (written.clone(), written.clone()));
    write(&world);
    world.does(Ask::Cancel(2));
    assert_eq!(world.info().protected_restore_extents, 0);
    assert_eq!((marked(&delta(&world, 1)), marked(&delta(&world, 2))), (written.clone(), written));
    world.does(Ask::Restore(2));
    world.settle();
    assert!(content(&world, 0) == content(&world, 2), "the restore is not complete");
}

/// R33: metadata that fails in the drain ends the cancel and the re-target with nothing changed. After the repair the
/// restore goes on; what waited for the page is refused, what owned a whole extent too (R18).
#[test]
fn a_page_that_fails_in_the_drain() {
    for ask in [Ask::Cancel(1), Ask::Retarget(2)] {
        for whole in [false, true] {
            let world = restoring(HELD);
            let (first, count) = if whole { (16, 4) } else { (13, 1) };
            let (write, _) = world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
            polls(&world);
            // Of a whole extent the data goes first, and the page that says so follows.
            while whole && world.info().protected_restore_extents == 0 {
                world.complete_some(1);
                polls(&world);
            }
            assert_eq!(world.only_held(), Some(CLONE_GROUP_IO_PERSIST_WRITE), "no page is under way");
            let tag = world.ask(ask).expect("it is accepted");
            polls(&world);
            assert_eq!(world.done_operation(tag), None, "the drain does not wait for the page");
            world.inner.borrow_mut().profile.metadata_faults = 65536;
            finish(&world);
            world.inner.borrow_mut().profile.metadata_faults = 0;
            assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_ERR_METADATA_FAILED));
            assert!(status_of(&world, write).is_some_and(|status| status < 0), "the write is not refused");
            assert_eq!((world.info().restoring_lu, world.info().restore_generation), (1, 1));
            world.does(Ask::Repair);
            // It is the Clone's still: G of an extent that does not differ is only a mark.
            world.check_delta_maps();
            world.does(ask);
            match ask {
                Ask::Cancel(_) => check_refused(&world),
                _ => world.check_lu_now(0),
            }
            world.settle();
            restore_exactly(&world, 1);
        }
    }
}

/// R75: a read that was sent to the Clone in place of the Source ends before the view changes: hosts write to that Clone
/// afterwards.
#[test]
fn redirected_reads_end_first() {
    for ask in [Ask::Cancel(1), Ask::Retarget(2)] {
        let world = restoring(Profile { redirect: true, ..HELD });
        let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, 0, 4, false);
        polls(&world);
        assert_eq!(world.statistics().redirected_reads, 1, "the read was not redirected");
        let tag = world.ask(ask).expect("it is accepted");
        polls(&world);
        assert_eq!(world.held(), 1, "something else began");
        assert_eq!((world.done_operation(tag), world.info().restoring_lu), (None, 1));
        finish(&world);
        assert_eq!(status_of(&world, read), Some(CLONE_GROUP_OK));
        assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
    }
}
