//! Simulated media. A block holds one number, the tag of the write that made it. An LU may have a volatile
//! cache; writes under way and unflushed writes may be kept or lost at a power loss, block by block. The
//! persistent area tears in units.

use std::cell::RefCell;

pub const BLOCK_BYTES: usize = 512;
pub const UNIT_BYTES: usize = 512;

/// What a power loss does to each thing that is not durable.
pub type Fate<'a> = &'a RefCell<dyn FnMut() -> bool>;

/// A simulated LU.
#[derive(Clone)]
pub struct Device {
    pub volatile: bool,
    /// Blocks that were written, ever.
    pub writes: usize,
    pub now: Vec<u64>,
    durable: Vec<u64>,
    cache: Vec<(usize, u64)>,
}

impl Device {
    pub fn new(content: Vec<u64>, volatile: bool) -> Device {
        Device { volatile, writes: 0, now: content.clone(), durable: content, cache: Vec::new() }
    }

    /// A write completes.
    pub fn write(&mut self, first: usize, values: &[u64], fua: bool) {
        self.writes += values.len();
        for (number, &value) in values.iter().enumerate() {
            let block = first + number;
            self.now[block] = value;
            if self.volatile && !fua {
                self.cache.push((block, value));
            } else {
                self.cache.retain(|&(cached, _)| cached != block);
                self.durable[block] = value;
            }
        }
    }

    /// A flush that is submitted now will cover this much.
    pub fn seal(&self) -> Vec<(usize, u64)> {
        self.cache.clone()
    }

    /// A flush that covers this much completes.
    pub fn flush(&mut self, sealed: &[(usize, u64)]) {
        for entry in sealed {
            let Some(at) = self.cache.iter().position(|cached| cached == entry) else { continue };
            self.durable[entry.0] = entry.1;
            // Zeroes may be newer ones than were sealed: then what lay between is past, too.
            let newer = self.cache.split_off(at + 1);
            self.cache.retain(|cached| cached.0 != entry.0);
            self.cache.extend(newer);
        }
    }

    /// What the block may hold after a power loss now.
    pub fn after_loss(&self, block: usize) -> impl Iterator<Item = u64> {
        let cached = self.cache.iter().filter(move |cached| cached.0 == block).map(|cached| cached.1);
        cached.chain(std::iter::once(self.durable[block]))
    }

    /// A flush failed, and the cache dropped all that it held.
    pub fn drop_cached(&mut self) {
        self.cache.clear();
        self.now.clone_from(&self.durable);
    }

    /// What would surely be there after a power loss.
    pub fn durable(&self) -> &[u64] {
        &self.durable
    }

    /// What is in the cache only, oldest first.
    pub fn loose(&self) -> &[(usize, u64)] {
        &self.cache
    }

    /// Power is lost. `open` are the writes under way. Of each block any version from the durable one to the
    /// last one may remain: each later version is kept or not by `fate`.
    pub fn lose_power(&mut self, open: &[(usize, u64)], fate: Fate) {
        let mut kept = self.durable.clone();
        for &(block, value) in self.cache.iter().chain(open) {
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
    pub now: Vec<u8>,
    durable: Vec<u8>,
    cache: Vec<(usize, Vec<u8>)>,
}

impl Area {
    pub fn new(bytes: usize, flushes: bool) -> Area {
        Area { flushes, now: vec![0; bytes], durable: vec![0; bytes], cache: Vec::new() }
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.now[offset..offset + bytes.len()].copy_from_slice(bytes);
        if self.flushes {
            self.cache.push((offset, bytes.to_vec()));
        } else {
            self.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
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
