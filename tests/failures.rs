//! Goal: what fails - media, mirrors, metadata, flushes - hurts nobody else, is reported as what it is, and heals
//! (R24, R33, R50, R52, R61, R62, R63); and discards and zeroes do what the header says in every state, whatever LUs
//! declare and whichever callbacks there are (R65).

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Placed, Profile, World};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };
const EIO: i32 = -5;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Restore,
    Synchronize,
    Reverse,
}

const KINDS: [Kind; 3] = [Kind::Restore, Kind::Synchronize, Kind::Reverse];

impl Kind {
    /// All extents of these are to be copied.
    fn begin(self, profile: Profile, extents: &[usize]) -> Placed {
        match self {
            Kind::Restore => restoring(profile, 1, extents),
            Kind::Synchronize => synchronizing(profile, extents),
            Kind::Reverse => reversing(profile, 1, extents),
        }
    }

    /// The LUs that are read and written.
    fn lus(self) -> (u32, u32) {
        if self == Kind::Synchronize { (0, 1) } else { (1, 0) }
    }

    fn is_over(self, world: &World) -> bool {
        let info = world.info();
        match self {
            Kind::Synchronize => world.state(1) == CLONE_GROUP_CLONE_SYNCHRONIZED,
            _ => (info.restoring_lu, info.reversing_lu) == (0, 0),
        }
    }
}

type Bad = Rc<RefCell<BTreeSet<(u32, usize)>>>;

/// These extents of an LU cannot be read, or not be written by copies; a host that writes all of one heals it.
fn bad_media(world: &World, lu: u32, extents: &[usize], reads: bool) -> Bad {
    let bad: Bad = Rc::new(RefCell::new(extents.iter().map(|&extent| (lu, extent)).collect()));
    let media = Rc::clone(&bad);
    world.inner.borrow_mut().fault_seen = true;
    world.choose(move |io| {
        if io.block_count == 0 || io.lu == CLONE_GROUP_LU_NONE {
            return Choice::AsProfile;
        }
        let (first, end) = (io.first_block as usize, (io.first_block + io.block_count) as usize);
        if is_host_write(io) {
            media
                .borrow_mut()
                .retain(|&(lu, extent)| lu != io.lu || first > at(extent) || end < (at(extent) + 4).min(38));
        }
        let concerned = if reads { io.operation == CLONE_GROUP_IO_READ } else { is_copy_write(io) };
        let hit = media.borrow().iter().any(|&(lu, e)| lu == io.lu && first < at(e) + 4 && at(e) < end);
        if concerned && hit { Choice::Fail(EIO) } else { Choice::AsProfile }
    });
    bad
}

/// Everything moves until it comes to rest, also where it cannot come to its end.
fn rest(world: &World) {
    for _ in 0..400 {
        world.step(8);
        world.complete_some(4);
        if world.held() == 0 && world.hosts_open() == 0 && world.step(8) == CLONE_GROUP_OK {
            return;
        }
    }
    panic!("{} I/Os and {} requests do not come to rest", world.held(), world.hosts_open());
}

/// R61, R62, R15: extents that cannot be read, or written, stay as they were and the rest is copied, in runs and piece
/// by piece; exactly the bad ones are counted and reported, once a pass; a resume finds them again, or heals them.
#[test]
fn bad_extents_are_counted_and_reported() {
    let all: Vec<usize> = (0..10).collect();
    for kind in KINDS {
        for reads in [true, false] {
            for (copies, copy_blocks, immediate) in
                [(1, 64, 256), (3, 16, 256), (3, 8, 100), (2, 4, 0), (2, 2, 256)]
            {
                for bad in [vec![1, 5, 6, 9], vec![0], vec![4, 9], all.clone()] {
                    let context = format!("{kind:?}, reads {reads}, buffer {copy_blocks}, bad {bad:?}");
                    let profile = Profile { copies, copy_blocks, immediate, ..QUIET };
                    let world = kind.begin(profile, &all);
                    let (from, to) = kind.lus();
                    let lu = if reads { from } else { to };
                    let media = bad_media(&world, lu, &bad, reads);
                    rest(&world);
                    let info = world.clone_info(1);
                    assert_eq!(info.extents_failed, bad.len() as u64, "{context}");
                    assert_eq!(info.first_failed_extent, bad[0] as u64, "{context}");
                    assert_eq!(info.extents_left, bad.len() as u64, "{context}");
                    assert_eq!(world.delta(1), bad, "{context}");
                    assert!(world.is(1, CLONE_GROUP_CONDITION_STALLED), "{context}");
                    let mut told = world.events_of(CLONE_GROUP_EVENT_COPY_FAILED, lu);
                    told.sort_unstable();
                    let reported: Vec<usize> = told.iter().map(|&extent| extent as usize).collect();
                    assert_eq!(reported, bad, "{context}: not exactly the bad extents are reported");
                    let stalled = world.events_of(CLONE_GROUP_EVENT_STALLED, 1);
                    assert_eq!(stalled, [bad.len() as u64], "{context}");
                    // Tried again: the same ones.
                    world.does(Ask::Resume);
                    rest(&world);
                    assert_eq!(world.clone_info(1).extents_failed, bad.len() as u64, "{context}");
                    assert!(!kind.is_over(&world), "{context}");
                    // Mended: the rest is copied.
                    media.borrow_mut().clear();
                    world.does(Ask::Resume);
                    world.settle();
                    assert!(kind.is_over(&world), "{context}");
                    assert_eq!(world.clone_info(1).extents_failed, 0, "{context}");
                    assert_eq!(world.content(0), world.content(1), "{context}");
                    world.check_lu_now(0);
                }
            }
        }
    }
}

