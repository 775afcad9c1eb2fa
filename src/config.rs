#![forbid(unsafe_code)]
//! The checked configuration of a group, and where its metadata lies.

use core::num::NonZeroUsize;

use crate::error::Error;
use crate::geometry::{Bytes, Extent, ExtentRange, Geometry, count, index};
use crate::map_page::PAGE_HEADER_BYTES;
use crate::parts;
use crate::superblock;

/// What `clone_group_config` says, with defaults filled in and everything checked.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Sizes of the LUs.
    pub geometry: Geometry,
    /// An acknowledged host write is durable (HD), not only after a flush (HV).
    pub host_durable: bool,
    /// Reads that lie wholly in extents to copy go to the Clone.
    pub redirect_reads: bool,
    /// One column of the persistent maps for each Clone.
    pub map_per_clone: bool,
    /// Highest Clone number.
    pub clones_max: u32,
    /// Host requests at once.
    pub requests_max: u32,
    /// Copies at once.
    pub copies_max: u32,
    /// Buffer of one copy.
    pub copy_buffer_bytes: u32,
    /// Alignment of every buffer.
    pub buffer_align_bytes: u32,
    /// Largest piece that a torn write can damage.
    pub persist_unit_bytes: u32,
    /// Size of a map page.
    pub page_bytes: u32,
    /// Map pages written at once.
    pub page_writes_max: u32,
    /// Extents that may carry a write intent.
    pub intent_extents_max: u32,
    /// Collisions before a copy becomes exclusive.
    pub recopies_max: u32,
    /// Identity of the group.
    pub group_id: [u8; 16],
    /// Background copies read their target too, and do not write what is equal.
    pub skip_equal: bool,
}

/// What the controller's callbacks can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    /// `discard` is there.
    pub discard: bool,
    /// `write_zeroes` is there.
    pub write_zeroes: bool,
    /// `copy` is there.
    pub copy: bool,
    /// `persist_flush` is there: completed does not mean durable.
    pub persist_flush: bool,
}

impl Config {
    /// Checks what [`Geometry::new`] does not.
    pub fn check(&self) -> Result<(), Error> {
        let unit = self.persist_unit_bytes;
        let align = self.buffer_align_bytes;
        let buffer = u64::from(self.copy_buffer_bytes);
        let block = u64::from(self.geometry.block_bytes());
        parts::needs(parts::MAP_PER_CLONE || !self.map_per_clone)?;
        parts::needs(parts::VERIFY || !self.skip_equal)?;
        let from_1_to = |most: u32, value: u32| value != 0 && value <= most;
        let limits = [
            from_1_to(255, self.clones_max),
            from_1_to(4096, self.requests_max),
            from_1_to(64, self.copies_max),
            from_1_to(64, self.page_writes_max),
            from_1_to(16, self.recopies_max),
            self.intent_extents_max >= 16,
            buffer >= block && buffer <= 16 << 20 && buffer & block.wrapping_sub(1) == 0,
            align.is_power_of_two() && (8..=65536).contains(&align),
            unit.is_power_of_two() && (512..=65536).contains(&unit),
            !self.skip_equal || self.half_buffer_bytes() > 0,
            self.page_bytes.is_power_of_two() && self.page_bytes >= unit && self.page_bytes <= 65536,
        ];
        if limits.contains(&false) { Err(Error::Invalid) } else { Ok(()) }
    }

    /// Bytes of a half of a copy buffer, for comparisons: whole blocks, and both halves aligned. 0 if there are no
    /// such halves.
    pub fn half_buffer_bytes(&self) -> u32 {
        let unit = self.geometry.block_bytes().max(self.buffer_align_bytes);
        self.copy_buffer_bytes >> 1 & !unit.wrapping_sub(1)
    }

    /// Whether each Clone has a column of its own.
    pub fn map_per_clone(&self) -> bool {
        parts::MAP_PER_CLONE && self.map_per_clone
    }

    /// Whether background copies compare before they write.
    pub fn skip_equal(&self) -> bool {
        parts::VERIFY && self.skip_equal
    }

