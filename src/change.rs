#![forbid(unsafe_code)]
//! The changes of the durable state: what the superblock says after each, and what memory does when it is durable.
//! [`crate::transition`] carries them out.

use crate::clone::{CloneRecord, CloneState};
use crate::error;
use crate::event::{Event, EventKind};
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
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

impl Change {
    /// Whether hosts are held and everything under way finishes before it.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn holds_hosts(self) -> bool {
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
    pub(crate) fn leaves_protected(self) -> Option<u32> {
        match self {
            Change::CancelRestore(lu) | Change::Retarget(lu, _) if parts::CANCEL => Some(lu),
            _ => None,
        }
    }
}

impl Group<'_> {
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
                let may = now.state == CloneState::Synchronizing || !kept!(R54Leg);
                let state = if may { CloneState::Synchronized } else { now.state };
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
    pub(crate) fn apply(&mut self, change: Change) {
        self.note_copy_time(change);
        self.note_resolution(change);
        self.record = self.group_after(change);
        for lu in 1..self.config.lus() {
            let mut after = self.clone_after(change, lu);
            let synchronized = matches!(change, Change::Synchronized(clone) if clone == lu) && kept!(R54Leg);
            if synchronized && !self.clone(lu).delta.is_empty() {
                // Hosts are not held: a leg failed, or a payload turned out unstable, while the superblock was written.
                // What is so now counts; Recovery learns it from the intents (R58).
                after.state = self.clone(lu).state();
            }
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
                // What it differed by, and what was copied to it, would count as intents of the others (R78).
                if self.next_clone(1, |state| state == CloneState::Synchronized).is_some() {
                    self.sweeper.request();
                }
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
