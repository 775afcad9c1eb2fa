//! Goal: defects that other systems had where copies and host I/O meet (TC-1 to TC-20) do not exist here. Each test is
//! one of them, named by its number; tests/README.md has the list of all.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Placed, Profile, World};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };

/// A Reverse Synchronization or a Synchronization of these extents.
fn copying(reverse: bool, extents: &[usize]) -> Placed {
    if reverse { reversing(QUIET, 1, extents) } else { synchronizing(QUIET, extents) }
}

fn unstable_write(world: &World, block: u64, payload: &mut [u64; 1]) {
    let (payload, flags) = (payload.as_mut_ptr().cast(), CLONE_GROUP_HOST_UNSTABLE);
    // SAFETY: a live group; the payload outlives the request, which is done at once.
    let status = unsafe { clone_group_host_write(world.group(), 0, block, 1, payload, flags, 77) };
    assert!(status >= CLONE_GROUP_OK);
}

/// A copy does not start where a host write is under way: the engine passes it by.
#[test]
fn tc_01_no_copy_over_a_write_under_way() {
    let world = restoring(QUIET, 1, &[1, 2]);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    let tag = world.write(at(1), 4);
    world.step_still();
    assert_eq!(world.holds(is_host_write), 1, "a write over a whole extent needs no copy");
    assert_eq!(world.logged(|io| is_copy_write(io) && io.first_block == 8), 1, "extent 2 is copied");
    assert_eq!(world.logged(|io| is_copy_read(io) && io.first_block == 4), 0, "a copy of extent 1 began");
    world.choose_nothing();
    world.settle();
    assert_eq!(world.ended(tag), Some(true));
    assert_eq!(world.info().restoring_lu, 0);
    world.check_lu_now(0);
}

/// A write over extents in different states - being copied, equal, to be copied - waits for all of them.
#[test]
fn tc_02_a_write_waits_for_every_extent() {
    for last in [1, 3] {
        let world = restoring(QUIET, 1, &[1, 3, 5]);
        world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
        world.step(1);
        assert_eq!(world.holds(|io| io.first_block == 4), 1, "the Sync Engine copies extent 1");
        world.write(6, 8);
        world.poll_still();
        assert_eq!(world.holds(|io| io.first_block == 12), 1, "extent 3 is copied on demand");
        assert_eq!(world.logged(is_copy_read), 2, "extent 1 was copied twice");
        world.complete_chosen(Choice::Now, |io| io.first_block != 4 * last);
        world.poll_still();
        assert_eq!(world.logged(is_host_write), 0, "the write did not wait for extent {last}");
        world.complete_chosen(Choice::Now, |_| true);
        world.poll_still();
        assert_eq!(world.logged(is_host_write), 1);
        assert_eq!(world.protected(), [1, 2, 3]);
        world.check_lu_now(0);
    }
}

/// Two writes to parts of one extent that is copied first: neither undoes the other.
#[test]
fn tc_03_neighbours_in_one_extent() {
    let world = restoring(QUIET, 1, &[1]);
    let before = world.content(1);
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    let tags = [world.write(5, 1), world.write(6, 2)];
    world.poll_still();
    assert_eq!((world.holds(is_copy_read), world.logged(is_host_write)), (1, 0));
    world.choose_nothing();
    world.settle();
    assert!(tags.iter().all(|&tag| world.ended(tag) == Some(true)));
    let now = world.content(0);
    assert_eq!(now[4], before[4]);
    // The value of a block that hosts wrote grows with the write, and holds the number of the block.
    let one_write = now[7] == now[6] + 1;
    assert!(now[5] > 1 << 60 && now[6] > now[5] + 1 && one_write, "{:x?}", &now[4..8]);
}

/// The state changes between the look at the maps and the submission: the write is looked at anew.
#[test]
fn tc_04_the_state_changes_before_the_submission() {
    let world = mirrored(QUIET, 1);
    let before = world.content(1);
    world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
    let tag = world.write(5, 1);
    assert_eq!((world.ended(tag), world.logged(is_host_write)), (None, 0), "it waits for its page");
    let fracture = world.ask(Ask::Fracture(1)).expect("it is accepted");
    world.poll_still();
    assert_eq!(world.done_operation(fracture), None);
    world.let_go();
    world.poll_still();
    assert_eq!(world.done_operation(fracture), Some(CLONE_GROUP_OK));
    assert_eq!(world.ended(tag), Some(true));
    assert_eq!(world.content(1), before, "a write after the fracture is in the Clone");
    assert_eq!(world.delta(1), [1], "and it is not noted");
    world.check_delta_maps();
}

