//! Goal: how copies are cut and joined, and how many are under way: a copy on demand takes what the request needs and
//! nothing else, adjoining extents are one copy as far as the buffer allows (R69), and one larger than the buffer is
//! copied piece by piece (R15).

mod common;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile, World};

/// A buffer holds four extents.
const FOUR: Profile = Profile { copies: 4, copy_blocks: 16, ..Profile::QUIET };
const STATUS: i32 = -5;

/// What copies read, sorted: first extent, extents. Those that were claimed together are submitted in any order.
fn copies(world: &World) -> Vec<(usize, usize)> {
    let inner = world.inner.borrow();
    let reads = inner.log.iter().filter(|io| is_copy_read(io));
    let mut copies: Vec<_> =
        reads.map(|io| (io.first_block as usize / at(1), io.block_count as usize / at(1))).collect();
    copies.sort_unstable();
    copies
}

/// Copies stop when they read.
fn hold_copies(world: &World) {
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
}

/// A request for blocks of the Source comes, and no background copy.
fn asks(world: &World, operation: u32, first: usize, count: usize) -> u64 {
    let (tag, _) = world.host(operation, 0, first, count, false);
    world.poll_still();
    assert_eq!(world.ended(tag), None, "it waits for copies");
    tag
}

/// What is held is done, and the request with it.
fn ends(world: &World, tag: u64) {
    world.let_go();
    world.finish_hosts();
    assert_eq!(world.ended(tag), Some(true));
}

/// R69: a read has the extents that it touches copied, and no others, as one copy.
#[test]
fn r69_a_read_has_its_extents_copied_at_once() {
    for (first, count) in [(2, 3), (2, 2), (1, 1), (0, 4)] {
        let world = restoring(FOUR, 1, &[0, 1, 2, 3, 4, 5, 6, 7]);
        hold_copies(&world);
        let read = asks(&world, CLONE_GROUP_IO_READ, at(first) + 1, at(count) - 2);
        assert_eq!(copies(&world), [(first, count)]);
        ends(&world, read);
        assert_eq!(world.statistics().cod_extents, count as u64);
        assert_eq!(world.delta(1).len(), 8 - count, "others were copied, too");
    }
}

/// R69: more than the buffer holds is several copies, all of them under way at once.
#[test]
fn r69_a_copy_takes_what_its_buffer_holds() {
    for (copy_blocks, shapes) in
        [(16, &[(1, 4), (5, 2)][..]), (8, &[(1, 2), (3, 2), (5, 2)]), (12, &[(1, 3), (4, 3)])]
    {
        let world = restoring(Profile { copy_blocks, ..FOUR }, 1, &[1, 2, 3, 4, 5, 6]);
        hold_copies(&world);
        let read = asks(&world, CLONE_GROUP_IO_READ, at(1), at(6));
        assert_eq!(copies(&world), shapes);
        ends(&world, read);
    }
}

/// R69: where nothing is to be copied, a copy ends and the next one begins behind it.
#[test]
fn r69_what_need_not_be_copied_is_left_out() {
    let world = restoring(FOUR, 1, &[1, 2, 4, 7]);
    hold_copies(&world);
    let read = asks(&world, CLONE_GROUP_IO_READ, 0, 38);
    assert_eq!(copies(&world), [(1, 2), (4, 1), (7, 1)]);
    ends(&world, read);
}

/// R10, R69: what another copy owns is waited for, not copied twice.
#[test]
fn r10_what_is_being_copied_is_left_out() {
    let world = restoring(FOUR, 1, &[1, 2, 3, 4, 5]);
    hold_copies(&world);
    let inner = asks(&world, CLONE_GROUP_IO_READ, at(3), 1);
    let outer = asks(&world, CLONE_GROUP_IO_READ, at(1), at(5));
    assert_eq!(copies(&world), [(1, 2), (3, 1), (4, 2)]);
    ends(&world, outer);
    assert_eq!((world.ended(inner), world.statistics().cod_extents), (Some(true), 5));
}

