//! What lives draw from their seeds: arrays, and what hosts do.

use ::clone_group::ffi::types::*;

use super::world::{Inner, Profile, World};

/// An array of moderate size.
pub fn profile(rng: &mut fastrand::Rng) -> Profile {
    let extent_blocks = 1 << rng.usize(0..4);
    let extents = if rng.usize(..8) == 0 { 1900 } else { rng.usize(3..40) };
    let tail = if extent_blocks > 1 { rng.usize(..extent_blocks) } else { 0 };
    let skip_equal = rng.usize(..4) == 0;
    Profile {
        blocks: (extents * extent_blocks - tail).min(4000),
        extent_blocks,
        clones: rng.usize(1..4),
        spare_clones: 0,
        copies: rng.u32(1..5),
        copy_blocks: 1 << rng.u32(u32::from(skip_equal)..6),
        volatile: rng.bool(),
        host_durable: rng.bool(),
        redirect: rng.bool(),
        persist_flush: rng.bool(),
        discard_zeroes: rng.bool(),
        offload: rng.usize(..4) == 0,
        map_per_clone: rng.bool(),
        immediate: [0, 64, 200, 256][rng.usize(..4)],
        retry: if rng.usize(..3) == 0 { 20 } else { 0 },
        faults: 0,
        metadata_faults: 0,
        intents: 16,
        skip_equal,
    }
}

/// The same with I/Os and metadata writes that fail now and then.
pub fn with_faults(profile: Profile, rng: &mut fastrand::Rng) -> Profile {
    Profile {
        faults: [0, 100, 1000][rng.usize(..3)],
        metadata_faults: [0, 200, 2000][rng.usize(..3)],
        ..profile
    }
}

/// A request of a host.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub operation: u32,
    pub lu: usize,
    pub first: usize,
    pub count: usize,
    pub fua: bool,
    /// The payload of a write changes until it is done (R51).
    pub unstable: bool,
}

impl Request {
    pub fn changes_blocks(&self) -> bool {
        self.operation != CLONE_GROUP_IO_READ && self.operation != CLONE_GROUP_IO_FLUSH
    }

    /// Sends it. An invalid Source refuses everything. Returns its tag if it is not over yet.
    pub fn send(&self, world: &World) -> Option<u64> {
        let invalid = self.lu == 0 && is_invalid(world);
        let flags = if self.fua { CLONE_GROUP_HOST_FUA } else { 0 }
            | if self.unstable { CLONE_GROUP_HOST_UNSTABLE } else { 0 };
        let (tag, status) = world.host_with(self.operation, self.lu, self.first, self.count, flags);
        let refusals = [CLONE_GROUP_ERR_SOURCE_INVALID, CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_CLOSED];
        let refused = status.is_some_and(|status| refusals.contains(&status));
        assert!(refused || !invalid, "an invalid Source is served");
        status.is_none().then_some(tag)
    }
}

pub fn is_invalid(world: &World) -> bool {
    world.info().conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0
}

/// How hosts draw their requests.
#[derive(Clone, Copy, Debug)]
pub struct Hosts {
    /// Weights of writes, reads, zeroes, discards and flushes.
    pub mix: [u32; 5],
    /// One of so many goes to a Clone, if one is a point in time. 0: none.
    pub to_clones: u32,
    /// Of 256: requests for whole extents, so that nothing has to be copied first.
    pub whole: u32,
    /// Of 256: requests that begin in the hot spot, and where that is, in 65536ths of the LU.
    pub hot: u32,
    pub hot_at: (u32, u32),
    /// Of 256: requests that begin where an engine of the library is at work.
    pub chase: u32,
    /// The longest request, in extents.
    pub longest: usize,
    /// Of 256: writes with FUA.
    pub fua: u32,
    /// Open at a time.
    pub open_max: usize,
}

/// As hosts of most tests are.
pub const HOSTS: Hosts = Hosts {
    mix: [9, 8, 1, 1, 1],
    to_clones: 5,
    whole: 85,
    hot: 0,
    hot_at: (0, 1),
    chase: 0,
    longest: 4,
    fua: 64,
    open_max: 12,
};

impl Hosts {
    /// The next request; `None` if hosts have enough to wait for, or drew something that they write already: of that
    /// nobody promises an order, and only those who say so do it.
    pub fn draw(&self, world: &World, rng: &mut fastrand::Rng) -> Option<Request> {
        if world.hosts_open() >= self.open_max {
            return None;
        }
        let inner = world.inner.borrow();
        let profile = inner.profile;
        let fractured: Vec<usize> = (1..=profile.clones).filter(|&lu| inner.usable[lu]).collect();
        let lu = if self.to_clones > 0 && !fractured.is_empty() && rng.u32(..self.to_clones) == 0 {
            fractured[rng.usize(..fractured.len())]
        } else {
            0
        };
        let chases = self.chase > 0 && rng.u32(..256) < self.chase;
        let chased = if chases { inner.any_at_work(rng) } else { None };
        let (lu, first) = match chased {
            Some(block) => (self.draw_chased(&inner, rng).unwrap_or(lu), block),
            None => (lu, self.draw_first(profile.blocks, rng)),
        };
        let rest = profile.blocks - first;
        let (first, count) = if rng.u32(..256) < self.whole {
            let start = first / profile.extent_blocks * profile.extent_blocks;
            let count = profile.extent_blocks * rng.usize(1..=self.longest.max(2) - 1);
            (start, count.min(profile.blocks - start))
        } else {
            (first, rng.usize(1..=rest.min(self.longest * profile.extent_blocks)))
        };
        let fua = rng.u32(..256) < self.fua;
        let operation = self.draw_operation(rng);
        let changes = inner.habits.unstable > 0 && operation == CLONE_GROUP_IO_WRITE;
        let unstable = changes && rng.u32(..256) < inner.habits.unstable;
        let request = Request { operation, lu, first, count, fua, unstable };
        let busy = request.changes_blocks()
            && !inner.habits.overlaps
            && inner.models[lu][first..first + count].iter().any(|block| block.is_open());
        (!busy).then_some(request)
    }

    /// A Clone that is compared with the Source, if hosts may write it.
    fn draw_chased(&self, inner: &Inner, rng: &mut fastrand::Rng) -> Option<usize> {
        inner.verified().filter(|&lu| self.to_clones > 0 && inner.usable[lu] && rng.usize(..4) > 0)
    }

    fn draw_first(&self, blocks: usize, rng: &mut fastrand::Rng) -> usize {
        if rng.u32(..256) >= self.hot {
            return rng.usize(..blocks);
        }
        let at = |part: u32| blocks * part as usize / 65536;
        let (first, end) = (at(self.hot_at.0), at(self.hot_at.0 + self.hot_at.1));
        rng.usize(first..end.clamp(first + 1, blocks))
    }

    fn draw_operation(&self, rng: &mut fastrand::Rng) -> u32 {
        const OPERATIONS: [u32; 5] = [
            CLONE_GROUP_IO_WRITE,
            CLONE_GROUP_IO_READ,
            CLONE_GROUP_IO_WRITE_ZEROES,
            CLONE_GROUP_IO_DISCARD,
            CLONE_GROUP_IO_FLUSH,
        ];
        OPERATIONS[weighted(&self.mix, rng)]
    }
}

/// Draws an index by its weight.
pub fn weighted(weights: &[u32], rng: &mut fastrand::Rng) -> usize {
    let mut dice = rng.u32(..weights.iter().sum::<u32>());
    weights
        .iter()
        .position(|&weight| {
            let hit = dice < weight;
            dice = dice.wrapping_sub(weight);
            hit
        })
        .expect("the weights have a sum")
}
