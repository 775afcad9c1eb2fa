//! Operations that flush LUs before they are done.

use ::clone_group::ffi::types::*;

use super::Inner;

/// An operation that somebody asked for, and the LUs that it flushes before it is done.
#[derive(Clone, Debug)]
pub struct FlushedOperation {
    tag: u64,
    asked: u64,
    lus: Vec<usize>,
}

impl Inner {
    /// Such an operation was asked for.
    pub fn flushes_before_done(&mut self, tag: u64, lus: Vec<usize>) {
        let asked = self.history.tick();
        self.flushed_operation = Some(FlushedOperation { tag, asked, lus });
    }

    /// It is done: what it says is durable (R24, R34, R55).
    pub(super) fn check_operation_flushed(&mut self, tag: u64, status: i32) {
        let Some(FlushedOperation { asked, lus, .. }) =
            self.flushed_operation.take_if(|operation| operation.tag == tag)
        else {
            return;
        };
        for lu in lus.into_iter().filter(|&lu| status == CLONE_GROUP_OK && self.devices[lu].volatile) {
            // One that fails later has nothing to lose: hosts are held, or not served.
            assert!(
                self.flush_records[lu].worked > asked,
                "an operation is done, and LU {lu} was not flushed for it, or the flush failed (R24, R34, R55)"
            );
        }
    }
}
