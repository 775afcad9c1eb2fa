#![forbid(unsafe_code)]
//! The Clone I/O Manager: takes host requests to the Source and the Clones and decides their way.
//!
//! [`Group::classify`] decides; this file does what it decided, and asks again when something has changed.

use crate::classify::{Mirror, Verdict};
use crate::clone::CloneState;
use crate::error::{self, Error};
use crate::geometry::{BlockRange, ExtentRange};
use crate::group::{Group, GroupState, SOURCE};
use crate::io::{Io, IoOffer, IoOperation, Purpose};
use crate::knock_out::kept;
use crate::parts;
use crate::request::{HostOperation, HostRequest, Request, RequestStage, Why};
use crate::statistics::add;

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
    pub(crate) fn check_access(&self, operation: HostOperation, lu: u32) -> Result<(), Error> {
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
