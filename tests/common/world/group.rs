//! The group, from outside: operations, polls and queries.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::callbacks::no_violation;
use super::trace::trace;
use super::{TAG_OPERATION, World};

impl World {
    /// Calls an operation; returns its tag, or its error.
    pub fn operation(&self, call: impl FnOnce(*mut clone_group, u64) -> i32) -> Result<u64, i32> {
        let tag = TAG_OPERATION + self.tag();
        let status = call(self.group(), tag);
        trace(|| format!("operation {tag} returned {status}"));
        match status {
            CLONE_GROUP_PENDING => {
                self.inner.borrow_mut().operations_open += 1;
                Ok(tag)
            }
            status => Err(status),
        }
    }

    /// Polls and completes until the operation is done. Fails the test if that does not happen.
    pub fn run_operation(&self, call: impl FnOnce(*mut clone_group, u64) -> i32) -> i32 {
        let tag = match self.operation(call) {
            Ok(tag) => tag,
            Err(status) => return status,
        };
        for _ in 0..200_000 {
            if let Some(status) = self.inner.borrow_mut().operations_done.remove(&tag) {
                return status;
            }
            if self.power_is_off() {
                return i32::MIN;
            }
            self.poll(4);
            self.complete_some(2);
        }
        panic!("an operation does not end");
    }

    pub fn done_operation(&self, tag: u64) -> Option<i32> {
        self.inner.borrow_mut().operations_done.remove(&tag)
    }

    pub fn poll(&self, budget: u32) -> i32 {
        self.inner.borrow_mut().polls += 1;
        // SAFETY: a live group.
        self.hearing(|| unsafe { clone_group_cod_poll(self.group(), budget) })
    }

    pub fn step(&self, budget: u32) -> i32 {
        self.inner.borrow_mut().polls += 1;
        // SAFETY: a live group.
        self.hearing(|| unsafe { clone_group_sync_step(self.group(), budget) })
    }

    /// Polls once, and again while the library does not know of a flush that failed: what the cache dropped is stale until
    /// then, and no contract covers that moment.
    fn hearing(&self, poll: impl FnOnce() -> i32) -> i32 {
        let state = self.after_poll(self.listen(poll));
        for _ in 0..8 {
            if !self.inner.borrow().flush_unheard {
                break;
            }
            // SAFETY: a live group.
            self.listen(|| unsafe { clone_group_cod_poll(self.group(), 64) });
        }
        state
    }

    /// A poll hears first of all of what was completed before it.
    fn listen(&self, poll: impl FnOnce() -> i32) -> i32 {
        self.expect_urgent();
        let copies = {
            let inner = &mut *self.inner.borrow_mut();
            inner.flush_unheard = false;
            inner.polled_from = inner.tally.ios;
            inner.copies_unheard.len()
        };
        let state = no_violation(poll());
        let inner = &mut *self.inner.borrow_mut();
        inner.copies_unheard.drain(..copies);
        inner.urgent_is_over();
        state
    }

    pub fn info(&self) -> clone_group_info {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_info = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_info>() as u32;
            assert_eq!(clone_group_query(self.group(), &mut info), CLONE_GROUP_OK);
            info
        }
    }

    pub fn clone_info(&self, lu: usize) -> clone_group_clone_info {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_clone_info = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_clone_info>() as u32;
            assert_eq!(clone_group_clone_query(self.group(), lu as u32, &mut info), CLONE_GROUP_OK);
            info
        }
    }

    pub fn statistics(&self) -> clone_group_statistics {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_statistics = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_statistics>() as u32;
            assert_eq!(clone_group_statistics_query(self.group(), &mut info), CLONE_GROUP_OK);
            info
        }
    }

    /// The Clone that is copied onto the Source, or 0.
    pub fn onto_source(&self) -> u32 {
        let info = self.info();
        info.restoring_lu.max(info.reversing_lu)
    }

    /// Of a map page.
    pub fn page_extents(&self) -> usize {
        self.inner.borrow().format.page_extents
    }

    pub fn map(&self, kind: u32, lu: usize) -> Vec<bool> {
        let profile = self.inner.borrow().profile;
        let extents = profile.blocks.div_ceil(profile.extent_blocks);
        let mut bytes = vec![0_u8; extents.div_ceil(8)];
        let length = bytes.len() as u64;
        // SAFETY: a live group and so many bytes.
        let status = unsafe {
            clone_group_map_read(self.group(), kind, lu as u32, 0, extents as u64, bytes.as_mut_ptr(), length)
        };
        assert_eq!(status, CLONE_GROUP_OK);
        (0..extents).map(|extent| bytes[extent / 8] >> (extent % 8) & 1 == 1).collect()
    }

    /// Polls without completing anything that is held, and without background copies.
    pub fn poll_still(&self) {
        for _ in 0..40 {
            self.poll(64);
        }
    }

    /// The same with background copies.
    pub fn step_still(&self) {
        for _ in 0..40 {
            self.step(8);
        }
    }

    /// Everything that is asked for is done, and all copies are made.
    pub fn settle(&self) {
        for _ in 0..400_000 {
            let state = self.step(8);
            assert!(state >= 0, "a poll returned {state}");
            self.complete_some(4);
            if self.power_is_off() || state == CLONE_GROUP_OK && self.held() == 0 && self.hosts_open() == 0 {
                return;
            }
        }
        panic!("the group does not come to rest");
    }

    /// As `settle`, for a restore that cannot end.
    pub fn settle_or_stall(&self) {
        for _ in 0..10_000 {
            self.step(8);
            self.complete_some(4);
        }
        assert_eq!((self.held(), self.hosts_open()), (0, 0), "the group does not come to rest");
    }
}
