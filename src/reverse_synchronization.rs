#![forbid(unsafe_code)]
//! Reverse Synchronization: the Clone is copied to the Source without protection. Host writes go to both, host
//! reads are served from the Clone until the end (R40-R51). It is a Synchronization with the roles swapped: the
//! Clone's content counts, also for Recovery (R41), and a failed write to it fails the host; a failed write to the
//! Source is only noted (R50).
//!
//! ```text
//!   Fractured --start--> ReverseSynchronizing --D empty, hosts held, F(Source), F(Clone)--> Synchronized
//!                          |            ^
//!                          `-Distrust---'   a flush failed: all intents are differences now
//! ```

use crate::change::Change;
use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::operation::Activity;
use crate::parts;
use crate::transition::TransitionStage;

impl Group<'_> {
    /// The superblock says that it began.
    pub(crate) fn reverse_began(&mut self, lu: u32) {
        if !parts::REVERSE {
            return;
        }
        self.restart_copy(lu);
        self.begin_copy_progress(lu);
        // What the Source lost before is nobody's loss any more.
        self.lu_mut(SOURCE).owed_status = error::OK;
        self.raise(Event { kind: EventKind::SourceChanged, lu: Some(lu), ..Event::default() });
    }

    /// Whether the end is due.
    pub(crate) fn reverse_due(&self, lu: u32) -> Option<Change> {
        if !parts::REVERSE {
            return None;
        }
        let clone = self.clone(lu);
        let copied = clone.delta.bits.is_empty() && self.scoreboard.copying() == 0 && !clone.stalled;
        // What copies changed is written down before hosts are held, not while they are.
        let over = copied && !self.persistent.has_later();
        // Paused, hosts are not held for the flip: a hung LU would hold them for ever (R76).
        (over && !(self.record.paused && kept!(R76Paused))).then_some(Change::FinishReverse(lu))
    }

    /// Writes that were under way when hosts began to be held may have left something to copy: a leg failed, or a payload
    /// was not stable. That is copied while hosts are held, or endless such writes would never let it end (R46, R51).
    pub(crate) fn reverse_copies_last(&self, change: Change) -> Result<bool, Error> {
        let Change::FinishReverse(lu) = change else {
            return Ok(false);
        };
        if !parts::REVERSE {
            return Ok(false);
        }
        let clone = self.clone(lu);
        if clone.stalled || clone.delta.inherits_intent {
            Err(Error::State)
        } else {
            Ok(!clone.delta.is_empty() && kept!(R48Last))
        }
    }

    /// Whether hosts are held until the last extents are copied: then no budget counts.
    pub(crate) fn is_ending_reverse(&self) -> bool {
        let Activity::Transition(transition) = self.activity else {
            return false;
        };
        let ending = matches!(transition.change, Change::FinishReverse(_));
        parts::REVERSE && ending && self.gate_closed && transition.stage == TransitionStage::Draining
    }

    /// The superblock says that it is over: both LUs are equal and flushed, and hosts were held meanwhile (R48).
    pub(crate) fn reverse_is_over(&mut self, lu: u32) {
        if !parts::REVERSE {
            return;
        }
        self.collisions.forget_lu(lu);
        self.sweeper.request();
        // A flush that a host did not hear of yet was one of the Clone; from now on hosts ask the Source.
        self.lu_mut(SOURCE).owed_status = core::mem::take(&mut self.lu_mut(lu).owed_status);
        self.raise(Event { kind: EventKind::ReverseSynchronized, lu: Some(lu), ..Event::default() });
    }

    /// A flush of either LU failed: one of the two may lack what the other one has, wherever hosts wrote or extents
    /// were copied since the intents were cleared (R24, R52 with the roles swapped; docs/protocol.md, N3). All of that is
    /// copied again, but not until somebody says so: a flush is not tried until it works.
    pub(crate) fn reverse_flush_failed(&mut self, lu: u32, status: i32) {
        let delta = &mut self.clone_mut(lu).delta;
        delta.inherits_again = delta.inherits_intent;
        delta.inherits_intent = kept!(N10);
        self.stall(lu, status);
    }
}
