//! After a power loss what differs is copied and little else: with a column for each Clone
//! (`CLONE_GROUP_CONFIG_MAP_PER_CLONE`) whatever else the group holds, with one column for all if there is one Clone. And
//! no column ever says too little.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::{Ask, fractured};
use common::world::{Placed, Profile, World};

/// 128 extents of two blocks. At most 16 extents may carry an intent and nothing else.
const PER_CLONE: Profile =
    Profile { blocks: 256, extent_blocks: 2, copy_blocks: 2, map_per_clone: true, ..Profile::QUIET };
const INTENTS: u64 = 16;

type Call = fn(*mut clone_group, u64) -> i32;

// SAFETY: the world passes a live group.
const FORMAT: Call = |group, tag| unsafe { clone_group_format(group, 0, tag) };
// SAFETY: the world passes a live group.
const RECOVER: Call = |group, tag| unsafe { clone_group_recover(group, 0, tag) };
// SAFETY: the world passes a live group.
const CLOSE: Call = |group, tag| unsafe { clone_group_close(group, tag) };

fn operate(world: &World, call: impl FnOnce(*mut clone_group, u64) -> i32) {
    assert_eq!(world.run_operation(call), CLONE_GROUP_OK);
}

fn add(world: &World, lu: u32) {
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_clone_add(group, lu, tag) });
}

fn synchronize(world: &World, lu: u32) {
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_synchronize(group, lu, tag) });
}

fn fracture(world: &World, lu: u32) {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_fracture(group, lu, std::ptr::null(), 0, tag) });
}

fn restore(world: &World, lu: u32) {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_protected_restore(group, lu, tag) });
}

fn reverse(world: &World, lu: u32) {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_reverse_synchronize(group, lu, tag) });
}

/// All Clones are mirrored and equal.
fn mirrored(profile: Profile) -> Placed {
    let mut world = World::new(profile, 5);
    world.power_on();
    operate(&world, FORMAT);
    for lu in 1..=profile.clones as u32 {
        add(&world, lu);
        synchronize(&world, lu);
        world.settle();
    }
    world
}

/// A host writes one block of each of these extents.
fn write(world: &World, extents: impl IntoIterator<Item = usize>) {
    let extent_blocks = world.inner.borrow().profile.extent_blocks;
    for extent in extents {
        world.host(CLONE_GROUP_IO_WRITE, 0, extent * extent_blocks, 1, false);
        while world.hosts_open() > 0 {
            world.poll(16);
            world.complete_some(4);
        }
    }
}

/// Power is lost; `kept` is what happens to everything that is not durable.
fn crash(world: &mut World, kept: bool) {
    world.lose_power(move || kept);
    world.power_on();
    operate(world, RECOVER);
    world.after_recovery();
    world.check_delta_maps();
}

fn copied(world: &World) -> u64 {
    let statistics = world.statistics();
    statistics.sync_extents + statistics.cod_extents
}

fn delta(world: &World, lu: usize) -> Vec<usize> {
    let map = world.map(CLONE_GROUP_MAP_DELTA, lu);
    (0..map.len()).filter(|&extent| map[extent]).collect()
}

fn content(world: &World, lu: usize) -> Vec<u64> {
    world.inner.borrow().devices[lu].now.clone()
}

/// A Clone was mirrored, with intents, and fractured: it differs by what hosts wrote since.
#[test]
fn fractured_after_it_was_mirrored() {
    let mut world = mirrored(Profile { clones: 1, ..PER_CLONE });
    write(&world, 0..100);
    fracture(&world, 1);
    let snapshot = content(&world, 1);
    write(&world, [3, 70, 71]);
    world.settle();
    crash(&mut world, false);
    assert_eq!(delta(&world, 1), [3, 70, 71]);
    restore(&world, 1);
    world.settle();
    assert_eq!(copied(&world), 3);
    assert_eq!(content(&world, 0), snapshot);
}

/// One Clone is fractured, the other one mirrored: what the first one differs by is nothing to the second one.
#[test]
fn fractured_beside_a_mirrored_one() {
    let mut world = mirrored(PER_CLONE);
    fracture(&world, 2);
    write(&world, 0..100);
    world.settle();
    let intents = world.info().persistent_delta_extents;
    assert!(intents <= INTENTS, "{intents} intents");
    crash(&mut world, false);
    assert_eq!(delta(&world, 2), (0..100).collect::<Vec<_>>());
    let left = delta(&world, 1).len() as u64;
    assert!(left <= INTENTS, "{left} extents of the mirrored Clone are copied again");
    world.settle();
    assert_eq!(copied(&world), left);
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    assert_eq!(content(&world, 0), content(&world, 1));
}

