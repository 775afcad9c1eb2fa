#![forbid(unsafe_code)]
//! Blocks, extents and bytes, and the one place where they are converted into each other.
//!
//! An LU has `lu_blocks` blocks; an extent is `extent_blocks` of them, a power of two, so that every
//! conversion is a shift (32-bit firmware has no 64-bit division). The last extent may be short (R19).
//!
//! Sums and products in the core wrap, because they cannot overflow: an extent is at most 2^40, a page holds at least
//! 64 of them, a table has at most 65,535 slots and each thing that is counted has one, versions and tickets are
//! counted one at a time in 64 bits. What comes from a caller is checked, what comes from the persistent area
//! saturates, and so does every difference that may be below zero.

use core::num::NonZeroU64;

use crate::error::Error;

/// Most extents of an LU: every product below stays far inside 64 bits.
pub const EXTENTS_MAX: u64 = 1 << 40;
/// Largest extent.
pub const EXTENT_BYTES_MAX: u64 = 1 << 30;

/// Index of a block of an LU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Block(pub u64);

/// Index of an extent of an LU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Extent(pub u64);

/// A number of bytes, or an offset in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Bytes(pub u64);

/// Blocks `first` to `end - 1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockRange {
    /// First block.
    pub first: Block,
    /// Block behind the last one.
    pub end: Block,
}

impl BlockRange {
    /// Number of blocks.
    pub fn count(self) -> u64 {
        self.end.0.saturating_sub(self.first.0)
    }

    /// Whether both have a block in common.
    pub fn overlaps(self, other: BlockRange) -> bool {
        self.first.max(other.first) < self.end.min(other.end)
    }
}

/// Extents `first` to `end - 1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtentRange {
    /// First extent.
    pub first: Extent,
    /// Extent behind the last one.
    pub end: Extent,
}

impl ExtentRange {
    /// The extents `first` to `end - 1`; none if `end` is not behind `first`.
    pub fn new(first: Extent, end: Extent) -> ExtentRange {
        ExtentRange { first, end: Extent(end.0.max(first.0)) }
    }

    /// One extent.
    pub fn one(extent: Extent) -> ExtentRange {
        ExtentRange { first: extent, end: Extent(extent.0.wrapping_add(1)) }
    }

    /// Number of extents.
    pub fn count(self) -> u64 {
        self.end.0.saturating_sub(self.first.0)
    }

    /// Whether it has no extent.
    pub fn is_empty(self) -> bool {
        self.first >= self.end
    }

    /// Whether the extent is one of them.
    pub fn contains(self, extent: Extent) -> bool {
        self.first <= extent && extent < self.end
    }

    /// Whether both have an extent in common.
    pub fn overlaps(self, other: ExtentRange) -> bool {
        self.first.max(other.first) < self.end.min(other.end)
    }

    /// What both have in common.
    pub fn intersection(self, other: ExtentRange) -> ExtentRange {
        ExtentRange::new(self.first.max(other.first), self.end.min(other.end))
    }

    /// Every extent of it, in order.
    pub fn iter(self) -> impl Iterator<Item = Extent> {
        (self.first.0..self.end.0).map(Extent)
    }
}

/// Sizes of the LUs of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    lu_blocks: NonZeroU64,
    block_shift: u32,
    extent_shift: u32,
}

impl Geometry {
    /// Checks the sizes: blocks of 512 bytes to 64 KiB, extents of one block to 1 GiB, both powers
    /// of two, and an LU of at least one block and at most [`EXTENTS_MAX`] extents.
    pub fn new(lu_blocks: u64, block_bytes: u32, extent_blocks: u32) -> Result<Geometry, Error> {
        let lu_blocks = NonZeroU64::new(lu_blocks).ok_or(Error::Invalid)?;
        let block_ok = block_bytes.is_power_of_two() && (512..=65536).contains(&block_bytes);
        if !block_ok || !extent_blocks.is_power_of_two() {
            return Err(Error::Invalid);
        }
        let geometry = Geometry {
            lu_blocks,
            block_shift: block_bytes.trailing_zeros(),
            extent_shift: extent_blocks.trailing_zeros(),
        };
        let extent_bytes =
            u64::from(block_bytes).checked_mul(u64::from(extent_blocks)).ok_or(Error::Invalid)?;
        let extents = lu_blocks.get().div_ceil_shift(geometry.extent_shift);
        let lu_bytes = lu_blocks.get().checked_mul(u64::from(block_bytes));
        if extent_bytes > EXTENT_BYTES_MAX || extents > EXTENTS_MAX || lu_bytes.is_none_or(|b| b > 1 << 63) {
            return Err(Error::Invalid);
        }
        Ok(geometry)
    }

