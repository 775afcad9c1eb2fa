//! Goal: the live map finds what is set and hides nothing, at every word and level boundary and
//! under concurrent use; and blocks and extents are converted without losing one.
//! Method: random calls against a `BTreeSet`, threads that set, clear and search at the same time,
//! and every small geometry against its definition. `EXTENT_MAP_SEED` in the environment replays
//! the seed that a failing test prints.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clone_group::extent_map::ExtentMap;
use clone_group::geometry::{Block, BlockRange, Extent, ExtentRange, Geometry};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

/// Around the boundaries of words and levels, with 32-bit words and with 64-bit words.
const SIZES: [u64; 20] = [
    1, 31, 32, 33, 63, 64, 65, 511, 512, 513, 2047, 2048, 2049, 4095, 4096, 4097, 65537, 262_143, 262_144,
    262_145,
];
/// Extents of a word.
const WORD_BITS: u64 = ExtentMap::WORD_BITS as u64;
/// What the memory of a map holds before there is a map.
const GARBAGE: usize = usize::MAX / 3;

fn words(number: usize) -> Vec<AtomicUsize> {
    (0..number).map(|_| AtomicUsize::new(GARBAGE)).collect()
}

fn words_for(extents: u64) -> Vec<AtomicUsize> {
    words(ExtentMap::words_needed(extents).expect("the map is addressable"))
}

fn all_zero(words: &[AtomicUsize]) -> bool {
    words.iter().all(|word| word.load(Ordering::SeqCst) == 0)
}

/// The seed of a random test, from the environment or from the clock. Failing tests show it.
fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64);
    let given = std::env::var("EXTENT_MAP_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(clock);
    println!("EXTENT_MAP_SEED={seed}");
    seed
}

fn range(first: u64, end: u64) -> ExtentRange {
    ExtentRange { first: Extent(first), end: Extent(end) }
}

/// What the map must do, in the plainest form.
struct Reference {
    extents: u64,
    set: BTreeSet<u64>,
}

impl Reference {
    fn clip(&self, range: ExtentRange) -> std::ops::Range<u64> {
        let end = range.end.0.min(self.extents);
        range.first.0.min(end)..end
    }

    fn set_range(&mut self, range: ExtentRange) -> u64 {
        self.clip(range).map(|extent| u64::from(self.set.insert(extent))).sum()
    }

    fn clear_range(&mut self, range: ExtentRange) -> u64 {
        let before = self.set.len();
        let range = self.clip(range);
        self.set.retain(|extent| !range.contains(extent));
        (before - self.set.len()) as u64
    }

    fn next_set_in(&self, range: ExtentRange) -> Option<Extent> {
        self.set.range(self.clip(range)).next().copied().map(Extent)
    }

    fn next_clear_in(&self, range: ExtentRange) -> Option<Extent> {
        self.clip(range).find(|extent| !self.set.contains(extent)).map(Extent)
    }

    fn all_set(&self, range: ExtentRange) -> bool {
        let inside = self.clip(range);
        let whole = inside.end - inside.start == range.count();
        whole && inside.clone().count() == self.set.range(inside).count()
    }
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Set(u64),
    Clear(u64),
    SetRange(u64, u64),
    ClearRange(u64, u64),
    SetInWord(u64, usize),
    ClearInWord(u64, usize),
    Ask(u64, u64),
}

/// A place in the map: anywhere, near a multiple of a power of two, near either end, behind it.
fn places(extents: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..extents,
        3 => (0..extents, 4_u32..14, 0_u64..3)
            .prop_map(|(at, shift, by)| (((at >> shift) << shift) + by).saturating_sub(1)),
        1 => 0_u64..3,
        2 => (0_u64..5).prop_map(move |back| (extents + 2).saturating_sub(back)),
        1 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 32), Just(extents + 64)],
    ]
}

fn calls(extents: u64) -> impl Strategy<Value = Call> {
    let two = || (places(extents), places(extents));
    // Most ranges are in order, some are not: those are empty.
    let pair = move || {
        prop_oneof![
            8 => two().prop_map(|(a, b)| (a.min(b), a.max(b))),
            4 => (places(extents), 0_u64..140).prop_map(|(a, n)| (a, a.saturating_add(n))),
            1 => two(),
        ]
    };
    prop_oneof![
        4 => places(extents).prop_map(Call::Set),
        4 => places(extents).prop_map(Call::Clear),
        2 => pair().prop_map(|(a, b)| Call::SetRange(a, b)),
        2 => pair().prop_map(|(a, b)| Call::ClearRange(a, b)),
        2 => (places(extents), any::<usize>()).prop_map(|(a, chosen)| Call::SetInWord(a, chosen)),
        2 => (places(extents), any::<usize>()).prop_map(|(a, chosen)| Call::ClearInWord(a, chosen)),
        6 => pair().prop_map(|(a, b)| Call::Ask(a, b)),
    ]
}

