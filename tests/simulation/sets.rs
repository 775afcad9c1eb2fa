//! Several arrays whose Clones must fit together (R77): a host writes to them in turn, each write only after the one
//! before it was acknowledged. Consistent Fractures and consistent restores come again and again, power is lost on all
//! arrays together at any moment, and the controller resolves by the documented rule. What the Clones hold, or the
//! Sources after a restore, must be the log of the host's writes, cut at one place.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;

use super::log::{Log, contents};
use super::operator::Step;
use super::prepared::{self, Resolved, is_prepared};
use super::swarm;
use crate::common::seeds::Summary;
use crate::common::stage::Ask;
use crate::common::world::{Habits, Placed, Profile, TAG_OPERATION, World};

const SET_TAG: u64 = TAG_OPERATION + (1 << 30);

/// Callbacks know where each of them is.
type Worlds = Vec<Placed>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Fracture,
    Restore,
}

/// A set that was asked for.
struct Asked {
    kind: Kind,
    // The groups use it until they are done.
    _set: Box<clone_group_set>,
    id: u64,
    acknowledged_before: usize,
    /// What the Clones held.
    clones: Vec<Vec<u64>>,
    generations: Vec<u64>,
    aborted: bool,
}

pub struct Sets {
    worlds: Worlds,
    rng: fastrand::Rng,
    log: Log,
    next_id: u64,
    counts: Summary,
}

