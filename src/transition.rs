#![forbid(unsafe_code)]
//! The one machine that changes the durable state of the group, for operations and for what copies bring about.
//!
//! ```text
//!   Preparing --> Draining --> Flushing --> Committing --> Applying --> (applied, done)
//!    maps in      gate closed,  the LUs      superblock     P, in
//!    slices       I/O drained   concerned    (R31)          slices
//!       `------------`------------`-------------`--> (undone, done with an error)
//! ```
//!
//! While the gate is closed, new host requests wait and those under way finish (R34, R53, R55). An
//! operation that waits in a drain can be aborted by its tag; then the gate opens again (R76). What a member of
//! a set does between Flushing and Committing stands in `set.rs`.

use crate::change::Change;
use crate::error::{self, Error};
use crate::geometry::{Extent, ExtentRange};
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::lu::{Flushed, Ticket};
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Activity;
use crate::parts;

/// How far a change is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransitionStage {
    /// Maps that no host needs yet are filled, a slice at a time, from this extent on.
    Preparing(Extent),
    /// The gate is closed; what is under way finishes.
    Draining,
    /// LUs are flushed.
    Flushing(Ticket),
    /// The superblock is written.
    Committing,
    /// It is durable; the gate is still closed. Maps that the change empties are walked, a slice at a time, from this
    /// extent on.
    Applying(Extent),
    /// In a set: the superblock that says prepared is written.
    Declaring,
    /// In a set: the other members have not all voted.
    Voting,
    /// In a set that failed: the superblock that takes it back is written; then this is the status.
    Releasing(i32),
}

impl TransitionStage {
    /// Its number, and how far it is in it.
    pub fn position(self) -> (u8, u64) {
        match self {
            TransitionStage::Preparing(from) => (0, from.0),
            TransitionStage::Draining => (1, 0),
            TransitionStage::Flushing(_) => (2, 0),
            TransitionStage::Committing => (3, 0),
            TransitionStage::Applying(from) => (4, from.0),
            TransitionStage::Declaring => (5, 0),
            TransitionStage::Voting => (6, 0),
            TransitionStage::Releasing(_) => (7, 0),
        }
    }
}

/// A change under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transition {
    /// What changes.
    pub change: Change,
    /// How far it is.
    pub stage: TransitionStage,
    /// Whom to tell, if it was asked for.
    pub tag: Option<u64>,
}

/// Both parts that the cancel of a Reverse Synchronization needs.
const CANCEL_REVERSE: bool = parts::CANCEL && parts::REVERSE;

/// Extents of a map that one step of a walk handles: it bounds the work of a poll.
pub const SLICE_EXTENTS: u64 = 1 << 14;

