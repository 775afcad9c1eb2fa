//! Where two parts of the core meet: a way out of a copy onto the Source and a failed flush, the columns of single
//! Clones and a restore that was given up, a superblock of which nobody knows whether it was written and the copies
//! beside it.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile, World};

const VOLATILE: Profile = Profile { volatile: true, clones: 1, ..Profile::QUIET };
const PER_CLONE: Profile = Profile { map_per_clone: true, ..Profile::QUIET };

fn cancel(world: &World, lu: u32) -> i32 {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    world.run_operation(|group, tag| unsafe { clone_group_cancel(group, lu, tag) })
}

/// N10, R38: a flush fails while a Reverse Synchronization is being canceled. What one of the two LUs lost by it is a
/// difference: no cancel forgets that, whichever LU it is and whether the Clone has a column of its own.
#[test]
fn a_flush_that_fails_in_the_drain_of_a_cancel_is_no_secret() {
    for map_per_clone in [false, true] {
        for lost in [0, 1] {
            let mut world = reversing(Profile { map_per_clone, ..VOLATILE }, 1, &[0]);
            world.does(Ask::Pause);
            world.write(at(5), 4);
            world.finish_hosts();
            world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::AsProfile });
            world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 0, false);
            // SAFETY: a live group.
            let asked = world.operation(|group, tag| unsafe { clone_group_cancel(group, 1, tag) });
            let tag = asked.expect("a Reverse Synchronization runs");
            world.poll_still();
            assert_eq!(world.holds(is_flush), 2, "the test lost its moment");
            assert_eq!(world.fail_where(|io| is_flush(io) && io.lu == lost), 1);
            world.complete_where(is_flush);
            world.inner.borrow_mut().note_fracture();
            world.choose_nothing();
            world.poll_still();
            assert!(world.done_operation(tag).is_some(), "the cancel does not end");
            world.check_delta_maps();
            // Asked for again it works.
            if world.info().reversing_lu != 0 {
                assert_eq!(cancel(&world, 1), CLONE_GROUP_OK);
            }
            assert_eq!(world.info().reversing_lu, 0);
            world.check_delta_maps();
            world.crash(false);
            world.check_delta_maps();
        }
    }
}

/// R33, R72: the superblock that cancels a restore fails, and may be written nevertheless. Until somebody knows, no
/// copy changes the Source: after a power loss the restore may be over, and nothing would tell the other Clones.
#[test]
fn nothing_is_copied_beside_a_superblock_of_which_nobody_knows() {
    for reversed in [false, true] {
        let mut world = mirrored(PER_CLONE, 2);
        world.does(Ask::Fracture(1));
        world.write(at(0), 24);
        world.finish_hosts();
        world.does(Ask::Fracture(2));
        world.settle();
        world.does(if reversed { Ask::Reverse(1) } else { Ask::Restore(1) });
        world.inner.borrow_mut().metadata_fault_seen = true;
        world.choose(|io| if is_superblock(io) { Choice::FailDone(-5) } else { Choice::AsProfile });
        assert_ne!(cancel(&world, 1), CLONE_GROUP_OK);
        world.choose_nothing();
        assert_ne!(world.info().restoring_lu + world.info().reversing_lu, 0, "the test lost its state");
        world.step_still();
        // A read that needs both what is copied and what is not: it is served, or fails.
        world.host(CLONE_GROUP_IO_READ, 0, at(5), 8, false);
        world.finish_hosts();
        world.check_delta_maps();
        world.inner.borrow_mut().note_fracture();
        world.crash(true);
        assert_eq!(world.info().restoring_lu + world.info().reversing_lu, 0, "the test lost its moment");
        world.check_delta_maps();
    }
}

