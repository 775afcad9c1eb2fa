//! Looks into the persistent area as docs/format.md describes it, without the library: which bits are
//! durable, and what does the superblock say?

use std::ops::Range;

/// What the simulation needs to know of the layout.
#[derive(Clone, Copy)]
pub struct Format {
    pub superblock_bytes: usize,
    pub page_bytes: usize,
    pub page_extents: usize,
    pub pages: usize,
    /// Delta columns: one, or one for each Clone.
    pub deltas: usize,
}

/// What a superblock says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    pub sequence: u64,
    flags: u32,
    pub restore_generation: u64,
    pub restoring: usize,
    pub reversing: usize,
    /// By LU, from 1.
    clones: Vec<CloneRecord>,
}

/// What it says of a Clone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloneRecord {
    pub state: u32,
    flags: u32,
    synced_below: u64,
}

fn word(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(image[at..at + 4].try_into().unwrap())
}

fn long(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..at + 8].try_into().unwrap())
}

impl Superblock {
    /// `None` if the image is not valid.
    pub fn of(image: &[u8]) -> Option<Superblock> {
        let (body, crc) = image.split_at(image.len() - 4);
        if &image[..8] != b"CLONEGRP" || crc32fast::hash(body).to_le_bytes() != crc {
            return None;
        }
        let record =
            |at: &[u8]| CloneRecord { state: word(at, 0), flags: word(at, 4), synced_below: long(at, 8) };
        let records = word(image, 72) as usize;
        Some(Superblock {
            sequence: long(image, 32),
            flags: word(image, 52),
            restore_generation: long(image, 88),
            restoring: word(image, 96) as usize,
            reversing: word(image, 100) as usize,
            clones: image[128..128 * (records + 1)].chunks(128).map(record).collect(),
        })
    }

    pub fn record(&self, lu: usize) -> CloneRecord {
        self.clones[lu - 1]
    }

    pub fn source_is_invalid(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Whether the group is prepared for a set (R77).
    pub fn is_prepared(&self) -> bool {
        self.flags & 4 != 0
    }

    /// Whether the extent of the Clone counts as different without a bit (R73).
    pub fn is_full(&self, extent: usize, lu: usize) -> bool {
        let CloneRecord { flags, synced_below, .. } = self.record(lu);
        flags & 1 != 0 && extent as u64 >= synced_below
    }

    /// Whether it says the same, with another sequence number.
    pub fn says_the_same(&self, other: &Superblock) -> bool {
        *self == Superblock { sequence: self.sequence, ..other.clone() }
    }
}

impl CloneRecord {
    /// A write to it, or a flush of it, failed.
    pub fn has_failed(&self) -> bool {
        self.flags & 2 != 0
    }

    /// It will be a point in time if the set is committed (R77).
    pub fn is_prepared(&self) -> bool {
        self.flags & 12 != 0
    }
}

impl Format {
    pub fn new(
        extents: usize,
        clones_max: usize,
        map_per_clone: bool,
        page_bytes: usize,
        unit_bytes: usize,
    ) -> Format {
        let deltas = if map_per_clone { clones_max } else { 1 };
        let superblock_bytes = (128 + 128 * clones_max + 4).next_multiple_of(unit_bytes);
        let page_extents = (page_bytes - 64) / (deltas + 1) / 8 * 64;
        Format { superblock_bytes, page_bytes, page_extents, pages: extents.div_ceil(page_extents), deltas }
    }

    fn region_bytes(&self) -> usize {
        self.superblock_bytes + self.pages * self.page_bytes
    }

    /// Where both copies of each page lie.
    pub fn page_copies(&self) -> Vec<Range<usize>> {
        (0..self.pages).flat_map(|page| [self.page_copy(0, page), self.page_copy(1, page)]).collect()
    }

    fn page_copy(&self, slot: usize, page: usize) -> Range<usize> {
        let at = slot * self.region_bytes() + self.superblock_bytes + page * self.page_bytes;
        at..at + self.page_bytes
    }

    /// Where both slots of the superblock lie.
    pub fn slots(&self) -> [Range<usize>; 2] {
        [0, self.region_bytes()].map(|at| at..at + self.superblock_bytes)
    }

    /// Whether this place of the area is a slot.
    pub fn is_slot(&self, offset: usize) -> bool {
        self.slots().iter().any(|slot| slot.start == offset)
    }

    /// The newest valid superblock.
    pub fn superblock(&self, area: &[u8]) -> Option<Superblock> {
        let valid = self.slots().into_iter().filter_map(|slot| Superblock::of(&area[slot]));
        valid.max_by_key(|superblock| superblock.sequence)
    }

    /// The newest valid copy of the page.
    pub fn page<'a>(&self, area: &'a [u8], page: usize) -> Option<&'a [u8]> {
        let copy = |slot: usize| {
            let image = &area[self.page_copy(slot, page)];
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&image[..60]);
            hasher.update(&image[64..]);
            (&image[..4] == b"CGPG" && hasher.finalize() == word(image, 60)).then_some(image)
        };
        copy(0).into_iter().chain(copy(1)).max_by_key(|image| long(image, 32))
    }

    /// Bit of the Persistent Delta Map that counts for this Clone.
    pub fn delta(&self, area: &[u8], extent: usize, lu: usize) -> bool {
        self.bit(area, extent, self.delta_column(lu), None)
    }

    /// Column of the Persistent Delta Map that counts for this Clone.
    pub fn delta_column(&self, lu: usize) -> usize {
        if self.deltas > 1 { lu - 1 } else { 0 }
    }

    /// Whether the durable superblock counts the extent of the Clone as different without a bit (R73).
    pub fn is_full(&self, area: &[u8], extent: usize, lu: usize) -> bool {
        self.superblock(area).is_some_and(|superblock| superblock.is_full(extent, lu))
    }

    /// Whether the durable superblock says that the group is prepared for a set (R77).
    pub fn is_prepared(&self, area: &[u8]) -> bool {
        self.superblock(area).is_some_and(|superblock| superblock.is_prepared())
    }

    /// The number of the page of which this is an image.
    pub fn number_of(&self, image: &[u8]) -> usize {
        long(image, 24) as usize
    }

    /// The bytes of a column of this image.
    pub fn column<'a>(&self, image: &'a [u8], column: usize) -> &'a [u8] {
        let bytes = self.page_extents / 8;
        &image[64 + column * bytes..][..bytes]
    }

    /// Extents that this image of a page protects in this restore.
    pub fn protected_by(&self, image: &[u8], generation: u64) -> Vec<usize> {
        if &image[..4] != b"CGPG" || long(image, 40) != generation {
            return Vec::new();
        }
        let first = self.number_of(image) * self.page_extents;
        let column = self.column(image, self.deltas);
        (0..self.page_extents).filter(|&inside| is_set(column, inside)).map(|inside| first + inside).collect()
    }

    /// Bit of the Protected Restore Map of this restore.
    pub fn protected_restore(&self, area: &[u8], extent: usize, generation: u64) -> bool {
        self.bit(area, extent, self.deltas, Some(generation))
    }

    fn bit(&self, area: &[u8], extent: usize, column: usize, generation: Option<u64>) -> bool {
        let Some(image) = self.page(area, extent / self.page_extents) else { return false };
        if generation.is_some_and(|generation| generation != long(image, 40)) {
            return false;
        }
        is_set(self.column(image, column), extent % self.page_extents)
    }
}

/// A bit of a column.
pub fn is_set(column: &[u8], inside: usize) -> bool {
    column[inside / 8] >> (inside % 8) & 1 == 1
}
