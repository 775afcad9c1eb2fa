#![forbid(unsafe_code)]
//! Decides the way of a host request: under the lock, when it is about to be submitted to the LUs (R53). It may be asked
//! again and again: what it sets (bits of maps) only ever makes a later answer faster.

use crate::clone::CloneState;
use crate::error::{self, Error};
use crate::geometry::{Extent, ExtentRange};
use crate::group::{Group, GroupState, SOURCE};
use crate::io::IoOperation;
use crate::knock_out::kept;
use crate::request::{HostOperation, Request, RequestStage, Why};

/// What is to be done with a request now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Read it from this LU.
    Read(u32),
    /// Write it, by this operation, to the Source and the mirrored Clones, or to the Clone it names.
    Write(IoOperation, Mirror),
    /// Flush what it names.
    Flush,
    /// It has to wait.
    Wait(Why),
    /// Its bits are being written.
    Record(u64),
    /// It is over.
    Finish(Result<(), Error>),
}

/// Which Clones take part in a write to the Source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mirror {
    /// None.
    None,
    /// Those that mirror these extents.
    Clones,
}

impl Group<'_> {
    /// Decides the way of a request (R53).
    pub(crate) fn classify(&mut self, request: u16) -> Verdict {
        let asked = self.requests[request];
        if self.gate_closed && kept!(R53Gate) {
            return Verdict::Wait(Why::Gate);
        }
        if let Err(error) = self.check_access(asked.operation, asked.lu) {
            return Verdict::Finish(Err(error));
        }
        match asked.operation {
            HostOperation::Flush => self.classify_flush(asked.lu),
            HostOperation::Read if asked.lu == SOURCE => self.classify_source_read(&asked),
            HostOperation::Read => Verdict::Read(asked.lu),
            _ if self.superblock_unknown && kept!(R33Unknown) => Verdict::Finish(Err(Error::MetadataFailed)),
            _ if asked.lu == SOURCE => self.classify_source_write(request, &asked),
            _ => self.classify_clone_write(request, &asked),
        }
    }

    fn classify_flush(&mut self, lu: u32) -> Verdict {
        if self.config.host_durable || !kept!(R22Flush) {
            return Verdict::Finish(Ok(()));
        }
        let authority = self.authority(lu);
        match core::mem::take(&mut self.lu_mut(authority).owed_status) {
            error::OK => Verdict::Flush,
            owed => Verdict::Finish(Err(Error::from_status(owed))),
        }
    }

    /// A host sees `need(e) ? C(e) : S(e)` in a restore, and C(e) in a Reverse Synchronization (R41).
    fn classify_source_read(&mut self, asked: &Request) -> Verdict {
        let Some(restoring) = self.restoring().filter(|_| kept!(R16Need)) else {
            return Verdict::Read(self.authority(SOURCE));
        };
        if self.is_overwritten(asked.extents) && kept!(R17Readers) {
            return Verdict::Wait(Why::Copy);
        }
        if self.next_need(asked.extents).is_none() {
            return Verdict::Read(SOURCE);
        }
        let copied = self.may_change_source();
        if (self.config.redirect_reads || !copied) && self.needs_all(asked.extents) {
            return Verdict::Read(restoring);
        }
        if copied { Verdict::Wait(Why::Copy) } else { Verdict::Finish(Err(Error::MetadataFailed)) }
    }

    /// Whether each of these extents still has to be copied.
    pub(crate) fn needs_all(&self, extents: ExtentRange) -> bool {
        self.restoring_delta().is_some_and(|delta| {
            delta.all_set(extents)
                && !self.protected_restore.bits.any_set(extents)
                && !self.protected_restore.copied.any_set(extents)
        })
    }

    fn classify_source_write(&mut self, request: u16, asked: &Request) -> Verdict {
        let operation = match self.write_operation(asked) {
            Ok(Some(operation)) => operation,
            Ok(None) => return Verdict::Finish(Ok(())),
            Err(error) => return Verdict::Finish(Err(error)),
        };
        let mirrors = self.next_clone(1, CloneState::shares_writes).is_some();
        if self.overtakes(request, asked) || mirrors && kept!(R43) && self.overlaps_mirrored(asked) {
            return Verdict::Wait(Why::Overlap);
        }
        if self.scoreboard.holds_writes(asked.extents) && kept!(R46Hold) {
            return Verdict::Wait(Why::Copy);
        }
        let overwrite = match self.protect(asked) {
            Ok(overwrite) => overwrite,
            Err(why) => return Verdict::Wait(why),
        };
        if let Some(verdict) = self.record_source_write(request, asked, overwrite) {
            return verdict;
        }
        self.requests[request].overwrite = overwrite;
        Verdict::Write(operation, if mirrors { Mirror::Clones } else { Mirror::None })
    }

    /// What a write, a write-zeroes or a discard comes to (R65); `None` if a discard changes nothing.
    fn write_operation(&self, asked: &Request) -> Result<Option<IoOperation>, Error> {
        let zeroes = if self.capabilities.write_zeroes {
            Ok(IoOperation::WriteZeroes)
        } else {
            Err(Error::NotSupported)
        };
        // Where an LU declares zeroes, hosts rely on them.
        let reads_zeroes = |lu: u32| self.lu(lu).flags.is_some_and(|flags| flags.discard_zeroes);
        match asked.operation {
            HostOperation::Write => return Ok(Some(IoOperation::Write)),
            HostOperation::WriteZeroes => return zeroes.map(Some),
            _ => {}
        }
        let of_source = asked.lu == SOURCE;
        if of_source && kept!(R65Need) && self.next_need(asked.extents).is_some() {
            return match (reads_zeroes(SOURCE), zeroes) {
                (false, _) => Ok(None),
                (true, Err(_)) if self.capabilities.discard => Ok(Some(IoOperation::Discard)),
                (true, zeroes) => zeroes.map(Some),
            };
        }
        let mirrored =
            of_source && kept!(R65Mirrored) && self.next_clone(1, CloneState::shares_writes).is_some();
        if mirrored {
            // Both legs must read the same afterwards.
            let all_zeroes =
                reads_zeroes(SOURCE) && self.clones_where(CloneState::shares_writes).all(reads_zeroes);
            return match (self.capabilities.discard, reads_zeroes(SOURCE)) {
                (true, true) if all_zeroes => Ok(Some(IoOperation::Discard)),
                (_, true) => zeroes.map(Some),
                (true, false) => Ok(zeroes.ok()),
                (false, false) => Ok(None),
            };
        }
        match (self.capabilities.discard, reads_zeroes(asked.lu)) {
            (true, _) => Ok(Some(IoOperation::Discard)),
            (false, true) => zeroes.map(Some),
            (false, false) => Ok(None),
        }
    }

    /// Whether an older write to the same extents still waits (R14).
    fn overtakes(&self, request: u16, asked: &Request) -> bool {
        let same = |older: &Request| {
            older.lu == asked.lu && older.operation.changes_blocks() && older.extents.overlaps(asked.extents)
        };
        kept!(R14) && self.an_older_one(request, same)
    }

    /// Whether a request that came before this one, and still waits, is such.
    fn an_older_one(&self, request: u16, is_such: impl Fn(&Request) -> bool) -> bool {
        let mut at = self.queue.first();
        while let Some(older) = at.filter(|&older| older != request) {
            if is_such(&self.requests[older]) {
                return true;
            }
            at = self.queue.next(&self.requests, older);
        }
        false
    }

    /// In a restore: sees to it that no copy will overwrite this write. Returns the whole extents that it may
    /// replace without a copy, or what it has to wait for.
    fn protect(&self, asked: &Request) -> Result<ExtentRange, Why> {
        let none = ExtentRange::default();
        let Some(delta) = self.restoring_delta() else {
            return Ok(none);
        };
        if self.is_overwritten(asked.extents) && kept!(R17Writers) {
            return Err(Why::Copy);
        }
        if !delta.any_set(asked.extents) {
            return Ok(none);
        }
        let covered = self.geometry().extents_covered(asked.blocks);
        let partly = |extent: &Extent| !covered.contains(*extent) && kept!(R13Part);
        let edges = [asked.extents.first, Extent(asked.extents.end.0.saturating_sub(1))];
        if edges.iter().filter(|extent| partly(extent)).any(|&extent| self.need(extent)) {
            return Err(Why::Copy);
        }
        // P may be set only over a base that is durable (R5).
        if self.protected_restore.copied.any_set(asked.extents) && kept!(R5) {
            return Err(Why::CopyFlush);
        }
        if self.scoreboard.owns_any(SOURCE, asked.extents) && kept!(R13) {
            return Err(Why::Copy);
        }
        Ok(covered)
    }

    /// Sets the bits that this write needs, in every map (R1, R4, R6). `None` if all of them are durable.
    fn record_source_write(
        &mut self,
        request: u16,
        asked: &Request,
        overwrite: ExtentRange,
    ) -> Option<Verdict> {
        let members = self.next_clone(1, |state| state != CloneState::Absent).is_some();
        if !members || self.persistent.passes(asked.extents) {
            return None;
        }
        // Extents that were copied since they were last looked at are the host's too from now on (R6).
        let protected = self.set_protected(asked.extents);
        if protected == 0 && asked.epoch == self.persistent.epoch() {
            return None;
        }
        if kept!(R78) && self.must_wait_for_intents(request, asked.extents) {
            return Some(Verdict::Wait(Why::Intent));
        }
        self.sweeper.touch(asked.extents);
        let mut set = protected;
        let mut from = 1;
        while let Some(lu) = self.next_clone(from, CloneState::is_tracked).filter(|_| kept!(R56Tracked)) {
            let added = self.clone(lu).delta.bits.set_range(asked.extents);
            set = set.wrapping_add(if self.config.map_per_clone() { added } else { 0 });
            from = lu.wrapping_add(1);
        }
        set = set.wrapping_add(self.set_intents(asked.extents));
        let verdict = self.wait_for_pages(asked.extents, set);
        if verdict.is_none() && (overwrite.is_empty() || !kept!(R71Overwrite)) {
            self.persistent.let_pass(asked.extents);
        }
        verdict
    }

    /// Sets G for a host write; returns how many bits are not known to be durable. An intent may stand in G since
    /// before a Clone was mirrored, and not in that Clone's own column: so the first write of each state epoch has its
    /// page written (R40, R72).
    fn set_intents(&mut self, extents: ExtentRange) -> u64 {
        if !kept!(R1Set) {
            return 0;
        }
        if !self.config.map_per_clone() {
            return self.persistent.bits.set_range(extents);
        }
        if self.next_clone(1, CloneState::shares_writes).is_none() {
            return 0;
        }
        let set = self.persistent.bits.set_range(extents);
        if kept!(N9) { extents.count() } else { set }
    }

    /// In a restore: the extents that do not differ from the Clone any more are the host's from now on. Those
    /// that still do are being overwritten; they follow when that is durable (R17).
    fn set_protected(&self, extents: ExtentRange) -> u64 {
        let Some(delta) = self.restoring_delta().filter(|_| kept!(R6)) else {
            return 0;
        };
        let mut set: u64 = 0;
        let mut rest = extents;
        while !rest.is_empty() {
            let end = delta.next_set_in(rest).filter(|_| kept!(R17Order)).unwrap_or(rest.end);
            set = set.wrapping_add(self.protected_restore.bits.set_range(ExtentRange::new(rest.first, end)));
            rest.first = Extent(end.0.wrapping_add(1));
        }
        set
    }

    /// Waits for the pages of these extents, if bits of them were set just now or before and are not durable.
    fn wait_for_pages(&mut self, extents: ExtentRange, set: u64) -> Option<Verdict> {
        let unsaved = set > 0 || kept!(R72Later) && self.persistent.is_later(extents);
        let version = if unsaved { self.persistent.mark(extents) } else { self.persistent.version() };
        if self.persistent.is_durable(extents, version) || !kept!(R1Wait) {
            return None;
        }
        if self.metadata_failed && kept!(R33Refuse) {
            return Some(Verdict::Finish(Err(Error::MetadataFailed)));
        }
        Some(Verdict::Record(version))
    }

    /// Bounds the write intents, and so what is copied after a crash (R78).
    fn must_wait_for_intents(&mut self, request: u16, extents: ExtentRange) -> bool {
        let Some(intents) = self.intents() else {
            return false;
        };
        let max = u64::from(self.config.intent_extents_max);
        // One that is larger than the bound is not held: nothing would come of it.
        let too_many = intents.wrapping_add(extents.count()) > max && extents.count() <= max;
        // Smaller writes would take again and again what the sweep gives, and the older one would wait for ever (I7).
        let waits = |older: &Request| older.stage == RequestStage::Waiting(Why::Intent);
        let over = too_many || kept!(R78Order) && self.an_older_one(request, waits);
        if over || intents > max >> 1 {
            self.sweeper.request();
        }
        over && self.state == GroupState::Ready
            && !self.persistent.bits.all_set(extents)
            && !self.sweeper.fruitless
            && !self.metadata_failed
    }

    fn classify_clone_write(&mut self, request: u16, asked: &Request) -> Verdict {
        let operation = match self.write_operation(asked) {
            Ok(Some(operation)) => operation,
            Ok(None) => return Verdict::Finish(Ok(())),
            Err(error) => return Verdict::Finish(Err(error)),
        };
        if self.overtakes(request, asked) {
            return Verdict::Wait(Why::Overlap);
        }
        if asked.epoch != self.persistent.epoch() {
            self.sweeper.touch(asked.extents);
            let added = self.clone(asked.lu).delta.bits.set_range(asked.extents);
            let per_clone = self.config.map_per_clone();
            let set = if per_clone { added } else { self.persistent.bits.set_range(asked.extents) };
            if let Some(verdict) = self.wait_for_pages(asked.extents, set) {
                return verdict;
            }
        }
        Verdict::Write(operation, Mirror::None)
    }
}
