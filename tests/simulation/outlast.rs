//! A Reverse Synchronization ends though a host writes all the time, and the Source fails whatever it writes: what that
//! leaves is copied while hosts are held (R46, R48).

use ::clone_group::ffi::types::*;

use super::life::Life;
use super::operator::Step;
use crate::common::stage::is_host_write;
use crate::common::world::{Choice, Hung};

impl Life {
    /// One slow write at a time, if a Clone is a point in time. Nothing else fails any more.
    pub(super) fn outlast_a_failing_host(&mut self) {
        let Some(&lu) = self.fractured().first() else { return };
        self.host();
        self.world.settle();
        assert_eq!(Step::Reverse(lu).run(&self.world), CLONE_GROUP_OK);
        self.world.choose(|io| {
            if is_host_write(io) && io.lu == 0 { Choice::FailLater(-5) } else { Choice::AsProfile }
        });
        self.calmly(Life::end_beside_failing_writes);
        self.world.choose_nothing();
        self.world.inner.borrow_mut().hung = None;
        self.world.settle();
        self.counts.count("reverse ended beside a failing host", 1);
    }

    fn end_beside_failing_writes(&mut self) {
        let profile = self.swarm.profile;
        let extents = profile.blocks.div_ceil(profile.extent_blocks);
        let pieces = 2 * profile.extent_blocks.div_ceil(profile.copy_blocks as usize);
        // A write takes longer than the copy of its extent.
        let slow = 20 + 4 * pieces;
        let bound = 20 * slow + extents * (10 + 4 * pieces);
        for turn in 1..bound {
            if self.world.info().reversing_lu == 0 {
                return;
            }
            if self.world.hosts_open() == 0 {
                let block = self.rng.usize(..profile.blocks);
                self.world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, false);
            }
            let hangs = turn % slow != 0;
            self.world.inner.borrow_mut().hung = hangs.then_some(Hung::Hosts);
            self.world.step(4);
            self.world.complete_some(8);
        }
        panic!(
            "a Reverse Synchronization does not end within {bound} turns beside a host whose writes fail (R48)"
        );
    }
}
