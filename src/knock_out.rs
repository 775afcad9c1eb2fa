#![forbid(unsafe_code)]
//! Knock-outs: do the tests notice if a rule is left out? Each decision of the library asks here whether its rule is
//! kept: `kept!(R5)`. The answer is a constant, and no code, but in the builds of `tools/knock-outs` (feature
//! `knock-outs`): there one rule at a time is left out, and some test must fail. `tests/knock-outs.md` says which.
//!
//! The name of a rule begins with its number in the protocol, and one place asks for it.

use crate::change::Change;

/// Every rule is kept.
#[cfg(not(feature = "knock-outs"))]
pub(crate) const KEPT: bool = true;

/// Whether the library keeps the rule.
#[cfg(not(feature = "knock-outs"))]
macro_rules! kept {
    ($rule:ident) => {
        crate::knock_out::KEPT
    };
}

/// Whether the library keeps the rule.
#[cfg(feature = "knock-outs")]
macro_rules! kept {
    ($rule:ident) => {
        crate::knock_out::is_kept(crate::knock_out::Rule::$rule)
    };
}

pub(crate) use kept;

impl Change {
    /// Whether hosts are held and everything under way finishes before this change, if it is one that asks for it.
    pub(crate) fn is_drained(self) -> bool {
        match self {
            Change::AddClone(_) => kept!(R53Add),
            Change::RemoveClone(_) => kept!(R53Remove),
            Change::Synchronize(_) => kept!(R53Synchronize),
            Change::Fracture(_) => kept!(R55Drain),
            Change::Abandon(_) => kept!(R56Drain),
            Change::StartRestore(_) => kept!(R34Drain),
            Change::StartReverse(_) => kept!(R34DrainReverse),
            Change::FinishReverse(_) => kept!(R48Drain),
            Change::CancelReverse(_) => kept!(R38DrainReverse),
            Change::Retarget(..) => kept!(R38DrainRetarget),
            _ => kept!(R38Drain),
        }
    }
}

#[cfg(feature = "knock-outs")]
pub use selection::{Rule, is_kept, rules, select};

#[cfg(feature = "knock-outs")]
mod selection {
    use core::sync::atomic::{AtomicU32, Ordering};

    const NONE: u32 = u32::MAX;
    static LEFT_OUT: AtomicU32 = AtomicU32::new(NONE);

