//! The tests that are to notice a rule that is left out, and how one of them is run.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For a process; a test that stands still may take more and more.
const MEMORY_KIB: u32 = 4 << 20;
/// The status of a test program if there is no such rule.
const NO_RULE: i32 = 64;

/// Tests of one program.
#[derive(Clone, Copy, Debug)]
pub struct Catcher<'a> {
    pub binary: &'a str,
    /// This test, or those whose names have this in them; empty: all.
    tests: &'a str,
    /// Lives of a random test.
    seeds: u32,
}

const fn all(binary: &str) -> Catcher<'_> {
    some(binary, "")
}

const fn some<'a>(binary: &'a str, tests: &'a str) -> Catcher<'a> {
    Catcher { binary, tests, seeds: 120 }
}

const fn lives<'a>(binary: &'a str, tests: &'a str, seeds: u32) -> Catcher<'a> {
    Catcher { binary, tests, seeds }
}

/// In the order in which they are asked: at most 1,000 random lives of each kind, power losses at every boundary of the chosen
/// scripts, faults in every call of every script, and then the tests of single rules.
pub const CATCHERS: [Catcher<'_>; 39] = [
    lives("simulation", "random_lives_without_faults", 1000),
    lives("simulation", "random_lives_with_faults", 1000),
    lives("simulation", "random_sets_of_groups", 1000),
    some("explorer", "power_lost_at_every_boundary"),
    lives("simulation", "random_lives_with_lasting_faults", 1000),
    lives("simulation", "random_lives_in_reverse", 1000),
    lives("simulation", "random_lives_with_damage", 400),
    lives("simulation", "random_lives_that_must_end", 400),
    lives("simulation", "random_copies_cut_short", 200),
    lives("simulation", "random_writes_under_pressure", 100),
    some("faults", "every_call_goes_wrong"),
    all("rules_hidden"),
    all("rules"),
    all("intents"),
    all("copy_shapes"),
    all("collisions"),
    all("maps_and_pages"),
    all("seams"),
    all("reverse"),
    all("maps_per_clone"),
    all("media_format"),
    all("tc_copy"),
    all("tc_errors"),
    all("tc_metadata"),
    all("failures"),
    all("states"),
    some("cancel", "rules"),
    all("knock_out_gaps"),
    all("regressions_n18"),
    all("crash"),
    all("sets"),
    all("reverse_crash"),
    some("c_programs", "results"),
    all("verify"),
    lives("cancel", "lives", 300),
    some("cancel", "boundaries"),
    some("c_programs", "early_callbacks"),
    all("tc_arithmetic"),
    all("many_clones"),
];

/// A test noticed.
#[derive(Clone, Debug)]
pub struct Found {
    pub binary: String,
    pub test: String,
    /// The life, script, power loss or fault, if it counts them, or that it stood still.
    pub after: String,
}

/// What stands in the table before what is replayed, and the variable that replays it.
const REPLAYS: [(&str, &str); 4] = [
    ("seed ", "CLONE_GROUP_SEED"),
    ("script ", "CLONE_GROUP_EXPLORE_SCRIPTS"),
    ("explore ", "CLONE_GROUP_EXPLORE"),
    ("fault ", "CLONE_GROUP_FAULT"),
];

impl Found {
    /// The variable that replays it, and its value.
    pub fn replay(&self) -> Option<(&'static str, &str)> {
        let of = |(mark, variable): (&str, &'static str)| Some((variable, self.after.strip_prefix(mark)?));
        REPLAYS.into_iter().find_map(of)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.rs, {}", self.binary, self.test)?;
        if self.after.is_empty() { Ok(()) } else { write!(to, ", {}", self.after) }
    }
}

impl Catcher<'_> {
    /// The one test that noticed before.
    pub fn of(found: &Found) -> Option<Catcher<'_>> {
        let known = CATCHERS.iter().any(|catcher| catcher.binary == found.binary);
        known.then_some(some(&found.binary, &found.test))
    }
}

