//! Goal: the columns of a map page say what they must and nothing else: nothing of one Clone stands in the column of
//! another one. Pages are written where a rule wants it and not for nothing, also where a map has many pages and
//! chunks, and what a failed flush or write leaves behind is right (R1, R2, R18, R20, R24, R33, R71, R72).

mod common;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile, World};

const ONE_COLUMN: Profile = Profile { copies: 1, ..Profile::QUIET };
const PER_CLONE: Profile = Profile { map_per_clone: true, ..ONE_COLUMN };
const STATUS: i32 = -5;

/// R33: nobody knows what the superblock says. With one column for all Clones extents are copied on demand
/// nevertheless; with one for each (N17) they are read from the Clone.
#[test]
fn r33_copies_go_on_without_a_superblock() {
    for (profile, copied) in [(ONE_COLUMN, 1), (PER_CLONE, 0)] {
        let world = restoring(profile, 1, &[1, 2]);
        let clone = world.content(1);
        world.choose(|io| if is_superblock(io) { Choice::Fail(STATUS) } else { Choice::Now });
        assert_ne!(world.result_of(Ask::Pause), CLONE_GROUP_OK);
        assert!(world.metadata_failed());
        assert_eq!(world.read_now(0, at(1), 4), Ok(clone[at(1)..at(2)].to_vec()));
        assert_eq!(world.statistics().cod_extents, copied);
        assert_eq!(world.statistics().redirected_reads, 1 - copied);
    }
}

/// R72: the write intents of a Clone that is synchronized are not in the column of one that is fractured: it is not
/// copied more than it differs after a power loss.
#[test]
fn r72_intents_stand_in_the_columns_of_mirrored_clones() {
    let mut world = mirrored(PER_CLONE, 2);
    world.does(Ask::Fracture(2));
    [1, 2, 3].iter().for_each(|&extent| _ = world.write(at(extent), 1));
    world.finish_hosts();
    world.does(Ask::Fracture(1));
    world.does(Ask::Synchronize(2));
    world.step(1);
    world.step(1);
    assert_eq!((world.delta(1), world.delta(2)), (vec![], vec![3]), "two extents are copied, one is left");
    // The page goes out with the intents of what was copied.
    world.write(at(9), 1);
    world.finish_hosts();
    world.crash(true);
    assert_eq!(world.delta(1), [9]);
    assert_eq!(world.delta(2), [1, 2, 3, 9]);
}

/// R72: Recovery finds nothing that a page lacks where no copy onto the Source was under way: a write to what differs
/// already needs no page.
#[test]
fn r72_recovery_leaves_nothing_to_write() {
    let mut world = fractured(PER_CLONE, 1, &[1, 5]);
    world.crash(true);
    world.inner.borrow_mut().log.clear();
    let write = world.write(at(5), 1);
    assert_eq!((world.ended(write), world.logged(is_page)), (Some(true), 0), "it waited for a page");
}

/// R2, R72: a copy onto the Source of what differs from the other Clones anyway changes no column: a write to another
/// extent of the page does not wait for that page.
#[test]
fn r72_a_copy_of_what_differs_anyway_changes_no_column() {
    let mut world = mirrored(PER_CLONE, 2);
    (1..=2).for_each(|lu| world.does(Ask::Fracture(lu)));
    world.write(at(1), 1);
    world.finish_hosts();
    world.does(Ask::Restore(1));
    world.write(at(5), 1);
    world.finish_hosts();
    // No write passes without a look at the maps any more, and what Recovery found goes with the next page.
    world.crash(true);
    world.write(at(6), 1);
    world.finish_hosts();
    assert_eq!((world.delta(1), world.delta(2)), (vec![1], vec![1, 5, 6]));
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    world.host(CLONE_GROUP_IO_READ, 0, at(1), 1, false);
    world.poll_still();
    assert_eq!(world.holds(is_copy_read), 1, "the copy is under way");
    world.inner.borrow_mut().log.clear();
    let write = world.write(at(5), 1);
    world.poll_still();
    assert_eq!((world.ended(write), world.logged(is_page)), (Some(true), 0), "it waited for a page");
    world.choose_nothing();
    world.settle();
}

