//! The two copies of a map page with the bits of two extents: torn writes, failed writes, bits that are set while a write
//! is under way, bits that are cleared, and copies that cannot be read once, one of them or both, here or of another
//! page. A page that is lost reads as ones; in a restore it would be refused (R60), so there nothing but a read that
//! fails may lose it.
//!
//! ```text
//!   set a bit --> dirty --> image to the older copy, sequence + 1 --> flush --> durable: the host write goes out
//!       ^                     `--> fails: unknown; the same copy again, sequence + 1
//!       |
//!   sweep: the bit is gone in memory before the image is written
//!   Recovery: of two valid copies the one with the higher sequence; one that cannot be read may be the newer one:
//!             all ones, and the superblock distrusts pages (N18) before the page is written again (N6)
//!
//!   superblock that distrusts: a page with a copy that is damaged is lost, too
//!       ^                                                   |
//!   Recovery, a page is lost, here or elsewhere      no such page is left: the next superblock, or the one that
//!                                                    starts a restore, which waits for that
//! ```

use crate::checker::{Bounds, Model, Steps};
use crate::{packed, rules, stages};

rules! {
    R1 = "the bit is durable before the host goes on",
    R26 = "a page counts as durable when it is flushed",
    R27 = "one write of a page at a time",
    R28 = "the image stays as it is until it is written",
    R30_COPY = "never the copy that is the newest valid one",
    R30_HIGHER = "the higher sequence wins",
    R30_SEQUENCE = "each write has a higher sequence",
    N19 = "if no copy can be read, its sequence goes on from beyond all earlier ones",
    R30_ONES = "a copy that cannot be read may be the newer one",
    R33_DURABLE = "bits of a write that failed are not durable",
    R33_COPY = "after a failure the same copy is written again",
    R33_CLEAR = "a bit is gone in memory before the image without it is written",
    N6 = "a page that could not be read is written again",
    N18 = "before that, the superblock says that pages are distrusted",
    N18_ONES = "then a page with a damaged copy is lost, too",
    N18_AGAIN = "one that is lost that way keeps pages distrusted, too",
    N18_UNTIL = "it says so until every page that was lost is durable",
    N18_RESTORE = "no restore begins before that",
}

packed! {
    struct Image {
        valid: bool => 1,
        sequence: u8 => 5,
        bits: u8 => 2,
    }
}

stages! {
    enum Stage {
        None,
        Writing,
        Flushing,
    }
}

packed! {
    struct State {
        copies: [Image; 2] => 16,
        pending: [Image; 2] => 16,
        /// The write under way to each copy.
        stages: [Stage; 2] => 4,
        /// The image under way was changed (R28 off).
        mixed: bool => 1,
        /// In memory.
        bits: u8 => 2,
        /// Set since the image under way was made.
        unsaved: u8 => 2,
        /// In the image under way, and not durable.
        saving: u8 => 2,
        /// Extents that are to be cleared when the image is durable (R33 off).
        clearing: u8 => 2,
        dirty: bool => 1,
        sequence: u8 => 5,
        newest: u8 => 1,
        /// Extents that hosts write: they differ.
        written: u8 => 2,
        /// The superblock says that pages are distrusted.
        distrusted: bool => 1,
        /// Recovery has yet to write that superblock.
        distrust_due: bool => 1,
        /// The page was lost, and is not durable again.
        lost: bool => 1,
        /// Another page was.
        other_lost: bool => 1,
        restoring: bool => 1,
        sets_left: u8 => 2,
        clears_left: u8 => 2,
        losses_left: u8 => 2,
        failures_left: u8 => 1,
        read_errors_left: u8 => 2,
    }
}

/// See the module.
pub struct Pages {
    off: Option<Rule>,
    bounds: Bounds,
}

const READ_ERRORS: u8 = 2;
const NOTHING: Image = Image { valid: false, sequence: 0, bits: 0 };

impl Pages {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    fn superblock_steps(&self, state: &State, steps: &mut Steps<State>) {
        if state.other_lost {
            steps.to("the other page is durable", 0, State { other_lost: false, ..*state });
        }
        let lost = if self.on(Rule::N18_UNTIL) {
            state.lost || state.other_lost
        } else {
            state.lost && state.other_lost
        };
        if state.distrusted && !lost && !state.restoring {
            steps.to("superblock {pages are trusted} is durable", 0, State { distrusted: false, ..*state });
        }
        let clean = !state.dirty && state.stages == [Stage::None; 2];
        let lost = state.lost || state.other_lost;
        if !state.restoring && (clean && !lost || !self.on(Rule::N18_RESTORE)) {
            let distrusted = lost && state.distrusted;
            steps.to(
                "superblock {a restore runs} is durable",
                0,
                State { restoring: true, distrusted, ..*state },
            );
        }
    }

