#![forbid(unsafe_code)]
//! Knock-outs: do the tests notice if a rule is left out? Each decision of the library asks here whether its rule is
//! kept. The answer is a constant, and no code, but in the builds of `tools/knock-outs` (feature `knock-outs`): there
//! one rule at a time is left out, and some test must fail. What each comes to stands in `tests/knock-outs.md`.
//!
//! Begin the name of a rule with its number in the protocol, and ask in one place only.

macro_rules! rules {
    ($(#[doc = $what:literal] $rule:ident,)+) => {
        /// A rule that is a decision of the library, and what happens without it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Rule {
            $(#[doc = $what] $rule,)+
        }

        #[cfg(feature = "knock-outs")]
        const RULES: &[(Rule, &str, &str)] = &[$((Rule::$rule, stringify!($rule), $what),)+];
    };
}

rules! {
    /// a host write sets no bit of G
    R1Set,
    /// a write does not wait for the pages with its bits
    R1Wait,
    /// P is set over a copy that may still be in a cache
    R5,
    /// a write in a restore does not set P
    R6,
    /// an extent passes that was copied while the page was written, without P
    R6Pass,
    /// a write goes out beside a copy of the same extent
    R13,
    /// a write to a part of an extent does not wait for its copy
    R13Part,
    /// a write overtakes an older one to the same extent
    R14,
    /// a read goes to the Source, whatever has to be copied yet
    R16Need,
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
    /// a host flush does nothing
    R22Flush,
    /// a host flush does not wait for the LUs whose content does not count
    R22Wait,
    /// FUA of a host is ignored
    R23,
    /// the library acknowledges a write before it is durable, with hosts that count on it
    R23Durable,
    /// a write waits for a page that will not be written before the metadata is repaired
    R33Refuse,
    /// hosts write though nobody knows what the superblock says
    R33Unknown,
    /// hosts write the Clone that is restored from
    R35,
    /// hosts are served the mixture that a cancel leaves
    R38Serve,
    /// a mirrored write is acknowledged after its first leg
    R42,
    /// overlapping mirrored writes are under way together
    R43,
    /// a copy that holds host writes does not
    R46Hold,
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
    /// a host write does not go to mirrored Clones
    R52Leg,
    /// a Clone stays mirrored after a leg to it failed
    R52State,
    /// a request goes on while the gate is closed
    R53Gate,
    /// a host write is not noted in the Delta Maps of fractured Clones
    R56Tracked,
    /// a failed host write is reported as done
    R63,
    /// mirrored legs are discarded though their LUs declare no zeroes
    R65Mirrored,
    /// a discard reaches what has to be copied yet
    R65Need,
    /// an extent passes while it is being overwritten
    R71Overwrite,
    /// bits that were set in an older state epoch let a write pass
    R71Pages,
    /// a write does not wait for a change of its page that nobody waited for
    R72Later,
    /// hosts take the I/O slots of engines and metadata
    R76Slots,
    /// a group that is prepared serves hosts
    R77Serve,
    /// write intents are not bounded
    R78,
    /// a mirrored Clone that fails does not inherit the intents
    N4,
    /// an intent counts for a Clone though it was set before that was mirrored
    N9,
}

/// Whether the library keeps the rule.
#[cfg(not(feature = "knock-outs"))]
#[inline(always)]
pub const fn kept(_: Rule) -> bool {
    true
}

#[cfg(feature = "knock-outs")]
pub use selection::{kept, rules, select};

#[cfg(feature = "knock-outs")]
mod selection {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::{RULES, Rule};

    const NONE: u32 = u32::MAX;
    static LEFT_OUT: AtomicU32 = AtomicU32::new(NONE);

    /// Whether the library keeps the rule.
    #[inline(always)]
    pub fn kept(rule: Rule) -> bool {
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
}