impl Group<'_> {
    pub(crate) fn begin_transition(&mut self, change: Change, tag: Option<u64>) {
        self.activity =
            Activity::Transition(Transition { change, stage: TransitionStage::Preparing(Extent(0)), tag });
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_transition(&mut self, transition: Transition, buffers: &mut dyn MetadataBuffers) {
        if let Err(error) = self.check_set(&transition) {
            return self.end_transition(transition, error.status());
        }
        let next = match transition.stage {
            _ if self.gives_way(&transition) => Err(Error::State),
            TransitionStage::Preparing(from) => self.prepare(transition.change, from),
            // The superblock says nothing of it: the columns have the intents until they have these bits.
            TransitionStage::Flushing(_) if matches!(transition.change, Change::Distrust(_)) => {
                self.apply(transition.change);
                return self.end_transition(transition, error::OK);
            }
            TransitionStage::Draining => self.drain(transition.change),
            TransitionStage::Flushing(ticket) => self.flush_for(transition.change, ticket, buffers),
            TransitionStage::Committing => match self.writer.take_commit() {
                None => Ok(TransitionStage::Committing),
                Some(error::OK) => return self.committed(transition, Extent(0)),
                Some(status) => Err(Error::from_status(status)),
            },
            TransitionStage::Applying(from) => return self.committed(transition, from),
            TransitionStage::Declaring => self.declare(buffers),
            TransitionStage::Voting => Ok(self.await_votes(transition.change, buffers)),
            TransitionStage::Releasing(status) => self.released(status),
        };
        match next {
            Ok(stage) => self.activity = Activity::Transition(Transition { stage, ..transition }),
            Err(error) => self.end_transition(transition, error.status()),
        }
    }

    /// The superblock is durable: memory follows, the maps first.
    fn committed(&mut self, transition: Transition, from: Extent) {
        let next = match transition.change.leaves_protected() {
            Some(_) if !self.may_walk(1) => Some(from),
            Some(lu) => self.leave_protected(lu, from),
            None => None,
        };
        if let Some(next) = next {
            let stage = TransitionStage::Applying(next);
            self.activity = Activity::Transition(Transition { stage, ..transition });
            return;
        }
        self.apply(transition.change);
        self.end_transition(transition, error::OK);
    }

    /// A change that nobody asked for may wait for a hung LU, and hold hosts meanwhile: an operation that somebody asks
    /// for comes first (R76). It is due again afterwards; one that holds hosts not while copies are paused.
    fn gives_way(&self, transition: &Transition) -> bool {
        let Transition { change, stage, .. } = *transition;
        let written = matches!(stage, TransitionStage::Committing | TransitionStage::Applying(_));
        // What is so already has to be written down: nobody would ask for it again.
        let flushes = matches!(stage, TransitionStage::Flushing(_)) && !matches!(change, Change::Record);
        let waits = !written && change.holds_hosts() || flushes;
        waits && kept!(R76Way) && transition.tag.is_none() && self.asked_for.is_some()
    }

    pub(crate) fn end_transition(&mut self, transition: Transition, status: i32) {
        // A host write that came meanwhile is no failure: the end of the restore is due again later.
        let failed =
            status != error::OK && status != Error::State.status() && !self.metadata_failed && kept!(R24End);
        if let (Change::FinishRestore(lu) | Change::FinishReverse(lu), true) = (transition.change, failed) {
            // Not again and again: a flush that fails is not retried until it works (R24).
            self.stall(lu, status);
        }
        self.activity = Activity::None;
        self.gate_closed = false;
        self.queue.changed = true;
        if let Some(tag) = transition.tag {
            self.finish_operation(tag, status);
        }
    }

    /// Fills maps, a slice at a time, while hosts go on.
    fn prepare(&mut self, change: Change, from: Extent) -> Result<TransitionStage, Error> {
        if !self.may_walk(1) {
            return Ok(TransitionStage::Preparing(from));
        }
        let end = Extent(from.0.wrapping_add(SLICE_EXTENTS).min(self.geometry().extents()));
        let slice = ExtentRange::new(from, end);
        let more = match change {
            Change::AddClone(lu) if kept!(R73Add) => {
                // It was never synchronized: everything may differ (R73).
                self.clone(lu).delta.bits.set_range(slice);
                true
            }
            Change::Synchronize(lu) | Change::Distrust(lu) | Change::CancelReverse(lu)
                if self.clone(lu).delta.inherits_intent && kept!(R52Inherit) =>
            {
                self.inherit(lu, slice);
                true
            }
            _ => false,
        };
        if more && end.0 < self.geometry().extents() {
            return Ok(TransitionStage::Preparing(end));
        }
        if let (true, Change::CancelReverse(lu)) = (CANCEL_REVERSE, change)
            && self.took_intents_over(lu)
        {
            return Ok(TransitionStage::Preparing(Extent(0)));
        }
        // Everything is drained already if intents were taken over once more.
        if change.holds_hosts() && !self.gate_closed && change.is_drained() {
            self.gate_closed = true;
            return Ok(TransitionStage::Draining);
        }
        Ok(self.begin_flush(change))
    }

    /// A Clone that failed may differ wherever a write intent was left, and, if it was never synchronized to the
    /// end, wherever its copies were not written down as flushed (R52, R73). An intent may be one of other Clones, which
    /// its own column never had: no host write may count on such a bit before its page is written (R1, N9).
    fn inherit(&mut self, lu: u32, slice: ExtentRange) {
        let mut rest = slice;
        while let Some(run) = self.persistent.bits.next_run_in(rest) {
            if self.clone(lu).delta.bits.set_range(run) > 0 && kept!(R72Inherit) {
                self.save_later(run);
            }
            rest.first = run.end;
        }
        let clone = self.clone(lu);
        if let Some(unproven) = clone.unproven(self.geometry().all_extents()).filter(|_| kept!(R73Inherit)) {
            clone.delta.bits.set_range(slice.intersection(unproven));
        }
    }

    /// The intents are in the Delta Map. Returns whether they are to be taken over once more, from the start.
    pub(crate) fn took_intents_over(&mut self, lu: u32) -> bool {
        let delta = &mut self.clone_mut(lu).delta;
        delta.inherits_intent = core::mem::take(&mut delta.inherits_again);
        delta.inherits_intent
    }

    /// Waits until no host I/O, no copy and no map page is under way. Held requests do not count: they
    /// have not been submitted, and waiting for them would never end (R48, T12b).
    fn drain(&mut self, change: Change) -> Result<TransitionStage, Error> {
        if self.metadata_failed {
            return Err(Error::MetadataFailed);
        }
        let busy = !self.saved_all() && kept!(R72Drain)
            || self.submitted > 0 && kept!(R53Hosts)
            || self.scoreboard.active() > 0 && kept!(R53Copies)
            || !self.persistent.is_clean() && kept!(R53Pages);
        if busy || self.sweeper.is_active() && kept!(R53Sweep) || self.reverse_copies_last(change)? {
            return Ok(TransitionStage::Draining);
        }
        if let (true, Change::CancelReverse(lu)) = (CANCEL_REVERSE, change) {
            // A flush failed, perhaps in the drain: what either LU lost, or may lose, has to be known when the Clone is
            // left.
            let failed = self.lu(SOURCE).flush_failed && kept!(N10Drain);
            let delta = &mut self.clone_mut(lu).delta;
            delta.inherits_intent |= failed;
            if delta.inherits_intent {
                return Ok(TransitionStage::Preparing(Extent(0)));
            }
        }
        Ok(self.begin_flush(change))
    }

    fn begin_flush(&mut self, change: Change) -> TransitionStage {
        let ticket = self.new_ticket();
        for lu in 0..self.config.lus() {
            if self.must_flush(change, lu) {
                self.lu_mut(lu).want_flush(ticket);
            }
        }
        TransitionStage::Flushing(ticket)
    }

    /// What must be durable before the superblock says so.
    fn must_flush(&self, change: Change, lu: u32) -> bool {
        match change {
            // It was flushed when it was prepared, and nothing was written since.
            _ if self.is_prepared() => false,
            // R54 asks for F(Clone) only. F(Source) is needed too: a write that came before the Clone did
            // carries no intent, and a power loss may take it from the Source's cache while the Clone has
            // it (docs/protocol.md, N1).
            Change::Synchronized(clone) | Change::SyncedBelow(clone, _) => {
                lu == clone && kept!(R54Flush) || lu == SOURCE && kept!(N1)
            }
            // R55 asks for F(Clone). F(Source) too: if a later flush of the Source fails and drops a write that the
            // Clone has, nobody would know any more that the two differ (N7).
            Change::Fracture(clone) => lu == clone && kept!(R55Flush) || lu == SOURCE && kept!(N7),
            // R34: an unflushed host write to the Clone would be copied and then revert; those that are
            // fractured along with it become points in time. The Source too: where it does not differ, it is
            // the base over which P may become durable (R5; docs/protocol.md, N2).
            Change::StartRestore(clone) | Change::StartReverse(clone) => {
                lu == clone && kept!(R34Flush)
                    || lu == SOURCE && kept!(N2)
                    || self.clone(lu).state().is_mirrored() && kept!(R34Mirrors)
            }
            Change::FinishReverse(clone) if parts::REVERSE => {
                lu == clone && kept!(R48Clone) || lu == SOURCE && kept!(R48Source)
            }
            // The Source is given up: if it cannot be flushed, all intents are differences.
            Change::CancelReverse(clone) if CANCEL_REVERSE => {
                lu == clone && kept!(R38FlushReverse)
                    || lu == SOURCE && !self.lu(SOURCE).flush_failed && kept!(N10Flush)
            }
            Change::FinishRestore(_) => lu == SOURCE && kept!(R25),
            // As at a start (R34, N2).
            Change::Retarget(_, clone) if parts::CANCEL => {
                lu == clone && kept!(R38Retarget) || lu == SOURCE && kept!(R38RetargetSource)
            }
            // Copies that wait for a flush are made, and what hosts will read of the mixture stays (R59).
            Change::CancelRestore(_) => lu == SOURCE && kept!(R38Flush),
            Change::AcceptSource => lu == SOURCE && kept!(N11),
            _ => false,
        }
    }

    fn flush_for(
        &mut self,
        change: Change,
        ticket: Ticket,
        buffers: &mut dyn MetadataBuffers,
    ) -> Result<TransitionStage, Error> {
        for lu in 0..self.config.lus() {
            // A Clone that failed is not mirrored any more, and not waited for.
            if !self.must_flush(change, lu) {
                continue;
            }
            match self.lu(lu).flushed(ticket) {
                Flushed::Waiting => return Ok(TransitionStage::Flushing(ticket)),
                Flushed::Done => {}
                // The Source is given up: the copies that were not flushed simply stay different. Who accepts it
                // needs a flush that works.
                Flushed::Failed(_) if parts::CANCEL && matches!(change, Change::CancelRestore(_)) => {}
                Flushed::Failed(_) if !kept!(R24Commit) => {}
                Flushed::Failed(status) => return Err(Error::from_status(status)),
            }
        }
        if let (true, Change::CancelReverse(lu)) = (CANCEL_REVERSE, change)
            && self.clone(lu).delta.inherits_intent
        {
            // The flush of the Source failed.
            return Ok(TransitionStage::Preparing(Extent(0)));
        }
        // What was allowed at the beginning may not be any more: a leg of the drain failed (R56).
        if kept!(R56Again) {
            self.check_change(change)?;
        }
        if matches!(change, Change::FinishRestore(_)) && kept!(R36Again) && !self.restore_is_over() {
            return Err(Error::State);
        }
        Ok(self.commit_or_declare(change, buffers))
    }
}