/// R61: a host that writes over all of a bad extent heals it. In a restore nothing else is needed; otherwise a resume.
#[test]
fn bad_extents_are_healed_by_writing_over_them() {
    for kind in KINDS {
        let all: Vec<usize> = (0..10).collect();
        let world = kind.begin(Profile { copy_blocks: 16, ..QUIET }, &all);
        let bad = bad_media(&world, kind.lus().0, &[2, 3, 9], true);
        rest(&world);
        assert_eq!(world.delta(1), [2, 3, 9]);
        let snapshot = world.content(1);
        for (first, count) in [(at(2), 8), (at(9), 2)] {
            let (tag, _) = world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
            rest(&world);
            assert_eq!(world.ended(tag), Some(true));
        }
        if kind == Kind::Restore {
            assert!(
                kind.is_over(&world),
                "a restore whose bad extents are the host's goes on without a resume"
            );
            assert_eq!(world.content(1), snapshot);
            assert_eq!(world.delta(1), [2, 3, 9], "what hosts wrote is what differs");
        } else {
            assert!(bad.borrow().is_empty(), "the medium is written anew");
            world.does(Ask::Resume);
            world.settle();
            assert!(kind.is_over(&world));
            assert_eq!(world.content(0), world.content(1));
        }
        world.check_lu_now(0);
        world.check_delta_maps();
    }
}

/// R61, R62: copies on demand that fail. A read of needed extents only is served from the Clone, a mixed one and a
/// write of a part fail, and only those that need the bad extent; a run is narrowed down to it.
#[test]
fn failed_copies_on_demand() {
    for reads in [true, false] {
        for copy_blocks in [2, 4, 16] {
            let world = restoring(Profile { copy_blocks, ..QUIET }, 1, &[1, 2, 3, 4, 6]);
            let clone = world.content(1);
            // Of a bad extent single blocks of the Clone can be read by hosts: only copies fail.
            world.inner.borrow_mut().fault_seen = true;
            world.choose(move |io| {
                let hit = if reads { is_copy_read(io) } else { is_copy_write(io) };
                let touches = io.first_block < 16 && io.first_block + io.block_count > 12;
                if hit && touches { Choice::FailDone(EIO) } else { Choice::Now }
            });
            let read = world.read_now(0, at(1) + 1, 14);
            assert_eq!(read, Err(EIO), "a part of it cannot be copied");
            world.poll_still();
            let delta = world.delta(1);
            assert!(delta.contains(&3) && !delta.contains(&1) && !delta.contains(&2), "{delta:?}");
            let told = world.events_of(CLONE_GROUP_EVENT_COPY_FAILED, u32::from(reads));
            assert!(!told.is_empty() && told.iter().all(|&extent| extent == 3), "{told:?}");
            // Wholly in what still has to be copied: from the Clone.
            assert_eq!(world.read_now(0, at(3), 4).expect("a read"), clone[12..16]);
            assert_eq!(world.read_now(0, at(3) + 1, 2).expect("a read"), clone[13..15]);
            assert_eq!(world.read_now(0, at(2) + 2, 4), Err(EIO), "a mixed read");
            let part = world.write(at(3) + 1, 1);
            let other = world.write(at(2) + 1, 1);
            rest(&world);
            assert_eq!((world.ended(part), world.ended(other)), (Some(false), Some(true)));
            assert_eq!((world.info().restoring_lu, world.delta(1)), (1, vec![3]));
            assert!(!world.protected().contains(&3), "P must not be set");
            world.choose_nothing();
            world.does(Ask::Resume);
            world.settle();
            assert_eq!(world.info().restoring_lu, 0);
            world.check_lu_now(0);
            assert_eq!(world.content(1), clone);
        }
    }
}

