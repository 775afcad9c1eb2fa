//! Looks into the persistent area as docs/format.md describes it, without the library: which bits are
//! durable, and what does the superblock say?

use std::ops::Range;

use super::superblock::Superblock;

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

    pub(super) fn region_bytes(&self) -> usize {
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

    /// Whether this place of the area is a slot.
    pub fn is_slot(&self, offset: usize) -> bool {
        self.slots().iter().any(|slot| slot.start == offset)
    }

    /// Both copies of the page, where they are valid.
    pub fn copies<'a>(&self, area: &'a [u8], page: usize) -> [Option<&'a [u8]>; 2] {
        [0, 1].map(|slot| {
            let image = &area[self.page_copy(slot, page)];
            is_page(image).then_some(image)
        })
    }

    /// Which copy of the page counts.
    pub fn newest_copy(&self, area: &[u8], page: usize) -> Option<usize> {
        let copies = self.copies(area, page);
        let sequence = |copy: &usize| copies[*copy].map(page_sequence);
        (0..2).filter(|&copy| copies[copy].is_some()).max_by_key(sequence)
    }

    /// The newest valid copy of the page.
    pub fn page<'a>(&self, area: &'a [u8], page: usize) -> Option<&'a [u8]> {
        self.copies(area, page).into_iter().flatten().max_by_key(|image| page_sequence(image))
    }

    /// Extents of a page; of the last one, some that are not there.
    pub fn extents_of(&self, page: usize) -> Range<usize> {
        page * self.page_extents..(page + 1) * self.page_extents
    }

    /// Where the other copy lies of the page, or the superblock, whose copy begins there.
    pub fn other_copy(&self, offset: usize) -> usize {
        let region = self.region_bytes();
        if offset < region { offset + region } else { offset - region }
    }

    /// The sequence number of a page or of a superblock, if it is valid.
    pub fn sequence(&self, image: &[u8]) -> Option<u64> {
        if is_page(image) {
            return Some(page_sequence(image));
        }
        Superblock::in_slot(image).map(|superblock| superblock.sequence())
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
        u64::from_le_bytes(image[24..32].try_into().unwrap()) as usize
    }

    /// The bytes of a column of this image.
    pub fn column<'a>(&self, image: &'a [u8], column: usize) -> &'a [u8] {
        let bytes = self.page_extents / 8;
        &image[64 + column * bytes..][..bytes]
    }

    /// Extents that this image of a page protects in this restore.
    pub fn protected_by(&self, image: &[u8], generation: u64) -> Vec<usize> {
        let of_page = page_generation(image);
        if &image[..4] != b"CGPG" || of_page != generation {
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
        let of_page = page_generation(image);
        if generation.is_some_and(|generation| generation != of_page) {
            return false;
        }
        is_set(self.column(image, column), extent % self.page_extents)
    }
}

/// A bit of a column.
pub fn is_set(column: &[u8], inside: usize) -> bool {
    column[inside / 8] >> (inside % 8) & 1 == 1
}

/// Whether this is a valid image of a page.
fn is_page(image: &[u8]) -> bool {
    let crc = u32::from_le_bytes(image[60..64].try_into().unwrap());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&image[..60]);
    hasher.update(&image[64..]);
    &image[..4] == b"CGPG" && hasher.finalize() == crc
}

fn page_sequence(image: &[u8]) -> u64 {
    u64::from_le_bytes(image[32..40].try_into().unwrap())
}

/// The restore that the last column of this image of a page belongs to.
pub fn page_generation(image: &[u8]) -> u64 {
    u64::from_le_bytes(image[40..48].try_into().unwrap())
}
