//! The writes of a host that waits for each before the next, to several arrays.

use crate::common::world::Placed;

/// The writes in their order, since all arrays held what `base` says.
pub struct Log {
    pub base: Vec<Vec<u64>>,
    /// Array, block, value.
    pub writes: Vec<(usize, usize, u64)>,
    pub acknowledged: usize,
    /// Array and tag of the last one, while it is under way.
    pub open: Option<(usize, u64)>,
    /// The last one failed: it is there, or not. The host stops.
    pub failed: bool,
}

impl Log {
    pub fn of(worlds: &[Placed]) -> Log {
        Log { base: contents(worlds, 0), writes: Vec::new(), acknowledged: 0, open: None, failed: false }
    }

    /// The last one is over.
    pub fn end(&mut self, acknowledged: bool) {
        self.open = None;
        self.acknowledged += usize::from(acknowledged);
        self.failed |= !acknowledged;
    }

    /// How many of the writes are there.
    pub fn ends(&self) -> std::ops::RangeInclusive<usize> {
        self.acknowledged..=self.writes.len()
    }

    /// Whether `of`, with the writes from one cut to another, is `content`; the cuts lie in these ranges.
    pub fn explains(
        &self,
        content: &[Vec<u64>],
        of: &[Vec<u64>],
        from: std::ops::RangeInclusive<usize>,
        to: std::ops::RangeInclusive<usize>,
    ) -> bool {
        from.into_iter().any(|first| {
            let mut arrays = of.to_vec();
            let apply = |arrays: &mut Vec<Vec<u64>>, writes: &[(usize, usize, u64)]| {
                writes.iter().for_each(|&(array, block, value)| arrays[array][block] = value);
            };
            apply(&mut arrays, &self.writes[first..first.max(*to.start())]);
            to.clone().filter(|&end| end >= first).any(|end| {
                if end > first.max(*to.start()) {
                    apply(&mut arrays, &self.writes[end - 1..end]);
                }
                arrays == content
            })
        })
    }
}

/// What an LU of each array holds.
pub fn contents(worlds: &[Placed], lu: usize) -> Vec<Vec<u64>> {
    worlds.iter().map(|world| world.inner.borrow().devices[lu].now.clone()).collect()
}