/// R15: an extent is copied in pieces, and a later one fails: none of it counts, before and after a crash.
#[test]
fn a_half_copied_extent_is_not_copied() {
    for kind in KINDS {
        for done in [Choice::Fail(EIO), Choice::FailDone(EIO)] {
            let mut world = kind.begin(Profile { copy_blocks: 1, ..QUIET }, &[1]);
            let to = kind.lus().1;
            world.choose(move |io| {
                if is_copy_write(io) && io.lu == to && io.first_block == 6 { done } else { Choice::Now }
            });
            rest(&world);
            assert_eq!(world.logged(is_copy_write), 3);
            assert_eq!((world.delta(1), world.clone_info(1).extents_failed), (vec![1], 1));
            // A read that lies wholly in what is to be copied is served.
            let clone = world.content(1);
            let read = world.read_now(0, 4, 4).expect("a read");
            assert!(kind == Kind::Synchronize || read == clone[4..8]);
            world.crash(true);
            assert_eq!(world.delta(1), [1]);
            world.check_lu_after_loss(0);
            world.settle();
            assert!(kind.is_over(&world));
            assert_eq!(world.content(0), world.content(1));
        }
    }
}

/// R63: a host write fails after its bits are set: they stay, the host is told, nothing is copied over it.
#[test]
fn a_failed_host_write_keeps_its_bits() {
    for how in [Choice::Fail(EIO), Choice::FailDone(EIO)] {
        let world = restoring(QUIET, 1, &[1, 2]);
        world.choose(move |io| if is_host_write(io) { how } else { Choice::Now });
        let part = world.write(at(1), 2);
        let equal = world.write(at(5), 4);
        rest(&world);
        assert_eq!((world.ended(part), world.ended(equal)), (Some(false), Some(false)));
        assert_eq!(world.delta(1), [1, 5], "it may differ now");
        world.check_delta_maps();
        world.check_lu_now(0);
        // A whole extent: nothing was flipped, it is still the Clone's (R18).
        let world = restoring(QUIET, 1, &[1, 2]);
        let clone = world.content(1);
        world.choose(move |io| if is_host_write(io) { how } else { Choice::Now });
        let whole = world.write(at(1), 4);
        world.poll_still();
        assert_eq!(
            (world.ended(whole), world.protected().len(), world.delta(1)),
            (Some(false), 0, vec![1, 2])
        );
        assert_eq!(world.read_now(0, 4, 4).expect("a read"), clone[4..8]);
        rest(&world);
        assert_eq!(world.content(0), clone);
    }
}

