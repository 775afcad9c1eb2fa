#![forbid(unsafe_code)]
//! Host writes that cover whole extents of a restore: no copy is needed, and the order is reversed (R17). The request
//! owns the extents; the data is written and durable first, then P says so, then the extents are the host's. Until
//! then they hold the Clone's data for whoever reads them, and a failure leaves it so (R18).

use crate::error;
use crate::geometry::{Extent, ExtentRange};
use crate::group::Group;
use crate::knock_out::kept;
use crate::request::RequestStage;
use crate::statistics::add;

impl Group<'_> {
    /// Whether a whole-extent write owns any of these extents (R17).
    pub(crate) fn is_overwritten(&self, extents: ExtentRange) -> bool {
        self.overwriting > 0 && self.requests.iter().any(|(_, request)| request.overwrite.overlaps(extents))
    }

    /// Whole extents were written and are durable: now P may say so (R17).
    pub(crate) fn record_overwrite(&mut self, request: u16) {
        let extents = self.requests[request].overwrite;
        let set = self.protected_restore.bits.set_range(extents);
        add(&mut self.statistics.overwritten_extents, set);
        let version = self.persistent.mark(extents);
        self.requests[request].stage = RequestStage::RecordingOverwrite;
        self.requests[request].version = version;
        self.requests[request].extents = extents;
        self.queue.push(&mut self.requests, request);
        self.queue.changed = true;
    }

    /// Whether the pages of these extents will not become durable before metadata is repaired (R33). One that is
    /// being written may.
    pub(crate) fn will_not_record(&self, extents: ExtentRange) -> bool {
        self.metadata_failed && !self.persistent.in_flight(extents)
    }

    /// P is durable: the extents are the host's.
    pub(crate) fn overwrite_recorded(&mut self, request: u16) {
        let waiting = self.requests[request];
        if !self.persistent.is_durable(waiting.overwrite, waiting.version) && kept!(R17Page) {
            if self.will_not_record(waiting.overwrite) {
                self.overwrite_failed(request, self.metadata_status);
            }
            return;
        }
        if let Some(delta) = self.restoring_delta() {
            delta.clear_range(waiting.overwrite);
        }
        self.note_restored();
        self.end_overwrite(request, error::OK);
    }

    /// Nothing was flipped: the extents still hold the Clone's data for whoever reads them (R18).
    pub(crate) fn overwrite_failed(&mut self, request: u16, status: i32) {
        let waiting = self.requests[request];
        if let Some(delta) = self.restoring_delta().filter(|_| kept!(R18)) {
            let mut rest = waiting.overwrite;
            while let Some(extent) = delta.next_set_in(rest) {
                self.protected_restore.bits.clear(extent);
                rest.first = Extent(extent.0.wrapping_add(1));
            }
        }
        if waiting.stage == RequestStage::RecordingOverwrite {
            // What the page says is unknown: it is written again when metadata is repaired (R33).
            self.persistent.mark(waiting.overwrite);
        }
        self.end_overwrite(request, status);
    }

    fn end_overwrite(&mut self, request: u16, status: i32) {
        self.requests[request].overwrite = ExtentRange::default();
        self.overwriting = self.overwriting.saturating_sub(1);
        self.submitted = self.submitted.saturating_sub(1);
        self.finish(request, status);
    }
}
