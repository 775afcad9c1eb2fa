//! Hosts write more at once than may have write intents, everywhere on a mirrored LU: each write goes out in its turn, and a
//! larger one is not overtaken for ever by smaller ones (R78, I7). How often one is overtaken the array counts.

use super::progress::array;
use super::swarm::{SMALL_PAGES_CLONES, one};
use crate::common::seeds::Summary;

pub fn live(seed: u64) -> Summary {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5035 << 40);
    let world = array(seed, SMALL_PAGES_CLONES - 1, &mut rng);
    let profile = world.inner.borrow().profile;
    world.settle();
    let (open, larger, completions) =
        (rng.usize(4..16), one(&[10, 40, 160], &mut rng), one(&[1, 2, 4, 100], &mut rng));
    for _ in 0..500 {
        while world.hosts_open() < open {
            let most = if rng.usize(..larger) == 0 { profile.intents as usize } else { 1 };
            let (first, count) = (rng.usize(..profile.blocks - most), rng.usize(1..=most));
            let blocks = first..first + count;
            if !world.inner.borrow().models[0][blocks].iter().any(|block| block.is_open()) {
                world.write(first, count);
            }
            world.poll(4);
        }
        world.step(4);
        world.complete_some(completions);
    }
    world.settle();
    world.check_lu_now(0);
    Summary::of(&world)
}
