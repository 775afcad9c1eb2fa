#![forbid(unsafe_code)]
//! Operations on the group, one at a time: what the controller asks for, whether the present state allows it, and
//! what runs.

use crate::change::Change;
use crate::clone::CloneState;
use crate::close::Close;
use crate::error::Error;
use crate::group::{Group, GroupState};
use crate::knock_out::kept;
use crate::metadata_writer::MetadataBuffers;
use crate::parts;
use crate::repair::Repair;
use crate::start::Start;
use crate::transition::{Transition, TransitionStage};

/// What the controller asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Write an empty group.
    Format {
        /// Also over a valid group.
        force: bool,
    },
    /// Load the group and resume.
    Recover {
        /// Give up a restore whose map is lost.
        abandon_restore: bool,
    },
    /// End in order.
    Close,
    /// Write all metadata anew.
    RepairMetadata,
    /// Make the LU a Clone.
    AddClone {
        /// Its number.
        lu: u32,
    },
    /// Take the Clone out.
    RemoveClone {
        /// Its number.
        lu: u32,
    },
    /// Copy the Source to the Clone.
    Synchronize {
        /// Its number.
        lu: u32,
    },
    /// Stop the mirroring.
    Fracture {
        /// Its number.
        lu: u32,
    },
    /// Copy the Clone to the Source, protected.
    ProtectedRestore {
        /// Its number.
        lu: u32,
    },
    /// Copy the Clone to the Source, without protection.
    ReverseSynchronize {
        /// Its number.
        lu: u32,
    },
    /// Stop background copies.
    Pause,
    /// Let them go on, and try again what failed.
    Resume,
    /// Give up a Synchronization or a restore.
    Cancel {
        /// The Clone.
        lu: u32,
    },
    /// Serve the mixture that a canceled restore left on the Source.
    AcceptSource,
    /// Go on restoring, from this Clone.
    Retarget {
        /// Its number.
        lu: u32,
    },
    /// Say how a set ended that the group is prepared for (R77).
    ResolveSet {
        /// It was committed.
        commit: bool,
    },
    /// Compare the Clone with the Source.
    Verify {
        /// Its number.
        lu: u32,
        /// What differs is to be copied.
        mark: bool,
    },
    /// End that.
    StopVerify,
}

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// Nothing.
    None,
    /// A change of the durable state.
    Transition(Transition),
    /// Format or Recovery.
    Start(Start),
    /// Close.
    Close(Close),
    /// All metadata is written anew.
    Repair(Repair),
}

/// Where an activity stands: its kind, its stage, and how far it is in that.
pub type Position = (u8, u8, u64);

impl Activity {
    /// Where it stands: it has moved when that differs. It may not have moved in a way that matters if only the rest
    /// of it differs.
    pub fn position(&self) -> Position {
        let (kind, (stage, at)) = match self {
            Activity::None => (0, (0, 0)),
            Activity::Transition(transition) => (1, transition.stage.position()),
            Activity::Start(start) => (2, start.position()),
            Activity::Close(close) => (3, close.position()),
            Activity::Repair(repair) => (4, repair.position()),
        };
        (kind, stage, at)
    }
}

impl Operation {
    /// Refuses what this build has no part for.
    fn check_part(self) -> Result<(), Error> {
        match self {
            Operation::ReverseSynchronize { .. } => parts::needs(parts::REVERSE),
            Operation::Cancel { .. } | Operation::Retarget { .. } => parts::needs(parts::CANCEL),
            Operation::ResolveSet { .. } => parts::needs(parts::SETS),
            Operation::Verify { .. } | Operation::StopVerify => parts::needs(parts::VERIFY),
            _ => Ok(()),
        }
    }
}