fn cases() -> impl Strategy<Value = (u64, Vec<Call>)> {
    prop::sample::select(&SIZES[..]).prop_flat_map(|size| {
        // The reference is slow where the map is fast.
        let most = if size > 5000 { 12 } else { 60 };
        (Just(size), prop::collection::vec(calls(size), 1..most))
    })
}

/// Those extents of the word of this one that are chosen.
fn chosen_of(extent: u64, chosen: usize) -> impl Iterator<Item = ExtentRange> {
    let first = extent / WORD_BITS * WORD_BITS;
    (0..WORD_BITS).filter(move |bit| chosen >> bit & 1 == 1).map(move |bit| {
        // Behind the end of every map there may be no further extent.
        range(first.saturating_add(bit), first.saturating_add(bit).saturating_add(1))
    })
}

/// Makes one call on both, and compares the answers.
fn same(map: &ExtentMap, reference: &mut Reference, call: Call) {
    match call {
        Call::Set(e) => {
            let added = reference.set_range(ExtentRange::one(Extent(e)));
            assert_eq!(map.set(Extent(e)), added == 1);
        }
        Call::Clear(e) => {
            assert_eq!(map.clear(Extent(e)), reference.set.remove(&e));
        }
        Call::SetRange(a, b) => {
            assert_eq!(map.set_range(range(a, b)), reference.set_range(range(a, b)));
        }
        Call::ClearRange(a, b) => {
            assert_eq!(map.clear_range(range(a, b)), reference.clear_range(range(a, b)));
        }
        Call::SetInWord(a, chosen) => {
            let added = chosen_of(a, chosen).map(|one| reference.set_range(one)).sum();
            assert_eq!(map.set_in_word((a / WORD_BITS) as usize, chosen), added);
        }
        Call::ClearInWord(a, chosen) => {
            let removed = chosen_of(a, chosen).map(|one| reference.clear_range(one)).sum();
            assert_eq!(map.clear_in_word((a / WORD_BITS) as usize, chosen), removed);
        }
        Call::Ask(a, b) => {
            let asked = range(a, b);
            assert_eq!(map.get(asked.first), reference.set.contains(&a));
            let next = reference.set.range(a..).next().copied();
            assert_eq!(map.next_set(asked.first), next.map(Extent));
            assert_eq!(map.next_set_in(asked), reference.next_set_in(asked));
            assert_eq!(map.next_clear_in(asked), reference.next_clear_in(asked));
            assert_eq!(map.any_set(asked), reference.next_set_in(asked).is_some());
            assert_eq!(map.all_set(asked), reference.all_set(asked));
            if let Some(&last) = reference.set.last() {
                assert_eq!(map.last_set(), Extent(last));
            }
        }
    }
    assert_eq!(map.count(), reference.set.len() as u64);
    assert_eq!(map.is_empty(), reference.set.is_empty());
}

/// Compares every extent: by search, by word, and one by one at the ends.
fn same_all(map: &ExtentMap, reference: &Reference) {
    let mut found = BTreeSet::new();
    let mut from = 0;
    while let Some(Extent(extent)) = map.next_set(Extent(from)) {
        found.insert(extent);
        from = extent + 1;
    }
    assert!(found == reference.set, "found {found:?}, set are {:?}", reference.set);
    for index in 0..map.extents().div_ceil(WORD_BITS) + 2 {
        let mut word = 0;
        for extent in reference.set.range(index * WORD_BITS..(index + 1) * WORD_BITS) {
            word |= 1 << (extent % WORD_BITS);
        }
        assert_eq!(map.word(index as usize), word, "word {index}");
    }
    assert_eq!(map.word(usize::MAX), 0);
}

