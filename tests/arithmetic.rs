//! Goal: no block, extent, bit or page is ever counted wrong. Method: every input of a small width against its
//! definition - every extent size, LU size, first block and count below 256 -, and what is near 2^32 and 2^64 against
//! sums in 128 bits.

// A part of what the fuzz targets use.
#[allow(dead_code)]
#[path = "fuzz/array.rs"]
mod array;
#[allow(dead_code)]
#[path = "fuzz/memory.rs"]
mod memory;

use std::sync::atomic::AtomicUsize;

use ::clone_group::extent_map::ExtentMap;
use ::clone_group::ffi::types::*;
use ::clone_group::geometry::{Block, BlockRange, Extent, ExtentRange, Geometry};
use array::{Array, Ask, HostCall, plain_config};

/// Every LU of up to 255 blocks, and every range of it: which extents it touches, and which it covers. The range grows
/// block by block, and each extent counts its own.
fn ranges_of(extent_blocks: u64) {
    for lu_blocks in 1..=255_u64 {
        let geometry = Geometry::new(lu_blocks, 512, extent_blocks as u32).expect("valid sizes");
        // By definition: walk the blocks, a new extent begins every so many.
        let mut sizes = Vec::new();
        for block in 0..lu_blocks {
            if block % extent_blocks == 0 {
                sizes.push(0_u64);
            }
            *sizes.last_mut().expect("the first one") += 1;
        }
        assert_eq!(geometry.extents(), sizes.len() as u64);
        for (extent, &size) in sizes.iter().enumerate() {
            let blocks = geometry.blocks_of(ExtentRange::one(Extent(extent as u64)));
            let first = extent as u64 * extent_blocks;
            assert_eq!(
                blocks,
                BlockRange { first: Block(first), end: Block(first + size) },
                "tail of {lu_blocks}"
            );
        }
        for first in 0..lu_blocks {
            let first_extent = first / extent_blocks;
            let (mut inside, mut covered) = (0, ExtentRange::default());
            for end in first + 1..=lu_blocks {
                let last = (end - 1) / extent_blocks;
                inside = if (end - 1) % extent_blocks == 0 { 1 } else { inside + 1 };
                if inside == sizes[last as usize] {
                    let begin = if covered.is_empty() { last } else { covered.first.0 };
                    covered = ExtentRange { first: Extent(begin), end: Extent(last + 1) };
                }
                let blocks = BlockRange { first: Block(first), end: Block(end) };
                let touched = geometry.extents_touched(blocks);
                let is = geometry.extents_covered(blocks);
                let same = touched.first.0 == first_extent
                    && touched.end.0 == last + 1
                    && (is == covered || is.is_empty() && covered.is_empty());
                assert!(same, "{lu_blocks} blocks by {extent_blocks}, {first} to {end}: {touched:?} {is:?}");
            }
        }
    }
}

/// Range to extents, full cover and tail length.
#[test]
fn every_range_touches_and_covers_what_it_should() {
    std::thread::scope(|scope| {
        scope.spawn(|| [1, 4, 16, 64].iter().for_each(|&blocks| ranges_of(blocks)));
        [2, 8, 32, 128].iter().for_each(|&blocks| ranges_of(blocks));
    });
}

/// Ranges have something in common if some extent, or block, is in both; empty ones have nothing.
#[test]
fn every_two_ranges_overlap_if_they_share_something() {
    let ranges = || (0..=7_u64).flat_map(|first| (first..=7).map(move |end| (first, end)));
    for (a, b) in ranges().flat_map(|a| ranges().map(move |b| (a, b))) {
        let shared = (0..7).filter(|&at| a.0 <= at && at < a.1 && b.0 <= at && at < b.1).count() as u64;
        let extents = |(first, end)| ExtentRange { first: Extent(first), end: Extent(end) };
        let blocks = |(first, end)| BlockRange { first: Block(first), end: Block(end) };
        assert_eq!(extents(a).overlaps(extents(b)), shared > 0, "{a:?} {b:?}");
        assert_eq!(blocks(a).overlaps(blocks(b)), shared > 0, "{a:?} {b:?}");
        assert_eq!(extents(a).intersection(extents(b)).count(), shared, "{a:?} {b:?}");
    }
}

