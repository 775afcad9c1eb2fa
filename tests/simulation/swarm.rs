//! What a seed makes of an array, its hosts and its operator: each draws its own weights, so that some lives do a few
//! things again and again that others hardly do at all.

use super::lasting::Lasting;
use super::life::Mode;
use super::operator::Operator;
use crate::common::draw::{HOSTS, Hosts};
use crate::common::world::{Habits, Profile};

/// What happens in a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    Host,
    Complete,
    Poll,
    Step,
    Operate,
    Abort,
    Hang,
    Restart,
    Fault,
    Rest,
}

pub const TURNS: [Turn; 10] = [
    Turn::Host,
    Turn::Complete,
    Turn::Poll,
    Turn::Step,
    Turn::Operate,
    Turn::Abort,
    Turn::Hang,
    Turn::Restart,
    Turn::Fault,
    Turn::Rest,
];

/// How a life begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// Without a Clone.
    Empty,
    /// Nearly every Clone is a point in time of its own.
    PointsInTime,
    /// Every Clone is mirrored, and the operator lets hosts write for long (R78).
    Mirrored,
}

#[derive(Clone, Debug)]
pub struct Swarm {
    pub profile: Profile,
    pub habits: Habits,
    pub hosts: Hosts,
    pub turns: usize,
    /// Weights of `TURNS`.
    pub weights: [u32; 10],
    pub operator: Operator,
    /// Of 256: copies onto the Source for whose end the operator waits.
    pub patience: u32,
    pub beginning: Beginning,
    /// LUs that declare zeroes after a discard, besides what the profile says.
    pub zeroes: Vec<usize>,
    /// Weights of the ways in which the controller goes down: power is lost, it is closed, and the group is formatted over.
    pub restarts: [u32; 3],
    /// Of 256: Recoveries before which a controller tries that does not fit.
    pub misfits: u32,
    /// Of 256: power losses at which metadata suffers.
    pub damage: u32,
    /// Of 256: blocks that are read right after a power loss. The others are left to hosts.
    pub read_after_loss: u32,
    /// I/Os completed in a turn, at most, and the budget of polls.
    pub completions: usize,
    pub budget: u32,
    pub lasting: Lasting,
}

/// With a column for each of so many Clones a page of the simulated arrays holds 64 extents.
pub const SMALL_PAGES_CLONES: usize = 55;

pub fn one<T: Copy>(of: &[T], rng: &mut fastrand::Rng) -> T {
    of[rng.usize(..of.len())]
}

fn geometry(rng: &mut fastrand::Rng) -> (usize, usize) {
    let extent_blocks = 1 << one(&[0, 1, 2, 2, 3, 3, 4, 5, 6], rng);
    let extents = match rng.usize(..64) {
        // Two pages and more.
        0 => 1000,
        1..=9 => rng.usize(1..4),
        10..=17 => rng.usize(32..200),
        _ => rng.usize(3..32),
    };
    let tail = if extent_blocks > 1 && rng.u32(..4) > 0 { rng.usize(..extent_blocks) } else { 0 };
    ((extents * extent_blocks - tail).min(2000), extent_blocks)
}

fn profile(faults: bool, rng: &mut fastrand::Rng) -> Profile {
    let (blocks, extent_blocks) = geometry(rng);
    let skip_equal = rng.usize(..4) == 0;
    Profile {
        blocks,
        extent_blocks,
        clones: one(&[1, 1, 2, 2, 2, 3, 3, 4, 5, 8], rng),
        spare_clones: 0,
        copies: one(&[1, 1, 2, 3, 4, 8], rng),
        copy_blocks: 1 << rng.u32(u32::from(skip_equal)..8),
        volatile: rng.bool(),
        host_durable: rng.bool(),
        redirect: rng.bool(),
        persist_flush: rng.bool(),
        discard_zeroes: rng.bool(),
        offload: rng.usize(..4) == 0,
        map_per_clone: rng.bool(),
        immediate: one(&[0, 0, 64, 200, 256], rng),
        retry: one(&[0, 0, 20, 100], rng),
        faults: if faults { one(&[0, 100, 1000, 4000], rng) } else { 0 },
        metadata_faults: if faults { one(&[0, 200, 2000, 6000], rng) } else { 0 },
        intents: one(&[16, 16, 20, 64], rng),
        skip_equal,
    }
}

fn habits(rng: &mut fastrand::Rng) -> Habits {
    Habits {
        requests_max: one(&[2, 4, 16, 16, 32], rng),
        page_writes_max: one(&[1, 2, 2, 4], rng),
        early: one(&[0, 0, 64, 256], rng),
        hangs: one(&[0, 0, 300, 2000], rng),
        slow: one(&[0, 0, 64, 128, 256], rng),
        reenters: one(&[0, 0, 8, 40], rng),
        overlaps: rng.usize(..3) == 0,
        unstable: one(&[0, 0, 16, 128], rng),
        repeats: one(&[0, 16], rng),
        nonsense: one(&[0, 0, 64], rng),
        forgets: true,
    }
}

