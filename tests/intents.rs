//! Goal: the bound of the write intents of mirrored Clones holds a write exactly when it has to (R78): not before, not when
//! nothing would come of it, and not for ever.

mod common;

use ::clone_group::ffi::types::CLONE_GROUP_MORE;
use common::stage::*;
use common::world::{Choice, Placed, Profile, World};

/// The first write that finds more than half of them begins a sweep.
const INTENTS: usize = 16;
const PROFILE: Profile = Profile { blocks: 256, volatile: true, intents: INTENTS as u32, ..Profile::QUIET };

/// 40 map pages of 64 extents: with an intent in each, each page that is swept gives one.
const PAGES: Profile = Profile { blocks: 2560, extent_blocks: 1, clones: 50, map_per_clone: true, ..PROFILE };

/// Clone 1 is mirrored, and the controller holds flushes: no sweep comes to its end.
fn unswept() -> Placed {
    unswept_with(PROFILE)
}

fn unswept_with(profile: Profile) -> Placed {
    let world = mirrored(profile, 1);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    world
}

/// Writes a block of the extent, and says whether that is done.
fn goes_on(world: &World, extent: usize) -> bool {
    let tag = world.write(at(extent), 1);
    world.poll_still();
    world.ended(tag) == Some(true)
}

/// R78: a sweep begins when more than half of the intents are there, not before.
#[test]
fn a_sweep_begins_in_time() {
    let world = unswept();
    for extent in 0..=INTENTS / 2 {
        assert!(goes_on(&world, extent));
        assert_eq!(world.logged(is_flush), 0, "swept with {extent} intents");
    }
    assert!(goes_on(&world, INTENTS / 2 + 1));
    assert_eq!(world.logged(is_flush), 2, "Source and Clone are flushed for the sweep");
}

/// R78: a write that would be one intent too many waits until some are cleared; one whose extents carry an intent does not.
#[test]
fn one_intent_too_many_waits() {
    // With a column for each Clone, and where there is no room for another one.
    for (map_per_clone, clones) in [(false, 2), (true, 2), (false, 1)] {
        let world = unswept_with(Profile { map_per_clone, clones, ..PROFILE });
        for extent in 0..INTENTS {
            assert!(goes_on(&world, extent), "extent {extent} is within the bound");
        }
        let late = world.write(at(INTENTS), 1);
        world.poll_still();
        assert_eq!(world.ended(late), None, "one intent too many");
        assert!(goes_on(&world, 3), "it has its intent");
        assert_eq!(world.info().persistent_delta_extents, INTENTS as u64);
        world.choose_nothing();
        world.complete_chosen(Choice::Now, is_flush);
        world.finish_hosts();
        assert_eq!(world.ended(late), Some(true));
        assert!(world.info().persistent_delta_extents <= INTENTS as u64);
    }
}

/// R78: a write that is larger than the bound is not held: it would wait for ever. One that just fits is held.
#[test]
fn a_write_larger_than_the_bound_goes_on() {
    let world = unswept();
    assert!(goes_on(&world, 0));
    let larger = world.write(at(10), at(INTENTS + 1));
    world.poll_still();
    assert_eq!(world.ended(larger), Some(true), "nothing would come of waiting");

    let world = unswept();
    assert!(goes_on(&world, 0));
    let fitting = world.write(at(10), at(INTENTS));
    while world.poll(64) == CLONE_GROUP_MORE {}
    assert_eq!(
        world.logged(is_flush),
        2,
        "a poll waits for I/Os before the sweep that it needs is under way"
    );
    assert_eq!(world.ended(fitting), None, "with the one that is there these are too many");
    world.choose_nothing();
    world.complete_chosen(Choice::Now, is_flush);
    world.finish_hosts();
    assert_eq!(world.ended(fitting), Some(true));
}

/// R78: when a sweep can clear nothing, because hosts are writing all that carries an intent, nobody waits for it.
#[test]
fn a_fruitless_sweep_holds_nobody() {
    let world = mirrored(PROFILE, 1);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    world.write(at(0), at(INTENTS));
    world.poll_still();
    assert_eq!(world.holds(is_host_write), 2, "to Source and Clone");
    world.write(at(INTENTS), 1);
    world.poll_still();
    assert_eq!(world.holds(is_host_write), 4, "no intent can go while its write is under way");
    world.let_go();
    world.finish_hosts();
}

/// R78, I7: a write that waits for intents is not overtaken for ever by smaller ones that come later: each sweep gives room for
/// one of them, which the older one needs.
#[test]
fn no_smaller_write_goes_first() {
    let world = unswept_with(PAGES);
    for page in 0..INTENTS {
        world.write(page * 64, 1);
        world.poll_still();
    }
    let late = world.write(33, 2);
    for round in 0..100 {
        world.write((INTENTS + round) % 40 * 64 + round / 40, 1);
        world.poll_still();
        world.complete_chosen(Choice::Now, is_flush);
        world.poll_still();
        if world.ended(late).is_some() {
            break;
        }
    }
    assert_eq!(world.ended(late), Some(true), "smaller writes took every intent");
    world.let_go();
    world.finish_hosts();
}

