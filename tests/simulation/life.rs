//! A random life: hosts, an operator, a controller that completes in any order, power losses, and what must hold
//! in the end.

use std::collections::BTreeMap;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::operator::{self, Step};
use super::rot::Rot;
use super::swarm::{Beginning, Swarm, TURNS, Turn};
use crate::common::draw::{Hosts, Request, is_invalid, weighted};
use crate::common::seeds::Summary;
use crate::common::stage::Ask;
use crate::common::world::{Habits, LastingFault, Placed, Profile, World};

/// When faults may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Never.
    NoFaults,
    /// At any time.
    Safety,
    /// Until some time. From then on everything must end within a bound, while hosts go on.
    Liveness,
    /// Never, but the medium of the metadata suffers at power losses.
    Damage,
    /// At any time, and many of them last.
    Lasting,
    /// The same, of flushes in Reverse Synchronizations.
    Reverse,
}

pub struct Life {
    pub(super) world: Placed,
    pub(super) rng: fastrand::Rng,
    pub(super) swarm: Swarm,
    pub(super) pending: Option<(Step, u64)>,
    /// Requests and operations that were aborted: each ends so.
    pub(super) aborted: Vec<u64>,
    /// Turns in which hosts and the copy onto the Source that has begun go on, and nothing else happens.
    pub(super) patience: usize,
    /// A fault that comes in so many turns.
    pub(super) expected: Option<(usize, LastingFault)>,
    pub(super) counts: Summary,
}

impl Life {
    pub fn begin(seed: u64, mode: Mode) -> Life {
        let mut rng = fastrand::Rng::with_seed(seed ^ (mode as u64) << 60);
        let swarm = Swarm::draw(mode, &mut rng);
        let quiet = Profile { faults: 0, metadata_faults: 0, retry: 0, immediate: 256, ..swarm.profile };
        let calm = Habits { early: 0, hangs: 0, slow: 0, reenters: 0, ..swarm.habits };
        let mut world = World::with_habits(quiet, calm, seed);
        world.inner.get_mut().zeroes.clone_from(&swarm.zeroes);
        world.power_on();
        world.does(Ask::Format);
        let (aborted, counts) = (Vec::new(), Summary::default());
        let mut life =
            Life { world, rng, swarm, pending: None, aborted, patience: 0, expected: None, counts };
        if life.swarm.beginning != Beginning::Empty {
            life.prepare();
        }
        life.behave();
        life
    }

    /// Every Clone is synchronized, and perhaps becomes a point in time of its own.
    fn prepare(&mut self) {
        for lu in 1..=self.swarm.profile.clones as u32 {
            assert_eq!(Step::Add(lu).run(&self.world), CLONE_GROUP_OK);
            assert_eq!(Step::Synchronize(lu).run(&self.world), CLONE_GROUP_OK);
            self.world.settle();
            if self.swarm.beginning == Beginning::PointsInTime && self.rng.usize(..4) > 0 {
                assert_eq!(Step::Fracture(lu).run(&self.world), CLONE_GROUP_OK);
            }
            for _ in 0..self.rng.usize(..4) {
                self.host();
                self.world.settle();
            }
        }
    }

    /// From now on everything is as the seed has it.
    fn behave(&mut self) {
        {
            let inner = &mut *self.world.inner.borrow_mut();
            inner.profile = self.swarm.profile;
            inner.habits = self.swarm.habits;
        }
        let (hosts, mut rng) = (self.swarm.hosts, self.rng.fork());
        self.world.act_inside_callbacks(move |world| {
            send(world, &hosts, &mut rng);
        });
    }

    pub fn run(mut self, mode: Mode) -> Summary {
        for _ in 0..self.swarm.turns {
            self.turn();
            self.follow();
            self.meet_faults();
        }
        self.end(mode);
        let mut summary = Summary::of(&self.world);
        summary.add(&self.counts);
        summary
    }

    fn turn(&mut self) {
        let (budget, completions) = (self.swarm.budget, self.swarm.completions);
        if self.patience > 0 {
            self.patience -= 1;
            return self.busy_turn(true);
        }
        match TURNS[weighted(&self.swarm.weights, &mut self.rng)] {
            Turn::Host => self.host(),
            Turn::Complete => self.world.complete_some(completions),
            Turn::Poll => drop(self.world.poll(self.rng.u32(1..=budget))),
            Turn::Step => drop(self.world.step(self.rng.u32(1..=budget))),
            Turn::Operate => self.operate(),
            Turn::Abort => self.abort(),
            Turn::Hang => self.hang(),
            Turn::Restart => self.restart(),
            Turn::Fault => self.change_faults(),
            Turn::Rest => self.rest(),
        }
    }