/// Goal: every call answers like the reference, whatever came before it. Method: random calls on
/// maps of boundary sizes; in the end every extent and every word is compared, and all is cleared.
#[test]
fn calls_answer_like_the_reference() {
    let rng_seed = RngSeed::Fixed(seed());
    let config = ProptestConfig { rng_seed, failure_persistence: None, ..Default::default() };
    let run = TestRunner::new(config).run(&cases(), |(extents, calls)| {
        let words = words_for(extents);
        let map = ExtentMap::new(&words, extents).expect("enough words");
        let mut reference = Reference { extents, set: BTreeSet::new() };
        for call in calls {
            same(&map, &mut reference, call);
        }
        same_all(&map, &reference);
        same(&map, &mut reference, Call::ClearRange(0, extents));
        prop_assert!(all_zero(&words), "the summary says that an empty map is not");
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Goal: an extent that is alone in its map is found from everywhere before it and from nowhere
/// behind it. Method: the extents of each boundary size one by one, by call and by range.
#[test]
fn a_single_extent_is_found() {
    for extents in SIZES {
        let words = words_for(extents);
        let map = ExtentMap::new(&words, extents).expect("enough words");
        // All extents of the small maps, every 61st of the large ones, and the last ones.
        let step = if extents > 5000 { 61 } else { 1 };
        for e in (0..extents).filter(|e| e % step == 0 || e + 3 > extents) {
            assert!(map.is_empty() && map.set(Extent(e)) && !map.set(Extent(e)));
            for from in [0, e / 2, e.saturating_sub(64), e.saturating_sub(1), e] {
                let found = map.next_set(Extent(from));
                assert_eq!(found, Some(Extent(e)), "{extents} extents, from {from}");
            }
            assert_eq!(map.next_set(Extent(e + 1)), None, "{extents} extents, behind {e}");
            assert_eq!((map.clear_range(range(e, e + 1)), map.count()), (1, 0));
            assert_eq!((map.set_range(range(e, e + 1)), map.count()), (1, 1));
            assert!(map.clear(Extent(e)) && !map.clear(Extent(e)));
        }
        assert!(all_zero(&words), "{extents} extents: not empty");
    }
}

/// Goal: a map takes the words it asks for, no fewer and no others, and clears them itself.
/// Method: memory that holds garbage, one word too short and one word too long.
#[test]
fn a_map_takes_its_words() {
    for extents in SIZES {
        let needed = ExtentMap::words_needed(extents).expect("addressable");
        let bits = extents.div_ceil(u64::from(ExtentMap::WORD_BITS)) as usize;
        // At most a word in eight is summary, besides the last word of each level.
        assert!(needed >= bits && needed <= bits + bits / 8 + 8, "{extents}: {needed} words");
        let memory = words(needed + 1);
        assert!(ExtentMap::new(&memory[..needed - 1], extents).is_none());
        let map = ExtentMap::new(&memory, extents).expect("enough words");
        assert!(map.is_empty() && map.count() == 0 && map.extents() == extents);
        assert_eq!(map.set_range(range(0, u64::MAX)), extents);
        assert!(map.all_set(range(0, extents)) && !map.all_set(range(0, extents + 1)));
        assert_eq!(memory[needed].load(Ordering::SeqCst), GARBAGE, "wrote behind its words");
    }
    assert_eq!(ExtentMap::words_needed((1 << 40) + 1), None);
    assert_eq!(ExtentMap::words_needed(u64::MAX), None);
    let none = ExtentMap::new(&[], 0).expect("a map of no extents needs no words");
    assert!(none.is_empty() && none.all_set(range(0, 0)) && !none.set(Extent(0)));
}

/// Threads that change the map. Each has extents of its own, but they meet in the same words.
const THREADS: u64 = 3;
/// Where they meet: in a word, in words beside each other, and far apart in the summaries.
const PLACES: [u64; 4] = [0, 1, 40, 2500];
/// Never in the first words: from there a search would not need the summary.
const FIRST: u64 = 2500;
/// How often the threads start together and end together, for each width.
const ROUNDS: u64 = 200;
/// How often each of them sets extents in a round.
const TURNS: u64 = 200;

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

/// Sets extents, looks for them from the start of the map as long as they are set, clears them.
fn change(map: &ExtentMap, thread: u64, width: u64, mut random: Random) {
    for _ in 0..TURNS {
        let place = PLACES[random.below(PLACES.len() as u64) as usize];
        let first = FIRST + (place * THREADS + thread) * width;
        let own = range(first, first + width);
        let added = if width == 1 { u64::from(map.set(own.first)) } else { map.set_range(own) };
        assert_eq!(added, width, "{own:?} were clear");
        for _ in 0..=random.below(4) {
            let found = map.next_set(Extent(0));
            assert!(found.is_some_and(|e| e <= own.first), "{own:?} are set, found {found:?}");
            assert!(!map.is_empty() && map.all_set(own), "{own:?} are set");
        }
        let gone = if width == 1 { u64::from(map.clear(own.first)) } else { map.clear_range(own) };
        assert_eq!(gone, width, "{own:?} were set");
    }
}

/// Goal: an extent that is set is found, whatever other threads set and clear beside it; and when
/// they rest, the map is exact. Method: each thread searches from the start of the map for what it
/// has set itself, while the others set and clear extents of the same words. By calls, and by
/// ranges of several widths. The seed fixes the extents; how the threads meet is up to the machine.
#[test]
fn nothing_is_hidden_under_concurrent_use() {
    let mut random = Random(seed() | 1);
    for width in [1, 3, 100, 3000] {
        let extents = FIRST + (PLACES[3] + 1) * THREADS * width;
        let words = words_for(extents);
        let map = ExtentMap::new(&words, extents).expect("enough words");
        for round in 0..ROUNDS {
            // The scope fails if one of the threads fails.
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (map, random) = (&map, Random(random.below(u64::MAX) | 1));
                    scope.spawn(move || change(map, thread, width, random));
                }
            });
            assert_eq!(map.count(), 0, "width {width} round {round}");
            assert!(all_zero(&words), "width {width} round {round}: the summary is stale");
        }
    }
}

