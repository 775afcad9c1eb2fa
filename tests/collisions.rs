//! Goal: the Collision Detector counts by Clone and extent, forgets what was copied, and is exclusive after
//! `recopies_max` collisions and never earlier (R44-R46).
//! Method: one copy at a time, which the controller holds when it writes; a host write to its extent, or none, meanwhile.

mod common;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Placed, Profile, World};

/// An extent of four blocks is copied at a time.
const ONE: Profile = Profile { copies: 1, ..Profile::QUIET };
const STATUS: i32 = -5;
/// What the library takes if the configuration says nothing.
const RECOPIES_MAX: u32 = 3;

/// A copy that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Copied {
    lu: usize,
    extent: usize,
    exclusive: bool,
}

/// Copies stop when they write; host writes to the Source fail while the returned flag is set.
fn hold_copies(world: &World) -> Rc<Cell<bool>> {
    let fails = Rc::new(Cell::new(false));
    let failing = fails.clone();
    world.choose(move |io| match io {
        _ if is_copy_write(io) => Choice::Hold,
        _ if failing.get() && is_host_write(io) && io.lu == 0 => Choice::Fail(STATUS),
        _ => Choice::Now,
    });
    fails
}

/// Makes the next copy. If `hit` says so, a host writes to its extent meanwhile. None if there is nothing to copy.
fn copy(world: &World, hit: impl FnOnce(usize, usize) -> bool) -> Option<Copied> {
    for _ in 0..8 {
        world.step(1);
    }
    if world.holds(is_copy_write) == 0 {
        return None;
    }
    assert_eq!(world.holds(is_copy_write), 1, "one copy at a time");
    let io = *world.inner.borrow().log.iter().rfind(|io| is_copy_write(io)).expect("it is held");
    let (lu, extent) = (io.lu as usize, io.first_block as usize / at(1));
    let before = world.statistics();
    let hit = hit(lu, extent).then(|| world.write(at(extent), 1));
    world.poll_still();
    let waits = hit.is_some_and(|write| world.ended(write).is_none());
    world.complete_chosen(Choice::Now, is_copy_write);
    world.poll_still();
    let after = world.statistics();
    let exclusive = after.exclusive_copies > before.exclusive_copies;
    assert_eq!(waits, exclusive && hit.is_some(), "writes wait for exclusive copies only (R46)");
    let collided = after.collisions > before.collisions;
    assert_eq!(collided, !exclusive && hit.is_some(), "a write under way is a collision (R44)");
    assert!(hit.is_none_or(|write| world.ended(write) == Some(true)), "the write did not go on");
    assert_eq!(world.delta(lu).contains(&extent), collided, "D goes with a copy that no write met (R45)");
    Some(Copied { lu, extent, exclusive })
}

/// The next copy is of this extent, onto this Clone.
#[track_caller]
fn copy_of(world: &World, lu: usize, extent: usize, hit: bool, exclusive: bool) {
    assert_eq!(copy(world, |_, _| hit), Some(Copied { lu, extent, exclusive }));
}

/// The host writes to the extent, and the Source fails: the Clones may hold what it lacks, and are copied again (R50).
fn copy_again(world: &World, fails: &Cell<bool>, extent: usize) {
    fails.set(true);
    world.write(at(extent), 1);
    world.poll_still();
    fails.set(false);
}

/// Clones 1 and 2 are being synchronized: both differ in these extents.
fn synchronizing_two(extents: &[usize]) -> Placed {
    let world = mirrored(ONE, 2);
    (1..=2).for_each(|lu| world.does(Ask::Fracture(lu)));
    extents.iter().for_each(|&extent| _ = world.write(at(extent), 1));
    world.finish_hosts();
    (1..=2).for_each(|lu| world.does(Ask::Synchronize(lu)));
    assert_eq!((world.delta(1), world.delta(2)), (extents.to_vec(), extents.to_vec()));
    world
}

