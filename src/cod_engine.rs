#![forbid(unsafe_code)]
//! The COD Engine: copies the extents that a waiting host request needs, at once (R69).
//!
//! A read needs every extent of its range, a write only those that it does not cover entirely. What is being
//! copied already is waited for; the rest is claimed in ascending order, adjoining extents as one copy, as
//! far as there are copy slots. The request holds none of them (R14).

use crate::cod_scoreboard::{Copy, CopyEngine};
use crate::error::Error;
use crate::geometry::{Extent, ExtentRange};
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::request::{HostOperation, RequestStage, Why};

impl Group<'_> {
    /// Begins to copy what this request waits for.
    pub(crate) fn start_cod(&mut self, request: u16) {
        let Some(restoring) = self.restoring().filter(|_| self.may_change_source()) else {
            return;
        };
        let extents = self.requests[request].extents;
        let mut from = extents.first;
        while self.can_copy() {
            let Some(first) = self.next_need(ExtentRange::new(from, extents.end)) else {
                return;
            };
            from = Extent(first.0.wrapping_add(1));
            if !self.may_cod(request, first) {
                continue;
            }
            let mut run = ExtentRange::one(first);
            let most = if self.cod_single.contains(first) { 1 } else { self.run_max() };
            while run.count() < most && run.end < extents.end && self.may_cod(request, run.end) {
                run.end = Extent(run.end.0.wrapping_add(1));
            }
            from = run.end;
            // A write sets P next, for which the copy must be durable (R5): better at once than by a flush. A
            // read does not; it waits no longer than for the copy itself.
            let writes = self.requests[request].operation.changes_blocks();
            let durable = writes || !self.can_note_copy();
            let engine = CopyEngine::Cod;
            self.begin_copy(Copy {
                engine,
                from: restoring,
                to: SOURCE,
                extents: run,
                durable,
                ..Copy::default()
            });
        }
    }

    /// Whether this request needs a copy of the extent, and nobody makes one.
    fn may_cod(&self, request: u16, extent: Extent) -> bool {
        self.wants_copy_of(request, extent) && self.need(extent) && !self.source_is_owned(extent)
    }

    fn wants_copy_of(&self, request: u16, extent: Extent) -> bool {
        let waiting = &self.requests[request];
        let covered = self.geometry().extents_covered(waiting.blocks);
        waiting.operation == HostOperation::Read || !covered.contains(extent)
    }

    /// Extents could not be copied on demand: whoever waits for one of them does not wait longer. A read
    /// that lies wholly in extents that still hold the Clone's data is served from there (R61, R62).
    pub(crate) fn cod_failed(&mut self, extents: ExtentRange, status: i32) {
        if extents.count() > 1 {
            // Which of them it was shows when each is copied alone.
            self.cod_single = extents;
            return;
        }
        for request in 0..crate::geometry::slot(self.requests.len()) {
            let waiting = self.requests[request];
            let waits = waiting.stage == RequestStage::Waiting(Why::Copy) && waiting.lu == SOURCE;
            let both = waiting.extents.intersection(extents);
            if !waits || !both.iter().any(|extent| self.wants_copy_of(request, extent)) {
                continue;
            }
            match self.restoring() {
                Some(clone)
                    if kept!(R61Redirect)
                        && waiting.operation == HostOperation::Read
                        && self.needs_all(waiting.extents) =>
                {
                    self.begin_read(request, clone);
                }
                _ => self.refuse_waiting(request, Error::from_status(status)),
            }
        }
    }
}