/// R52: whatever fails on a mirrored Clone, the host is not told; the Clone is OutOfSync, the other one is not, and
/// a Synchronization brings it back. R50: in a Reverse Synchronization it is the Source's leg that does not count.
#[test]
fn a_mirror_never_fails_the_host() {
    let requests = [
        (CLONE_GROUP_IO_WRITE, 5, 6, false),
        (CLONE_GROUP_IO_WRITE, 8, 4, true),
        (CLONE_GROUP_IO_WRITE_ZEROES, 6, 7, false),
        (CLONE_GROUP_IO_DISCARD, 6, 7, false),
        (CLONE_GROUP_IO_FLUSH, 0, 1, false),
    ];
    for map_per_clone in [false, true] {
        for how in [Choice::Fail(EIO), Choice::FailDone(EIO)] {
            for (operation, first, count, fua) in requests {
                let context = format!("operation {operation}, {how:?}, map per Clone {map_per_clone}");
                let mut world = mirrored(Profile { map_per_clone, ..VOLATILE }, 2);
                world.write(at(7), 1);
                world.poll_still();
                world.choose(move |io| if io.lu == 1 { how } else { Choice::Now });
                let (tag, _) = world.host(operation, 0, first, count, fua);
                rest(&world);
                assert_eq!(world.ended(tag), Some(true), "{context}");
                assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC, "{context}");
                assert!(world.is(1, CLONE_GROUP_CONDITION_FAILED), "{context}");
                assert_eq!(world.state(2), CLONE_GROUP_CLONE_SYNCHRONIZED, "{context}");
                let failed = (CLONE_GROUP_EVENT_CLONE_FAILED, 1, EIO);
                assert!(world.inner.borrow().events.contains(&failed), "{context}: no event with the status");
                assert_eq!(world.content(0), world.content(2), "{context}");
                world.check_delta_maps();
                assert!(world.delta(1).contains(&7), "{context}: what it was sent lately is not trusted");
                world.choose_nothing();
                world.crash(false);
                world.check_delta_maps();
                world.does(Ask::Synchronize(1));
                world.settle();
                assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED, "{context}");
                assert!(!world.is(1, CLONE_GROUP_CONDITION_FAILED), "{context}");
                assert_eq!(world.content(0), world.content(1), "{context}");
            }
            for (operation, first, count, fua) in requests {
                for lu in [0, 1] {
                    let context = format!("operation {operation} with {how:?} on LU {lu}");
                    let world = reversing(Profile { map_per_clone, ..VOLATILE }, 1, &[1]);
                    world.write(at(7), 1);
                    world.poll_still();
                    world.choose(move |io| {
                        if io.lu == lu && (is_host(io) || is_flush(io)) { how } else { Choice::Now }
                    });
                    let (tag, status) = world.host(operation, 0, first, count, fua);
                    world.poll_still();
                    assert_eq!(world.ended(tag), Some(lu == 0), "{context}, {status:?}");
                    assert_eq!(world.state(1), CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING, "{context}");
                    world.check_delta_maps();
                    world.choose_nothing();
                    for _ in 0..2 {
                        world.does(Ask::Resume);
                        world.settle();
                    }
                    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED, "{context}");
                    assert_eq!(world.content(0), world.content(1), "{context}");
                    world.check_lu_now(0);
                }
            }
        }
    }
}

/// R50, R52: the leg that counts fails: the host is told, and whatever the other one has is not trusted.
#[test]
fn the_source_fails_in_a_mirrored_write() {
    for how in [Choice::Fail(EIO), Choice::FailDone(EIO)] {
        let world = mirrored(QUIET, 2);
        world.choose(move |io| if is_host_write(io) && io.lu == 0 { how } else { Choice::Now });
        let tag = world.write(5, 1);
        world.poll_still();
        assert_eq!(world.ended(tag), Some(false));
        world.check_delta_maps();
        for lu in [1, 2] {
            assert_eq!(world.state(lu), CLONE_GROUP_CLONE_SYNCHRONIZING, "it is copied again");
        }
        world.choose_nothing();
        world.settle();
        assert_eq!(world.content(0), world.content(1));
        assert_eq!(world.content(0), world.content(2));
    }
}

/// R33: a page that clears bits fails. They count as not durable for whoever writes there, and stay set otherwise;
/// what needs no new bit goes on; a repair brings everything back.
#[test]
fn a_page_that_clears_bits_fails() {
    for how in [Choice::Fail(EIO), Choice::FailDone(EIO)] {
        let mut world = mirrored(Profile { blocks: 256, ..QUIET }, 1);
        for extent in 0..9 {
            world.write(at(extent), 1);
            world.poll_still();
        }
        let mut pages = 0;
        world.choose(move |io| {
            pages += u32::from(is_page(io));
            if is_page(io) && pages == 2 { how } else { Choice::Now }
        });
        // This one makes the sweeper clear the others.
        let last = world.write(at(9), 1);
        world.poll_still();
        assert_eq!((world.ended(last), world.metadata_failed()), (Some(true), true));
        let cleared = world.write(at(0), 2);
        let known = world.write(at(9), 2);
        world.poll_still();
        assert_eq!(world.ended(cleared), Some(false), "it counts on a bit whose fate is unknown");
        assert_eq!(world.ended(known), Some(true), "it needs no new bit");
        assert_eq!(world.result_of(Ask::Pause), CLONE_GROUP_ERR_METADATA_FAILED);
        world.choose_nothing();
        world.does(Ask::Repair);
        let cleared = world.write(at(0), 2);
        world.poll_still();
        assert_eq!((world.ended(cleared), world.metadata_failed()), (Some(true), false));
        world.crash(false);
        world.check_delta_maps();
    }
}

