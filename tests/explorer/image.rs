//! The media images that a power loss at one boundary may leave.

use crate::common::world::fork::{Loose, Mix, Snapshot, UnitFate};

/// All subsets up to here; above, a choice of them.
const ALL_SUBSETS_OF: usize = 12;
const ALL_UNITS: usize = 4;
const RANDOM_SUBSETS: usize = 256;

/// Which of the loose writes are kept: a bit for each block, above them two for each unit. Names an image in a replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image(pub u128);

/// A boundary, and what may be lost there.
pub struct Boundary {
    pub snapshot: Snapshot,
    loose: Loose,
    blocks: Vec<u64>,
    oracle: u64,
}

impl Boundary {
    /// `situation`: what Recovery may find besides what hosts may see.
    pub fn new(snapshot: Snapshot, situation: &[u32]) -> Boundary {
        let mut mix = Mix::new();
        mix.add(snapshot.oracle());
        situation.iter().for_each(|&word| mix.add(u64::from(word)));
        let loose = snapshot.loose();
        assert!(loose.blocks.len() + 2 * loose.units.len() <= 128, "more is loose than an image can name");
        Boundary { blocks: snapshot.durable_blocks(), oracle: mix.finish(), snapshot, loose }
    }

    /// Two boundaries with one signature have the same images.
    #[allow(dead_code)] // The fault loops list every boundary.
    pub fn signature(&self) -> u64 {
        let mut mix = Mix::new();
        mix.add(self.oracle);
        self.blocks.iter().for_each(|&value| mix.add(value));
        mix.add(self.loose.blocks.len() as u64);
        for &(lu, block, value) in &self.loose.blocks {
            mix.add((lu << 32 | block) as u64);
            mix.add(value);
        }
        for (offset, bytes) in &self.loose.units {
            mix.add(*offset as u64);
            mix.add_bytes(bytes);
        }
        mix.add_bytes(self.snapshot.durable_area());
        mix.finish()
    }

    /// Fates of this image, as a power loss takes them.
    pub fn fates(&self, image: Image) -> (Vec<bool>, Vec<UnitFate>) {
        let k = self.loose.blocks.len();
        let blocks = (0..k).map(|at| image.0 >> at & 1 == 1).collect();
        let units = (0..self.loose.units.len()).map(|at| match image.0 >> (k + 2 * at) & 3 {
            0 => UnitFate::Lost,
            1 => UnitFate::Kept,
            2 => UnitFate::Torn,
            _ => UnitFate::Unreadable,
        });
        (blocks, units.collect())
    }

    /// Calls for each image, with its key: two images with one key look the same and have to obey the same.
    pub fn for_each(&self, mut found: impl FnMut(Image, u64)) {
        let k = self.loose.blocks.len();
        let masks = subsets(&self.loose);
        let per_lu = self.blocks.len() / self.lus();
        let mut content = self.blocks.clone();
        for units in unit_fates(self.loose.units.len()) {
            let of_area = self.area_key(&units);
            let high =
                units.iter().enumerate().map(|(at, &fate)| (fate as u128) << (k + 2 * at)).sum::<u128>();
            for &mask in &masks {
                content.copy_from_slice(&self.blocks);
                for (at, &(lu, block, value)) in self.loose.blocks.iter().enumerate() {
                    if mask >> at & 1 == 1 {
                        content[lu * per_lu + block] = value;
                    }
                }
                let mut mix = Mix::new();
                mix.add(of_area);
                content.iter().for_each(|&value| mix.add(value));
                found(Image(mask | high), mix.finish());
            }
        }
    }

    fn lus(&self) -> usize {
        self.snapshot.lus()
    }

    fn area_key(&self, units: &[UnitFate]) -> u64 {
        let mut mix = Mix::new();
        mix.add(self.oracle);
        let mut area = self.snapshot.durable_area().to_vec();
        for ((offset, bytes), &fate) in self.loose.units.iter().zip(units) {
            match fate {
                UnitFate::Lost => {}
                UnitFate::Kept => area[*offset..offset + bytes.len()].copy_from_slice(bytes),
                UnitFate::Torn | UnitFate::Unreadable => {
                    area[*offset..offset + bytes.len() / 2].copy_from_slice(&bytes[..bytes.len() / 2]);
                }
            }
            if fate == UnitFate::Unreadable {
                mix.add(u64::MAX - *offset as u64);
            }
        }
        mix.add_bytes(&area);
        mix.finish()
    }
}

/// Every fate of a few units; of more, the same fate for all, and each one on its own. One may be unreadable.
fn unit_fates(count: usize) -> Vec<Vec<UnitFate>> {
    const FATES: [UnitFate; 3] = [UnitFate::Lost, UnitFate::Kept, UnitFate::Torn];
    let mut all: Vec<Vec<UnitFate>> = vec![Vec::new()];
    if count <= ALL_UNITS {
        for _ in 0..count {
            let longer = |fates: Vec<UnitFate>| FATES.map(|fate| [fates.clone(), vec![fate]].concat());
            all = all.into_iter().flat_map(longer).collect();
        }
    } else {
        all = FATES.map(|fate| vec![fate; count]).to_vec();
        for at in 0..count {
            for (most, one) in [(0, 1), (1, 0), (1, 2), (0, 2)] {
                let mut fates = vec![FATES[most]; count];
                fates[at] = FATES[one];
                all.push(fates);
            }
            all.push((0..count).map(|other| FATES[usize::from(other < at)]).collect());
        }
    }
    for at in 0..count {
        for rest in [UnitFate::Lost, UnitFate::Kept] {
            let mut fates = vec![rest; count];
            fates[at] = UnitFate::Unreadable;
            all.push(fates);
        }
    }
    all
}

/// Every subset of a few blocks; of more: none, all, each one lost, each one kept, every prefix and suffix, all of one
/// LU lost or kept, and random ones.
fn subsets(loose: &Loose) -> Vec<u128> {
    let k = loose.blocks.len();
    if k <= ALL_SUBSETS_OF {
        return (0..1_u128 << k).collect();
    }
    let all = (1_u128 << k) - 1;
    let mut masks = vec![0, all];
    for at in 0..k {
        let prefix = (1_u128 << at) - 1;
        masks.extend([1 << at, all ^ 1 << at, prefix, all ^ prefix]);
    }
    for lu in 0..=loose.blocks.iter().map(|block| block.0).max().unwrap_or(0) {
        let of_lu: u128 = loose
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| block.0 == lu)
            .map(|(at, _)| 1_u128 << at)
            .sum();
        masks.extend([of_lu, all ^ of_lu]);
    }
    let mut dice = fastrand::Rng::with_seed(k as u64);
    masks.extend((0..RANDOM_SUBSETS).map(|_| dice.u128(..) & all));
    masks.sort_unstable();
    masks.dedup();
    masks
}
