//! Linearizability of what hosts read (d6). A block device promises no more than independent registers, so there is one
//! history for each block of each LU that hosts use. Every write has a value of its own, which makes the check nearly
//! linear: a write and the reads that saw it are a cluster, a cluster spans the time in which the block must have held
//! its value, and two such spans exclude each other (Gibbons and Korach). Zeroes are the one value that several writes
//! share; reads of them are checked one by one.
//!
//! A history ends where a contract lets values come back that were overwritten: at a power loss, where a restore begins,
//! where a flush fails, where a Clone becomes a point in time. What the block holds afterwards is one value, though
//! perhaps one of several: all reads of it agree (R59). A restart of the Source's history does not forgive what crosses
//! it: the value that a Fracture or the flip of a Reverse Synchronization finds is a read like any other.

use std::collections::HashMap;

use super::wing_gong;

/// An operation on one block. Times come from one clock, and no two are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    pub writes: bool,
    pub value: u64,
    pub start: u64,
    /// When it was over, if it was.
    pub end: u64,
    /// It did happen. A write that failed, or was under way at the end, may not have.
    pub certain: bool,
}

impl Op {
    pub fn read(value: u64, start: u64, end: u64) -> Op {
        Op { writes: false, value, start, end, certain: true }
    }

    pub fn write(value: u64, start: u64, end: u64) -> Op {
        Op { writes: true, value, start, end, certain: true }
    }

    /// A write that may or may not have happened.
    pub fn perhaps(value: u64, start: u64, end: u64) -> Op {
        Op { certain: false, ..Op::write(value, start, end) }
    }
}

/// The end of what never ended.
pub const NEVER: u64 = u64::MAX;

/// The history of a block: what it may have held at the beginning, and what was done since.
#[derive(Clone, Default, Debug)]
pub struct Register {
    pub initial: Vec<u64>,
    pub ops: Vec<Op>,
}

/// Everything that is known of one value.
struct Cluster {
    value: u64,
    /// The first end and the last start of its operations.
    first_end: u64,
    last_start: u64,
    certain: bool,
    /// From when on the block may hold it.
    since: u64,
}

impl Register {
    /// The fast check.
    pub fn check(&self) -> Result<(), String> {
        let mut clusters = self.clusters();
        let mut of_value: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, cluster) in clusters.iter().enumerate() {
            of_value.entry(cluster.value).or_default().push(number);
        }
        let mut shared = None;
        for read in self.ops.iter().filter(|op| !op.writes) {
            match of_value.get(&read.value).map_or(&[][..], Vec::as_slice) {
                [] => return Err(format!("{read:?} saw a value that nobody wrote")),
                &[only] => {
                    let cluster = &mut clusters[only];
                    if cluster.since >= read.end {
                        return Err(format!("{read:?} saw a write before it began"));
                    }
                    cluster.first_end = cluster.first_end.min(read.end);
                    cluster.last_start = cluster.last_start.max(read.start);
                    cluster.certain = true;
                }
                _ if shared.get_or_insert_with(|| Shared::of(self)).explains(read) => {}
                _ => return Err(format!("{read:?} saw what was overwritten")),
            }
        }
        clusters.retain(|cluster| cluster.certain);
        // What the block held at the beginning is one value.
        let beginnings: Vec<u64> =
            clusters.iter().filter(|cluster| cluster.since == 0).map(|cluster| cluster.value).collect();
        if beginnings.len() > 1 {
            return Err(format!("the block held several values at the beginning: {beginnings:x?} (R59)"));
        }
        check_zones(&clusters)
    }

    /// One for each write and each value of the beginning.
    fn clusters(&self) -> Vec<Cluster> {
        let written = |value: u64| self.ops.iter().any(|op| op.writes && op.value == value && value != 0);
        let mut initial = self.initial.clone();
        initial.sort_unstable();
        initial.dedup();
        let beginning = initial.into_iter().filter(|&value| !written(value)).map(|value| Cluster {
            value,
            first_end: 0,
            last_start: 0,
            certain: false,
            since: 0,
        });
        let writes = self.ops.iter().filter(|op| op.writes).map(|op| Cluster {
            value: op.value,
            first_end: op.end,
            last_start: op.start,
            certain: op.certain,
            since: op.start,
        });
        beginning.chain(writes).collect()
    }

    /// The same by search, for histories that are short enough. `None`: it would take too long.
    pub fn check_by_search(&self) -> Option<bool> {
        wing_gong::is_linearizable(&self.initial, &self.ops)
    }
}

/// Checks reads of values that several writes share: one of those began before the read ended, and no other write lies
/// wholly between.
struct Shared {
    /// By their ends: writes that did happen, with the latest start of those up to there.
    latest_start: Vec<(u64, u64)>,
    /// By value and start: writes, with the latest end of those up to there.
    latest_end: HashMap<u64, Vec<(u64, u64)>>,
}

