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

use crate::error;
use crate::event::{Event, EventKind};
use crate::group::{Group, SOURCE};
use crate::parts;
use crate::transition::Change;

impl Group<'_> {
    /// The superblock says that it began.
    pub(crate) fn reverse_began(&mut self, lu: u32) {
        if !parts::REVERSE {
            return;
        }
        self.restart_copy(lu);
        self.distrust_cut_short();
        self.begin_copy_progress(lu);
        // What the Source lost before is nobody's loss any more.
        self.lu_mut(SOURCE).owed_status = error::OK;
        self.raise(Event { kind: EventKind::SourceChanged, lu: Some(lu), ..Event::default() });
    }

    /// What is due: the end, or to look again at everything that was written lately.
    pub(crate) fn reverse_due(&self, lu: u32) -> Option<Change> {
        if !parts::REVERSE {
            return None;
        }
        let clone = self.clone(lu);
        if clone.delta.inherits_intent {
            return Some(Change::Distrust(lu));
        }
        let over = clone.delta.bits.is_empty() && self.scoreboard.copying() == 0 && !clone.stalled;
        over.then_some(Change::FinishReverse(lu))
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
        delta.inherits_intent = true;
        self.stall(lu, status);
    }
}
