//! Goal: rules that no other test missed when they were left out (`tools/knock-outs`), each shown once on purpose.

mod common;

use std::collections::BTreeSet;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Habits, Placed, Profile, World};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };
const STATUS: i32 = -5;

/// R14: a write waits for an older one to the same extent, though nothing else keeps it: who waits for a copy is not
/// overtaken for ever.
#[test]
fn r14_an_older_write_goes_first() {
    let world = restoring(QUIET, 1, &[1, 3]);
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    let older = world.write(at(1) + 2, 8);
    let newer = world.write(at(2), 2);
    world.poll_still();
    assert!(world.holds(is_copy_read) > 0, "the older write waits for copies");
    assert_eq!((world.ended(older), world.ended(newer)), (None, None), "it was overtaken");
    world.let_go();
    world.finish_hosts();
    assert_eq!((world.ended(older), world.ended(newer)), (Some(true), Some(true)));
    world.check_lu_now(0);
}

/// R24: a host flush waits for two LUs; the one whose content counts fails, and works the next time, before the other one
/// is done. What was lost is lost: the flush fails.
#[test]
fn r24_a_flush_that_works_does_not_undo_one_that_failed() {
    let world = reversing(VOLATILE, 1, &[1]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    let (first, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    world.complete_chosen(Choice::FailDone(STATUS), |io| is_flush(io) && io.lu == 1);
    world.poll_still();
    assert_eq!(world.ended(first), None, "the Source is not flushed yet");
    let (second, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.complete_chosen(Choice::Now, |io| is_flush(io) && io.lu == 1), 1);
    world.poll_still();
    world.let_go();
    world.finish_hosts();
    assert_eq!((world.ended(first), world.ended(second)), (Some(false), Some(true)));
}

/// R24: a close whose flush fails says so.
#[test]
fn r24_a_close_says_that_its_flush_failed() {
    let world = fractured(VOLATILE, 1, &[1]);
    world.choose(|io| if is_flush(io) { Choice::FailDone(STATUS) } else { Choice::Now });
    assert_eq!(world.result_of(Ask::Close), STATUS);
}

/// R30: pages of a restore that no superblock knows of: both slots are older than the pages, so damage took the group
/// back in time. Recovery refuses.
#[test]
fn r30_pages_newer_than_the_superblock_are_refused() {
    let mut world = fractured(QUIET, 1, &[1]);
    let older = world.inner.borrow().area.now.clone();
    world.does(Ask::Restore(1));
    world.write(at(5), 4);
    world.finish_hosts();
    let mut area = world.inner.borrow().area.now.clone();
    // Each half begins with a slot of the superblock.
    for slot in [0, area.len() / 2] {
        area[slot..slot + 512].copy_from_slice(&older[slot..slot + 512]);
    }
    world.lose_power(|| true);
    world.inner.get_mut().area.replace(&area);
    world.power_on();
    assert_eq!(world.result_of(Ask::Recover), CLONE_GROUP_ERR_METADATA_DAMAGED);
}

/// R33: a repair writes every page and both slots, not only what failed.
#[test]
fn r33_a_repair_writes_everything() {
    let profile = Profile { blocks: 4000, extent_blocks: 1, copy_blocks: 64, ..QUIET };
    let world = fractured(profile, 1, &[]);
    world.choose(|io| if is_page_or_superblock(io) { Choice::Fail(STATUS) } else { Choice::Now });
    world.write(0, 1);
    world.poll_still();
    assert!(world.metadata_failed());
    world.choose_nothing();
    world.inner.borrow_mut().log.clear();
    world.does(Ask::Repair);
    let inner = world.inner.borrow();
    let half = inner.area.now.len() / 2;
    let written = inner.log.iter().filter(|io| is_page_or_superblock(io)).map(|io| io.offset_bytes as usize);
    let units: BTreeSet<_> = written.clone().map(|offset| offset % half / 512).collect();
    // A superblock, then the pages, a unit each.
    assert_eq!(units.len(), half / 512);
    assert!([0, half].iter().all(|slot| written.clone().any(|offset| offset == *slot)), "a slot is stale");
}

/// Every extent of a mirrored Clone has an intent, and a sweep is to clear them: it waits for flushes of both LUs, which
/// the controller holds.
fn sweeping(map_per_clone: bool) -> Placed {
    let world = mirrored(Profile { map_per_clone, ..VOLATILE }, 1);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    for extent in 0..10 {
        world.write(at(extent), 1);
        world.poll_still();
    }
    assert_eq!(world.holds(is_flush), 2, "no sweep began");
    world.inner.borrow_mut().log.clear();
    world
}

/// R47: an intent is not cleared before both LUs are flushed.
#[test]
fn r47_a_sweep_waits_for_the_mirror() {
    for map_per_clone in [false, true] {
        for first in [0, 1] {
            let world = sweeping(map_per_clone);
            world.complete_chosen(Choice::Now, |io| is_flush(io) && io.lu == first);
            world.poll_still();
            assert_eq!(world.logged(is_page), 0, "LU {} is not flushed yet", 1 - first);
            world.complete_chosen(Choice::Now, is_flush);
            world.poll_still();
            assert!(world.logged(is_page) > 0, "nothing is cleared");
        }
    }
}

/// R52: intents are not cleared beside a Clone that failed and is yet to inherit them.
#[test]
fn r52_a_clone_that_fails_beside_a_sweep_inherits_the_intents() {
    for map_per_clone in [false, true] {
        let world = sweeping(map_per_clone);
        world.complete_chosen(Choice::Now, |io| is_flush(io) && io.lu == 0);
        world.complete_chosen(Choice::FailDone(STATUS), |io| is_flush(io) && io.lu == 1);
        world.choose_nothing();
        world.poll_still();
        assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC);
        assert!(world.delta(1).len() >= 9, "what it lost is forgotten: {:?}", world.delta(1));
        world.check_delta_maps();
    }
}

/// R53: nothing is under way to a Clone that was removed: its LU may be somebody else's by then.
#[test]
fn r53_a_clone_goes_when_nothing_is_under_way_to_it() {
    let world = mirrored(QUIET, 1);
    world.choose(|io| if is_host_write(io) && io.lu == 1 { Choice::Hold } else { Choice::Now });
    world.write(at(1), 1);
    world.poll_still();
    let operation = world.ask(Ask::Remove(1)).expect("it is accepted");
    world.poll_still();
    assert_eq!((world.holds(is_host_write), world.done_operation(operation)), (1, None));
    world.complete_chosen(Choice::Now, is_host_write);
    world.poll_still();
    assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK));
}