/// What a thread does in a race. `Find`: this extent is set and stays set, so it must be found.
#[derive(Clone, Copy)]
enum Step {
    Set(u64),
    Clear(u64),
    Find(u64),
}

use Step::{Clear, Find, Set};

/// What the threads do at the same moment, one list each. Two of the extents are in a word; the
/// others are below another word of the first summary, and below another word of the second.
const RACES: [&[&[Step]]; 7] = [
    &[&[Set(A), Find(A), Clear(A)], &[Set(B), Find(B), Find(B), Clear(B)]],
    &[&[Set(A), Find(A), Clear(A)], &[Set(FAR), Find(FAR), Clear(FAR)]],
    &[&[Set(A), Clear(A)], &[Set(FAR), Clear(FAR)], &[Set(FARTHER), Find(FARTHER)]],
    &[&[Set(A), Find(A)], &[Set(A), Find(A)]],
    &[&[Set(A)], &[Clear(A)]],
    &[&[Set(A), Clear(A), Set(A), Clear(A)], &[Set(B), Find(B), Find(B), Find(B)]],
    &[&[Set(A), Clear(A)], &[Set(B), Clear(B)], &[Set(C), Find(C), Find(C), Find(C)]],
];
const A: u64 = 5000;
const B: u64 = 5001;
const C: u64 = 5002;
const FAR: u64 = 5100;
const FARTHER: u64 = 90_000;
/// How long each race is run, over and over.
const TIME: Duration = Duration::from_millis(400);

/// Instead of the number of a start.
const OVER: usize = usize::MAX;

/// Where the threads of a race wait for each other.
#[derive(Default)]
struct Line {
    /// Number of the last start.
    start: AtomicUsize,
    finished: AtomicUsize,
    hidden: AtomicUsize,
}

