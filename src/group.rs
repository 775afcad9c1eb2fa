#![forbid(unsafe_code)]
//! The Clone Group: the Source, its Clones, and everything that is under way. Sans-I/O: it takes requests,
//! completions and polls, and yields I/Os to issue, finished requests and events. Whoever drives it holds
//! one lock around each call, and none while it calls the controller.

use crate::clone::{Clone, CloneState};
use crate::cod_queue::CodQueue;
use crate::cod_scoreboard::CodScoreboard;
use crate::collision_detector::CollisionDetector;
use crate::completion::Completions;
use crate::config::{Capabilities, Config};
use crate::error::Error;
use crate::event::{EVENTS_MAX, Event, EventKind, Notice};
use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange, Geometry, index};
use crate::intent_sweeper::IntentSweeper;
use crate::io::Io;
use crate::knock_out::kept;
use crate::lu::{Lu, LuFlags, Ticket};
use crate::metadata_writer::MetadataWriter;
use crate::operation::Activity;
use crate::parts;
use crate::persistent_delta_map::PersistentDeltaMap;
use crate::protected_restore_map::ProtectedRestoreMap;
use crate::request::{Request, RequestStage};
use crate::set::Membership;
use crate::statistics::Statistics;
use crate::superblock::GroupRecord;
use crate::table::{Ring, Table};
use crate::verify::Verify;

pub use crate::operation::Operation;

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
}