    fn host_steps(&self, state: &State, steps: &mut Steps<State>) {
        for extent in 0..2 {
            let bit = 1 << extent;
            if state.bits & bit == 0 && state.sets_left > 0 {
                let mut next = *state;
                next.sets_left -= 1;
                next.bits |= bit;
                let writing = state.stages.contains(&Stage::Writing);
                if writing && !self.on(Rule::R28) {
                    // The buffer is the one that is being written.
                    next.saving |= bit;
                    next.mixed = true;
                } else {
                    next.unsaved |= bit;
                    next.dirty = true;
                }
                steps.to("bit {} is set", extent, next);
            }
            let unsaved = (state.unsaved | state.saving) & bit != 0 && self.on(Rule::R1);
            if state.bits & bit != 0 && state.written & bit == 0 && !unsaved {
                let mut next = *state;
                next.written |= bit;
                steps.to("the host write to {} goes out", extent, next);
            }
            // It is copied and flushed: the extent does not differ any more.
            let idle = state.stages == [Stage::None; 2] && !state.dirty;
            if state.written & bit != 0 && state.clears_left > 0 && idle && !state.restoring {
                let mut next = *state;
                next.clears_left -= 1;
                next.written &= !bit;
                next.dirty = true;
                if self.on(Rule::R33_CLEAR) {
                    next.bits &= !bit;
                } else {
                    next.clearing = bit;
                }
                steps.to("bit {} is spare", extent, next);
            }
        }
    }

    fn page_steps(&self, state: &State, steps: &mut Steps<State>) {
        let busy = state.stages != [Stage::None; 2];
        let target = usize::from(if self.on(Rule::R30_COPY) { state.newest ^ 1 } else { state.newest });
        // A second write of the page would go to the other copy.
        let target = if busy && !self.on(Rule::R27) { target ^ 1 } else { target };
        let may = !busy || !self.on(Rule::R27) && state.stages[target] == Stage::None;
        if state.dirty && may {
            let mut next = *state;
            next.dirty = false;
            next.sequence += u8::from(self.on(Rule::R30_SEQUENCE));
            next.saving |= state.unsaved;
            next.unsaved = 0;
            let bits = state.bits & !state.clearing;
            next.pending[target] = Image { valid: true, sequence: next.sequence, bits };
            next.stages[target] = Stage::Writing;
            steps.to("page is submitted to copy {}", target as u8, next);
        }
        for copy in 0..2 {
            match state.stages[copy] {
                Stage::None => {}
                Stage::Writing => {
                    let mut next = *state;
                    next.stages[copy] = Stage::Flushing;
                    if !self.on(Rule::R26) {
                        next.saving = 0;
                    }
                    steps.to("page is written to copy {}", copy as u8, next);
                }
                Stage::Flushing => {
                    let mut next = *state;
                    next.copies[copy] = if state.mixed { NOTHING } else { state.pending[copy] };
                    self.end_write(&mut next, copy, true);
                    steps.to("copy {} is durable", copy as u8, next);
                }
            }
            if state.stages[copy] != Stage::None && state.failures_left > 0 {
                for fate in 0..3 {
                    let mut next = *state;
                    next.failures_left -= 1;
                    next.copies[copy] = outcome(state, copy, fate);
                    self.end_write(&mut next, copy, false);
                    steps.to("the write of copy {} fails", copy as u8, next);
                }
            }
        }
    }

    fn end_write(&self, next: &mut State, copy: usize, durable: bool) {
        next.pending[copy] = NOTHING;
        next.stages[copy] = Stage::None;
        next.mixed = false;
        if durable || !self.on(Rule::R33_COPY) {
            next.newest = copy as u8;
        }
        if !durable {
            next.dirty = true;
            if self.on(Rule::R33_DURABLE) {
                next.unsaved |= next.saving;
            }
        } else {
            next.bits &= !next.clearing;
            next.clearing = 0;
            next.lost = false;
        }
        next.saving = 0;
    }

