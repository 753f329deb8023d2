//! Every operation on store and catalog × every fault, each tried whatever becomes of the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::faults::{Mode, Point};
use super::from_env;

/// Cases of one kind, each tried whatever becomes of the others.
pub struct Cases {
    of: &'static str,
    count: usize,
    harmed: Vec<String>,
}

impl Cases {
    pub fn new(of: &'static str) -> Self {
        Self {
            of,
            count: 0,
            harmed: Vec::new(),
        }
    }

    pub fn run(&mut self, case: &str, act: impl FnOnce()) {
        self.count += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref().map(|text: &&str| (*text).to_owned()))
                .unwrap_or_default();
            self.harmed.push(format!("{}: {case}:\n    {why}", self.of));
        }
    }

    /// Names all that came to harm.
    pub fn end(self) {
        let (of, count, harmed) = (self.of, self.count, self.harmed.len());
        println!("{of}: {count} faults, {harmed} came to harm");
        assert!(count > 0, "{of}: there was nothing to strike");
        assert!(
            harmed == 0,
            "{harmed} of {count} came to harm:\n{}",
            self.harmed.join("\n")
        );
    }
}

/// The ways to strike these operations: of one that writes every way, of one that only reads as many as
/// `COLDCHAIN_READ_FAULTS` says. A read leaves nothing behind, whether it fails, its answer is lost or the machine dies,
/// so one way each is enough in the suite, and the ways take turns.
pub fn strikes(points: &[Point]) -> Vec<(&Point, Mode)> {
    let of_read = usize::try_from(from_env("COLDCHAIN_READ_FAULTS", 1)).unwrap();
    let mut strikes = Vec::new();
    let mut reads = 0;
    for point in points {
        let mut modes = Mode::ALL;
        let mut count = modes.len();
        if point.is_read() {
            modes.rotate_left(reads % count);
            reads += 1;
            count = of_read.clamp(1, count);
        }
        strikes.extend(modes[..count].iter().map(|mode| (point, *mode)));
    }
    strikes
}

/// Strikes every operation in these ways.
pub fn enumerate(of: &'static str, points: &[Point], strike: impl Fn(&Point, Mode)) {
    let mut cases = Cases::new(of);
    for (point, mode) in strikes(points) {
        cases.run(&format!("{point}: {mode}"), || strike(point, mode));
    }
    cases.end();
}