/// R17, R18, R33: a whole extent was overwritten, and the map that says so cannot be written: the host is told, and the
/// extent is still the Clone's, also after a repair and a crash.
#[test]
fn an_overwrite_whose_page_fails() {
    for crash in [false, true] {
        let mut world = restoring(VOLATILE, 1, &[1, 2]);
        let clone = world.content(1);
        world.choose(|io| if is_page(io) { Choice::Fail(EIO) } else { Choice::Now });
        let tag = world.write(4, 4);
        world.poll_still();
        assert_eq!((world.ended(tag), world.logged(is_host_write)), (Some(false), 1));
        assert_eq!((world.protected().len(), world.delta(1)), (0, vec![1, 2]));
        assert_eq!(world.read_now(0, 4, 4).expect("a read"), clone[4..8]);
        if crash {
            world.crash(false);
        } else {
            world.choose_nothing();
            world.does(Ask::Repair);
        }
        assert_eq!(world.read_now(0, 4, 4).expect("a read"), clone[4..8]);
        world.settle();
        assert_eq!(world.content(0), clone);
    }
}

/// R33: while the area cannot be written, a repair fails and says so, again and again; then one works.
#[test]
fn a_repair_that_fails_can_be_repeated() {
    for superblock in [false, true] {
        let mut world = fractured(QUIET, 1, &[1]);
        world.choose(move |io| {
            let hit = if superblock { is_superblock(io) } else { is_page(io) };
            if hit { Choice::FailDone(EIO) } else { Choice::Now }
        });
        if superblock {
            assert_eq!(world.result_of(Ask::Pause), EIO);
        } else {
            world.write(at(5), 1);
            world.poll_still();
        }
        for _ in 0..3 {
            assert_eq!(world.result_of(Ask::Repair), CLONE_GROUP_ERR_METADATA_FAILED);
            assert!(world.metadata_failed());
            let tag = world.write(at(6), 1);
            world.poll_still();
            assert_eq!(world.ended(tag), Some(false));
            // A superblock whose result is unknown stops all writes, another failure those that need a bit.
            let tag = world.write(at(1), 1);
            world.poll_still();
            assert!(superblock || world.ended(tag) == Some(true));
            assert_eq!(world.read_now(0, at(1), 4).map(|_| ()), Ok(()));
        }
        world.choose_nothing();
        world.does(Ask::Repair);
        let tag = world.write(at(6), 1);
        world.poll_still();
        assert_eq!((world.ended(tag), world.metadata_failed()), (Some(true), false));
        let events = world.events_of(CLONE_GROUP_EVENT_METADATA_REPAIRED, CLONE_GROUP_LU_NONE);
        assert_eq!(events.len(), 1);
        world.crash(false);
        world.check_delta_maps();
        world.check_lu_after_loss(0);
    }
}

/// One life: a fracture, a restore, a Synchronization, a Reverse Synchronization, with hosts all the while.
fn life(world: &World) {
    let hosts = |world: &World, turn: usize| {
        for (operation, first, count, fua) in [
            (CLONE_GROUP_IO_WRITE, 5 + turn, 1, false),
            (CLONE_GROUP_IO_WRITE, 12, 4, turn.is_multiple_of(2)),
            (CLONE_GROUP_IO_READ, 9, 8, false),
            (CLONE_GROUP_IO_WRITE_ZEROES, 21, 5, false),
            (CLONE_GROUP_IO_FLUSH, 0, 1, false),
            (CLONE_GROUP_IO_DISCARD, 30, 8, false),
        ] {
            world.host(operation, 0, first, count, fua);
            world.poll(3);
            world.step(1);
            world.complete_some(1);
        }
    };
    for (turn, ask) in
        [Ask::Fracture(1), Ask::Restore(1), Ask::Synchronize(1), Ask::Fracture(1), Ask::Reverse(1)]
            .into_iter()
            .enumerate()
    {
        world.result_of(ask);
        hosts(world, turn);
        rest(world);
    }
}

/// What is broken is mended, and everything comes to its end.
fn heal(world: &World) {
    world.choose_nothing();
    for _ in 0..4 {
        if world.metadata_failed() {
            world.does(Ask::Repair);
        }
        world.result_of(Ask::Resume);
        for lu in [1, 2] {
            if world.state(lu) == CLONE_GROUP_CLONE_OUT_OF_SYNC {
                world.result_of(Ask::Synchronize(lu as u32));
            }
        }
        world.settle();
    }
}

