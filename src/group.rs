#![forbid(unsafe_code)]
//! The Clone Group: the Source, its Clones, and everything that is under way. Sans-I/O: it takes requests,
//! completions and polls, and yields I/Os to issue, finished requests and events. Whoever drives it holds
//! one lock around each call, and none while it calls the controller.
//!
//! What a poll does, in this order, until nothing moves or its budget is used up: completions, the
//! operation under way, the COD Queue, map pages, flushes, background copies.

use crate::clone::{Clone, CloneState};
use crate::cod_queue::CodQueue;
use crate::cod_scoreboard::CodScoreboard;
use crate::collision_detector::CollisionDetector;
use crate::completion::Completions;
use crate::config::{Capabilities, Config};
use crate::error::{self, Error};
use crate::event::{EVENTS_MAX, Event, EventKind, Notice};
use crate::extent_map::ExtentMap;
use crate::geometry::{Bytes, Extent, ExtentRange, Geometry, count, index};
use crate::intent_sweeper::IntentSweeper;
use crate::io::{Io, IoOffer, IoOperation, IoStage, Purpose};
use crate::knock_out::kept;
use crate::lu::{Lu, LuFlags, Ticket};
use crate::metadata_writer::{MetadataBuffers, MetadataWriter};
use crate::operation::Activity;
use crate::parts;
use crate::persistent_delta_map::PersistentDeltaMap;
use crate::protected_restore_map::ProtectedRestoreMap;
use crate::request::{HostOperation, Request, RequestStage};
use crate::set::Membership;
use crate::statistics::{Statistics, add};
use crate::superblock::GroupRecord;
use crate::table::{Ring, Table};
use crate::verify::Verify;

pub use crate::operation::Operation;

/// Steps of the machines in one go.
const STEPS_MAX: u32 = 16;

/// Slices of maps that one poll walks.
pub const SLICES_MAX: u32 = 4;

/// The Source among the LUs.
pub const SOURCE: u32 = 0;

/// Whether the group serves hosts. The numbers are those of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupState {
    /// Neither formatted nor recovered.
    #[default]
    New,
    /// Format or recover runs.
    Starting,
    /// Serves hosts.
    Ready,
    /// Close runs.
    Closing,
    /// Closed.
    Closed,
}

impl GroupState {
    /// The number in the C ABI.
    pub fn number(self) -> u32 {
        match self {
            GroupState::New => 0,
            GroupState::Starting => 1,
            GroupState::Ready => 2,
            GroupState::Closing => 3,
            GroupState::Closed => 4,
        }
    }
}

/// What a poll may do next.
#[derive(Clone, Copy)]
pub enum Action {
    /// Offer this I/O to the controller, then report what its callback returned.
    Io(IoOffer),
    /// Tell the controller that a request is done.
    Done {
        /// Its tag.
        tag: u64,
        /// Its status.
        status: i32,
    },
    /// Tell the controller what happened.
    Event(Event),
    /// Compare the halves of a copy buffer, then report it to [`Group::compared`]. It may take long, so it is done
    /// without the lock.
    Compare {
        /// The copy.
        copy: u16,
        /// Bytes of each half.
        length: Bytes,
    },
}