/// R56: a leg to the Clone fails while a Fracture waits for it: no point in time.
#[test]
fn r56_a_leg_that_fails_in_the_drain_of_a_fracture() {
    let world = mirrored(QUIET, 1);
    world.choose(|io| if is_host_write(io) && io.lu == 1 { Choice::Hold } else { Choice::Now });
    world.write(at(1), 1);
    world.poll_still();
    let operation = world.ask(Ask::Fracture(1)).expect("it is accepted");
    world.poll_still();
    world.complete_chosen(Choice::Fail(STATUS), is_host_write);
    world.poll_still();
    assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_ERR_NOT_CONSISTENT));
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC);
}

/// R48: hosts are held for the end, and the leg of a write under way fails, so its extent differs again. It is copied while
/// hosts are held: else the next write under way may do the same, and the end would never come.
#[test]
fn r48_what_is_left_when_hosts_are_held_is_copied() {
    let world = reversing(QUIET, 1, &[1]);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    world.write(at(5), 1);
    world.step_still();
    assert_eq!((world.holds(is_host_write), world.delta(1).len()), (2, 0), "all is copied");
    let next = world.write(at(7), 1);
    world.step_still();
    assert_eq!(world.holds(is_host_write), 2, "hosts are held");
    world.complete_chosen(Choice::Fail(STATUS), |io| is_host_write(io) && io.lu == 0);
    world
        .complete_chosen(Choice::Now, |io| is_host_write(io) && io.lu == 1 && io.first_block == at(5) as u64);
    world.step_still();
    assert_eq!((world.info().reversing_lu, world.state(1)), (0, CLONE_GROUP_CLONE_SYNCHRONIZED));
    world.let_go();
    world.finish_hosts();
    assert_eq!(world.ended(next), Some(true));
    assert_eq!(world.content(0), world.content(1));
}

