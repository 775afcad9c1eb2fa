//! Slips of the controller, which must cost nothing but the I/O that they concern: it completes what is over, and it
//! reports a failure with a number that is no status.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::{Inner, World};

/// I/Os that are over and that the controller remembers.
const REMEMBERED: usize = 32;

/// What went wrong.
#[derive(Clone, Default, Debug)]
pub struct Slips {
    /// Ids of I/Os that are over, the latest last.
    over: Vec<u64>,
    /// Numbers that are no status, and of which no event told yet (R81).
    untold: Vec<u64>,
    /// Events were lost.
    lost: bool,
}

impl World {
    /// An I/O is over. Now and then an older one is completed once more: that is refused (R67).
    pub(super) fn completed(&self, id: u64) {
        let again = {
            let inner = &mut *self.inner.borrow_mut();
            let again = inner.habits.repeats > 0 && inner.rng.u32(..256) < inner.habits.repeats;
            let over = &mut inner.slips.over;
            over.push(id);
            let spare = over.len().saturating_sub(REMEMBERED);
            over.drain(..spare);
            again.then(|| over[inner.rng.usize(..over.len())])
        };
        if let Some(id) = again {
            // SAFETY: a live group.
            let status = unsafe { clone_group_io_complete(self.group(), id, CLONE_GROUP_OK) };
            assert_eq!(status, CLONE_GROUP_ERR_STALE_IO, "I/O {id:x} is over, and was completed again (R67)");
        }
    }

    /// Events told of every number that was no status (R81). Everything is over.
    pub fn check_slips(&self) {
        let inner = self.inner.borrow();
        let Slips { untold, lost, .. } = &inner.slips;
        assert!(*lost || untold.is_empty(), "no event told of {untold:?}, which are no statuses (R81)");
    }
}

impl Inner {
    /// The status of an I/O as the controller reports it.
    pub(super) fn reported(&mut self, status: i32) -> i32 {
        if status >= CLONE_GROUP_OK
            || self.habits.nonsense == 0
            || self.rng.u32(..256) >= self.habits.nonsense
        {
            return status;
        }
        // As of a call that returns how many bytes it wrote.
        let bytes = 512 * self.rng.i32(1..16);
        self.slips.untold.push(u64::from(bytes.unsigned_abs()));
        bytes
    }

    /// An event came.
    pub(super) fn slip_told(&mut self, event: &clone_group_event) {
        match event.kind {
            CLONE_GROUP_EVENT_CALLBACK_RESULT => {
                let at = self.slips.untold.iter().position(|&bytes| bytes == event.value);
                let at = at.expect("an event tells of a number that the controller did not report (R81)");
                self.slips.untold.swap_remove(at);
            }
            CLONE_GROUP_EVENT_LOST => self.slips.lost = true,
            _ => {}
        }
    }
}
