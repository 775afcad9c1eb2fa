#![forbid(unsafe_code)]
//! Mirroring: a host write to the Source goes to every Clone that is synchronized or being synchronized, too. A leg that
//! fails never fails the host; the Clone is OutOfSync from then on, and its Delta Map has what it may lack (R52).

use crate::change::Change;
use crate::clone::CloneState;
use crate::event::{Event, EventKind};
use crate::geometry::ExtentRange;
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::lu::Ticket;
use crate::request::{Request, RequestStage};

impl Group<'_> {
    /// Whether an overlapping mirrored write is under way: its legs could land in another order (R43).
    pub(crate) fn overlaps_mirrored(&self, asked: &Request) -> bool {
        self.submitted > 0
            && self.requests.iter().any(|(_, other)| {
                other.stage == RequestStage::Submitted
                    && other.mirrored
                    && other.blocks.overlaps(asked.blocks)
            })
    }

    /// Asks for a flush of the Source and of every Clone that host writes to it go to.
    pub(crate) fn want_mirrored_flush(&mut self, ticket: Ticket) {
        self.lu_mut(SOURCE).want_flush(ticket);
        let mut from = 1;
        while let Some(lu) = self.next_clone(from, CloneState::shares_writes) {
            self.lu_mut(lu).want_flush(ticket);
            from = lu.wrapping_add(1);
        }
    }

    /// Whether a mirrored Clone needs the write: what will be copied to it anyway it does not, unless
    /// that copy is running (R49, roles swapped).
    pub(crate) fn takes_part(&self, lu: u32, extents: ExtentRange) -> bool {
        !self.clone(lu).delta.bits.all_set(extents)
            || self.scoreboard.owns_any(lu, extents) && kept!(R49)
            || self.reversing() == Some(lu)
    }

    /// The leg of a mirrored write that the host does not depend on failed.
    pub(crate) fn mirrored_leg_failed(&mut self, lu: u32, status: i32, extents: ExtentRange) {
        match self.reversing() {
            // The Source gets these extents from the Clone again; the intent in G is durable (R50).
            Some(_) if lu == SOURCE && !kept!(R50Source) => {}
            Some(clone) if lu == SOURCE => self.distrust(clone, extents),
            _ => self.fail_mirror(lu, status, Some(extents)),
        }
    }

    /// The Clone may not hold what the Source holds: the extents are copied again.
    pub(crate) fn distrust(&mut self, lu: u32, extents: ExtentRange) {
        let clone = self.clone_mut(lu);
        clone.delta.bits.set_range(extents);
        if clone.state() == CloneState::Synchronized && kept!(R51State) {
            clone.record.state = CloneState::Synchronizing;
            clone.restart_pass();
            self.record_due = true;
            self.raise_state(lu);
        }
        // What is being written may say Synchronizing, and the extents be copied again before that is durable (R31).
        self.record_due |= self.writer.is_committing(Change::Synchronized(lu));
    }

    /// A mirrored Clone failed: its writes are only noted from now on (R52).
    pub(crate) fn fail_mirror(&mut self, lu: u32, status: i32, extents: Option<ExtentRange>) {
        if let Some(extents) = extents.filter(|_| kept!(R52Extents)) {
            self.clone(lu).delta.bits.set_range(extents);
        }
        if !self.clone(lu).state().is_mirrored() || !kept!(R52State) {
            return;
        }
        let clone = self.clone_mut(lu);
        clone.record.state = CloneState::OutOfSync;
        clone.record.failed = true;
        // What it was sent lately may still be lost from its cache, and nobody flushes it any more (R3).
        clone.delta.inherits_intent = kept!(N4);
        self.record_due = true;
        self.collisions.forget_lu(lu);
        if kept!(R71Failed) {
            self.persistent.next_epoch();
        }
        self.raise(Event { kind: EventKind::CloneFailed, lu: Some(lu), status, value: 0 });
        self.raise_state(lu);
    }
}