/// A restore is half done, and power is lost: what was copied and flushed is copied again within a bound only.
fn copied_again(profile: Profile, reversed: bool) -> u64 {
    let mut world = mirrored(Profile { immediate: 256, ..profile });
    fracture(&world, 1);
    let snapshot = content(&world, 1);
    write(&world, 0..100);
    world.settle();
    let start = if reversed { reverse } else { restore };
    start(&world, 1);
    while world.clone_info(1).extents_left > 40 {
        world.step(3);
    }
    let left = world.clone_info(1).extents_left;
    crash(&mut world, false);
    let again = world.clone_info(1).extents_left - left;
    let before = copied(&world);
    world.settle();
    assert_eq!(copied(&world) - before, left + again, "other extents were copied than those left");
    assert_eq!(world.info().restoring_lu + world.info().reversing_lu, 0);
    assert_eq!(content(&world, 0), snapshot);
    world.check_delta_maps();
    again
}

/// R72, R78: what a restore copied and flushed is not copied again after a power loss, but for a few extents. With one
/// column for all, that holds for a single Clone; beside other Clones all of it is copied again.
#[test]
fn a_restore_goes_on_where_it_was() {
    for volatile in [false, true] {
        let shared = Profile { map_per_clone: false, volatile, ..PER_CLONE };
        let single = copied_again(Profile { clones: 1, ..shared }, false);
        let several = copied_again(Profile { clones: 3, ..shared }, false);
        println!("copied again, shared: {single} with one Clone, {several} with three, volatile: {volatile}");
        assert!(single <= INTENTS, "{single} extents are copied again");
        assert!(several >= 55, "{several}: the header says that all of it is copied again");
        for clones in 1..=3 {
            let again = copied_again(Profile { clones, volatile, ..PER_CLONE }, false);
            println!("copied again, per Clone: {again} with {clones}, volatile: {volatile}");
            assert!(again <= INTENTS, "{again} extents are copied again with {clones} Clones");
        }
    }
}

/// The same for a Reverse Synchronization.
#[test]
fn a_reverse_synchronization_goes_on_where_it_was() {
    for volatile in [false, true] {
        for (clones, map_per_clone) in [(1, false), (1, true), (3, true)] {
            let again = copied_again(Profile { clones, map_per_clone, volatile, ..PER_CLONE }, true);
            println!(
                "copied again: {again}, {clones} Clones, per Clone: {map_per_clone}, volatile: {volatile}"
            );
            assert!(again <= 2 * INTENTS, "{again} extents are copied again");
        }
    }
}

/// R72: a restore is half done, and another fractured Clone of which nothing differed knows after the crash, and after
/// the end, whatever the restore changed.
#[test]
fn another_clone_learns_what_a_restore_changes() {
    for stop in [0, 1, 40] {
        let mut world = mirrored(PER_CLONE);
        fracture(&world, 1);
        write(&world, 0..50);
        fracture(&world, 2);
        let point = content(&world, 2);
        world.settle();
        restore(&world, 1);
        while world.clone_info(1).extents_left > stop {
            world.step(3);
        }
        crash(&mut world, false);
        world.settle();
        assert_eq!(world.info().restoring_lu, 0);
        // Just before the crash it was over: no other Clone may know too little.
        crash(&mut world, false);
        assert_eq!(delta(&world, 1), [] as [usize; 0]);
        assert_eq!(delta(&world, 2), (0..50).collect::<Vec<_>>());
        restore(&world, 2);
        world.settle();
        assert_eq!(copied(&world), 50);
        assert_eq!(content(&world, 0), point);
    }
}

/// A Clone is removed and added again under its number: what stood in its column before is nothing to the new one, and
/// a half synchronized one goes on where it was.
#[test]
fn removed_and_added_again() {
    let mut world = mirrored(PER_CLONE);
    fracture(&world, 2);
    write(&world, 0..100);
    world.settle();
    // SAFETY: a live group.
    operate(&world, |group, tag| unsafe { clone_group_clone_remove(group, 2, tag) });
    write(&world, 90..110);
    world.settle();
    add(&world, 2);
    crash(&mut world, false);
    assert_eq!(delta(&world, 2).len(), 128, "a new Clone differs everywhere (R73)");
    synchronize(&world, 2);
    world.settle();
    assert_eq!(content(&world, 0), content(&world, 2));
    crash(&mut world, false);
    for lu in [1, 2] {
        let left = delta(&world, lu).len() as u64;
        assert!(left <= INTENTS, "{left} extents of LU {lu} are copied again");
    }
    world.settle();
    fracture(&world, 2);
    write(&world, [7]);
    crash(&mut world, false);
    assert_eq!(delta(&world, 2), [7]);
}