    /// `unread` has a bit for each copy that cannot be read, and one for a copy of another page.
    fn recover(&self, state: &State, copies: [Image; 2], unread: u8, steps: &mut Steps<State>) {
        let read = |copy: usize| if unread >> copy & 1 == 1 { NOTHING } else { copies[copy] };
        let (first, second) = (read(0), read(1));
        let higher = second.valid && (!first.valid || second.sequence > first.sequence);
        let taken = usize::from(if self.on(Rule::R30_HIGHER) { higher } else { !first.valid });
        let image = read(taken);
        let unreadable = unread & 3 != 0;
        let distrusted = state.distrusted && !(first.valid && second.valid) && self.on(Rule::N18_ONES);
        let ones = !image.valid || unreadable && self.on(Rule::R30_ONES) || distrusted;
        if ones && state.restoring {
            return steps.power_loss(Err("R60: a restore is refused, and no read failed"));
        }
        let bits = if ones { 3 } else { image.bits };
        if state.written & !bits != 0 {
            return steps.power_loss(Err("I2: an extent differs, and no bit says so"));
        }
        let rewritten = ones && self.on(Rule::N6);
        let lost = ones && (unreadable || !image.valid || self.on(Rule::N18_AGAIN));
        let other_lost = state.other_lost || unread & 4 != 0;
        let sequence = match image.valid {
            // It goes over the other copy.
            true => image.sequence + u8::from(ones),
            // Newer than whatever lies there unread.
            false if self.on(Rule::N19) => copies[0].sequence.max(copies[1].sequence),
            false => 16,
        };
        let next = State {
            copies,
            pending: [NOTHING; 2],
            stages: [Stage::None; 2],
            mixed: false,
            bits,
            unsaved: if rewritten { bits } else { 0 },
            saving: 0,
            clearing: 0,
            dirty: rewritten,
            sequence,
            newest: taken as u8,
            distrust_due: (lost || other_lost) && self.on(Rule::N18),
            lost,
            other_lost,
            losses_left: state.losses_left - 1,
            read_errors_left: state.read_errors_left - u8::from(unread != 0),
            ..*state
        };
        match unread {
            0 => steps.power_loss(Ok(next)),
            1 | 2 => steps.recovery("power loss, Recovery cannot read copy {}", unread - 1, Ok(next)),
            3 => steps.recovery("power loss, Recovery can read no copy", 0, Ok(next)),
            _ => steps.recovery("power loss, Recovery cannot read another page", 0, Ok(next)),
        }
    }
}

fn outcome(state: &State, copy: usize, fate: u8) -> Image {
    match fate {
        _ if !state.pending[copy].valid => state.copies[copy],
        0 => state.copies[copy],
        1 if !state.mixed => state.pending[copy],
        _ => NOTHING,
    }
}

impl Model for Pages {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "pages";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] = &[];

    fn new(off: Option<Rule>, bounds: Bounds) -> Pages {
        Pages { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        let copy = |sequence| Image { valid: true, sequence, bits: 0 };
        vec![State {
            copies: [copy(2), copy(1)],
            pending: [NOTHING; 2],
            stages: [Stage::None; 2],
            mixed: false,
            bits: 0,
            unsaved: 0,
            saving: 0,
            clearing: 0,
            dirty: false,
            sequence: 2,
            newest: 0,
            written: 0,
            distrusted: false,
            distrust_due: false,
            lost: false,
            other_lost: false,
            restoring: false,
            sets_left: self.bounds.pick(2, 3, 3),
            clears_left: self.bounds.pick(1, 1, 2),
            losses_left: self.bounds.pick(2, 3, 3),
            failures_left: 1,
            read_errors_left: self.bounds.pick(1, READ_ERRORS, READ_ERRORS),
        }]
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        if state.distrust_due {
            // Recovery is not over: nobody is served, and no page is written.
            let next = State { distrust_due: false, distrusted: true, ..*state };
            steps.to("superblock {pages are distrusted} is durable", 0, next);
        } else {
            self.host_steps(state, steps);
            self.page_steps(state, steps);
            self.superblock_steps(state, steps);
        }
        if state.losses_left == 0 {
            return;
        }
        for first in 0..3 {
            for second in 0..3 {
                let copies = [outcome(state, 0, first), outcome(state, 1, second)];
                // In a restore it would be refused.
                let unreadable = if state.read_errors_left > 0 && !state.restoring { 4 } else { 0 };
                (0..=unreadable).for_each(|unread| self.recover(state, copies, unread, steps));
            }
        }
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        let unharmed = state.read_errors_left == self.bounds.pick(1, READ_ERRORS, READ_ERRORS);
        let lost = state.copies.iter().all(|copy| !copy.valid) && unharmed;
        // With a restore active there would be no way back (R30).
        lost.then_some("R60: both copies of the page are lost")
    }

    fn may_rest(&self, state: &State) -> bool {
        !state.dirty && state.stages == [Stage::None; 2] && !state.distrusted
    }
}
