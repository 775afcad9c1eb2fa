//! A number that two lives share only if everything in them was the same, and how much there was.

use ::clone_group::ffi::types::*;

use super::Inner;

/// What happened to an array, counted.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub host_ios: u64,
    pub ios: u64,
    pub faults: u64,
    pub power_losses: u64,
    pub operations: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.host_ios += other.host_ios;
        self.ios += other.ios;
        self.faults += other.faults;
        self.power_losses += other.power_losses;
        self.operations += other.operations;
    }
}

/// Kinds of what is noted.
pub(super) const SUBMITTED: u64 = 1;
pub(super) const OVER: u64 = 2;
pub(super) const HOST: u64 = 3;
pub(super) const DONE: u64 = 4;
pub(super) const EVENT: u64 = 5;
pub(super) const POWER: u64 = 6;

impl Inner {
    pub(super) fn note(&mut self, kind: u64, words: impl IntoIterator<Item = u64>) {
        let mut digest = mix(self.digest, kind);
        for word in words {
            digest = mix(digest, word);
        }
        self.digest = digest;
    }

    pub(super) fn note_io(&mut self, kind: u64, io: &clone_group_io, result: i32) {
        let what = u64::from(io.operation) << 32 | u64::from(io.flags);
        let lus = u64::from(io.lu) << 32 | u64::from(io.source_lu);
        self.note(kind, [what, lus, io.id, io.offset_bytes, io.length_bytes, i64::from(result) as u64]);
    }
}

fn mix(digest: u64, word: u64) -> u64 {
    let mixed = (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}