/// R73: a first Synchronization writes down how far it got: a power loss does not begin it anew.
#[test]
fn r73_a_first_synchronization_goes_on_after_a_power_loss() {
    let profile = Profile { blocks: 4000, extent_blocks: 1, copy_blocks: 64, clones: 1, ..QUIET };
    let mut world = formatted_with(profile, |_| {});
    world.does(Ask::Add(1));
    world.does(Ask::Synchronize(1));
    while world.delta(1).len() > 1000 {
        world.step(64);
    }
    world.poll_still();
    world.crash(true);
    assert!(world.delta(1).len() < 4000, "everything is copied again");
    world.settle();
    assert_eq!(world.content(0), world.content(1));
}

/// R73: a Clone that was never synchronized to the end fails; what was copied to it and not flushed is copied again.
#[test]
fn r73_copies_that_a_first_synchronization_lost_are_made_again() {
    let world = formatted_with(Profile { clones: 1, ..VOLATILE }, |_| {});
    world.does(Ask::Add(1));
    world.does(Ask::Synchronize(1));
    while world.delta(1).len() > 5 {
        world.step(1);
    }
    world.choose(|io| if is_flush(io) && io.lu == 1 { Choice::FailDone(STATUS) } else { Choice::Now });
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.finish_hosts();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC);
    world.choose_nothing();
    world.does(Ask::Synchronize(1));
    world.settle();
    assert_eq!((world.state(1), world.content(0)), (CLONE_GROUP_CLONE_SYNCHRONIZED, world.content(1)));
}

/// R74: a format goes step by step: old superblocks away, flushed; pages, flushed; superblock. Its sequence numbers go on.
#[test]
fn r74_a_format_goes_step_by_step() {
    let sequences = |area: &[u8]| -> Vec<u64> {
        let number = |slot: usize| area[slot + 32..slot + 40].try_into().map(u64::from_le_bytes);
        [0, area.len() / 2].map(|slot| number(slot).expect("eight bytes")).to_vec()
    };
    let mut world = formatted_with(Profile { persist_flush: true, ..QUIET }, |_| {});
    world.does(Ask::Add(1));
    let older = sequences(&world.inner.borrow().area.now);
    world.lose_power(|| true);
    world.power_on();
    let is_area_flush = |io: &clone_group_io| io.operation == CLONE_GROUP_IO_PERSIST_FLUSH;
    world.choose(move |io| if is_area_flush(io) { Choice::Hold } else { Choice::Now });
    world.inner.borrow_mut().log.clear();
    let operation = world.ask(Ask::FormatForced).expect("it is accepted");
    world.poll_still();
    let half = world.inner.borrow().area.now.len() / 2;
    let slots =
        |io: &clone_group_io| is_page_or_superblock(io) && (io.offset_bytes as usize).is_multiple_of(half);
    assert_eq!((world.holds(is_area_flush), world.logged(is_page_or_superblock)), (1, 2), "slots first");
    world.complete_chosen(Choice::Now, is_area_flush);
    world.poll_still();
    assert_eq!((world.holds(is_area_flush), world.logged(slots)), (1, 2), "then the pages");
    assert!(world.logged(is_page_or_superblock) > 2);
    world.choose_nothing();
    world.complete_chosen(Choice::Now, is_area_flush);
    world.poll_still();
    assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK));
    let newer = sequences(&world.inner.borrow().area.now);
    assert!(newer.iter().min() > older.iter().max(), "{newer:?} after {older:?}: a stale slot would win");
}

/// R3: a close writes no map before everything is flushed.
#[test]
fn r3_a_close_flushes_first() {
    let world = fractured(VOLATILE, 1, &[1]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    let operation = world.ask(Ask::Close).expect("it is accepted");
    world.poll_still();
    assert_eq!((world.holds(is_flush), world.logged(is_page_or_superblock)), (2, 0));
    world.let_go();
    world.poll_still();
    assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK));
}