impl Sets {
    pub fn begin(seed: u64) -> Sets {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5e75 << 40);
        let count = rng.usize(2..4);
        let worlds: Worlds = (0..count as u64).map(|at| array(seed * 8 + at, &mut rng)).collect();
        let log = Log::of(&worlds);
        Sets { worlds, rng, log, next_id: 1, counts: Summary::default() }
    }

    pub fn run(mut self, rounds: usize) -> Summary {
        for _ in 0..rounds {
            for kind in [Kind::Fracture, Kind::Restore] {
                // One that failed is asked for again.
                while !self.round(kind) {}
            }
            self.mirror();
        }
        let mut summary = Summary::default();
        self.worlds.iter().for_each(|world| summary.add(&Summary::of(world)));
        summary.seeds = 1;
        summary.add(&self.counts);
        summary
    }

    /// Clones 1 mirror the Sources again.
    fn mirror(&mut self) {
        self.rest();
        for world in &self.worlds {
            assert_eq!(Step::Synchronize(1).run(world), CLONE_GROUP_OK);
            world.settle();
            assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
        }
        self.log = Log::of(&self.worlds);
    }

    /// Everything that was asked for is done.
    fn rest(&mut self) {
        for world in &self.worlds {
            world.inner.borrow_mut().nothing_hangs();
            world.settle();
        }
        self.follow();
        assert!(self.log.open.is_none(), "a write does not end");
    }

    // ------------------------------------------------------------------ the host

    /// Was the last write acknowledged?
    fn follow(&mut self) {
        let Some((array, tag)) = self.log.open else { return };
        let inner = self.worlds[array].inner.borrow();
        if inner.hosts.contains_key(&tag) {
            return;
        }
        let failed = inner.failed.contains(&tag);
        assert!(!failed || inner.metadata_fault_seen, "a write failed");
        drop(inner);
        self.log.end(!failed);
    }

    fn write(&mut self) {
        self.follow();
        if self.log.open.is_some() || self.log.failed {
            return;
        }
        let array = self.rng.usize(..self.worlds.len());
        let world = &self.worlds[array];
        let block = self.rng.usize(..world.inner.borrow().profile.blocks);
        let (tag, status) = world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, true);
        let value = world.inner.borrow().last_value(block);
        self.log.writes.push((array, block, value));
        let faults = world.inner.borrow().metadata_fault_seen;
        match status {
            None => self.log.open = Some((array, tag)),
            Some(CLONE_GROUP_OK) => self.log.end(true),
            Some(CLONE_GROUP_ERR_PREPARED | CLONE_GROUP_ERR_METADATA_FAILED) if faults => self.log.end(false),
            Some(status) => panic!("a write was refused with {status}"),
        }
    }

    fn turn(&mut self) {
        if self.rng.usize(..3) == 0 {
            return self.write();
        }
        let at = self.rng.usize(..self.worlds.len());
        let (budget, completions) = (self.rng.u32(1..6), self.rng.usize(..4));
        if self.rng.usize(..4) == 0 {
            self.worlds[at].step(budget);
        } else {
            self.worlds[at].poll(budget);
        }
        self.worlds[at].complete_some(completions);
    }

    // ------------------------------------------------------------------- a set

    /// Asks for a set; whether it was committed.
    fn round(&mut self, kind: Kind) -> bool {
        self.worlds.iter().for_each(|world| others(world, &mut self.rng));
        for _ in 0..self.rng.usize(..60) {
            self.turn();
        }
        let mut asked = self.ask(kind);
        let metadata_fails_at = [usize::MAX, self.rng.usize(..60)][self.rng.usize(..2)];
        let power_lost_at = [usize::MAX, self.rng.usize(..300)][self.rng.usize(..2)];
        let aborted_at = [usize::MAX, usize::MAX, self.rng.usize(..120)][self.rng.usize(..3)];
        for turn in 0.. {
            assert!(turn < 20_000, "the set does not end");
            if turn == power_lost_at {
                return self.power_loss(&asked);
            }
            if turn == aborted_at {
                let world = &self.worlds[self.rng.usize(..self.worlds.len())];
                // SAFETY: a live group. What is decided, or over, cannot be aborted.
                asked.aborted |= unsafe { clone_group_abort(world.group(), SET_TAG) } == CLONE_GROUP_OK;
            }
            if turn == metadata_fails_at {
                let world = &self.worlds[self.rng.usize(..self.worlds.len())];
                world.inner.borrow_mut().profile.metadata_faults = [3_000, 10_000][self.rng.usize(..2)];
            }
            self.turn();
            if self.is_over() {
                // One that cannot write down what was decided is told after a repair, or after a power loss.
                let unsure = self.worlds.iter().any(|world| is_prepared(world));
                if unsure && self.rng.bool() {
                    return self.power_loss(&asked);
                }
                let told = self.told();
                self.mend(asked.id);
                let committed = self.outcome(&asked);
                assert!(told.is_none_or(|told| told == committed), "groups said otherwise (R77)");
                assert!(!committed || !asked.aborted, "a set that was aborted is committed");
                return self.ended(&asked, committed);
            }
        }
        false
    }

    /// Whether all groups are done. They report the same, but for those whose metadata fails.
    fn is_over(&self) -> bool {
        let of = |world: &World| world.inner.borrow().operations_done.get(&SET_TAG).copied();
        let ends: Vec<Option<i32>> = self.worlds.iter().map(|world| of(world)).collect();
        let committed = ends.contains(&Some(CLONE_GROUP_OK));
        let expected = if committed { CLONE_GROUP_OK } else { CLONE_GROUP_ERR_CANCELED };
        for (world, end) in self.worlds.iter().zip(&ends).filter_map(|(world, end)| Some((world, (*end)?))) {
            let faults = world.inner.borrow().metadata_fault_seen;
            let failed = faults && matches!(end, -5 | CLONE_GROUP_ERR_METADATA_FAILED);
            assert!(end == expected || failed, "not all groups report the same: {ends:?} (R77)");
            assert!(!failed || !committed || is_prepared(world), "a member forgets what was decided (R77)");
        }
        ends.iter().all(Option::is_some)
    }

    /// Metadata can be written again: everything that failed is written anew, and who is prepared is told.
    fn mend(&mut self, id: u64) {
        for world in &self.worlds {
            world.inner.borrow_mut().profile.metadata_faults = 0;
            prepared::ask_in_vain(world, &mut self.rng);
            assert!(prepared::repair(world), "no power is lost here");
        }
        let commit = self.rule(id);
        for world in self.worlds.iter().filter(|world| is_prepared(world)) {
            self.counts.count("groups told by the controller", 1);
            assert_eq!(prepared::resolve(world, commit, &mut self.rng), Resolved::Done);
        }
    }

    /// The rule of clone_group_set_resolve().
    fn rule(&self, id: u64) -> bool {
        self.worlds.iter().all(|world| world.info().set_id == id)
    }

    /// Whether the set was committed: in all groups, or in none.
    fn outcome(&self, asked: &Asked) -> bool {
        let committed: Vec<bool> = match asked.kind {
            Kind::Fracture => {
                let state = |at: usize| self.worlds[at].clone_info(1).state;
                (0..self.worlds.len()).map(|at| state(at) == CLONE_GROUP_CLONE_FRACTURED).collect()
            }
            Kind::Restore => {
                self.generations().iter().zip(&asked.generations).map(|(now, before)| now != before).collect()
            }
        };
        assert!(committed.iter().all(|&it| it == committed[0]), "half of a set was committed: {committed:?}");
        committed[0]
    }

    /// What groups have said of the set, if any of them did.
    fn told(&self) -> Option<bool> {
        let end = |world: &Placed| world.inner.borrow().operations_done.get(&SET_TAG).copied();
        let ends: Vec<i32> = self.worlds.iter().filter_map(end).collect();
        let committed = ends.contains(&CLONE_GROUP_OK);
        (committed || ends.contains(&CLONE_GROUP_ERR_CANCELED)).then_some(committed)
    }

    fn ask(&mut self, kind: Kind) -> Asked {
        let id = self.next_id;
        self.next_id += 1;
        // SAFETY: a struct of integers, filled by the library; live groups; the set lives until they are done.
        let (set, status) = unsafe {
            let mut set: Box<clone_group_set> = Box::new(std::mem::zeroed());
            assert_eq!(
                clone_group_set_init(&mut *set, size_of::<clone_group_set>() as u32, id),
                CLONE_GROUP_OK
            );
            let groups: Vec<_> = self.worlds.iter().map(|world| world.group()).collect();
            let (lus, count) = (vec![1; groups.len()], groups.len() as u32);
            for world in &self.worlds {
                let inner = &mut *world.inner.borrow_mut();
                inner.operations_done.remove(&SET_TAG);
                inner.metadata_fault_seen = false;
                inner.note_fracture();
            }
            let (groups, lus) = (groups.as_ptr(), lus.as_ptr());
            let status = match kind {
                Kind::Fracture => {
                    clone_group_set_fracture(groups, lus, count, &mut *set, std::ptr::null(), SET_TAG)
                }
                Kind::Restore => clone_group_set_protected_restore(groups, lus, count, &mut *set, SET_TAG),
            };
            (set, status)
        };
        assert_eq!(status, CLONE_GROUP_PENDING);
        self.follow();
        Asked {
            kind,
            _set: set,
            id,
            acknowledged_before: self.log.acknowledged,
            clones: contents(&self.worlds, 1),
            generations: self.generations(),
            aborted: false,
        }
    }

    fn generations(&self) -> Vec<u64> {
        self.worlds.iter().map(|world| world.info().restore_generation).collect()
    }

    /// All groups are done.
    fn ended(&mut self, asked: &Asked, committed: bool) -> bool {
        self.follow();
        let submitted = self.log.writes.len();
        let cuts = asked.acknowledged_before..=submitted;
        self.counts.count(if committed { "sets committed" } else { "sets aborted" }, 1);
        if committed && asked.kind == Kind::Fracture {
            let clones = contents(&self.worlds, 1);
            assert!(
                self.log.explains(&clones, &self.log.base, 0..=0, cuts.clone()),
                "the Clones do not fit together (R77)"
            );
        }
        for _ in 0..self.rng.usize(..40) {
            self.turn();
        }
        self.check_sources(asked, committed, cuts);
        committed
    }

    /// The Sources are the Clones of a committed restore with what was written since, or hold everything.
    fn check_sources(&mut self, asked: &Asked, committed: bool, cuts: std::ops::RangeInclusive<usize>) {
        self.rest();
        let (sources, ends) = (contents(&self.worlds, 0), self.log.ends());
        if committed && asked.kind == Kind::Restore {
            let explained = self.log.explains(&sources, &asked.clones, cuts, ends);
            assert!(explained, "the Sources do not fit together (R77)");
            assert_eq!(contents(&self.worlds, 1), asked.clones, "a Clone was modified");
        } else {
            let explained = self.log.explains(&sources, &self.log.base, 0..=0, ends);
            assert!(explained, "a Source lacks a write");
        }
        self.worlds.iter().for_each(|world| world.check_lu_now(0));
        self.log = Log::of(&self.worlds);
    }

    // ------------------------------------------------------------ power losses

    fn lose_power(&mut self) {
        for world in &mut self.worlds {
            let mut fate = self.rng.fork();
            let keep = [0, 64, 128, 256][fate.usize(..4)];
            world.lose_power(move || fate.u32(..256) < keep);
        }
    }

    /// On all arrays together; whether the set was committed.
    fn power_loss(&mut self, asked: &Asked) -> bool {
        self.follow();
        let (submitted, ends) = (self.log.writes.len(), self.log.ends());
        self.log.open = None;
        // An abort of which no word came yet may be too late for the power loss.
        let told = self.told();
        self.lose_power();
        self.counts.count("power lost in a set", 1);
        while !self.resolve(asked.id) {
            self.lose_power();
            self.counts.count("power lost in a resolution", 1);
        }
        let committed = self.outcome(asked);
        assert!(told.is_none_or(|told| told == committed), "groups had said otherwise (R77)");
        self.counts
            .count(if committed { "committed after a power loss" } else { "aborted after a power loss" }, 1);
        for world in &self.worlds {
            world.after_recovery();
            world.check_lu_after_loss(0);
            world.check_delta_maps();
        }
        let clones = contents(&self.worlds, 1);
        self.worlds.iter().for_each(|world| world.settle());
        let sources = contents(&self.worlds, 0);
        let cuts = asked.acknowledged_before..=submitted;
        match (asked.kind, committed) {
            (Kind::Fracture, true) => {
                let fit = self.log.explains(&clones, &self.log.base, 0..=0, cuts);
                assert!(fit, "the Clones do not fit together after a power loss (R77)");
                assert!(self.log.explains(&sources, &self.log.base, 0..=0, ends), "a Source lacks a write");
            }
            (Kind::Restore, true) => {
                let fit = self.log.explains(&sources, &asked.clones, cuts, ends);
                assert!(fit, "the Sources do not fit together after a power loss (R77)");
                assert_eq!(clones, asked.clones, "a Clone was modified");
            }
            (_, false) => {
                assert!(self.log.explains(&sources, &self.log.base, 0..=0, ends), "a Source lacks a write");
            }
        }
        self.log = Log::of(&self.worlds);
        committed
    }

    /// Recovers all groups and follows the rule of clone_group_set_resolve(). `false`: power is lost again.
    fn resolve(&mut self, id: u64) -> bool {
        for world in &mut self.worlds {
            world.inner.get_mut().profile.metadata_faults = 0;
            world.power_on();
            // SAFETY: a live group.
            let recovered = world.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
            assert_eq!(recovered, CLONE_GROUP_OK);
        }
        let commit = self.rule(id);
        for world in self.worlds.iter().filter(|world| is_prepared(world)) {
            if self.rng.usize(..4) == 0 {
                let inner = &mut *world.inner.borrow_mut();
                inner.power_fails_at = inner.steps + self.rng.u64(1..10);
            }
            if prepared::resolve(world, commit, &mut self.rng) == Resolved::PowerLost {
                return false;
            }
            world.inner.borrow_mut().power_fails_at = u64::MAX;
        }
        true
    }
}