/// A flush ends while older writes wait for a copy; it covers those that were done, and only those.
#[test]
fn tc_05_a_flush_beside_waiting_writes() {
    let mut world = restoring(VOLATILE, 1, &[1]);
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    let done = world.write(0, 1);
    world.poll_still();
    let waiting = world.write(5, 1);
    world.poll_still();
    assert_eq!((world.ended(done), world.ended(waiting)), (Some(true), None));
    let (flush, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!((world.ended(flush), world.ended(waiting)), (Some(true), None), "the flush waits for nobody");
    let value = world.content(0)[0];
    world.crash(false);
    assert_eq!(world.content(0)[0], value, "what was done before the flush is lost");
    world.check_lu_after_loss(0);
}

/// Copy slots, and request slots, run out: who gets none waits or is refused, nobody goes on without.
#[test]
fn tc_06_every_slot_is_taken() {
    let all: Vec<usize> = (0..9).collect();
    let world = restoring(Profile { copies: 1, ..QUIET }, 1, &all);
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    let tags: Vec<u64> = all.iter().map(|&extent| world.write(at(extent) + 1, 1)).collect();
    world.step_still();
    assert_eq!((world.holds(is_copy_read), world.logged(is_host_write)), (1, 0));
    for extra in 0..7 {
        world.write(at(extra) + 2, 1);
    }
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false).1, Some(CLONE_GROUP_ERR_BUSY));
    world.choose_nothing();
    world.settle();
    assert!(tags.iter().all(|&tag| world.ended(tag) == Some(true)));
    world.check_lu_now(0);
    world.check_delta_maps();
}

/// In every state of the Clone, every kind of write is either in the Clone or in its Delta Map.
#[test]
fn tc_07_mirrored_or_tracked() {
    let failed = |profile| {
        let world = mirrored(profile, 1);
        world.choose(|io| if is_host(io) && io.lu == 1 { Choice::Fail(-5) } else { Choice::AsProfile });
        world.write(36, 1);
        world.poll_still();
        world.choose_nothing();
        assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC);
        world
    };
    let out_of_sync = |profile| {
        let world = formatted_with(profile, |_| {});
        world.does(Ask::Add(1));
        world
    };
    type Make<'a> = &'a dyn Fn(Profile) -> Placed;
    // How the group is made, and whether writes to extents 1 (different) and 5 (equal) go to the Clone.
    let states: [(&str, Make, [bool; 2]); 7] = [
        ("OutOfSync", &out_of_sync, [false, false]),
        ("Synchronizing", &|profile| synchronizing(profile, &[1]), [false, true]),
        ("Synchronized", &|profile| mirrored(profile, 1), [true, true]),
        ("Fractured", &|profile| fractured(profile, 1, &[1]), [false, false]),
        ("Restoring", &|profile| restoring(profile, 1, &[1]), [false, false]),
        ("ReverseSynchronizing", &|profile| reversing(profile, 1, &[1]), [true, true]),
        ("failed", &failed, [false, false]),
    ];
    for map_per_clone in [false, true] {
        for (name, make, mirrors) in &states {
            for (operation, first, count, fua) in [
                (CLONE_GROUP_IO_WRITE, 1, 2, false),
                (CLONE_GROUP_IO_WRITE, 0, 4, false),
                (CLONE_GROUP_IO_WRITE, 1, 1, true),
                (CLONE_GROUP_IO_WRITE_ZEROES, 1, 2, false),
                (CLONE_GROUP_IO_WRITE_ZEROES, 0, 4, false),
                (CLONE_GROUP_IO_DISCARD, 0, 4, false),
            ] {
                for (extent, mirror) in [(1, mirrors[0]), (5, mirrors[1])] {
                    let context = format!("{name}, operation {operation} {first}+{count} of extent {extent}");
                    let world = make(Profile { map_per_clone, ..QUIET });
                    world.inner.borrow_mut().log.clear();
                    let (tag, _) = world.host(operation, 0, at(extent) + first, count, fua);
                    world.finish_hosts();
                    assert_eq!(world.ended(tag), Some(true), "{context}");
                    let to_source = world.logged(|io| is_host(io) && io.lu == 0);
                    let to_clone = world.logged(|io| is_host(io) && io.lu == 1);
                    let noted = world.delta(1).contains(&extent) || world.protected().contains(&extent);
                    if to_source > 0 {
                        assert_eq!(to_clone, usize::from(mirror), "{context}");
                        assert!(mirror || noted, "neither mirrored nor tracked: {context}");
                    }
                    assert!(to_source > 0 || operation == CLONE_GROUP_IO_DISCARD, "{context}");
                    world.check_delta_maps();
                }
            }
        }
    }
}

