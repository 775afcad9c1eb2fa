#![forbid(unsafe_code)]
//! A set: several groups that change their state at one point in time, also across a crash (R77).
//!
//! ```text
//!   of the set:     Unused --begin--> Asking --run--> Open --all voted--> Committed
//!                      ^                 |              `---one failed--> Failed
//!                      `----withdraw-----'
//!
//!   of a member:    ... Flushing --> Declaring --> Voting --> Committing --> applied, done
//!                         |           superblock:    |
//!                         |           prepared       `--> Releasing --> undone, done with an error
//!                         `--> undone                      superblock: as before
//! ```
//!
//! A member's gate closes before it votes and opens after its own superblock, whichever that is; nobody commits
//! before all have voted. So there is a moment at which all gates are closed and everything is drained: no Clone has a
//! write without its predecessors in the other groups. `Committed` and `Failed` exclude each other in one word, so
//! after a crash either every superblock says prepared or committed, or none says committed.

use crate::atomic::{AtomicU32, Ordering};
use crate::change::Change;
use crate::clone::{CloneRecord, CloneState};
use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::geometry::ExtentRange;
use crate::group::Group;
use crate::knock_out::kept;
use crate::metadata_writer::MetadataBuffers;
use crate::operation::{Activity, Operation};
use crate::parts;
use crate::superblock::GroupRecord;
use crate::transition::{Transition, TransitionStage};

/// Groups that may be in one set.
pub const MEMBERS_MAX: u32 = 1023;

const VOTE: u32 = 1 << 10;
const ASKING: u32 = 1 << 29;
const OPEN: u32 = 1 << 30;
const FAILED: u32 = 1 << 31;

/// How a set stands: members in bits 0 to 9, votes in bits 10 to 19, and what it is above. All members share it.
#[derive(Default)]
#[repr(transparent)]
pub struct Votes {
    word: AtomicU32,
}

/// How a set stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ballot {
    /// No call has used it.
    Unused,
    /// A call is asking the groups.
    Asking,
    /// Not all have voted.
    Open,
    /// All have voted: everyone commits.
    Committed,
    /// One failed: nobody commits.
    Failed,
}

fn ballot(word: u32) -> Ballot {
    let members = word & MEMBERS_MAX;
    let votes = word.wrapping_shr(10) & MEMBERS_MAX;
    match word {
        0 => Ballot::Unused,
        _ if word & FAILED != 0 => Ballot::Failed,
        _ if word & ASKING != 0 => Ballot::Asking,
        _ if votes >= members || votes > 0 && !kept!(R77Votes) => Ballot::Committed,
        _ => Ballot::Open,
    }
}

impl Votes {
    /// How the set stands.
    pub fn ballot(&self) -> Ballot {
        ballot(self.word.load(Ordering::Acquire))
    }

    /// A call begins to ask so many groups. `false` if the set was used before.
    pub fn begin(&self, members: u32) -> bool {
        let word = ASKING | members & MEMBERS_MAX;
        self.word.compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Every group was asked and agreed: they may begin.
    pub fn run(&self) {
        self.word.fetch_xor(ASKING | OPEN, Ordering::AcqRel);
    }

    /// A group refused, and no group has the set any more: it may be used again.
    pub fn withdraw(&self) {
        self.word.store(0, Ordering::Release);
    }

    /// One member is prepared. A vote in a set that failed changes nothing.
    pub fn vote(&self) {
        self.change(Ballot::Open, |word| word.wrapping_add(VOTE));
    }

    /// One member gives up. Returns whether the set has failed: once all have voted it cannot any more.
    pub fn fail(&self) -> bool {
        self.change(Ballot::Open, |word| word | FAILED) == Ballot::Failed
    }

    /// Changes the word while the set stands so, and returns how it stands then.
    fn change(&self, while_it_is: Ballot, change: impl Fn(u32) -> u32) -> Ballot {
        let changed = |word| (ballot(word) == while_it_is || !kept!(R77Decided)).then(|| change(word));
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed);
        self.ballot()
    }
}

/// What the superblock says will become of a Clone if the set commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prepared {
    /// It is fractured.
    Fracture,
    /// The Source is restored from it.
    Restore,
}

/// A group's part in a set.
#[derive(Clone, Copy)]
pub struct Membership {
    votes: &'static Votes,
    /// Names the set in superblocks.
    id: u64,
    /// What this group does.
    change: Change,
}