/// R72: the superblock that ends a restore goes out after the page that tells what the restore changed relative to the
/// other Clones, though no host waits for that page.
#[test]
fn r72_the_end_of_a_restore_waits_for_the_columns_of_others() {
    for keep in [false, true] {
        let mut world = mirrored(PER_CLONE, 2);
        world.does(Ask::Fracture(1));
        world.write(at(3), 1);
        world.finish_hosts();
        // It has what Clone 1 lacks, and loses it with the restore.
        world.does(Ask::Fracture(2));
        assert_eq!((world.delta(1), world.delta(2)), (vec![3], vec![]));
        world.does(Ask::Restore(1));
        world.inner.borrow_mut().log.clear();
        world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
        world.step_still();
        assert_eq!((world.delta(1), world.delta(2)), (vec![], vec![3]), "it is copied");
        assert_eq!((world.holds(is_page), world.logged(is_superblock)), (1, 0), "the end did not wait");
        world.choose_nothing();
        world.complete_chosen(Choice::Now, is_page);
        world.settle();
        assert_eq!(world.info().restoring_lu, 0);
        world.crash(keep);
        assert_eq!(world.delta(2), [3]);
        world.check_delta_maps();
    }
}

/// Three chunks of the map of what passes (R71), and many pages; an extent is a block.
const LARGE: Profile = Profile { blocks: 40_000, extent_blocks: 1, map_per_clone: true, ..Profile::QUIET };
/// In the second chunk, and in the third.
const FAR: [usize; 2] = [20_000, 39_990];

/// One write after the other. Returns how many map pages were written for them.
fn pages_for(world: &World, extents: &[usize]) -> usize {
    let before = world.statistics().page_writes;
    for &extent in extents {
        let write = world.write(extent, 1);
        world.poll_still();
        assert_eq!(world.ended(write), Some(true));
    }
    (world.statistics().page_writes - before) as usize
}

/// R71: a second write to an extent passes, wherever it lies: no page is written for it.
#[test]
fn r71_a_second_write_passes() {
    let world = mirrored(LARGE, 1);
    for extent in FAR {
        assert_eq!(pages_for(&world, &[extent]), 1);
        assert_eq!(pages_for(&world, &[extent, extent]), 0, "extent {extent}");
    }
}

/// R71: when the state of a Clone has changed, no extent passes that passed before, wherever it lies; a write to a
/// neighbour of it changes nothing about that.
#[test]
fn r71_what_passed_before_a_fracture_is_noted_after_it() {
    for map_per_clone in [false, true] {
        let world = mirrored(Profile { map_per_clone, ..LARGE }, 2);
        // With one column for all, what differs from Clone 1 stays in it, and no sweep takes back that it passes.
        world.does(Ask::Fracture(1));
        for extent in FAR {
            pages_for(&world, &[extent, extent + 1]);
        }
        world.does(Ask::Fracture(2));
        assert_eq!(world.delta(2), []);
        for extent in FAR {
            pages_for(&world, &[extent + 1, extent]);
        }
        assert_eq!(world.delta(2), [FAR[0], FAR[0] + 1, FAR[1], FAR[1] + 1]);
        world.check_delta_maps();
    }
}

