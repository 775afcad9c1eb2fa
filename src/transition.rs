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

use crate::clone::{CloneRecord, CloneState};
use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::geometry::{Extent, ExtentRange};
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::lu::{Flushed, Ticket};
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Activity;
use crate::parts;
use crate::set::Prepared;
use crate::superblock::GroupRecord;

/// A change of the durable state. Each is one superblock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// A Clone comes.
    AddClone(u32),
    /// A Clone goes.
    RemoveClone(u32),
    /// A Synchronization begins.
    Synchronize(u32),
    /// A Synchronization got so far (R73).
    SyncedBelow(u32, u64),
    /// A Synchronization is finished (R54).
    Synchronized(u32),
    /// A Clone is fractured.
    Fracture(u32),
    /// A Synchronization is canceled.
    Abandon(u32),
    /// A Protected Restore begins.
    StartRestore(u32),
    /// A Protected Restore is finished (R36).
    FinishRestore(u32),
    /// A Reverse Synchronization begins.
    StartReverse(u32),
    /// A Reverse Synchronization is finished: hosts read the Source again (R48).
    FinishReverse(u32),
    /// A Reverse Synchronization is canceled.
    CancelReverse(u32),
    /// In a Reverse Synchronization a flush failed, or a mirrored Clone was given up: whatever carries an intent may
    /// differ.
    Distrust(u32),
    /// Background copies stop.
    Pause,
    /// Background copies go on.
    Resume,
    /// Write down what is so already.
    Record,
    /// A Protected Restore is canceled (R38).
    CancelRestore(u32),
    /// A Protected Restore leaves the first Clone for the second (R38).
    Retarget(u32, u32),
    /// The mixture on the Source is accepted (R38).
    AcceptSource,
    /// The group is prepared to do this with the Clone, together with other groups (R77).
    Prepare(Prepared, u32),
    /// The group is not prepared any more: the set was aborted.
    Release,
}

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

impl Change {
    /// Whether hosts are held and everything under way finishes before it.
    fn holds_hosts(self) -> bool {
        matches!(
            self,
            Change::AddClone(_)
                | Change::RemoveClone(_)
                | Change::Synchronize(_)
                | Change::Fracture(..)
                | Change::Abandon(..)
                | Change::StartRestore(_)
                | Change::StartReverse(_)
                | Change::FinishReverse(_)
                | Change::CancelRestore(_)
                | Change::CancelReverse(_)
                | Change::Retarget(..)
        )
    }

