#![forbid(unsafe_code)]
//! The Clone I/O Manager: takes host requests to the Source and the Clones and decides their way.
//!
//! Everything is decided in [`Group::classify`], under the lock, when the request is about to be submitted to
//! the LUs (R53). It may be asked again and again: what it sets (bits of maps) only ever makes a later
//! answer faster.

use crate::clone::CloneState;
use crate::error::{self, Error};
use crate::geometry::{BlockRange, Extent, ExtentRange};
use crate::group::{Group, GroupState, SOURCE};
use crate::io::{Io, IoOffer, IoOperation, Purpose};
use crate::knock_out::kept;
use crate::parts;
use crate::request::{HostOperation, HostRequest, Request, RequestStage, Why};
use crate::statistics::add;

/// What is to be done with a request now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
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
enum Mirror {
    /// None.
    None,
    /// Those that mirror these extents.
    Clones,
}

impl Group<'_> {
    // ---------------------------------------------------------------- arrival

    /// Accepts a host request. Its caller attends it: it takes the legs that can go out at once
    /// ([`Group::take_leg`]) and then leaves ([`Group::leave`]).
    pub fn submit(&mut self, host: HostRequest) -> Result<u16, Error> {
        match self.state {
            GroupState::Ready => {}
            GroupState::Closing | GroupState::Closed => return Err(Error::Closed),
            GroupState::New | GroupState::Starting => return Err(Error::NotReady),
        }
        if host.lu >= self.config.lus() {
            return Err(Error::NoLu);
        }
        let blocks = match host.operation {
            HostOperation::Flush => BlockRange::default(),
            _ => self.geometry().block_range(host.first_block, host.block_count)?,
        };
        if host.operation == HostOperation::WriteZeroes && !self.capabilities.write_zeroes {
            return Err(Error::NotSupported);
        }
        self.check_access(host.operation, host.lu)?;
        let request = Request {
            stage: RequestStage::Waiting(Why::Gate),
            operation: host.operation,
            lu: host.lu,
            blocks,
            extents: self.geometry().extents_touched(blocks),
            payload: host.payload,
            fua: host.fua,
            unstable: host.unstable,
            tag: host.tag,
            attended: true,
            ..Request::default()
        };
        let request = self.new_request(request).ok_or(Error::Busy)?;
        self.queue.push(&mut self.requests, request);
        self.queue.changed = true;
        match host.operation {
            HostOperation::Read => add(&mut self.statistics.host_reads, 1),
            HostOperation::Flush => add(&mut self.statistics.host_flushes, 1),
            _ => add(&mut self.statistics.host_writes, 1),
        }
        let verdict = self.classify(request);
        self.act(request, verdict);
        Ok(request)
    }

    /// The next leg of an attended request that is to be offered to the controller.
    pub fn take_leg(&mut self, request: u16) -> Option<IoOffer> {
        let slot = self.requests[request].first_leg.checked_sub(1)?;
        let next_leg = self.io_mut(slot).next_leg;
        self.requests[request].first_leg = next_leg;
        Some(self.offer(slot))
    }

    /// The caller leaves its request. Returns its status if it is over; if not, `done` will follow.
    pub fn leave(&mut self, request: u16) -> Option<i32> {
        self.requests[request].attended = false;
        let Request { stage: RequestStage::Finished, status, .. } = self.requests[request] else {
            return None;
        };
        self.free_request(request);
        Some(status)
    }

    /// Aborts a request, or an operation, that waits (R83, R76).
    pub fn abort(&mut self, tag: u64) -> Result<(), Error> {
        if self.abort_operation(tag) {
            return Ok(());
        }
        let mut at = self.queue.first();
        while let Some(request) = at {
            at = self.queue.next(&self.requests, request);
            let waits =
                matches!(self.requests[request].stage, RequestStage::Waiting(_) | RequestStage::Recording);
            if waits && self.requests[request].tag == tag {
                self.refuse_waiting(request, Error::Canceled);
                return Ok(());
            }
        }
        Err(Error::NoRequest)
    }

    /// Whether hosts may do this to the LU in its present state.
    fn check_access(&self, operation: HostOperation, lu: u32) -> Result<(), Error> {
        if self.is_prepared() && kept!(R77Serve) {
            return Err(Error::Prepared);
        }
        if lu == SOURCE {
            let invalid = self.record.source_invalid && kept!(R38Serve);
            return if invalid { Err(Error::SourceInvalid) } else { Ok(()) };
        }
        match self.clone(lu).state() {
            CloneState::Absent => Err(Error::NoLu),
            CloneState::Fractured => Ok(()),
            CloneState::Restoring if operation.changes_blocks() && kept!(R35) => Err(Error::Protected),
            CloneState::Restoring => Ok(()),
            // Hosts write it through the Source.
            CloneState::ReverseSynchronizing if !operation.changes_blocks() => Ok(()),
            _ => Err(Error::State),
        }
    }

    // --------------------------------------------------------- classification

    /// Decides the way of a request (R53).
    fn classify(&mut self, request: u16) -> Verdict {
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
        if let Some(verdict) = self.record_source_write(asked, overwrite) {
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
        let mut at = self.queue.first();
        while let Some(older) = at.filter(|&older| older != request && kept!(R14)) {
            let other = &self.requests[older];
            if other.lu == asked.lu
                && other.operation.changes_blocks()
                && other.extents.overlaps(asked.extents)
            {
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
    fn record_source_write(&mut self, asked: &Request, overwrite: ExtentRange) -> Option<Verdict> {
        let members = self.next_clone(1, |state| state != CloneState::Absent).is_some();
        if !members || self.persistent.passes(asked.extents) {
            return None;
        }
        // Extents that were copied since they were last looked at are the host's too from now on (R6).
        let protected = self.set_protected(asked.extents);
        if protected == 0 && asked.epoch == self.persistent.epoch() {
            return None;
        }
        if kept!(R78) && self.must_wait_for_intents(asked.extents) {
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
    fn must_wait_for_intents(&mut self, extents: ExtentRange) -> bool {
        let Some(intents) = self.intents() else {
            return false;
        };
        let max = u64::from(self.config.intent_extents_max);
        if intents > max >> 1 {
            self.sweeper.request();
        }
        // One that is larger than the bound is not held: nothing would come of it.
        let over = intents.wrapping_add(extents.count()) > max && extents.count() <= max;
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

    // ------------------------------------------------------------------ action

    fn act(&mut self, request: u16, verdict: Verdict) {
        match verdict {
            Verdict::Wait(why) => self.wait(request, why),
            Verdict::Record(version) => {
                let waiting = &mut self.requests[request];
                waiting.stage = RequestStage::Recording;
                waiting.version = version;
                waiting.epoch = 0;
                waiting.recording_epoch = self.persistent.epoch();
                add(&mut self.statistics.page_waits, 1);
            }
            Verdict::Finish(result) => {
                self.finish(request, result.map_or_else(Error::status, |()| error::OK))
            }
            Verdict::Flush => self.begin_host_flush(request),
            Verdict::Read(lu) => self.begin_read(request, lu),
            Verdict::Write(operation, mirror) => self.begin_write(request, operation, mirror),
        }
    }

    fn wait(&mut self, request: u16, why: Why) {
        let now_ns = self.now_ns;
        let waiting = &mut self.requests[request];
        waiting.stage = RequestStage::Waiting(why);
        let queued = parts::QUERIES && matches!(why, Why::Copy | Why::CopyFlush) && !waiting.queued;
        if queued {
            waiting.queued = true;
            waiting.queued_at_ns = now_ns;
            add(&mut self.statistics.cod_queued, 1);
            let depth = self.queue.depth(&self.requests);
            self.statistics.cod_queue_peak = self.statistics.cod_queue_peak.max(depth);
        }
    }

    /// I/O slots that host requests leave to the engines and to metadata (R76).
    fn reserved_ios(&self) -> u32 {
        let engines = self.config.copies_max.wrapping_add(self.config.page_writes_max);
        engines.wrapping_add(self.config.lus()).wrapping_add(3)
    }

    fn has_host_ios(&self, count: u32) -> bool {
        self.free_ios() >= count.wrapping_add(if kept!(R76Slots) { self.reserved_ios() } else { 0 })
    }

    pub(crate) fn begin_read(&mut self, request: u16, lu: u32) {
        if !self.has_host_ios(1) {
            return self.wait(request, Why::Slots);
        }
        let redirected = self.requests[request].lu == SOURCE && lu != SOURCE;
        self.requests[request].redirected = redirected;
        self.redirected = self.redirected.wrapping_add(u32::from(redirected));
        add(&mut self.statistics.redirected_reads, u64::from(redirected));
        self.begin_legs(request);
        self.add_leg(request, IoOperation::Read, lu);
        self.send_legs(request);
    }

    fn begin_write(&mut self, request: u16, operation: IoOperation, mirror: Mirror) {
        let asked = self.requests[request];
        let mirrors = u32::from(mirror == Mirror::Clones) * self.config.clones_max;
        if !self.has_host_ios(mirrors.wrapping_add(1)) {
            self.requests[request].overwrite = ExtentRange::default();
            return self.wait(request, Why::Slots);
        }
        if !asked.overwrite.is_empty() {
            self.overwriting = self.overwriting.wrapping_add(1);
        }
        self.begin_legs(request);
        self.add_leg(request, operation, asked.lu);
        let mut from = 1;
        while let Some(lu) =
            self.next_clone(from, CloneState::shares_writes).filter(|_| mirror == Mirror::Clones)
        {
            from = lu.wrapping_add(1);
            if kept!(R52Leg) && self.takes_part(lu, asked.extents) {
                self.requests[request].mirrored = true;
                self.add_leg(request, operation, lu);
            }
            if asked.unstable && kept!(R51) {
                self.distrust(lu, asked.extents);
            }
        }
        if asked.lu == SOURCE {
            // A copy that overlaps this write has to be made again (R44).
            self.scoreboard.collide(asked.extents);
        } else {
            self.scoreboard.collide_clone(asked.lu, asked.extents);
        }
        self.send_legs(request);
    }

    fn begin_legs(&mut self, request: u16) {
        self.dequeue(request);
        self.requests[request].stage = RequestStage::Submitted;
        self.submitted = self.submitted.wrapping_add(1);
    }

    fn add_leg(&mut self, request: u16, operation: IoOperation, lu: u32) {
        let asked = self.requests[request];
        let writes = operation != IoOperation::Read;
        // An overwrite must be durable before P says so (R17); with HD every write must be.
        let durable = self.lu(lu).is_volatile()
            && (self.config.host_durable && kept!(R23Durable)
                || !asked.overwrite.is_empty() && kept!(R17Fua));
        let io = Io {
            purpose: Purpose::Leg(request),
            operation,
            lu,
            blocks: asked.blocks,
            fua: writes && (asked.fua && kept!(R23) || durable),
            payload: asked.payload,
            next_leg: asked.first_leg,
            ..Io::default()
        };
        let slot = self.new_io(io);
        self.requests[request].first_leg = slot.wrapping_add(1);
        self.requests[request].legs = asked.legs.wrapping_add(1);
    }

    /// An attended request is issued by its caller, another one by the poll.
    fn send_legs(&mut self, request: u16) {
        if self.requests[request].attended {
            return;
        }
        while let Some(slot) = self.requests[request].first_leg.checked_sub(1) {
            self.requests[request].first_leg = self.io_mut(slot).next_leg;
            self.line_up(slot);
        }
    }

    fn dequeue(&mut self, request: u16) {
        if !self.requests[request].in_queue {
            return;
        }
        self.queue.remove(&mut self.requests, request);
        if parts::QUERIES && self.requests[request].queued {
            let waited = self.now_ns.saturating_sub(self.requests[request].queued_at_ns);
            self.statistics.cod_wait_ns_max = self.statistics.cod_wait_ns_max.max(waited);
            add(&mut self.statistics.cod_wait_ns_total, waited);
        }
    }

    pub(crate) fn finish(&mut self, request: u16, status: i32) {
        self.dequeue(request);
        self.requests[request].stage = RequestStage::Finished;
        self.requests[request].status = status;
        self.queue.changed = true;
        if !self.requests[request].attended {
            self.report_finished(request);
        }
    }

    /// Ends a request that waits.
    pub(crate) fn refuse_waiting(&mut self, request: u16, error: Error) {
        self.finish(request, error.status());
    }

    // ------------------------------------------------------------------- queue

    /// Looks at every request that waits, in order, if anything happened that may let one go on.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_queue(&mut self) {
        if !core::mem::take(&mut self.queue.changed) {
            return;
        }
        let mut at = self.queue.first();
        while let Some(request) = at {
            at = self.queue.next(&self.requests, request);
            self.reconsider(request);
        }
    }

    fn reconsider(&mut self, request: u16) {
        let waiting = self.requests[request];
        match waiting.stage {
            RequestStage::Flushing => self.host_flush_over(request),
            RequestStage::RecordingOverwrite => self.overwrite_recorded(request),
            RequestStage::Recording if self.gate_closed && !self.metadata_failed => {}
            RequestStage::Waiting(_) if self.gate_closed => {}
            RequestStage::Recording if self.persistent.is_durable(waiting.extents, waiting.version) => {
                self.recorded(request);
                self.submit_waiting(request);
            }
            RequestStage::Recording if self.will_not_record(waiting.extents) => {
                self.refuse_waiting(request, Error::from_status(self.metadata_status));
            }
            RequestStage::Waiting(_) => self.submit_waiting(request),
            _ => {}
        }
    }

    /// The bits of a request are durable, if the states are still those for which they were set.
    fn recorded(&mut self, request: u16) {
        let waiting = self.requests[request];
        if waiting.recording_epoch == self.persistent.epoch() || !kept!(R71Pages) {
            self.requests[request].epoch = waiting.recording_epoch;
            // An extent that was copied since then is not the host's yet: P was set for those only that did not
            // differ (R6).
            let protected = self.restoring().is_none()
                || !kept!(R6Pass)
                || self.protected_restore.bits.all_set(waiting.extents);
            if waiting.lu == SOURCE && protected {
                self.persistent.let_pass(waiting.extents);
            }
        }
    }

    fn submit_waiting(&mut self, request: u16) {
        let verdict = self.classify(request);
        self.act(request, verdict);
        match verdict {
            Verdict::Wait(Why::Copy) => self.start_cod(request),
            Verdict::Wait(Why::CopyFlush) => self.want_copy_flush(),
            Verdict::Wait(Why::Intent) => self.sweeper.request(),
            _ => {}
        }
    }

    // -------------------------------------------------------------------- ends

    /// A leg of a host request is over.
    pub(crate) fn leg_over(&mut self, request: u16, io: &Io, status: i32) {
        let asked = self.requests[request];
        if status != error::OK {
            if asked.mirrored && io.lu != self.authority(asked.lu) {
                // The other leg never fails the host (R50, R52).
                self.mirrored_leg_failed(io.lu, status, asked.extents);
            } else if asked.status == error::OK && kept!(R63) {
                self.requests[request].status = status;
            }
        }
        self.requests[request].legs = asked.legs.saturating_sub(1);
        if self.requests[request].legs == 0 || !kept!(R42) {
            self.legs_over(request);
        }
    }

    fn legs_over(&mut self, request: u16) {
        let asked = self.requests[request];
        self.queue.changed = true;
        if asked.redirected {
            self.redirected = self.redirected.saturating_sub(1);
        }
        if asked.status != error::OK && asked.mirrored && kept!(R50Both) {
            // One of the two holds the old data or the new, the other one perhaps the other (R50).
            let mut from = 1;
            while let Some(lu) = self.next_clone(from, CloneState::shares_writes) {
                self.distrust(lu, asked.extents);
                from = lu.wrapping_add(1);
            }
        }
        if asked.overwrite.is_empty() {
            self.submitted = self.submitted.saturating_sub(1);
            self.finish(request, asked.status);
        } else if asked.status == error::OK {
            self.record_overwrite(request);
        } else {
            self.overwrite_failed(request, asked.status);
        }
    }
}