/// N1: Source and Clone are flushed before the superblock says that they are Synchronized.
#[test]
fn n1_both_are_flushed_before_a_clone_is_synchronized() {
    let world = synchronizing(VOLATILE, &[1, 2]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    for lu in [0, 1] {
        world.step_still();
        assert_eq!(world.holds(|io| is_flush(io) && io.lu == lu), 1, "LU {lu} is not flushed");
        assert_eq!(world.logged(is_superblock), 0, "the superblock did not wait for LU {lu}");
        world.complete_chosen(Choice::Now, |io| is_flush(io) && io.lu == lu);
    }
    world.choose_nothing();
    world.settle();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
}

/// N4: a Clone whose Synchronization is canceled may lose what it was sent: that counts as different.
#[test]
fn n4_a_synchronization_that_is_cut_short_inherits_the_intents() {
    let world = synchronizing(VOLATILE, &[1, 2]);
    let write = world.write(at(5), 1);
    world.poll_still();
    assert_eq!(world.ended(write), Some(true));
    // SAFETY: a live group.
    let canceled = world.run_operation(|group, tag| unsafe { clone_group_cancel(group, 1, tag) });
    assert_eq!(canceled, CLONE_GROUP_OK);
    world.poll_still();
    assert_eq!(world.delta(1), [1, 2, 5]);
}

/// N5: one slot of the superblock is behind, as after a power loss between the two: Recovery brings it up to date.
#[test]
fn n5_a_stale_slot_is_brought_up_to_date() {
    let mut world = formatted_with(QUIET, |_| {});
    let older = world.inner.borrow().area.now.clone();
    world.does(Ask::Add(1));
    let mut area = world.inner.borrow().area.now.clone();
    area[..512].copy_from_slice(&older[..512]);
    world.lose_power(|| true);
    world.inner.get_mut().area.replace(&area);
    world.power_on();
    world.does(Ask::Recover);
    world.poll_still();
    assert!(world.inner.borrow().area.now[..512] != older[..512], "the slot is stale still");
}

/// N8: a flush of the area fails while a superblock is written: that may be lost with it, however well the next flush works.
#[test]
fn n8_a_superblock_beside_a_failed_flush() {
    let world = fractured(Profile { persist_flush: true, ..QUIET }, 1, &[]);
    let is_area_flush = |io: &clone_group_io| io.operation == CLONE_GROUP_IO_PERSIST_FLUSH;
    world.choose(|io| if io.lu == CLONE_GROUP_LU_NONE { Choice::Hold } else { Choice::Now });
    world.write(at(3), 1);
    world.poll_still();
    world.complete_chosen(Choice::Now, is_page);
    world.poll_still();
    let pause = world.ask(Ask::Pause).expect("it is accepted");
    world.poll_still();
    assert_eq!((world.holds(is_area_flush), world.holds(is_superblock)), (1, 1));
    world.complete_chosen(Choice::Fail(STATUS), is_area_flush);
    world.poll_still();
    // `Fail(0)`: reported as done, and nothing is there.
    world.complete_chosen(Choice::Fail(CLONE_GROUP_OK), is_superblock);
    for _ in 0..4 {
        world.poll_still();
        world.complete_chosen(Choice::Now, |_| true);
    }
    let status = world.done_operation(pause);
    assert!(status.is_some_and(|status| status < 0), "a lost superblock counts: {status:?}");
}

fn verify(world: &World) {
    // SAFETY: a live group.
    let status = world.run_operation(|group, tag| unsafe { clone_group_verify(group, 1, 0, tag) });
    assert_eq!(status, CLONE_GROUP_OK);
}

/// R44: a host write to the Clone is under way while a run is compared: its extent is not judged, whatever was read. No
/// mismatch can come of it, as the Delta Map has the extent by then; but it would count as one that was verified.
#[test]
fn r44_an_extent_that_met_a_write_to_the_clone_is_not_judged() {
    let world = fractured(Profile { copy_blocks: 32, ..QUIET }, 1, &[]);
    verify(&world);
    world.choose(|io| if is_copy_read(io) && io.lu == 1 { Choice::Hold } else { Choice::Now });
    world.step(4);
    assert_eq!(world.holds(|io| io.first_block == 0 && io.block_count == 16), 1, "four extents in one run");
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    world.host(CLONE_GROUP_IO_WRITE, 1, at(2), 1, false);
    world.poll_still();
    assert_eq!(world.holds(is_host_write), 1, "the write is not under way");
    // What is read is what was there before the write.
    assert_eq!(world.complete_chosen(Choice::Now, is_copy_read), 1);
    world.step_still();
    world.choose_nothing();
    world.complete_chosen(Choice::Now, is_host_write);
    world.settle();
    assert_eq!(world.delta(1), [2]);
    assert_eq!(world.events_of(CLONE_GROUP_EVENT_VERIFIED, 1), [0], "a mismatch");
    assert_eq!(world.statistics().verified_extents, 9, "extent 2 is none of them");
}

/// N14: hosts write an extent in a Reverse Synchronization, Verify reads it from the Source, the Clone loses it with a flush
/// that fails, and it is copied from the Clone. Then Verify reads it from the Clone; that it met a copy is what tells the
/// two apart from two that differ.
#[test]
fn n14_a_copy_between_the_reads_of_verify_is_no_mismatch() {
    let world = reversing(Profile { copies: 4, copy_blocks: 8, ..VOLATILE }, 1, &[1]);
    world.write(at(5), 4);
    world.finish_hosts();
    // The copy of extent 1 hangs, so that the Reverse Synchronization does not end.
    let hangs = |io: &clone_group_io| is_copy_read(io) && io.first_block == at(1) as u64;
    let compared = |io: &clone_group_io| is_copy_read(io) && io.lu == 1 && io.first_block == at(5) as u64;
    world.choose(move |io| if hangs(io) || compared(io) { Choice::Hold } else { Choice::Now });
    verify(&world);
    world.step_still();
    assert_eq!((world.holds(hangs), world.holds(compared)), (1, 1));
    world.choose(move |io| match () {
        () if hangs(io) => Choice::Hold,
        () if is_flush(io) && io.lu == 1 => Choice::FailDone(STATUS),
        () => Choice::Now,
    });
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.delta(1), [1, 5], "what the Clone lost is not to be copied");
    world.choose(move |io| if hangs(io) { Choice::Hold } else { Choice::Now });
    world.ask(Ask::Resume).expect("it is accepted");
    world.step_still();
    assert_eq!(world.delta(1), [1], "extent 5 is not copied");
    assert_eq!((world.holds(hangs), world.holds(compared)), (1, 1), "Verify did not wait");
    world.complete_chosen(Choice::Now, compared);
    world.step_still();
    assert_eq!(world.events_of(CLONE_GROUP_EVENT_MISMATCH, 1), [] as [u64; 0], "a false mismatch");
    assert_eq!(world.events_of(CLONE_GROUP_EVENT_VERIFIED, 1), [0], "it does not end");
    // All but extent 1.
    assert_eq!(world.statistics().verified_extents, 9);
    world.let_go();
    world.does(Ask::Resume);
    world.settle();
    assert_eq!(world.content(0), world.content(1));
}