type Which = fn(&clone_group_io) -> bool;

/// Each I/O of a kind fails once, or from then on, at every moment of a life.
fn fails_at_every_moment(which: Which, profile: Profile) {
    for (how, sticky) in [
        (Choice::Fail(EIO), false),
        (Choice::FailDone(EIO), false),
        (Choice::Fail(EIO), true),
        (Choice::FailDone(EIO), true),
    ] {
        for number in 1.. {
            let mut world = mirrored(profile, 2);
            let mut count = 0;
            world.choose(move |io| {
                count += u32::from(which(io));
                let hit = if sticky { count >= number } else { count == number };
                if hit && which(io) { how } else { Choice::AsProfile }
            });
            life(&world);
            let reached = { world.inner.borrow().fault_seen };
            world.check_delta_maps();
            if number.is_multiple_of(2) {
                world.crash(number.is_multiple_of(4));
                world.check_lu_after_loss(0);
                world.check_delta_maps();
            }
            heal(&world);
            let info = world.info();
            assert_eq!(
                (info.restoring_lu, info.reversing_lu, info.requests),
                (0, 0, 0),
                "I/O {number}, {how:?}"
            );
            for lu in [1, 2] {
                let state = world.state(lu);
                assert!(
                    matches!(state, CLONE_GROUP_CLONE_SYNCHRONIZED | CLONE_GROUP_CLONE_FRACTURED),
                    "LU {lu} is in state {state} after I/O {number}, {how:?}, sticky {sticky}"
                );
            }
            world.check_lu_now(0);
            world.check_delta_maps();
            world.crash(false);
            world.check_lu_after_loss(0);
            world.check_delta_maps();
            if !reached {
                assert!(number > 4, "the life lost its I/Os: {number}");
                break;
            }
        }
    }
}

/// R33: page and superblock writes fail at every moment of a life.
#[test]
fn metadata_writes_fail_at_every_moment() {
    for map_per_clone in [false, true] {
        fails_at_every_moment(is_page_or_superblock, Profile { map_per_clone, immediate: 200, ..VOLATILE });
    }
}

/// R33: flushes of the persistent area fail at every moment of a life.
#[test]
fn metadata_flushes_fail_at_every_moment() {
    fails_at_every_moment(
        |io| io.operation == CLONE_GROUP_IO_PERSIST_FLUSH,
        Profile { persist_flush: true, immediate: 200, ..VOLATILE },
    );
}

/// R24: flushes of LUs fail at every moment of a life, with and without loss of what the cache held.
#[test]
fn flushes_fail_at_every_moment() {
    for map_per_clone in [false, true] {
        for immediate in [256, 128] {
            fails_at_every_moment(is_flush, Profile { map_per_clone, immediate, ..VOLATILE });
        }
    }
}

/// R61, R62: copies fail at every moment of a life.
#[test]
fn copies_fail_at_every_moment() {
    fails_at_every_moment(is_copy_read, Profile { immediate: 200, copy_blocks: 8, ..VOLATILE });
    fails_at_every_moment(is_copy_write, Profile { immediate: 200, copy_blocks: 8, ..VOLATILE });
}

/// R52, R63: host I/O fails at every moment of a life.
#[test]
fn host_io_fails_at_every_moment() {
    fails_at_every_moment(is_host, Profile { immediate: 200, discard_zeroes: true, ..VOLATILE });
}

// ------------------------------------------------------------------ discards and zeroes

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    OutOfSync,
    Synchronizing,
    Synchronized,
    Fractured,
    Restoring,
    Reversing,
}

const STATES: [At; 6] =
    [At::OutOfSync, At::Synchronizing, At::Synchronized, At::Fractured, At::Restoring, At::Reversing];

/// Clone 1 in a state, with these declarations and callbacks; extents 1 and 2 differ where the state allows it.
fn array(state: At, zeroes: &[usize], missing: &[u32]) -> Placed {
    let world = formatted_with(QUIET, |inner| {
        inner.zeroes = zeroes.to_vec();
        inner.missing = missing.to_vec();
    });
    world.does(Ask::Add(1));
    if state != At::OutOfSync {
        world.does(Ask::Synchronize(1));
        world.settle();
    }
    if !matches!(state, At::OutOfSync | At::Synchronized) {
        world.does(Ask::Fracture(1));
        world.host(CLONE_GROUP_IO_WRITE, 0, at(1), 8, true);
        world.finish_hosts();
    }
    match state {
        At::Synchronizing => world.does(Ask::Synchronize(1)),
        At::Restoring => world.does(Ask::Restore(1)),
        At::Reversing => world.does(Ask::Reverse(1)),
        _ => {}
    }
    world.poll_still();
    world.inner.borrow_mut().log.clear();
    world
}

