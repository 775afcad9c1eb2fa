//! Rules that may be left out, because another one sees to the same; with the reason.

/// Rules that nobody misses yet: a test is missing, or a reason. A run says so, and does not fail for them.
pub const OPEN: &[&str] = &[];

/// Name and reason.
pub const REDUNDANT: &[(&str, &str)] = &[
    (
        "R3Again",
        "while a page waits for flushes, D comes back by a write, which R47, R47Touch and R71Withdraw notice, by a Clone \
         that fails, which R52Intents notices, or by a Clone that comes, which counts as different anyway (R73)",
    ),
    (
        "R24Intents",
        "a flush that fails makes each mirrored Clone inherit the intents (N3, N4, R52Flush, N10), and then none is \
         cleared (R52Intents); what is spare beside fractured Clones only was flushed before",
    ),
    (
        "R25",
        "D is empty, so every copy is durable (R8); what hosts wrote since the start and may be lost is in P, and so in D",
    ),
    ("R36Copies", "an extent has D = 1 until its copy is over, and the end of a restore asks for an empty D"),
    (
        "R36Overwrites",
        "an extent that is being overwritten has D = 1 until that is over, and the end of a restore asks for an empty D",
    ),
    ("R38Forget", "the flush before the superblock, whether it worked or not, emptied the list (R24)"),
    (
        "R72Drain",
        "the pages that nobody waits for are written by the progress of copies, and before the end of a restore (R72Leave)",
    ),
    (
        "R52Extents",
        "a write goes out when its intents are durable (R1), and a Clone whose leg failed inherits them (N4)",
    ),
    (
        "R53Sweep",
        "what is spare was flushed, and is looked at again when it is cleared (R3Again); a Clone that comes counts as \
         different anyway (R73)",
    ),
    (
        "R54",
        "what came up differently while LUs were flushed is looked at again when the superblock is made (R54Leg), and while hosts are held for the end of a Reverse Synchronization nothing can (R48Last)",
    ),
    (
        "R54Copies",
        "an extent has D = 1 until its copy is over, and the end of a Synchronization asks for an empty D",
    ),
    (
        "R56",
        "a Clone with a bit in D is not Synchronized: whatever sets the bit changes the state with it (R51State, R52State)",
    ),
    (
        "R56Equal",
        "a Clone with a bit in D is not Synchronized: whatever sets the bit changes the state with it (R51State, R52State)",
    ),
    ("R71Failed", "an extent that passes has an intent (R1), which the Clone that fails inherits (N4)"),
    (
        "R72Leave",
        "the progress of copies has those pages written at the end (R72Progress), and the look behind the flush waits for them (R36Again)",
    ),
];