/// N10: hosts write an extent in a Reverse Synchronization, and Verify has read it from the Source. The Clone
/// loses it with a flush that fails, and Verify reads it there before the intents are taken over into the Delta Map.
/// Found by `simulation.rs`.
#[test]
fn n10_intents_that_are_yet_to_be_taken_over_are_no_mismatch() {
    let world = reversing(Profile { copies: 4, copy_blocks: 8, ..VOLATILE }, 1, &[1]);
    world.write(at(5), 4);
    world.finish_hosts();
    // The copy of extent 1 is refused again and again: every poll has something to offer first.
    let refused = |io: &clone_group_io| is_copy_read(io) && io.first_block == at(1) as u64;
    let compared = |io: &clone_group_io| is_copy_read(io) && io.lu == 1 && io.first_block == at(5) as u64;
    let flushed = |io: &clone_group_io| is_flush(io) && io.lu == 1;
    world.choose(move |io| match () {
        () if refused(io) => Choice::Retry,
        () if compared(io) || flushed(io) => Choice::Hold,
        () => Choice::Now,
    });
    verify(&world);
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.step_still();
    assert_eq!((world.holds(compared), world.holds(flushed)), (1, 1));
    // Both ends are told in one poll.
    world.choose(move |io| if refused(io) { Choice::Retry } else { Choice::Now });
    world.complete_chosen(Choice::FailDone(STATUS), flushed);
    world.complete_chosen(Choice::Now, compared);
    world.step_still();
    assert_eq!(world.delta(1), [1, 5], "what the Clone lost is not to be copied");
    assert_eq!(world.events_of(CLONE_GROUP_EVENT_MISMATCH, 1), [] as [u64; 0], "a false mismatch");
    world.let_go();
    world.does(Ask::Resume);
    world.settle();
    assert_eq!(world.content(0), world.content(1));
}