fn hosts(rng: &mut fastrand::Rng) -> Hosts {
    let mix = match rng.usize(..4) {
        0 => HOSTS.mix,
        1 => [16, 6, 0, 0, 1],
        2 => [4, 12, 2, 2, 2],
        _ => [rng.u32(1..16), rng.u32(1..16), rng.u32(..4), rng.u32(..4), rng.u32(..4)],
    };
    let start = rng.u32(..60_000);
    Hosts {
        mix,
        to_clones: one(&[0, 1, 2, 5, 5, 10], rng),
        whole: one(&[0, 64, 128, 230], rng),
        hot: one(&[0, 0, 128, 240], rng),
        hot_at: (start, one(&[1, 2_000, 5_000], rng)),
        chase: one(&[0, 64, 128, 230], rng),
        longest: one(&[1, 2, 4, 4, 8], rng),
        fua: one(&[0, 64, 64, 256], rng),
        open_max: one(&[1, 4, 12, 12, 24], rng),
    }
}

impl Swarm {
    pub fn draw(mode: Mode, rng: &mut fastrand::Rng) -> Swarm {
        let faults = matches!(mode, Mode::Safety | Mode::Liveness | Mode::Lasting | Mode::Reverse);
        let mut swarm = Swarm::draw_common(faults, rng);
        match mode {
            Mode::Damage => swarm.suffer(rng),
            Mode::Lasting => return swarm.with_lasting_faults(rng),
            Mode::Reverse => return swarm.in_reverse(rng),
            _ => {}
        }
        swarm
    }

    /// Most of the faults last, and what a cache may lose is much.
    fn with_lasting_faults(self, rng: &mut fastrand::Rng) -> Swarm {
        let mut swarm = Swarm { lasting: Lasting::draw(rng), ..self };
        [swarm.weights[8], swarm.weights[9]] = [one(&[10, 20, 40], rng), one(&[5, 10, 20], rng)];
        let rarely = |of: u32, rng: &mut fastrand::Rng| if rng.usize(..4) > 0 { 0 } else { of };
        let profile = &mut swarm.profile;
        profile.volatile |= rng.usize(..4) > 0;
        profile.host_durable &= rng.usize(..4) == 0;
        profile.faults = rarely(profile.faults, rng);
        profile.metadata_faults = rarely(profile.metadata_faults, rng);
        if rng.bool() { swarm.with_failing_flushes(rng) } else { swarm }
    }

    /// Flushes fail now and then, and nothing else: caches hold much when one does, and much is under way.
    fn with_failing_flushes(self, rng: &mut fastrand::Rng) -> Swarm {
        let mut swarm =
            Swarm { lasting: Lasting::of_flushes(rng), beginning: Beginning::PointsInTime, ..self };
        let profile = &mut swarm.profile;
        (profile.volatile, profile.host_durable) = (true, false);
        (profile.faults, profile.metadata_faults) = (0, 0);
        profile.immediate = one(&[0, 0, 64], rng);
        profile.persist_flush |= rng.usize(..4) > 0;
        swarm.habits.early = 0;
        swarm.habits.hangs = one(&[0, 0, 2000, 8000], rng);
        swarm.hosts.fua = one(&[0, 0, 64], rng);
        swarm.hosts.mix[4] = one(&[1, 4, 8], rng);
        swarm.completions = one(&[1, 2, 3], rng);
        // Copies are slow, in small pieces, and resumed soon: many flushes meet them.
        profile.clones = profile.clones.min(one(&[1, 1, 2, 3], rng));
        profile.copy_blocks = profile.copy_blocks.min(one(&[2, 2, 32], rng));
        profile.copies = profile.copies.max(3);
        swarm.weights[3] = one(&[20, 60, 200], rng);
        swarm.weights[4] = one(&[80, 200], rng);
        swarm.operator.ways[1] = one(&[2, 6, 12], rng);
        swarm.operator.ways[4] = one(&[1, 3, 10], rng);
        swarm.budget = one(&[2, 6], rng);
        swarm.turns *= 3;
        swarm
    }

    /// Reverse Synchronizations, one after another, that flushes of the Clone cut short; each is resumed soon, beside copies
    /// and a Verify that are slow.
    fn in_reverse(self, rng: &mut fastrand::Rng) -> Swarm {
        let mut swarm = self.with_failing_flushes(rng);
        [swarm.weights[8], swarm.weights[9]] = [one(&[5, 20], rng), one(&[1, 5], rng)];
        swarm.lasting.weights = [1, rng.u32(1..4), 0, 0, 0, 0, 0, 0];
        swarm.lasting.onto_source = one(&[128, 256], rng);
        swarm.lasting.attentive = one(&[16, 64, 256], rng);
        swarm.operator =
            Operator { ways: [10, 1, 0, one(&[5, 15, 30], rng), one(&[0, 1], rng)], reverses: 230 };
        [swarm.weights[5], swarm.weights[7]] = [0, one(&[0, 0, 1], rng)];
        swarm.habits.slow = one(&[64, 128, 256], rng);
        swarm.habits.hangs = one(&[0, 2000, 6000], rng);
        // What is compared now was written lately.
        let profile = &mut swarm.profile;
        profile.blocks = profile.blocks.min(rng.usize(4..20) * profile.extent_blocks);
        profile.copies = profile.copies.max(4);
        swarm.hosts.to_clones = 0;
        swarm.restarts = [1, 0, 0];
        swarm
    }