/// The same, repaired in place of a power loss: the restore goes on and ends.
#[test]
fn after_a_repair_the_copies_go_on() {
    let world = restoring(PER_CLONE, 2, &[0, 1, 2, 5]);
    world.inner.borrow_mut().metadata_fault_seen = true;
    world.choose(|io| if is_superblock(io) { Choice::Fail(-5) } else { Choice::AsProfile });
    assert_ne!(cancel(&world, 1), CLONE_GROUP_OK);
    world.choose_nothing();
    world.settle();
    assert_eq!(world.info().restoring_lu, 1);
    world.does(Ask::Repair);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
    world.check_delta_maps();
}

/// N16, R72: after a restore was given up its other Clones differ everywhere, by the superblock and not by their
/// columns. If one of them is restored from, and that is canceled after a power loss, what it copied is known to the
/// Clone that was given up.
#[test]
fn what_a_full_clone_copied_is_known_after_a_power_loss() {
    for reversed in [false, true] {
        // Two pages; the copies of eight extents are written down.
        let profile = Profile { blocks: 1300, extent_blocks: 1, copy_blocks: 1, ..PER_CLONE };
        let mut world = mirrored(profile, 2);
        world.does(Ask::Fracture(1));
        world.write(0, 10);
        world.finish_hosts();
        world.does(Ask::Fracture(2));
        world.settle();
        world.does(Ask::Restore(1));
        while world.clone_info(1).extents_left > 1 {
            world.step(1);
        }
        world.poll_still();
        let mut area = world.inner.borrow().area.now.clone();
        let (superblock, page) = (512, 512);
        for slot in 0..2 {
            area[slot * (superblock + 2 * page) + superblock + page + 70] ^= 1;
        }
        world.lose_power(|| false);
        world.inner.borrow_mut().area.replace(&area);
        world.power_on();
        // SAFETY: a live group.
        let given_up = world.run_operation(|group, tag| unsafe {
            clone_group_recover(group, CLONE_GROUP_RECOVER_ABANDON_RESTORE, tag)
        });
        assert_eq!(given_up, CLONE_GROUP_OK);
        world.after_recovery();
        assert!(!world.delta(1).contains(&0), "the test lost its extent that no page knows of");
        world.does(if reversed { Ask::Reverse(2) } else { Ask::Restore(2) });
        while world.clone_info(2).extents_copied < 3 {
            world.step(1);
        }
        world.does(Ask::Pause);
        world.check_delta_maps();
        world.crash(false);
        world.check_delta_maps();
        assert_eq!(cancel(&world, 2), CLONE_GROUP_OK);
        world.after_recovery();
        world.check_delta_maps();
        world.crash(false);
        world.check_delta_maps();
    }
}

/// N4, R1, R72: one flush of the Source fails while Clone 2 is being synchronized, and both mirrored Clones take the
/// intents over. Clone 1 takes one over that its own column never had: the copy to Clone 2 left it in memory. A host
/// write that finds it in the Delta Map waits until the column says so, too.
#[test]
fn what_a_failed_clone_took_over_is_durable_before_a_host_counts_on_it() {
    let mut world = mirrored(Profile { clones: 3, volatile: true, ..PER_CLONE }, 3);
    world.does(Ask::Fracture(2));
    world.write(at(5), 1);
    world.finish_hosts();
    // A sweep takes extent 5 out of the columns of Clones 1 and 3; Clone 2 differs there.
    world.does(Ask::Fracture(3));
    world.settle();
    world.does(Ask::Remove(3));
    world.settle();
    world.choose(|io| if is_flush(io) && io.lu == 0 { Choice::FailDone(-5) } else { Choice::AsProfile });
    assert_eq!(world.result_of(Ask::Synchronize(2)), CLONE_GROUP_OK);
    world.step_still();
    world.choose_nothing();
    world.poll_still();
    for lu in [1, 2] {
        assert_eq!(world.state(lu), CLONE_GROUP_CLONE_OUT_OF_SYNC, "the test lost its failed flush");
        assert_eq!(world.delta(lu), [5]);
    }
    world.host(CLONE_GROUP_IO_WRITE, 0, at(5), 1, true);
    world.finish_hosts();
    world.crash(false);
    world.check_delta_maps();
    assert_eq!((world.delta(1), world.delta(2)), (vec![5], vec![5]));
}

