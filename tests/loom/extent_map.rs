//! The live map (`src/extent_map.rs`): setters, clearers and finders.

use clone_group::extent_map::ExtentMap;
use clone_group::geometry::{Extent, ExtentRange};
use clone_group::loom_atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::explore::{PREEMPTIONS, Shared, every_order, every_order_within};

/// What a thread does.
#[derive(Clone, Copy)]
enum Step {
    /// Sets the extent.
    Set(u64),
    /// Clears the extent.
    Clear(u64),
    /// The extent is set and stays so: every search from before it must come by.
    Find(u64),
    /// Sets, or clears, this range.
    SetRange(u64, u64),
    ClearRange(u64, u64),
}
use Step::{Clear, ClearRange, Find, Set, SetRange};

/// Words of a map of two levels: extents 0 to 63 in one, 64 to 127 in the other.
const TWO: u64 = 128;
/// Three levels: extents 0 to 2047 are under the first summary word, 2048 is under the second.
const THREE: u64 = 2049;

struct Memory {
    words: Vec<AtomicUsize>,
}

fn memory(extents: u64) -> Shared<Memory> {
    let words = ExtentMap::words_needed(extents).unwrap();
    let words = (0..words).map(|_| AtomicUsize::default()).collect();
    Shared::new(Memory { words })
}

fn step(map: &ExtentMap, step: Step) {
    match step {
        Set(extent) => _ = map.set(Extent(extent)),
        Clear(extent) => _ = map.clear(Extent(extent)),
        SetRange(first, end) => _ = map.set_range(ExtentRange::new(Extent(first), Extent(end))),
        ClearRange(first, end) => _ = map.clear_range(ExtentRange::new(Extent(first), Extent(end))),
        Find(extent) => {
            let found = map.next_set(Extent(0));
            assert!(found.is_some_and(|found| found.0 <= extent), "{extent} is hidden: {found:?}");
        }
    }
}