    pub(super) fn host(&mut self) {
        send(&self.world, &self.swarm.hosts, &mut self.rng);
    }

    fn operate(&mut self) {
        if self.pending.is_none() && !self.operate_in_doubt() {
            let step = self.draw_step();
            let _ = self.ask(step);
        }
    }

    pub(super) fn draw_step(&mut self) -> Step {
        operator::draw(&self.world, &self.swarm.operator, &mut self.rng)
    }

    /// Asks for it. What makes no sense in this state is refused.
    pub(super) fn ask(&mut self, step: Step) -> Result<u64, i32> {
        let refused = step.is_refused(&self.world);
        let asked = step.ask(&self.world);
        match asked {
            Ok(tag) => {
                assert!(!refused, "{step:?} is accepted, against docs/states.md");
                self.pending = Some((step, tag));
            }
            Err(_) => self.counts.count("operations refused", 1),
        }
        asked
    }

    /// A host, or the operator, does not want to wait any longer (R83, R76).
    fn abort(&mut self) {
        let open: Vec<u64> = self.world.inner.borrow().hosts.keys().copied().collect();
        let tag = match self.pending {
            Some((_, tag)) if open.is_empty() || self.rng.usize(..6) == 0 => tag,
            _ if open.is_empty() => return,
            _ => open[self.rng.usize(..open.len())],
        };
        // SAFETY: a live group.
        match unsafe { clone_group_abort(self.world.group(), tag) } {
            CLONE_GROUP_OK => {
                self.counts.count("aborted", 1);
                self.aborted.push(tag);
            }
            status => {
                assert_eq!(status, CLONE_GROUP_ERR_NO_REQUEST);
                self.counts.count("too late to abort", 1);
            }
        }
    }

    /// What happened since the last turn?
    pub(super) fn follow(&mut self) {
        if let Some((step, tag)) = self.pending
            && let Some(status) = self.world.done_operation(tag)
        {
            self.pending = None;
            self.check_aborted(tag, status);
            if status == CLONE_GROUP_OK {
                match step {
                    Step::Restore(lu) => {
                        self.counts.count("restores begun", 1);
                        self.onto_source_began(lu);
                    }
                    Step::Fracture(lu) => {
                        self.counts.count("fractures", 1);
                        self.verify_soon(lu);
                    }
                    Step::Reverse(lu) => {
                        self.counts.count("reverse begun", 1);
                        self.onto_source_began(lu);
                    }
                    Step::Cancel(_) => self.counts.count("cancels", 1),
                    Step::Retarget(_) => self.counts.count("re-targets", 1),
                    _ => {}
                }
            }
        }
        let statuses = std::mem::take(&mut self.world.inner.borrow_mut().statuses);
        for (tag, status) in statuses {
            self.check_aborted(tag, status);
        }
    }

    /// Now and then it comes to its end while hosts go on.
    fn onto_source_began(&mut self, clone: u32) {
        if self.rng.u32(..256) < self.swarm.patience {
            self.patience = self.rng.usize(50..300);
        }
        self.expect_faults(clone);
    }

    /// Who makes a point in time looks at it, often at once: soon hosts will have written everywhere.
    fn verify_soon(&mut self, lu: u32) {
        if self.rng.bool() {
            let step = Step::Verify(lu, self.rng.bool());
            self.pending = step.ask(&self.world).ok().map(|tag| (step, tag));
        }
    }

    fn check_aborted(&mut self, tag: u64, status: i32) {
        if let Some(at) = self.aborted.iter().position(|&aborted| aborted == tag) {
            self.aborted.swap_remove(at);
            assert_eq!(status, CLONE_GROUP_ERR_CANCELED, "what was aborted ends otherwise (R83)");
        }
    }

    // ---------------------------------------------------------------- Recovery