/// R46: a copy is exclusive after `recopies_max` collisions of its own extent, and never earlier; those of its neighbour
/// do not count.
#[test]
fn r46_collisions_count_by_extent() {
    let world = synchronizing(ONE, &[2, 3]);
    hold_copies(&world);
    for _ in 1..RECOPIES_MAX {
        copy_of(&world, 1, 2, true, false);
        copy_of(&world, 1, 3, true, false);
    }
    copy_of(&world, 1, 2, true, false);
    copy_of(&world, 1, 3, false, false);
    // Collided three times, and its neighbour twice.
    copy_of(&world, 1, 2, true, true);
    assert_eq!(copy(&world, |_, _| true), None);
    world.poll_still();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
    let statistics = world.statistics();
    assert_eq!((statistics.collisions, statistics.exclusive_copies), (5, 1));
}

/// R46: collisions with the copy of an extent onto one Clone do not count for another Clone.
#[test]
fn r46_collisions_count_by_clone() {
    let world = synchronizing_two(&[4, 6]);
    hold_copies(&world);
    // Clone 1 collides in extent 4, Clone 2 is copied without.
    let mut copies = Vec::new();
    while let Some(copied) = copy(&world, |lu, extent| (lu, extent) == (1, 4)) {
        copies.push((copied.lu, copied.extent, copied.exclusive));
        assert!(copies.len() < 20, "it does not end: {copies:?}");
    }
    let of = |lu, extent| copies.iter().filter(|copy| (copy.0, copy.1) == (lu, extent)).count();
    assert_eq!((of(1, 6), of(2, 4), of(2, 6)), (1, 1, 1));
    assert_eq!(of(1, 4), RECOPIES_MAX as usize + 1);
    assert_eq!(copies.iter().filter(|copy| copy.2).collect::<Vec<_>>(), [&(1, 4, true)]);
}

/// R46: an extent that was copied begins anew: its earlier collisions do not count.
#[test]
fn r46_a_copied_extent_is_forgotten() {
    let world = synchronizing(ONE, &[2, 3]);
    let fails = hold_copies(&world);
    for _ in 1..RECOPIES_MAX {
        copy_of(&world, 1, 2, true, false);
        copy_of(&world, 1, 3, true, false);
    }
    copy_of(&world, 1, 2, false, false);
    copy_again(&world, &fails, 2);
    assert_eq!(world.delta(1), [2, 3]);
    // The neighbour keeps its count.
    copy_of(&world, 1, 3, true, false);
    for _ in 0..RECOPIES_MAX {
        copy_of(&world, 1, 2, true, false);
        if world.delta(1).contains(&3) {
            copy_of(&world, 1, 3, true, true);
        }
    }
    copy_of(&world, 1, 2, true, true);
}

/// R46: copies onto a Clone that failed, or was removed, are over, and so are their collisions; those of another Clone
/// stay.
#[test]
fn r46_a_clone_that_is_left_is_forgotten() {
    for removed in [false, true] {
        let world = synchronizing_two(&[4]);
        hold_copies(&world);
        for _ in 1..RECOPIES_MAX {
            let both =
                [(); 2].map(|()| copy(&world, |_, _| true).map(|copied| (copied.lu, copied.exclusive)));
            assert!(both.contains(&Some((1, false))) && both.contains(&Some((2, false))), "{both:?}");
        }
        if removed {
            world.does(Ask::Remove(1));
            world.does(Ask::Add(1));
        } else {
            world.choose(|io| if io.lu == 1 { Choice::Fail(STATUS) } else { Choice::Now });
            world.write(at(8), 1);
            world.poll_still();
            assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC);
            hold_copies(&world);
        }
        world.does(Ask::Synchronize(1));
        let mut copies = [0; 3];
        while let Some(copied) = copy(&world, |_, extent| extent == 4) {
            copies[copied.lu] += u32::from(copied.extent == 4);
            let most = [0, RECOPIES_MAX + 1, 2][copied.lu];
            let last = copied.extent == 4 && copies[copied.lu] == most;
            assert_eq!(copied.exclusive, last, "{copied:?}: collision {copies:?}, removed: {removed}");
        }
        assert_eq!(copies, [0, RECOPIES_MAX + 1, 2], "removed: {removed}");
    }
}

