#![forbid(unsafe_code)]
//! Verify: compares a Clone with the Source, online, wherever the maps say that they are equal: outside the Delta
//! Map of the Clone, and during a restore outside what is still to be copied and outside the Protected Restore Map.
//!
//! ```text
//!   Idle --> Running --> Ending(status) --> VERIFIED, Idle
//!               |              ^    reads under way finish
//!               `--------------'
//!               all compared; stopped; state changed; restore begun; group closed
//! ```
//!
//! Runs of extents are claimed on the COD Scoreboard as copies that write nothing, and are compared as
//! `compare.rs` does it. What differs, or could not be read, or met a host write, is compared again, each extent
//! alone, in the same slot:
//!
//! ```text
//!   run --> equal ----------------------------------------------> release
//!     `---> extents alone --+--> judged, or not comparable any more --> next one, or release
//!                 ^         |
//!                 '---------'  met a host write; after `recopies_max` times with writes held (R46)
//! ```
//!
//! No false mismatch: an extent is judged only if no host write to the Source or to the Clone was under way at any
//! time from the submission of the first read to the end of the comparison (R44, in both halves: what is under way
//! at the beginning, and what begins later), no copy was claimed meanwhile, and the maps still say that it is equal.
//! A mirrored write is under way until its last leg is over.

use crate::clone::CloneState;
use crate::cod_scoreboard::{Copy, CopyEngine, CopyStage, NO_LU, RUN_EXTENTS_MAX, run_bits};
use crate::error::{self, Error};
use crate::event::{Event, EventKind};
use crate::extent_map::ExtentMap;
use crate::geometry::{BlockRange, Extent, ExtentRange, count32};
use crate::group::{Group, GroupState, SOURCE};
use crate::knock_out::kept;
use crate::operation::Operation;
use crate::parts;
use crate::statistics::add;
use crate::transition::SLICE_EXTENTS;

/// Mismatches that are kept by number.
const FIRST_MAX: usize = 4;
/// Steps of one search for an extent to compare, where the maps take turns in standing in the way.
const SEARCH_MAX: u32 = 64;
/// Extents that are passed over for nothing: a longer way counts as a slice of the poll.
const NEAR_EXTENTS: u64 = 1 << 10;

/// How far a Verify is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VerifyStage {
    /// None runs.
    #[default]
    Idle,
    /// Extents are compared.
    Running,
    /// What is under way finishes; then this is its status.
    Ending(i32),
}

/// The present or last Verify.
#[derive(Clone, Copy, Default)]
pub struct Verify {
    stage: VerifyStage,
    /// The Clone.
    pub(crate) lu: u32,
    /// What differs is to be copied.
    pub(crate) mark: bool,
    /// Extents from here on were not looked at yet.
    cursor: u64,
    /// The state of the Clone at the beginning.
    state: CloneState,
    /// Counts restores: one that begins ends it.
    restore_generation: u64,
    pub(crate) mismatches: u64,
    /// The lowest ones, ascending.
    pub(crate) first_mismatches: [u64; FIRST_MAX],
    /// Extents that could not be read.
    failed: u64,
    /// How the first read failed.
    failed_status: i32,
}

/// What is known of the Verify of a Clone.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct VerifyInfo {
    pub verifying: bool,
    pub extents_left: u64,
    pub extents_failed: u64,
    pub mismatches: u64,
    pub first_mismatches: [u64; FIRST_MAX],
}

/// What became of the extents that were compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Equal,
    Different,
    Unread(i32),
}

impl Verify {
    /// How far it is: to see whether it moves.
    pub fn position(&self) -> (u8, u64) {
        match self.stage {
            _ if !parts::VERIFY => (0, 0),
            VerifyStage::Idle => (0, self.cursor),
            VerifyStage::Running => (1, self.cursor),
            VerifyStage::Ending(_) => (2, self.cursor),
        }
    }
}

