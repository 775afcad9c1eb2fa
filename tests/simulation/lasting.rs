//! Lives with faults that last: LUs whose flushes, writes or reads fail for a time, blocks that cannot be read until they
//! are written, a persistent area that takes nothing. Now and then hosts are silent: then everything comes to rest, however
//! much is broken, and what the maps say is exact.

use ::clone_group::ffi::types::*;

use super::life::Life;
use super::swarm::one;
use crate::common::draw::weighted;
use crate::common::world::{Failing, Habits, LastingFault};

/// What a seed makes of faults that last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lasting {
    /// Weights of `KINDS`.
    pub weights: [u32; 8],
    /// At a time.
    pub most: usize,
    /// Of 256: I/Os that fail while such a fault lasts.
    pub of_256: u32,
    /// Of 256: copies onto the Source that soon meet flushes that fail.
    pub onto_source: u32,
    /// Of 256: operations that cannot be written down, before a power loss.
    pub unwritten: u32,
    /// Of 256: turns in which the operator resumes what has stalled.
    pub attentive: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    SourceFlushes,
    CloneFlushes,
    SourceWrites,
    CloneWrites,
    Reads,
    BadBlocks,
    AreaFlushes,
    AreaWrites,
}

const KINDS: [Kind; 8] = [
    Kind::SourceFlushes,
    Kind::CloneFlushes,
    Kind::SourceWrites,
    Kind::CloneWrites,
    Kind::Reads,
    Kind::BadBlocks,
    Kind::AreaFlushes,
    Kind::AreaWrites,
];

impl Lasting {
    pub fn draw(rng: &mut fastrand::Rng) -> Lasting {
        // Half of the lives have one or two kinds of faults, and much of them.
        let mut weights = [0; 8];
        if rng.bool() {
            weights[rng.usize(..8)] = 1;
            weights[rng.usize(..8)] = 3;
        } else {
            weights.iter_mut().for_each(|weight| *weight = rng.u32(..4));
            weights[0] += 1;
        }
        Lasting {
            weights,
            most: rng.usize(1..4),
            of_256: one(&[256, 256, 128, 40], rng),
            onto_source: one(&[0, 64, 256], rng),
            unwritten: one(&[0, 0, 128], rng),
            attentive: one(&[0, 0, 16], rng),
        }
    }

    /// Of flushes only, and not of all of them.
    pub fn of_flushes(rng: &mut fastrand::Rng) -> Lasting {
        let weights = [rng.u32(1..4), rng.u32(..3), 0, 0, 0, 0, rng.u32(..4), 0];
        Lasting {
            weights,
            most: rng.usize(1..4),
            of_256: one(&[40, 80, 160], rng),
            onto_source: one(&[0, 128, 256], rng),
            unwritten: 0,
            attentive: one(&[0, 16, 64], rng),
        }
    }
}

impl Life {
    /// A fault begins, or one ends.
    pub fn change_faults(&mut self) {
        let Lasting { weights, most, of_256, .. } = self.swarm.lasting;
        let inner = &mut *self.world.inner.borrow_mut();
        let (lasting, bad) = (inner.lasting.len(), inner.bad_blocks.len());
        if lasting > 0 && (lasting >= most || self.rng.bool()) {
            inner.lasting.swap_remove(self.rng.usize(..lasting));
            return;
        }
        let kind = KINDS[weighted(&weights, &mut self.rng)];
        let profile = inner.profile;
        let (rng, blocks) = (&mut self.rng, profile.blocks);
        let clone = rng.usize(1..=profile.clones);
        let lu = match kind {
            Kind::SourceFlushes | Kind::SourceWrites => Some(0),
            Kind::CloneFlushes | Kind::CloneWrites => Some(clone),
            Kind::Reads | Kind::BadBlocks => Some(rng.usize(..=profile.clones)),
            Kind::AreaFlushes | Kind::AreaWrites => None,
        };
        let failing = match kind {
            Kind::SourceFlushes | Kind::CloneFlushes | Kind::AreaFlushes => Failing::Flushes,
            Kind::SourceWrites | Kind::CloneWrites | Kind::AreaWrites => Failing::Writes,
            Kind::Reads | Kind::BadBlocks => Failing::Reads,
        };
        let first = rng.usize(..blocks);
        let range = if rng.bool() { (0, blocks) } else { (first, blocks.min(first + profile.extent_blocks)) };
        match (kind, lu) {
            (Kind::BadBlocks, Some(lu)) if bad < 8 => {
                for _ in 0..rng.usize(1..4) {
                    inner.bad_blocks.push((lu, rng.usize(..blocks)));
                }
            }
            (Kind::BadBlocks, _) => inner.bad_blocks.clear(),
            _ => inner.lasting.push(LastingFault { lu, failing, blocks: range, of_256 }),
        }
    }