/// After a close nothing that is equal is copied, also of a restore that is half done.
#[test]
fn a_close_writes_exact_maps() {
    for map_per_clone in [false, true] {
        let clones = if map_per_clone { 2 } else { 1 };
        let mut world = mirrored(Profile { map_per_clone, clones, ..PER_CLONE });
        fracture(&world, 1);
        write(&world, 0..100);
        world.settle();
        restore(&world, 1);
        while world.clone_info(1).extents_left > 43 {
            world.step(1);
        }
        let left = delta(&world, 1);
        operate(&world, CLOSE);
        crash(&mut world, false);
        assert_eq!(delta(&world, 1), left, "per Clone: {map_per_clone}");
        world.settle();
        assert_eq!(copied(&world), left.len() as u64);
    }
}

/// A Clone that was never synchronized does not keep the intents of another one from being cleared, whatever was
/// restored beside it.
#[test]
fn one_that_was_never_synchronized_is_no_hindrance() {
    for reversed in [false, true] {
        let mut world = mirrored(Profile { clones: 1, ..PER_CLONE });
        drop(world);
        world = World::new(PER_CLONE, 5);
        world.power_on();
        operate(&world, FORMAT);
        add(&world, 1);
        synchronize(&world, 1);
        world.settle();
        fracture(&world, 1);
        add(&world, 2);
        write(&world, 0..20);
        if reversed {
            reverse(&world, 1);
            world.settle();
        } else {
            restore(&world, 1);
            world.settle();
            synchronize(&world, 1);
            world.settle();
        }
        assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
        write(&world, 0..100);
        world.settle();
        crash(&mut world, false);
        let left = delta(&world, 1).len() as u64;
        assert!(left <= INTENTS, "{left} extents are copied again");
    }
}

/// R60, R72: a restore whose map is lost is given up. What it copied until then differs from every other Clone, which
/// no page says: the next restore from another Clone copies it.
#[test]
fn a_restore_given_up_is_not_forgotten_by_other_clones() {
    // Two pages.
    let profile = Profile { blocks: 1300, extent_blocks: 1, intents: 1024, ..PER_CLONE };
    let mut world = mirrored(profile);
    fracture(&world, 1);
    write(&world, [5, 6, 7]);
    fracture(&world, 2);
    let point = content(&world, 2);
    world.settle();
    restore(&world, 1);
    while world.clone_info(1).extents_left > 1 {
        world.step(1);
    }
    let mut area = world.inner.borrow().area.now.clone();
    let (superblock, page) = (512, 512);
    let region = superblock + 2 * page;
    assert_eq!(area.len(), 2 * region);
    for slot in 0..2 {
        // The second page: the extents that are copied are in the first one.
        area[slot * region + superblock + page + 70] ^= 1;
    }
    world.lose_power(|| false);
    world.inner.borrow_mut().area.replace(&area);
    world.power_on();
    assert_eq!(world.run_operation(RECOVER), CLONE_GROUP_ERR_RESTORE_MAP_LOST);
    world.power_on();
    // SAFETY: a live group.
    operate(&world, |group, tag| unsafe {
        clone_group_recover(group, CLONE_GROUP_RECOVER_ABANDON_RESTORE, tag)
    });
    world.after_recovery();
    world.check_delta_maps();
    crash(&mut world, false);
    restore(&world, 2);
    // A host writes, and power is lost once more: everything differs, but for what hosts wrote (R7).
    write(&world, [1299]);
    let mut point = point;
    point[1299] = content(&world, 0)[1299];
    crash(&mut world, false);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0, "the restore does not end");
    assert_eq!(content(&world, 0), point, "the restore left what the one given up had copied");
    // From then on all is as ever: little is copied again.
    synchronize(&world, 2);
    world.settle();
    crash(&mut world, false);
    assert_eq!(delta(&world, 2), [] as [usize; 0]);
}

/// N4, R78: a Clone that failed, or whose Synchronization was cut short, takes the intents over at once, and is no
/// hindrance for the others from then on.
#[test]
fn one_that_was_cut_short_is_no_hindrance() {
    for failed in [false, true] {
        let mut world = mirrored(PER_CLONE);
        write(&world, 0..12);
        if failed {
            world.inner.borrow_mut().profile.immediate = 0;
            write_with_a_failed_leg(&world, 3);
            world.inner.borrow_mut().profile.immediate = 256;
        } else {
            // SAFETY: a live group.
            unsafe {
                fracture(&world, 2);
                write(&world, 0..60);
                assert!(world.operation(|group, tag| clone_group_pause(group, tag)).is_ok());
                world.settle();
                synchronize(&world, 2);
                operate(&world, |group, tag| clone_group_cancel(group, 2, tag));
                operate(&world, |group, tag| clone_group_resume(group, tag));
            }
        }
        assert_eq!(world.clone_info(2).state, CLONE_GROUP_CLONE_OUT_OF_SYNC);
        write(&world, 20..120);
        world.settle();
        let intents = world.info().persistent_delta_extents;
        assert!(intents <= INTENTS, "{intents} intents, failed: {failed}");
        crash(&mut world, false);
        let left = delta(&world, 1).len() as u64;
        assert!(left <= INTENTS, "{left} extents of the mirrored Clone are copied again, failed: {failed}");
        synchronize(&world, 2);
        world.settle();
        assert_eq!(content(&world, 0), content(&world, 2));
    }
}

