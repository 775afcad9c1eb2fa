//! A block on a medium with a volatile cache: what a read returns, and what a power loss may leave of it.
//!
//! ```text
//!   submit: the value may be kept     complete: it is read from now on
//!   flush submitted: what is complete is sealed ---> flush over: nothing older is kept (R20)
//! ```
//!
//! The same type says what a host may find: `now` is the last acknowledged value, `kept` what a power loss may
//! leave by the host contract, and a host flush is a flush.

use crate::checker::Packed;

/// A set of values, one bit each.
pub type Values = u8;

/// The set of this value alone.
pub fn only(value: u8) -> Values {
    1 << value
}

/// The values of a set.
pub fn each(values: Values) -> impl Iterator<Item = u8> {
    (0..8).filter(move |value| values >> value & 1 == 1)
}

/// A block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// What a read returns.
    pub now: u8,
    /// What may be there after a power loss.
    pub kept: Values,
    /// The same when the flush under way is over; empty if none is.
    pub sealed: Values,
}

impl Block {
    /// Durable.
    pub fn holding(value: u8) -> Block {
        Block { now: value, kept: only(value), sealed: 0 }
    }

    /// A write is submitted.
    pub fn submit(&mut self, value: u8) {
        self.kept |= only(value);
        if self.sealed != 0 {
            self.sealed |= only(value);
        }
    }

    /// It is complete. If it is durable (NV, or FUA), only others that are under way may still change it.
    pub fn complete(&mut self, value: u8, durable: bool, under_way: Values) {
        self.now = value;
        if durable {
            self.kept = only(value) | under_way;
            if self.sealed != 0 {
                self.sealed = self.kept;
            }
        }
    }

    /// A flush is submitted: it covers what is complete.
    pub fn seal(&mut self, under_way: Values) {
        self.sealed = only(self.now) | under_way;
    }

    /// That flush is over.
    pub fn flushed(&mut self) {
        self.kept = self.sealed;
        self.sealed = 0;
    }

    /// A flush in one step.
    pub fn flush(&mut self, under_way: Values) {
        self.seal(under_way);
        self.flushed();
    }
}

/// Bits of a block with four values.
pub const BITS_4: u32 = 10;
/// Bits of a block with five values.
pub const BITS_5: u32 = 13;

impl Packed for Block {
    fn pack(self, bits: u32) -> u128 {
        let (number, values) = shape(bits);
        assert!(self.now >> number == 0 && self.kept >> values == 0 && self.sealed >> values == 0);
        u128::from(self.now) | u128::from(self.kept) << number | u128::from(self.sealed) << (number + values)
    }
    fn unpack(word: u128, bits: u32) -> Block {
        let (number, values) = shape(bits);
        let mask = (1 << values) - 1;
        Block {
            now: (word & ((1 << number) - 1)) as u8,
            kept: (word >> number & mask) as u8,
            sealed: (word >> (number + values) & mask) as u8,
        }
    }
}

/// Bits of a value, and of a set of values.
fn shape(bits: u32) -> (u32, u32) {
    match bits {
        BITS_4 => (2, 4),
        BITS_5 => (3, 5),
        _ => panic!("{bits} bits"),
    }
}
