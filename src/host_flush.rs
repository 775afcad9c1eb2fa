#![forbid(unsafe_code)]
//! Host flushes: they go to every LU that holds acknowledged data, as tickets of the flushes that the library makes
//! (R20, R22). With the host contract HD there is nothing to do.

use crate::clone::CloneState;
use crate::error;
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::lu::Flushed;
use crate::request::{Request, RequestStage};

impl Group<'_> {
    /// A flush goes to every LU that holds acknowledged data of this one (R22).
    pub(crate) fn begin_host_flush(&mut self, request: u16) {
        let ticket = self.new_ticket();
        let lu = self.requests[request].lu;
        if lu == SOURCE {
            self.want_mirrored_flush(ticket);
        } else {
            self.lu_mut(lu).want_flush(ticket);
        }
        self.requests[request].ticket = ticket;
        self.requests[request].stage = RequestStage::Flushing;
        self.submitted = self.submitted.wrapping_add(1);
        self.host_flush_over(request);
    }

    pub(crate) fn host_flush_over(&mut self, request: u16) {
        let Request { lu, ticket, .. } = self.requests[request];
        let status = match self.lu(self.authority(lu)).flushed(ticket) {
            Flushed::Waiting => return,
            Flushed::Done => error::OK,
            Flushed::Failed(status) => status,
        };
        // The host gets the status of the LU whose content counts (R41, R52); what the other legs lost is noted in
        // Delta Maps by now.
        let waits = |lu| self.lu(lu).flushed(ticket) == Flushed::Waiting;
        if lu == SOURCE
            && kept!(R22Wait)
            && (waits(SOURCE) || self.clones_where(CloneState::shares_writes).any(waits))
        {
            return;
        }
        self.submitted = self.submitted.saturating_sub(1);
        self.finish(request, status);
    }

    /// Whether a host waits for a flush of this LU, and so will see its failure.
    pub(crate) fn flush_waited_for(&self, lu: u32) -> bool {
        let flushing = |request: &Request| request.stage == RequestStage::Flushing;
        self.requests.iter().any(|(_, request)| flushing(request) && self.authority(request.lu) == lu)
    }
}
