//! Goal: defects that other systems had on the ways of errors (TC-47 to TC-55) do not exist here. Each test is one of
//! them, named by its number; tests/README.md has the list of all.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile, World};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };

/// A copy that failed is no copy, whichever of its I/Os it was and whether it was done or not.
#[test]
fn tc_47_a_failed_copy_is_not_in_sync() {
    for reverse in [false, true] {
        for read in [false, true] {
            for how in [Choice::Fail(-5), Choice::FailDone(-5)] {
                let world =
                    if reverse { reversing(QUIET, 1, &[1, 2]) } else { synchronizing(QUIET, &[1, 2]) };
                let state = world.state(1);
                world.choose(move |io| {
                    let hit = if read { is_copy_read(io) } else { is_copy_write(io) };
                    if hit && io.first_block == 4 { how } else { Choice::Now }
                });
                world.step_still();
                let info = world.clone_info(1);
                assert_eq!((info.state, info.extents_left, info.extents_failed), (state, 1, 1));
                assert!(world.is(1, CLONE_GROUP_CONDITION_STALLED));
                assert_eq!(world.delta(1), [1]);
                world.choose_nothing();
                world.does(Ask::Resume);
                world.settle();
                assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
                assert_eq!(world.content(0), world.content(1));
            }
        }
    }
    // A part of a mirrored write fails.
    let world = mirrored(QUIET, 1);
    world.choose(|io| if is_host_write(io) && io.lu == 1 { Choice::Fail(-5) } else { Choice::Now });
    let tag = world.write(5, 1);
    world.poll_still();
    assert_eq!((world.ended(tag), world.state(1)), (Some(true), CLONE_GROUP_CLONE_OUT_OF_SYNC));
    world.check_delta_maps();
}

/// One part of a request fails, another one succeeds afterwards, or before: the request fails.
#[test]
fn tc_48_a_success_does_not_hide_an_error() {
    for reverse in [false, true] {
        for failed_first in [false, true] {
            let world = if reverse { reversing(QUIET, 1, &[1]) } else { mirrored(QUIET, 1) };
            let authority = u32::from(reverse);
            world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
            let tag = world.write(at(5), 1);
            world.poll_still();
            assert_eq!(world.holds(is_host_write), 2);
            for fails in [failed_first, !failed_first] {
                let how = if fails { Choice::Fail(-5) } else { Choice::Now };
                world.complete_chosen(how, |io| (io.lu == authority) == fails);
                world.poll_still();
            }
            let status = world.inner.borrow().failed.contains(&tag);
            assert!(status, "reverse {reverse}, failed first {failed_first}: the host was not told");
            world.check_delta_maps();
        }
    }
    for bad in [4, 12] {
        for bad_first in [false, true] {
            let world = restoring(QUIET, 1, &[1, 3, 7]);
            world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
            let tag = world.write(6, 8);
            world.poll_still();
            assert_eq!(world.holds(is_copy_read), 2);
            for fails in [bad_first, !bad_first] {
                let how = if fails { Choice::Fail(-5) } else { Choice::Now };
                world.complete_chosen(how, |io| (io.first_block == bad) == fails);
                world.poll_still();
            }
            assert_eq!(world.ended(tag), Some(false));
            assert_eq!(world.logged(is_host_write), 0, "a part of it was written");
            assert!(world.protected().is_empty());
        }
    }
}

/// Every I/O is refused a few times before it is taken, with several copies at once: no buffer is mixed up.
#[test]
fn tc_49_refused_and_offered_again() {
    for seed in 0..20_u64 {
        let profile = Profile {
            copies: 4,
            copy_blocks: 8,
            immediate: 100,
            redirect: seed.is_multiple_of(2),
            ..VOLATILE
        };
        let world = restoring(profile, 2, &[0, 1, 2, 4, 5, 6, 8, 9]);
        let mut dice = fastrand::Rng::with_seed(seed);
        world.choose(move |_| if dice.u32(..4) > 0 { Choice::Retry } else { Choice::AsProfile });
        world.write(5, 2);
        world.host(CLONE_GROUP_IO_READ, 0, 16, 8, false);
        world.write(26, 9);
        world.settle();
        assert_eq!(world.info().restoring_lu, 0, "seed {seed}");
        world.check_lu_now(0);
        world.check_delta_maps();
        world.does(Ask::Synchronize(2));
        world.settle();
        assert_eq!(world.content(0), world.content(2), "seed {seed}");
    }
}

/// All request slots are free: as many as there are can wait, and one more is refused.
fn check_slots(world: &World) {
    assert_eq!(world.info().requests, 0, "a request was not released");
    world.choose(|io| if is_host(io) { Choice::Hold } else { Choice::Now });
    for _ in 0..16 {
        assert_eq!(world.host(CLONE_GROUP_IO_READ, 0, 0, 1, false).1, None);
    }
    assert_eq!(world.host(CLONE_GROUP_IO_READ, 0, 0, 1, false).1, Some(CLONE_GROUP_ERR_BUSY));
    world.choose_nothing();
    world.settle();
    assert_eq!((world.hosts_open(), world.held()), (0, 0));
}

