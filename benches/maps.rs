//! What the live maps cost: the search for the next set extent at several sizes and densities, and
//! the calls that are on the way of a host request.
//!
//! `next_set` walks the whole map, or its first `WALK` set extents, in order, as the Sync Engine
//! does; the figure per element is what one step costs. The other calls go to pseudo-random extents
//! of a map of 2^20 extents, so that the map is in the cache and the figure is the call's own.

use std::hint::black_box;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use clone_group::extent_map::ExtentMap;
use clone_group::geometry::{Extent, ExtentRange};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Most steps of a walk.
const WALK: usize = 4096;
/// Extents of the map for the calls other than `next_set`.
const SMALL: u64 = 1 << 20;

fn words(extents: u64) -> Vec<AtomicUsize> {
    let number = ExtentMap::words_needed(extents).expect("the map fits into memory");
    (0..number).map(|_| AtomicUsize::new(0)).collect()
}

/// Sets one extent in `distance`, scattered: the walk shall not step evenly.
fn scatter(map: &ExtentMap, distance: u64) {
    if distance == 1 {
        map.set_range(ExtentRange::new(Extent(0), Extent(map.extents())));
        return;
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for first in (0..map.extents()).step_by(usize::try_from(distance).expect("fits")) {
        map.set(Extent(first + random.below(distance)));
    }
}

/// Steps through the map, and says how many set extents there were.
fn walk(map: &ExtentMap) -> usize {
    let mut from = Extent(0);
    for steps in 0..WALK {
        match map.next_set(from) {
            Some(extent) => from = Extent(extent.0 + 1),
            None => return steps,
        }
    }
    WALK
}

/// xorshift64: the same extents in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn next_set(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("next_set");
    for size in [20, 24, 30] {
        let words = words(1 << size);
        for distance in [0, 6, 12, 20] {
            let map = ExtentMap::new(&words, 1 << size).expect("enough words");
            scatter(&map, 1 << distance);
            // The last step, which finds nothing, counts as well.
            let steps = WALK.min(walk(&map) + 1);
            group.throughput(Throughput::Elements(steps as u64));
            let name = BenchmarkId::new(format!("2^{size}"), format!("1 in 2^{distance}"));
            group.bench_function(name, |bencher| bencher.iter(|| walk(black_box(&map))));
        }
    }
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let words = words(SMALL);
    let map = ExtentMap::new(&words, SMALL).expect("enough words");
    let mut random = Random(1);
    let extents: Vec<Extent> = (0..WALK).map(|_| Extent(random.below(SMALL - 64))).collect();
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % WALK;
        extents[at]
    };
    let range = |first: Extent| ExtentRange::new(first, Extent(first.0 + 64));
    let mut group = criterion.benchmark_group("call");

    group.bench_function("get", |bencher| bencher.iter(|| map.get(next())));
    group.bench_function("set and clear", |bencher| {
        bencher.iter(|| {
            let extent = next();
            (map.set(extent), map.clear(extent))
        });
    });
    group.bench_function("set_range and clear_range of 64", |bencher| {
        bencher.iter(|| {
            let range = range(next());
            (map.set_range(range), map.clear_range(range))
        });
    });
    map.set_range(ExtentRange::new(Extent(0), Extent(SMALL)));
    group.bench_function("set, is set already", |bencher| bencher.iter(|| map.set(next())));
    group.bench_function("set_range of 64, are set already", |bencher| {
        bencher.iter(|| map.set_range(range(next())));
    });
    group.bench_function("all_set of 64", |bencher| bencher.iter(|| map.all_set(range(next()))));
    group.finish();
}

/// All extents of an LU at once, as when a Clone is added: the figure is per extent.
fn whole(criterion: &mut Criterion) {
    const EXTENTS: u64 = 1 << 24;
    let words = words(EXTENTS);
    let map = ExtentMap::new(&words, EXTENTS).expect("enough words");
    let all = ExtentRange::new(Extent(0), Extent(EXTENTS));
    let mut group = criterion.benchmark_group("whole 2^24");
    group.throughput(Throughput::Elements(EXTENTS));
    group.bench_function("set_range and clear_range", |bencher| {
        bencher.iter(|| (map.set_range(all), map.clear_range(all)));
    });
    map.set_range(all);
    group.bench_function("all_set", |bencher| bencher.iter(|| map.all_set(all)));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! { name = benches; config = short(); targets = next_set, calls, whole }
criterion_main!(benches);
