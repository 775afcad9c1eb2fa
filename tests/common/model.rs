//! The reference model: what a host may read. An LU is an array of blocks; a block is a few sets of values, now and after
//! a power loss (section 1 of the protocol). No knowledge of how the library works, no maps, no queues: requests begin
//! and end one after another. What several reads say together is the business of `history.rs`.

/// A write that is over, or not yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Write {
    value: u64,
    began: u64,
    ended: u64,
}

impl Write {
    /// Whether the other one lies wholly behind this one, and so replaces it.
    fn is_before(&self, other: &Write) -> bool {
        self.ended < other.began
    }
}

/// One block of an LU that hosts use.
#[derive(Clone, Default, Debug)]
pub struct Block {
    /// Begins and ends that there were.
    moments: u64,
    /// What a read that begins now may return, but for writes under way.
    current: Vec<Write>,
    /// What the block may hold if everything since the last durable point is lost.
    base: Vec<Write>,
    /// Acknowledged since then, oldest first.
    recent: Vec<Write>,
    /// Writes that were acknowledged, ever: names a point in time for a flush.
    acknowledged: usize,
    /// Under way.
    open: Vec<Write>,
    /// Failed: may or may not be there.
    maybe: Vec<Write>,
    /// Open when a flush failed: perhaps in the cache by then, and lost, though the word of it is still on its way.
    suspect: Vec<u64>,
}

fn values<'a>(writes: impl Iterator<Item = &'a Write>) -> Vec<u64> {
    writes.map(|write| write.value).collect()
}

impl Block {
    pub fn holding(values: Vec<u64>) -> Block {
        let writes: Vec<Write> =
            values.into_iter().map(|value| Write { value, began: 0, ended: 0 }).collect();
        Block { current: writes.clone(), base: writes, ..Block::default() }
    }

    /// A write is submitted.
    pub fn begin(&mut self, value: u64) {
        self.moments += 1;
        self.open.push(Write { value, began: self.moments, ended: u64::MAX });
    }

    /// It is acknowledged; `durable` if that means durable. Of writes that overlap any one may be the last.
    pub fn acknowledge(&mut self, value: u64, durable: bool) {
        if self.suspect.contains(&value) {
            return self.fail(value);
        }
        let write = self.close(value);
        self.current.retain(|older| !older.is_before(&write));
        self.current.push(write);
        self.acknowledged += 1;
        if durable {
            for writes in [&mut self.base, &mut self.recent, &mut self.maybe] {
                writes.retain(|older| !older.is_before(&write));
            }
            self.base.push(write);
        } else {
            self.recent.push(write);
        }
    }

    /// It failed, or is a discard: the block may hold the old or the new.
    pub fn fail(&mut self, value: u64) {
        let write = self.close(value);
        self.current.push(write);
        self.maybe.push(write);
    }

    /// It was refused before it went anywhere.
    pub fn refuse(&mut self, value: u64) {
        self.close(value);
    }

    fn close(&mut self, value: u64) -> Write {
        self.moments += 1;
        // Of several with one value, zeroes, nobody knows which one it is: let it be the oldest, and leave the oldest.
        let oldest = self.open.iter().find(|open| open.value == value).map(|open| open.began);
        if let Some(at) = self.open.iter().rposition(|open| open.value == value) {
            self.open.remove(at);
            if let Some(left) = self.open.iter_mut().find(|open| open.value == value) {
                left.began = oldest.unwrap_or_default();
            }
        }
        let began = oldest.unwrap_or(self.moments);
        Write { value, began, ended: self.moments }
    }

    /// What a flush that is submitted now covers.
    pub fn seal(&self) -> usize {
        self.acknowledged
    }

    /// Such a flush is acknowledged.
    pub fn flush(&mut self, sealed: usize) {
        let kept = self.acknowledged - sealed;
        let covered = self.recent.len().saturating_sub(kept);
        if covered > 0 {
            let flushed: Vec<Write> = self.recent.drain(..covered).collect();
            self.base.extend(&flushed);
            self.base.retain(|older| !flushed.iter().any(|write| older.is_before(write)));
        }
    }

    /// What a read may return that begins now.
    pub fn readable(&self) -> Vec<u64> {
        values(self.current.iter().chain(&self.open))
    }

    /// The same without writes under way.
    pub fn settled(&self) -> Vec<u64> {
        values(self.current.iter())
    }

    /// What may be there after a power loss now.
    pub fn legal_after_loss(&self) -> Vec<u64> {
        values(self.base.iter().chain(&self.recent).chain(&self.open).chain(&self.maybe))
    }

    /// There was one: the block holds one of these values, for good (R59).
    pub fn lose_power(&mut self) {
        *self = Block::holding(self.legal_after_loss());
    }

    /// A host saw this. If nothing was written since a power loss, that is what the block holds, also after the next
    /// one (R59).
    pub fn see(&mut self, value: u64) {
        if self.moments == 0 && self.current.len() > 1 {
            *self = Block::holding(vec![value]);
        }
    }

    /// A flush failed: what was acknowledged and not flushed may be gone, or not.
    pub fn lose_cached(&mut self) {
        // A later flush that works does not make it durable (R24).
        self.maybe.append(&mut self.recent);
        self.suspect.extend(self.open.iter().map(|open| open.value));
        for write in self.base.iter().chain(&self.maybe) {
            if !self.current.contains(write) {
                self.current.push(*write);
            }
        }
    }

    /// Another write overlaps this one, which is under way: either may be the last.
    pub fn is_overlapped(&self, value: u64) -> bool {
        let began = self.open.iter().find(|open| open.value == value).map_or(0, |open| open.began);
        self.open.len() > 1 || self.current.iter().any(|write| write.ended > began)
    }

    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}