/// Each I/O of a restore under load fails once, one after the other: every slot and owner is released exactly once.
#[test]
fn tc_50_every_io_fails_once() {
    for profile in [QUIET, Profile { persist_flush: true, discard_zeroes: true, ..VOLATILE }] {
        for number in 1.. {
            let world = restoring(
                Profile { copies: 3, copy_blocks: 8, immediate: 128, ..profile },
                2,
                &[1, 2, 3, 4, 7, 9],
            );
            let mut count = 0;
            world.choose(move |_| {
                count += 1;
                if count == number { Choice::FailDone(-5) } else { Choice::AsProfile }
            });
            for (operation, first, count) in [
                (CLONE_GROUP_IO_WRITE, 5, 1),
                (CLONE_GROUP_IO_WRITE, 8, 4),
                (CLONE_GROUP_IO_READ, 14, 5),
                (CLONE_GROUP_IO_FLUSH, 0, 1),
                (CLONE_GROUP_IO_WRITE_ZEROES, 27, 3),
                (CLONE_GROUP_IO_DISCARD, 32, 4),
                (CLONE_GROUP_IO_WRITE, 36, 1),
            ] {
                world.host(operation, 0, first, count, false);
                world.poll(2);
                world.step(2);
                world.complete_some(1);
            }
            world.settle_or_stall();
            let reached = world.inner.borrow().fault_seen;
            world.choose_nothing();
            for _ in 0..3 {
                if world.metadata_failed() {
                    world.does(Ask::Repair);
                }
                world.result_of(Ask::Resume);
                world.settle();
            }
            assert_eq!(world.info().restoring_lu, 0, "I/O {number}: the restore does not end");
            check_slots(&world);
            world.check_lu_now(0);
            world.check_delta_maps();
            assert_eq!(world.content(1), world.read_now(1, 0, 38).expect("a read"));
            if !reached {
                assert!(number > 20, "the scenario lost its I/Os: {number}");
                break;
            }
        }
    }
}

/// A group is not destroyed while an I/O may still touch its memory; a late second completion is refused.
#[test]
fn tc_51_destroy_and_late_completions() {
    let world = restoring(QUIET, 1, &[1, 2]);
    world.choose(|io| if io.lu == CLONE_GROUP_LU_NONE { Choice::Now } else { Choice::Hold });
    world.step_still();
    world.host(CLONE_GROUP_IO_READ, 0, at(5), 1, false);
    assert_eq!((world.holds(is_copy_read), world.holds(is_host)), (1, 1));
    // SAFETY: a live group, here and below.
    unsafe {
        assert_eq!(clone_group_destroy(world.group()), CLONE_GROUP_ERR_BUSY);
        let id = world.inner.borrow().log[0].id;
        world.complete_chosen(Choice::Now, |io| io.id == id);
        assert_eq!(clone_group_io_complete(world.group(), id, 0), CLONE_GROUP_ERR_STALE_IO);
        assert_eq!(clone_group_destroy(world.group()), CLONE_GROUP_ERR_BUSY);
        world.complete_chosen(Choice::Now, |_| true);
        assert_eq!(clone_group_io_complete(world.group(), id, 0), CLONE_GROUP_ERR_STALE_IO);
        assert_eq!(clone_group_destroy(world.group()), CLONE_GROUP_OK);
    }
}

/// A discard of what is copied, or of what a host wrote, does not bring the Clone's data back, now or after a crash.
#[test]
fn tc_52_a_discard_does_not_expose_the_clone() {
    for zeroes in [false, true] {
        for copied_only in [false, true] {
            let mut world = restoring(Profile { discard_zeroes: zeroes, ..VOLATILE }, 1, &[1, 4]);
            if copied_only {
                world.read_now(0, 4, 1).expect("a read");
                // What is copied is as good as equal once it is flushed.
                world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
            } else {
                world.host(CLONE_GROUP_IO_WRITE, 0, 4, 4, true);
            }
            world.finish_hosts();
            let (tag, _) = world.host(CLONE_GROUP_IO_DISCARD, 0, 4, 4, true);
            world.finish_hosts();
            assert_eq!(world.ended(tag), Some(true));
            assert!(world.protected().contains(&1), "it is the host's");
            let seen = world.read_now(0, 4, 4).expect("a read");
            assert!(!zeroes || seen == [0; 4]);
            if !copied_only {
                assert_ne!(seen, world.content(1)[4..8], "the Clone's data shows through");
            }
            world.crash(true);
            assert_eq!(world.read_now(0, 4, 4).expect("a read"), seen, "it changes without a write");
            world.settle();
            assert_eq!(world.read_now(0, 4, 4).expect("a read"), seen);
            assert!(world.delta(1).contains(&1));
            world.check_delta_maps();
        }
    }
}