    pub(super) fn recover(&mut self) {
        self.damage();
        for _ in 0..self.rng.usize(..3) {
            // Power is lost in Recovery, too.
            let lost = self.world.outlook().status == CLONE_GROUP_ERR_RESTORE_MAP_LOST;
            let give_up = if lost && self.rng.bool() { CLONE_GROUP_RECOVER_ABANDON_RESTORE } else { 0 };
            self.world.power_on();
            self.world.inner.borrow_mut().power_fails_at = self.rng.u64(..12);
            self.start(give_up);
            self.lose_power();
            self.damage();
        }
        self.come_up();
        self.check_recovered();
    }

    /// Recovery worked.
    pub(super) fn check_recovered(&mut self) {
        self.world.after_recovery();
        for lu in 0..=self.swarm.profile.clones {
            let served =
                if lu == 0 { !is_invalid(&self.world) } else { self.world.inner.borrow().usable[lu] };
            if served {
                self.read_after_loss(lu);
            }
        }
        self.world.check_delta_maps();
    }

    /// Some blocks now, the others when hosts read them.
    fn read_after_loss(&mut self, lu: usize) {
        if self.swarm.read_after_loss >= 256 {
            return self.world.check_lu_after_loss(lu);
        }
        let blocks = self.swarm.profile.blocks;
        for first in (0..blocks).step_by(5) {
            if self.rng.u32(..256) < self.swarm.read_after_loss {
                self.world.check_after_loss(lu, first, 5.min(blocks - first));
            }
        }
    }

    // ------------------------------------------------------------------- ends

    /// No more faults: everything must come to an end, and be right.
    fn end(&mut self, mode: Mode) {
        {
            let inner = &mut *self.world.inner.borrow_mut();
            inner.profile.faults = 0;
            inner.profile.metadata_faults = 0;
            inner.lasting.clear();
            inner.bad_blocks.clear();
            inner.nothing_hangs();
        }
        if mode == Mode::Liveness {
            self.end_in_time();
        }
        self.world.inner.borrow_mut().habits.reenters = 0;
        self.bring_to_end();
        match mode {
            Mode::Reverse => {
                self.outlast_a_failing_host();
                self.bring_to_end();
            }
            Mode::Lasting => {
                self.leave_in_doubt();
                self.bring_to_end();
                self.heal_by_a_host();
            }
            _ => {}
        }
        self.rot();
        // SAFETY: a live group.
        let close = |group, tag| unsafe { clone_group_close(group, tag) };
        assert_eq!(self.world.run_operation(close), CLONE_GROUP_OK);
        self.world.check_closed();
        self.world.check_slips();
        self.world.lose_power(|| false);
        self.recover();
        self.world.settle();
        self.world.check_lu_now(0);
    }

    /// Metadata is repaired, copies are resumed, and a mixture is accepted.
    fn bring_to_end(&mut self) {
        for _ in 0..4 {
            self.world.settle();
            self.follow();
            if self.has(CLONE_GROUP_CONDITION_METADATA_FAILED) {
                self.repair();
            }
            Step::Resume.run(&self.world);
        }
        self.world.settle();
        self.follow();
        if is_invalid(&self.world) {
            assert_eq!(Step::Accept.run(&self.world), CLONE_GROUP_OK);
        }
        self.check_end();
    }

    /// A Clone decays silently in the end, and power may be lost when Verify has found that.
    fn rot(&mut self) {
        let Some(rot) = Rot::strike(&self.world, &mut self.rng) else { return };
        self.counts.count("Clones rotten", 1);
        rot.find(&self.world);
        if self.rng.usize(..4) > 0 {
            self.lose_power();
            self.recover();
        }
        rot.mend(&self.world);
    }

    pub(super) fn has(&self, condition: u32) -> bool {
        self.world.info().conditions & condition != 0
    }

    fn clones(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.swarm.profile.clones
    }

    /// Clones that are points in time.
    pub(super) fn fractured(&self) -> Vec<u32> {
        let state = |lu: &usize| self.world.clone_info(*lu).state;
        let fractured = self.clones().filter(|lu| state(lu) == CLONE_GROUP_CLONE_FRACTURED);
        fractured.map(|lu| lu as u32).collect()
    }

