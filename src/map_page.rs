#![forbid(unsafe_code)]
//! A map page as it lies in the persistent area (docs/format.md): a header, then one column of bits
//! for each map of the page's range of extents. One page write changes all of them atomically.
//!
//! Columns are bits of bytes, lowest first, and numbers are little-endian: the same bytes on every CPU.

use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange, index};
use crate::knock_out::kept;

/// Bytes of the header of a page.
pub const PAGE_HEADER_BYTES: usize = 64;

const MAGIC: u32 = u32::from_le_bytes(*b"CGPG");
const CRC_AT: usize = 60;

/// What the header of a page says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageHeader {
    /// The group that the page belongs to.
    pub group_id: [u8; 16],
    /// Which page it is.
    pub page: u64,
    /// Counts the writes of this page: the higher one of its two copies is newer.
    pub sequence: u64,
    /// The restore whose Protected Restore Map the page holds (R9).
    pub restore_generation: u64,
}

/// Whether the image is a whole page that was written to its end, and what its header says.
pub fn decode(image: &[u8], columns: u32, page_extents: u64) -> Option<PageHeader> {
    // Of a known length, so that no field is checked for its place.
    let bytes = image.first_chunk::<PAGE_HEADER_BYTES>()?;
    let mut header = Reader { bytes, at: 0 };
    let magic = header.u32()?;
    let version = header.u32()?;
    let group_id = header.bytes16()?;
    let decoded = PageHeader {
        group_id,
        page: header.u64()?,
        sequence: header.u64()?,
        restore_generation: header.u64()?,
    };
    let same_shape = header.u32()? == columns && u64::from(header.u32()?) == page_extents;
    let crc = Reader { bytes, at: CRC_AT }.u32()?;
    let valid = magic == MAGIC && version == crate::superblock::FORMAT_VERSION && same_shape;
    (valid && (crc == checksum(image)? || !kept!(R29Page))).then_some(decoded)
}

/// Begins a page in `image`: the header, and columns without a bit.
pub fn begin(image: &mut [u8], header: &PageHeader, columns: u32, extents: ExtentRange) {
    image.fill(0);
    let Some(bytes) = image.first_chunk_mut::<PAGE_HEADER_BYTES>() else { return };
    let mut writer = Writer { bytes, at: 0 };
    writer.u32(MAGIC);
    writer.u32(crate::superblock::FORMAT_VERSION);
    writer.put(&header.group_id);
    writer.u64(header.page);
    writer.u64(header.sequence);
    writer.u64(header.restore_generation);
    writer.u32(columns);
    writer.u32(crate::geometry::count32(extents.count()));
}

/// Adds the bits of a map to a column, counted from 0.
pub fn add_column(image: &mut [u8], column: u32, extents: ExtentRange, map: &ExtentMap<'_>) {
    let Some(bytes) = image.get_mut(column_bytes(column, extents)) else {
        return;
    };
    // A page begins at a multiple of 64 extents, so it begins with a word of the map.
    let first_word = index(extents.first.0 >> ExtentMap::WORD_BITS.trailing_zeros());
    for (number, bytes) in bytes.chunks_exact_mut(size_of::<usize>()).enumerate() {
        let word = map.word(first_word.saturating_add(number)).to_le_bytes();
        bytes.iter_mut().zip(word).for_each(|(byte, more)| *byte |= more);
    }
}

/// Ends a page: its checksum.
pub fn seal(image: &mut [u8]) {
    if let Some(crc) = checksum(image) {
        Writer { bytes: image, at: CRC_AT }.u32(crc);
    }
}

/// Sets the bits of a column, counted from 0, in a map; bits behind the end of the map are ignored (R19).
pub fn load_column(image: &[u8], column: u32, extents: ExtentRange, map: &ExtentMap<'_>) {
    let Some(bytes) = image.get(column_bytes(column, extents)) else {
        return;
    };
    // The run of ones so far: it may go on in the next word.
    let mut run = ExtentRange::new(extents.first, extents.first);
    let mut first = extents.first.0;
    for bytes in bytes.as_chunks::<4>().0 {
        let mut bits = u32::from_le_bytes(*bytes);
        let mut at = first;
        while bits != 0 {
            at = at.wrapping_add(u64::from(bits.trailing_zeros()));
            bits >>= bits.trailing_zeros();
            if run.end.0 != at {
                map.set_range(run);
                run.first = Extent(at);
            }
            at = at.wrapping_add(u64::from(bits.trailing_ones()));
            bits = bits.checked_shr(bits.trailing_ones()).unwrap_or(0);
            run.end = Extent(at);
        }
        first = first.wrapping_add(32);
    }
    map.set_range(run);
}

fn column_bytes(column: u32, extents: ExtentRange) -> core::ops::Range<usize> {
    let bytes = index(extents.count() >> 3);
    let start = PAGE_HEADER_BYTES.wrapping_add(bytes.wrapping_mul(index(u64::from(column))));
    start..start.wrapping_add(bytes)
}

/// CRC-32 over everything but the checksum itself.
fn checksum(image: &[u8]) -> Option<u32> {
    let mut hasher = crate::checksum::Hasher::new();
    hasher.update(image.get(..CRC_AT)?);
    hasher.update(image.get(PAGE_HEADER_BYTES..)?);
    Some(hasher.finalize())
}

/// Reads little-endian numbers one after the other.
pub struct Reader<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Where the next number begins.
    pub at: usize,
}

impl Reader<'_> {
    /// The next 4 bytes.
    #[inline(always)]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 8 bytes.
    #[inline(always)]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next 16 bytes.
    #[inline(always)]
    pub fn bytes16(&mut self) -> Option<[u8; 16]> {
        self.array()
    }

    /// The next bytes.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at = self.at.wrapping_add(N);
        Some(array)
    }
}

/// Writes little-endian numbers one after the other.
pub struct Writer<'a> {
    /// The bytes.
    pub bytes: &'a mut [u8],
    /// Where the next number goes.
    pub at: usize,
}

impl Writer<'_> {
    /// 4 bytes.
    #[inline(always)]
    pub fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// 8 bytes.
    #[inline(always)]
    pub fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// So many bytes.
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, value: &[u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            *place = *value;
        }
        self.at = self.at.wrapping_add(N);
    }
}
