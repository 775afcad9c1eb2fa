#![forbid(unsafe_code)]
//! The Sync Engine: copies extents in the background, from the start of the LU to its end and again, until
//! nothing is left: from the Clone that is restored from to the Source, or from the Source to the Clones that
//! are synchronized, which take turns.
//!
//! Several copies are in flight, and adjoining extents are joined into one. One copy slot is left to the COD
//! Engine (R69). An extent that fails is passed over; a run that fails is tried again extent by extent. When
//! a pass is over and all that is left failed, the engine waits for a resume (R61).

use crate::change::Change;
use crate::clone::CloneState;
use crate::cod_scoreboard::{Copy, CopyEngine};
use crate::error;
use crate::event::{Event, EventKind};
use crate::geometry::{Extent, ExtentRange};
use crate::group::{Group, GroupState, SOURCE};
use crate::knock_out::kept;

impl Group<'_> {
    /// Begins copies, as far as the budget of this poll and the copy slots allow.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_sync_engine(&mut self) {
        if !self.may_sync() {
            return;
        }
        while (self.copy_budget > 0 || self.is_ending_reverse())
            && self.has_sync_slot()
            && !self.must_save_first()
        {
            let begun = match (self.restoring(), self.reversing()) {
                (Some(clone), _) => self.sync_source(clone),
                (None, Some(clone)) => self.sync_mirror(clone, clone, SOURCE),
                (None, None) => self.sync_clones(),
            };
            if !begun {
                return;
            }
        }
    }

    pub(crate) fn may_sync(&self) -> bool {
        self.state == GroupState::Ready
            && (!self.record.paused || !kept!(R38Pause))
            && (!self.is_prepared() || !kept!(R77Copies))
            && self.may_change_source()
            && (!self.gate_closed || self.is_ending_reverse())
    }

    pub(crate) fn has_sync_slot(&self) -> bool {
        let reserved = u32::from(self.scoreboard.capacity() > 1 && self.restoring().is_some() && kept!(R69));
        self.scoreboard.active().wrapping_add(reserved) < self.scoreboard.capacity()
    }

    /// Whether a later poll could begin a background copy.
    pub(crate) fn has_background_work(&self) -> bool {
        if !self.may_sync() {
            return false;
        }
        match self.restoring() {
            Some(clone) => !self.clone(clone).stalled && self.has_need(),
            None => self.clones_where(CloneState::shares_writes).any(|lu| {
                let clone = self.clone(lu);
                !clone.stalled && !clone.delta.bits.is_empty()
            }),
        }
    }

    /// The Clones take turns.
    fn sync_clones(&mut self) -> bool {
        for _ in 0..self.config.clones_max {
            self.sync_turn =
                if self.sync_turn >= self.config.clones_max { 1 } else { self.sync_turn.wrapping_add(1) };
            let lu = self.sync_turn;
            if self.clone(lu).state() == CloneState::Synchronizing && self.sync_mirror(lu, SOURCE, lu) {
                return true;
            }
        }
        false
    }

    /// Copies the next run from the Clone to the Source.
    fn sync_source(&mut self, clone: u32) -> bool {
        if self.clone(clone).stalled || !self.can_note_copy() {
            return false;
        }
        let from = Extent(self.clone(clone).cursor);
        let Some(first) = self.next_source_extent(from) else {
            return self.end_of_pass(clone, SOURCE);
        };
        let wanted = |group: &Self, extent| group.need(extent) && !group.source_is_owned(extent);
        let run = self.join(first, wanted);
        self.begin_sync(clone, clone, SOURCE, run, false);
        true
    }

    /// Whether one more copy can be noted as unflushed, besides those under way.
    pub(crate) fn can_note_copy(&self) -> bool {
        self.protected_restore.unflushed_free() > crate::geometry::index(u64::from(self.scoreboard.active()))
    }

    /// Copies the next run of a Synchronization, either way: D of the Clone says what.
    fn sync_mirror(&mut self, lu: u32, source: u32, to: u32) -> bool {
        if self.clone(lu).stalled {
            return false;
        }
        let mut from = self.sync_from(lu);
        while let Some(extent) = self.clone(lu).delta.bits.next_set(from) {
            if let Some(end) = self.scoreboard.owned_until(to, extent).filter(|_| kept!(R10Mirror)) {
                from = end;
                continue;
            }
            let exclusive = self.collisions.is_exclusive(lu, extent);
            let wanted = |group: &Self, extent| {
                let one = ExtentRange::one(extent);
                group.clone(lu).delta.bits.get(extent)
                    && !group.scoreboard.owns_any(to, one)
                    && !group.collisions.is_exclusive(lu, extent)
            };
            let run = if exclusive { ExtentRange::one(extent) } else { self.join(extent, wanted) };
            self.begin_sync(lu, source, to, run, exclusive);
            return true;
        }
        self.end_of_pass(lu, to)
    }

    /// Where a Synchronization goes on. In a first one what was left behind, as hosts wrote it meanwhile, comes first when
    /// much was copied since: until then no superblock can say how far it is (R73, N21).
    fn sync_from(&self, lu: u32) -> Extent {
        let clone = self.clone(lu);
        if clone.record.full && clone.failed_extents == 0 && kept!(R73Behind) {
            let behind = self.synced_so_far(lu);
            if clone.cursor > behind.saturating_add(self.synced_step()) {
                return Extent(behind);
            }
        }
        Extent(clone.cursor)
    }

    /// As many adjoining extents as one copy may take.
    fn join(&self, first: Extent, wanted: impl Fn(&Self, Extent) -> bool) -> ExtentRange {
        // An extent that is equal is not written because its neighbour is not.
        let single = self.config.skip_equal();
        let most = if single { 1 } else { self.run_max().min(u64::from(self.copy_budget)).max(1) };
        let mut run = ExtentRange::one(first);
        while run.count() < most && run.end.0 < self.geometry().extents() && wanted(self, run.end) {
            run.end = Extent(run.end.0.wrapping_add(1));
        }
        run
    }

    fn begin_sync(&mut self, clone: u32, from: u32, to: u32, run: ExtentRange, exclusive: bool) {
        self.copy_budget = self.copy_budget.saturating_sub(crate::geometry::count32(run.count()));
        self.clone_mut(clone).cursor = run.end.0;
        self.begin_copy(Copy {
            compare: self.compares_before_write(to),
            with: to,
            engine: CopyEngine::Sync,
            from,
            to,
            extents: run,
            exclusive,
            ..Copy::default()
        });
    }

    /// Nothing is left behind the cursor. Returns whether the engine should look again, from the start.
    fn end_of_pass(&mut self, clone: u32, to: u32) -> bool {
        let copying = self.scoreboard.iter().any(|(_, copy)| copy.to == to);
        let left = match self.restoring() {
            Some(_) => self.has_need(),
            None => !self.clone(clone).delta.bits.is_empty(),
        };
        if copying || !left {
            return false;
        }
        // Nothing is noted there but in a restore.
        let unflushed = self.protected_restore.copied.count();
        let waiting = self.clone(clone).delta.bits.count().saturating_sub(unflushed);
        if waiting <= self.clone(clone).failed_extents && kept!(R61Stall) {
            self.stall(clone, error::OK);
            return false;
        }
        let again = self.clone(clone).cursor > 0;
        self.clone_mut(clone).restart_pass();
        again
    }

    /// Extents left the Delta Map of the Clone that is restored from. If none is left, whatever stood in the way was
    /// healed, by a host that wrote over it or by a copy on demand (R61).
    pub(crate) fn note_restored(&mut self) {
        if let Some(lu) = self.restoring().filter(|&lu| self.clone(lu).delta.bits.is_empty()) {
            self.clone_mut(lu).stalled &= !kept!(R61Heal);
        }
    }

    /// The engine waits for a resume.
    pub(crate) fn stall(&mut self, lu: u32, status: i32) {
        self.clone_mut(lu).stalled = true;
        let value = self.clone(lu).delta.bits.count();
        self.raise(Event { kind: EventKind::Stalled, lu: Some(lu), status, value });
    }

    /// A background copy failed. A run is tried again at once, extent by extent; a single one is passed over, and so
    /// counted once in a pass.
    pub(crate) fn sync_failed(&mut self, copy: &Copy) {
        if copy.extents.count() > 1 && kept!(R61Singly) {
            return self.copy_singly(copy, copy.extents);
        }
        self.count_failed(copy);
        self.copy_singly(copy, copy.singly);
    }

    fn count_failed(&mut self, copy: &Copy) {
        let clone = self.clone_mut(copy.clone_lu());
        if clone.failed_extents == 0 || copy.extents.first.0 < clone.first_failed {
            clone.first_failed = copy.extents.first.0;
        }
        clone.failed_extents = clone.failed_extents.wrapping_add(1);
    }

    /// Copies the first of these extents that still wants it, and the others after it: they are of a run that failed.
    /// If that is not possible now, a later pass finds them.
    pub(crate) fn copy_singly(&mut self, copy: &Copy, extents: ExtentRange) {
        let mut rest = extents;
        while !rest.is_empty() {
            let extent = rest.first;
            rest.first = Extent(extent.0.saturating_add(1));
            if self.may_copy_again(copy, extent) {
                let exclusive = self.collisions.is_exclusive(copy.clone_lu(), extent);
                return self.begin_copy(Copy {
                    compare: self.compares_before_write(copy.to),
                    with: copy.to,
                    engine: CopyEngine::Sync,
                    from: copy.from,
                    to: copy.to,
                    extents: ExtentRange::one(extent),
                    singly: rest,
                    exclusive: exclusive && self.restoring().is_none(),
                    ..Copy::default()
                });
            }
        }
    }

    /// Whether an extent of a run that failed is still to be copied, and may be now.
    fn may_copy_again(&self, copy: &Copy, extent: Extent) -> bool {
        let lu = copy.clone_lu();
        if !self.may_sync() || self.clone(lu).stalled || !self.can_copy() {
            return false;
        }
        match (self.restoring(), self.reversing()) {
            (Some(clone), _) => {
                clone == lu && self.need(extent) && !self.source_is_owned(extent) && self.can_note_copy()
            }
            (None, Some(clone)) if clone != lu || copy.to != SOURCE => false,
            (None, None) if self.clone(lu).state() != CloneState::Synchronizing => false,
            _ => {
                self.clone(lu).delta.bits.get(extent)
                    && !self.scoreboard.owns_any(copy.to, ExtentRange::one(extent))
            }
        }
    }

    // ----------------------------------------------------------------- the end

    /// Whether a restore is over: nothing to copy, nothing being copied, every copy durable, no map page
    /// under way, no read from the Clone in place of the Source (R36, R75). Host writes need not be held: they
    /// carry both bits.
    pub(crate) fn restore_is_over(&self) -> bool {
        self.restoring_delta().is_some_and(|delta| delta.is_empty())
            && (self.scoreboard.copying() == 0 || !kept!(R36Copies))
            && (self.overwriting == 0 || !kept!(R36Overwrites))
            && (self.redirected == 0 || !kept!(R75))
            && (self.persistent.is_clean() || !kept!(R36Pages))
            && (!self.persistent.has_later() || !kept!(R72Leave))
    }

    /// What a Synchronization should write down now: that it is finished (R54), or how far it got (R73).
    pub(crate) fn synchronization_due(&self, lu: u32) -> Option<Change> {
        let clone = self.clone(lu);
        if clone.delta.bits.is_empty() {
            let copying = self.scoreboard.iter().any(|(_, copy)| copy.to == lu);
            return (!copying || !kept!(R54Copies)).then_some(Change::Synchronized(lu));
        }
        if !clone.record.full {
            return None;
        }
        let below = self.synced_so_far(lu);
        let far = below > clone.record.synced_below.saturating_add(self.synced_step());
        (far && kept!(R73Below)).then_some(Change::SyncedBelow(lu, below))
    }

    /// A superblock says how far a first Synchronization is whenever it got so much farther.
    fn synced_step(&self) -> u64 {
        (self.geometry().extents() >> 6).max(self.persistent.layout().page_extents())
    }

    /// Every extent below this one was copied.
    pub(crate) fn synced_so_far(&self, lu: u32) -> u64 {
        let next = self.clone(lu).delta.bits.next_set(Extent(0));
        next.map_or(self.geometry().extents(), |extent| extent.0)
    }
}