    fn draw_common(faults: bool, rng: &mut fastrand::Rng) -> Swarm {
        // One in 24 is a long life.
        let turns = if rng.usize(..24) == 0 { rng.usize(3000..6000) } else { rng.usize(200..1000) };
        let crashes = one(&[0, 1, 4, 12], rng);
        let (empty, points, mirrored) = (Beginning::Empty, Beginning::PointsInTime, Beginning::Mirrored);
        let beginning = one(&[empty, empty, empty, empty, points, points, points, points, mirrored], rng);
        let mut profile = profile(faults, rng);
        if beginning == mirrored {
            // Far more extents than may have write intents.
            profile.extent_blocks = profile.extent_blocks.min(4);
            profile.blocks = rng.usize(40..200) * profile.extent_blocks;
        }
        if rng.usize(..if beginning == mirrored { 2 } else { 16 }) == 0 {
            // Many map pages.
            profile = Profile {
                spare_clones: SMALL_PAGES_CLONES - profile.clones,
                map_per_clone: true,
                extent_blocks: 1,
                blocks: rng.usize(200..2000),
                ..profile
            };
        }
        let differs = rng.usize(..4) == 0;
        Swarm {
            zeroes: (0..=profile.clones).filter(|_| differs && rng.bool()).collect(),
            profile,
            habits: habits(rng),
            hosts: hosts(rng),
            turns,
            weights: [
                one(&[150, 400, 400, 600], rng),
                one(&[100, 250, 400], rng),
                one(&[50, 150, 300], rng),
                one(&[20, 60, 100, 200], rng),
                if beginning == mirrored { 2 } else { one(&[20, 80, 80, 200], rng) },
                one(&[0, 0, 10, 60], rng),
                one(&[0, 0, 1, 4], rng),
                crashes,
                0,
                0,
            ],
            operator: Operator {
                ways: [
                    10,
                    one(&[0, 2, 6, 12], rng),
                    one(&[0, 1, 4], rng),
                    one(&[1, 4, 10, 30], rng),
                    one(&[0, 1, 3], rng),
                ],
                reverses: 128,
            },
            patience: one(&[0, 64, 200], rng),
            beginning,
            restarts: [16, one(&[0, 4, 8], rng), one(&[0, 2, 6], rng)],
            misfits: 32,
            damage: 0,
            read_after_loss: one(&[0, 64, 256], rng),
            completions: one(&[1, 3, 3, 8], rng),
            budget: one(&[2, 6, 6, 64], rng),
            lasting: Lasting::default(),
        }
    }
}

impl Swarm {
    /// Metadata suffers: more of it, so that not all is lost together, and power is lost often.
    pub fn suffer(&mut self, rng: &mut fastrand::Rng) {
        if rng.usize(..3) == 0 {
            self.profile.extent_blocks = 1;
            self.profile.blocks = rng.usize(1200..1600);
            self.profile.clones = rng.usize(2..5);
            self.profile.spare_clones = 0;
            self.profile.map_per_clone = rng.usize(..4) > 0;
            self.hosts.longest = 64;
            self.read_after_loss = 16;
        }
        self.habits.page_writes_max = one(&[1, 2, 4, 8], rng);
        self.turns = self.turns.min(1000);
        self.weights[4] = one(&[80, 200], rng);
        self.weights[7] = one(&[4, 12, 30], rng);
        self.beginning = Beginning::PointsInTime;
        self.damage = one(&[64, 128, 256], rng);
    }
}

/// A member of a set: small, as a host that waits for every write fills it slowly.
pub fn of_a_set(rng: &mut fastrand::Rng) -> (Profile, Habits) {
    let extent_blocks = 1 << rng.usize(0..4);
    let blocks = rng.usize(3..12) * extent_blocks - rng.usize(..extent_blocks);
    let clones = rng.usize(1..4);
    let profile = Profile { blocks, extent_blocks, clones, ..profile(false, rng) };
    (profile, Habits { reenters: 0, nonsense: 0, ..habits(rng) })
}

/// Many extents of one block, and a column for each Clone.
pub fn large(spare_clones: usize, rng: &mut fastrand::Rng) -> (Profile, Habits) {
    let drawn = profile(false, rng);
    let profile = Profile {
        blocks: rng.usize(12_000..20_000),
        extent_blocks: 1,
        clones: 1,
        spare_clones,
        copies: one(&[1, 4, 16], rng),
        map_per_clone: true,
        immediate: one(&[0, 256], rng),
        retry: 0,
        intents: one(&[16, 32], rng),
        skip_equal: false,
        ..drawn
    };
    (profile, Habits { page_writes_max: one(&[1, 2, 4], rng), forgets: true, ..Habits::default() })
}
