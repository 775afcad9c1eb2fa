#![forbid(unsafe_code)]
//! Whose turn it is to poll, and whether the controller knows that a poll is wanted.
//!
//! ```text
//!   idle <--begin / end--> polling             one poll at a time, the others return at once
//!   asleep --wake--> awake --begin--> asleep   one `wake` of the controller until the next poll begins
//! ```

use crate::atomic::{AtomicBool, Ordering};

/// Whose turn it is to poll.
pub struct Turn {
    /// A poll runs.
    polling: AtomicBool,
    /// `wake` was called and no poll has begun since.
    awake: AtomicBool,
}

/// The one poll that runs, until it is dropped.
pub struct Polling<'a> {
    turn: &'a Turn,
}

impl Turn {
    /// Nobody polls, nobody was woken.
    pub fn new() -> Turn {
        Turn { polling: AtomicBool::new(false), awake: AtomicBool::new(false) }
    }

    /// Makes the caller the one poll that runs. None if there is one.
    pub fn begin(&self) -> Option<Polling<'_>> {
        if self.polling.swap(true, Ordering::AcqRel) {
            return None;
        }
        // Not a store: who finds `awake` set does not wake, so this poll must see what he did before that.
        self.awake.swap(false, Ordering::AcqRel);
        Some(Polling { turn: self })
    }

    /// Whether a poll runs.
    pub fn is_taken(&self) -> bool {
        self.polling.load(Ordering::Acquire)
    }

    /// A poll is wanted. Whether the controller is to be woken for it: otherwise it was already, and the poll that
    /// it begins sees what the caller did before.
    pub fn wake(&self) -> bool {
        !self.awake.swap(true, Ordering::AcqRel)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.turn.polling.store(false, Ordering::Release);
    }
}
