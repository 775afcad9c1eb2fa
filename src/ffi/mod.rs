//! The C ABI, and the only unsafe code: it checks every argument, carves the workspace, and calls the
//! controller. No callback is called with the lock held.

#[cfg(feature = "bare-names")]
pub mod bare_names;
pub mod calls;
mod handle;
#[cfg(feature = "knock-outs")]
mod knock_out;
mod pump;
pub mod sets;
mod structs;
pub mod types;
mod workspace;
