//! Goal: a page that could not be read once is not exposed by its own repair (N18, found by `models/pages.rs`): whatever
//! a power loss leaves of the write that repairs it, no extent that differs is forgotten, and what was forgotten is never
//! more than pages that were lost.

mod common;

use std::ops::Range;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile, World};

/// One page, of which both halves differ when it is lost: so it can tear.
const PAGE: Profile = Profile { blocks: 1700, extent_blocks: 1, copy_blocks: 64, ..Profile::QUIET };
/// Three pages.
const PAGES: Profile = Profile { blocks: 4000, ..PAGE };
/// With a column for each Clone: those of both Clones reach over both halves.
const COLUMNS: Profile = Profile { blocks: 1100, map_per_clone: true, ..PAGE };
const FLAG_PAGES_DISTRUSTED: u8 = 8;

/// Whether the I/O is one of these parts of the area.
fn is_at(io: &clone_group_io, parts: &[Range<usize>]) -> bool {
    parts.iter().any(|part| part.start as u64 == io.offset_bytes)
}

/// Power comes back, these copies cannot be read, and this becomes of what is written to these others.
fn power_on_with(world: &mut World, unreadable: &[usize], how: Choice, written: &[Range<usize>]) {
    world.power_on();
    let copies = world.page_copies();
    let unreadable: Vec<_> = unreadable.iter().map(|&copy| copies[copy].clone()).collect();
    let written = written.to_vec();
    world.inner.borrow_mut().log.clear();
    world.choose(move |io| match io.operation {
        CLONE_GROUP_IO_PERSIST_READ if is_at(io, &unreadable) => Choice::Fail(-5),
        CLONE_GROUP_IO_PERSIST_WRITE if is_at(io, &written) => how,
        _ => Choice::AsProfile,
    });
}

fn power_on_without(world: &mut World, unreadable: &[usize]) {
    power_on_with(world, unreadable, Choice::AsProfile, &[]);
}

/// The copy of the only page with the higher sequence number.
fn newest_copy(world: &World) -> usize {
    let inner = world.inner.borrow();
    let sequence = |copy: &Range<usize>| inner.area.now[copy.start + 32..copy.start + 40].to_vec();
    let copies = world.page_copies();
    let sequences = [0, 1].map(|copy| u64::from_le_bytes(sequence(&copies[copy]).try_into().unwrap()));
    usize::from(sequences[1] > sequences[0])
}

/// Which of both slots say that pages are distrusted.
fn distrusting(world: &World) -> [bool; 2] {
    let inner = world.inner.borrow();
    let area = &inner.area.now;
    [0, area.len() / 2].map(|slot| area[slot + 52] & FLAG_PAGES_DISTRUSTED != 0)
}

/// Host writes to these extents, one after the other: each is a write of their page, to the other copy.
fn differ(world: &World, extents: Range<usize>) {
    for extent in extents {
        world.write(extent, 1);
        world.finish_hosts();
        world.poll_still();
    }
}

/// Of each unit under way its first half remains.
fn tear(world: &mut World) {
    let mut keep = [false, true].into_iter().cycle();
    world.lose_power(move || keep.next().unwrap_or(false));
    world.choose_nothing();
}

/// Recovers, and does everything that is not held.
fn recover_still(world: &World) {
    let tag = world.ask(Ask::Recover).expect("it is accepted");
    world.poll_still();
    assert_eq!(world.done_operation(tag), Some(CLONE_GROUP_OK));
    world.after_recovery();
}

fn everything(world: &World) -> Vec<usize> {
    (0..world.inner.borrow().profile.blocks).collect()
}

fn recover(world: &World) {
    world.does(Ask::Recover);
    world.after_recovery();
}

/// Does something while power fails after so many steps; returns whether it came to its end.
fn until_power_fails(world: &mut World, step: u64, fate: u64, act: impl FnOnce(&World)) -> bool {
    world.inner.get_mut().power_fails_at = world.inner.get_mut().steps + step;
    act(world);
    let complete = !world.power_is_off();
    let mut dice = fastrand::Rng::with_seed(fate * 1000 + step);
    world.lose_power(move || match fate {
        // Torn: not a whole unit, but a part of it.
        0 => dice.u32(..4) == 0,
        1 => false,
        _ => dice.bool(),
    });
    complete
}