/// R69: a request has no more copies under way than there are slots; the rest follows.
#[test]
fn r69_no_more_copies_than_slots() {
    let world = restoring(Profile { copies: 2, ..FOUR }, 1, &[1, 3, 5, 7]);
    hold_copies(&world);
    let read = asks(&world, CLONE_GROUP_IO_READ, 0, 38);
    assert_eq!(copies(&world), [(1, 1), (3, 1)]);
    world.complete_chosen(Choice::Now, |io| is_copy_read(io) && io.first_block == at(1) as u64);
    world.poll_still();
    assert_eq!(copies(&world), [(1, 1), (3, 1), (5, 1)]);
    ends(&world, read);
    assert_eq!(copies(&world), [(1, 1), (3, 1), (5, 1), (7, 1)]);
}

/// R13, R17: a write has those extents copied that it touches and does not cover, each alone.
#[test]
fn r13_a_write_has_its_edges_copied() {
    let world = restoring(FOUR, 1, &[0, 1, 2, 3, 4, 5]);
    hold_copies(&world);
    let write = asks(&world, CLONE_GROUP_IO_WRITE, at(1) + 1, at(3));
    assert_eq!(copies(&world), [(1, 1), (4, 1)]);
    ends(&world, write);
    assert_eq!((world.statistics().cod_extents, world.statistics().overwritten_extents), (2, 2));
}

/// R61: a run that cannot be read is tried again on demand, each extent alone, and those that can be read are copied.
#[test]
fn r61_a_run_that_failed_is_copied_singly() {
    let world = restoring(FOUR, 1, &[1, 2, 3]);
    let bad = (at(3)..at(4)).map(|block| block as u64);
    world.choose(move |io| {
        let meets =
            bad.clone().any(|block| (io.first_block..io.first_block + io.block_count).contains(&block));
        if is_copy_read(io) && meets { Choice::Fail(STATUS) } else { Choice::Now }
    });
    let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, at(1), at(3), false);
    world.poll_still();
    assert!(world.ended(read).is_some(), "it waits on");
    assert!(copies(&world).contains(&(1, 3)), "{:?}", copies(&world));
    assert!([1, 2, 3].iter().all(|&extent| copies(&world).contains(&(extent, 1))), "{:?}", copies(&world));
    assert_eq!(world.delta(1), [3]);
}

/// R69: background copies join adjoining extents, too, up to what the buffer holds.
#[test]
fn background_copies_join_what_adjoins() {
    for (copy_blocks, shapes) in [
        (16, &[(0, 4), (4, 2), (8, 1)][..]),
        (8, &[(0, 2), (2, 2), (4, 2), (8, 1)]),
        (4, &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (8, 1)]),
    ] {
        let world = synchronizing(Profile { copy_blocks, ..FOUR }, &[0, 1, 2, 3, 4, 5, 8]);
        let before = world.statistics();
        world.step_still();
        assert_eq!(copies(&world), shapes);
        let after = world.statistics();
        assert_eq!(after.sync_extents - before.sync_extents, 7);
        assert_eq!(after.sync_copies - before.sync_copies, shapes.len() as u64);
    }
}

/// R69: in a restore one slot is left to copies on demand; in a Synchronization none.
#[test]
fn r69_background_copies_leave_a_slot() {
    let profile = Profile { copy_blocks: 4, ..FOUR };
    let extents = [0, 1, 2, 3, 4, 5];
    for (world, under_way) in [(restoring(profile, 1, &extents), 3), (synchronizing(profile, &extents), 4)] {
        hold_copies(&world);
        world.step_still();
        assert_eq!(world.holds(is_copy_read), under_way);
    }
}

/// R15: an extent that is larger than the buffer is copied piece by piece, in order.
#[test]
fn r15_an_extent_larger_than_the_buffer_is_copied_in_pieces() {
    let world = synchronizing(Profile { copies: 1, copy_blocks: 3, ..FOUR }, &[2]);
    world.step_still();
    let inner = world.inner.borrow();
    let pieces = |is: fn(&clone_group_io) -> bool| -> Vec<(usize, u64)> {
        let ios = inner.log.iter().filter(|io| is(io));
        ios.map(|io| (io.first_block as usize, io.block_count)).collect()
    };
    assert_eq!(pieces(is_copy_read), [(at(2), 3), (at(2) + 3, 1)]);
    assert_eq!(pieces(is_copy_write), pieces(is_copy_read));
}
