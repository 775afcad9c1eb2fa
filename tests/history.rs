//! The check of what hosts read (`common/history.rs`) accepts what a block may do and refuses what it may not, and so
//! does the search that checks the check; on random histories both say the same.

mod common;

use common::history::{History, NEVER, Op, Register};

fn check(initial: &[u64], ops: &[Op]) -> bool {
    let register = Register { initial: initial.to_vec(), ops: ops.to_vec() };
    let fast = register.check().is_ok();
    assert_eq!(register.check_by_search(), Some(fast), "the two checks disagree: {register:?}");
    fast
}

/// Reads beside a write see the old or the new.
#[test]
fn legal_histories_are_accepted() {
    assert!(check(&[1], &[]));
    assert!(check(&[1], &[Op::read(1, 1, 2), Op::write(5, 3, 8), Op::read(1, 4, 5), Op::read(5, 6, 7)]));
    assert!(check(&[1], &[Op::write(5, 1, 8), Op::write(6, 2, 7), Op::read(5, 9, 10), Op::read(5, 11, 12)]));
    assert!(check(&[1], &[Op::write(5, 1, 8), Op::write(6, 2, 7), Op::read(6, 9, 10), Op::read(6, 11, 12)]));
    assert!(check(&[1], &[Op::perhaps(5, 1, 4), Op::read(1, 5, 6)]));
    assert!(check(&[1], &[Op::perhaps(5, 1, 4), Op::read(5, 5, 6)]));
    assert!(check(&[1], &[Op::perhaps(5, 1, NEVER), Op::read(1, 5, 6), Op::read(5, 7, 8)]));
    // A value of the beginning that is not known is still one value.
    assert!(check(&[1, 2], &[Op::read(2, 1, 2), Op::read(2, 3, 4), Op::write(5, 5, 6), Op::read(5, 7, 8)]));
    // Zeroes come from several writes.
    assert!(check(&[0], &[Op::write(5, 1, 2), Op::read(5, 3, 4), Op::write(0, 5, 6), Op::read(0, 7, 8)]));
}

/// A read of what was overwritten, of what was never written, of what was not yet written.
#[test]
fn single_reads_are_checked() {
    assert!(!check(&[1], &[Op::read(9, 1, 2)]));
    assert!(!check(&[1], &[Op::read(5, 1, 2), Op::write(5, 3, 4)]));
    assert!(!check(&[1], &[Op::write(5, 1, 2), Op::read(1, 3, 4)]));
    assert!(!check(&[1], &[Op::write(5, 1, 2), Op::write(6, 3, 4), Op::read(5, 5, 6)]));
    assert!(!check(&[0], &[Op::write(0, 1, 2), Op::write(6, 3, 4), Op::read(0, 5, 6)]));
    // It failed, was over, and was replaced: it may not come back.
    assert!(!check(&[1], &[Op::perhaps(5, 1, 2), Op::write(6, 3, 4), Op::read(5, 5, 6)]));
}

/// Each of these reads alone would be legal: a value that was seen is gone again, or is back.
#[test]
fn reads_are_checked_together() {
    assert!(!check(&[1], &[Op::write(5, 1, 8), Op::read(5, 2, 3), Op::read(1, 4, 5)]));
    assert!(!check(&[1], &[Op::perhaps(5, 1, NEVER), Op::read(5, 2, 3), Op::read(1, 4, 5)]));
    assert!(!check(
        &[1],
        &[Op::write(5, 1, 20), Op::write(6, 2, 19), Op::read(5, 3, 4), Op::read(6, 5, 6), Op::read(5, 7, 8)],
    ));
    // T17: the two legs of overlapping writes in different orders show at the flip.
    assert!(!check(&[1], &[Op::write(5, 1, 4), Op::write(6, 2, 3), Op::read(5, 5, 6), Op::read(6, 7, 8)],));
    // R59: the value after a power loss changes without a write.
    assert!(!check(&[1, 2], &[Op::read(1, 1, 2), Op::read(2, 3, 4)]));
    // The same through a write that may not have happened.
    assert!(!check(&[1, 2], &[Op::read(1, 1, 2), Op::perhaps(5, 3, 4), Op::read(2, 5, 6)]));
}

/// A recorded history is checked when it ends.
#[test]
#[should_panic(expected = "block 3")]
fn a_recorder_refuses() {
    let mut history = History::new(1, 8);
    history.record(0, 3, Op::write(5, 2, 3), || vec![1]);
    history.record(0, 3, Op::read(1, 4, 5), || vec![5]);
    history.end_all();
}

/// Operations at random on a block that works, or nearly: sometimes a read gets an old value.
fn random(rng: &mut fastrand::Rng) -> Register {
    let count = rng.usize(1..14);
    let mut moments: Vec<u64> = (1..=2 * count as u64).collect();
    rng.shuffle(&mut moments);
    let mut spans: Vec<(u64, u64)> =
        moments.chunks(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1]))).collect();
    if rng.bool() {
        // Short ones, nearly one after another.
        spans = (0..count as u64).map(|at| (2 * at + 1, 2 * at + 2 + 4 * rng.u64(..2))).collect();
        spans = unique(&spans);
    }
    let initial = vec![1, 2][..rng.usize(1..3)].to_vec();
    // Each takes effect at a moment of its own.
    let mut order: Vec<(u64, usize)> =
        spans.iter().enumerate().map(|(at, &(start, end))| (rng.u64(start..=end), at)).collect();
    order.sort_unstable();
    let mut ops = Vec::new();
    let mut value = initial[rng.usize(..initial.len())];
    let mut values = initial.clone();
    for (_, at) in order {
        let (start, end) = spans[at];
        if rng.bool() {
            let written = 10 + at as u64;
            let happens = rng.u32(..4) > 0;
            let end = if !happens && rng.bool() { NEVER } else { end };
            ops.push(Op { certain: happens, ..Op::write(written, start, end) });
            if happens || rng.bool() {
                value = written;
            }
            values.push(written);
        } else {
            let seen = if rng.u32(..12) == 0 { values[rng.usize(..values.len())] } else { value };
            ops.push(Op::read(seen, start, end));
        }
    }
    Register { initial, ops }
}

/// The same spans with moments of which no two are the same.
fn unique(spans: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut moments: Vec<(u64, usize)> = spans
        .iter()
        .enumerate()
        .flat_map(|(at, &(start, end))| [(start, 2 * at), (end, 2 * at + 1)])
        .collect();
    moments.sort_unstable();
    let moment = |of: usize| 1 + moments.iter().position(|&(_, it)| it == of).unwrap() as u64;
    (0..spans.len()).map(|at| (moment(2 * at), moment(2 * at + 1))).collect()
}

/// The fast check and the search agree, and see enough of both kinds.
#[test]
fn both_checks_agree_on_random_histories() {
    let mut rng = fastrand::Rng::with_seed(6);
    let mut legal = 0;
    let histories = if cfg!(debug_assertions) { 4_000 } else { 200_000 };
    for _ in 0..histories {
        let register = random(&mut rng);
        let fast = register.check();
        let search = register.check_by_search().expect("short enough");
        assert_eq!(fast.is_ok(), search, "{fast:?} {register:?}");
        legal += usize::from(search);
    }
    assert!(legal > histories / 4 && legal < histories * 19 / 20, "{legal} of {histories} are legal");
}
