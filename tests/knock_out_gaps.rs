//! Goal: rules that no other test missed when they were left out (`tools/knock-outs`), each shown once on purpose.

mod common;

use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::{Choice, Profile};

const QUIET: Profile = Profile::QUIET;
const VOLATILE: Profile = Profile { volatile: true, ..QUIET };
const STATUS: i32 = -5;

/// R14: a write waits for an older one to the same extent, though nothing else keeps it: who waits for a copy is not
/// overtaken for ever.
#[test]
fn r14_an_older_write_goes_first() {
    let world = restoring(QUIET, 1, &[1, 3]);
    world.choose(|io| if is_copy_read(io) { Choice::Hold } else { Choice::Now });
    let older = world.write(at(1) + 2, 8);
    let newer = world.write(at(2), 2);
    world.poll_still();
    assert!(world.holds(is_copy_read) > 0, "the older write waits for copies");
    assert_eq!((world.ended(older), world.ended(newer)), (None, None), "it was overtaken");
    world.choose_nothing();
    world.complete_chosen(Choice::Now, |_| true);
    world.finish_hosts();
    assert_eq!((world.ended(older), world.ended(newer)), (Some(true), Some(true)));
    world.check_lu_now(0);
}

/// R24: a host flush waits for two LUs; the one whose content counts fails, and works the next time, before the other one
/// is done. What was lost is lost: the flush fails.
#[test]
fn r24_a_flush_that_works_does_not_undo_one_that_failed() {
    let world = reversing(VOLATILE, 1, &[1]);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    let (first, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    world.complete_chosen(Choice::FailDone(STATUS), |io| is_flush(io) && io.lu == 1);
    world.poll_still();
    assert_eq!(world.ended(first), None, "the Source is not flushed yet");
    let (second, _) = world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    world.poll_still();
    assert_eq!(world.complete_chosen(Choice::Now, |io| is_flush(io) && io.lu == 1), 1);
    world.poll_still();
    world.choose_nothing();
    world.complete_chosen(Choice::Now, |_| true);
    world.finish_hosts();
    assert_eq!((world.ended(first), world.ended(second)), (Some(false), Some(true)));
}

/// R24: a close whose flush fails says so.
#[test]
fn r24_a_close_says_that_its_flush_failed() {
    let world = fractured(VOLATILE, 1, &[1]);
    world.choose(|io| if is_flush(io) { Choice::FailDone(STATUS) } else { Choice::Now });
    assert_eq!(world.result_of(Ask::Close), STATUS);
}
