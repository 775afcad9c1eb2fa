//! Simulated media. A block holds one number, the tag of the write that made it. An LU may have a volatile
//! cache; writes under way and unflushed writes may be kept or lost at a power loss, block by block. The
//! persistent area tears in units.

use std::cell::RefCell;

pub const BLOCK_BYTES: usize = 512;
pub const UNIT_BYTES: usize = 512;

/// What a power loss does to each thing that is not durable.
pub type Fate<'a> = &'a RefCell<dyn FnMut() -> bool>;

/// A block of a write that is in the cache only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cached {
    block: usize,
    value: u64,
    /// Of several writes of one value, zeroes, each is another one.
    number: usize,
}

/// A simulated LU.
#[derive(Clone)]
pub struct Device {
    pub volatile: bool,
    /// Blocks that were written, ever.
    pub writes: usize,
    pub now: Vec<u64>,
    durable: Vec<u64>,
    cache: Vec<Cached>,
}

impl Device {
    pub fn new(content: Vec<u64>, volatile: bool) -> Device {
        Device { volatile, writes: 0, now: content.clone(), durable: content, cache: Vec::new() }
    }

    /// A write completes.
    pub fn write(&mut self, first: usize, values: &[u64], fua: bool) {
        for (block, &value) in (first..).zip(values) {
            self.writes += 1;
            self.now[block] = value;
            if self.volatile && !fua {
                self.cache.push(Cached { block, value, number: self.writes });
            } else {
                self.cache.retain(|cached| cached.block != block);
                self.durable[block] = value;
            }
        }
    }

    /// A flush that is submitted now will cover this much.
    pub fn seal(&self) -> Vec<Cached> {
        self.cache.clone()
    }

    /// A flush that covers this much completes.
    pub fn flush(&mut self, sealed: &[Cached]) {
        for entry in sealed {
            if let Some(at) = self.cache.iter().position(|cached| cached == entry) {
                self.cache.remove(at);
                self.durable[entry.block] = entry.value;
            }
        }
    }

    /// What the block may hold after a power loss now.
    pub fn after_loss(&self, block: usize) -> impl Iterator<Item = u64> {
        let cached = self.cache.iter().filter(move |cached| cached.block == block).map(|cached| cached.value);
        cached.chain(std::iter::once(self.durable[block]))
    }

    /// A flush failed, and the cache dropped all that it held.
    pub fn drop_cached(&mut self) {
        self.cache.clear();
        self.now.clone_from(&self.durable);
    }

    /// A flush failed, and of what the cache held it goes on to return some, by block and value, though that is not
    /// durable and no later flush makes it so, as page caches do. The rest is dropped.
    pub fn count_as_clean(&mut self, returned: impl Fn(usize, u64) -> bool) {
        for Cached { block, .. } in std::mem::take(&mut self.cache) {
            if !returned(block, self.now[block]) {
                self.now[block] = self.durable[block];
            }
        }
    }

    /// What counted as clean and is not durable is not returned any more.
    pub fn evict(&mut self) {
        self.now.clone_from(&self.durable);
        self.cache.iter().for_each(|cached| self.now[cached.block] = cached.value);
    }

    /// What would surely be there after a power loss.
    pub fn durable(&self) -> &[u64] {
        &self.durable
    }

    /// What is in the cache only, oldest first.
    pub fn loose(&self) -> impl Iterator<Item = (usize, u64)> {
        self.cache.iter().map(|cached| (cached.block, cached.value))
    }

    /// Power is lost. `open` are the writes under way. Of each block any version from the durable one to the
    /// last one may remain: each later version is kept or not by `fate`.
    pub fn lose_power(&mut self, open: &[(usize, u64)], fate: Fate) {
        let mut kept = self.durable.clone();
        for (block, value) in self.loose().chain(open.iter().copied()) {
            if (fate.borrow_mut())() {
                kept[block] = value;
            }
        }
        self.cache.clear();
        self.now = kept.clone();
        self.durable = kept;
    }
}

/// The simulated persistent area.
#[derive(Clone)]
pub struct Area {
    pub flushes: bool,
    /// How often it was written.
    pub writes: usize,
    pub now: Vec<u8>,
    durable: Vec<u8>,
    cache: Vec<(usize, Vec<u8>)>,
}

impl Area {
    pub fn new(bytes: usize, flushes: bool) -> Area {
        Area { flushes, writes: 0, now: vec![0; bytes], durable: vec![0; bytes], cache: Vec::new() }
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.writes += 1;
        self.now[offset..offset + bytes.len()].copy_from_slice(bytes);
        if self.flushes {
            self.cache.push((offset, bytes.to_vec()));
        } else {
            self.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// A flush failed, and what was written since the last one is lost.
    pub fn drop_cached(&mut self) {
        self.cache.clear();
        self.now.clone_from(&self.durable);
    }

    /// Somebody changed what lies there.
    pub fn replace(&mut self, bytes: &[u8]) {
        self.cache.clear();
        self.now = bytes.to_vec();
        self.durable = bytes.to_vec();
    }

    pub fn seal(&self) -> usize {
        self.cache.len()
    }

    pub fn flush(&mut self, sealed: usize) {
        for (offset, bytes) in self.cache.drain(..sealed.min(self.cache.len())) {
            self.durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// What would surely be there after a power loss.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// What was written and not flushed, oldest first.
    pub fn loose(&self) -> &[(usize, Vec<u8>)] {
        &self.cache
    }

    pub fn lose_power(&mut self, open: &[(usize, Vec<u8>)], fate: Fate) {
        let mut kept = self.durable.clone();
        for (offset, bytes) in self.cache.iter().chain(open) {
            for (number, unit) in bytes.chunks(UNIT_BYTES).enumerate() {
                let at = offset + number * UNIT_BYTES;
                if (fate.borrow_mut())() {
                    kept[at..at + unit.len()].copy_from_slice(unit);
                } else if (fate.borrow_mut())() {
                    // Torn inside the unit: it holds neither.
                    let half = unit.len() / 2;
                    kept[at..at + half].copy_from_slice(&unit[..half]);
                }
            }
        }
        self.cache.clear();
        self.now = kept.clone();
        self.durable = kept;
    }
}