/// Runs the lists of steps beside each other, after `before`; at the end `left` is set and nothing else.
fn race(
    name: &str,
    extents: u64,
    before: &'static [Step],
    lists: [&'static [Step]; 3],
    left: &'static [u64],
) {
    every_order_within(preemptions(name), name, move || {
        let memory = memory(extents);
        let words = &memory.lend().words;
        let map = Shared::new(ExtentMap::new(words, extents).unwrap());
        let shared = map.lend();
        before.iter().for_each(|&first| step(shared, first));
        let [mine, others @ ..] = lists;
        let threads = others.map(|list| {
            (!list.is_empty())
                .then(|| thread::spawn(move || list.iter().for_each(|&next| step(shared, next))))
        });
        mine.iter().for_each(|&next| step(shared, next));
        threads.into_iter().flatten().for_each(|thread| thread.join().unwrap());
        exact(shared, words, left);
    });
}

/// The usual number, but for a program that is too long for it.
fn preemptions(name: &str) -> usize {
    match name {
        "everything at once" => 3,
        _ => PREEMPTIONS,
    }
}

/// Nobody is at work: bits, count and every summary word are exact.
fn exact(map: &ExtentMap, words: &[AtomicUsize], left: &[u64]) {
    let mut from = Extent(0);
    for &extent in left {
        assert_eq!(map.next_set(from), Some(Extent(extent)));
        from = Extent(extent + 1);
    }
    assert_eq!(map.next_set(from), None);
    assert_eq!(map.count(), left.len() as u64);
    let mut below = map.extents().div_ceil(64) as usize;
    let (mut lower, mut rest) = words.split_at(below);
    while below > 1 {
        below = below.div_ceil(32);
        let (level, higher) = rest.split_at(below);
        for (at, word) in level.iter().enumerate() {
            let entries = lower.iter().skip(at * 32).take(32).enumerate();
            let filled = entries.filter(|(_, word)| word.load(Ordering::SeqCst) != 0);
            let filled = filled.fold(0, |filled, (entry, _)| filled | 1 << entry);
            assert_eq!(word.load(Ordering::SeqCst), filled, "a summary word that is not exact");
        }
        (lower, rest) = (level, higher);
    }
}

/// Goal: the trace of the text of the module. The last extent of a word is cleared while another one of it is set.
#[test]
fn a_word_empties_while_it_fills() {
    race("a word empties while it fills", TWO, &[Set(0)], [&[Set(1), Find(1)], &[Clear(0)], &[]], &[1]);
}

/// Goal: as above, with a third thread whose extent comes and goes.
#[test]
fn a_word_empties_twice() {
    let lists: [&[Step]; 3] = [&[Clear(0)], &[Set(2), Clear(2)], &[Set(1), Find(1)]];
    race("a word empties twice", TWO, &[Set(0)], lists, &[1]);
}

/// Goal: one who finds the bit set already must find it from above, too.
#[test]
fn two_set_the_same() {
    race(
        "two set the same",
        TWO,
        &[Set(0)],
        [&[Set(65), Find(65)], &[Set(65), Find(65)], &[Clear(0)]],
        &[65],
    );
}

/// Goal: examiners of two entries of a summary word leave each other's alone.
#[test]
fn two_words_empty() {
    race(
        "two words empty",
        TWO,
        &[Set(0), Set(64)],
        [&[Clear(0)], &[Clear(64)], &[Set(66), Find(66)]],
        &[66],
    );
}

/// Goal: what was set before and stays is found beside everything.
#[test]
fn what_stays_is_found() {
    let lists: [&[Step]; 3] = [&[Find(70)], &[Set(1), Clear(1)], &[Clear(64)]];
    race("what stays is found", TWO, &[Set(64), Set(70)], lists, &[70]);
}

/// Goal: ranges over both words.
#[test]
fn ranges_meet() {
    let lists: [&[Step]; 3] = [&[SetRange(63, 65), Find(63)], &[ClearRange(65, 67)], &[]];
    race("ranges meet", TWO, &[SetRange(65, 67)], lists, &[63, 64]);
}

/// Goal: the same through three levels: the lower summary word becomes zero while it fills.
#[test]
fn a_summary_word_empties_while_it_fills() {
    let lists: [&[Step]; 3] = [&[Set(64), Find(64)], &[Clear(0)], &[]];
    race("a summary word empties while it fills", THREE, &[Set(0)], lists, &[64]);
}

/// Goal: as above, while the first word under it fills and empties again and the other summary word is in use.
#[test]
fn a_summary_word_empties_twice() {
    let lists: [&[Step]; 3] = [&[Set(64), Find(64)], &[Clear(0)], &[Set(2048), Clear(2048)]];
    race("a summary word empties twice", THREE, &[Set(0)], lists, &[64]);
}

/// Goal: an extent that comes and goes while the word is examined leaves no entry filled over a zero word.
#[test]
fn one_comes_and_goes() {
    race("one comes and goes", TWO, &[Set(0)], [&[Clear(0)], &[Set(1), Clear(1)], &[]], &[]);
}

/// Goal: as above, if it goes before who set it has filled the entry; nobody waits for the other.
#[test]
fn one_goes_at_once() {
    every_order("one goes at once", || {
        let memory = memory(TWO);
        let words = &memory.lend().words;
        let map = Shared::new(ExtentMap::new(words, TWO).unwrap());
        let shared = map.lend();
        let setter = thread::spawn(move || shared.set(Extent(1)));
        let other =
            thread::spawn(move || (shared.clear(Extent(1)), shared.set(Extent(2)), shared.clear(Extent(2))));
        let cleared = shared.clear(Extent(1));
        assert!(setter.join().unwrap());
        let (others, set, gone) = other.join().unwrap();
        assert!(set && gone && !(cleared && others));
        exact(shared, words, if cleared || others { &[] } else { &[1] });
    });
}

/// Goal: a clear is counted before the set that it undid: the count is never more than what may be set.
#[test]
fn one_is_uncounted_first() {
    every_order("one is uncounted first", || {
        let memory = memory(TWO);
        let words = &memory.lend().words;
        let map = Shared::new(ExtentMap::new(words, TWO).unwrap());
        let shared = map.lend();
        let setter = thread::spawn(move || shared.set(Extent(1)));
        let clearer = thread::spawn(move || shared.clear(Extent(1)));
        let seen = shared.count();
        assert!(seen <= 1, "{seen} extents are set");
        assert!(setter.join().unwrap());
        let cleared = clearer.join().unwrap();
        exact(shared, words, if cleared { &[] } else { &[1] });
    });
}

/// Goal: four calls on each of three threads, in one word and in two.
#[test]
fn everything_at_once() {
    let lists: [&[Step]; 3] = [
        &[Set(1), Find(1), Set(65), Find(1)],
        &[Clear(0), Set(2), Find(2), Clear(2)],
        &[Set(66), Clear(66), Set(66), Clear(66)],
    ];
    race("everything at once", TWO, &[Set(0)], lists, &[1, 65]);
}