/// A copy finishes while writes of the time before are under way: what they do counts.
#[test]
fn tc_08_a_copy_ends_with_writes_under_way() {
    let world = restoring(QUIET, 1, &[1]);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    world.write(at(5), 1);
    world.step_still();
    assert_eq!((world.info().restoring_lu, world.holds(is_host_write)), (0, 1), "the restore is over");
    assert_eq!(world.delta(1), [5]);
    world.complete_chosen(Choice::Now, |_| true);
    world.poll_still();
    world.check_delta_maps();

    let world = synchronizing(QUIET, &[1]);
    world.choose(|io| if is_host_write(io) && io.lu == 1 { Choice::Hold } else { Choice::Now });
    let tag = world.write(at(5), 1);
    world.step_still();
    assert_eq!(world.ended(tag), None, "it is acknowledged after both legs");
    world.complete_chosen(Choice::Fail(-5), |_| true);
    world.poll_still();
    assert_eq!(world.ended(tag), Some(true), "a leg to a Clone never fails the host");
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_OUT_OF_SYNC);
    assert!(world.delta(1).contains(&5));
    world.check_delta_maps();
}

/// A Synchronization, or a restore, begins with a write under way that was classified before.
#[test]
fn tc_09_a_copy_begins_with_a_write_under_way() {
    for ask in [Ask::Synchronize(1), Ask::Restore(1), Ask::Reverse(1)] {
        let world = fractured(QUIET, 1, &[]);
        world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
        let tag = world.write(5, 1);
        world.poll_still();
        let operation = world.ask(ask).expect("it is accepted");
        world.step_still();
        assert_eq!(world.done_operation(operation), None, "{ask:?} did not wait for the write");
        assert_eq!(world.state(1), CLONE_GROUP_CLONE_FRACTURED);
        world.choose_nothing();
        world.settle();
        assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK));
        assert_eq!(world.ended(tag), Some(true));
        assert_eq!(world.content(0), world.content(1), "{ask:?} missed what was under way");
        world.check_lu_now(0);
    }
}

/// Extents become different between the last look and the end: the end is called off; behind the cursor: there is
/// another pass.
#[test]
fn tc_10_bits_come_back_before_the_end() {
    let world = synchronizing(QUIET, &[1]);
    world.choose(|io| if is_superblock(io) { Choice::Hold } else { Choice::Now });
    world.step_still();
    assert_eq!((world.holds(is_superblock), world.delta(1).len()), (1, 0), "the end is being written");
    let mut payload = [7];
    unstable_write(&world, 20, &mut payload);
    world.complete_chosen(Choice::Now, |_| true);
    world.choose_nothing();
    world.poll_still();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZING, "it counts as equal");
    assert_eq!(world.delta(1), [5]);
    world.settle();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);

    let world = reversing(QUIET, 1, &[1, 2]);
    world.choose(|io| match io.first_block {
        8 if is_copy_read(io) => Choice::Hold,
        0 if is_host_write(io) && io.lu == 0 => Choice::Fail(-5),
        _ => Choice::Now,
    });
    world.step_still();
    assert_eq!(world.delta(1), [2]);
    let tag = world.write(0, 1);
    world.poll_still();
    assert_eq!((world.ended(tag), world.delta(1)), (Some(true), vec![0, 2]));
    world.choose_nothing();
    world.settle();
    assert_eq!(world.info().reversing_lu, 0, "what came behind the cursor is not copied");
    assert_eq!(world.content(0), world.content(1));
    world.check_lu_now(0);
}

/// A host writes while the Protected Restore Map becomes the Delta Map.
#[test]
fn tc_11_a_write_while_the_maps_change_roles() {
    for map_per_clone in [false, true] {
        let mut world = restoring(Profile { map_per_clone, ..QUIET }, 1, &[1]);
        world.choose(|io| if is_superblock(io) { Choice::Hold } else { Choice::Now });
        world.step_still();
        assert_eq!(world.holds(is_superblock), 1, "the end is being written");
        let tag = world.write(at(6), 1);
        world.poll_still();
        assert_eq!((world.ended(tag), world.info().restoring_lu), (Some(true), 1));
        world.let_go();
        world.poll_still();
        assert_eq!((world.info().restoring_lu, world.delta(1)), (0, vec![6]));
        world.crash(false);
        assert_eq!(world.delta(1), [6]);
        world.check_delta_maps();
    }
}

