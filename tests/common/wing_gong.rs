//! Is there any order of these operations that explains what was read? By search, as Wing and Gong do it, with a
//! memory of what was tried (Lowe). It knows nothing of values that are unique, of clusters or of spans, so it checks
//! the check of `history.rs`.

use std::collections::HashSet;

use super::history::Op;

/// The operations that are in order already.
type Done = [u64; 4];

/// More configurations than that are not tried.
const CONFIGURATIONS_MAX: usize = 200_000;

struct Search<'a> {
    ops: &'a [Op],
    tried: HashSet<(Done, u64)>,
}

/// Whether the register, which held one of these values, may have done this. `None`: too long to know.
pub fn is_linearizable(initial: &[u64], ops: &[Op]) -> Option<bool> {
    if ops.len() > 256 {
        return None;
    }
    let mut search = Search { ops, tried: HashSet::new() };
    for &value in initial {
        search.tried.clear();
        if search.from([0; 4], value)? {
            return Some(true);
        }
    }
    Some(false)
}

impl Search<'_> {
    /// Depth first, without recursion.
    fn from(&mut self, done: Done, value: u64) -> Option<bool> {
        let mut open = vec![(done, value)];
        while let Some((done, value)) = open.pop() {
            if !self.tried.insert((done, value)) {
                continue;
            }
            if self.tried.len() > CONFIGURATIONS_MAX {
                return None;
            }
            let rest = || (0..self.ops.len()).filter(|&at| !contains(&done, at));
            let Some(deadline) = rest().map(|at| self.ops[at]).filter(|op| op.certain).map(|op| op.end).min()
            else {
                return Some(true);
            };
            // What failed and was over before something that is in order already began comes too late.
            let latest = (0..self.ops.len())
                .filter(|&at| contains(&done, at))
                .map(|at| self.ops[at].start)
                .max()
                .unwrap_or(0);
            for at in rest() {
                let op = &self.ops[at];
                if op.start > deadline || op.end < latest || !op.writes && op.value != value {
                    continue;
                }
                let mut next = done;
                next[at / 64] |= 1 << (at % 64);
                open.push((next, op.value));
            }
        }
        Some(false)
    }
}

fn contains(done: &Done, at: usize) -> bool {
    done[at / 64] >> (at % 64) & 1 == 1
}
