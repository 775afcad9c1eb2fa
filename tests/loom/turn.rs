//! Who polls, and who is woken for it (`src/turn.rs`), with the completions and the lock as `src/ffi/pump.rs` uses
//! them.

use clone_group::loom_atomic::{AtomicUsize, Mutex};
use clone_group::{Completion, Completions, Turn, words_needed};
use loom::cell::UnsafeCell;
use loom::thread;

use super::explore::{Shared, every_order};

/// What a handle has.
struct Handle {
    turn: Turn,
    /// Completions taken.
    group: Mutex<Vec<u16>>,
    slots: Vec<Completion>,
    arrived: Vec<AtomicUsize>,
    /// What only the one poll touches without the lock.
    buffer: UnsafeCell<u32>,
}

// SAFETY: the buffer belongs to the poll that runs; loom checks that.
unsafe impl Sync for Handle {}

fn handle(slots: usize) -> Shared<Handle> {
    Shared::new(Handle {
        turn: Turn::new(),
        group: Mutex::new(Vec::new()),
        slots: (0..slots).map(|_| Completion::default()).collect(),
        arrived: (0..words_needed(slots)).map(|_| AtomicUsize::default()).collect(),
        buffer: UnsafeCell::new(0),
    })
}

impl Handle {
    fn completions(&self) -> Completions<'_> {
        Completions::new(&self.slots, &self.arrived)
    }

    /// As clone_group_io_complete(): whether the controller was woken.
    fn complete(&self, id: u64) -> bool {
        self.completions().complete(id, 0).unwrap();
        self.turn.wake()
    }

    /// As a poll: `None` if another one runs, else whether it leaves something.
    fn poll(&self) -> Option<bool> {
        let _polling = self.turn.begin()?;
        // SAFETY: the one poll; loom checks it.
        self.buffer.with_mut(|place| unsafe { *place += 1 });
        let mut group = self.group.lock();
        while let Some(slot) = self.completions().next_arrived(0) {
            self.completions().take(slot).expect("an arrived completion");
            group.push(slot);
        }
        drop(group);
        // SAFETY: as above.
        self.buffer.with_mut(|place| unsafe { *place += 1 });
        let _group = self.group.lock();
        Some(self.completions().any_arrived())
    }
}

/// Goal: no wake is lost. Who completes an I/O while a poll begins either wakes the controller, or the poll that
/// begins takes the completion, or leaves it and says so. Without that a controller that sleeps sleeps for ever.
#[test]
fn no_wake_is_lost() {
    every_order("no wake is lost", || {
        let handle = handle(2);
        let shared = handle.lend();
        let ids = [0, 1].map(|slot| shared.completions().arm(slot));
        // The poll below is the answer to this.
        assert!(shared.turn.wake());
        let threads = ids.map(|id| thread::spawn(move || shared.complete(id)));
        let more = shared.poll().expect("nobody else polls");
        let woken = threads.map(|thread| thread.join().unwrap());
        let left = 2 - shared.group.lock().len();
        let is_known = more || woken.contains(&true);
        assert!(left == 0 || is_known, "{left} completions wait, and nobody knows");
        // At most one wake until the next poll begins; the first one may have come before this one began.
        assert!(woken != [true, true], "woken twice for one poll");
        shared.poll().expect("nobody else polls");
        assert_eq!(shared.group.lock().len(), 2);
    });
}

/// Goal: one poll at a time, and the next one sees all that the one before did without the lock; a poll that was sent
/// away leaves no completion behind that nobody takes.
#[test]
fn one_poll_at_a_time() {
    every_order("one poll at a time", || {
        let handle = handle(1);
        let shared = handle.lend();
        let id = shared.completions().arm(0);
        let other = thread::spawn(move || (shared.poll(), shared.poll()));
        let woken = thread::spawn(move || shared.complete(id));
        let mine = (shared.poll(), shared.poll());
        let (others, woken) = (other.join().unwrap(), woken.join().unwrap());
        assert!(woken, "nobody was woken before");
        // Some poll ran: two that send each other away do not exist.
        assert!(mine.0.is_some() || others.0.is_some());
        assert!(mine.1.is_some() || others != (None, None));
        shared.poll().expect("nobody else polls");
        assert_eq!(*shared.group.lock(), [0]);
    });
}
