//! Goal: rules whose absence random lives do not notice, because another rule covers them most of the time, each shown
//! once on purpose: R17 for readers, R36, R49, R75, reads beside a failed flush (R24), and N2, N3, N8 of docs/protocol.md.

mod common;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };
const STATUS: i32 = -5;

/// R17: whoever reads a whole extent that was overwritten, before the Protected Restore Map says so durably, waits: a
/// power loss would take back what he saw.
#[test]
fn r17_readers_wait_for_an_overwrite() {
    for redirect in [false, true] {
        for crash in [false, true] {
            let mut world = restoring(Profile { redirect, ..VOLATILE }, 1, &[1, 2]);
            let clone = world.content(1);
            world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
            let write = world.write(4, 4);
            world.poll_still();
            assert_ne!(world.content(0)[4], clone[4], "the data is on the Source");
            let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, 5, 2, false);
            let (wide, _) = world.host(CLONE_GROUP_IO_READ, 0, 2, 4, false);
            world.poll_still();
            assert_eq!((world.ended(write), world.holds(is_page)), (None, 1), "the map is being written");
            assert_eq!((world.ended(read), world.ended(wide)), (None, None), "a reader saw what may be lost");
            if crash {
                world.crash(false);
                assert_eq!(world.read_now(0, 4, 4).expect("a read"), clone[4..8]);
            } else {
                world.complete_chosen(Choice::Now, |_| true);
                world.poll_still();
                assert_eq!((world.ended(write), world.ended(read)), (Some(true), Some(true)));
            }
            world.check_lu_now(0);
        }
    }
}

/// R36: a restore does not end while a map page is under way, or has changes that are not written.
#[test]
fn r36_pages_are_clean_at_the_end() {
    for map_per_clone in [false, true] {
        let world = restoring(Profile { map_per_clone, ..QUIET }, 2, &[1]);
        world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
        world.write(at(5), 1);
        world.poll_still();
        assert_eq!(world.holds(is_page), 1);
        world.step_still();
        assert_eq!((world.delta(1).len(), world.logged(is_superblock)), (0, 0), "the end did not wait");
        world.choose_nothing();
        world.settle();
        assert_eq!(world.info().restoring_lu, 0);
        world.check_delta_maps();
    }
}

/// R49: a write to an extent that is to be copied anyway leaves the Clone out, but not while its copy is running.
#[test]
fn r49_no_leg_is_left_out_beside_a_copy() {
    for reverse in [false, true] {
        let world = if reverse { reversing(QUIET, 1, &[1, 2]) } else { synchronizing(QUIET, &[1, 2]) };
        let copies = |io: &clone_group_io| is_copy_read(io) || is_copy_write(io);
        world.choose(move |io| if copies(io) { Choice::Hold } else { Choice::Now });
        world.step(1);
        assert_eq!(world.holds(is_copy_read), 1, "extent 1 is being copied");
        for (extent, legs) in [(1, 2), (2, if reverse { 2 } else { 1 })] {
            world.inner.borrow_mut().log.clear();
            world.write(at(extent), 1);
            world.poll_still();
            assert_eq!(world.logged(is_host_write), legs, "extent {extent}, reverse {reverse}");
        }
        world.choose_nothing();
        world.settle();
        assert_eq!(world.content(0), world.content(1));
        world.check_lu_now(0);
    }
}

/// R75: the view does not change while a read is under way that was sent to the Clone in place of the Source: hosts
/// may write the Clone afterwards, and a slow read would return bytes that were never on the Source.
#[test]
fn r75_slow_redirected_reads() {
    let world = restoring(Profile { redirect: true, ..QUIET }, 1, &[1]);
    world.choose(
        |io| if is_host(io) && io.operation == CLONE_GROUP_IO_READ { Choice::Hold } else { Choice::Now },
    );
    let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, 4, 4, false);
    assert_eq!(world.holds(|io| io.lu == 1), 1, "the read was sent to the Clone");
    world.step_still();
    assert_eq!(world.delta(1).len(), 0, "all is copied");
    assert_eq!((world.info().restoring_lu, world.logged(is_superblock)), (1, 0), "the restore ended");
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 1, 4, 4, false).1, Some(CLONE_GROUP_ERR_PROTECTED));
    world.complete_chosen(Choice::Now, |_| true);
    world.choose_nothing();
    world.settle();
    assert_eq!((world.ended(read), world.info().restoring_lu), (Some(true), 0));
}

/// N2: both LUs are flushed before the superblock says that a restore began: the Source is the base over which the
/// Protected Restore Map may become durable.
#[test]
fn n2_the_source_is_flushed_at_the_start() {
    for ask in [Ask::Restore(1), Ask::Reverse(1)] {
        let world = fractured(VOLATILE, 2, &[1]);
        world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
        let operation = world.ask(ask).expect("it is accepted");
        world.poll_still();
        for lu in 0..3 {
            assert_eq!(world.holds(|io| is_flush(io) && io.lu == lu), 1, "{ask:?}: LU {lu} is not flushed");
            assert_eq!(world.logged(is_superblock), 0, "{ask:?}: the superblock did not wait for LU {lu}");
            world.complete_chosen(Choice::Now, |io| io.lu == lu);
            world.poll_still();
        }
        assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK));
    }
}

