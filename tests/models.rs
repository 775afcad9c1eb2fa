//! Goal: the protocol itself, without the library, in every order of its steps: explicit-state models of what R1-R78
//! decide. With all rules each model is safe in every reachable state; without any one of them it is not, and the
//! shortest trace that shows it can be printed. `tests/models/README.md` tells what each model covers.
//!
//! `cargo test --release --test models -- --nocapture` prints the table, `CLONE_GROUP_TRACE=1` every trace,
//! `CLONE_GROUP_MODEL=large` takes larger bounds.

#[path = "models/checker.rs"]
mod checker;
#[path = "models/gate.rs"]
mod gate;
#[path = "models/intents.rs"]
mod intents;
#[path = "models/leaving.rs"]
mod leaving;
#[path = "models/medium.rs"]
mod medium;
#[path = "models/pages.rs"]
mod pages;
#[path = "models/restore.rs"]
mod restore;
#[path = "models/reverse.rs"]
mod reverse;
#[path = "models/superblock.rs"]
mod superblock;
#[path = "models/synchronize.rs"]
mod synchronize;

/// Protected Restore: R1-R9, R10-R13, R16-R18, R20, R24, R25, R34-R36, R57.
#[test]
fn model_of_a_restore() {
    checker::prove::<restore::Restore>();
}

/// Reverse Synchronization: R22, R40-R48, R50, R51, R58, N10.
#[test]
fn model_of_a_reverse_synchronization() {
    checker::prove::<reverse::Reverse>();
}

/// Synchronization, mirroring, Fracture: R1, R40-R44, R47, R49, R52-R58, R73, N1, N3, N4, N7, N9.
#[test]
fn model_of_a_synchronization() {
    checker::prove::<synchronize::Synchronize>();
}

/// The slots of the superblock: R26, R30, R31, R33, N5.
#[test]
fn model_of_the_superblock() {
    checker::prove::<superblock::Superblock>();
}

/// The copies of a page: R1, R26-R28, R30, R33, N6, N18, N19.
#[test]
fn model_of_a_page() {
    checker::prove::<pages::Pages>();
}

/// The ways out of a restore: R2, R4, R8, R9, R36, R38, R53, R72, R75, N11, N12, N16, N17.
#[test]
fn model_of_leaving_a_restore() {
    checker::prove::<leaving::LeaveRestore>();
}

/// The path without the lock, and drains that are cancelled: R71, R76.
#[test]
fn model_of_the_gate() {
    checker::prove::<gate::Gate>();
}

/// Write intents: R1, R3, R20, R33, R47, R78.
#[test]
fn model_of_write_intents() {
    checker::prove::<intents::Intents>();
}
