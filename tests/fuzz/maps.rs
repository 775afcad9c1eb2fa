//! Goal: maps and geometry answer like the plainest form of themselves. Method: calls decoded from bytes, against a
//! `Vec<bool>`, and against sums in 128 bits.

use std::sync::atomic::AtomicUsize;

use ::clone_group::extent_map::ExtentMap;
use ::clone_group::geometry::{Block, BlockRange, Extent, ExtentRange, Geometry};

use super::input::Input;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.one_in(4) { geometry(&mut input) } else { map(&mut input) }
}

fn memory(extents: u64) -> Vec<AtomicUsize> {
    let words = ExtentMap::words_needed(extents).expect("addressable");
    (0..words).map(|number| AtomicUsize::new(number ^ 0x5a5a)).collect()
}

fn place(input: &mut Input, extents: usize) -> u64 {
    match input.below(8) {
        0 => input.u64(),
        1 => extents as u64 - u64::from(input.u8()).min(extents as u64),
        2 => (input.below(extents) & !63) as u64,
        _ => input.below(extents) as u64,
    }
}

fn map(input: &mut Input) {
    let extents = 1 + input.below(9000);
    let words = memory(extents as u64);
    let map = ExtentMap::new(&words, extents as u64).expect("enough words");
    let mut plain = vec![false; extents];
    while !input.is_empty() {
        let (first, end) = (place(input, extents), place(input, extents));
        let range = ExtentRange { first: Extent(first), end: Extent(end) };
        let clip = |at: u64| usize::try_from(at).unwrap_or(extents).min(extents);
        let inside = clip(first)..clip(end).max(clip(first));
        let one = clip(first)..clip(first.saturating_add(1));
        let set = plain[inside.clone()].iter().filter(|&&set| set).count() as u64;
        let length = inside.len() as u64;
        match input.below(7) {
            0 => {
                assert_eq!(map.set(Extent(first)), one.clone().any(|at| !plain[at]));
                plain[one].fill(true);
            }
            1 => {
                assert_eq!(map.clear(Extent(first)), one.clone().any(|at| plain[at]));
                plain[one].fill(false);
            }
            2 => {
                assert_eq!(map.set_range(range), length - set);
                plain[inside].fill(true);
            }
            3 => {
                assert_eq!(map.clear_range(range), set);
                plain[inside].fill(false);
            }
            4 => {
                let next = inside.clone().find(|&at| plain[at]).map(|at| Extent(at as u64));
                let clear = inside.clone().find(|&at| !plain[at]).map(|at| Extent(at as u64));
                assert_eq!((map.next_set_in(range), map.next_clear_in(range)), (next, clear));
            }
            5 => {
                assert_eq!(map.any_set(range), set > 0);
                assert_eq!(map.all_set(range), set == range.count());
                assert_eq!(map.get(Extent(first)), one.clone().any(|at| plain[at]));
            }
            _ => {
                let next = (clip(first)..extents).find(|&at| plain[at]).map(|at| Extent(at as u64));
                assert_eq!(map.next_set(Extent(first)), next);
            }
        }
        let count = plain.iter().filter(|&&set| set).count();
        assert_eq!((map.count(), map.is_empty()), (count as u64, count == 0));
    }
}

fn geometry(input: &mut Input) {
    let (lu_blocks, block_bytes, extent_blocks) = match input.below(3) {
        0 => (input.u64(), input.u32(), input.u32()),
        1 => (input.u64() >> input.below(64), 512 << input.below(8), 1 << input.below(22)),
        _ => (1 + input.below(60000) as u64, 512, 1 << input.below(8)),
    };
    let Ok(geometry) = Geometry::new(lu_blocks, block_bytes, extent_blocks) else { return };
    let (lu, each) = (u128::from(lu_blocks), u128::from(extent_blocks));
    let extents = lu.div_ceil(each);
    assert!(extents <= 1 << 40 && lu * u128::from(block_bytes) <= 1 << 63, "geometry that overflows");
    assert_eq!(u128::from(geometry.extents()), extents);
    for _ in 0..8 {
        let first = if input.one_in(3) { input.u64() } else { input.u64() % lu_blocks };
        let count =
            if input.one_in(3) { input.u64() } else { input.u64() % (lu_blocks - first.min(lu_blocks - 1)) };
        let end = u128::from(first) + u128::from(count);
        let range = geometry.block_range(first, count);
        assert_eq!(range.is_ok(), count > 0 && end <= lu);
        let Ok(range) = range else { continue };
        assert_eq!(range, BlockRange { first: Block(first), end: Block(end as u64) });
        let touched = geometry.extents_touched(range);
        assert_eq!(u128::from(touched.first.0), u128::from(first) / each);
        assert_eq!(u128::from(touched.end.0), (end - 1) / each + 1);
        let covered = geometry.extents_covered(range);
        let covered_end = if end == lu { extents } else { end / each };
        let covered_first = u128::from(first).div_ceil(each);
        assert_eq!(u128::from(covered.count()), covered_end.saturating_sub(covered_first));
        assert!(covered.is_empty() || u128::from(covered.first.0) == covered_first);
        let blocks = geometry.blocks_of(touched);
        assert!(blocks.first <= range.first && range.end <= blocks.end && blocks.end.0 <= lu_blocks);
        assert_eq!(u128::from(geometry.offset(range.first).0), u128::from(first) * u128::from(block_bytes));
        assert_eq!(u128::from(geometry.length(range).0), u128::from(count) * u128::from(block_bytes));
    }
}