/// LUs that treat discards differently stay equal: a discard goes to both, or zeroes do, or nothing does.
#[test]
fn tc_53_a_discard_on_unlike_legs() {
    for zeroes in [vec![], vec![0], vec![1], vec![0, 1]] {
        for missing in [vec![], vec![CLONE_GROUP_IO_WRITE_ZEROES], vec![CLONE_GROUP_IO_DISCARD]] {
            for reverse in [false, true] {
                let world = formatted_with(QUIET, |inner| {
                    inner.zeroes.clone_from(&zeroes);
                    inner.missing.clone_from(&missing);
                });
                world.does(Ask::Add(1));
                world.does(Ask::Synchronize(1));
                world.settle();
                if reverse {
                    world.does(Ask::Fracture(1));
                    world.does(Ask::Reverse(1));
                }
                world.inner.borrow_mut().log.clear();
                let (tag, _) = world.host(CLONE_GROUP_IO_DISCARD, 0, 6, 7, false);
                world.finish_hosts();
                let can = |operation| !missing.contains(&operation);
                let kept = can(CLONE_GROUP_IO_WRITE_ZEROES) || zeroes.len() == 2 || !zeroes.contains(&0);
                assert_eq!(world.ended(tag), Some(kept), "zeroes {zeroes:?}, missing {missing:?}");
                let count = |operation, lu| {
                    world.logged(|io| is_host(io) && io.operation == operation && io.lu == lu)
                };
                let discards = usize::from(zeroes.len() == 2 && can(CLONE_GROUP_IO_DISCARD));
                let wanted = zeroes.contains(&0) || can(CLONE_GROUP_IO_DISCARD);
                let writes = usize::from(discards == 0 && wanted && can(CLONE_GROUP_IO_WRITE_ZEROES));
                for lu in [0, 1] {
                    assert_eq!(
                        count(CLONE_GROUP_IO_DISCARD, lu),
                        discards,
                        "zeroes {zeroes:?}, missing {missing:?}"
                    );
                    assert_eq!(
                        count(CLONE_GROUP_IO_WRITE_ZEROES, lu),
                        writes,
                        "zeroes {zeroes:?}, missing {missing:?}"
                    );
                }
                assert_eq!(world.content(0), world.content(1), "zeroes {zeroes:?}, missing {missing:?}");
                world.settle();
                assert_eq!(world.content(0), world.content(1));
            }
        }
    }
}

/// A failed flush is not made good by one that works afterwards: copies are made again, and each host is told once.
#[test]
fn tc_54_a_flush_is_not_tried_until_it_works() {
    let world = restoring(VOLATILE, 1, &[1, 2]);
    let mut flushes = 0;
    world.choose(move |io| {
        flushes += u32::from(is_flush(io));
        if is_flush(io) && flushes == 1 { Choice::FailDone(-5) } else { Choice::Now }
    });
    world.step_still();
    assert_eq!(world.logged(is_flush), 1, "the engine flushed again by itself");
    assert_eq!((world.delta(1), world.info().restoring_lu), (vec![1, 2], 1), "copies that are lost count");
    let (flush, status) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!((status, world.ended(flush)), (Some(-5), Some(false)), "the host was not told");
    let (flush, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.ended(flush), Some(true));
    assert_eq!(world.delta(1), [1, 2], "a flush that works brought the copies back");
    world.does(Ask::Resume);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
    assert_eq!(world.content(0), world.content(1));
}

/// The host's payload and range reach every leg as they are: nothing is split, so nothing has an offset of its own.
#[test]
fn tc_55_payload_and_range_are_untouched() {
    let redirect = Profile { redirect: true, ..QUIET };
    for (world, legs) in [
        (mirrored(QUIET, 2), 3),
        (fractured(QUIET, 1, &[1]), 1),
        (restoring(QUIET, 2, &[1, 2, 9]), 1),
        (reversing(QUIET, 2, &[1, 2]), 2),
    ] {
        for (first, count) in [(5, 9), (4, 4), (6, 1), (0, 38)] {
            world.inner.borrow_mut().log.clear();
            world.write(first, count);
            world.finish_hosts();
            let inner = world.inner.borrow();
            let sent: Vec<_> = inner.log.iter().filter(|io| is_host_write(io)).collect();
            assert_eq!(sent.len(), legs);
            for io in &sent {
                assert_eq!((io.first_block, io.block_count), (first as u64, count as u64));
                assert_eq!((io.payload, io.buffer.is_null()), (sent[0].payload, true));
            }
            assert!(sent.iter().all(|io| io.length_bytes == count as u64 * 512));
        }
    }
    let world = restoring(redirect, 1, &[1, 2]);
    assert_eq!(world.read_now(0, 5, 6).expect("a read"), world.content(1)[5..11]);
    assert_eq!(world.logged(|io| is_host(io) && (io.lu, io.first_block, io.block_count) == (1, 5, 6)), 1);
}