    /// The Clone that is not restored from any more, and whose Delta Map P goes into (R38).
    fn leaves_protected(self) -> Option<u32> {
        match self {
            Change::CancelRestore(lu) | Change::Retarget(lu, _) if parts::CANCEL => Some(lu),
            _ => None,
        }
    }
}

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

    /// A change that nobody asked for holds hosts, and what it waits for may be a hung LU: an operation that somebody asks
    /// for comes first (R76). It is due again afterwards, but not while copies are paused.
    fn gives_way(&self, transition: &Transition) -> bool {
        let written = matches!(transition.stage, TransitionStage::Committing | TransitionStage::Applying(_));
        let waits = !written && transition.change.holds_hosts();
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
    fn took_intents_over(&mut self, lu: u32) -> bool {
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

    /// The record of a Clone after the change.
    pub(crate) fn clone_after(&self, change: Change, lu: u32) -> CloneRecord {
        let now = self.clone(lu).record;
        let after = match change {
            Change::AddClone(clone) if clone == lu => CloneRecord {
                state: CloneState::OutOfSync,
                full: kept!(R73Full),
                identity: self.lu(lu).identity,
                ..CloneRecord::default()
            },
            Change::RemoveClone(clone) if clone == lu => CloneRecord::default(),
            Change::Synchronize(clone) if clone == lu => {
                CloneRecord { state: CloneState::Synchronizing, failed: false, ..now }
            }
            Change::SyncedBelow(clone, synced_below) if clone == lu => CloneRecord { synced_below, ..now },
            Change::Synchronized(clone) if clone == lu => {
                // Hosts are not held: a leg may fail, or a payload turn out unstable, while the superblock is
                // written. What is so then counts.
                let equal = !kept!(R54Leg)
                    || now.state == CloneState::Synchronizing && self.clone(lu).delta.is_empty();
                let state = if equal { CloneState::Synchronized } else { now.state };
                CloneRecord { state, full: false, synced_below: 0, ..now }
            }
            Change::Fracture(clone) if clone == lu => {
                CloneRecord { state: CloneState::Fractured, label: self.label, ..now }
            }
            Change::Abandon(clone) if clone == lu => CloneRecord { state: CloneState::OutOfSync, ..now },
            Change::StartRestore(clone) if clone == lu => CloneRecord { state: CloneState::Restoring, ..now },
            Change::StartReverse(clone) if parts::REVERSE && clone == lu => {
                CloneRecord { state: CloneState::ReverseSynchronizing, failed: false, ..now }
            }
            Change::FinishReverse(clone) if parts::REVERSE && clone == lu => {
                CloneRecord { state: CloneState::Synchronized, full: false, synced_below: 0, ..now }
            }
            // Everything that mirrors is fractured in the same step: that image is the undo (R2).
            Change::StartRestore(_) | Change::StartReverse(_) if kept!(R2Fracture) => match now.state {
                CloneState::Synchronized if self.clone(lu).delta.is_empty() || !kept!(R56Equal) => {
                    CloneRecord { state: CloneState::Fractured, label: [0; 64], ..now }
                }
                state if state.is_mirrored() => CloneRecord { state: CloneState::OutOfSync, ..now },
                _ => now,
            },
            Change::FinishRestore(clone) if clone == lu => {
                CloneRecord { state: CloneState::Fractured, full: false, synced_below: 0, ..now }
            }
            Change::CancelRestore(clone) | Change::CancelReverse(clone) | Change::Retarget(clone, _)
                if parts::CANCEL && clone == lu =>
            {
                CloneRecord { state: CloneState::Fractured, ..now }
            }
            Change::Retarget(_, clone) if parts::CANCEL && clone == lu => {
                CloneRecord { state: CloneState::Restoring, ..now }
            }
            _ => now,
        };
        self.clone_set_after(change, lu, after)
    }

    /// The record of the group after the change.
    pub(crate) fn group_after(&self, change: Change) -> GroupRecord {
        let now = GroupRecord { pages_distrusted: self.persistent.distrusted > 0, ..self.record };
        let after = match change {
            Change::StartRestore(lu) => GroupRecord {
                restoring: lu,
                restore_generation: now.restore_generation.saturating_add(u64::from(kept!(R9))),
                source_invalid: false,
                ..now
            },
            Change::StartReverse(lu) if parts::REVERSE => GroupRecord {
                reversing: lu,
                restore_generation: now.restore_generation.saturating_add(1),
                source_invalid: false,
                ..now
            },
            Change::FinishRestore(_) => GroupRecord { restoring: 0, ..now },
            Change::FinishReverse(_) if parts::REVERSE => GroupRecord { reversing: 0, ..now },
            Change::CancelReverse(_) if parts::CANCEL => {
                GroupRecord { reversing: 0, source_invalid: kept!(R38InvalidReverse), ..now }
            }
            Change::CancelRestore(_) if parts::CANCEL => {
                GroupRecord { restoring: 0, source_invalid: kept!(R38Invalid), ..now }
            }
            Change::Retarget(_, lu) if parts::CANCEL => GroupRecord {
                restoring: lu,
                restore_generation: now.restore_generation.saturating_add(u64::from(kept!(R38Generation))),
                ..now
            },
            Change::AcceptSource => GroupRecord { source_invalid: false, ..now },
            Change::Pause => GroupRecord { paused: true, ..now },
            Change::Resume => GroupRecord { paused: false, ..now },
            _ => now,
        };
        self.set_after(change, after)
    }

    /// Memory says what the superblock says.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn apply(&mut self, change: Change) {
        self.note_copy_time(change);
        self.note_resolution(change);
        self.record = self.group_after(change);
        for lu in 1..self.config.lus() {
            let after = self.clone_after(change, lu);
            let changed = after.state != self.clone(lu).state();
            let cut_short = self.clone(lu).state().is_mirrored() && after.state == CloneState::OutOfSync;
            self.clone_mut(lu).record = after;
            if cut_short && kept!(N4Short) {
                self.distrust_cut_short(lu);
            }
            if changed {
                self.raise_state(lu);
            }
        }
        match change {
            Change::Synchronize(lu) => {
                self.clone_mut(lu).delta.inherits_intent = false;
                self.lu_mut(lu).owed_status = error::OK;
                self.restart_copy(lu);
            }
            Change::Synchronized(lu) => {
                self.collisions.forget_lu(lu);
                if self.clone(lu).state() == CloneState::Synchronized {
                    self.sweeper.request();
                    self.raise(Event { kind: EventKind::Synchronized, lu: Some(lu), ..Event::default() });
                } else {
                    self.record_due = true;
                }
            }
            Change::Fracture(lu) => {
                self.collisions.forget_lu(lu);
                self.sweeper.request();
            }
            Change::RemoveClone(lu) => {
                self.collisions.forget_lu(lu);
                self.clone_mut(lu).delta.inherits_intent = false;
                self.clone_mut(lu).restart_pass();
            }
            Change::Abandon(lu) => {
                self.clone_mut(lu).restart_pass();
                self.raise(Event { kind: EventKind::Canceled, lu: Some(lu), ..Event::default() });
            }
            Change::StartReverse(lu) => self.reverse_began(lu),
            Change::FinishReverse(lu) => self.reverse_is_over(lu),
            Change::Distrust(lu) => {
                self.took_intents_over(lu);
            }
            Change::StartRestore(lu) => {
                self.restart_copy(lu);
                self.begin_copy_progress(lu);
                self.raise(Event { kind: EventKind::SourceChanged, lu: Some(lu), ..Event::default() });
            }
            Change::FinishRestore(lu) => {
                // What hosts changed meanwhile is what differs now. G holds it already (R4, R36).
                let clone = &mut self.clones[u64::from(lu.wrapping_sub(1))];
                if kept!(R36) {
                    core::mem::swap(&mut clone.delta.bits, &mut self.protected_restore.bits);
                }
                self.sweeper.request();
                self.raise(Event { kind: EventKind::Restored, lu: Some(lu), ..Event::default() });
            }
            Change::CancelReverse(lu) if parts::CANCEL && parts::REVERSE => {
                self.leave_reverse(lu);
                self.raise(Event { kind: EventKind::Canceled, lu: Some(lu), ..Event::default() });
            }
            Change::CancelRestore(lu) if parts::CANCEL => {
                self.leave_restore(lu);
                self.raise(Event { kind: EventKind::Canceled, lu: Some(lu), ..Event::default() });
            }
            Change::Retarget(from, to) if parts::CANCEL => {
                self.leave_restore(from);
                self.restart_copy(to);
                self.begin_copy_progress(to);
                self.raise(Event { kind: EventKind::SourceChanged, lu: Some(to), ..Event::default() });
            }
            Change::AcceptSource => {
                self.raise(Event { kind: EventKind::SourceAccepted, lu: Some(SOURCE), ..Event::default() });
            }
            Change::Resume => {
                for lu in 1..self.config.lus() {
                    self.clone_mut(lu).restart_pass();
                }
            }
            Change::AddClone(_)
            | Change::SyncedBelow(..)
            | Change::Pause
            | Change::Record
            | Change::Prepare(..)
            | Change::Release
            // Parts that are left out.
            | Change::CancelReverse(_)
            | Change::CancelRestore(_)
            | Change::Retarget(..) => {}
        }
        // Which bits a write needs depends on the states: no extent passes any more (R71).
        if (change.holds_hosts() || matches!(change, Change::FinishRestore(_))) && kept!(R71Epoch) {
            self.persistent.next_epoch();
        }
    }

    /// A Clone whose Synchronization was given up, or cut short by a copy onto the Source: what it was sent was not
    /// flushed, and may still be lost from its cache (R3).
    fn distrust_cut_short(&mut self, lu: u32) {
        self.collisions.forget_lu(lu);
        self.clone_mut(lu).delta.inherits_intent = true;
    }

    pub(crate) fn restart_copy(&mut self, lu: u32) {
        let now_ns = self.now_ns;
        let clone = self.clone_mut(lu);
        clone.restart_pass();
        clone.copied = 0;
        clone.skipped = 0;
        if parts::QUERIES {
            clone.copy_total = clone.delta.bits.count();
            clone.copy_began_ns = now_ns;
            clone.copy_took_ns = 0;
        }
    }

    /// A copy is over with this change: how long did it take?
    fn note_copy_time(&mut self, change: Change) {
        let (Change::Synchronized(lu) | Change::FinishRestore(lu) | Change::FinishReverse(lu)) = change
        else {
            return;
        };
        if parts::QUERIES {
            let now_ns = self.now_ns;
            let clone = self.clone_mut(lu);
            clone.copy_took_ns = now_ns.saturating_sub(clone.copy_began_ns);
        }
    }
}
