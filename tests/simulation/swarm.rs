//! What a seed makes of an array, its hosts and its operator: each draws its own weights, so that some lives do a few
//! things again and again that others hardly do at all.

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
    PowerLoss,
}

pub const TURNS: [Turn; 7] =
    [Turn::Host, Turn::Complete, Turn::Poll, Turn::Step, Turn::Operate, Turn::Abort, Turn::PowerLoss];

#[derive(Clone, Debug)]
pub struct Swarm {
    pub profile: Profile,
    pub habits: Habits,
    pub hosts: Hosts,
    pub turns: usize,
    /// Weights of `TURNS`.
    pub weights: [u32; 7],
    /// Weights of the operator's ways: what comes next, leaving a copy early, anything at all, Verify, pausing.
    pub operator: [u32; 5],
    /// LUs that declare zeroes after a discard, besides what the profile says.
    pub zeroes: Vec<usize>,
    /// Every Clone is a point in time at the beginning.
    pub prepared: bool,
    /// Of 256: blocks that are read right after a power loss. The others are left to hosts.
    pub read_after_loss: u32,
    /// I/Os completed in a turn, at most, and the budget of polls.
    pub completions: usize,
    pub budget: u32,
}

fn one<T: Copy>(of: &[T], rng: &mut fastrand::Rng) -> T {
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
    pub fn draw(faults: bool, rng: &mut fastrand::Rng) -> Swarm {
        // One in 24 is a long life.
        let turns = if rng.usize(..24) == 0 { rng.usize(3000..6000) } else { rng.usize(200..1000) };
        let crashes = one(&[0, 1, 4, 12], rng);
        let profile = profile(faults, rng);
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
                one(&[20, 80, 80, 200], rng),
                one(&[0, 0, 10, 60], rng),
                crashes,
            ],
            operator: [
                10,
                one(&[0, 2, 6, 12], rng),
                one(&[0, 1, 4], rng),
                one(&[1, 4, 10, 30], rng),
                one(&[0, 1, 3], rng),
            ],
            prepared: rng.bool(),
            read_after_loss: one(&[0, 64, 256], rng),
            completions: one(&[1, 3, 3, 8], rng),
            budget: one(&[2, 6, 6, 64], rng),
        }
    }
}

/// A member of a set: small, as a host that waits for every write fills it slowly.
pub fn of_a_set(rng: &mut fastrand::Rng) -> (Profile, Habits) {
    let extent_blocks = 1 << rng.usize(0..4);
    let blocks = rng.usize(3..12) * extent_blocks - rng.usize(..extent_blocks);
    let clones = rng.usize(1..4);
    let profile = Profile { blocks, extent_blocks, clones, ..profile(false, rng) };
    (profile, Habits { reenters: 0, ..habits(rng) })
}