fn wait_until(condition: impl Fn() -> bool) {
    let mut turns = 0_u32;
    while !condition() {
        turns += 1;
        // The machine may have fewer processors than there are threads.
        if turns.is_multiple_of(256) { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

/// Nothing here panics, as the other threads would wait for ever.
fn race(map: &ExtentMap, line: &Line, steps: &[Step], random: &mut Random) {
    // So that they meet at another step each time.
    let most = 1 << random.below(6);
    for _ in 0..random.below(most) {
        std::hint::spin_loop();
    }
    // Once, to see how it ends; or several times without a rest, to meet more often.
    for _ in 0..1 << (line.start.load(Ordering::SeqCst) % 6) {
        for &step in steps {
            match step {
                Set(extent) => _ = map.set(Extent(extent)),
                Clear(extent) => _ = map.clear(Extent(extent)),
                Find(extent) if map.next_set(Extent(0)).is_some_and(|e| e.0 <= extent) => {}
                Find(_) => _ = line.hidden.fetch_add(1, Ordering::SeqCst),
            }
        }
    }
    line.finished.fetch_add(1, Ordering::SeqCst);
}

/// Runs the race over and over, until something is wrong or the time is over. Returns what is.
fn races(threads: &[&[Step]], seed: u64) -> Result<(), String> {
    let words = words_for(FARTHER + 1);
    let map = &ExtentMap::new(&words, FARTHER + 1).expect("enough words");
    // Level 0 is zero when the count is; to look at 1400 words each time would spoil the start.
    let summary = &words[(FARTHER / u64::from(ExtentMap::WORD_BITS) + 1) as usize..];
    let line = &Line::default();
    std::thread::scope(|scope| {
        for (number, steps) in (1..).zip(&threads[1..]) {
            let mut random = Random((seed ^ (number << 32)) | 1);
            scope.spawn(move || {
                for start in 1.. {
                    wait_until(|| line.start.load(Ordering::SeqCst) >= start);
                    if line.start.load(Ordering::SeqCst) == OVER {
                        break;
                    }
                    race(map, line, steps, &mut random);
                }
            });
        }
        let mut random = Random(seed | 1);
        let (mut wrong, end) = (Ok(()), Instant::now() + TIME);
        while wrong.is_ok() && Instant::now() < end {
            line.finished.store(0, Ordering::SeqCst);
            let start = line.start.fetch_add(1, Ordering::SeqCst) + 1;
            race(map, line, threads[0], &mut random);
            wait_until(|| line.finished.load(Ordering::SeqCst) == threads.len());
            for extent in [A, B, C, FAR, FARTHER] {
                map.clear(Extent(extent));
            }
            if map.count() != 0 || !map.is_empty() || !all_zero(summary) {
                wrong = Err(format!("start {start}: not exact when at rest"));
            }
            if line.hidden.load(Ordering::SeqCst) != 0 {
                wrong = Err(format!("start {start}: a set extent was not found"));
            }
        }
        line.start.store(OVER, Ordering::SeqCst);
        wrong
    })
}

/// Goal: no interleaving of two or three calls hides an extent or leaves the summary stale. Method:
/// threads that start at the same moment, thousands of times; the map is checked each time.
#[test]
fn calls_race() {
    let seed = seed();
    for (number, threads) in RACES.iter().enumerate() {
        races(threads, seed).unwrap_or_else(|wrong| panic!("race {number}, {wrong}"));
    }
}

/// Goal: every conversion between blocks and extents is what its name says, with a short last
/// extent as well. Method: all ranges of all small LUs, block by block.
#[test]
fn blocks_and_extents_match_their_definition() {
    for (lu_blocks, extent_blocks) in (1..=40).flat_map(|n| [1, 2, 4, 8].map(|e| (n, e))) {
        let geometry = Geometry::new(lu_blocks, 512, extent_blocks).expect("valid sizes");
        let extent_blocks = u64::from(extent_blocks);
        let extent_of = |block: u64| block / extent_blocks;
        let extents = extent_of(lu_blocks - 1) + 1;
        assert_eq!(geometry.extents(), extents);
        assert_eq!(geometry.all_extents(), range(0, extents));
        for first in 0..lu_blocks {
            assert_eq!(geometry.extent_of(Block(first)), Extent(extent_of(first)));
            for count in 1..=lu_blocks - first {
                let blocks = geometry.block_range(first, count).expect("in the LU");
                assert_eq!((blocks.first, blocks.count()), (Block(first), count));
                let within = |block: u64| (first..first + count).contains(&block);
                let holds = |e: u64| (0..lu_blocks).filter(move |&block| extent_of(block) == e);
                let touched = (0..extents).filter(|&e| holds(e).any(within));
                let covered = (0..extents).filter(|&e| holds(e).all(within));
                let text = format!("{lu_blocks} blocks by {extent_blocks}: {first} + {count}");
                assert!(numbers(geometry.extents_touched(blocks)).eq(touched), "touched, {text}");
                assert!(numbers(geometry.extents_covered(blocks)).eq(covered), "covered, {text}");
            }
            assert!(geometry.block_range(first, 0).is_err());
            assert!(geometry.block_range(first, lu_blocks - first + 1).is_err());
            assert!(geometry.block_range(first + 1, u64::MAX).is_err());
        }
        for (first, end) in (0..extents).flat_map(|a| (a..=extents).map(move |b| (a, b))) {
            let BlockRange { first: from, end: to } = geometry.blocks_of(range(first, end));
            let blocks = (0..lu_blocks).filter(|&b| (first..end).contains(&extent_of(b)));
            assert!((from.0..to.0).eq(blocks), "{lu_blocks} by {extent_blocks}: {first}..{end}");
        }
        let last = geometry.blocks_of(ExtentRange::one(Extent(extents - 1)));
        assert_eq!(last.count(), lu_blocks - (extents - 1) * extent_blocks, "short last extent");
    }
}

fn numbers(extents: ExtentRange) -> impl Iterator<Item = u64> {
    extents.iter().map(|extent| extent.0)
}
