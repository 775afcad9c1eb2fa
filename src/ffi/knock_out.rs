//! Which rule is left out, in the builds of `tools/knock-outs`: the environment says so.

use std::sync::Once;

/// Leaves out the rule that `CLONE_GROUP_KNOCK_OUT` names, if it is set. Once in a process. Ends the process if there is no
/// such rule, with a status that no test has: a failure would count as one that a test noticed.
pub(crate) fn select_from_environment() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let name = std::env::var("CLONE_GROUP_KNOCK_OUT").unwrap_or_default();
        if !name.is_empty() && !crate::knock_out::select(Some(&name)) {
            std::eprintln!("CLONE_GROUP_KNOCK_OUT={name}: there is no such rule in src/knock_out.rs");
            std::process::exit(64);
        }
    });
}
