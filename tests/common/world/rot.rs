//! Silent decay of a medium.

use super::super::model::Block;
use super::World;

/// What decay makes of a value: no host writes such a one.
const ROTTEN: u64 = 1 << 61;

impl World {
    /// A block of the LU decays, and nobody is told. Hosts that use the LU read it so.
    pub fn rot(&self, lu: usize, block: usize) {
        let inner = &mut *self.inner.borrow_mut();
        let value = inner.devices[lu].now[block] ^ ROTTEN;
        inner.devices[lu].write(block, &[value], true);
        inner.rotten.push((lu, block));
        inner.end_histories(lu);
        inner.models[lu][block] = Block::holding(vec![value]);
    }
}
