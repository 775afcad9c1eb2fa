#![forbid(unsafe_code)]
//! One bit per extent, live: read and written by several threads without a lock.
//!
//! Level 0 has the bits. Each level above has one entry per word of the level below, up to a level
//! of one word, so that the next set extent of a nearly empty map is found in a few steps. All
//! memory is the caller's.
//!
//! # The promise
//!
//! An extent that was set before [`ExtentMap::next_set`] began, and that nobody clears meanwhile,
//! is not passed over, whatever other threads set and clear at the same time: an extent hidden by
//! the summary would never be copied. When no call is under way, summary and count are exact.
//!
//! # Why a summary of single bits does not do
//!
//! Let a word and its summary bit be cleared one after the other, with a second look at the word
//! that repairs the summary bit. Thread 1 clears the last bit of the word and is interrupted.
//! Thread 2 sets another bit of the word, finds the summary bit set, and is done. Thread 1 goes on
//! and clears the summary bit. Until its second look the extent of thread 2 is hidden, and thread 1
//! may be interrupted right there.
//!
//! Therefore an entry has two bits, both in one summary word: `filled` (in the lower half) and
//! `examined` (in the upper half). While one of them is set, the word below may be non-zero. One
//! load reads both.
//!
//! * Set: set the bit. Then, level by level to the topmost: if `filled` is clear, set it.
//! * Clear: clear the bit. If that made the word zero, *settle* its entry: set `examined`, but
//!   leave if it was set already, so that an entry has one examiner at a time. Clear `filled`, read
//!   the word below, set `filled` again if it is not zero, clear `examined`. If that made the
//!   summary word zero, settle its entry one level up.
//!
//! # Why the promise holds
//!
//! Every access is sequentially consistent: there is one order of all of them, and "before" means
//! that order. Less would not do. A setter writes the word and then reads the entry, an examiner
//! writes the entry and then reads the word, and one of them must see what the other wrote. (On
//! x86-64 and AArch64 the loads cost no more for it.)
//!
//! Let a set call have returned, and its bit stay set. At level `k` the call saw or made `filled`
//! set at a time `t(k)`, at level 0 the bit itself, and `t(0) < t(1) < ...`. Claim: from `t(k)` on
//! the word at level `k` above the bit is never zero. Level 0: that is the bit. Level `k`: after
//! `t(k)` only the examiner of the entry clears `filled`, while `examined` is set. It reads the
//! word below after that, so after `t(k - 1)`, finds it non-zero, and sets `filled` before it
//! clears `examined`. So one of both is set at any time.
//!
//! A search that begins after the call has returned begins after every `t(k)`, and leaves out only
//! what an entry denies. That it reads the levels at different times is no harm: each entry above
//! the bit says "may be non-zero" all the time.
//!
//! A setter must not stop at the first entry that is filled already. The thread that filled it may
//! not have come to the next level yet, and then this bit would have no `t(k)` there. Going on
//! costs a load per level.
//!
//! # Why nothing stale remains
//!
//! A filled entry over a zero word hides nothing, but costs every search a step. Whoever makes a
//! word zero settles its entry. If another thread examines the entry just then, that one looks at
//! the word once more after it has cleared `examined`, and settles again. A setter that filled an
//! entry looks at the word once more too, as the bit may be gone already. So the last of them sees
//! the zero word. Nobody waits for anybody: an examiner takes another turn only after a bit was
//! set and cleared by others during its last one.

use core::ops::Range;

use crate::atomic::{AtomicUsize, Ordering};
use crate::geometry::{EXTENTS_MAX, Extent, ExtentRange, count, index};

/// The promise rests on one order of all accesses: see the text of the module.
const ORDER: Ordering = Ordering::SeqCst;
/// Bits of a word, as a shift.
const WORD_SHIFT: u32 = usize::BITS.trailing_zeros();
/// Entries of a summary word, as a shift: each has two bits.
const ENTRY_SHIFT: u32 = WORD_SHIFT - 1;
/// Entries of a summary word; and how far its `examined` bits are above the `filled` ones.
const ENTRIES: u32 = 1 << ENTRY_SHIFT;
/// The `filled` bits of a summary word.
const FILLED: usize = usize::MAX >> ENTRIES;
/// Enough for [`EXTENTS_MAX`] extents in 64-bit words, and for `isize::MAX` in 32-bit words.
const LEVELS: usize = 8;

/// Live map of one bit per extent: atomic words with summary levels above them. The default is a map
/// of no extents.
#[derive(Default)]
pub struct ExtentMap<'a> {
    /// The bits, and the summaries above them; empty above the level of one word.
    levels: [&'a [AtomicUsize]; LEVELS],
    extents: usize,
    /// Number of extents set. Off by the calls under way, perhaps below zero.
    number: AtomicUsize,
}