impl Group<'_> {
    /// Accepts an operation; polls do it.
    pub fn operate(&mut self, operation: Operation, label: &[u8; 64], tag: u64) -> Result<(), Error> {
        operation.check_part()?;
        if let Operation::Format { .. } | Operation::Recover { .. } = operation {
            return self.begin_start(operation, tag);
        }
        match self.state {
            GroupState::Ready => {}
            GroupState::Closing | GroupState::Closed => return Err(Error::Closed),
            GroupState::New | GroupState::Starting => return Err(Error::NotReady),
        }
        if self.asked_for.is_some() || self.tag_under_way().is_some() || self.operations_unreported > 0 {
            return Err(Error::Busy);
        }
        self.check_unresolved(operation)?;
        self.check_verify(operation)?;
        if let Some(change) = self.change_for(operation)? {
            self.check_change(change)?;
        }
        self.label = *label;
        self.asked_for = Some((operation, tag));
        Ok(())
    }

    /// Whether this LU is about to become a Clone.
    pub(crate) fn is_adding(&self, lu: u32) -> bool {
        let asked = matches!(self.asked_for, Some((Operation::AddClone { lu: asked }, _)) if asked == lu);
        asked
            || matches!(self.activity, Activity::Transition(transition) if transition.change == Change::AddClone(lu))
    }

    /// The tag of the operation under way that somebody asked for.
    fn tag_under_way(&self) -> Option<u64> {
        match self.activity {
            Activity::None => None,
            Activity::Transition(transition) => transition.tag,
            Activity::Start(start) => Some(start.tag),
            Activity::Close(close) => Some(close.tag),
            Activity::Repair(repair) => Some(repair.tag),
        }
    }

    /// Aborts an operation that still waits; the gate opens again (R76).
    pub(crate) fn abort_operation(&mut self, tag: u64) -> bool {
        if let Some(aborted) = self.abort_member(tag) {
            return aborted;
        }
        if self.asked_for.is_some_and(|(_, asked)| asked == tag) {
            self.asked_for = None;
            self.finish_operation(tag, Error::Canceled.status());
            return true;
        }
        match self.activity {
            Activity::Transition(transition)
                if transition.tag == Some(tag)
                    && !(kept!(R76Commit)
                        && matches!(
                            transition.stage,
                            TransitionStage::Committing | TransitionStage::Applying(_)
                        )) =>
            {
                self.end_transition(transition, Error::Canceled.status());
                true
            }
            _ => false,
        }
    }

    pub(crate) fn change_for(&self, operation: Operation) -> Result<Option<Change>, Error> {
        let clone = |lu: u32| {
            if (1..self.config.lus()).contains(&lu) { Ok(lu) } else { Err(Error::NoLu) }
        };
        let change = match operation {
            Operation::Format { .. }
            | Operation::Recover { .. }
            | Operation::Close
            | Operation::RepairMetadata
            | Operation::Verify { .. }
            | Operation::StopVerify => {
                return Ok(None);
            }
            Operation::AddClone { lu } => Change::AddClone(clone(lu)?),
            Operation::RemoveClone { lu } => Change::RemoveClone(clone(lu)?),
            Operation::Synchronize { lu } => Change::Synchronize(clone(lu)?),
            Operation::ProtectedRestore { lu } => Change::StartRestore(clone(lu)?),
            Operation::ReverseSynchronize { lu } if parts::REVERSE => Change::StartReverse(clone(lu)?),
            Operation::Pause => Change::Pause,
            Operation::Resume => Change::Resume,
            Operation::Fracture { lu } => Change::Fracture(clone(lu)?),
            Operation::Cancel { lu } => self.change_to_cancel(clone(lu)?)?,
            Operation::AcceptSource => Change::AcceptSource,
            Operation::Retarget { lu } if parts::CANCEL => {
                Change::Retarget(self.record.restoring, clone(lu)?)
            }
            Operation::ResolveSet { commit } => return self.resolution(commit),
            Operation::ReverseSynchronize { .. } | Operation::Retarget { .. } => {
                return Err(Error::NotSupported);
            }
        };
        Ok(Some(change))
    }

    /// Whether the change is allowed in the present state.
    pub(crate) fn check_change(&self, change: Change) -> Result<(), Error> {
        if self.metadata_failed {
            return Err(Error::MetadataFailed);
        }
        let state_of = |lu| self.clone(lu).state();
        let member = |lu| {
            if state_of(lu) == CloneState::Absent { Err(Error::NoLu) } else { Ok(()) }
        };
        // One copy onto the Source at a time, and nothing else beside it (R39).
        let source_is_free = || {
            if self.onto_source().is_some() && kept!(R39) { Err(Error::State) } else { Ok(()) }
        };
        match change {
            Change::AddClone(lu) => {
                source_is_free()?;
                if state_of(lu) != CloneState::Absent {
                    return Err(Error::State);
                }
                if self.lu(lu).flags.is_none() { Err(Error::NoLu) } else { Ok(()) }
            }
            // R39 keeps the Clone that is copied from; the others may go.
            Change::RemoveClone(lu) => match state_of(lu) {
                CloneState::Restoring | CloneState::ReverseSynchronizing => Err(Error::State),
                _ => member(lu),
            },
            Change::Synchronize(lu) => {
                member(lu)?;
                source_is_free()?;
                if self.record.source_invalid && kept!(R38Synchronize) {
                    return Err(Error::SourceInvalid);
                }
                if state_of(lu).is_tracked() { Ok(()) } else { Err(Error::State) }
            }
            Change::Fracture(lu) => {
                member(lu)?;
                match state_of(lu) {
                    CloneState::Synchronized if self.clone(lu).delta.is_empty() || !kept!(R56) => Ok(()),
                    CloneState::Synchronized | CloneState::Synchronizing | CloneState::OutOfSync => {
                        Err(Error::NotConsistent)
                    }
                    _ => Err(Error::State),
                }
            }
            Change::Abandon(lu) if state_of(lu) != CloneState::Synchronizing => Err(Error::State),
            Change::StartRestore(lu) | Change::StartReverse(lu) => {
                member(lu)?;
                source_is_free()?;
                match state_of(lu) {
                    CloneState::Fractured => Ok(()),
                    CloneState::OutOfSync if !kept!(R54Start) => Ok(()),
                    CloneState::OutOfSync | CloneState::Synchronizing => Err(Error::NotConsistent),
                    _ => Err(Error::State),
                }
            }
            Change::Pause if self.record.paused => Err(Error::State),
            Change::CancelRestore(lu) if parts::CANCEL && self.restoring() != Some(lu) => Err(Error::State),
            // A flush that failed meanwhile has to be taken into account first.
            Change::CancelReverse(lu)
                if parts::CANCEL
                    && parts::REVERSE
                    && (self.reversing() != Some(lu) || self.clone(lu).delta.inherits_again) =>
            {
                Err(Error::State)
            }
            Change::Retarget(from, to) => self.check_retarget(from, to),
            Change::AcceptSource if !self.record.source_invalid => Err(Error::State),
            Change::SyncedBelow(lu, _) | Change::Synchronized(lu)
                if state_of(lu) != CloneState::Synchronizing =>
            {
                Err(Error::State)
            }
            Change::Synchronized(lu) | Change::FinishReverse(lu)
                if !self.clone(lu).delta.is_empty() && kept!(R54) =>
            {
                Err(Error::State)
            }
            _ => Ok(()),
        }
    }

    // ------------------------------------------------------- the one machine

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_activity(&mut self, buffers: &mut dyn MetadataBuffers) {
        match self.activity {
            Activity::None => self.begin_next(),
            Activity::Transition(transition) => self.advance_transition(transition, buffers),
            Activity::Start(_) => self.advance_start(buffers),
            Activity::Close(close) => self.advance_close(close, buffers),
            Activity::Repair(repair) => self.advance_repair(repair, buffers),
        }
    }

    /// What was asked for comes first, then what the copies bring about.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn begin_next(&mut self) {
        if self.state != GroupState::Ready || self.is_being_asked() {
            return;
        }
        if let Some((operation, tag)) = self.asked_for.take() {
            self.begin_operation(operation, tag);
        } else if !self.metadata_failed
            && let Some(change) = self.change_due()
        {
            self.begin_transition(change, None);
        }
    }

    fn begin_operation(&mut self, operation: Operation, tag: u64) {
        match (operation, self.change_for(operation)) {
            (Operation::Close, _) => self.begin_close(tag),
            (Operation::RepairMetadata, _) => self.begin_repair(tag),
            (Operation::Verify { .. } | Operation::StopVerify, _) => self.operate_verify(operation, tag),
            (_, Ok(Some(change))) => match self.check_change(change) {
                Ok(()) => self.begin_transition(change, Some(tag)),
                Err(error) => self.finish_operation(tag, error.status()),
            },
            (_, Err(error)) => self.finish_operation(tag, error.status()),
            (_, Ok(None)) => self.finish_operation(tag, Error::Invalid.status()),
        }
    }

    /// A change that nobody asked for, but that is due.
    fn change_due(&mut self) -> Option<Change> {
        if core::mem::take(&mut self.record_due) {
            return Some(Change::Record);
        }
        if self.is_prepared() {
            return None;
        }
        // Until that is done no intent can be cleared (R78).
        if let Some(lu) = self.next_inheriting() {
            return Some(Change::Distrust(lu));
        }
        if let Some(lu) = self.restoring().filter(|&lu| !self.clone(lu).stalled && self.restore_is_over()) {
            return Some(Change::FinishRestore(lu));
        }
        if let Some(lu) = self.reversing() {
            return self.reverse_due(lu);
        }
        let synchronizing = |state| state == CloneState::Synchronizing;
        self.clones_where(synchronizing).find_map(|lu| self.synchronization_due(lu))
    }
}