/// A range of a caller's is taken if it has a block and lies in the LU.
#[test]
fn every_range_is_taken_or_refused() {
    for lu_blocks in 1..=255_u64 {
        let geometry = Geometry::new(lu_blocks, 4096, 8).expect("valid sizes");
        for first in 0..=256_u64 {
            for count in 0..=256_u64 {
                let taken = geometry.block_range(first, count).is_ok();
                assert_eq!(taken, count > 0 && first + count <= lu_blocks, "{lu_blocks}: {first} + {count}");
            }
        }
    }
}

/// Bit index: each extent of each map of up to 255 is one bit of one word, which no other one has; ranges of it are
/// that many bits.
#[test]
fn every_extent_is_one_bit() {
    let bits = u64::from(ExtentMap::WORD_BITS);
    for extents in 1..=255_u64 {
        let words = ExtentMap::words_needed(extents).expect("addressable");
        let words: Vec<AtomicUsize> = (0..words).map(|_| AtomicUsize::new(0)).collect();
        let map = ExtentMap::new(&words, extents).expect("enough words");
        for extent in 0..=255_u64 {
            assert_eq!(map.set(Extent(extent)), extent < extents);
            for word in 0..=255 / bits {
                let here = extent < extents && word == extent / bits;
                let expected = if here { 1 << (extent % bits) } else { 0 };
                assert_eq!(map.word(word as usize), expected, "extent {extent} of {extents}, word {word}");
            }
            assert_eq!(map.clear(Extent(extent)), extent < extents);
        }
        for first in 0..=extents {
            let end = extents - first / 2;
            let range = ExtentRange { first: Extent(first), end: Extent(end) };
            let inside = end.saturating_sub(first);
            assert_eq!(map.set_range(range), inside);
            let found: u32 = (0..=255 / bits).map(|word| map.word(word as usize).count_ones()).sum();
            assert_eq!((u64::from(found), map.count()), (inside, inside));
            assert_eq!(map.clear_range(range), inside);
        }
    }
}

/// Page and bit index on the medium: a host write to each extent in turn sets one bit, in the page and at the place
/// that docs/format.md says. A page has as few extents as it can, 64, so that 255 of them are four pages.
#[test]
fn every_extent_has_its_page_and_bit() {
    let mut config = plain_config();
    config.lu_blocks = 255 * 2 - 1;
    config.extent_blocks = 2;
    config.clones_max = 55;
    config.flags = CLONE_GROUP_CONFIG_MAP_PER_CLONE;
    config.copy_buffer_bytes = 16384;
    config.buffer_align_bytes = 8;
    config.persist_unit_bytes = 512;
    config.group_id = [9; 16];
    let array = Array::new(config).expect("a valid configuration");
    array.power_on();
    let does = |ask| assert_eq!(array.result_of(ask), CLONE_GROUP_OK, "{ask:?}");
    does(Ask::Format(0));
    does(Ask::Add(2));
    does(Ask::Synchronize(2));
    array.settle(false);
    does(Ask::Fracture(2));
    let superblock_bytes = (132 + 128 * 55_usize).next_multiple_of(512);
    let region_bytes = superblock_bytes + 4 * 512;
    assert_eq!(array.inner.borrow().area.len(), 2 * region_bytes);
    let mut expected = vec![false; 256];
    for extent in (0..255).rev() {
        let first = 2 * extent as u64;
        let count = if extent == 254 { 1 } else { 1 + first % 2 };
        let operation = CLONE_GROUP_IO_WRITE;
        let status = array.host(HostCall { operation, lu: 0, first, count, flags: 0 });
        assert!(status >= 0);
        array.settle(true);
        expected[extent] = true;
        let inner = array.inner.borrow();
        let newest = |page: usize| {
            let copy =
                |slot: usize| &inner.area[slot * region_bytes + superblock_bytes + page * 512..][..512];
            let sequence = |slot: usize| u64::from_le_bytes(copy(slot)[32..40].try_into().expect("8 bytes"));
            copy(usize::from(sequence(1) > sequence(0)))
        };
        for (page, bits) in expected.chunks(64).enumerate() {
            let word = bits.iter().rev().fold(0_u64, |word, &bit| word << 1 | u64::from(bit));
            // Column 1 is that of Clone 2; all others are empty.
            let image = newest(page);
            assert_eq!(image[72..80], word.to_le_bytes(), "extent {extent}, page {page}");
            assert!(image[64..72].iter().chain(&image[80..]).all(|&byte| byte == 0), "another column");
        }
    }
    assert_eq!(array.destroy(), CLONE_GROUP_OK);
}