    /// Number of LUs, the Source among them.
    pub fn lus(&self) -> u32 {
        self.clones_max.wrapping_add(1)
    }

    /// Columns of a map page: the Delta Maps, or the one that serves them all, then the Protected Restore Map.
    pub fn columns(&self) -> u32 {
        if self.map_per_clone() { self.clones_max.saturating_add(1) } else { 2 }
    }

    /// Where the metadata lies.
    pub fn layout(&self) -> Result<Layout, Error> {
        Layout::new(self)
    }
}

/// Where superblocks and map pages lie in the persistent area: two regions, each with one slot of
/// the superblock and one copy of every page, so that what belongs together lies apart (R30).
///
/// ```text
///   region 0: superblock slot 0 | copy 0 of page 0, page 1, ...
///   region 1: superblock slot 1 | copy 1 of page 0, page 1, ...
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    superblock_bytes: u64,
    page_bytes: u64,
    page_words: NonZeroUsize,
    pages: u64,
}

/// Extents of a page come in words of so many.
const WORD_EXTENTS_SHIFT: u32 = 6;

impl Layout {
    fn new(config: &Config) -> Result<Layout, Error> {
        let page_bytes = u64::from(config.page_bytes);
        // Whole words of 64 extents. Machine words are divided: a 32-bit machine has no 64-bit division.
        let columns = NonZeroUsize::new(index(u64::from(config.columns()))).ok_or(Error::Invalid)?;
        let column_bytes = index(page_bytes.saturating_sub(count(PAGE_HEADER_BYTES))) / columns;
        let page_words = NonZeroUsize::new(column_bytes >> 3).ok_or(Error::Invalid)?;
        let words = index(config.geometry.extents().saturating_add(63) >> WORD_EXTENTS_SHIFT);
        let pages = count(words.div_ceil(page_words.get().max(1)));
        let unit = u64::from(config.persist_unit_bytes);
        let superblock_bytes = superblock::bytes_needed(config.clones_max);
        let superblock_bytes = superblock_bytes.wrapping_add(unit - 1) & !(unit - 1);
        Ok(Layout { superblock_bytes, page_bytes, page_words, pages })
    }

    /// Number of map pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Bytes of a superblock slot.
    pub fn superblock_bytes(&self) -> u64 {
        self.superblock_bytes
    }

    /// Bytes of a map page.
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// Bytes of the larger of the two.
    pub fn buffer_bytes(&self) -> u64 {
        self.superblock_bytes.max(self.page_bytes)
    }

    /// Extents of a page, a multiple of 64.
    pub fn page_extents(&self) -> u64 {
        count(self.page_words.get()) << WORD_EXTENTS_SHIFT
    }

    /// The page of an extent.
    pub fn page_of(&self, extent: Extent) -> u64 {
        // Division of machine words: no 64-bit division on a 32-bit machine.
        count(index(extent.0 >> WORD_EXTENTS_SHIFT) / self.page_words)
    }

    /// The extents of a page, up to the end of the last page.
    pub fn extents_of(&self, page: u64) -> ExtentRange {
        let first = page.wrapping_mul(self.page_extents());
        ExtentRange::new(Extent(first), Extent(first.wrapping_add(self.page_extents())))
    }

    /// Size of the persistent area.
    pub fn area_bytes(&self) -> u64 {
        self.region_bytes().wrapping_mul(2)
    }

    /// Where a superblock slot lies.
    pub fn superblock_at(&self, slot: u8) -> Bytes {
        Bytes(self.region_bytes().wrapping_mul(u64::from(slot)))
    }

    /// Where a copy of a page lies.
    pub fn page_at(&self, page: u64, slot: u8) -> Bytes {
        let inside = self.superblock_bytes.wrapping_add(page.wrapping_mul(self.page_bytes));
        Bytes(self.region_bytes().wrapping_mul(u64::from(slot)).wrapping_add(inside))
    }

    fn region_bytes(&self) -> u64 {
        self.superblock_bytes.wrapping_add(self.pages.wrapping_mul(self.page_bytes))
    }
}