impl Membership {
    fn is_of(&self, votes: &'static Votes) -> bool {
        core::ptr::eq(self.votes, votes)
    }
}

impl Group<'_> {
    // --------------------------------------------------------------- the call

    /// As [`Group::operate`], as a member of a set. Nothing begins before the set runs.
    pub fn ask_member(
        &mut self,
        operation: Operation,
        label: &[u8; 64],
        tag: u64,
        votes: &'static Votes,
        id: u64,
    ) -> Result<(), Error> {
        parts::needs(parts::SETS)?;
        if self.membership().is_some_and(|member| member.is_of(votes)) || id == self.record.set_id {
            return Err(Error::Invalid);
        }
        self.operate(operation, label, tag)?;
        match self.change_for(operation)? {
            Some(change) => self.membership = Some(Membership { votes, id, change }),
            None => self.asked_for = None,
        }
        Ok(())
    }

    /// Another group refused: as if this one had never been asked.
    pub fn take_member_back(&mut self, votes: &'static Votes) {
        if self.membership().is_some_and(|member| member.is_of(votes)) {
            self.membership = None;
            self.asked_for = None;
        }
    }

    /// Whether the call that asked this group is still asking others.
    pub(crate) fn is_being_asked(&self) -> bool {
        self.ballot() == Some(Ballot::Asking)
    }

    fn ballot(&self) -> Option<Ballot> {
        self.membership().map(|member| member.votes.ballot())
    }

    fn membership(&self) -> Option<Membership> {
        self.membership.filter(|_| parts::SETS)
    }

    /// Whether the group serves nobody because it is prepared for a set whose outcome it does not know.
    pub(crate) fn is_prepared(&self) -> bool {
        parts::SETS && self.record.prepared
    }

    /// Whether only another group can end what is under way: nothing of this one tells when to poll.
    pub(crate) fn waits_for_members(&self) -> bool {
        parts::SETS
            && matches!(
                self.activity,
                Activity::Transition(Transition { stage: TransitionStage::Voting, .. })
            )
    }

    // --------------------------------------------------------- the transition

    /// Everything is drained and flushed. Alone a group commits; a member says that it is prepared, first.
    pub(crate) fn commit_or_declare(
        &mut self,
        change: Change,
        buffers: &mut dyn MetadataBuffers,
    ) -> TransitionStage {
        let (written, stage) = match (self.membership(), change) {
            (Some(_), _) if !kept!(R77Prepare) => (change, TransitionStage::Committing),
            (Some(_), Change::Fracture(lu)) => {
                (Change::Prepare(Prepared::Fracture, lu), TransitionStage::Declaring)
            }
            (Some(_), Change::StartRestore(lu)) => {
                (Change::Prepare(Prepared::Restore, lu), TransitionStage::Declaring)
            }
            _ => (change, TransitionStage::Committing),
        };
        self.begin_commit(written, buffers);
        stage
    }

    /// A member that is not prepared yet need not go on when the set has failed.
    pub(crate) fn check_set(&self, transition: &Transition) -> Result<(), Error> {
        if !parts::SETS {
            return Ok(());
        }
        let declared = matches!(
            transition.stage,
            TransitionStage::Declaring
                | TransitionStage::Voting
                | TransitionStage::Releasing(_)
                | TransitionStage::Committing
        );
        let failed = transition.tag.is_some() && self.ballot() == Some(Ballot::Failed);
        if failed && !declared { Err(Error::Canceled) } else { Ok(()) }
    }

    /// The superblock that says prepared is written: that is the vote.
    pub(crate) fn declare(&mut self, buffers: &mut dyn MetadataBuffers) -> Result<TransitionStage, Error> {
        parts::needs(parts::SETS)?;
        let Some(status) = self.writer.take_commit() else {
            return Ok(TransitionStage::Declaring);
        };
        // What the area says is unknown, as after any superblock (R33). The end of the operation fails the set.
        error::check(status)?;
        if self.metadata_failed {
            // The other slot could not be written. Better nobody changes than one who may not be able to say so.
            return Ok(self.release(self.metadata_status, buffers));
        }
        if let Some(member) = self.membership() {
            member.votes.vote();
        }
        Ok(TransitionStage::Voting)
    }

    /// Waits for the votes of the others. The gate stays closed meanwhile.
    pub(crate) fn await_votes(
        &mut self,
        change: Change,
        buffers: &mut dyn MetadataBuffers,
    ) -> TransitionStage {
        // Nobody waits without this part.
        let ballot = if parts::SETS { self.ballot() } else { None };
        match ballot {
            Some(Ballot::Committed) => {
                self.begin_commit(change, buffers);
                TransitionStage::Committing
            }
            Some(Ballot::Failed) => self.release(Error::Canceled.status(), buffers),
            _ => TransitionStage::Voting,
        }
    }

    /// Takes back that the group is prepared. Memory never said so.
    fn release(&mut self, status: i32, buffers: &mut dyn MetadataBuffers) -> TransitionStage {
        if let Some(member) = self.membership() {
            member.votes.fail();
        }
        self.begin_commit(Change::Record, buffers);
        TransitionStage::Releasing(status)
    }

    /// That is durable, so the gate may open; or its result is unknown, and host writes fail from now on (R33).
    pub(crate) fn released(&mut self, status: i32) -> Result<TransitionStage, Error> {
        parts::needs(parts::SETS)?;
        match self.writer.take_commit() {
            None => Ok(TransitionStage::Releasing(status)),
            Some(error::OK) => Err(Error::from_status(status)),
            Some(unknown) => Err(Error::from_status(unknown)),
        }
    }

    /// The operation is over, as far as this group is concerned, and so is its part in the set.
    pub(crate) fn leave_set(&mut self, status: i32) {
        let Some(member) = self.membership() else {
            return;
        };
        if status != error::OK && !member.votes.fail() && kept!(R77Failed) {
            // All have voted, so the set is committed, but this group could not write that down. It stays prepared,
            // as after a crash, until the controller resolves it: the others say committed.
            self.stay_prepared(member.change);
        }
        self.membership = None;
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn stay_prepared(&mut self, change: Change) {
        let prepare = match change {
            Change::StartRestore(lu) => Change::Prepare(Prepared::Restore, lu),
            Change::Fracture(lu) => Change::Prepare(Prepared::Fracture, lu),
            _ => return,
        };
        let record = self.group_after(prepare);
        for lu in 1..self.config.lus() {
            self.clone_mut(lu).record = self.clone_after(prepare, lu);
        }
        self.record = record;
        self.tell_prepared();
    }

    /// Aborts a member that waits: that fails the set, unless it is decided. `None` if this is not about a member, or
    /// one that did not declare itself prepared yet (R76).
    pub(crate) fn abort_member(&mut self, tag: u64) -> Option<bool> {
        let member = self.membership()?;
        let asked = self.asked_for.is_some_and(|(_, asked)| asked == tag);
        match (member.votes.ballot(), self.activity) {
            // The call that asks has not returned: there is no such operation yet.
            (Ballot::Asking, _) => Some(false),
            (_, Activity::Transition(transition)) if transition.tag == Some(tag) => {
                let failed = member.votes.fail();
                let waits = self.check_set(&transition).is_ok();
                (waits || !failed).then_some(failed)
            }
            _ if asked => {
                member.votes.fail();
                None
            }
            _ => None,
        }
    }

    // ---------------------------------------------------------- the superblock

    /// What the change makes of the set in the superblock.
    pub(crate) fn set_after(&self, change: Change, after: GroupRecord) -> GroupRecord {
        if !parts::SETS {
            return after;
        }
        let id = self.membership().map_or(after.set_id, |member| member.id);
        match change {
            Change::Prepare(..) => GroupRecord { set_id: id, prepared: true, ..after },
            Change::Fracture(_) | Change::StartRestore(_) => {
                GroupRecord { set_id: id, prepared: false, ..after }
            }
            Change::Release => GroupRecord { set_id: 0, prepared: false, ..after },
            _ => after,
        }
    }

    /// The same for the record of a Clone.
    pub(crate) fn clone_set_after(&self, change: Change, lu: u32, after: CloneRecord) -> CloneRecord {
        if !parts::SETS {
            return after;
        }
        let now = self.clone(lu).record;
        let unlabelled = [0; 64];
        match change {
            Change::Prepare(prepared, clone) if clone == lu => {
                let label = if prepared == Prepared::Fracture { self.label } else { now.label };
                CloneRecord { prepared: Some(prepared), label, ..after }
            }
            // It will be fractured along with the start of the restore (R2), and is flushed as well.
            Change::Prepare(Prepared::Restore, _)
                if now.state == CloneState::Synchronized && self.clone(lu).delta.is_empty() =>
            {
                CloneRecord { prepared: Some(Prepared::Fracture), label: unlabelled, ..after }
            }
            Change::Fracture(_) if now.prepared.is_some() => {
                CloneRecord { prepared: None, label: now.label, ..after }
            }
            Change::Fracture(_) | Change::StartRestore(_) => CloneRecord { prepared: None, ..after },
            // A label belongs to a fracture, and this one never was.
            Change::Release if now.prepared == Some(Prepared::Fracture) => {
                CloneRecord { prepared: None, label: unlabelled, ..after }
            }
            Change::Release => CloneRecord { prepared: None, ..after },
            _ => after,
        }
    }

    // ------------------------------------------------------------ after a crash

    /// What a prepared group does if the set commits. `None` if it is not prepared.
    pub(crate) fn prepared_change(&self) -> Option<Change> {
        if !parts::SETS {
            return None;
        }
        let with = |prepared| {
            let mut clones = 1..self.config.lus();
            clones.find(|&lu| self.clone(lu).record.prepared == Some(prepared))
        };
        let restore = with(Prepared::Restore).map(Change::StartRestore);
        let change = restore.or_else(|| with(Prepared::Fracture).map(Change::Fracture));
        change.filter(|_| self.record.prepared)
    }

    /// A superblock that was read says so, and who, or neither.
    pub(crate) fn check_prepared(&self) -> Result<(), Error> {
        let mut clones = self.clones.iter();
        let named = clones.any(|(_, clone)| clone.record.prepared.is_some());
        if !parts::SETS {
            // Nobody here could resolve it.
            let prepared = named || self.record.prepared;
            return if prepared { Err(Error::MetadataVersion) } else { Ok(()) };
        }
        let sensible = named == self.record.prepared && (!named || self.record.set_id != 0);
        let mut clones = self.clones.iter();
        if sensible && clones.all(|(_, clone)| clone.record.may_be_prepared()) {
            Ok(())
        } else {
            Err(Error::MetadataDamaged)
        }
    }

    /// A Clone that is prepared to be fractured equals the Source: when the superblock was written, all hosts were held,
    /// its Delta Map was empty, and both were flushed; no write reached them since (R33). Intents of it that are
    /// still in G are stale; others need them. To take them for differences would lose the point in time (R58).
    pub(crate) fn forget_stale_intents(&mut self, slice: ExtentRange) {
        if !parts::SETS {
            return;
        }
        let mut stale: u64 = 0;
        for (_, clone) in self.clones.iter() {
            if clone.record.prepared == Some(Prepared::Fracture) && kept!(R77Stale) {
                stale |= clone.delta.bits.clear_range(slice);
            }
        }
        if stale != 0 {
            // Its own column has them still: a close must write it, or the next Recovery would take them (R72).
            self.save_later(slice);
        }
    }

    pub(crate) fn tell_prepared(&mut self) {
        let lu = match self.prepared_change() {
            Some(Change::Fracture(lu) | Change::StartRestore(lu)) => Some(lu),
            _ => return,
        };
        self.raise(Event { kind: EventKind::Prepared, lu, status: error::OK, value: self.record.set_id });
    }

    /// The outcome of the set, as the controller found it.
    pub(crate) fn resolution(&self, commit: bool) -> Result<Option<Change>, Error> {
        parts::needs(parts::SETS)?;
        let change = self.prepared_change().ok_or(Error::State)?;
        Ok(Some(if commit { change } else { Change::Release }))
    }

    /// Before a change is applied: does it resolve the set?
    pub(crate) fn note_resolution(&mut self, change: Change) {
        let committed = matches!(change, Change::Fracture(_) | Change::StartRestore(_));
        if self.is_prepared() && (committed || change == Change::Release) {
            let value = u64::from(committed);
            self.raise(Event { kind: EventKind::SetResolved, value, ..Event::default() });
        }
    }

    /// A prepared group does nothing but what resolves it.
    pub(crate) fn check_unresolved(&self, operation: Operation) -> Result<(), Error> {
        let allowed =
            matches!(operation, Operation::Close | Operation::RepairMetadata | Operation::ResolveSet { .. });
        if self.is_prepared() && !allowed && kept!(R77Unresolved) { Err(Error::Prepared) } else { Ok(()) }
    }
}
