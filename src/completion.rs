#![forbid(unsafe_code)]
//! The hand-off of completions: from any context, without a lock, to the next poll.
//!
//! ```text
//!   Free --arm--> Submitted --complete--> Completing --> Completed --take--> Free (next generation)
//!                     `------------retire-----------------------------------^
//! ```
//!
//! A completion claims its slot with one compare-and-swap, so a second one, one with a stale id and one
//! for a slot that is free are refused (R67). An interrupt handler never waits for what it interrupted.

use crate::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use crate::error::Error;
use crate::geometry::{WORD_BITS, index, slot};
use crate::knock_out::kept;

/// The phase is in the low bits of the state, the generation above them.
const PHASE_BITS: u32 = 2;
const PHASE_MASK: u32 = (1 << PHASE_BITS) - 1;
const FREE: u32 = 0;
const SUBMITTED: u32 = 1;
const COMPLETING: u32 = 2;
const COMPLETED: u32 = 3;

/// One slot.
#[derive(Default)]
pub struct Completion {
    state: AtomicU32,
    status: AtomicI32,
}

/// All slots, and a bitmap of those that are completed.
#[derive(Clone, Copy)]
pub struct Completions<'a> {
    slots: &'a [Completion],
    arrived: &'a [AtomicUsize],
}

/// Words of the bitmap for so many slots.
pub fn words_needed(slots: usize) -> usize {
    slots.div_ceil(64).wrapping_mul(64 / size_of::<usize>() / 8).max(1)
}

impl<'a> Completions<'a> {
    /// A table over this memory; `arrived` has [`words_needed`] words.
    pub fn new(slots: &'a [Completion], arrived: &'a [AtomicUsize]) -> Completions<'a> {
        Completions { slots, arrived }
    }

    /// Gives the slot to an I/O that is about to be submitted, and returns its id.
    pub fn arm(&self, io: u16) -> u64 {
        let Some(slot) = self.slots.get(usize::from(io)) else {
            return 0;
        };
        let generation = slot.state.load(Ordering::Relaxed) >> PHASE_BITS;
        slot.state.store(generation << PHASE_BITS | SUBMITTED, Ordering::Release);
        // The slot is in the low half, from 1 on: no id is 0.
        u64::from(generation) << 32 | (u64::from(io) + 1)
    }

    /// Records the end of an I/O. Any context.
    pub fn complete(&self, id: u64, status: i32) -> Result<(), Error> {
        let number = index(id & 0xFFFF_FFFF).wrapping_sub(1);
        let slot = self.slots.get(number).ok_or(Error::StaleIo)?;
        let generation = u32::try_from(id >> 32).map_err(|_| Error::StaleIo)?;
        if generation > u32::MAX >> PHASE_BITS {
            return Err(Error::StaleIo);
        }
        let counts = if kept!(R67) { generation } else { slot.state.load(Ordering::Relaxed) >> PHASE_BITS };
        let base = counts << PHASE_BITS;
        slot.state
            .compare_exchange(base | SUBMITTED, base | COMPLETING, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| Error::StaleIo)?;
        slot.status.store(status, Ordering::Relaxed);
        slot.state.store(base | COMPLETED, Ordering::Release);
        if let Some(word) = self.arrived.get(number / WORD_BITS) {
            word.fetch_or(1 << (number % WORD_BITS), Ordering::AcqRel);
        }
        Ok(())
    }

    /// Frees the slot of an I/O that its callback ended. False if a completion was recorded
    /// nevertheless: then the slot is busy until that is taken.
    pub fn retire(&self, io: u16) -> bool {
        let Some(slot) = self.slots.get(usize::from(io)) else {
            return true;
        };
        let state = slot.state.load(Ordering::Relaxed);
        let submitted = state & !PHASE_MASK | SUBMITTED;
        slot.state
            .compare_exchange(submitted, next_generation(state), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The next completed slot from `from` on, taken out of the bitmap. Its I/O stays in its slot
    /// until [`Completions::take`].
    pub fn next_arrived(&self, from: u16) -> Option<u16> {
        let start = usize::from(from) / WORD_BITS;
        for (number, word) in self.arrived.iter().enumerate().skip(start) {
            let mut bits = word.load(Ordering::Acquire);
            if number == start {
                bits &= usize::MAX << (usize::from(from) % WORD_BITS);
            }
            if bits != 0 {
                let bit = index(u64::from(bits.trailing_zeros()));
                word.fetch_and(!(1 << bit), Ordering::AcqRel);
                return Some(slot(number.wrapping_mul(WORD_BITS).wrapping_add(bit)));
            }
        }
        None
    }

    /// Whether the I/O in this slot was completed.
    pub fn is_completed(&self, io: u16) -> bool {
        self.slots
            .get(usize::from(io))
            .is_some_and(|slot| slot.state.load(Ordering::Acquire) & PHASE_MASK == COMPLETED)
    }

    /// Whether any completion waits for a poll.
    pub fn any_arrived(&self) -> bool {
        self.arrived.iter().any(|word| word.load(Ordering::Acquire) != 0)
    }

    /// The status of a completed slot, which is free afterwards.
    pub fn take(&self, io: u16) -> Option<i32> {
        let slot = self.slots.get(usize::from(io))?;
        let state = slot.state.load(Ordering::Acquire);
        if state & PHASE_MASK != COMPLETED {
            return None;
        }
        let status = slot.status.load(Ordering::Relaxed);
        slot.state.store(next_generation(state), Ordering::Release);
        Some(status)
    }
}

/// The free state of the generation after this one; it wraps.
fn next_generation(state: u32) -> u32 {
    (state | PHASE_MASK).wrapping_add(1) | FREE
}