impl<'a> ExtentMap<'a> {
    /// Extents in a [`ExtentMap::word`].
    pub const WORD_BITS: u32 = usize::BITS;

    /// How many words a map of so many extents needs, all levels; `None` if that is not
    /// addressable.
    pub fn words_needed(extents: u64) -> Option<usize> {
        Some(level_sizes(addressable(extents)?).iter().sum())
    }

    /// A map with no extent set, over the first of the words, whatever they held. `None` if there
    /// are too few of them.
    pub fn new(words: &'a [AtomicUsize], extents: u64) -> Option<ExtentMap<'a>> {
        let extents = addressable(extents)?;
        let mut levels: [&'a [AtomicUsize]; LEVELS] = [&[]; LEVELS];
        let mut rest = words;
        for (level, size) in levels.iter_mut().zip(level_sizes(extents)) {
            (*level, rest) = rest.split_at_checked(size)?;
            // Nobody else has the map yet, so these stores need no order.
            level.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        Some(ExtentMap { levels, extents, number: AtomicUsize::new(0) })
    }

    /// Number of extents, set or not.
    pub fn extents(&self) -> u64 {
        count(self.extents)
    }

    /// Number of extents set. While calls are under way it may be off by what they change: ask
    /// [`ExtentMap::is_empty`] whether all is done.
    pub fn count(&self) -> u64 {
        let number = self.number.load(ORDER);
        // A clear counts before the set that it undid, if that one was interrupted: below zero.
        if number > isize::MAX.unsigned_abs() { 0 } else { count(number.min(self.extents)) }
    }

    /// Whether no extent is set: never true while an extent stays set.
    pub fn is_empty(&self) -> bool {
        self.next_set(Extent(0)).is_none()
    }

    /// Whether the extent is set; `false` behind the end.
    #[inline]
    pub fn get(&self, extent: Extent) -> bool {
        let at = index(extent.0);
        self.word(at >> WORD_SHIFT) & bit_in_word(at, WORD_SHIFT) != 0
    }

    /// The extents `WORD_BITS * index` and up, the first in the lowest bit; 0 behind the end.
    #[inline]
    pub fn word(&self, index: usize) -> usize {
        self.at(0, index).map_or(0, |word| word.load(ORDER))
    }

    /// Sets the extent. Returns whether it was clear; behind the end it does nothing.
    pub fn set(&self, extent: Extent) -> bool {
        self.set_range(ExtentRange::one(extent)) != 0
    }

    /// Clears the extent. Returns whether it was set.
    pub fn clear(&self, extent: Extent) -> bool {
        self.clear_range(ExtentRange::one(extent)) != 0
    }

    /// Sets the extents, but those behind the end. Returns how many of them were clear.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn set_range(&self, range: ExtentRange) -> u64 {
        self.set_bits(self.clip(range), usize::MAX)
    }

    /// Clears the extents. Returns how many of them were set.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn clear_range(&self, range: ExtentRange) -> u64 {
        self.clear_bits(self.clip(range), usize::MAX)
    }

    /// Sets those extents of a [`ExtentMap::word`] that `chosen` has, but those behind the end. Returns how many of
    /// them were clear.
    pub fn set_in_word(&self, index: usize, chosen: usize) -> u64 {
        self.set_bits(self.bits_of_word(index), chosen)
    }

    /// Clears those extents of a [`ExtentMap::word`] that `chosen` has. Returns how many of them were set.
    pub fn clear_in_word(&self, index: usize, chosen: usize) -> u64 {
        self.clear_bits(self.bits_of_word(index), chosen)
    }

    /// Sets the bits of level 0, of each word only those that are chosen.
    fn set_bits(&self, bits: Range<usize>, chosen: usize) -> u64 {
        let mut added = 0;
        for (at, mask) in pieces(bits.clone(), WORD_SHIFT) {
            let mask = mask & chosen;
            let Some(word) = self.at(0, at) else { break };
            // Most extents that a host writes are set already: a load leaves the cache line shared.
            if word.load(ORDER) & mask != mask {
                added += ones(mask & !word.fetch_or(mask, ORDER));
            }
        }
        if added != 0 {
            self.number.fetch_add(index(added), ORDER);
        }
        // Even if nothing was added: who set the bits may not have filled the entries yet.
        self.fill(words_of(bits, WORD_SHIFT));
        added
    }

    /// Clears the bits of level 0, of each word only those that are chosen.
    fn clear_bits(&self, bits: Range<usize>, chosen: usize) -> u64 {
        let mut removed = 0;
        // Words of one summary word are settled together.
        let (mut group, mut emptied) = (0, 0);
        for (at, mask) in pieces(bits, WORD_SHIFT) {
            let mask = mask & chosen;
            let Some(word) = self.at(0, at) else { break };
            if word.load(ORDER) & mask == 0 {
                continue;
            }
            let before = word.fetch_and(!mask, ORDER);
            removed += ones(before & mask);
            if before & mask == 0 || before & !mask != 0 {
                continue;
            }
            if group != at >> ENTRY_SHIFT {
                self.settle(1, group, emptied);
                (group, emptied) = (at >> ENTRY_SHIFT, 0);
            }
            emptied |= bit_in_word(at, ENTRY_SHIFT);
        }
        if removed != 0 {
            self.number.fetch_sub(index(removed), ORDER);
        }
        self.settle(1, group, emptied);
        removed
    }

    /// The first extent set, `from` or behind it. See the promise at the top of the module.
    pub fn next_set(&self, from: Extent) -> Option<Extent> {
        // `place` is a bit of level 0, or an entry of a level above. It only ever moves on.
        let (mut level, mut place) = (0, index(from.0));
        loop {
            let shift = shift_of(level);
            let at = place >> shift;
            let live = live(level, self.at(level, at)?.load(ORDER));
            let live = live & usize::MAX << (place & low_bits(shift));
            if live == 0 {
                // Nothing left in this word: look above for the next one.
                (level, place) = (level + 1, at + 1);
                continue;
            }
            place = at << shift | index(u64::from(live.trailing_zeros()));
            if level == 0 {
                return Some(Extent(count(place)));
            }
            level -= 1;
            place <<= shift_of(level);
        }
    }

    /// The last extent set, or one behind it: what is set or cleared meanwhile may not count.
    pub fn last_set(&self) -> Extent {
        let mut place = 0;
        for level in (0..LEVELS).rev() {
            let Some(word) = self.at(level, place) else { continue };
            let (shift, live) = (shift_of(level), live(level, word.load(ORDER)));
            let last = live.checked_ilog2().map_or(low_bits(shift), |last| index(u64::from(last)));
            place = place << shift | last;
        }
        Extent(count(place))
    }

    /// The first extent of the range that is set.
    pub fn next_set_in(&self, range: ExtentRange) -> Option<Extent> {
        self.next_set(range.first).filter(|&extent| extent < range.end)
    }

    /// The first extent of the range that is clear. There are none behind the end.
    pub fn next_clear_in(&self, range: ExtentRange) -> Option<Extent> {
        pieces(self.clip(range), WORD_SHIFT).find_map(|(at, mask)| {
            let clear = mask & !self.word(at);
            let extent = at << WORD_SHIFT | index(u64::from(clear.trailing_zeros()));
            (clear != 0).then_some(Extent(count(extent)))
        })
    }

    /// The first run of set extents in the range, cut at its end.
    pub fn next_run_in(&self, range: ExtentRange) -> Option<ExtentRange> {
        let first = self.next_set_in(range)?;
        let end = self.next_clear_in(ExtentRange::new(first, range.end)).unwrap_or(range.end);
        Some(ExtentRange::new(first, end))
    }

    /// Whether every extent of the range is set: true if it has none, false if one is behind the
    /// end.
    pub fn all_set(&self, range: ExtentRange) -> bool {
        if range.end.0 > self.extents() {
            return range.is_empty();
        }
        pieces(self.clip(range), WORD_SHIFT).all(|(at, mask)| self.word(at) & mask == mask)
    }

    /// Whether an extent of the range is set.
    pub fn any_set(&self, range: ExtentRange) -> bool {
        self.next_set_in(range).is_some()
    }

    #[inline]
    fn at(&self, level: usize, at: usize) -> Option<&'a AtomicUsize> {
        self.levels.get(level)?.get(at)
    }

