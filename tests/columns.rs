//! Goal: the columns of a map page say what they must and nothing else: nothing of one Clone stands in the column of
//! another one, no page is written that says nothing new, and copies wait for the superblock only where columns need it
//! (R2, R33, R72).

mod common;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile};

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