    /// A copy onto the Source has begun: soon flushes of one of its two LUs fail, all of them or some, or writes to the
    /// Source do that hung until it was nearly over.
    pub(super) fn expect_faults(&mut self, clone: u32) {
        if self.rng.u32(..256) >= self.swarm.lasting.onto_source {
            return;
        }
        let of_256 = [256, self.swarm.lasting.of_256][self.rng.usize(..2)];
        let (lu, failing) = match self.rng.usize(..4) {
            0 | 1 => (0, Failing::Writes),
            2 => (clone as usize, Failing::Flushes),
            _ => (0, Failing::Flushes),
        };
        let blocks = (0, self.swarm.profile.blocks);
        let fault = LastingFault { lu: Some(lu), failing, blocks, of_256 };
        self.expected = Some((self.rng.usize(..40), fault));
    }

    /// What was expected comes about, and hosts may be silent then. An attentive operator resumes what has stalled.
    pub(super) fn meet_faults(&mut self) {
        match self.expected.take() {
            Some((0, fault)) => {
                if fault.failing == Failing::Writes {
                    self.hang_hosts();
                }
                self.world.inner.borrow_mut().lasting.push(fault);
                if self.rng.bool() {
                    self.rest();
                }
            }
            Some((turns, fault)) => self.expected = Some((turns - 1, fault)),
            None => {}
        }
        if self.swarm.lasting.attentive > 0 && self.rng.u32(..256) < self.swarm.lasting.attentive {
            self.nudge();
        }
    }

    /// Hosts are silent, and nothing hangs: everything that was asked for ends, and copies do what they can, within a bound
    /// of I/Os, whatever fails (R24, R33, R61).
    pub fn rest(&mut self) {
        let habits = self.world.inner.borrow().habits;
        let begun = {
            let inner = &mut *self.world.inner.borrow_mut();
            inner.nothing_hangs();
            inner.habits = Habits { reenters: 0, ..inner.habits };
            inner.tally.ios
        };
        let profile = self.swarm.profile;
        let extents = profile.blocks.div_ceil(profile.extent_blocks);
        let pieces = profile.extent_blocks.div_ceil(profile.copy_blocks as usize);
        // Each extent may be copied to each Clone, as part of a run and then alone, and verified.
        let bound = (1000 + 10 * extents * profile.clones * (1 + pieces)) as u64;
        for turn in 0.. {
            let asked = self.pending;
            let state = self.world.step(8);
            self.world.complete_some(8);
            self.follow();
            let ios = self.world.inner.borrow().tally.ios - begun;
            assert!(
                ios < bound && turn < 10 * bound,
                "hosts are silent, and the group does not come to rest"
            );
            // What became of the last operation may have been the reason to ask for another one.
            if state == CLONE_GROUP_OK && self.world.held() == 0 && asked == self.pending {
                break;
            }
        }
        self.check_rest();
        self.world.inner.borrow_mut().habits = habits;
        self.counts.count("rests", 1);
    }

    fn check_rest(&self) {
        assert_eq!(self.world.hosts_open(), 0, "at rest a request is still open (I7)");
        assert!(self.pending.is_none(), "at rest an operation is still under way (I7)");
        let failed = self.has(CLONE_GROUP_CONDITION_METADATA_FAILED);
        assert!(
            failed || !self.world.inner.borrow().metadata_unrepaired,
            "a metadata write failed, nothing was repaired, and the group does not say so (R33)"
        );
        self.world.check_delta_maps();
        self.check_restore_at_rest();
    }

    /// A restore that rests has bad extents left, or waits for something that it says.
    fn check_restore_at_rest(&self) {
        let lu = self.world.info().restoring_lu as usize;
        let waits = CLONE_GROUP_CONDITION_METADATA_FAILED | CLONE_GROUP_CONDITION_PAUSED;
        if lu == 0 || self.has(waits) {
            return;
        }
        let left = self.world.map(CLONE_GROUP_MAP_DELTA, lu);
        let inner = self.world.inner.borrow();
        if inner.flushes_failed > 0 {
            return;
        }
        assert!(left.contains(&true), "everything is copied, and the restore does not end (R61)");
        // A copy that is not flushed leaves the two equal, and its extent in the Delta Map (R8).
        for extent in (0..left.len()).filter(|&extent| left[extent] && inner.differs(extent, lu)) {
            let tried = inner.failed_alone.contains(&extent);
            assert!(tried, "extent {extent} was not tried alone, and the restore does not go on (R61)");
        }
    }
}