/// R78, I7: nor by a write that is always under way, while the older one needs all intents there are.
#[test]
fn a_trickle_of_writes_holds_nobody_for_ever() {
    let world = mirrored(PROFILE, 1);
    world.choose(|io| if is_host_write(io) || is_flush(io) { Choice::Hold } else { Choice::Now });
    world.write(at(1), 1);
    world.poll_still();
    let late = at(30);
    world.write(late, at(INTENTS));
    for round in 1..100 {
        // The next one comes, the one before it ends, then the flush of the sweep.
        world.write(at(round % 20 + 1), 1);
        world.poll_still();
        let before = at((round - 1) % 20 + 1) as u64;
        world.complete_chosen(Choice::Now, |io| is_host_write(io) && io.first_block == before);
        world.poll_still();
        world.complete_chosen(Choice::Now, is_flush);
        world.poll_still();
        if world.holds(|io| io.first_block == late as u64) > 0 {
            break;
        }
    }
    assert!(world.holds(|io| io.first_block == late as u64) > 0, "it is never submitted");
    world.let_go();
    world.finish_hosts();
}

/// R53: while an operation holds hosts no page is swept but the one that waits for its flushes; the others follow when it
/// is over.
#[test]
fn an_operation_stops_a_sweep() {
    let world = unswept_with(PAGES);
    for page in 0..INTENTS - 1 {
        world.write(page * 64, 1);
        world.poll_still();
    }
    assert_eq!(world.logged(is_flush), 2, "the first page waits for its flushes");
    world.choose(|io| if is_flush(io) || is_host_write(io) { Choice::Hold } else { Choice::Now });
    world.write(30 * 64, 1);
    world.poll_still();
    let adding = world.ask(Ask::Add(2)).expect("it is accepted");
    world.poll_still();
    world.complete_chosen(Choice::Now, is_flush);
    world.poll_still();
    assert_eq!(world.logged(is_flush), 2, "the next page is swept while hosts are held");
    world.let_go();
    world.finish_hosts();
    world.poll_still();
    assert_eq!(world.done_operation(adding), Some(0));
    assert!(world.logged(is_flush) > 4, "the sweep goes on");
}

/// R47: a write whose bits are durable counts on them while it waits for I/O slots, too: a sweep leaves them.
#[test]
fn a_write_that_waits_for_slots_keeps_its_intent() {
    let world = mirrored(Profile { clones: 3, ..PROFILE }, 3);
    world.choose(|io| if is_host_write(io) { Choice::Hold } else { Choice::Now });
    let mut extents = 0;
    let mut legs = world.holds(is_host_write);
    // Until there are no slots for all the legs of one more.
    loop {
        world.write(at(extents), 1);
        world.poll_still();
        extents += 1;
        if world.holds(is_host_write) == legs {
            break;
        }
        legs = world.holds(is_host_write);
    }
    assert!(extents > INTENTS / 2, "{extents} intents begin no sweep");
    // Whoever comes begins a sweep of all that is not under way.
    world.write(at(0), 1);
    world.poll_still();
    assert_eq!(world.info().persistent_delta_extents, extents as u64, "the one that waits lost its intent");
    // The world checks that the bits of each write are durable when it goes out (I11).
    world.let_go();
    world.finish_hosts();
}

/// R78: while a Clone is synchronized its copies add to the intents, and the bound holds nobody.
#[test]
fn copies_do_not_hold_hosts_by_their_intents() {
    let profile = Profile { map_per_clone: true, ..PROFILE };
    let world = synchronizing(profile, &(0..40).collect::<Vec<_>>());
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    for extent in 0..=INTENTS {
        assert!(goes_on(&world, extent), "extent {extent}");
    }
    world.choose_nothing();
    world.complete_chosen(Choice::Now, is_flush);
    world.settle();
}

/// R78: a Clone goes while it is synchronized; the intents of its copies go, too, and no later write has to ask for that.
#[test]
fn a_clone_that_goes_leaves_no_intents() {
    let world = mirrored(Profile { map_per_clone: true, ..PROFILE }, 1);
    world.does(Ask::Add(2));
    world.does(Ask::Synchronize(2));
    world.step(4);
    assert!(world.info().persistent_delta_extents > 0, "the test lost its copies");
    world.does(Ask::Remove(2));
    world.poll_still();
    assert_eq!(world.info().persistent_delta_extents, 0);
}