/// N10, R38: a flush of the Source failed before, so a cancel of a Reverse Synchronization does not ask for another one:
/// what hosts wrote since then may be lost from the Source, and counts as different.
#[test]
fn n10_a_cancel_does_not_trust_a_source_of_which_a_flush_failed() {
    for map_per_clone in [false, true] {
        let mut world = fractured(Profile { map_per_clone, ..VOLATILE }, 1, &[1]);
        world.choose(|io| if is_flush(io) { Choice::Fail(STATUS) } else { Choice::Now });
        world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        world.finish_hosts();
        world.choose_nothing();
        world.does(Ask::Reverse(1));
        world.does(Ask::Pause);
        world.write(at(5), 4);
        world.finish_hosts();
        // Whoever flushes the Source later, that is not over.
        world.choose(|io| if is_flush(io) && io.lu == 0 { Choice::Hold } else { Choice::Now });
        world.inner.borrow_mut().note_fracture();
        // SAFETY: a live group.
        let asked = world.operation(|group, tag| unsafe { clone_group_cancel(group, 1, tag) });
        world.poll_still();
        let canceled = world.done_operation(asked.expect("it is accepted"));
        assert_eq!(canceled, Some(CLONE_GROUP_OK), "the test lost its point: it waits for a flush");
        assert_eq!(world.delta(1), [1, 5], "what may be lost from the Source is forgotten");
        world.crash(false);
        world.check_delta_maps();
        assert_eq!(world.delta(1), [1, 5]);
    }
}

/// R76: hosts keep as many I/Os under way as they may, and none ends. There are slots left for a map page, for a flush of
/// each LU and for a superblock.
#[test]
fn r76_hosts_leave_slots_to_metadata() {
    let profile = Profile { blocks: 512, extent_blocks: 16, clones: 4, ..VOLATILE };
    let habits = Habits { requests_max: 64, ..Habits::default() };
    let mut world = World::with_habits(profile, habits, 3);
    world.power_on();
    world.does(Ask::Format);
    for lu in 1..=4 {
        world.does(Ask::Add(lu));
        world.does(Ask::Synchronize(lu));
    }
    world.settle();
    world.choose(|io| if is_host(io) { Choice::Hold } else { Choice::Now });
    for block in 0..40 {
        world.write(block, 1);
        world.poll(8);
    }
    // A write takes a slot for each LU; reads take the rest, one by one.
    for block in 100..110 {
        world.host(CLONE_GROUP_IO_READ, 0, block, 1, false);
        world.poll(8);
    }
    world.poll_still();
    assert!(world.holds(is_host) < 40 * 5 + 10, "there are slots for all hosts: the test lost its point");
    world.inner.borrow_mut().log.clear();
    let write = world.write(400, 1);
    world.poll_still();
    assert!(world.logged(is_page_or_superblock) > 0, "no page is written");
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.logged(is_flush), 5, "the LUs are not flushed");
    let pause = world.ask(Ask::Pause).expect("it is accepted");
    world.poll_still();
    assert_eq!(world.done_operation(pause), Some(CLONE_GROUP_OK), "no superblock is written");
    world.let_go();
    world.finish_hosts();
    assert_eq!(world.ended(write), Some(true));
}