/// See the module. `ffi::workspace` makes it, in place: a value of this size would be moved over the stack.
pub struct Group<'a> {
    pub(crate) config: Config,
    pub(crate) capabilities: Capabilities,
    pub(crate) state: GroupState,
    pub(crate) record: GroupRecord,
    /// Clone n is number n - 1.
    pub(crate) clones: Table<'a, Clone<'a>>,
    /// By LU number; behind the Clones the persistent area.
    pub(crate) lus: Table<'a, Lu>,
    pub(crate) protected_restore: ProtectedRestoreMap<'a>,
    pub(crate) persistent: PersistentDeltaMap<'a>,
    pub(crate) requests: Table<'a, Request>,
    pub(crate) queue: CodQueue,
    pub(crate) scoreboard: CodScoreboard<'a>,
    pub(crate) collisions: CollisionDetector<'a>,
    pub(crate) writer: MetadataWriter<'a>,
    pub(crate) sweeper: IntentSweeper<'a>,
    pub(crate) activity: Activity,
    /// The label of the fracture under way.
    pub(crate) label: [u8; 64],
    /// The set that the operation under way, or asked for, belongs to (R77).
    pub(crate) membership: Option<Membership>,
    /// What was asked for and has not begun.
    pub(crate) asked_for: Option<(Operation, u64)>,
    /// The state of a Clone changed by itself: the superblock should say so.
    pub(crate) record_due: bool,
    /// Operations that are done but not yet reported: there is room for one.
    pub(crate) operations_unreported: u32,
    /// How a metadata write failed.
    pub(crate) metadata_status: i32,
    /// A write of the repair failed.
    pub(crate) repair_failed: bool,
    /// The gate: host requests wait, because a change of state is under way.
    pub(crate) gate_closed: bool,
    /// Requests from `Submitted` on that are not finished.
    pub(crate) submitted: u32,
    /// Requests that own whole extents in a restore.
    pub(crate) overwriting: u32,
    /// Reads under way that were sent to the Clone in place of the Source.
    pub(crate) redirected: u32,
    /// A metadata write failed (R33).
    pub(crate) metadata_failed: bool,
    /// A superblock write failed: what the area says is unknown (R33).
    pub(crate) superblock_unknown: bool,
    pub(crate) statistics: Statistics,
    pub(crate) now_ns: u64,
    /// Extents that this poll may still begin to copy in the background.
    pub(crate) copy_budget: u32,
    /// This poll may begin background copies at all.
    pub(crate) copies_allowed: bool,
    /// Slices of maps that this poll may still walk.
    pub(crate) slices_left: u32,
    /// The last step moved something: the next one may move more.
    pub(crate) moved: bool,
    /// A run that could not be copied on demand: its extents are copied alone.
    pub(crate) cod_single: ExtentRange,
    /// Extents that were left to copy onto the Source when what is copied was last written down.
    pub(crate) saved_left: u64,
    /// Intents that there were when they were last to be cleared.
    pub(crate) saved_intents: u64,
    /// Copies onto the Source below this extent were written down.
    pub(crate) swept_below: u64,
    /// Where the Sync Engine goes on among the Clones.
    pub(crate) sync_turn: u32,
    pub(crate) verify: Verify,
    pub(crate) ios: Table<'a, Io>,
    pub(crate) free_ios: u32,
    pub(crate) completions: Completions<'a>,
    pub(crate) ready: Ring<'a, u16>,
    pub(crate) retry: Ring<'a, u16>,
    pub(crate) notices: Ring<'a, Notice>,
    pub(crate) events_waiting: usize,
    pub(crate) events_lost: u64,
    pub(crate) next_ticket: Ticket,
    pub(crate) requests_used: u32,
}

