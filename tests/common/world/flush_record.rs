//! What became of the flushes of an LU, and what host flushes have to do with them (R22, R24).

use ::clone_group::ffi::types::*;

use super::{Inner, World};

/// The flushes of an LU, as its controller saw them.
#[derive(Clone, Copy, Default, Debug)]
pub struct FlushRecord {
    /// When the last one that is over was submitted, or when one failed: whoever asked for one before that knows all that
    /// a flush can tell.
    pub(super) told: u64,
    /// When the last one that worked was submitted.
    pub(super) worked: u64,
    /// When one failed, if no host flush has failed since (R24).
    pub(super) owed: Option<u64>,
}

impl Inner {
    /// A flush of the LU that was submitted then is over.
    pub(super) fn flush_is_over(&mut self, lu: usize, submitted: u64) {
        let record = &mut self.flush_records[lu];
        record.told = record.told.max(submitted);
        record.worked = record.worked.max(submitted);
    }

    /// A flush of the LU failed.
    pub(super) fn flush_failed(&mut self, lu: usize) {
        let counts = lu != 0 || self.reversing == 0;
        let owed = counts && self.devices[lu].volatile && !self.profile.host_durable;
        let now = self.history.tick();
        let record = &mut self.flush_records[lu];
        let owed = record.owed.or(owed.then_some(now));
        *record = FlushRecord { told: now, owed, ..*record };
    }

    /// A host hears of a flush that failed.
    pub(super) fn host_flush_failed(&mut self, lu: usize) {
        let lu = self.authority(lu);
        self.flush_records[lu].owed = None;
    }
}

impl World {
    /// A host flush that worked covers every LU that has what hosts wrote (R22), and no flush failed before it of which no
    /// host has heard: what that one lost, this one does not bring back (R24).
    pub(super) fn check_host_flush(&self, tag: u64, status: i32) {
        let inner = self.inner.borrow();
        let Some(op) = inner.hosts.get(&tag) else { return };
        let flushed = op.operation == CLONE_GROUP_IO_FLUSH && status == CLONE_GROUP_OK;
        if !flushed || inner.profile.host_durable || !inner.profile.volatile {
            return;
        }
        let (lu, started, clones) = (op.lu, op.started, inner.profile.clones);
        let authority = inner.authority(lu);
        // One that was covered before is done, though the word of it may be on its way still.
        let hears = |failed: u64| started > failed || op.excuse.lost;
        assert!(
            !inner.flush_records[authority].owed.is_some_and(hears),
            "a flush of LU {authority} failed, and the next host flush did not say so (R24)"
        );
        drop(inner);
        let shares = |clone: usize| {
            let state = self.clone_info(clone).state;
            lu == 0
                && matches!(
                    state,
                    CLONE_GROUP_CLONE_SYNCHRONIZED
                        | CLONE_GROUP_CLONE_SYNCHRONIZING
                        | CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING
                )
        };
        for covered in (0..=clones).filter(|&other| other == lu || other > 0 && shares(other)) {
            let told = self.inner.borrow().flush_records[covered].told;
            assert!(told > started, "a host flush is over, and LU {covered} was not flushed for it (R22)");
        }
    }
}
