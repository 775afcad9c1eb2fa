#![forbid(unsafe_code)]
//! The ways out of a copy before its end (R38): a Synchronization or a restore is canceled, a restore is given
//! another Clone, the mixture that a canceled restore leaves on the Source is accepted.
//!
//! ```text
//!                    .--- re-target: another Clone, generation + 1 ---.
//!                    v                                                |
//!   Fractured --> Restoring ------------------------------------------'
//!       ^            |
//!       |            | cancel
//!       |            v
//!       '------ Fractured, Source invalid --+-- accept -----------> Source valid: the mixture
//!                                           '-- a new restore ----> Source valid: the Clone's
//! ```
//!
//! A Reverse Synchronization is canceled the same way. Its Clone has everything that hosts wrote, so it is a point in
//! time: that of the cancel.
//!
//! Whoever leaves a restore leaves with D := D or P, because P says where hosts made the Source differ from the
//! Clone. That is done when the superblock is durable and the gate still closed, a slice at a time. Before, D and P
//! would both be 1 if the superblock failed, and the restore would never end. A power loss at any point is
//! harmless: Recovery makes D of G, which holds P (R4), and P of an older generation reads as 0 (R9).

use crate::change::Change;
use crate::clone::CloneState;
use crate::error::Error;
use crate::geometry::{Extent, ExtentRange};
use crate::group::Group;
use crate::knock_out::kept;
use crate::parts;
use crate::transition::SLICE_EXTENTS;

impl Group<'_> {
    /// What canceling the copy of this Clone comes to.
    pub(crate) fn change_to_cancel(&self, lu: u32) -> Result<Change, Error> {
        parts::needs(parts::CANCEL)?;
        match self.clone(lu).state() {
            CloneState::Restoring => Ok(Change::CancelRestore(lu)),
            CloneState::Synchronizing => Ok(Change::Abandon(lu)),
            CloneState::Absent => Err(Error::NoLu),
            CloneState::ReverseSynchronizing => Ok(Change::CancelReverse(lu)),
            CloneState::OutOfSync | CloneState::Synchronized | CloneState::Fractured => Err(Error::State),
        }
    }

    /// Whether the restore may leave one Clone for the other.
    pub(crate) fn check_retarget(&self, from: u32, to: u32) -> Result<(), Error> {
        parts::needs(parts::CANCEL)?;
        match self.clone(to).state() {
            CloneState::Absent => Err(Error::NoLu),
            _ if self.restoring() != Some(from) => Err(Error::State),
            CloneState::Fractured => Ok(()),
            CloneState::OutOfSync => Err(Error::NotConsistent),
            _ => Err(Error::State),
        }
    }

    /// Moves the next slice of P into the Delta Map of the Clone that is left. Returns where to go on, or `None` when P
    /// is empty.
    pub(crate) fn leave_protected(&self, lu: u32, from: Extent) -> Option<Extent> {
        let protected = &self.protected_restore.bits;
        let first = protected.next_set(from)?;
        let all = self.geometry().all_extents();
        let slice = ExtentRange::new(first, Extent(first.0.saturating_add(SLICE_EXTENTS).min(all.end.0)));
        let mut rest = slice;
        while let Some(run) = protected.next_run_in(rest) {
            self.clone(lu).delta.bits.set_range(if kept!(R38Maps) { run } else { ExtentRange::default() });
            protected.clear_range(if kept!(R38Clear) { run } else { ExtentRange::default() });
            rest.first = run.end;
        }
        Some(slice.end)
    }

    /// The Clone is not copied to the Source any more. Where a flush failed before, also in the drain, all intents are in
    /// its Delta Map by now.
    pub(crate) fn leave_reverse(&mut self, lu: u32) {
        if !parts::CANCEL || !parts::REVERSE {
            return;
        }
        self.collisions.forget_lu(lu);
        self.sweeper.request();
        let clone = self.clone_mut(lu);
        clone.delta.inherits_intent = false;
        clone.restart_pass();
    }

    /// The Clone is not restored from any more: nothing of its copies is left. What was copied and not flushed stays
    /// in its Delta Map, that is: different.
    pub(crate) fn leave_restore(&mut self, lu: u32) {
        if !parts::CANCEL {
            return;
        }
        if kept!(R38Forget) {
            self.protected_restore.forget_copies();
        }
        self.cod_single = ExtentRange::default();
        self.clone_mut(lu).restart_pass();
    }
}