impl Group<'_> {
    // -------------------------------------------------------------- operations

    /// Whether a Verify, or its end, may be asked for now.
    pub(crate) fn check_verify(&self, operation: Operation) -> Result<(), Error> {
        if !parts::VERIFY {
            // Refused by now.
            return Ok(());
        }
        let (lu, mark) = match operation {
            Operation::Verify { lu, mark } => (lu, mark),
            Operation::StopVerify if self.verify.stage == VerifyStage::Idle => return Err(Error::State),
            _ => return Ok(()),
        };
        if !(1..self.config.lus()).contains(&lu) {
            return Err(Error::NoLu);
        }
        if self.verify.stage != VerifyStage::Idle {
            return Err(Error::Busy);
        }
        if self.half_buffer_blocks() == 0 {
            return Err(Error::NotSupported);
        }
        if self.record.source_invalid {
            return Err(Error::SourceInvalid);
        }
        match self.clone(lu).state() {
            CloneState::Absent | CloneState::OutOfSync => Err(Error::State),
            _ if mark && self.metadata_failed => Err(Error::MetadataFailed),
            _ => Ok(()),
        }
    }

    pub(crate) fn operate_verify(&mut self, operation: Operation, tag: u64) {
        if !parts::VERIFY {
            return self.finish_operation(tag, Error::NotSupported.status());
        }
        let status = match (operation, self.check_verify(operation)) {
            (Operation::Verify { lu, mark }, Ok(())) => {
                self.verify = Verify {
                    stage: VerifyStage::Running,
                    lu,
                    mark,
                    state: self.clone(lu).state(),
                    restore_generation: self.record.restore_generation,
                    ..Verify::default()
                };
                error::OK
            }
            (Operation::Verify { .. }, Err(error)) => error.status(),
            _ => {
                // One that ended meanwhile needs no end.
                self.cancel_verify();
                error::OK
            }
        };
        self.finish_operation(tag, status);
    }

    fn cancel_verify(&mut self) {
        if self.verify.stage == VerifyStage::Running {
            self.verify.stage = VerifyStage::Ending(Error::Canceled.status());
        }
    }

    /// What can be told of the Verify of a Clone.
    pub(crate) fn verify_info(&self, lu: u32) -> VerifyInfo {
        let verify = &self.verify;
        if !parts::VERIFY || verify.lu != lu {
            return VerifyInfo::default();
        }
        let verifying = verify.stage != VerifyStage::Idle;
        let behind = self.geometry().extents().saturating_sub(verify.cursor);
        let runs = self.scoreboard.iter().filter(|(_, copy)| copy.engine == CopyEngine::Verify);
        let left = runs.fold(behind, |left, (_, copy)| {
            let alone = u64::from(copy.alone.count_ones());
            left.saturating_add(if alone == 0 { copy.run.count() } else { alone })
        });
        VerifyInfo {
            verifying,
            extents_left: if verify.stage == VerifyStage::Running { left } else { 0 },
            extents_failed: verify.failed,
            mismatches: verify.mismatches,
            first_mismatches: verify.first_mismatches,
        }
    }

    // ------------------------------------------------------------------ engine

    /// Begins to compare, as far as copies leave budget and slots, and ends.
    pub(crate) fn advance_verify(&mut self) {
        if !parts::VERIFY {
            return;
        }
        if self.verify.stage == VerifyStage::Running && !self.may_verify() {
            self.cancel_verify();
        }
        if self.verify.stage == VerifyStage::Running {
            self.begin_verify_runs();
            let over = self.verify.cursor >= self.geometry().extents() && self.scoreboard.verifying() == 0;
            if over {
                self.verify.stage = VerifyStage::Ending(self.verify.failed_status);
            }
        }
        if let VerifyStage::Ending(status) = self.verify.stage
            && self.scoreboard.verifying() == 0
            && self.has_event_room()
        {
            self.verify.stage = VerifyStage::Idle;
            let Verify { lu, mismatches, .. } = self.verify;
            self.raise(Event { kind: EventKind::Verified, lu: Some(lu), status, value: mismatches });
        }
    }

    /// Whether everything is still as it was when the Verify began. A mirrored Clone stays one when it becomes
    /// Synchronized, and when a mismatch is marked.
    fn may_verify(&self) -> bool {
        let (was, is) = (self.verify.state, self.clone(self.verify.lu).state());
        self.verify.stage == VerifyStage::Running
            && self.state == GroupState::Ready
            && (was == is || was.is_mirrored() && is.is_mirrored())
            && self.record.restore_generation == self.verify.restore_generation
    }

    /// Whether a later poll could begin to compare something.
    pub(crate) fn has_verify_work(&self) -> bool {
        parts::VERIFY
            && self.may_verify()
            && self.may_sync()
            && !self.gate_closed
            && self.verify.cursor < self.geometry().extents()
    }

    fn begin_verify_runs(&mut self) {
        if !self.may_sync() || self.gate_closed {
            return;
        }
        while self.copy_budget > 0 && self.has_sync_slot() {
            let Some(first) = self.next_comparable() else {
                return;
            };
            let half = self.half_buffer_blocks() >> self.config.geometry.extent_blocks().trailing_zeros();
            let most = half.clamp(1, RUN_EXTENTS_MAX).min(u64::from(self.copy_budget));
            let mut run = ExtentRange::one(first);
            while run.count() < most && self.is_comparable(run.end) {
                run.end = Extent(run.end.0.saturating_add(1));
            }
            self.copy_budget = self.copy_budget.saturating_sub(count32(run.count()));
            self.verify.cursor = run.end.0;
            let copy = Copy {
                engine: CopyEngine::Verify,
                from: SOURCE,
                to: NO_LU,
                with: self.verify.lu,
                compare: true,
                run,
                alone: u64::from(run.count() == 1),
                ..Copy::default()
            };
            let Some(number) = self.scoreboard.claim(copy) else {
                return;
            };
            self.compare_extents(number, run);
        }
    }

    /// Whether the maps say that Source and Clone are equal there.
    fn is_comparable(&self, extent: Extent) -> bool {
        let restored = |delta: &ExtentMap<'_>| delta.get(extent) || self.protected_restore.bits.get(extent);
        extent.0 < self.geometry().extents()
            && !self.clone(self.verify.lu).delta.bits.get(extent)
            && !self.intents_to_inherit().is_some_and(|intents| intents.get(extent))
            && !self.restoring_delta().filter(|_| kept!(R44Verify)).is_some_and(restored)
    }

    /// The intents, while the Clone is yet to take them over: wherever one is, it may differ (N10).
    fn intents_to_inherit(&self) -> Option<&ExtentMap<'_>> {
        let inherits = self.clone(self.verify.lu).delta.inherits_intent;
        inherits.then_some(&self.persistent.bits)
    }

    /// The next extent to compare; the cursor stands on it. `None` if there is none, or if it is for the next poll to go
    /// on: long stretches that are not comparable are walked a slice at a time.
    fn next_comparable(&mut self) -> Option<Extent> {
        let end = self.geometry().extents();
        for _ in 0..SEARCH_MAX {
            let from = Extent(self.verify.cursor);
            if from.0 >= end || !self.may_walk(0) {
                return None;
            }
            let slice = Extent(from.0.saturating_add(SLICE_EXTENTS).min(end));
            let clear_in =
                |map: &ExtentMap<'_>, from| map.next_clear_in(ExtentRange::new(from, slice)).unwrap_or(slice);
            let mut at = clear_in(&self.clone(self.verify.lu).delta.bits, from);
            if let Some(intents) = self.intents_to_inherit() {
                at = clear_in(intents, at);
            }
            if let Some(delta) = self.restoring_delta() {
                at = clear_in(delta, at);
                at = clear_in(&self.protected_restore.bits, at);
            }
            self.verify.cursor = at.0;
            if at.0.saturating_sub(from.0) > NEAR_EXTENTS {
                self.may_walk(1);
            }
            if self.is_comparable(at) {
                return Some(at);
            }
        }
        None
    }

    /// Begins to compare these extents of a run.
    fn compare_extents(&mut self, number: u16, extents: ExtentRange) {
        let blocks = self.geometry().blocks_of(extents);
        let recopies_max = self.config.recopies_max;
        let copy = &mut self.scoreboard.copies[number];
        copy.stage = CopyStage::Draining;
        copy.extents = extents;
        copy.piece = BlockRange { first: blocks.first, end: blocks.first };
        copy.end = blocks.end;
        copy.exclusive = copy.collisions >= recopies_max;
        self.begin_pieces(number);
    }

    // ------------------------------------------------------------------ results

    /// Whether a run that waits for writes under way should go on waiting. One that should not is released.
    pub(crate) fn is_worth_waiting(&mut self, number: u16) -> bool {
        let copy = self.scoreboard.copies[number];
        if !parts::VERIFY
            || copy.stage != CopyStage::Draining
            || self.may_verify() && self.is_comparable(copy.extents.first)
        {
            return true;
        }
        self.next_alone(number);
        false
    }

    /// A read of a run failed.
    pub(crate) fn verify_read_failed(&mut self, number: u16, status: i32) {
        if !parts::VERIFY {
            return;
        }
        self.extents_over(number, Outcome::Unread(status));
    }

    /// A piece was compared.
    pub(crate) fn verify_compared(&mut self, number: u16, equal: bool) {
        let copy = self.scoreboard.copies[number];
        if equal && copy.piece.end < copy.end && self.may_verify() {
            return self.next_piece(number);
        }
        self.extents_over(number, if equal { Outcome::Equal } else { Outcome::Different });
    }

    fn extents_over(&mut self, number: u16, outcome: Outcome) {
        let copy = self.scoreboard.copies[number];
        if !self.may_verify() {
            return self.release_verify(number);
        }
        if copy.alone == 0 {
            let all = run_bits(copy.run, copy.extents);
            let alone = if outcome == Outcome::Equal { copy.collided } else { all };
            self.scoreboard.copies[number].alone = alone;
            let equal = copy.run.count().saturating_sub(u64::from(alone.count_ones()));
            add(&mut self.statistics.verified_extents, equal);
        } else {
            self.alone_over(number, outcome);
        }
        self.next_alone(number);
    }

    /// An extent was compared alone.
    fn alone_over(&mut self, number: u16, outcome: Outcome) {
        let copy = self.scoreboard.copies[number];
        let extent = copy.extents.first;
        if copy.collided != 0 && self.is_comparable(extent) {
            self.scoreboard.copies[number].collisions = copy.collisions.saturating_add(1);
            return;
        }
        self.scoreboard.copies[number].alone &= !run_bits(copy.run, copy.extents);
        self.scoreboard.copies[number].collisions = 0;
        if !self.is_comparable(extent) {
            return;
        }
        match outcome {
            Outcome::Equal => add(&mut self.statistics.verified_extents, 1),
            Outcome::Different => self.mismatched(extent),
            Outcome::Unread(status) => {
                self.verify.failed = self.verify.failed.saturating_add(1);
                if self.verify.failed_status == error::OK {
                    self.verify.failed_status = status;
                }
            }
        }
    }

    /// Goes on with the next extent that is compared alone, or releases the run.
    fn next_alone(&mut self, number: u16) {
        if !self.may_verify() {
            return self.release_verify(number);
        }
        loop {
            let Copy { run, alone, .. } = self.scoreboard.copies[number];
            if alone == 0 {
                return self.release_verify(number);
            }
            let extent = Extent(run.first.0.saturating_add(u64::from(alone.trailing_zeros())));
            if self.is_comparable(extent) {
                return self.compare_extents(number, ExtentRange::one(extent));
            }
            let copy = &mut self.scoreboard.copies[number];
            copy.alone = alone & alone.wrapping_sub(1);
            copy.collisions = 0;
        }
    }

    fn release_verify(&mut self, number: u16) {
        self.scoreboard.release(number);
        self.queue.changed = true;
    }
}