/// R38: a Reverse Synchronization onto a Source that cannot be flushed any more is canceled all the same. What the Source
/// may have lost stands in the Delta Map.
#[test]
fn a_source_that_cannot_be_flushed_does_not_keep_a_cancel() {
    for map_per_clone in [false, true] {
        let mut world = reversing(Profile { map_per_clone, ..VOLATILE }, 1, &[0]);
        world.does(Ask::Pause);
        world.write(at(5), 4);
        world.finish_hosts();
        world.choose(|io| if is_flush(io) && io.lu == 0 { Choice::FailDone(-5) } else { Choice::AsProfile });
        let first = cancel(&world, 1);
        assert!(
            first == CLONE_GROUP_OK || cancel(&world, 1) == CLONE_GROUP_OK,
            "the cancel fails with {first}"
        );
        world.check_delta_maps();
        world.crash(false);
        world.check_delta_maps();
        assert_eq!(world.delta(1), [0, 5]);
    }
}

/// R76: a Synchronization is over but for the flushes that end it, and one of the LUs hangs. Nobody asked for these flushes,
/// so an operation comes first; the Synchronization ends later.
#[test]
fn the_end_of_a_synchronization_that_hangs_gives_way() {
    for hung in [0, 1] {
        for (ask, state) in [
            (Ask::Pause, CLONE_GROUP_CLONE_SYNCHRONIZING),
            (Ask::Cancel(1), CLONE_GROUP_CLONE_OUT_OF_SYNC),
            (Ask::Remove(1), CLONE_GROUP_CLONE_ABSENT),
        ] {
            let world = synchronizing(VOLATILE, &[1]);
            world.choose(
                move |io| if is_flush(io) && io.lu == hung { Choice::Hold } else { Choice::AsProfile },
            );
            world.step_still();
            assert_eq!((world.delta(1).len(), world.holds(is_flush)), (0, 1), "the test lost its moment");
            let operation = world.ask(ask).expect("it is accepted");
            world.poll_still();
            assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK), "{ask:?} waits for LU {hung}");
            assert_eq!(world.state(1), state);
            world.let_go();
            if ask == Ask::Pause {
                world.does(Ask::Resume);
                world.settle();
                assert_eq!(
                    (world.state(1), world.content(0)),
                    (CLONE_GROUP_CLONE_SYNCHRONIZED, world.content(1))
                );
            }
        }
    }
}

/// R31, R54: while the superblock that says Synchronized is written, a payload turns out unstable, and the extent is copied again.
/// Both slots say what is so in the end.
#[test]
fn a_clone_that_is_synchronized_is_so_in_both_slots() {
    let world = synchronizing(Profile { clones: 1, ..Profile::QUIET }, &[1]);
    world.choose(|io| if is_superblock(io) { Choice::Hold } else { Choice::Now });
    world.step_still();
    assert_eq!(world.holds(is_superblock), 1, "the test lost its moment");
    let mut payload = [7_u64; 2];
    let flags = CLONE_GROUP_HOST_UNSTABLE;
    // SAFETY: a live group; the payload outlives the request.
    let status =
        unsafe { clone_group_host_write(world.group(), 0, 9, 2, payload.as_mut_ptr().cast(), flags, 5) };
    assert!(status >= CLONE_GROUP_OK);
    world.poll_still();
    assert_eq!(world.delta(1), [2], "the extent is not copied yet");
    world.complete_chosen(Choice::Now, |_| true);
    // The second slot is under way, and the extent is copied meanwhile.
    world.step_still();
    assert_eq!((world.holds(is_superblock), world.delta(1).len()), (1, 0));
    world.choose_nothing();
    world.complete_chosen(Choice::Now, |_| true);
    world.settle();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
}
