//! Every operation on store and catalog × every fault, each tried whatever becomes of the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::faults::{Mode, Point};

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

/// Strikes every operation in every way.
pub fn enumerate(of: &'static str, points: &[Point], strike: impl Fn(&Point, Mode)) {
    let mut cases = Cases::new(of);
    for point in points {
        for mode in Mode::ALL {
            cases.run(&format!("{point}: {mode}"), || strike(point, mode));
        }
    }
    cases.end();
}