    /// The part of the range that the map has, as bits of level 0.
    fn clip(&self, range: ExtentRange) -> Range<usize> {
        index(range.first.0)..index(range.end.0).min(self.extents)
    }

    /// The bits of a word of level 0 that the map has.
    fn bits_of_word(&self, at: usize) -> Range<usize> {
        let first = at.saturating_mul(index(u64::from(Self::WORD_BITS)));
        first..first.saturating_add(index(u64::from(Self::WORD_BITS))).min(self.extents)
    }

    /// A setter's way up: fills the entries of these words of level 0, at every level.
    fn fill(&self, words: Range<usize>) {
        let mut below = words;
        for level in 1..LEVELS {
            for (at, entries) in pieces(below.clone(), ENTRY_SHIFT) {
                let Some(word) = self.at(level, at) else {
                    return;
                };
                let missing = entries & !word.load(ORDER);
                if missing != 0 {
                    word.fetch_or(missing, ORDER);
                    // The bits may be gone already, and who cleared them may have come too early.
                    self.settle(level, at, missing & !self.non_zero_below(level, at, missing));
                }
            }
            below = words_of(below, ENTRY_SHIFT);
        }
    }

    /// A clearer's way up: these entries of a summary word stand over words that were seen zero.
    fn settle(&self, mut level: usize, mut at: usize, mut entries: usize) {
        while entries != 0 {
            let Some(word) = self.at(level, at) else {
                return;
            };
            let others = word.fetch_or(entries << ENTRIES, ORDER) >> ENTRIES;
            // The examiners of the others look again after this.
            let mine = entries & !others;
            if mine == 0 {
                return;
            }
            word.fetch_and(!mine, ORDER);
            let non_zero = self.non_zero_below(level, at, mine);
            if non_zero != 0 {
                word.fetch_or(non_zero, ORDER);
            }
            let rest = word.fetch_and(!(mine << ENTRIES), ORDER) & !(mine << ENTRIES);
            let filled = rest & mine;
            entries = filled & !self.non_zero_below(level, at, filled);
            if rest == 0 {
                entries = bit_in_word(at, ENTRY_SHIFT);
                at >>= ENTRY_SHIFT;
                level += 1;
            }
        }
    }

