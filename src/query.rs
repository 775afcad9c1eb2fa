#![forbid(unsafe_code)]
//! What can be asked of a group.

use bitvec::prelude::{BitSlice, Lsb0};

use crate::change::Change;
use crate::clone::{CloneRecord, CloneState};
use crate::error::Error;
use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange, index};
use crate::group::{Group, GroupState};
use crate::lu::{LuCounters, LuFlags};
use crate::parts;
use crate::statistics::Statistics;
use crate::verify::VerifyInfo;

/// Which map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapKind {
    /// The Delta Map of a Clone.
    Delta,
    /// The Protected Restore Map.
    ProtectedRestore,
    /// The Persistent Delta Map.
    PersistentDelta,
}

/// State of a group: see `clone_group_info`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct GroupInfo {
    pub state: GroupState,
    pub metadata_failed: bool,
    pub paused: bool,
    pub source_invalid: bool,
    pub restoring: u32,
    pub reversing: u32,
    pub extents: u64,
    pub restore_generation: u64,
    pub protected_restore_extents: u64,
    pub persistent_delta_extents: u64,
    pub requests: u32,
    pub cod_queue_depth: u32,
    pub set_id: u64,
    pub prepared: bool,
}

/// State of a Clone: see `clone_group_clone_info`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct CloneInfo {
    pub record: CloneRecord,
    pub stalled: bool,
    pub restorable: bool,
    pub extents_left: u64,
    pub extents_copied: u64,
    pub extents_failed: u64,
    pub first_failed_extent: u64,
    pub extents_to_copy: u64,
    pub copy_time_ns: u64,
    pub extents_skipped: u64,
    pub verify: VerifyInfo,
}

/// What became of the I/O of an LU: see `clone_group_lu_info`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct LuInfo {
    pub flags: Option<LuFlags>,
    pub identity: [u8; 16],
    pub counters: LuCounters,
}

impl Group<'_> {
    /// State of the group.
    pub fn info(&self) -> GroupInfo {
        GroupInfo {
            state: self.state,
            metadata_failed: self.metadata_failed,
            paused: self.record.paused,
            source_invalid: self.record.source_invalid,
            restoring: self.record.restoring,
            reversing: self.record.reversing,
            extents: self.geometry().extents(),
            restore_generation: self.record.restore_generation,
            protected_restore_extents: self.protected_restore.bits.count(),
            persistent_delta_extents: self.persistent.bits.count(),
            requests: self.requests_used(),
            cod_queue_depth: self.queue.depth(&self.requests),
            set_id: self.record.set_id,
            prepared: self.record.prepared,
        }
    }

    /// State of a Clone.
    pub fn clone_info(&self, lu: u32) -> Result<CloneInfo, Error> {
        if !(1..self.config.lus()).contains(&lu) {
            return Err(Error::NoLu);
        }
        let clone = self.clone(lu);
        let own = clone.delta.bits.count();
        // What is yet to be copied onto the Source differs from every other Clone too, as soon as it is copied (R2).
        let restored =
            if clone.state().is_tracked() { self.onto_source_delta().map_or(0, ExtentMap::count) } else { 0 };
        let unproven = clone.unproven(self.geometry().all_extents()).map_or(0, ExtentRange::count);
        let inherited = self.persistent.bits.count().wrapping_add(unproven);
        let inherited = if clone.delta.inherits_intent { inherited } else { 0 };
        let left = own.wrapping_add(restored).wrapping_add(inherited).min(self.geometry().extents());
        let absent = clone.record.state == CloneState::Absent;
        let mirrors = clone.state().shares_writes() && clone.state() != CloneState::Synchronized;
        let copies = parts::QUERIES && (clone.state() == CloneState::Restoring || mirrors);
        Ok(CloneInfo {
            record: clone.record,
            stalled: clone.stalled,
            restorable: self.is_restorable(lu),
            extents_left: if absent { 0 } else { left },
            extents_copied: clone.copied,
            extents_failed: clone.failed_extents,
            first_failed_extent: clone.first_failed,
            extents_to_copy: if copies { clone.copy_total } else { 0 },
            copy_time_ns: if copies {
                self.now_ns.saturating_sub(clone.copy_began_ns)
            } else {
                clone.copy_took_ns
            },
            extents_skipped: clone.skipped,
            verify: self.verify_info(lu),
        })
    }

    /// Whether a restore from this Clone would be accepted, if no operation ran.
    fn is_restorable(&self, lu: u32) -> bool {
        let serves = self.state == GroupState::Ready && !self.record.prepared;
        serves && self.check_change(Change::StartRestore(lu)).is_ok()
    }

    /// What became of the I/O of an LU.
    pub fn lu_info(&self, lu: u32) -> Result<LuInfo, Error> {
        if lu >= self.config.lus() {
            return Err(Error::NoLu);
        }
        let of = self.lu(lu);
        Ok(LuInfo { flags: of.flags, identity: of.identity, counters: of.counters })
    }

    /// Counters since create.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Copies a range of a map into bytes, lowest bit first.
    pub fn read_map(
        &self,
        map: MapKind,
        lu: u32,
        first: u64,
        extents: u64,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let end =
            first.checked_add(extents).filter(|&end| end <= self.geometry().extents()).ok_or(Error::Range)?;
        let bytes = bytes.get_mut(..index(extents.div_ceil(8))).ok_or(Error::Invalid)?;
        let member = (1..self.config.lus()).contains(&lu);
        if map == MapKind::Delta && (!member || self.clone(lu).state() == CloneState::Absent) {
            return Err(Error::NoLu);
        }
        bytes.fill(0);
        let range = ExtentRange::new(Extent(first), Extent(end));
        match map {
            MapKind::ProtectedRestore => export(&self.protected_restore.bits, range, bytes),
            MapKind::PersistentDelta => {
                export(&self.persistent.bits, range, bytes);
                let present = |state| state != CloneState::Absent;
                for lu in self.clones_where(present).filter(|_| self.config.map_per_clone()) {
                    export(&self.clone(lu).delta.bits, range, bytes);
                }
                if self.restoring().is_some() {
                    export(&self.protected_restore.bits, range, bytes);
                }
            }
            MapKind::Delta => {
                let delta = &self.clone(lu).delta;
                export(&delta.bits, range, bytes);
                if delta.inherits_intent {
                    export(&self.persistent.bits, range, bytes);
                    if let Some(unproven) = self.clone(lu).unproven(range) {
                        fill(unproven, range, bytes);
                    }
                }
                if let Some(restored) =
                    self.onto_source_delta().filter(|_| self.clone(lu).state().is_tracked())
                {
                    export(restored, range, bytes);
                }
            }
        }
        Ok(())
    }
}

/// Sets the bits of these extents of the range.
fn fill(extents: ExtentRange, range: ExtentRange, bytes: &mut [u8]) {
    let Ok(bits) = BitSlice::<u8, Lsb0>::try_from_slice_mut(bytes) else { return };
    let from = index(extents.first.0.wrapping_sub(range.first.0));
    let to = index(extents.end.0.wrapping_sub(range.first.0));
    if let Some(run) = bits.get_mut(from..to) {
        run.fill(true);
    }
}

/// Sets the bits that the map has in this range.
fn export(map: &ExtentMap<'_>, range: ExtentRange, bytes: &mut [u8]) {
    let mut rest = range;
    while let Some(run) = map.next_run_in(rest) {
        fill(run, range, bytes);
        rest.first = run.end;
    }
}