/// The leg of a host write to Clone 2 fails.
fn write_with_a_failed_leg(world: &World, extent: usize) {
    world.host(CLONE_GROUP_IO_WRITE, 0, extent * 2, 1, false);
    while world.hosts_open() > 0 {
        world.poll(16);
        world.fail_where(|io| io.lu == 2);
        world.complete_where(|_| true);
    }
    assert_eq!(world.clone_info(2).conditions & CLONE_GROUP_CONDITION_FAILED, CLONE_GROUP_CONDITION_FAILED);
}

/// R72: power is lost right after the superblock that ends a copy onto the Source: the other Clone's column says what it
/// changed by then.
#[test]
fn another_clone_knows_when_the_end_is_durable() {
    for reversed in [false, true] {
        for changed in [3, 50] {
            let mut world = mirrored(PER_CLONE);
            fracture(&world, 1);
            write(&world, 0..changed);
            fracture(&world, 2);
            world.settle();
            let start = if reversed { reverse } else { restore };
            start(&world, 1);
            world.inner.borrow_mut().profile.immediate = 0;
            let superblocks = world.statistics().superblock_writes;
            // The first write of the last superblock is complete, and nothing after it.
            while world.statistics().superblock_writes < superblocks + 2 {
                world.step(1);
                world.complete_some(1);
            }
            crash(&mut world, false);
            let info = world.info();
            assert_eq!(info.restoring_lu + info.reversing_lu, 0, "the test lost its moment");
            assert_eq!(delta(&world, 2), (0..changed).collect::<Vec<_>>(), "reversed: {reversed}");
        }
    }
}

/// R72: Recovery takes what the restore may have copied before the power loss into the maps of the other Clones, so that
/// each column says by itself what differs, also if the restore is left before its end.
#[test]
fn recovery_tells_other_clones_what_was_copied() {
    let mut world = mirrored(PER_CLONE);
    fracture(&world, 1);
    write(&world, 0..6);
    fracture(&world, 2);
    world.settle();
    restore(&world, 1);
    while world.clone_info(1).extents_left > 3 {
        world.step(1);
    }
    crash(&mut world, false);
    assert_eq!(delta(&world, 1), [0, 1, 2, 3, 4, 5], "the test lost its extents that no page knows of");
    operate(&world, CLOSE);
    let inner = world.inner.borrow();
    let format = common::pages::Format::new(128, 2, true, 512, 512);
    let missing = |extent: &usize| !format.delta(inner.area.durable(), *extent, 2);
    assert_eq!((0..6).filter(missing).collect::<Vec<_>>(), [] as [usize; 0], "in the column of Clone 2");
}

/// R78: what hosts wrote to both LUs of a Reverse Synchronization is copied again within a bound only, though the copies
/// are paused.
#[test]
fn intents_are_cleared_beside_paused_copies() {
    for (clones, map_per_clone) in [(1, false), (1, true), (2, true)] {
        let mut world = mirrored(Profile { clones, map_per_clone, ..PER_CLONE });
        fracture(&world, 1);
        write(&world, 0..5);
        world.settle();
        // SAFETY: a live group.
        operate(&world, |group, tag| unsafe { clone_group_pause(group, tag) });
        reverse(&world, 1);
        write(&world, 0..120);
        world.settle();
        crash(&mut world, false);
        let left = delta(&world, 1).len() as u64;
        assert!(
            left <= 5 + INTENTS,
            "{left} extents are copied, {clones} Clones, per Clone: {map_per_clone}"
        );
    }
}

/// R72, R78: nor is it more where copies are scattered over so many map pages that they are faster than the pages are
/// written.
#[test]
fn scattered_copies_wait_for_their_pages() {
    let profile = Profile {
        blocks: 64 * 200,
        extent_blocks: 1,
        clones: 50,
        copies: 4,
        copy_blocks: 16,
        map_per_clone: true,
        intents: 64,
        ..Profile::QUIET
    };
    let mut world = fractured(profile, 2, &[]);
    for extent in (0..200).flat_map(|page| [page * 64, page * 64 + 5, page * 64 + 9]) {
        world.write(extent, 1);
        world.finish_hosts();
    }
    world.does(Ask::Restore(1));
    while world.delta(1).len() > 150 {
        world.step(150);
    }
    let left = world.delta(1).len();
    world.crash(false);
    let again = world.delta(1).len() - left;
    // One run of copies may be under way beyond the bound.
    assert!(again <= 64 + 16, "{again} extents are copied again");
}
