//! An LU hangs: for a while it completes nothing; or whatever hosts ask for hangs. Hosts that do not need it go on, and so
//! do operations that do not touch it; one that waits for it can be aborted (R76).

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::life::Life;
use super::operator::Step;
use crate::common::draw::is_invalid;
use crate::common::world::{Hung, Profile};

/// Turns in which whatever does not hang ends.
const SOON: usize = 600;

impl Life {
    pub fn hang(&mut self) {
        if self.pending.is_some()
            || self.has(CLONE_GROUP_CONDITION_METADATA_FAILED)
            || is_invalid(&self.world)
        {
            return;
        }
        let lu = self.rng.usize(0..=self.swarm.profile.clones);
        let hung = if self.rng.usize(..4) == 0 { Hung::Hosts } else { Hung::Lu(lu) };
        let hangs = {
            let inner = &mut *self.world.inner.borrow_mut();
            let hangs = inner.habits.hangs;
            inner.nothing_hangs();
            inner.hung = Some(hung);
            hangs
        };
        if hung == Hung::Hosts {
            self.fill((self.swarm.habits.requests_max as usize).saturating_sub(2), |_| true);
        }
        for _ in 0..self.rng.usize(10..80) {
            self.busy_turn(true);
        }
        if self.rng.bool() {
            self.give_up();
        }
        if self.pause() && hung != Hung::Hosts && self.rng.bool() {
            self.read_beside(lu);
        }
        let inner = &mut *self.world.inner.borrow_mut();
        inner.hung = None;
        inner.habits.hangs = hangs;
        self.counts.count("times that something hung", 1);
    }

    /// What hosts write of the extents that are copied already hangs, and the copy onto the Source goes on to where it
    /// cannot end without.
    pub(super) fn hang_hosts(&mut self) {
        let from = self.world.onto_source() as usize;
        if from == 0 {
            return;
        }
        let left = self.world.map(CLONE_GROUP_MAP_DELTA, from);
        let writes = self.rng.usize(1..4);
        self.world.inner.borrow_mut().hung = Some(Hung::Hosts);
        self.fill(writes, |extent| !left[extent]);
        for _ in 0..self.rng.usize(50..200) {
            self.busy_turn(false);
            self.nudge();
        }
        self.world.inner.borrow_mut().hung = None;
    }

    /// Hosts write so much at once, but for the request of an operation, of these extents.
    fn fill(&mut self, most: usize, wanted: impl Fn(usize) -> bool) {
        let Profile { blocks, extent_blocks, .. } = self.swarm.profile;
        let first = self.rng.usize(..blocks);
        for block in (first..blocks).chain(0..first) {
            let open = self.world.inner.borrow().models[0][block].is_open();
            if self.world.hosts_open() < most && !open && wanted(block / extent_blocks) {
                self.world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, false);
                self.world.poll(4);
            }
        }
    }

    /// The operator asks for what comes next, and does not wait for it for ever (R76).
    fn give_up(&mut self) {
        let step = self.draw_step();
        let Ok(tag) = self.ask(step) else { return };
        if self.ends_soon(tag, SOON / 6) {
            return;
        }
        // SAFETY: a live group.
        if unsafe { clone_group_abort(self.world.group(), tag) } == CLONE_GROUP_OK {
            self.aborted.push(tag);
        }
        assert!(
            self.ends_soon(tag, SOON),
            "{step:?} does not end beside an LU that hangs, nor can it be aborted (R76)"
        );
    }

    /// Background copies are paused, whatever hangs (R76). Whether they are.
    fn pause(&mut self) -> bool {
        if self.pending.is_some() || self.has(CLONE_GROUP_CONDITION_PAUSED) {
            return false;
        }
        let Ok(tag) = self.ask(Step::Pause) else { return false };
        assert!(self.ends_soon(tag, SOON), "a pause waits for an LU that hangs (R76)");
        self.has(CLONE_GROUP_CONDITION_PAUSED)
    }

    pub(super) fn ends_soon(&mut self, tag: u64, turns: usize) -> bool {
        for _ in 0..turns {
            self.busy_turn(false);
            if self.pending.is_none_or(|(_, pending)| pending != tag) {
                return true;
            }
        }
        false
    }

    /// Copies are paused: no change holds hosts, and a read of another LU ends (R76).
    fn read_beside(&mut self, hung: usize) {
        let info = self.world.info();
        let authority = info.reversing_lu as usize;
        if info.restoring_lu != 0 || authority == hung {
            return;
        }
        let block = self.rng.usize(..self.swarm.profile.blocks);
        let (tag, _) = self.world.host(CLONE_GROUP_IO_READ, 0, block, 1, false);
        for _ in 0..SOON {
            if self.world.ended(tag).is_some() {
                return;
            }
            self.busy_turn(false);
        }
        panic!("a read of LU {authority} waits for LU {hung}, which hangs (R76)");
    }
}
