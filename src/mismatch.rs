#![forbid(unsafe_code)]
//! A mismatch: what becomes of an extent that Verify found to differ.

use crate::clone::CloneState;
use crate::error;
use crate::event::{Event, EventKind};
use crate::geometry::{Extent, ExtentRange, count32};
use crate::group::Group;
use crate::knock_out::kept;
use crate::statistics::add;
use crate::verify::Verify;

/// Mismatches that are told of by an event each.
const EVENTS_MAX: u64 = 64;

impl Verify {
    fn note_mismatch(&mut self, extent: Extent) {
        let known = count32(self.mismatches);
        let mut value = extent.0;
        for (number, place) in (0_u32..).zip(self.first_mismatches.iter_mut()) {
            if number >= known {
                *place = value;
                break;
            }
            if value < *place {
                core::mem::swap(place, &mut value);
            }
        }
        self.mismatches = self.mismatches.saturating_add(1);
    }
}

impl Group<'_> {
    /// The extent differs, and no map says so.
    pub(crate) fn mismatched(&mut self, extent: Extent) {
        add(&mut self.statistics.verified_extents, 1);
        add(&mut self.statistics.mismatched_extents, 1);
        self.verify.note_mismatch(extent);
        let Verify { lu, mark, mismatches, .. } = self.verify;
        if mismatches <= EVENTS_MAX {
            self.raise(Event { kind: EventKind::Mismatch, lu: Some(lu), status: error::OK, value: extent.0 });
        }
        if mark {
            self.mark_mismatch(lu, ExtentRange::one(extent));
        }
    }

    /// The extent is copied by the next Synchronization or restore; to a mirrored Clone at once. Durable by group
    /// commit: nobody waits for it. During a restore from this Clone nothing is marked: D would make hosts see the
    /// Clone's data on the Source in place of what they saw before, and may have acted upon.
    fn mark_mismatch(&mut self, lu: u32, extents: ExtentRange) {
        match self.clone(lu).state() {
            state if state.shares_writes() => self.distrust(lu, extents),
            CloneState::Fractured => {
                self.clone(lu).delta.bits.set_range(extents);
            }
            _ => return,
        }
        // As a host write would (R1): after a power loss D is what G says.
        self.sweeper.touch(extents);
        self.persistent.bits.set_range(extents);
        if kept!(R1Mismatch) {
            self.persistent.mark(extents);
        }
    }
}