impl<'a> Group<'a> {
    // ------------------------------------------------------------- helpers
    // What is called from everywhere, the firmware has once.

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.config.geometry
    }

    /// The Clone behind an LU number.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn clone(&self, lu: u32) -> &Clone<'a> {
        &self.clones[u64::from(lu.wrapping_sub(1))]
    }

    /// The Clone behind an LU number, to change.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn clone_mut(&mut self, lu: u32) -> &mut Clone<'a> {
        &mut self.clones[u64::from(lu.wrapping_sub(1))]
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn lu(&self, lu: u32) -> &Lu {
        &self.lus[u64::from(lu)]
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn lu_mut(&mut self, lu: u32) -> &mut Lu {
        &mut self.lus[u64::from(lu)]
    }

    /// The LU numbers of the Clones whose state satisfies the test.
    pub(crate) fn clones_where(&self, test: fn(CloneState) -> bool) -> impl Iterator<Item = u32> + '_ {
        (1..self.config.lus()).filter(move |&lu| test(self.clone(lu).state()))
    }

    /// The next LU number from `from` on whose Clone satisfies the test: for loops that change the group.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn next_clone(&self, from: u32, test: fn(CloneState) -> bool) -> Option<u32> {
        (from..self.config.lus()).find(|&lu| test(self.clone(lu).state()))
    }

    /// The LU that is restored from, if any.
    pub(crate) fn restoring(&self) -> Option<u32> {
        (self.record.restoring != 0).then_some(self.record.restoring)
    }

    /// The LU of a Reverse Synchronization, if one runs.
    pub(crate) fn reversing(&self) -> Option<u32> {
        (parts::REVERSE && self.record.reversing != 0).then_some(self.record.reversing)
    }

    /// The LU that is being copied onto the Source, protected or not.
    pub(crate) fn onto_source(&self) -> Option<u32> {
        self.restoring().or(self.reversing())
    }

    /// The LU whose content counts for hosts that use this one: in a Reverse Synchronization the Clone stands for the
    /// Source (R41).
    pub(crate) fn authority(&self, lu: u32) -> u32 {
        if lu == SOURCE && kept!(R41) { self.reversing().unwrap_or(lu) } else { lu }
    }

    /// The Delta Map of the Clone that is restored from.
    pub(crate) fn restoring_delta(&self) -> Option<&ExtentMap<'a>> {
        self.restoring().map(|lu| &self.clone(lu).delta.bits)
    }

    /// The Delta Map of the Clone that is copied onto the Source.
    pub(crate) fn onto_source_delta(&self) -> Option<&ExtentMap<'a>> {
        self.onto_source().map(|lu| &self.clone(lu).delta.bits)
    }

    /// Whether a host of the Source must see the Clone's data in this extent (R7).
    pub(crate) fn need(&self, extent: Extent) -> bool {
        self.restoring_delta().is_some_and(|delta| self.protected_restore.need(delta, extent))
    }

    /// The first of these extents that still has to be copied to the Source. Word by word: what is copied
    /// but not flushed may be many extents.
    pub(crate) fn next_need(&self, extents: ExtentRange) -> Option<Extent> {
        let delta = self.restoring_delta()?;
        let shift = ExtentMap::WORD_BITS.trailing_zeros();
        let mut rest = extents;
        while let Some(extent) = delta.next_set_in(rest) {
            let word = index(extent.0 >> shift);
            let settled = self.protected_restore.bits.word(word) | self.protected_restore.copied.word(word);
            let base = extent.0 >> shift << shift;
            let below = crate::geometry::count32(extent.0.wrapping_sub(base));
            let needed = delta.word(word) & !settled & usize::MAX.wrapping_shl(below);
            if needed != 0 {
                let found = Extent(base.wrapping_add(u64::from(needed.trailing_zeros())));
                return (found < extents.end).then_some(found);
            }
            rest.first = Extent(base.wrapping_add(u64::from(ExtentMap::WORD_BITS)));
        }
        None
    }

    pub(crate) fn raise(&mut self, event: Event) {
        if self.events_waiting < EVENTS_MAX {
            self.events_waiting = self.events_waiting.wrapping_add(1);
            self.notices.push(Notice::Event(event));
        } else {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }

    /// The one place where the state of the group moves.
    pub(crate) fn enter(&mut self, state: GroupState) {
        self.state = state;
        let value = u64::from(state.number());
        self.raise(Event { kind: EventKind::GroupState, lu: None, status: 0, value });
    }

    /// Whether an event can be told that must not be lost.
    pub(crate) fn has_event_room(&self) -> bool {
        self.events_waiting < EVENTS_MAX
    }

    pub(crate) fn raise_state(&mut self, lu: u32) {
        let value = u64::from(self.clone(lu).state().number());
        self.raise(Event { kind: EventKind::CloneState, lu: Some(lu), status: 0, value });
    }

    pub(crate) fn finish_operation(&mut self, tag: u64, status: i32) {
        self.leave_set(status);
        self.operations_unreported = self.operations_unreported.wrapping_add(1);
        self.notices.push(Notice::Operation { tag, status });
    }

    // ------------------------------------------------------------- flushes

    /// The area behind the LUs in the table of LUs.
    pub(crate) fn area(&self) -> u32 {
        self.config.lus()
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn new_ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.next_ticket
    }

    fn start_flushes(&mut self) {
        for lu in 0..self.area().wrapping_add(1) {
            if !self.lu(lu).should_flush() || self.free_ios == 0 {
                continue;
            }
            self.lu_mut(lu).flush_submitted();
            if lu == SOURCE {
                self.protected_restore.seal();
            }
            let operation = if lu == self.area() { IoOperation::PersistFlush } else { IoOperation::Flush };
            add(&mut self.statistics.engine_flushes, u64::from(operation == IoOperation::Flush));
            let purpose = Purpose::Flush(crate::geometry::slot(index(u64::from(lu))));
            self.start_io(Io { purpose, operation, lu, ..Io::default() });
        }
    }

    fn flush_over(&mut self, lu: u32, status: i32) {
        self.lu_mut(lu).flush_over(status);
        self.queue.changed = true;
        if lu == SOURCE {
            self.source_flushed(status);
        }
        if status == error::OK {
            return;
        }
        if lu == self.area() {
            return self.spoil_metadata_writes(status);
        }
        self.spoil_writes(lu, status);
        let unheard = lu != SOURCE || self.reversing().is_none();
        if unheard && kept!(R24Owed) && !self.flush_waited_for(lu) {
            self.lu_mut(lu).owed_status = status;
        }
        if let Some(clone) = self.reversing().filter(|&clone| clone == lu || lu == SOURCE) {
            self.scoreboard.spoil(lu);
            self.reverse_flush_failed(clone, status);
        } else if lu == SOURCE {
            // What the Source lost, its mirrors may still have (docs/protocol.md, N3).
            while let Some(clone) = self.next_clone(1, CloneState::is_mirrored).filter(|_| kept!(N3)) {
                self.fail_mirror(clone, status, None);
            }
        } else if kept!(R52Flush) {
            self.fail_mirror(lu, status, None);
        }
    }

    /// Writes under way may have reached the cache before the flush failed, and be lost with it: a later flush that
    /// works would seem to cover them (R24).
    fn spoil_writes(&mut self, lu: u32, status: i32) {
        let of_source = self.authority(SOURCE) == lu;
        for (_, request) in self.requests.iter_mut() {
            let its = if request.lu == SOURCE { of_source } else { request.lu == lu };
            let submitted = request.stage == RequestStage::Submitted && its && kept!(N8Writes);
            if submitted && request.operation.changes_blocks() && request.status == error::OK {
                request.status = status;
            }
        }
    }

    /// A read that went to the Source because its extents were copied may find what was there before the restore, if
    /// the cache dropped the copies with the flush.
    fn spoil_reads_of_copies(&mut self, status: i32) {
        let copied = &self.protected_restore.copied;
        for (_, request) in self.requests.iter_mut() {
            let of_source = request.stage == RequestStage::Submitted && request.lu == SOURCE;
            let reads = request.operation == HostOperation::Read && !request.redirected;
            if of_source && reads && request.status == error::OK && copied.any_set(request.extents) {
                request.status = status;
            }
        }
    }

    /// Copies that the flush covered are durable, or as if never made. They are not made again and again: the
    /// engine waits for a resume (R24).
    fn source_flushed(&mut self, status: i32) {
        let failed = status != error::OK;
        if failed && kept!(R24Reads) {
            self.spoil_reads_of_copies(status);
        }
        let spoiled = failed && self.scoreboard.spoil(SOURCE);
        let dropped = spoiled || failed && self.protected_restore.unflushed() > 0;
        let restoring = self.restoring();
        let delta = restoring.map(|lu| &self.clones[u64::from(lu.wrapping_sub(1))].delta.bits);
        let per_clone = self.config.map_per_clone();
        let persistent = &mut self.persistent;
        self.protected_restore.unseal(status == error::OK || !kept!(R24Copies), delta, |extents| {
            if per_clone {
                persistent.mark_later(extents);
            }
        });
        match restoring {
            Some(lu) if dropped && kept!(R24Stall) => self.stall(lu, status),
            _ if status == error::OK => self.note_restored(),
            _ => {}
        }
    }

    // ----------------------------------------------------------------- I/O

    pub(crate) fn free_ios(&self) -> u32 {
        self.free_ios
    }

    /// Takes a slot for an I/O. Its owner saw that there is one.
    pub(crate) fn new_io(&mut self, io: Io) -> u16 {
        let free = self.ios.iter().find(|(_, slot)| slot.stage == IoStage::Free).map(|(number, _)| number);
        let slot = free.unwrap_or(u16::MAX);
        self.ios[slot] = Io { stage: IoStage::Ready, ..io };
        self.free_ios = self.free_ios.saturating_sub(1);
        slot
    }

    /// Takes a slot for an I/O and puts it in line for the next poll.
    pub(crate) fn start_io(&mut self, io: Io) {
        let slot = self.new_io(io);
        // What a host waits for comes before background copies that were ready before it (R69).
        if io.urgent && kept!(R69Urgent) {
            self.ready.push_front(slot);
        } else {
            self.ready.push(slot);
        }
    }

    /// Puts an I/O that has its slot in line for the next poll.
    pub(crate) fn line_up(&mut self, slot: u16) {
        self.ready.push(slot);
    }

    pub(crate) fn io_mut(&mut self, slot: u16) -> &mut Io {
        &mut self.ios[slot]
    }

    /// The I/O as it is offered to the controller, under a fresh id.
    pub(crate) fn offer(&mut self, slot: u16) -> IoOffer {
        self.ios[slot].stage = IoStage::Offered;
        let io = self.ios[slot];
        let of_lu =
            !matches!(io.purpose, Purpose::PageWrite(_) | Purpose::SuperblockWrite | Purpose::Start(_));
        let (offset, length) = if of_lu {
            (self.geometry().offset(io.blocks.first), self.geometry().length(io.blocks))
        } else {
            (io.offset, io.length)
        };
        IoOffer { slot, id: self.completions.arm(slot), io, offset, length }
    }

    /// What the callback of an offered I/O returned.
    pub fn returned(&mut self, slot: u16, result: i32, buffers: &mut dyn MetadataBuffers) {
        let early = self.ios[slot].stage == IoStage::Early;
        let over = match result {
            error::PENDING if early => self.take_completion(slot),
            error::PENDING => {
                self.ios[slot].stage = IoStage::Pending;
                None
            }
            error::RETRY if !early && self.completions.retire(slot) => {
                self.ios[slot].stage = IoStage::Ready;
                self.retry.push(slot);
                None
            }
            result => Some(self.ended_by_callback(slot, result)),
        };
        if let Some((io, status)) = over {
            self.io_over(io, status, buffers);
        }
    }

    fn ended_by_callback(&mut self, slot: u16, result: i32) -> (Io, i32) {
        let status = self.checked(slot, result);
        let io = self.ios[slot];
        let early = io.stage == IoStage::Early;
        if early || !self.completions.retire(slot) {
            // Ended twice: by its callback and by a completion. The callback counts.
            self.ios[slot].stage = IoStage::Discarding;
            if early {
                self.discard(slot);
            }
        } else {
            self.free_io(slot);
        }
        (io, status)
    }

    /// Takes in everything that was completed so far.
    fn drain_completions(&mut self, buffers: &mut dyn MetadataBuffers) {
        let mut from = 0;
        while let Some(slot) = self.completions.next_arrived(from) {
            from = slot;
            match self.ios[slot].stage {
                IoStage::Pending => {
                    if let Some((io, status)) = self.take_completion(slot) {
                        self.io_over(io, status, buffers);
                    }
                }
                IoStage::Discarding => self.discard(slot),
                _ => self.ios[slot].stage = IoStage::Early,
            }
        }
    }

    fn take_completion(&mut self, slot: u16) -> Option<(Io, i32)> {
        let result = self.completions.take(slot)?;
        let status = self.checked(slot, result);
        let io = self.ios[slot];
        self.free_io(slot);
        Some((io, status))
    }

    fn discard(&mut self, slot: u16) {
        if self.completions.take(slot).is_some() {
            self.free_io(slot);
        }
    }

    fn free_io(&mut self, slot: u16) {
        self.ios[slot] = Io::default();
        self.free_ios = self.free_ios.wrapping_add(1);
        self.queue.changed = true;
    }

    /// A positive number is no status of an I/O (R81).
    fn checked(&mut self, slot: u16, result: i32) -> i32 {
        if result <= error::OK || !kept!(R81) {
            return result;
        }
        let io = &self.ios[slot];
        let lu = (io.lu < self.config.lus()).then_some(io.lu);
        let value = u64::from(result.unsigned_abs());
        let status = Error::CallbackResult.status();
        self.raise(Event { kind: EventKind::CallbackResult, lu, status, value });
        status
    }

    /// An I/O is over: the one place that tells its owner.
    fn io_over(&mut self, io: Io, status: i32, buffers: &mut dyn MetadataBuffers) {
        if status != error::OK {
            add(&mut self.statistics.io_errors, 1);
        }
        if io.lu < self.config.lus() {
            self.lu_mut(io.lu).counters.count(io.operation, status != error::OK);
        }
        match io.purpose {
            Purpose::None => {}
            Purpose::Leg(request) => self.leg_over(request, &io, status),
            Purpose::CopyRead(copy) => self.copy_read_over(copy, &io, status),
            Purpose::CopyWrite(copy) => self.copy_write_over(copy, status),
            Purpose::CompareRead(copy) => self.compare_read_over(copy, status),
            Purpose::Flush(lu) => self.flush_over(u32::from(lu), status),
            Purpose::PageWrite(page_writer) => self.page_write_over(page_writer, status),
            Purpose::SuperblockWrite => self.superblock_write_over(status),
            Purpose::Start(step) => self.start_io_over(step, status, buffers),
        }
    }

    // --------------------------------------------------------------- polls

    /// The controller's clock.
    pub fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// A poll begins: it may begin to copy so many extents in the background.
    pub fn begin_poll(&mut self, copy_budget: u32) {
        self.copy_budget = copy_budget;
        self.copies_allowed = copy_budget > 0;
        self.slices_left = SLICES_MAX;
        // Each refused I/O is offered at most once in a poll (R81).
        for _ in 0..self.retry.len() {
            if let Some(slot) = self.retry.pop() {
                self.ready.push(slot);
            }
        }
    }

    /// Takes in what was completed, and moves what can move unless the controller has to be told something first.
    pub fn work(&mut self, buffers: &mut dyn MetadataBuffers) {
        self.drain_completions(buffers);
        if self.notices.is_empty() && self.events_lost == 0 {
            self.advance(buffers);
        }
    }

    /// What the driver is to do next, if anything.
    // Apart from the work: the deepest stack does not hold the action as well.
    pub fn next_action(&mut self) -> Option<Action> {
        let told = self.next_notice().or_else(|| self.take_comparison());
        told.or_else(|| self.ready.pop().map(|slot| Action::Io(self.offer(slot))))
    }

    fn next_notice(&mut self) -> Option<Action> {
        match self.notices.pop() {
            Some(Notice::Event(event)) => {
                self.events_waiting = self.events_waiting.saturating_sub(1);
                Some(Action::Event(event))
            }
            Some(Notice::Request(request)) => {
                let Request { tag, status, .. } = self.requests[request];
                self.free_request(request);
                Some(Action::Done { tag, status })
            }
            Some(Notice::Operation { tag, status }) => {
                self.operations_unreported = self.operations_unreported.saturating_sub(1);
                Some(Action::Done { tag, status })
            }
            None => {
                let value = core::mem::take(&mut self.events_lost);
                let lost = Event { kind: EventKind::Lost, lu: None, status: 0, value };
                (value > 0).then_some(Action::Event(lost))
            }
        }
    }

    /// Moves the machines until one of them has something to do for the driver, or none moves. A long
    /// walk is left to the next poll after some steps.
    fn advance(&mut self, buffers: &mut dyn MetadataBuffers) {
        // Copies on demand do not wait until everything that is ready was offered (R69).
        if !self.ready.is_empty() {
            self.advance_queue();
        }
        for _ in 0..STEPS_MAX {
            if !self.ready.is_empty() || !self.notices.is_empty() {
                return;
            }
            let before = self.positions();
            self.advance_activity(buffers);
            self.advance_queue();
            self.advance_copy_progress();
            self.advance_writer(buffers);
            self.advance_sweeper();
            self.advance_copies();
            self.advance_sync_engine();
            self.advance_verify();
            self.advance_copy_flush();
            self.start_flushes();
            self.moved = before != self.positions() || self.queue.changed;
            if !self.moved {
                return;
            }
        }
    }

    /// Whether this poll may walk so many more slices of a map. If not, the next one goes on: no poll is longer because
    /// an LU is larger.
    pub(crate) fn may_walk(&mut self, slices: u32) -> bool {
        let may = self.slices_left > 0;
        self.slices_left = self.slices_left.saturating_sub(slices);
        may
    }

    /// Where the machines stand that may move without an I/O.
    fn positions(&self) -> ([u8; 5], [u64; 3]) {
        let (kind, stage, at) = self.activity.position();
        let (sweep, page) = self.sweeper.position();
        let (verify, cursor) = self.verify.position();
        ([kind, stage, sweep, self.writer.position(), verify], [at, page, cursor])
    }

    /// What a poll that has nothing more to do returns.
    pub fn outcome(&self) -> i32 {
        let more = !self.ready.is_empty()
            || !self.notices.is_empty()
            || self.queue.changed && !self.queue.is_empty()
            || self.completions.any_arrived()
            || self.moved
            || self.slices_left == 0
            || self.waits_for_members()
            || self.copies_allowed
                && self.copy_budget == 0
                && (self.has_background_work() || self.has_verify_work());
        if more {
            error::MORE
        } else if self.is_busy() {
            error::PENDING
        } else {
            error::OK
        }
    }

    fn is_busy(&self) -> bool {
        self.ios_in_flight()
            || !self.retry.is_empty()
            || self.requests_used > 0
            || !matches!(self.activity, Activity::None)
            || self.asked_for.is_some()
    }

    /// Whether any I/O has a slot: it is with the controller, was refused by it for now, or is to be offered.
    fn ios_in_flight(&self) -> bool {
        count(self.ios.len()) != u64::from(self.free_ios)
    }

    /// Whether the controller may still touch memory of the workspace (R82): an I/O is over when it is completed
    /// and its callback has returned, whether a poll saw it or not.
    pub fn devices_busy(&self) -> bool {
        self.ios.iter().any(|(slot, io)| match io.stage {
            _ if !kept!(R82) => false,
            IoStage::Free | IoStage::Ready => false,
            IoStage::Pending => !self.completions.is_completed(slot),
            IoStage::Offered | IoStage::Early | IoStage::Discarding => true,
        })
    }

    /// Whether a request waits that only a poll can move.
    pub fn wants_poll(&self) -> bool {
        !self.queue.is_empty()
            || !self.notices.is_empty()
            || !self.ready.is_empty()
            || !self.retry.is_empty()
            || self.activity != Activity::None
            || self.scoreboard.active() > 0
    }

    // ------------------------------------------------------------ requests

    pub(crate) fn new_request(&mut self, request: Request) -> Option<u16> {
        let free = self.requests.iter().find(|(_, slot)| slot.stage == RequestStage::Free);
        let slot = free.map(|(number, _)| number)?;
        self.requests[slot] = request;
        self.requests_used = self.requests_used.wrapping_add(1);
        Some(slot)
    }

    pub(crate) fn free_request(&mut self, request: u16) {
        self.requests[request] = Request::default();
        self.requests_used = self.requests_used.saturating_sub(1);
    }

    pub(crate) fn requests_used(&self) -> u32 {
        self.requests_used
    }

    pub(crate) fn report_finished(&mut self, request: u16) {
        self.notices.push(Notice::Request(request));
    }

    // ------------------------------------------------------------------ LUs

    /// Tells which LU stands behind a number.
    pub fn attach(&mut self, lu: u32, flags: LuFlags, identity: [u8; 16]) -> Result<(), Error> {
        if lu >= self.config.lus() {
            return Err(Error::NoLu);
        }
        let member = lu == SOURCE || self.clone(lu).state() != CloneState::Absent;
        if self.state != GroupState::New && (self.state != GroupState::Ready || member) {
            return Err(Error::State);
        }
        // A flush of what stood behind the number before would be taken for one of the new LU.
        if self.is_adding(lu) || self.lu(lu).flush_under_way() {
            return Err(Error::Busy);
        }
        *self.lu_mut(lu) = Lu::attached(flags, identity);
        Ok(())
    }

    /// The range of a persistent I/O.
    pub(crate) fn persist_io(
        &self,
        purpose: Purpose,
        operation: IoOperation,
        offset: Bytes,
        length: u64,
        buffer: u16,
    ) -> Io {
        Io {
            purpose,
            operation,
            lu: u32::MAX,
            offset,
            length: Bytes(length),
            buffer: crate::io::Buffer::Metadata(buffer),
            ..Io::default()
        }
    }
}