/// N3: the Source drops what a mirrored Clone has: the Clone is not trusted any more.
#[test]
fn n3_a_failed_flush_of_the_source_distrusts_its_mirrors() {
    for map_per_clone in [false, true] {
        for asked_by_host in [false, true] {
            let mut world = mirrored(Profile { map_per_clone, ..VOLATILE }, 2);
            let tag = world.write(5, 1);
            world.poll_still();
            assert_eq!(world.ended(tag), Some(true));
            world
                .choose(|io| if is_flush(io) && io.lu == 0 { Choice::FailDone(STATUS) } else { Choice::Now });
            let fracture = asked_by_host.then(|| world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false).0);
            if fracture.is_none() {
                assert_eq!(world.result_of(Ask::Fracture(2)), STATUS);
            }
            world.poll_still();
            assert_ne!(world.content(0), world.content(1), "the test lost its loss");
            for lu in [1, 2] {
                assert_eq!(world.state(lu), CLONE_GROUP_CLONE_OUT_OF_SYNC);
                assert!(world.is(lu, CLONE_GROUP_CONDITION_FAILED));
                assert!(world.delta(lu).contains(&1), "nobody knows that extent 1 differs");
            }
            world.check_delta_maps();
            world.choose_nothing();
            world.poll_still();
            world.check_delta_maps();
            world.crash(true);
            world.check_delta_maps();
            world.does(Ask::Synchronize(1));
            world.settle();
            assert_eq!(world.content(0), world.content(1));
        }
    }
}

/// N8: what reached the cache before a flush failed may be lost with it, although it completes later. A host write
/// fails, a copy is made again, a map page and a superblock are not durable.
#[test]
fn n8_a_failed_flush_spoils_what_is_under_way() {
    // `Fail(0)`: reported as done, and nothing is there.
    let lost = Choice::Fail(CLONE_GROUP_OK);
    let world = fractured(VOLATILE, 1, &[1]);
    world.choose(|io| if is_host_write(io) || is_flush(io) { Choice::Hold } else { Choice::Now });
    let write = world.write(5, 1);
    world.poll_still();
    let (flush, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    world.complete_chosen(Choice::FailDone(STATUS), is_flush);
    world.poll_still();
    assert_eq!(world.ended(flush), Some(false));
    world.complete_chosen(lost, is_host_write);
    world.poll_still();
    assert_eq!(world.ended(write), Some(false), "a lost write was acknowledged");

    let world = restoring(VOLATILE, 1, &[1, 2]);
    world.choose(|io| if is_copy_write(io) || is_flush(io) { Choice::Hold } else { Choice::Now });
    world.step(1);
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    world.complete_chosen(Choice::FailDone(STATUS), is_flush);
    world.poll_still();
    world.complete_chosen(lost, is_copy_write);
    world.choose_nothing();
    world.poll_still();
    world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.delta(1), [1, 2], "a lost copy counts");
    world.does(Ask::Resume);
    world.settle();
    assert_eq!(world.content(0), world.content(1));

    let profile = Profile { blocks: 4000, extent_blocks: 1, copy_blocks: 64, persist_flush: true, ..QUIET };
    let world = fractured(profile, 1, &[]);
    let is_area_flush = |io: &clone_group_io| io.operation == CLONE_GROUP_IO_PERSIST_FLUSH;
    world.choose(|io| if io.lu == CLONE_GROUP_LU_NONE { Choice::Hold } else { Choice::Now });
    let first = world.write(0, 1);
    world.poll_still();
    world.complete_chosen(Choice::Now, is_page_or_superblock);
    world.poll_still();
    let second = world.write(2000, 1);
    world.poll_still();
    assert_eq!((world.holds(is_area_flush), world.holds(is_page_or_superblock)), (1, 1));
    world.complete_chosen(Choice::Fail(STATUS), is_area_flush);
    world.poll_still();
    world.complete_chosen(lost, is_page_or_superblock);
    for _ in 0..4 {
        world.poll_still();
        world.complete_chosen(Choice::Now, is_area_flush);
    }
    assert_eq!((world.ended(first), world.ended(second)), (Some(false), Some(false)), "a lost page counts");
    assert_eq!(world.logged(is_host_write), 0);
    assert!(world.metadata_failed());
}

/// R24: a read of a copied extent is on its way to the Source while the cache of the Source loses the copy: what it
/// returns does not count, it fails.
#[test]
fn r24_reads_beside_a_failed_flush() {
    for host_flush in [false, true] {
        let world = restoring(VOLATILE, 1, &[1, 2]);
        let clone = world.content(1);
        world.choose(|io| {
            let read = is_host(io) && io.operation == CLONE_GROUP_IO_READ;
            if read || is_flush(io) { Choice::Hold } else { Choice::Now }
        });
        world.step(1);
        let (read, _) = world.host(CLONE_GROUP_IO_READ, 0, 4, 6, false);
        world.poll_still();
        let (other, _) = world.host(CLONE_GROUP_IO_READ, 0, 4, 2, false);
        assert_eq!(world.holds(|io| is_host(io) && io.lu == 0), 2, "both are served from the Source");
        if host_flush {
            world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        }
        world.step_still();
        assert_eq!(world.complete_chosen(Choice::FailDone(STATUS), is_flush), 1);
        world.poll_still();
        assert_ne!(world.content(0)[4..12], clone[4..12], "the copies are lost");
        // The device returns what was there before the restore; the model would see it.
        world.complete_chosen(Choice::Now, |_| true);
        world.choose_nothing();
        world.finish_hosts();
        assert_eq!(
            (world.ended(read), world.ended(other)),
            (Some(false), Some(false)),
            "they saw what was before"
        );
        world.does(Ask::Resume);
        world.settle();
        assert_eq!(world.content(0), clone);
    }
}