    /// Those of the entries whose word, one level below, is not zero.
    fn non_zero_below(&self, level: usize, at: usize, entries: usize) -> usize {
        let (mut non_zero, mut rest) = (0, entries);
        while rest != 0 {
            let lowest = rest & rest.wrapping_neg();
            let below = at << ENTRY_SHIFT | index(u64::from(rest.trailing_zeros()));
            let word = self.at(level.wrapping_sub(1), below);
            if word.is_some_and(|word| word.load(ORDER) != 0) {
                non_zero |= lowest;
            }
            rest ^= lowest;
        }
        non_zero
    }
}

/// The number of extents as an index, if words for them can be addressed and counted.
fn addressable(extents: u64) -> Option<usize> {
    let extents = usize::try_from(extents).ok()?;
    let most = index(EXTENTS_MAX).min(isize::MAX.unsigned_abs());
    (extents <= most).then_some(extents)
}

/// How many words each level has.
fn level_sizes(extents: usize) -> [usize; LEVELS] {
    let mut sizes = [0; LEVELS];
    let (mut below, mut shift) = (0..extents, WORD_SHIFT);
    for size in &mut sizes {
        below = words_of(below, shift);
        shift = ENTRY_SHIFT;
        *size = below.end;
        if below.end <= 1 {
            break;
        }
    }
    sizes
}

/// The words that hold these bits (or entries), of which a word holds `2^shift`.
fn words_of(bits: Range<usize>, shift: u32) -> Range<usize> {
    if bits.is_empty() { 0..0 } else { bits.start >> shift..((bits.end - 1) >> shift) + 1 }
}

/// The words that hold these bits (or entries), each with the mask of those that are meant.
fn pieces(bits: Range<usize>, shift: u32) -> impl Iterator<Item = (usize, usize)> {
    let (first, last) = (bits.start, bits.end.wrapping_sub(1));
    words_of(bits, shift).map(move |at| {
        let from = if at == first >> shift { first & low_bits(shift) } else { 0 };
        let to = if at == last >> shift { last & low_bits(shift) } else { low_bits(shift) };
        (at, usize::MAX << from & usize::MAX >> (low_bits(WORD_SHIFT) - to))
    })
}

/// Bits, or entries, of a word of this level, as a shift.
#[inline]
fn shift_of(level: usize) -> u32 {
    if level == 0 { WORD_SHIFT } else { ENTRY_SHIFT }
}

/// The bits of a word that are set, or its entries below which one may be.
#[inline]
fn live(level: usize, word: usize) -> usize {
    if level == 0 { word } else { (word | word >> ENTRIES) & FILLED }
}

/// The bit that stands for this one in its word.
fn bit_in_word(bit: usize, shift: u32) -> usize {
    1 << (bit & low_bits(shift))
}

/// So many of the lowest bits.
fn low_bits(number: u32) -> usize {
    (1 << number) - 1
}

/// How many bits are set.
fn ones(word: usize) -> u64 {
    u64::from(word.count_ones())
}