    fn check_end(&self) {
        assert!(!self.is_copying(), "a copy does not end");
        for lu in self.clones() {
            let info = self.world.clone_info(lu);
            assert_eq!(info.conditions & CLONE_GROUP_CONDITION_VERIFYING, 0, "the Verify does not end");
            if info.state == CLONE_GROUP_CLONE_SYNCHRONIZED {
                let inner = self.world.inner.borrow();
                let equal = inner.devices[0].now == inner.devices[lu].now;
                assert!(equal, "LU {lu} is Synchronized and not equal");
            }
        }
        self.world.check_lu_now(0);
        self.world.check_delta_maps();
        let inner = self.world.inner.borrow();
        let mismatched = inner.told.iter().any(|told| told.0 == CLONE_GROUP_EVENT_MISMATCH);
        assert!(!mismatched, "Verify found a difference that no Delta Map knows of (R44)");
    }

    fn is_copying(&self) -> bool {
        let info = self.world.info();
        let synchronizing = |lu: usize| self.world.clone_info(lu).state == CLONE_GROUP_CLONE_SYNCHRONIZING;
        info.restoring_lu != 0 || info.reversing_lu != 0 || self.clones().any(synchronizing)
    }

    /// Faults have stopped. Hosts go on, the controller does a bounded part of its work in every turn: each request, the
    /// operation and every copy end within a bound (R46, R69).
    fn end_in_time(&mut self) {
        {
            let habits = &mut self.world.inner.borrow_mut().habits;
            habits.overlaps = false;
            // Endless payloads that change keep a Synchronization from its end, and nobody promises otherwise (R51).
            habits.unstable = 0;
        }
        // What was told of a fault may be on its way still.
        for _ in 0..50 {
            self.busy_turn(false);
        }
        if self.has(CLONE_GROUP_CONDITION_METADATA_FAILED) {
            self.repair();
        }
        let extents = self.swarm.profile.blocks.div_ceil(self.swarm.profile.extent_blocks);
        // Who compares first has half a buffer for each of the two.
        let piece = self.swarm.profile.copy_blocks as usize >> usize::from(self.swarm.profile.skip_equal);
        let pieces = self.swarm.profile.extent_blocks.div_ceil(piece);
        // Hosts that chase copies let each of them collide until it is exclusive.
        let bound = 600 + extents * (20 + 25 * pieces) * self.swarm.profile.clones;
        // A write may have to wait for an exclusive copy of its extents to every Clone, piece by piece.
        let oldest = 800 + 40 * pieces * self.swarm.profile.clones;
        let mut ages: BTreeMap<u64, usize> = BTreeMap::new();
        for turn in 0..bound {
            if self.pending.is_none() && !self.is_copying() {
                self.counts.count("ended in time", 1);
                return;
            }
            self.busy_turn(true);
            self.nudge();
            let inner = self.world.inner.borrow();
            ages.retain(|tag, _| inner.hosts.contains_key(tag));
            for &tag in inner.hosts.keys() {
                let age = turn - *ages.entry(tag).or_insert(turn);
                assert!(age < oldest, "request {tag} does not end within {oldest} turns (R69)");
            }
        }
        panic!("a copy, or an operation, does not end within {bound} turns (R46)");
    }

    /// A pass that ended with extents that could not be copied waits for the operator (R61), and so does a pause. The
    /// group may be busy: then again in the next turn.
    pub(super) fn nudge(&mut self) {
        let stalled = |lu| self.world.clone_info(lu).conditions & CLONE_GROUP_CONDITION_STALLED != 0;
        let paused = self.has(CLONE_GROUP_CONDITION_PAUSED);
        if self.pending.is_none() && (paused || self.clones().any(stalled)) {
            self.pending = Step::Resume.ask(&self.world).ok().map(|tag| (Step::Resume, tag));
        }
    }

    /// Hosts may have all slots for requests: then they are waited for.
    fn repair(&mut self) {
        let mut status = CLONE_GROUP_ERR_BUSY;
        for _ in 0..200 {
            status = Step::Repair.run(&self.world);
            if status != CLONE_GROUP_ERR_BUSY {
                break;
            }
            self.busy_turn(false);
        }
        assert_eq!(status, CLONE_GROUP_OK, "metadata cannot be repaired");
    }

    pub(super) fn busy_turn(&mut self, hosts: bool) {
        if hosts {
            self.host();
        }
        self.world.step(4);
        self.world.complete_some(6);
        self.follow();
    }
}

/// A host draws a request and sends it.
fn send(world: &World, hosts: &Hosts, rng: &mut fastrand::Rng) -> Option<u64> {
    let request: Request = hosts.draw(world, rng)?;
    request.send(world)
}