/// A host write to both LUs, and a copy of the same extent with what was there before: the copy is made again.
#[test]
fn tc_12_a_stale_copy_does_not_stay() {
    for reverse in [false, true] {
        for early in [false, true] {
            let world = copying(reverse, &[1]);
            if early {
                world.choose(
                    |io| if is_host_write(io) || is_copy_write(io) { Choice::Hold } else { Choice::Now },
                );
                world.write(5, 1);
                world.step_still();
            } else {
                world.choose(|io| if is_copy_write(io) { Choice::Hold } else { Choice::Now });
                world.step_still();
                world.write(5, 1);
            }
            assert_eq!(world.holds(is_copy_write), 1, "the copy has read what was there before");
            world.complete_chosen(Choice::Now, is_host_write);
            world.complete_chosen(Choice::Now, is_copy_write);
            world.choose_nothing();
            world.settle();
            assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
            assert_eq!(world.content(0), world.content(1), "reverse {reverse}, early {early}");
            assert!(world.statistics().collisions >= 1);
            world.check_lu_now(0);
        }
    }
}

/// A discard over extents in different states: without declared zeroes it changes nothing, with them it is zeroes.
#[test]
fn tc_13_a_discard_over_mixed_extents() {
    for zeroes in [false, true] {
        for copied in [false, true] {
            let world = restoring(Profile { discard_zeroes: zeroes, ..QUIET }, 1, &[1, 2]);
            if copied {
                world.read_now(0, 5, 1).expect("a read");
            }
            let before = world.read_now(1, 4, 12).expect("a read of the Clone");
            let (tag, _) = world.host(CLONE_GROUP_IO_DISCARD, 0, 6, 8, false);
            world.finish_hosts();
            assert_eq!(world.ended(tag), Some(true));
            let mut expected = before;
            if zeroes {
                expected[2..10].fill(0);
            }
            assert_eq!(
                world.read_now(0, 4, 12).expect("a read"),
                expected,
                "zeroes {zeroes}, copied {copied}"
            );
            world.settle();
            assert_eq!(world.read_now(0, 4, 12).expect("a read"), expected);
            assert_eq!(world.delta(1), if zeroes { vec![1, 2, 3] } else { vec![] });
        }
    }
}

/// A discard and a write of the same blocks do not race, on mirrored LUs and in a restore.
#[test]
fn tc_14_a_discard_waits_for_a_write() {
    for restore in [false, true] {
        for discard_first in [false, true] {
            let profile = Profile { discard_zeroes: true, ..QUIET };
            let world = if restore { restoring(profile, 1, &[1]) } else { mirrored(profile, 1) };
            world.choose(|io| if is_host(io) { Choice::Hold } else { Choice::Now });
            let requests = [(CLONE_GROUP_IO_WRITE, 4, 4), (CLONE_GROUP_IO_DISCARD, 4, 4)];
            let order = if discard_first { [1, 0] } else { [0, 1] };
            for number in order {
                let (operation, first, count) = requests[number];
                world.host(operation, 0, first, count, false);
                world.poll_still();
            }
            let legs = if restore { 1 } else { 2 };
            assert_eq!(world.holds(is_host), legs, "both are under way: restore {restore}");
            world.complete_chosen(Choice::Now, |_| true);
            world.choose_nothing();
            world.settle();
            let zero = world.content(0)[4..8].iter().all(|&value| value == 0);
            assert_eq!(zero, !discard_first, "the later one counts");
            if !restore {
                assert_eq!(world.content(0), world.content(1));
            }
        }
    }
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let longer = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, count - 1);
        order
    };
    orders(count - 1)
        .iter()
        .flat_map(|order| (0..count).map(|at| longer(order, at)).collect::<Vec<_>>())
        .collect()
}

/// Overlapping requests over several extents, in every order, do not wait for each other for ever.
#[test]
fn tc_15_overlapping_requests_do_not_deadlock() {
    let requests = [(1, 9), (6, 8), (2, 20), (9, 8)];
    let all: Vec<usize> = (0..9).collect();
    for order in orders(4) {
        for copies in [1, 2] {
            for immediate in [0, 256] {
                let profile = Profile { copies, immediate, ..QUIET };
                for restore in [true, false] {
                    let world = if restore { restoring(profile, 1, &all) } else { mirrored(profile, 1) };
                    for &number in &order {
                        world.write(requests[number].0, requests[number].1);
                        world.poll(1);
                    }
                    world.settle();
                    assert_eq!(world.inner.borrow().failed.len(), 0);
                    if !restore {
                        assert_eq!(world.content(0), world.content(1), "{order:?}");
                    }
                }
            }
        }
    }
}

