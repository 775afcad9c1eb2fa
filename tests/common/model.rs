//! What a host may read: the legal values of each block, now and after a power loss (section 1 of the
//! protocol). Plain sets, no knowledge of how the library works.

/// One block of an LU that hosts use.
#[derive(Clone, Default, Debug)]
pub struct Block {
    /// What a read that begins now may return, but for writes under way.
    pub current: Vec<u64>,
    /// What the block may hold if everything since the last durable point is lost.
    base: Vec<u64>,
    /// Acknowledged since then, oldest first.
    recent: Vec<u64>,
    /// Writes that were acknowledged, ever: names a point in time for a flush.
    acknowledged: usize,
    /// Under way.
    open: Vec<u64>,
    /// Failed: may or may not be there.
    maybe: Vec<u64>,
    /// Open when a flush failed: perhaps in the cache by then, and lost, though the word of it is still on its way.
    suspect: Vec<u64>,
}

impl Block {
    pub fn holding(values: Vec<u64>) -> Block {
        Block { current: values.clone(), base: values, ..Block::default() }
    }

    /// A write is submitted.
    pub fn begin(&mut self, value: u64) {
        self.open.push(value);
    }

    /// It is acknowledged; `durable` if that means durable.
    pub fn acknowledge(&mut self, value: u64, durable: bool) {
        if self.suspect.contains(&value) {
            return self.fail(value);
        }
        self.close(value);
        self.current = vec![value];
        self.acknowledged += 1;
        if durable {
            self.base = vec![value];
            self.recent.clear();
            self.maybe.clear();
        } else {
            self.recent.push(value);
        }
    }

    /// It failed, or is a discard: the block may hold the old or the new.
    pub fn fail(&mut self, value: u64) {
        self.close(value);
        self.current.push(value);
        self.maybe.push(value);
    }

    /// It was refused before it went anywhere.
    pub fn refuse(&mut self, value: u64) {
        self.close(value);
    }

    fn close(&mut self, value: u64) {
        if let Some(at) = self.open.iter().position(|&open| open == value) {
            self.open.remove(at);
        }
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
            self.base = vec![self.recent[covered - 1]];
            self.recent.drain(..covered);
        }
    }

    /// What a read may return that begins now.
    pub fn readable(&self) -> Vec<u64> {
        self.current.iter().chain(&self.open).copied().collect()
    }

    /// What may be there after a power loss now.
    pub fn legal_after_loss(&self) -> Vec<u64> {
        self.base.iter().chain(&self.recent).chain(&self.open).chain(&self.maybe).copied().collect()
    }

    /// A flush failed: what was acknowledged and not flushed may be gone, or not.
    pub fn lose_cached(&mut self) {
        // A later flush that works does not make it durable (R24).
        self.maybe.append(&mut self.recent);
        self.suspect.extend(&self.open);
        self.current = self.current.iter().chain(&self.base).chain(&self.maybe).copied().collect();
    }

    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}