/// What a discard comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comes {
    /// It is passed on.
    Discard,
    /// Zeroes are written.
    Zeroes,
    /// Nothing is done.
    Nothing,
    /// The promise of the LU cannot be kept.
    NotSupported,
}

/// R65, as the header states it.
fn expected(state: At, lu: usize, needed: bool, covered: bool, zeroes: &[usize], missing: &[u32]) -> Comes {
    let can_discard = !missing.contains(&CLONE_GROUP_IO_DISCARD);
    let can_zero = !missing.contains(&CLONE_GROUP_IO_WRITE_ZEROES);
    let declared = zeroes.contains(&lu);
    let written = match (can_zero, declared) {
        (true, _) => Comes::Zeroes,
        (false, true) => Comes::NotSupported,
        (false, false) => Comes::Nothing,
    };
    let mirrored = matches!(state, At::Synchronizing | At::Synchronized | At::Reversing);
    if needed && !declared {
        return Comes::Nothing;
    }
    // What is covered only in part is copied first, and then like any other extent.
    if needed && covered {
        return match (declared, can_zero, can_discard) {
            (false, _, _) => Comes::Nothing,
            (true, false, true) => Comes::Discard,
            (true, _, _) => written,
        };
    }
    if lu == 0 && mirrored {
        return match (can_discard, zeroes.len() == 2, declared) {
            (true, true, _) => Comes::Discard,
            (false, _, false) => Comes::Nothing,
            _ => written,
        };
    }
    match (can_discard, declared) {
        (true, _) => Comes::Discard,
        (false, true) => written,
        (false, false) => Comes::Nothing,
    }
}

/// R65: a discard in every state of the Clone, of ranges that lie in needed and other extents, partly and wholly, with
/// every declaration of zeroes and with and without each callback: what it returns, what it does, what is read.
#[test]
fn discards_in_every_state() {
    let mut tried = 0;
    for state in STATES {
        for zeroes in [vec![], vec![0], vec![1], vec![0, 1]] {
            for missing in [
                vec![],
                vec![CLONE_GROUP_IO_DISCARD],
                vec![CLONE_GROUP_IO_WRITE_ZEROES],
                vec![CLONE_GROUP_IO_DISCARD, CLONE_GROUP_IO_WRITE_ZEROES],
            ] {
                // A part and all of a needed extent, of another one, and of both.
                for (first, count) in [(5, 2), (4, 4), (21, 2), (20, 4), (10, 4), (2, 12), (36, 2), (0, 38)] {
                    for lu in 0..=usize::from(state == At::Fractured) {
                        let context = format!(
                            "{state:?}, LU {lu}, {first}+{count}, zeroes {zeroes:?}, missing {missing:?}"
                        );
                        let mut world = array(state, &zeroes, &missing);
                        let seen = world.read_now(lu, 0, 38).expect("a read");
                        if state == At::Restoring {
                            // Reading copied everything: begin again.
                            world = array(state, &zeroes, &missing);
                        }
                        let needed = state == At::Restoring && first < 12 && first + count > 4;
                        let covered =
                            [4, 8].iter().any(|&start| first <= start && start + 4 <= first + count);
                        let comes = expected(state, lu, needed, covered, &zeroes, &missing);
                        let (tag, status) = world.host(CLONE_GROUP_IO_DISCARD, lu, first, count, false);
                        world.finish_hosts();
                        assert_eq!(
                            world.ended(tag),
                            Some(comes != Comes::NotSupported),
                            "{context}: {status:?}"
                        );
                        if comes == Comes::NotSupported {
                            assert_eq!(status, Some(CLONE_GROUP_ERR_NOT_SUPPORTED), "{context}");
                        }
                        let of = |operation| world.logged(|io| is_host(io) && io.operation == operation);
                        let done = (of(CLONE_GROUP_IO_DISCARD) > 0, of(CLONE_GROUP_IO_WRITE_ZEROES) > 0);
                        assert_eq!(done, (comes == Comes::Discard, comes == Comes::Zeroes), "{context}");
                        let now = world.read_now(lu, 0, 38).expect("a read");
                        assert_eq!(
                            (&now[..first], &now[first + count..]),
                            (&seen[..first], &seen[first + count..]),
                            "{context}"
                        );
                        let range = first..first + count;
                        match comes {
                            Comes::Zeroes => assert!(now[range].iter().all(|&value| value == 0), "{context}"),
                            Comes::Discard if zeroes.contains(&lu) => {
                                assert!(now[range].iter().all(|&value| value == 0), "{context}");
                            }
                            Comes::Discard => assert!(
                                range.clone().all(|block| now[block] == 0 || now[block] == seen[block]),
                                "{context}"
                            ),
                            _ => assert_eq!(now[range.clone()], seen[range], "{context}"),
                        }
                        world.check_delta_maps();
                        world.settle();
                        assert_eq!(
                            world.read_now(lu, 0, 38).expect("a read"),
                            now,
                            "{context}: it changes (R59)"
                        );
                        if matches!(state, At::Synchronizing | At::Synchronized | At::Reversing) {
                            assert_eq!(world.content(0), world.content(1), "{context}");
                        }
                        tried += 1;
                    }
                }
            }
        }
    }
    assert_eq!(tried, 7 * 16 * 8);
}

