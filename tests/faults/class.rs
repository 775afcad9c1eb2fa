//! Which call of which callback goes wrong, and how.

use std::ops::Range;

use ::clone_group::ffi::types::*;

use crate::common::world::Choice;

/// A class of calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    ReadSource,
    ReadClone,
    WriteSource,
    WriteClone,
    FlushSource,
    FlushClone,
    /// Discards and zeroes, of either LU.
    Discard,
    PageWrite,
    SuperblockWrite,
    MetadataFlush,
    /// At Recovery.
    MetadataRead,
}

pub const CLASSES: [Class; 11] = [
    Class::ReadSource,
    Class::ReadClone,
    Class::WriteSource,
    Class::WriteClone,
    Class::FlushSource,
    Class::FlushClone,
    Class::Discard,
    Class::PageWrite,
    Class::SuperblockWrite,
    Class::MetadataFlush,
    Class::MetadataRead,
];

impl Class {
    pub fn of(io: &clone_group_io, pages: &[Range<usize>]) -> Option<Class> {
        let source = io.lu == 0;
        let page = pages.iter().any(|page| page.contains(&(io.offset_bytes as usize)));
        Some(match io.operation {
            CLONE_GROUP_IO_READ if source => Class::ReadSource,
            CLONE_GROUP_IO_READ => Class::ReadClone,
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_COPY if source => Class::WriteSource,
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_COPY => Class::WriteClone,
            CLONE_GROUP_IO_FLUSH if source => Class::FlushSource,
            CLONE_GROUP_IO_FLUSH => Class::FlushClone,
            CLONE_GROUP_IO_DISCARD | CLONE_GROUP_IO_WRITE_ZEROES => Class::Discard,
            CLONE_GROUP_IO_PERSIST_WRITE if page => Class::PageWrite,
            CLONE_GROUP_IO_PERSIST_WRITE => Class::SuperblockWrite,
            CLONE_GROUP_IO_PERSIST_FLUSH => Class::MetadataFlush,
            CLONE_GROUP_IO_PERSIST_READ => Class::MetadataRead,
            _ => return None,
        })
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum How {
    /// The callback returns an error.
    Refused,
    /// It is taken, and completed with an error.
    Completed,
    /// It is to be offered again.
    Retry,
}

/// How often.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Often {
    Once,
    /// And all later ones, until faults stop. A RETRY: many times, for nothing ends while it goes on.
    ForEver,
}

/// A fault of one run.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub class: Class,
    /// The n-th call of the class, from 1.
    pub call: usize,
    pub how: How,
    pub often: Often,
}

/// The retries of one that is "for ever".
const RETRIES: usize = 40;

impl Fault {
    /// What becomes of the call of this number.
    pub fn choice(&self, call: usize) -> Choice {
        let hit = match (self.often, self.how) {
            (Often::Once, _) => call == self.call,
            (Often::ForEver, How::Retry) => (self.call..self.call + RETRIES).contains(&call),
            (Often::ForEver, _) => call >= self.call,
        };
        // Whether it was done all the same is left open to the controller: both are tried.
        let done = self.call.is_multiple_of(2);
        match self.how {
            _ if !hit => Choice::AsProfile,
            How::Refused if done => Choice::FailDone(-5),
            How::Refused => Choice::Fail(-5),
            How::Completed if done => Choice::FailDoneLater(-5),
            How::Completed => Choice::FailLater(-5),
            How::Retry => Choice::Retry,
        }
    }
}
