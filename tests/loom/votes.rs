//! The word that the members of a set share (`src/set.rs`, R77).

use clone_group::{Ballot, Votes};
use loom::sync::Arc;
use loom::thread;

use super::explore::every_order;

/// Goal: either all have voted or one has failed, and nobody ever sees the one after the other.
#[test]
fn committed_and_failed_exclude_each_other() {
    every_order("committed and failed exclude each other", || {
        let votes = Arc::new(Votes::default());
        assert!(votes.begin(2));
        assert!(!votes.begin(2), "used by another call");
        votes.run();
        let (one, two) = (Arc::clone(&votes), Arc::clone(&votes));
        let one = thread::spawn(move || {
            one.vote();
            (one.ballot(), one.ballot())
        });
        let two = thread::spawn(move || {
            two.vote();
            two.ballot()
        });
        // This one votes for nobody: its device fails.
        let failed = votes.fail();
        let after = votes.ballot();
        let ((first, second), third) = (one.join().unwrap(), two.join().unwrap());
        let end = votes.ballot();
        assert!(matches!(end, Ballot::Committed | Ballot::Failed));
        assert_eq!(failed, end == Ballot::Failed, "who fails knows what becomes of the set");
        assert_eq!(after, end);
        for seen in [first, second, third] {
            assert!(seen == end || seen == Ballot::Open, "{seen:?} before {end:?}");
        }
        assert!(first == Ballot::Open || first == second, "{first:?}, then {second:?}");
    });
}

/// Goal: the members see what the call wrote before it let them run, and a set is asked for once.
#[test]
fn a_set_is_begun_once() {
    every_order("a set is begun once", || {
        let votes = Arc::new(Votes::default());
        let (one, two) = (Arc::clone(&votes), Arc::clone(&votes));
        let begin = |votes: Arc<Votes>| {
            let begun = votes.begin(1);
            if begun {
                votes.run();
            }
            begun
        };
        let one = thread::spawn(move || begin(one));
        let two = thread::spawn(move || begin(two));
        // Votes count only while the set is open.
        votes.vote();
        assert_ne!(one.join().unwrap(), two.join().unwrap());
        assert!(matches!(votes.ballot(), Ballot::Open | Ballot::Committed));
        votes.vote();
        assert_eq!(votes.ballot(), Ballot::Committed);
    });
}