/// R65: write-zeroes are a write of zeroes in every state, or refused without the callback.
#[test]
fn zeroes_in_every_state() {
    for state in STATES {
        for zeroes in [vec![], vec![0, 1]] {
            for missing in [vec![], vec![CLONE_GROUP_IO_DISCARD], vec![CLONE_GROUP_IO_WRITE_ZEROES]] {
                for (first, count) in [(5, 2), (4, 4), (21, 2), (20, 4), (10, 4), (2, 12), (36, 2)] {
                    for lu in 0..=usize::from(state == At::Fractured) {
                        let context = format!("{state:?}, LU {lu}, {first}+{count}, missing {missing:?}");
                        let mut world = array(state, &zeroes, &missing);
                        let mut expected = world.read_now(lu, 0, 38).expect("a read");
                        if state == At::Restoring {
                            world = array(state, &zeroes, &missing);
                        }
                        let (tag, status) = world.host(CLONE_GROUP_IO_WRITE_ZEROES, lu, first, count, false);
                        world.finish_hosts();
                        let refused = missing.contains(&CLONE_GROUP_IO_WRITE_ZEROES);
                        assert_eq!(world.ended(tag), Some(!refused), "{context}");
                        if refused {
                            assert_eq!(status, Some(CLONE_GROUP_ERR_NOT_SUPPORTED), "{context}");
                        } else {
                            expected[first..first + count].fill(0);
                        }
                        assert_eq!(world.read_now(lu, 0, 38).expect("a read"), expected, "{context}");
                        world.check_delta_maps();
                        world.settle();
                        assert_eq!(world.read_now(lu, 0, 38).expect("a read"), expected, "{context}");
                    }
                }
            }
        }
    }
}

/// R31: hosts are not held when a Clone becomes Synchronized. A write fails between the two superblocks, so the second one says
/// Synchronizing; its extent is copied again before that one is durable. Both slots say in the end what hosts were told.
#[test]
fn r31_superblocks_say_what_was_told() {
    let world = synchronizing(Profile::QUIET, &[1]);
    world.choose(|io| if is_superblock(io) { Choice::Hold } else { Choice::Now });
    world.step_still();
    assert_eq!(world.holds(is_superblock), 1, "everything is copied");
    world.choose(|io| match () {
        () if is_superblock(io) => Choice::Hold,
        () if is_host_write(io) && io.lu == 0 => Choice::Fail(-5),
        () => Choice::Now,
    });
    let write = world.write(at(5), 1);
    world.poll_still();
    assert_eq!((world.ended(write), world.delta(1)), (Some(false), vec![5]));
    world.complete_chosen(Choice::Now, is_superblock);
    world.poll_still();
    assert_eq!(world.holds(is_superblock), 1, "the second one");
    world.step_still();
    assert_eq!((world.delta(1).len(), world.state(1)), (0, CLONE_GROUP_CLONE_SYNCHRONIZING));
    world.let_go();
    world.settle();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
    let inner = world.inner.borrow();
    let recorded = [0, inner.area.now.len() / 2].map(|slot| u32::from(inner.area.now[slot + 128]));
    assert_eq!(recorded, [CLONE_GROUP_CLONE_SYNCHRONIZED; 2]);
}