/// Sizes and places around powers of two, up to the ends of 32 and 64 bits.
fn near_powers() -> Vec<u64> {
    let powers = [0, 1, 3, 9, 20, 21, 31, 32, 33, 39, 40, 41, 53, 54, 55, 61, 62, 63];
    let mut values: Vec<u64> =
        powers.iter().flat_map(|&shift| [(1 << shift) - 1, 1 << shift, (1 << shift) + 1]).collect();
    values.extend([0, u64::MAX - 1, u64::MAX, u64::from(u32::MAX) * 512, 3 << 40]);
    values.sort_unstable();
    values.dedup();
    values
}

/// What a geometry is, and what its ranges are, in 128 bits.
#[test]
fn nothing_overflows_near_the_ends_of_the_numbers() {
    let values = near_powers();
    let mut accepted = 0;
    for &lu_blocks in &values {
        for (block_bytes, extent_blocks) in
            (8..=17).flat_map(|b| (0..=31).map(move |e| (1_u32 << b, 1_u32 << e)))
        {
            let (lu, block, each) =
                (u128::from(lu_blocks), u128::from(block_bytes), u128::from(extent_blocks));
            let valid = lu > 0
                && (512..=65536).contains(&block_bytes)
                && block * each <= 1 << 30
                && lu.div_ceil(each) <= 1 << 40
                && lu * block <= 1 << 63;
            let geometry = Geometry::new(lu_blocks, block_bytes, extent_blocks);
            assert_eq!(
                geometry.is_ok(),
                valid,
                "{lu_blocks} blocks of {block_bytes}, extents of {extent_blocks}"
            );
            if let Ok(geometry) = geometry {
                accepted += 1;
                ranges_in_128_bits(&geometry, &values);
            }
        }
        for odd in [0, 3, 511, 513, 65537, u32::MAX] {
            assert!(Geometry::new(lu_blocks, odd, 8).is_err() && Geometry::new(lu_blocks, 512, odd).is_err());
        }
    }
    assert!(accepted > 1000, "{accepted} geometries");
}

fn ranges_in_128_bits(geometry: &Geometry, values: &[u64]) {
    let (lu, each) = (u128::from(geometry.lu_blocks()), u128::from(geometry.extent_blocks()));
    let block = u128::from(geometry.block_bytes());
    assert_eq!(u128::from(geometry.extents()), lu.div_ceil(each));
    assert_eq!(u128::from(geometry.extent_bytes()), each * block);
    let near_the_end = [1, 2, 3].map(|back| geometry.lu_blocks().saturating_sub(back));
    let places = || near_the_end.iter().chain(values.iter().step_by(3)).copied();
    for (first, count) in places().flat_map(|first| places().map(move |count| (first, count))) {
        let end = u128::from(first) + u128::from(count);
        let range = geometry.block_range(first, count);
        assert_eq!(range.is_ok(), count > 0 && end <= lu, "{first} + {count} of {lu}");
        let Ok(range) = range else { continue };
        let touched = geometry.extents_touched(range);
        assert_eq!(u128::from(touched.first.0), u128::from(first) / each);
        assert_eq!(u128::from(touched.end.0), end.div_ceil(each));
        let covered = geometry.extents_covered(range);
        let covered_first = u128::from(first).div_ceil(each);
        let covered_end = if end == lu { lu.div_ceil(each) } else { end / each };
        assert_eq!(u128::from(covered.count()), covered_end.saturating_sub(covered_first));
        let blocks = geometry.blocks_of(touched);
        assert_eq!(u128::from(blocks.first.0), u128::from(first) / each * each);
        assert_eq!(u128::from(blocks.end.0), (end.div_ceil(each) * each).min(lu));
        assert_eq!(u128::from(geometry.offset(range.first).0), u128::from(first) * block);
        assert_eq!(u128::from(geometry.length(range).0), u128::from(count) * block);
    }
}