    /// Blocks of an LU.
    pub fn lu_blocks(&self) -> u64 {
        self.lu_blocks.get()
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> u32 {
        1 << self.block_shift
    }

    /// Blocks of an extent, but perhaps of the last one.
    pub fn extent_blocks(&self) -> u32 {
        1 << self.extent_shift
    }

    /// Bytes of an extent, but perhaps of the last one.
    pub fn extent_bytes(&self) -> u64 {
        1 << (self.extent_shift + self.block_shift)
    }

    /// Extents of an LU.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn extents(&self) -> u64 {
        self.lu_blocks.get().div_ceil_shift(self.extent_shift)
    }

    /// Every extent of an LU.
    pub fn all_extents(&self) -> ExtentRange {
        ExtentRange::new(Extent(0), Extent(self.extents()))
    }

    /// Checks a range that a caller names.
    pub fn block_range(&self, first_block: u64, block_count: u64) -> Result<BlockRange, Error> {
        let end = first_block.checked_add(block_count).ok_or(Error::Range)?;
        if block_count == 0 || end > self.lu_blocks.get() {
            return Err(Error::Range);
        }
        Ok(BlockRange { first: Block(first_block), end: Block(end) })
    }

    /// The extent that holds the block.
    pub fn extent_of(&self, block: Block) -> Extent {
        Extent(block.0 >> self.extent_shift)
    }

    /// Every extent that the blocks touch: bits are set outward.
    pub fn extents_touched(&self, blocks: BlockRange) -> ExtentRange {
        let end = blocks.end.0.div_ceil_shift(self.extent_shift);
        ExtentRange::new(self.extent_of(blocks.first), Extent(end))
    }

    /// The extents that the blocks cover entirely: bits are cleared inward. A short last extent is
    /// covered when all the blocks that it really has are (R19).
    pub fn extents_covered(&self, blocks: BlockRange) -> ExtentRange {
        let first = blocks.first.0.div_ceil_shift(self.extent_shift);
        let end = if blocks.end.0 == self.lu_blocks.get() {
            self.extents()
        } else {
            blocks.end.0 >> self.extent_shift
        };
        ExtentRange::new(Extent(first), Extent(end))
    }

    /// The blocks of the extents, without those behind the end of the LU.
    pub fn blocks_of(&self, extents: ExtentRange) -> BlockRange {
        // An extent index is at most 2^40 and the shift at most 21, so nothing is lost.
        let first = (extents.first.0 << self.extent_shift).min(self.lu_blocks.get());
        let end = (extents.end.0 << self.extent_shift).min(self.lu_blocks.get());
        BlockRange { first: Block(first), end: Block(end) }
    }

    /// Where a block begins, in bytes.
    pub fn offset(&self, block: Block) -> Bytes {
        Bytes(block.0 << self.block_shift)
    }

    /// How long the blocks are, in bytes.
    pub fn length(&self, blocks: BlockRange) -> Bytes {
        Bytes(blocks.count() << self.block_shift)
    }

    /// How many whole blocks fit into so many bytes.
    pub fn blocks_in(&self, bytes: u64) -> u64 {
        bytes >> self.block_shift
    }
}

/// Division by a power of two, rounded up, that cannot overflow.
pub trait DivCeilShift {
    /// `self / 2^shift`, rounded up.
    fn div_ceil_shift(self, shift: u32) -> u64;
}

impl DivCeilShift for u64 {
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn div_ceil_shift(self, shift: u32) -> u64 {
        let whole = self >> shift;
        whole + u64::from(whole << shift != self)
    }
}

/// Bits of a machine word.
pub const WORD_BITS: usize = usize::BITS as usize;

/// An index into memory. On a 32-bit machine it saturates, and the access finds nothing.
pub fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A length in memory as a number of the protocol.
pub fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A slot number. Tables have at most 65535 slots.
pub fn slot(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// A count for a 32-bit field: it saturates.
pub fn count32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
