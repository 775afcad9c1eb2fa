//! The hand-off of completions (`src/completion.rs`).

use clone_group::loom_atomic::AtomicUsize;
use clone_group::{Completion, Completions, words_needed};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::explore::{Shared, every_order};

/// The part of the workspace that completions use.
struct Memory {
    slots: Vec<Completion>,
    arrived: Vec<AtomicUsize>,
}

fn memory(slots: usize) -> Shared<Memory> {
    Shared::new(Memory {
        slots: (0..slots).map(|_| Completion::default()).collect(),
        arrived: (0..words_needed(slots)).map(|_| AtomicUsize::default()).collect(),
    })
}

fn completions(memory: &Shared<Memory>) -> Completions<'static> {
    let memory = memory.lend();
    Completions::new(&memory.slots, &memory.arrived)
}

/// What the poll does for each completion that has arrived.
fn drain(completions: Completions<'static>) -> Vec<(u16, i32)> {
    let mut taken = Vec::new();
    let mut from = 0;
    while let Some(slot) = completions.next_arrived(from) {
        from = slot;
        // What arrived is there to be taken.
        taken.push((slot, completions.take(slot).expect("an arrived completion")));
    }
    taken
}

/// Goal: of two completions of an I/O one is recorded and one refused, and the poll gets the status of that one.
#[test]
fn an_io_ends_once() {
    every_order("an I/O ends once", || {
        let memory = memory(1);
        let table = completions(&memory);
        let id = table.arm(0);
        let first = thread::spawn(move || table.complete(id, -1).is_ok());
        let second = thread::spawn(move || table.complete(id, -2).is_ok());
        let mut taken = drain(table);
        taken.extend(drain(table));
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        taken.extend(drain(table));
        assert_ne!(first, second, "both recorded, or none");
        assert_eq!(taken, [(0, if first { -1 } else { -2 })]);
        assert!(!table.any_arrived() && !table.is_completed(0));
    });
}

/// Goal: an id of an older life of its slot is refused whenever it comes, and does not end the I/O of today (R67).
#[test]
fn an_older_life_is_over() {
    every_order("an older life is over", || {
        let memory = memory(1);
        let table = completions(&memory);
        let old = table.arm(0);
        table.complete(old, 0).unwrap();
        assert_eq!(drain(table), [(0, 0)]);
        let id = table.arm(0);
        assert_ne!(id, old);
        let late = thread::spawn(move || {
            assert!(table.complete(old, -9).is_err());
            let recorded = table.complete(id, -2).is_ok();
            assert!(table.complete(old, -9).is_err());
            recorded
        });
        let current = thread::spawn(move || table.complete(id, -1).is_ok());
        // The slot is used again as soon as it is free.
        let mut taken = drain(table);
        let next = (!taken.is_empty()).then(|| table.arm(0));
        let (late, current) = (late.join().unwrap(), current.join().unwrap());
        assert_ne!(late, current, "the I/O of today ends once");
        match next {
            Some(next) => {
                assert!(drain(table).is_empty(), "nobody completed this one");
                assert!(next != id && table.complete(id, -9).is_err());
                table.complete(next, -3).unwrap();
                assert_eq!(drain(table), [(0, -3)]);
            }
            None => taken.extend(drain(table)),
        }
        assert_eq!(taken, [(0, if current { -1 } else { -2 })]);
    });
}

/// Goal: a callback that says "failed" while an interrupt completes the same I/O: one of both ends it, and the slot is
/// free when the completion, if it was recorded, has been taken.
#[test]
fn a_callback_ends_what_is_completed() {
    every_order("a callback ends what is completed", || {
        let memory = memory(1);
        let table = completions(&memory);
        let id = table.arm(0);
        let first = thread::spawn(move || table.complete(id, -1).is_ok());
        let second = thread::spawn(move || table.complete(id, -1).is_ok());
        let retired = table.retire(0);
        // The slot serves the next I/O at once.
        let next = retired.then(|| table.arm(0));
        let recorded = u32::from(first.join().unwrap()) + u32::from(second.join().unwrap());
        assert_eq!(recorded, u32::from(!retired), "ended by both, or by none");
        let taken = drain(table);
        assert_eq!(taken.len(), usize::from(!retired));
        if let Some(next) = next {
            assert!(table.complete(id, 0).is_err());
            table.complete(next, 0).unwrap();
        }
    });
}

/// Goal: no completion is lost among those of the same word of the bitmap and of another word, each is taken once.
#[test]
fn completions_of_several_slots() {
    every_order("completions of several slots", || {
        let memory = memory(65);
        let table = completions(&memory);
        let ids = [0, 1, 64].map(|slot| table.arm(slot));
        let first = thread::spawn(move || {
            table.complete(ids[0], -10).unwrap();
            table.complete(ids[2], -12).unwrap();
        });
        let second = thread::spawn(move || table.complete(ids[1], -11).unwrap());
        let mut taken = drain(table);
        first.join().unwrap();
        second.join().unwrap();
        taken.extend(drain(table));
        taken.sort_unstable();
        assert_eq!(taken, [(0, -10), (1, -11), (64, -12)]);
        assert!(!table.any_arrived());
    });
}

/// Goal: who takes a completion sees all that the device and the interrupt handler wrote before it; and they see, in
/// the next life of the slot, what the taker wrote. loom reports an access of the buffer that is not ordered.
#[test]
fn a_completion_publishes_the_buffer() {
    every_order("a completion publishes the buffer", || {
        let memory = memory(1);
        let table = completions(&memory);
        let id = table.arm(0);
        let buffer = Arc::new(UnsafeCell::new(0));
        let (device, other) =
            (Arc::clone(&buffer), thread::spawn(move || table.complete(id ^ 1 << 32, 0).is_ok()));
        let interrupt = thread::spawn(move || {
            // SAFETY: the device owns the buffer until the completion.
            device.with_mut(|place| unsafe { *place = 7 });
            table.complete(id, 0).unwrap();
        });
        let early = drain(table);
        if !early.is_empty() {
            // SAFETY: the I/O is over; loom checks it.
            assert_eq!(buffer.with(|place| unsafe { *place }), 7);
            // SAFETY: as above.
            buffer.with_mut(|place| unsafe { *place = 8 });
        } else if table.is_completed(0) {
            // What destroy asks: nobody touches the workspace any more (R82).
            // SAFETY: as above.
            buffer.with_mut(|place| unsafe { *place = 9 });
        }
        interrupt.join().unwrap();
        assert!(!other.join().unwrap(), "an id that never was");
        assert_eq!(early.len() + drain(table).len(), 1);
    });
}