/// R46: the table has room for 32 extents. Those that find none are counted when there is room again, and the
/// Synchronization ends.
#[test]
fn r46_more_extents_than_the_table_holds() {
    const HOT_MAX: usize = 32;
    const EXTENTS: usize = HOT_MAX + 8;
    let profile = Profile { blocks: at(EXTENTS), ..ONE };
    let world = formatted_with(profile, |_| {});
    world.does(Ask::Add(1));
    hold_copies(&world);
    world.does(Ask::Synchronize(1));
    assert_eq!(world.delta(1).len(), EXTENTS);
    let mut copies = [0; EXTENTS];
    while let Some(copied) = copy(&world, |_, _| true) {
        copies[copied.extent] += 1;
        let (earlier, later) = (RECOPIES_MAX + 1, 2 * RECOPIES_MAX + 1);
        let last = copies[copied.extent] == if copied.extent < HOT_MAX { earlier } else { later };
        assert_eq!(copied.exclusive, last, "{copied:?}: copy {}", copies[copied.extent]);
    }
    world.poll_still();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
    assert_eq!(world.statistics().exclusive_copies, EXTENTS as u64);
}

/// R44, R45, R46: whatever collides in whatever order, with two Clones and extents that are to be copied again and again,
/// exactly those copies are exclusive whose extent collided `recopies_max` times since it was last copied onto that
/// Clone.
#[test]
fn r46_exclusive_as_a_plain_count_says() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = synchronizing_two(&[0, 1, 5, 9]);
        let fails = hold_copies(&world);
        let mut counts: HashMap<(usize, usize), u32> = HashMap::new();
        let mut exclusives = 0;
        for turn in 0..200 {
            // Neither Clone becomes Synchronized: that would be its end.
            while (1..=2).any(|lu| world.delta(lu).len() < 2) {
                copy_again(&world, &fails, random.usize(..10));
            }
            let copied = copy(&world, |_, _| random.u32(..8) > 0).expect("there is something to copy");
            let key = (copied.lu, copied.extent);
            let count = counts.entry(key).or_default();
            assert_eq!(
                copied.exclusive,
                *count >= RECOPIES_MAX,
                "seed {seed}, turn {turn}: {copied:?}, {count}"
            );
            *count = if world.delta(copied.lu).contains(&copied.extent) { *count + 1 } else { 0 };
            exclusives += u32::from(copied.exclusive);
        }
        assert!(exclusives > 5, "seed {seed}: the test lost its collisions");
    }
}

/// R44: what counts when a copy begins is a write that is under way: not a read, not a write that waits, and not a write
/// to another Clone.
#[test]
fn r44_only_writes_under_way_collide() {
    let world = mirrored(ONE, 2);
    (1..=2).for_each(|lu| world.does(Ask::Fracture(lu)));
    [2, 7].iter().for_each(|&extent| _ = world.write(at(extent), 1));
    world.finish_hosts();
    world.does(Ask::Synchronize(1));
    world.choose(|io| match io {
        _ if is_host(io) || is_page(io) => Choice::Hold,
        _ => Choice::Now,
    });
    let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, at(2), 4, false);
    // Of the other Clone: its bits are durable, so it goes out.
    let (of_clone, _) = world.host(CLONE_GROUP_IO_WRITE, 2, at(2), 1, false);
    world.poll_still();
    assert_eq!(world.holds(is_host), 2, "both are under way");
    let waits = world.write(at(1), at(2));
    world.poll_still();
    assert_eq!((world.holds(is_page), world.holds(is_host)), (1, 2), "the write waits for its page");
    let before = world.statistics();
    world.step_still();
    let after = world.statistics();
    assert_eq!((after.collisions, after.sync_extents - before.sync_extents), (0, 2));
    world.let_go();
    world.finish_hosts();
    assert_eq!([read, of_clone, waits].map(|tag| world.ended(tag)), [Some(true); 3]);
}