/// When a Fracture is done, no write of the time before is under way to the Clone, and every one is in it.
#[test]
fn tc_17_a_fracture_drains() {
    let world = mirrored(QUIET, 1);
    world.choose(|io| if is_host_write(io) && io.lu == 1 { Choice::Hold } else { Choice::Now });
    world.write(5, 1);
    world.poll_still();
    let fracture = world.ask(Ask::Fracture(1)).expect("it is accepted");
    let held = world.write(9, 1);
    world.poll_still();
    assert_eq!(world.done_operation(fracture), None, "the drain returned at once");
    assert_eq!(world.ended(held), None, "a new write was let in");
    world.complete_chosen(Choice::Now, |_| true);
    world.poll_still();
    assert_eq!(world.done_operation(fracture), Some(CLONE_GROUP_OK));
    assert_eq!((world.holds(|io| io.lu == 1), world.ended(held)), (0, Some(true)));
    let (source, clone) = (world.content(0), world.content(1));
    assert_eq!(source[5], clone[5], "a write before the fracture is missing");
    assert_ne!(source[9], clone[9], "a write after the fracture is in the Clone");
    assert_eq!(world.delta(1), [2]);
}

/// A copy on demand changes the Source relative to every other Clone: each of them keeps its point in time.
#[test]
fn tc_18_a_copy_on_demand_and_the_other_clones() {
    for map_per_clone in [false, true] {
        for crash in [false, true] {
            let mut world = restoring(Profile { map_per_clone, ..VOLATILE }, 2, &[1, 2]);
            let before = world.content(2);
            assert_ne!(before, world.content(1));
            world.write(5, 1);
            world.read_now(0, 9, 1).expect("a read");
            world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
            world.finish_hosts();
            assert_eq!(world.delta(2), [1, 2], "the other Clone does not differ");
            world.check_delta_maps();
            if crash {
                world.crash(false);
                world.check_delta_maps();
            }
            world.settle();
            assert_eq!(world.info().restoring_lu, 0);
            world.check_delta_maps();
            world.does(Ask::Restore(2));
            world.settle();
            assert_eq!(world.content(0), before, "the other Clone's point in time is lost");
        }
    }
}

/// Host reads of the Clone while it is copied from.
#[test]
fn tc_19_reads_of_the_clone() {
    let world = restoring(Profile { immediate: 0, ..QUIET }, 1, &[1, 2, 3]);
    let snapshot = world.content(1);
    world.write(5, 9);
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 1, 0, 1, false).1, Some(CLONE_GROUP_ERR_PROTECTED));
    for first in 0..30 {
        assert_eq!(world.read_now(1, first, 8).expect("a read"), snapshot[first..first + 8]);
        world.step(1);
    }
    world.settle();
    assert_eq!(world.content(1), snapshot);

    let world = reversing(Profile { immediate: 0, ..QUIET }, 1, &[1, 2, 3]);
    world.write(5, 9);
    world.finish_hosts();
    let clone = world.read_now(1, 0, 38).expect("a read");
    assert_eq!(world.read_now(0, 0, 38).expect("a read"), clone, "hosts of both see the Clone");
    assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 1, 0, 1, false).1, Some(CLONE_GROUP_ERR_STATE));
    world.settle();
    assert_eq!(world.content(0), clone);
}

/// Completions that arrive before their callback has returned lose nobody.
#[test]
fn tc_20_completions_inside_the_callback() {
    for profile in [QUIET, VOLATILE, Profile { persist_flush: true, redirect: true, ..VOLATILE }] {
        let world = restoring(profile, 2, &[1, 2, 3, 7, 9]);
        world.choose(|_| Choice::Early);
        world.write(5, 1);
        world.write(9, 7);
        world.host(CLONE_GROUP_IO_READ, 0, 26, 6, false);
        world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        for _ in 0..1000 {
            // Nothing is held, so there is nothing to wait for.
            match world.step(8) {
                CLONE_GROUP_OK => break,
                state => assert_eq!(state, CLONE_GROUP_MORE),
            }
        }
        assert_eq!((world.info().restoring_lu, world.hosts_open()), (0, 0));
        world.does(Ask::Synchronize(2));
        world.settle();
        assert_eq!(world.content(0), world.content(2));
        world.check_lu_now(0);
    }
}
