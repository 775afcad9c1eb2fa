//! Goal: defects that other systems had in the order of flushes and metadata (TC-21 to TC-37) do not exist here. Each
//! test is one of them, named by its number; tests/README.md has the list of all.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Placed, Profile, World};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };
/// Makes a group in some state.
type Make<'a> = &'a dyn Fn(Profile) -> Placed;

/// What was copied lies in a cache: nothing that is written down may say more than the medium holds.
#[test]
fn tc_21_metadata_does_not_run_ahead_of_copied_data() {
    let mut world = restoring(VOLATILE, 1, &[1, 2]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    world.step_still();
    assert_eq!((world.logged(is_copy_write), world.holds(is_flush)), (2, 1), "copied, and being flushed");
    let tag = world.write(5, 1);
    world.step_still();
    assert_eq!((world.delta(1), world.protected()), (vec![1, 2], vec![]));
    assert_eq!((world.ended(tag), world.info().restoring_lu), (None, 1));
    world.crash(false);
    assert_eq!(world.delta(1), [1, 2]);
    world.check_lu_after_loss(0);
    world.settle();
    assert_eq!(world.content(0), world.content(1));

    let mut world = synchronizing(VOLATILE, &[1, 2]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    world.step_still();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZING, "Synchronized before a flush");
    world.crash(false);
    world.check_delta_maps();
    world.settle();
    assert_eq!(world.content(0), world.content(1));
}

/// A copy that completes while a flush is under way is not certified by that flush.
#[test]
fn tc_22_a_copy_during_a_flush() {
    let mut world = restoring(VOLATILE, 1, &[1, 2, 3]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    world.step(1);
    world.write(5, 1);
    world.poll_still();
    assert_eq!(world.holds(is_flush), 1, "a write asked for the flush of the copy");
    world.step(1);
    world.poll_still();
    assert_eq!(world.logged(is_copy_write), 2, "the second copy came during the flush");
    world.complete_chosen(Choice::Now, is_flush);
    world.poll_still();
    assert_eq!(world.delta(1), [2, 3], "the second copy was certified too");
    world.crash(false);
    assert_eq!(world.delta(1), [2, 3]);
    world.check_lu_after_loss(0);
    world.settle();
    world.check_lu_now(0);
}

fn by_state() -> [(&'static str, Make<'static>, Vec<u32>); 6] {
    [
        (
            "OutOfSync",
            &|profile| {
                let world = formatted_with(profile, |_| {});
                world.does(Ask::Add(1));
                world.inner.borrow_mut().log.clear();
                world
            },
            vec![0],
        ),
        ("Synchronizing", &|profile| synchronizing(profile, &[1]), vec![0, 1]),
        ("Synchronized", &|profile| mirrored(profile, 1), vec![0, 1]),
        ("Fractured", &|profile| fractured(profile, 1, &[1]), vec![0]),
        ("Restoring", &|profile| restoring(profile, 1, &[1]), vec![0]),
        ("ReverseSynchronizing", &|profile| reversing(profile, 1, &[1]), vec![0, 1]),
    ]
}

/// FUA reaches every LU that a write goes to, in every state.
#[test]
fn tc_23_fua_is_not_ignored() {
    for host_durable in [false, true] {
        for (name, make, lus) in by_state() {
            let world = make(Profile { host_durable, ..VOLATILE });
            world.host(CLONE_GROUP_IO_WRITE, 0, at(5), 2, !host_durable);
            world.poll_still();
            assert_eq!(world.logged(is_host_write), lus.len(), "{name}");
            let fua = |io: &clone_group_io| is_host_write(io) && io.flags & CLONE_GROUP_IO_FUA != 0;
            assert_eq!(world.logged(fua), lus.len(), "{name}: a write without FUA");
        }
    }
}

/// A host flush reaches every LU that holds acknowledged data, in every state, although metadata is elsewhere.
#[test]
fn tc_24_flushes_are_passed_on() {
    for (name, make, lus) in by_state() {
        let mut world = make(VOLATILE);
        world.host(CLONE_GROUP_IO_WRITE, 0, at(5), 2, false);
        world.poll_still();
        world.inner.borrow_mut().log.clear();
        let (flush, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
        world.poll_still();
        assert_eq!(world.ended(flush), Some(true), "{name}");
        for lu in 0..2 {
            let flushes = world.logged(|io| is_flush(io) && io.lu == lu);
            assert_eq!(flushes, usize::from(lus.contains(&lu)), "{name}: flushes of LU {lu}");
        }
        world.crash(false);
        world.check_lu_after_loss(0);
    }
    // A fractured Clone that hosts write has its own.
    let world = fractured(VOLATILE, 1, &[]);
    world.host(CLONE_GROUP_IO_FLUSH, 1, 0, 1, false);
    world.poll_still();
    assert_eq!((world.logged(|io| io.lu == 1), world.logged(|io| io.lu == 0)), (1, 0));
}

/// A persistent area with a cache: data follows the flush of the page, the second slot that of the first.
#[test]
fn tc_25_metadata_and_data_in_order() {
    let world = mirrored(Profile { persist_flush: true, ..QUIET }, 1);
    let is_area_flush = |io: &clone_group_io| io.operation == CLONE_GROUP_IO_PERSIST_FLUSH;
    world.choose(move |io| if is_area_flush(io) { Choice::Hold } else { Choice::Now });
    world.write(5, 1);
    world.poll_still();
    assert_eq!((world.logged(is_page), world.logged(is_host_write)), (1, 0), "the page is not flushed");
    world.complete_chosen(Choice::Now, is_area_flush);
    world.poll_still();
    assert_eq!(world.logged(is_host_write), 2);
    let pause = world.ask(Ask::Pause).expect("it is accepted");
    for slots in [1, 2] {
        world.poll_still();
        assert_eq!(world.logged(is_superblock), slots, "a slot is written before the other one is flushed");
        assert_eq!(world.done_operation(pause), None);
        world.complete_chosen(Choice::Now, is_area_flush);
    }
    world.poll_still();
    assert_eq!(world.done_operation(pause), Some(CLONE_GROUP_OK));
}

/// One write of a page at a time; who came later waits for the later one.
#[test]
fn tc_26_two_writes_of_one_page() {
    let world = mirrored(QUIET, 1);
    world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
    let first = world.write(at(1), 1);
    world.poll_still();
    let second = world.write(at(2), 1);
    world.poll_still();
    assert_eq!(world.holds(is_page), 1, "two writes of one page are under way");
    world.complete_chosen(Choice::Now, is_page);
    world.poll_still();
    assert_eq!((world.ended(first), world.ended(second)), (Some(true), None));
    assert_eq!(world.holds(is_page), 1);
    world.complete_chosen(Choice::Now, is_page);
    world.poll_still();
    assert_eq!(world.ended(second), Some(true));
}

/// A bit is durable, is being cleared, and is set again: what the page said before does not count.
#[test]
fn tc_27_set_cleared_and_set_again() {
    let world = mirrored(Profile { blocks: 256, ..QUIET }, 1);
    for extent in 0..9 {
        world.write(at(extent), 1);
        world.poll_still();
    }
    world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
    world.write(at(9), 1);
    world.poll_still();
    world.complete_chosen(Choice::Now, is_page);
    world.poll_still();
    assert_eq!(
        (world.holds(is_page), world.info().persistent_delta_extents),
        (1, 1),
        "intents are being cleared"
    );
    let tag = world.write(at(0), 2);
    world.poll_still();
    assert_eq!(world.ended(tag), None, "it counts on a bit that is being cleared");
    world.complete_chosen(Choice::Now, is_page);
    world.poll_still();
    assert_eq!(world.ended(tag), None, "the page that was cleared counts as the one with the bit");
    world.complete_chosen(Choice::Now, is_page);
    world.poll_still();
    assert_eq!(world.ended(tag), Some(true));
}

/// The image of a page does not change while it is being written, however many bits come, and pages do not share one.
#[test]
fn tc_28_images_do_not_change() {
    let profile = Profile { blocks: 4000, extent_blocks: 1, copy_blocks: 64, ..QUIET };
    let mut world = fractured(profile, 1, &[]);
    world.choose(|io| if is_page_or_superblock(io) { Choice::Hold } else { Choice::Now });
    let extents = [0, 2000, 1, 2001, 3999, 1790];
    for block in extents {
        world.write(block, 1);
        world.poll_still();
    }
    assert_eq!(world.holds(is_page_or_superblock), 2);
    while world.hosts_open() > 0 {
        // The device compares the image with what was submitted.
        assert!(world.complete_chosen(Choice::Now, is_page_or_superblock) > 0);
        world.poll_still();
    }
    world.crash(false);
    let mut expected = extents.to_vec();
    expected.sort_unstable();
    assert_eq!(world.delta(1), expected);
}

/// Closed, loaded, closed and loaded again: the maps are the same, at every size around a word and a page.
#[test]
fn tc_29_load_and_save_at_every_size() {
    for map_per_clone in [false, true] {
        for extents in [1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 1215, 1216, 1791, 1792, 1793, 3584, 3585] {
            for tail in [0, 1] {
                let blocks = extents * 2 - tail;
                let profile = Profile { blocks, extent_blocks: 2, copy_blocks: 64, map_per_clone, ..QUIET };
                let mut differ = vec![0, extents / 2, extents - 1];
                differ.dedup();
                let mut world = fractured(profile, 1, &differ);
                for _ in 0..2 {
                    assert_eq!(world.delta(1), differ, "{extents} extents");
                    world.does(Ask::Close);
                    world.crash(false);
                }
                world.check_delta_maps();
                world.does(Ask::Restore(1));
                world.settle();
                assert_eq!(world.content(0), world.content(1), "{extents} extents");
            }
        }
    }
}

/// The write of an intent fails, or is done and reported as failed: the data does not go out, in any state.
#[test]
fn tc_30_no_data_without_its_intent() {
    for (name, make, _) in by_state() {
        for how in [Choice::Fail(-5), Choice::FailDone(-5)] {
            for flush in [false, true] {
                let mut world = make(Profile { persist_flush: flush, ..QUIET });
                let fails = move |io: &clone_group_io| match flush {
                    true => io.operation == CLONE_GROUP_IO_PERSIST_FLUSH,
                    false => is_page(io),
                };
                world.inner.borrow_mut().metadata_fault_seen = true;
                world.choose(move |io| match how {
                    _ if !fails(io) => Choice::Now,
                    _ if flush => Choice::Fail(-5),
                    how => how,
                });
                let tag = world.write(at(5), 1);
                world.poll_still();
                // Everything counts as different anyway in a Clone that was never synchronized, and yet it is noted.
                assert_eq!(world.ended(tag), Some(false), "{name}");
                assert_eq!(world.logged(is_host_write), 0, "{name}: the data went out");
                assert!(world.metadata_failed(), "{name}");
                assert_eq!(world.host(CLONE_GROUP_IO_READ, 0, at(5), 1, false).1, Some(CLONE_GROUP_OK));
                world.crash(true);
                world.check_delta_maps();
                world.check_lu_after_loss(0);
            }
        }
    }
}

/// Clones come, go and are fractured beside one in any state, with writes under way: no bit is lost.
#[test]
fn tc_31_members_change_in_every_state() {
    type Make<'a> = &'a dyn Fn(Profile, usize) -> Placed;
    let states: [Make; 4] = [
        &|profile, members| mirrored(profile, members),
        &|profile, members| fractured(profile, members, &[1]),
        &|profile, members| restoring(profile, members, &[1]),
        &|profile, members| reversing(profile, members, &[1]),
    ];
    let mut accepted = 0;
    for map_per_clone in [false, true] {
        for make in states {
            for members in [1, 2] {
                for ask in [
                    Ask::Add(2),
                    Ask::Remove(2),
                    Ask::Remove(1),
                    Ask::Fracture(2),
                    Ask::Fracture(1),
                    Ask::Synchronize(1),
                    Ask::Synchronize(2),
                    Ask::Restore(2),
                    Ask::Reverse(2),
                ] {
                    let mut world = make(Profile { map_per_clone, ..VOLATILE }, members);
                    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
                    world.write(at(3), 1);
                    world.poll_still();
                    let Ok(_) = world.ask(ask) else { continue };
                    accepted += 1;
                    world.poll_still();
                    world.write(at(4), 1);
                    world.poll_still();
                    world.complete_chosen(Choice::Now, |_| true);
                    world.choose_nothing();
                    world.finish_hosts();
                    world.check_delta_maps();
                    // Extents that needed nothing before the change may need something now.
                    world.write(at(3), 1);
                    world.write(at(4) + 1, 1);
                    world.finish_hosts();
                    world.check_delta_maps();
                    world.crash(false);
                    world.check_delta_maps();
                    world.check_lu_after_loss(0);
                }
            }
        }
    }
    assert!(accepted >= 24, "the test lost its changes: {accepted}");
}

/// A close with writes under way waits for them; what it writes down is exact.
#[test]
fn tc_32_a_close_with_writes_under_way() {
    let mut world = mirrored(VOLATILE, 1);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    let tag = world.write(5, 1);
    world.poll_still();
    let close = world.ask(Ask::Close).expect("it is accepted");
    world.poll_still();
    assert_eq!((world.done_operation(close), world.logged(is_superblock)), (None, 0));
    // SAFETY: a live group.
    assert_eq!(unsafe { clone_group_host_flush(world.group(), 0, 99) }, CLONE_GROUP_ERR_CLOSED);
    world.complete_chosen(Choice::Now, |io| io.lu == 0);
    world.poll_still();
    assert_eq!((world.done_operation(close), world.logged(is_superblock)), (None, 0), "one leg is under way");
    world.complete_chosen(Choice::Now, |_| true);
    world.poll_still();
    assert_eq!((world.ended(tag), world.done_operation(close)), (Some(true), Some(CLONE_GROUP_OK)));
    world.crash(false);
    assert_eq!((world.state(1), world.delta(1).len()), (CLONE_GROUP_CLONE_SYNCHRONIZED, 0));
    assert_eq!(world.content(0), world.content(1));
}

/// Does something to a group while power fails after so many steps; returns whether it came to its end.
fn until_power_fails(world: &mut World, step: u64, fate: u64, act: impl FnOnce(&World)) -> bool {
    let steps = world.inner.get_mut().steps;
    world.inner.get_mut().power_fails_at = steps + step;
    act(world);
    let complete = !world.power_is_off();
    let mut dice = fastrand::Rng::with_seed(fate * 1000 + step);
    world.lose_power(move || match fate {
        0 => false,
        1 => true,
        _ => dice.bool(),
    });
    complete
}

/// Power is lost at each step of a format over another group: the old one, the new one, or none; never a mixture.
#[test]
fn tc_33_power_lost_in_a_format() {
    let mut outcomes = [0; 3];
    for persist_flush in [false, true] {
        for fate in 0..4 {
            for step in 1.. {
                let mut world = fractured(Profile { persist_flush, ..QUIET }, 1, &[1, 4]);
                world.does(Ask::Close);
                world.power_on();
                let complete = until_power_fails(&mut world, step, fate, |world| {
                    world.result_of(Ask::FormatForced);
                });
                world.power_on();
                match world.result_of(Ask::Recover) {
                    CLONE_GROUP_OK if world.state(1) == CLONE_GROUP_CLONE_FRACTURED => {
                        assert_eq!(world.delta(1), [1, 4], "the old group with other maps");
                        outcomes[0] += 1;
                    }
                    CLONE_GROUP_OK => {
                        assert_eq!(world.state(1), CLONE_GROUP_CLONE_ABSENT);
                        assert_eq!(world.info().persistent_delta_extents, 0, "the new group with old maps");
                        outcomes[1] += 1;
                    }
                    CLONE_GROUP_ERR_METADATA_MISSING | CLONE_GROUP_ERR_METADATA_DAMAGED => {
                        outcomes[2] += 1;
                        world.power_on();
                        let again = world.result_of(Ask::FormatForced);
                        assert_eq!(again, CLONE_GROUP_OK, "it cannot be formatted again");
                    }
                    other => panic!("Recovery returned {other}"),
                }
                if complete {
                    break;
                }
            }
        }
    }
    assert!(outcomes.iter().all(|&count| count > 0), "{outcomes:?}");
}

/// Power is lost at each step of a change of state: it happened, or it did not.
#[test]
fn tc_34_power_lost_in_a_change_of_state() {
    for (ask, before, after) in [
        (Ask::Fracture(1), CLONE_GROUP_CLONE_SYNCHRONIZED, CLONE_GROUP_CLONE_FRACTURED),
        (Ask::Restore(1), CLONE_GROUP_CLONE_FRACTURED, CLONE_GROUP_CLONE_RESTORING),
        (Ask::Reverse(1), CLONE_GROUP_CLONE_FRACTURED, CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING),
        (Ask::Synchronize(1), CLONE_GROUP_CLONE_FRACTURED, CLONE_GROUP_CLONE_SYNCHRONIZING),
        (Ask::Remove(1), CLONE_GROUP_CLONE_FRACTURED, CLONE_GROUP_CLONE_ABSENT),
    ] {
        let mut seen = Vec::new();
        for fate in 0..4 {
            for step in 1.. {
                let profile = Profile { persist_flush: true, ..VOLATILE };
                let mut world = match ask {
                    Ask::Fracture(_) => mirrored(profile, 1),
                    _ => fractured(profile, 1, &[1]),
                };
                world.write(9, 1);
                world.finish_hosts();
                let complete = until_power_fails(&mut world, step, fate, |world| {
                    world.result_of(ask);
                });
                world.power_on();
                world.does(Ask::Recover);
                world.after_recovery();
                let state = world.state(1);
                seen.push(state);
                // A Synchronized Clone with an intent comes up Synchronizing (R58).
                let same = state == before
                    || before == CLONE_GROUP_CLONE_SYNCHRONIZED && state == CLONE_GROUP_CLONE_SYNCHRONIZING;
                assert!(same || state == after, "{ask:?}, step {step}: state {state}");
                world.check_delta_maps();
                world.check_lu_after_loss(0);
                world.settle();
                world.check_lu_now(0);
                world.check_delta_maps();
                if complete {
                    assert_eq!(state, after, "{ask:?}");
                    break;
                }
            }
        }
        assert!(seen.iter().any(|&state| state != after), "{ask:?}: power was never lost before it");
    }
}

/// A read fails during Recovery: it is refused and nothing is written, or what comes up is right.
#[test]
fn tc_35_reads_that_fail_in_recovery() {
    for sticky in [false, true] {
        for restore in [false, true] {
            for number in 0.. {
                let mut world =
                    if restore { restoring(QUIET, 1, &[1, 4]) } else { fractured(QUIET, 1, &[1, 4]) };
                world.lose_power(|| false);
                let before = world.inner.get_mut().area.now.clone();
                world.power_on();
                world.inner.borrow_mut().log.clear();
                let mut reads = 0;
                world.choose(move |io| {
                    reads += u32::from(io.operation == CLONE_GROUP_IO_PERSIST_READ);
                    let hit = if sticky { reads > number } else { reads == number + 1 };
                    if hit && io.operation == CLONE_GROUP_IO_PERSIST_READ {
                        Choice::Fail(-7)
                    } else {
                        Choice::Now
                    }
                });
                let status = world.result_of(Ask::Recover);
                if status == CLONE_GROUP_OK {
                    world.after_recovery();
                    assert!(world.delta(1).contains(&1) && world.delta(1).contains(&4));
                    assert_eq!(world.info().restoring_lu, u32::from(restore));
                } else {
                    assert!(
                        status == -7 || restore && status == CLONE_GROUP_ERR_RESTORE_MAP_LOST,
                        "{status}"
                    );
                    assert_eq!(world.logged(is_page_or_superblock), 0, "something was written");
                    assert_eq!(world.inner.borrow().area.now, before);
                    // It can be read again: nothing is lost.
                    world.crash(false);
                    assert_eq!(world.delta(1), [1, 4]);
                }
                if world.logged(|io| io.operation == CLONE_GROUP_IO_PERSIST_READ) <= number as usize {
                    break;
                }
            }
        }
    }
}

/// An error after the commit point does not take the change back; one at it leaves it open, and says so.
#[test]
fn tc_36_an_error_after_the_commit() {
    for how in [Choice::Fail(-5), Choice::FailDone(-5)] {
        for fails in [1, 2] {
            for crash in [false, true] {
                let mut world = mirrored(QUIET, 1);
                let mut slots = 0;
                world.choose(move |io| {
                    slots += u32::from(is_superblock(io));
                    if is_superblock(io) && slots == fails { how } else { Choice::Now }
                });
                let committed = fails == 2;
                let status = world.result_of(Ask::Fracture(1));
                assert_eq!(status, if committed { CLONE_GROUP_OK } else { -5 });
                assert!(world.metadata_failed());
                let fractured = world.state(1) == CLONE_GROUP_CLONE_FRACTURED;
                assert_eq!(fractured, committed);
                if crash {
                    world.crash(false);
                    let fractured = world.state(1) == CLONE_GROUP_CLONE_FRACTURED;
                    assert_eq!(fractured, committed || how == Choice::FailDone(-5));
                } else {
                    let tag = world.write(9, 1);
                    world.poll_still();
                    assert_eq!(world.ended(tag), Some(false), "a write that needs a bit");
                    world.choose_nothing();
                    world.does(Ask::Repair);
                    assert!(!world.metadata_failed());
                    let tag = world.write(9, 1);
                    world.poll_still();
                    assert_eq!(world.ended(tag), Some(true));
                    world.crash(false);
                    assert_eq!(world.state(1) == CLONE_GROUP_CLONE_FRACTURED, committed);
                }
                world.check_delta_maps();
                world.check_lu_after_loss(0);
            }
        }
    }
}

/// Power is lost in a Recovery, in the next one, and in the third: it comes up as if only once.
#[test]
fn tc_37_power_lost_in_recovery_three_times() {
    // A restore with host writes, cut off while a page is being written.
    let prepare = || {
        let mut world = restoring(Profile { persist_flush: true, ..VOLATILE }, 2, &[1, 2, 4]);
        world.write(5, 1);
        world.write(at(6), 4);
        world.finish_hosts();
        world.choose(|io| if is_page(io) { Choice::Hold } else { Choice::Now });
        world.write(at(8), 1);
        world.poll_still();
        // Of the page that is being written a part remains.
        let mut keep = [false, true].into_iter().cycle();
        world.lose_power(move || keep.next().unwrap_or(false));
        world.choose_nothing();
        world
    };
    let maps = |world: &World| (world.delta(1), world.delta(2), world.protected(), world.content(0));
    let mut once = prepare();
    once.power_on();
    once.does(Ask::Recover);
    let expected = maps(&once);
    let mut runs = 0;
    for steps in 0..12_u64.pow(3) {
        let mut world = prepare();
        for depth in 0..3 {
            world.power_on();
            let step = steps / 12_u64.pow(depth) % 12;
            until_power_fails(&mut world, step + 1, steps % 3, |world| {
                world.result_of(Ask::Recover);
            });
        }
        world.power_on();
        world.does(Ask::Recover);
        world.after_recovery();
        assert_eq!(maps(&world), expected, "power lost at steps {steps} in base 12");
        runs += 1;
        if steps.is_multiple_of(37) {
            world.check_lu_after_loss(0);
            world.settle();
            assert_eq!(world.info().restoring_lu, 0);
            world.check_lu_now(0);
        }
    }
    assert_eq!(runs, 12 * 12 * 12);
}