/// R44: a write that was under way before the copy began collides with it, though it ends first; and one to other extents
/// does not.
#[test]
fn r44_a_write_from_before_the_copy_collides() {
    for (extent, collisions) in [(2, 1), (3, 0)] {
        let world = synchronizing(ONE, &[2]);
        world.choose(|io| if is_host(io) || is_copy_write(io) { Choice::Hold } else { Choice::Now });
        let write = world.write(at(extent), 1);
        world.poll_still();
        world.step(1);
        assert_eq!(world.holds(is_copy_write), 1, "the copy is under way");
        world.complete_chosen(Choice::Now, is_host);
        world.poll_still();
        assert_eq!(world.ended(write), Some(true));
        world.complete_chosen(Choice::Now, is_copy_write);
        world.poll_still();
        assert_eq!(world.statistics().collisions, collisions);
        assert_eq!(world.delta(1).len() as u64, collisions);
    }
}

/// R43: mirrored writes that adjoin do not wait for each other; those that overlap do.
#[test]
fn r43_writes_that_adjoin_go_together() {
    let world = mirrored(ONE, 1);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    for (first, legs) in [(8, 2), (12, 4), (4, 6), (7, 6)] {
        world.write(first, 4);
        world.poll_still();
        assert_eq!(world.holds(is_host_write), legs, "the write to block {first}");
    }
    world.let_go();
    world.finish_hosts();
}

/// R44: what Verify compares is not compared again because a host writes another Clone.
#[test]
fn r44_a_write_to_another_clone_does_not_meet_verify() {
    for writes in [false, true] {
        let world = mirrored(Profile { copy_blocks: 8, ..ONE }, 2);
        (1..=2).for_each(|lu| world.does(Ask::Fracture(lu)));
        world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
        world.inner.borrow_mut().log.clear();
        world.does(Ask::Verify(1));
        world.step(1);
        assert_eq!(world.holds(is_copy_read), 1, "the first extent is being read");
        if writes {
            let (write, _) = world.host(CLONE_GROUP_IO_WRITE, 2, 1, 1, false);
            world.poll_still();
            assert_eq!(world.ended(write), Some(true));
        }
        world.choose_nothing();
        world.complete_chosen(Choice::Now, is_copy_read);
        world.poll_still();
        assert_eq!((world.logged(is_copy_read), world.statistics().verified_extents), (2, 1));
    }
}

/// R44: copies of an extent onto two Clones do not collide with each other, though a Verify is under way.
#[test]
fn r44_copies_onto_two_clones_do_not_collide() {
    let world = mirrored(Profile { clones: 3, copies: 4, copy_blocks: 8, ..ONE }, 3);
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    world.does(Ask::Verify(3));
    world.step(1);
    assert_eq!(world.holds(is_copy_read), 1, "Verify reads the first extent");
    world.choose(|io| match io {
        _ if is_copy_read(io) => Choice::Hold,
        _ if is_host_write(io) && io.lu == 0 => Choice::Fail(STATUS),
        _ => Choice::Now,
    });
    world.write(at(9), 1);
    world.poll_still();
    assert_eq!([1, 2, 3].map(|lu| world.delta(lu)), [vec![9], vec![9], vec![9]]);
    let before = world.statistics();
    (0..8).for_each(|_| _ = world.step(1));
    assert_eq!(world.holds(is_copy_read), 4, "copies onto all three are under way");
    world.choose_nothing();
    world.complete_chosen(Choice::Now, is_copy_read);
    world.settle();
    let after = world.statistics();
    assert_eq!((after.collisions, after.sync_extents - before.sync_extents), (0, 3));
}