    macro_rules! rules {
        ($(#[doc = $what:literal] $rule:ident,)+) => {
            /// A rule that is a decision of the library, and what happens without it.
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub enum Rule {
                $(#[doc = $what] $rule,)+
            }

            const RULES: &[(Rule, &str, &str)] = &[$((Rule::$rule, stringify!($rule), $what),)+];
        };
    }

    /// Whether the library keeps the rule.
    #[inline(always)]
    pub fn is_kept(rule: Rule) -> bool {
        LEFT_OUT.load(Ordering::Relaxed) != rule as u32
    }

    /// From now on this rule is left out, or none. `false` if there is no such rule.
    pub fn select(name: Option<&str>) -> bool {
        let rule = name.map(|name| RULES.iter().find(|rule| rule.1 == name));
        let left_out = match rule {
            None => NONE,
            Some(Some(&(rule, ..))) => rule as u32,
            Some(None) => return false,
        };
        LEFT_OUT.store(left_out, Ordering::Relaxed);
        true
    }

    /// Every rule: its name, and what happens without it.
    pub fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
        RULES.iter().map(|&(_, name, what)| (name, what.trim()))
    }

    rules! {
        /// a mismatch that is marked is forgotten with the power
        R1Mismatch,
        /// a host write sets no bit of G
        R1Set,
        /// a write does not wait for the pages with its bits
        R1Wait,
        /// other Clones do not learn what a copy onto the Source changes
        R2,
        /// Clones stay mirrored while a copy onto the Source goes on
        R2Fracture,
        /// a bit of G is cleared that a Delta Map or P still needs
        R3,
        /// a bit of G is cleared though D came back meanwhile
        R3Again,
        /// a close does not wait for its flushes
        R3Close,
        /// a bit of G is cleared without a flush
        R3Flush,
        /// the column of the Clone that is restored from lacks P
        R4,
        /// P is set over a copy that may still be in a cache
        R5,
        /// a write in a restore does not set P
        R6,
        /// an extent passes that was copied while the page was written, without P
        R6Pass,
        /// Recovery leaves what hosts wrote in the Delta Map of the Clone that is restored from
        R7,
        /// D goes to 0 before the copy is durable
        R8,
        /// a restore begins with the generation of the one before
        R9,
        /// P of another restore counts
        R9Load,
        /// an extent of the Source is copied twice at once
        R10,
        /// an extent of a mirrored Clone is copied twice at once
        R10Mirror,
        /// a write goes out beside a copy of the same extent
        R13,
        /// a write to a part of an extent does not wait for its copy
        R13Part,
        /// a write overtakes an older one to the same extent
        R14,
        /// a copy counts after its first piece
        R15,
        /// a read goes to the Source, whatever has to be copied yet
        R16Need,
        /// an extent is copied while a host write replaces all of it
        R17Copies,
        /// a whole extent is overwritten in the cache only
        R17Fua,
        /// P is durable before a whole extent is overwritten
        R17Order,
        /// an overwrite is over before P is durable
        R17Page,
        /// a read of a whole extent that is being overwritten goes to the Source or the Clone at once
        R17Readers,
        /// a write does not wait for an overwrite of the same extent
        R17Writers,
        /// P stays when an overwrite failed
        R18,
        /// a flush counts for copies that completed while it was under way
        R20,
        /// a flush counts for whoever asked for one while it was under way
        R20Ticket,
        /// a copy that is to be durable is written without FUA
        R21,
        /// a host flush does nothing
        R22Flush,
        /// a host flush does not wait for the LUs whose content does not count
        R22Wait,
        /// FUA of a host is ignored
        R23,
        /// the library acknowledges a write before it is durable, with hosts that count on it
        R23Durable,
        /// a failed flush is made good by one that works
        R24Again,
        /// a close clears intents after a flush that failed
        R24Close,
        /// a change is written down though a flush before it failed
        R24Commit,
        /// copies count that a failed flush may have lost
        R24Copies,
        /// the end of a restore is tried again and again though its flush fails
        R24End,
        /// intents are cleared after a flush that failed
        R24Intents,
        /// a host does not hear of a flush of the library that failed
        R24Owed,
        /// a read counts that may have met what a failed flush lost
        R24Reads,
        /// copies that a failed flush lost are made again and again
        R24Stall,
        /// who asked for a flush while one was failing does not hear of it
        R24Wanted,
        /// a restore ends without a flush of the Source
        R25,
        /// a map page counts before it is flushed
        R26,
        /// two writes of one page are under way
        R27,
        /// who waits for a bit does not wait for the write of its page that is under way
        R27Flight,
        /// who waits for a bit goes on with a write of its page that began before
        R27Version,
        /// a superblock counts though its checksum is wrong
        R29,
        /// a map page counts though its checksum is wrong
        R29Page,
        /// a page of a restore that the superblock does not know of counts
        R30Generation,
        /// the older copy of a page counts
        R30Newest,
        /// a page that is lost reads as equal
        R30Ones,
        /// a page is written over its newest copy
        R30Target,
        /// a page counts though its other copy, perhaps newer, cannot be read
        R30Unreadable,
        /// a change counts before its superblock is flushed
        R31Flush,
        /// the older superblock counts
        R31Newest,
        /// the other slot is not brought up to date
        R31Second,
        /// a superblock is written over the newest one
        R31Slot,
        /// a superblock of another geometry counts
        R32,
        /// a metadata write that failed changes nothing
        R33Failed,
        /// a map page counts as written though its write failed
        R33Page,
        /// a write waits for a page that will not be written before the metadata is repaired
        R33Refuse,
        /// a repair writes the superblock only
        R33Repair,
        /// map pages are written though an earlier write failed
        R33Stop,
        /// the result of a superblock write that failed counts as known
        R33Superblock,
        /// hosts write though nobody knows what the superblock says
        R33Unknown,
        /// hosts are not held when a restore begins
        R34Drain,
        /// hosts are not held when a Reverse Synchronization begins
        R34DrainReverse,
        /// a copy onto the Source begins without a flush of the Clone
        R34Flush,
        /// a copy onto the Source begins without a flush of the Clones that are fractured with it
        R34Mirrors,
        /// hosts write the Clone that is restored from
        R35,
        /// P does not become D at the end of a restore
        R36,
        /// a restore ends though a host write came during the flush before it
        R36Again,
        /// a restore ends beside a copy
        R36Copies,
        /// a restore ends while a whole extent is being overwritten
        R36Overwrites,
        /// a restore ends while map pages are dirty
        R36Pages,
        /// P stays when a restore is left
        R38Clear,
        /// hosts are not held when a restore is canceled
        R38Drain,
        /// hosts are not held for a re-target
        R38DrainRetarget,
        /// hosts are not held when a Reverse Synchronization is canceled
        R38DrainReverse,
        /// a restore is canceled without a flush of the Source
        R38Flush,
        /// a Reverse Synchronization is canceled without a flush of the Clone
        R38FlushReverse,
        /// copies that were not flushed are remembered when a restore is left
        R38Forget,
        /// a re-target goes on with the generation of the restore that it leaves
        R38Generation,
        /// a restore that is canceled leaves the Source valid
        R38Invalid,
        /// a Reverse Synchronization that is canceled leaves the Source valid
        R38InvalidReverse,
        /// what hosts changed in a restore is not noted when that is left
        R38Maps,
        /// copies go on though they are paused
        R38Pause,
        /// a restore is re-targeted without a flush of the new Clone
        R38Retarget,
        /// a restore is re-targeted without a flush of the Source
        R38RetargetSource,
        /// hosts are served the mixture that a cancel leaves
        R38Serve,
        /// the mixture that a cancel leaves is copied to a Clone
        R38Synchronize,
        /// other copies begin beside one onto the Source
        R39,
        /// in a Reverse Synchronization hosts read the Source
        R41,
        /// a mirrored write is acknowledged after its first leg
        R42,
        /// overlapping mirrored writes are under way together
        R43,
        /// a copy does not collide with writes that are under way when it begins
        R44Begin,
        /// Verify does not collide with host writes to the Clone
        R44Clone,
        /// a copy does not collide with writes that begin after it
        R44Later,
        /// Verify compares what is to be copied, or what hosts wrote in a restore
        R44Verify,
        /// D goes to 0 though the copy met a host write
        R45,
        /// copies that meet host writes are made again without end
        R46,
        /// a copy that holds host writes does not wait for those under way
        R46Drain,
        /// a copy that holds host writes does not
        R46Hold,
        /// an intent is cleared beside a write to its extent
        R47,
        /// what a Synchronization copied has no intent before it is flushed
        R47Copies,
        /// an intent is cleared after a flush of the Source only
        R47Mirrors,
        /// an intent is cleared though a write came while its page waited for flushes
        R47Touch,
        /// a Reverse Synchronization ends without a flush of the Clone
        R48Clone,
        /// hosts are not held when a Reverse Synchronization ends
        R48Drain,
        /// a Reverse Synchronization ends with extents left that writes under way marked again
        R48Last,
        /// a Reverse Synchronization ends without a flush of the Source
        R48Source,
        /// a leg is left out beside a copy
        R49,
        /// a mirrored write that failed may have landed on one LU only, and nobody notes that
        R50Both,
        /// a leg to the Source fails in a Reverse Synchronization, and nobody notes that
        R50Source,
        /// a payload that is not stable counts as one
        R51,
        /// a Clone stays Synchronized though an extent may differ
        R51State,
        /// the extents of a failed leg do not count as different
        R52Extents,
        /// a mirrored Clone is trusted after a flush of it failed
        R52Flush,
        /// what a Clone inherits is not noted when it is synchronized again
        R52Inherit,
        /// intents are cleared that a Clone that failed is yet to inherit
        R52Intents,
        /// a host write does not go to mirrored Clones
        R52Leg,
        /// a Clone stays mirrored after a leg to it failed
        R52State,
        /// hosts are not held when a Clone comes
        R53Add,
        /// a drain does not wait for copies under way
        R53Copies,
        /// a request goes on while the gate is closed
        R53Gate,
        /// a drain does not wait for host I/O under way
        R53Hosts,
        /// a drain does not wait for map pages
        R53Pages,
        /// hosts are not held when a Clone goes
        R53Remove,
        /// a drain does not wait for intents that are being cleared
        R53Sweep,
        /// hosts are not held when a Synchronization begins
        R53Synchronize,
        /// a Clone is Synchronized though its Delta Map has a bit again
        R54,
        /// a Clone is Synchronized beside a copy onto it
        R54Copies,
        /// a Clone is Synchronized without a flush of it
        R54Flush,
        /// a Clone is Synchronized though a leg to it failed while that was written down
        R54Leg,
        /// a restore begins from a Clone that is no point in time
        R54Start,
        /// hosts are not held for a Fracture
        R55Drain,
        /// a Clone is fractured without a flush of it
        R55Flush,
        /// a Clone that may differ is fractured as a point in time
        R56,
        /// a change is written down that the drain made wrong
        R56Again,
        /// hosts are not held when a Synchronization is canceled
        R56Drain,
        /// a Synchronized Clone that may differ is fractured as a point in time with a copy onto the Source
        R56Equal,
        /// a host write is not noted in the Delta Maps of fractured Clones
        R56Tracked,
        /// Recovery does not load the Delta Maps
        R57,
        /// a Synchronized Clone that may differ comes up Synchronized
        R58,
        /// a page of P is lost, and its extents count as not written by hosts
        R60,
        /// a restore that is given up leaves the Source valid
        R60Invalid,
        /// a copy counts though its read failed
        R61,
        /// a restore does not end though hosts healed what could not be copied
        R61Heal,
        /// a read of what cannot be copied fails, though the Clone has it
        R61Redirect,
        /// a run that fails is not copied extent by extent
        R61Singly,
        /// what cannot be copied is tried again and again
        R61Stall,
        /// a copy counts though its write failed
        R62,
        /// a failed host write is reported as done
        R63,
        /// a close does not wait for requests under way
        R64Close,
        /// mirrored legs are discarded though their LUs declare no zeroes
        R65Mirrored,
        /// a discard reaches what has to be copied yet
        R65Need,
        /// a completion with an old id counts
        R67,
        /// background copies take the last copy slot
        R69,
        /// copies on demand wait behind background copies
        R69Urgent,
        /// extents go on passing after the states of Clones changed
        R71Epoch,
        /// extents go on passing after a mirrored Clone failed
        R71Failed,
        /// an extent passes while it is being overwritten
        R71Overwrite,
        /// bits that were set in an older state epoch let a write pass
        R71Pages,
        /// an extent passes though its intent is being cleared
        R71Withdraw,
        /// copies onto the Source go on though much of what they did is not written down
        R72Bound,
        /// the pages of other Clones are not written when a copy onto the Source changed what they say
        R72Copies,
        /// a drain does not wait for pages that nobody waits for
        R72Drain,
        /// the pages of what a Clone inherits are not written
        R72Inherit,
        /// the column of a mirrored Clone lacks the intents
        R72Intents,
        /// a write does not wait for a change of its page that nobody waited for
        R72Later,
        /// a restore ends while pages of other Clones are not written
        R72Leave,
        /// Recovery does not mark the pages of other Clones that lack what is copied onto the Source
        R72Load,
        /// pages that nobody waits for are not written while copies go on
        R72Progress,
        /// Recovery does not add what is copied onto the Source to the Delta Maps of other Clones
        R72Union,
        /// Recovery does not add what a Clone that was never synchronized lacks
        R73,
        /// a Clone that comes counts as equal
        R73Add,
        /// what hosts wrote in a first Synchronization is copied after everything else
        R73Behind,
        /// a first Synchronization does not write down how far it got
        R73Below,
        /// a Clone that comes is not marked as one that was never synchronized
        R73Full,
        /// a Clone that was never synchronized does not inherit what was not written down as flushed
        R73Inherit,
        /// a format goes over a valid group
        R74Exists,
        /// a format writes pages before the old superblocks are surely gone
        R74Flush,
        /// a format writes the superblock before the pages are surely there
        R74Pages,
        /// sequence numbers begin anew with a format
        R74Sequence,
        /// a restore ends beside a read that was sent to the Clone
        R75,
        /// an operation is aborted while its superblock is written
        R76Commit,
        /// a Reverse Synchronization that is paused holds hosts for its end
        R76Paused,
        /// hosts take the I/O slots of engines and metadata
        R76Slots,
        /// a change that nobody asked for does not give way
        R76Way,
        /// a group that is prepared copies
        R77Copies,
        /// a set that is decided changes when another member fails
        R77Decided,
        /// a member of a set that cannot write down its change is not prepared any more
        R77Failed,
        /// a member of a set changes without saying that it is prepared
        R77Prepare,
        /// a group that is prepared serves hosts
        R77Serve,
        /// intents of a Clone that is prepared to be fractured count as differences
        R77Stale,
        /// a group that is prepared takes other operations
        R77Unresolved,
        /// a set is committed when one member has voted
        R77Votes,
        /// write intents are not bounded
        R78,
        /// a sweep of intents goes along with copies
        R78Along,
        /// a smaller write takes the intents that an older one waits for
        R78Order,
        /// another LU may stand behind a Clone
        R79Clone,
        /// a superblock with unknown features counts
        R79Features,
        /// another LU may stand behind the Source
        R79Source,
        /// a positive status of an I/O reaches the host, and no event tells of it
        R81,
        /// a group is destroyed while the controller may still touch its memory
        R82,
        /// a Clone is Synchronized without a flush of the Source
        N1,
        /// a copy onto the Source begins without a flush of the Source
        N2,
        /// mirrored Clones are trusted after the Source lost what they may have
        N3,
        /// a mirrored Clone that fails does not inherit the intents
        N4,
        /// a Clone whose Synchronization was cut short does not inherit the intents
        N4Short,
        /// Recovery does not bring a stale slot up to date
        N5,
        /// a page that could not be read is not written again
        N6,
        /// a Clone is fractured without a flush of the Source
        N7,
        /// in a restore a copy counts that a failed flush may have lost while it was under way
        N8Copies,
        /// a map page counts that a failed flush may have lost while it was under way
        N8Pages,
        /// a superblock counts that a failed flush may have lost while it was under way
        N8Superblock,
        /// a host write counts that a failed flush may have lost while it was under way
        N8Writes,
        /// an intent counts for a Clone though it was set before that was mirrored
        N9,
        /// a flush of a Reverse Synchronization fails, and the intents do not count as differences
        N10,
        /// in a Reverse Synchronization a copy counts that a failed flush may have lost, or that may have read what one lost
        N10Copies,
        /// a Reverse Synchronization is left without what a failed flush may have lost
        N10Drain,
        /// a Reverse Synchronization is canceled without a flush of the Source
        N10Flush,
        /// a copy counts that may have read what a failed flush lost
        N10From,
        /// a mixture is accepted without a flush of the Source
        N11,
        /// what is equal is not written after a flush failed
        N13,
        /// Verify does not collide with copies
        N14,
        /// a restore that is given up is forgotten by other Clones
        N16,
        /// copies change the Source though nobody knows what the superblock says
        N17,
        /// a page that was lost is written again, and no superblock says so
        N18,
        /// a page that is loaded again counts as distrusted, whatever is found
        N18Again,
        /// a page that was lost is written again before the superblock says so
        N18Before,
        /// a page of which one copy is damaged counts though pages are distrusted
        N18Heed,
        /// pages stay distrusted when the last one that was lost is durable
        N18Last,
        /// Recovery leaves it that pages are distrusted though none is lost
        N18Left,
        /// a page that is lost twice goes on with the same sequence number
        N19,
    }
}