/// Beside the Clone of the set, another one is fractured, synchronized again or on its way.
fn others(world: &World, rng: &mut fastrand::Rng) {
    let clones = world.inner.borrow().profile.clones;
    if clones < 2 || rng.bool() {
        return;
    }
    let lu = rng.usize(2..=clones);
    let step = match world.clone_info(lu).state {
        CLONE_GROUP_CLONE_ABSENT => Step::Add(lu as u32),
        CLONE_GROUP_CLONE_SYNCHRONIZED if rng.bool() => Step::Remove(lu as u32),
        CLONE_GROUP_CLONE_SYNCHRONIZED => Step::Fracture(lu as u32),
        _ => Step::Synchronize(lu as u32),
    };
    // Beside a restore it is refused.
    let _ = step.run(world);
}

/// One array, whose Clone 1 mirrors the Source.
fn array(seed: u64, rng: &mut fastrand::Rng) -> Placed {
    let (profile, habits) = swarm::of_a_set(rng);
    let quiet = Profile { immediate: 256, retry: 0, ..profile };
    let mut world = World::with_habits(quiet, Habits { hangs: 0, slow: 0, ..habits }, seed);
    world.power_on();
    world.does(Ask::Format);
    for lu in 1..=profile.clones as u32 {
        assert_eq!(Step::Add(lu).run(&world), CLONE_GROUP_OK);
        assert_eq!(Step::Synchronize(lu).run(&world), CLONE_GROUP_OK);
        world.settle();
    }
    {
        let inner = &mut *world.inner.borrow_mut();
        inner.profile = profile;
        inner.habits = habits;
    }
    world
}
