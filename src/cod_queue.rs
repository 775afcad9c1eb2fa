#![forbid(unsafe_code)]
//! The COD Queue: host requests that wait, in the order in which they came. Most wait for extents to
//! be copied; those that wait for a map page, for the gate or for each other stand in the same line, so
//! that nobody overtakes on the same extent (R14).

use crate::request::{Request, RequestStage, Why};
use crate::table::Table;

/// A list through the request slots. Slot numbers in it are plus 1; 0 is none.
#[derive(Default)]
pub struct CodQueue {
    head: u16,
    tail: u16,
    len: u32,
    /// Something happened that may let a request go on.
    pub changed: bool,
}

impl CodQueue {
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first request, if any.
    pub fn first(&self) -> Option<u16> {
        self.head.checked_sub(1)
    }

    /// The request behind this one.
    pub fn next(&self, requests: &Table<'_, Request>, request: u16) -> Option<u16> {
        requests[request].queue_next.checked_sub(1)
    }

    /// Puts a request at the end.
    pub fn push(&mut self, requests: &mut Table<'_, Request>, request: u16) {
        let number = request.wrapping_add(1);
        requests[request].in_queue = true;
        requests[request].queue_next = 0;
        requests[request].queue_previous = self.tail;
        match self.tail.checked_sub(1) {
            Some(last) => requests[last].queue_next = number,
            None => self.head = number,
        }
        self.tail = number;
        self.len = self.len.wrapping_add(1);
    }

    /// Takes a request out.
    pub fn remove(&mut self, requests: &mut Table<'_, Request>, request: u16) {
        let (previous, next) = (requests[request].queue_previous, requests[request].queue_next);
        requests[request].in_queue = false;
        match previous.checked_sub(1) {
            Some(neighbour) => requests[neighbour].queue_next = next,
            None => self.head = next,
        }
        match next.checked_sub(1) {
            Some(neighbour) => requests[neighbour].queue_previous = previous,
            None => self.tail = previous,
        }
        self.len = self.len.saturating_sub(1);
    }

    /// How many requests wait for extents to be copied.
    pub fn depth(&self, requests: &Table<'_, Request>) -> u32 {
        let waits = |stage| matches!(stage, RequestStage::Waiting(Why::Copy | Why::CopyFlush));
        let mut depth: u32 = 0;
        let mut at = self.first();
        while let Some(request) = at {
            depth = depth.wrapping_add(u32::from(waits(requests[request].stage)));
            at = self.next(requests, request);
        }
        depth
    }
}