/// The trace of N18: the newer copy cannot be read once, and its repair tears; then again.
#[test]
fn a_torn_repair_exposes_no_stale_copy() {
    for (profile, members) in [(PAGE, 1), (COLUMNS, 2)] {
        for writes in [1, 2] {
            let mut world = fractured(profile, members, &[]);
            differ(&world, 0..writes);
            world.lose_power(|| true);
            let copies = world.page_copies();
            let newer = newest_copy(&world);
            power_on_with(&mut world, &[newer], Choice::Hold, &copies);
            for _ in 0..3 {
                recover_still(&world);
                assert_eq!(distrusting(&world), [true; 2], "both slots say so while the page is written");
                assert_eq!(world.delta(1), everything(&world), "the copy that is left may be the older one");
                assert_eq!(world.holds(|io| is_at(io, &copies[newer..=newer])), 1);
                world.check_delta_maps();
                tear(&mut world);
                power_on_with(&mut world, &[], Choice::Hold, &copies);
            }
            world.choose_nothing();
            recover(&world);
            world.poll_still();
            assert_eq!(distrusting(&world), [false; 2], "the page is durable");
            world.crash(false);
            assert_eq!(world.delta(1), everything(&world));
            world.check_delta_maps();
        }
    }
}

/// Power is lost at each step of such a Recovery and the repair, and in the next one, whichever copies cannot be read.
#[test]
fn power_lost_anywhere_in_a_repair() {
    let mut lives = 0;
    let flushed = Profile { persist_flush: true, ..PAGE };
    for (profile, members, stride) in [(PAGE, 1, 1), (COLUMNS, 2, 3), (flushed, 1, 3)] {
        for (writes, unreadable) in [(1, &[0][..]), (1, &[1]), (2, &[0]), (2, &[1]), (2, &[0, 1])] {
            for fate in 0..3 {
                let mut again = 1;
                for step in (1..).step_by(stride) {
                    let mut world = fractured(profile, members, &[]);
                    differ(&world, 0..writes);
                    world.lose_power(|| true);
                    power_on_without(&mut world, unreadable);
                    let live = |world: &World| {
                        if world.result_of(Ask::Recover) == CLONE_GROUP_OK {
                            world.after_recovery();
                            world.poll_still();
                            world.write(8, 1);
                            world.poll_still();
                        }
                    };
                    let complete = until_power_fails(&mut world, step, fate, live);
                    world.choose_nothing();
                    world.power_on();
                    again = again % 29 + 3;
                    until_power_fails(&mut world, again, fate, live);
                    world.crash(fate == 2);
                    world.check_delta_maps();
                    world.poll_still();
                    assert_eq!(distrusting(&world), [false; 2]);
                    if step % 8 == 0 {
                        world.check_lu_after_loss(0);
                        world.does(Ask::Restore(1));
                        world.settle();
                        assert_eq!(world.content(0), world.content(1));
                    }
                    lives += 1;
                    if complete {
                        break;
                    }
                }
            }
        }
    }
    assert!(lives > 500, "{lives}");
}

/// Pages are distrusted until all that were lost are durable; then a restore may begin, which no torn page stops.
#[test]
fn the_last_page_counts() {
    let mut world = fractured(PAGES, 1, &[5, 2000, 3900]);
    world.lose_power(|| true);
    let copies = world.page_copies();
    let of_page = |page: usize| vec![copies[2 * page].clone(), copies[2 * page + 1].clone()];
    let (first, third) = (of_page(0), of_page(2));
    power_on_with(&mut world, &[0, 1, 4, 5], Choice::Hold, &first);
    recover_still(&world);
    let written = |world: &World, parts: &[Range<usize>]| {
        world.logged(|io| is_page_or_superblock(io) && is_at(io, parts))
    };
    assert!(written(&world, &third) > 0, "the third page is written");
    assert_eq!(distrusting(&world), [true; 2], "the first page is not durable");
    let restore = world.ask(Ask::Restore(1)).expect("it is accepted");
    world.poll_still();
    assert_eq!(world.done_operation(restore), None, "it waits for the first page");
    world.complete_chosen(Choice::Now, is_page_or_superblock);
    world.poll_still();
    assert_eq!(world.done_operation(restore), Some(CLONE_GROUP_OK));
    assert_eq!(distrusting(&world), [false; 2]);
    // A page of the restore tears: the other copy counts.
    world.choose(move |io| if is_at(io, &first) { Choice::Hold } else { Choice::Now });
    world.write(7, 1);
    world.write(1700, 1);
    world.poll_still();
    tear(&mut world);
    world.power_on();
    recover(&world);
    assert_eq!(world.info().restoring_lu, 1);
}