/// The test programs, built with the switches.
pub struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Builds them.
    pub fn build() -> Programs {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.args(["test", "--no-run", "--profile=knock-outs", "--features=knock-outs"]);
        command.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
        for catcher in CATCHERS {
            command.args(["--test", catcher.binary]);
        }
        let built = command.output().expect("cargo runs");
        assert!(built.status.success(), "the test programs cannot be built");
        let text = String::from_utf8(built.stdout).expect("cargo writes UTF-8");
        let paths = text.lines().filter_map(executable).collect();
        Programs { paths }
    }

    /// Runs the tests with this rule left out, or none, until one fails. `None` if none does.
    pub fn run(
        &self,
        catcher: &Catcher<'_>,
        rule: &str,
        replay: Option<(&str, &str)>,
        timeout: Duration,
    ) -> Option<Found> {
        let path =
            self.paths.get(catcher.binary).unwrap_or_else(|| panic!("{} was not built", catcher.binary));
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -v {}; exec \"$@\"", MEMORY_KIB)).arg("sh").arg(path);
        command.args(["--test-threads=1", "--nocapture", catcher.tests]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("CLONE_GROUP_KNOCK_OUT", rule).env("RUST_BACKTRACE", "0");
        REPLAYS.iter().for_each(|(_, variable)| {
            command.env_remove(variable);
        });
        // Each image after one power loss, of the chosen scripts.
        command.env("CLONE_GROUP_EXPLORE_IMAGES", "1");
        match replay {
            Some((variable, value)) => command.env(variable, value),
            None => command.env("CLONE_GROUP_SEEDS", catcher.seeds.to_string()),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the test program runs");
        watch(child, timeout).map(|(test, after)| Found { binary: catcher.binary.to_owned(), test, after })
    }
}

/// Of a message of cargo: the name of a test and its program.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let field = |from: &str, name: &str| -> Option<String> {
        let rest = from.split(&format!("\"{name}\":\"")).nth(1)?;
        rest.split('"').next().map(str::to_owned)
    };
    let target = line.split("\"target\":").nth(1)?;
    Some((field(target, "name")?, field(target, "executable")?.into()))
}

/// Waits until a test fails, or all are over, or time is. Returns the name of the test that failed, and after what.
fn watch(mut child: Child, timeout: Duration) -> Option<(String, String)> {
    let ended = Arc::new(AtomicBool::new(false));
    let mut stderr = child.stderr.take().expect("piped");
    let said = thread::spawn(move || {
        let mut text = Vec::new();
        // What a test that stands still says is of no use.
        let _ = stderr.by_ref().take(1 << 24).read_to_end(&mut text);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        String::from_utf8_lossy(&text).into_owned()
    });
    let stdout = child.stdout.take().expect("piped");
    let failed = Arc::clone(&ended);
    let tests = thread::spawn(move || {
        let mut running = String::new();
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if let Some(test) = line.strip_prefix("test ") {
                running = test.split(" ...").next().unwrap_or_default().to_owned();
            }
            if line.ends_with("FAILED") && !line.starts_with("test result") {
                failed.store(true, Ordering::Release);
                break;
            }
        }
        running
    });
    let deadline = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if ended.load(Ordering::Acquire) || Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let running = tests.join().expect("no panic");
    let said = said.join().expect("no panic");
    match status {
        Some(status) if status.code() == Some(NO_RULE) => panic!("{said}"),
        Some(status) if status.success() => None,
        None if !ended.load(Ordering::Acquire) => Some((running, "stands still".to_owned())),
        _ => Some((running, after(&said))),
    }
}

/// Which life, script, power loss or fault it was.
fn after(said: &str) -> String {
    let quoted = |mark: &str| said.split_once(mark)?.1.split('"').next();
    if let Some(line) = quoted("CLONE_GROUP_EXPLORE=\"") {
        return format!("explore {line}");
    }
    if let Some(line) = quoted("CLONE_GROUP_FAULT=\"") {
        return format!("fault {line}");
    }
    if let Some((before, _)) = said.split_once(" fails without a power loss") {
        return format!("script {}", before.rsplit(['\n', ' ']).next().unwrap_or_default());
    }
    let number = |mark: &str| -> Option<String> {
        let digits = said.rsplit(mark).next().filter(|_| said.contains(mark))?;
        Some(digits.chars().take_while(char::is_ascii_digit).collect())
    };
    match (number("CLONE_GROUP_SEED="), number("power loss ")) {
        (Some(seed), _) => format!("seed {seed}"),
        (None, Some(image)) => format!("power loss {image}"),
        (None, None) => String::new(),
    }
}