impl Shared {
    fn of(register: &Register) -> Shared {
        let writes = || register.ops.iter().filter(|op| op.writes);
        let certain = writes().filter(|op| op.certain).map(|op| (op.end, op.start)).collect();
        let mut of_value: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        // What the block held at the beginning is as if written before everything.
        for &value in &register.initial {
            of_value.entry(value).or_default().push((0, 0));
        }
        for op in writes() {
            of_value.entry(op.value).or_default().push((op.start, op.end));
        }
        let latest_end = of_value.into_iter().map(|(value, ops)| (value, latest(ops))).collect();
        Shared { latest_start: latest(certain), latest_end }
    }

    fn explains(&self, read: &Op) -> bool {
        // Whatever was over before this write began was overwritten when the read began.
        let overwritten = before(&self.latest_start, read.start).unwrap_or(0);
        let seen = self.latest_end.get(&read.value).and_then(|ops| before(ops, read.end));
        seen.is_some_and(|end| end >= overwritten)
    }
}

/// Sorts by the first of the two, and makes the second the greatest one up to there.
fn latest(mut pairs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    pairs.sort_unstable();
    let mut greatest = 0;
    for pair in &mut pairs {
        greatest = greatest.max(pair.1);
        pair.1 = greatest;
    }
    pairs
}

/// The greatest second of all pairs whose first is before the limit.
fn before(pairs: &[(u64, u64)], limit: u64) -> Option<u64> {
    let count = pairs.partition_point(|pair| pair.0 < limit);
    pairs[..count].last().map(|pair| pair.1)
}

/// The block must hold a value from the first end of an operation on it to the last start: no two such spans overlap,
/// and no other write lies wholly in one.
fn check_zones(clusters: &[Cluster]) -> Result<(), String> {
    let mut spans: Vec<&Cluster> =
        clusters.iter().filter(|cluster| cluster.first_end < cluster.last_start).collect();
    spans.sort_unstable_by_key(|cluster| cluster.first_end);
    for pair in spans.windows(2) {
        if pair[1].first_end < pair[0].last_start {
            let [a, b] = [pair[0].value, pair[1].value];
            return Err(format!("{a:#x} and {b:#x} were there at the same time, or one of them twice"));
        }
    }
    for inside in clusters.iter().filter(|cluster| cluster.first_end > cluster.last_start) {
        let before = spans.partition_point(|span| span.first_end < inside.last_start);
        if let Some(span) = before.checked_sub(1).map(|at| spans[at])
            && inside.first_end < span.last_start
        {
            let [a, b] = [span.value, inside.value];
            return Err(format!("{a:#x} was read before and after {b:#x} was written"));
        }
    }
    Ok(())
}

/// The histories of all blocks of all LUs.
#[derive(Default)]
pub struct History {
    clock: u64,
    registers: Vec<Vec<Register>>,
    touched: Vec<Vec<usize>>,
    /// By LU: counts its histories.
    epochs: Vec<u64>,
    /// Of 65536 histories so many are searched, too.
    pub searched_of_65536: u64,
    pub checked: u64,
    pub searched: u64,
}

/// Longer histories are not searched.
const SEARCHED_OPS: usize = 200;

impl History {
    pub fn new(lus: usize, blocks: usize) -> History {
        History {
            clock: 1,
            registers: vec![vec![Register::default(); blocks]; lus],
            touched: vec![Vec::new(); lus],
            epochs: vec![0; lus],
            searched_of_65536: 656,
            ..History::default()
        }
    }

    /// The next moment.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub fn epoch(&self, lu: usize) -> u64 {
        self.epochs[lu]
    }

    /// Something was done to a block. `initial` tells what it may have held before the first such thing.
    pub fn record(&mut self, lu: usize, block: usize, op: Op, initial: impl FnOnce() -> Vec<u64>) {
        let register = &mut self.registers[lu][block];
        if register.ops.is_empty() {
            register.initial = initial();
            self.touched[lu].push(block);
        }
        register.ops.push(op);
    }

    /// A look at the whole LU, of blocks that something was done to.
    pub fn record_if_touched(&mut self, lu: usize, content: &[u64], start: u64, end: u64) {
        for &block in &self.touched[lu] {
            self.registers[lu][block].ops.push(Op::read(content[block], start, end));
        }
    }

    /// The histories of the LU end here: they are checked, and others begin.
    pub fn end(&mut self, lu: usize) {
        self.epochs[lu] += 1;
        for block in std::mem::take(&mut self.touched[lu]) {
            let register = &mut self.registers[lu][block];
            let outcome = register.check();
            if let Err(reason) = &outcome {
                panic!("LU {lu} block {block}: {reason}: {register:x?}");
            }
            self.checked += 1;
            let dice = (self.checked ^ block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
            if dice < self.searched_of_65536 && register.ops.len() <= SEARCHED_OPS {
                let found = register.check_by_search();
                self.searched += u64::from(found.is_some());
                assert_ne!(found, Some(false), "LU {lu} block {block}: no order explains {register:x?}");
            }
            register.ops.clear();
        }
    }

    pub fn end_all(&mut self) {
        (0..self.epochs.len()).for_each(|lu| self.end(lu));
    }
}