/// A restore is given up because pages are lost, and loads them all again: each counts once, and the flag goes.
#[test]
fn pages_lost_with_a_restore() {
    let mut world = restoring(PAGES, 1, &[5, 2000, 3900]);
    world.lose_power(|| true);
    power_on_without(&mut world, &[0, 3, 4, 5]);
    assert_eq!(world.result_of(Ask::Recover), CLONE_GROUP_ERR_RESTORE_MAP_LOST);
    let recovered = world.run_operation(|group, tag| {
        // SAFETY: a live group.
        unsafe { clone_group_recover(group, CLONE_GROUP_RECOVER_ABANDON_RESTORE, tag) }
    });
    assert_eq!(recovered, CLONE_GROUP_OK);
    world.after_recovery();
    world.poll_still();
    assert_eq!(distrusting(&world), [false; 2]);
    world.check_delta_maps();
}

/// Without a page that is lost Recovery writes nothing, and one torn page costs nothing.
#[test]
fn a_torn_page_alone_is_no_reason() {
    let mut world = fractured(PAGE, 1, &[1]);
    world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
    world.write(2, 1);
    world.write(1690, 1);
    world.poll_still();
    tear(&mut world);
    world.power_on();
    world.inner.borrow_mut().log.clear();
    recover(&world);
    world.poll_still();
    assert_eq!(world.delta(1), [1]);
    assert_eq!(world.logged(is_page_or_superblock), 0);
}

/// The write that repairs the page fails: pages stay distrusted, over a close too, until the metadata is repaired.
#[test]
fn a_repair_that_fails() {
    for close in [false, true] {
        let mut world = fractured(PAGE, 1, &[1, 2]);
        world.lose_power(|| true);
        let page = world.page_copies();
        power_on_with(&mut world, &[0], Choice::Fail(-5), &page);
        recover(&world);
        world.poll_still();
        assert!(world.metadata_failed());
        if close {
            assert_ne!(world.result_of(Ask::Close), CLONE_GROUP_OK);
            assert_eq!(distrusting(&world), [true; 2]);
            world.crash(true);
            world.poll_still();
        } else {
            assert_eq!(distrusting(&world), [true; 2]);
            world.choose_nothing();
            world.does(Ask::Repair);
        }
        assert_eq!(distrusting(&world), [false; 2]);
        world.check_delta_maps();
        world.does(Ask::Close);
        world.crash(true);
        world.check_delta_maps();
    }
}

/// The superblock that distrusts pages cannot be written: Recovery fails, no page was written, and it may be begun again.
#[test]
fn a_superblock_that_cannot_be_written() {
    let mut world = fractured(PAGE, 1, &[1, 2]);
    world.lose_power(|| true);
    power_on_with(&mut world, &[0], Choice::Fail(-5), &[0..512, 1024..1536]);
    assert_eq!(world.result_of(Ask::Recover), -5);
    assert_eq!(world.logged(is_page), 0);
    world.choose_nothing();
    recover(&world);
    assert_eq!(world.delta(1), [1, 2]);
    world.check_delta_maps();
    world.poll_still();
    assert_eq!(distrusting(&world), [false; 2]);
}

/// Neither copy of a page can be read, and later neither again: what was written in between is older than the repair.
#[test]
fn a_page_that_is_lost_twice() {
    let mut world = fractured(PAGE, 1, &[1]);
    for _ in 0..2 {
        world.lose_power(|| true);
        power_on_without(&mut world, &[0, 1]);
        recover(&world);
        world.settle();
        // The bits go, a few are set: with each write of the page its sequence number grows.
        world.does(Ask::Synchronize(1));
        world.settle();
        world.does(Ask::Fracture(1));
        world.settle();
        differ(&world, 0..5);
        assert_eq!(world.info().persistent_delta_extents, 5);
    }
    world.lose_power(|| true);
    power_on_without(&mut world, &[0, 1]);
    recover(&world);
    world.settle();
    world.write(9, 1);
    world.finish_hosts();
    world.crash(false);
    assert_eq!(world.delta(1), everything(&world));
    world.check_delta_maps();
}