/// R33: metadata fails while another page is being written. That one may become durable, and then the write that waits for
/// it goes on.
#[test]
fn r33_a_page_under_way_is_waited_for() {
    let world = fractured(LARGE, 1, &[]);
    let mut pages = 0;
    world.choose(move |io| {
        pages += u32::from(is_page_or_superblock(io));
        match pages {
            _ if !is_page_or_superblock(io) => Choice::Now,
            1 => Choice::Hold,
            _ => Choice::Fail(STATUS),
        }
    });
    let waits = world.write(0, 1);
    world.poll_still();
    let fails = world.write(FAR[1], 1);
    world.poll_still();
    assert!(world.metadata_failed());
    assert_eq!((world.ended(waits), world.ended(fails)), (None, Some(false)));
    world.complete_chosen(Choice::Now, is_page_or_superblock);
    world.poll_still();
    assert_eq!(world.ended(waits), Some(true));
}

/// R18: a write that should replace a whole extent of a restore fails: nothing was written down, and nothing is.
#[test]
fn r18_a_failed_overwrite_writes_no_page() {
    let world = restoring(ONE_COLUMN, 1, &[1, 2]);
    world.choose(|io| if is_host_write(io) { Choice::Fail(STATUS) } else { Choice::Now });
    let write = world.write(at(1), 4);
    world.poll_still();
    assert_eq!(world.ended(write), Some(false));
    assert_eq!((world.logged(is_page), world.delta(1), world.protected()), (0, vec![1, 2], vec![]));
}

/// R20, R24: a flush of the Source fails: copies that came after it was submitted may be lost with those that it should
/// have made durable. All are made again.
#[test]
fn r24_a_failed_flush_takes_later_copies_along() {
    let profile = Profile { volatile: true, ..ONE_COLUMN };
    let world = fractured(profile, 1, &[1, 2, 3]);
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.finish_hosts();
    world.does(Ask::Restore(1));
    let clone = world.content(1);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    // Copied on demand, without a wait for what is held.
    let read = |extent| {
        let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, at(extent), 4, false);
        world.poll_still();
        assert_eq!(world.ended(read), Some(true));
        assert_eq!(world.content(0)[at(extent)..at(extent + 1)], clone[at(extent)..at(extent + 1)]);
    };
    read(1);
    // It waits until the copy is flushed (R5).
    let write = world.write(at(1), 1);
    world.poll_still();
    assert_eq!((world.ended(write), world.holds(is_flush)), (None, 1));
    read(2);
    assert_eq!((world.statistics().cod_extents, world.holds(is_flush)), (2, 1));
    world.complete_chosen(Choice::FailDone(STATUS), is_flush);
    world.choose_nothing();
    world.poll_still();
    assert_ne!(world.content(0)[at(2)], clone[at(2)], "the cache is gone");
    read(2);
    world.finish_hosts();
    world.check_lu_now(0);
}

/// R24: a flush of the Source fails while a copy is under way that is durable when it is written: it counts, and the
/// restore does not stall, as nothing was lost.
#[test]
fn r24_a_failed_flush_spares_durable_copies() {
    let profile = Profile { volatile: true, copies: 2, ..ONE_COLUMN };
    let world = fractured(profile, 1, &[1, 2]);
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.finish_hosts();
    world.does(Ask::Restore(1));
    world.inner.borrow_mut().log.clear();
    world.choose(|io| match io {
        _ if is_copy_write(io) => Choice::Hold,
        _ if is_flush(io) => Choice::FailDone(STATUS),
        _ => Choice::Now,
    });
    let write = world.write(at(1), 1);
    world.poll_still();
    let durable = |io: &clone_group_io| is_copy_write(io) && io.flags & CLONE_GROUP_IO_FUA != 0;
    assert_eq!(world.holds(durable), 1, "a write has its extent copied durably (R5)");
    let (flush, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.ended(flush), Some(false));
    world.choose_nothing();
    world.complete_chosen(Choice::Now, is_copy_write);
    world.poll_still();
    assert_eq!((world.ended(write), world.logged(is_copy_write)), (Some(true), 1), "it was copied again");
    assert_eq!(world.events_of(CLONE_GROUP_EVENT_STALLED, 1), []);
    assert_eq!(world.delta(1), [2]);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
}
