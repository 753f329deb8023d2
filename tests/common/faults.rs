//! Faults at will: one watch over every operation of a run's store and catalog, which strikes one.

use std::fmt;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use coldchain::catalog::{CatalogOperation, Cause, Watch};
use coldchain::store::{
    Deleted, ErrorKind, Finding, Layer, Listed, Locator, NewObject, Operation, Put, Readability,
    Stat, Store, StoreError, Swept, ThawAnswer, ThawRequest,
};

/// What becomes of the operation that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It fails, and is not done.
    Fails,
    /// It is done, and answered with an error.
    LosesItsAnswer,
    /// The machine dies before it is done.
    DiesBefore,
    /// It is done, and the machine dies before its answer comes.
    DiesAfter,
    /// The credentials may not do it.
    IsDenied,
    /// A delete: a lock keeps the object until [`LOCKED_UNTIL`].
    IsLocked,
}

impl Mode {
    pub const ALL: [Self; 4] = [
        Self::Fails,
        Self::LosesItsAnswer,
        Self::DiesBefore,
        Self::DiesAfter,
    ];

    fn is_done(self) -> bool {
        matches!(self, Self::LosesItsAnswer | Self::DiesAfter)
    }

    fn is_the_end(self) -> bool {
        matches!(self, Self::DiesBefore | Self::DiesAfter)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fails => "fails before it is done",
            Self::LosesItsAnswer => "is done but answered with an error",
            Self::DiesBefore => "is not done, because the machine dies before it",
            Self::DiesAfter => "is the last that the machine does",
            Self::IsDenied => "is denied",
            Self::IsLocked => "meets a lock",
        })
    }
}

/// One operation of a run. Some run beside each other, so that its number says less than its name
/// and how many of that name came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its number in the run that it was taken from, from 1.
    pub number: usize,
    pub name: String,
    /// Which of that name, from 1.
    pub which: usize,
}

/// How the names of operations begin that change nothing.
const READS: [&str; 7] = [
    "catalog: find ",
    "catalog: look ",
    "catalog: read ",
    "store: ask ",
    "store: list ",
    "store: look ",
    "store: read ",
];

impl Point {
    /// Whether it changes nothing, in the store or in the catalog.
    pub fn is_read(&self) -> bool {
        READS.iter().any(|read| self.name.starts_with(read))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {}, {}", self.number, self.name)?;
        match self.which {
            1 => Ok(()),
            which => write!(f, " (time {which})"),
        }
    }
}

/// Counts the operations of a run, and strikes one of them.
#[derive(Debug, Default)]
pub struct Faults {
    strike: Option<(Point, Mode)>,
    meanwhile: Option<Meanwhile>,
    rule: Option<Rule>,
    state: Mutex<State>,
}

type Ruling = dyn Fn(usize, &str) -> Option<Mode> + Send + Sync;

/// Says of each operation, by its number from 1 and its name, what becomes of it.
struct Rule(Box<Ruling>);

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rule")
    }
}

/// What happens elsewhere right before an operation.
struct Meanwhile {
    point: Point,
    act: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something happens before {}", self.point)
    }
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<String>,
    struck: bool,
    dead: bool,
    /// The catalog's operation in hand will be answered with an error.
    catalog_unanswered: bool,
}

/// How an operation goes on that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Comes,
    IsLost,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Struck(&'static str);

const DENIED: Struck = Struck("it was denied");
const LOCKED: Struck = Struck("it is locked");

/// When locks end.
pub const LOCKED_UNTIL: &str = "2099-01-01T00:00:00Z";

impl Faults {
    /// None: the operations are counted, no more.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// One.
    pub fn at(point: &Point, mode: Mode) -> Arc<Self> {
        Arc::new(Self {
            strike: Some((point.clone(), mode)),
            ..Self::default()
        })
    }

    /// None, but right before one operation something happens that this run has no part in.
    pub fn meanwhile(point: &Point, act: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            meanwhile: Some(Meanwhile {
                point: point.clone(),
                act: Box::new(act),
            }),
            ..Self::default()
        })
    }

    /// Whatever a rule says of each operation, by its number from 1 and its name.
    pub fn by_rule(
        rule: impl Fn(usize, &str) -> Option<Mode> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            rule: Some(Rule(Box::new(rule))),
            ..Self::default()
        })
    }

    /// Every operation so far.
    pub fn points(&self) -> Vec<Point> {
        let seen = &self.state.lock().unwrap().seen;
        let nth = |at: usize| seen[..=at].iter().filter(|name| **name == seen[at]).count();
        (0..seen.len())
            .map(|at| Point {
                number: at + 1,
                name: seen[at].clone(),
                which: nth(at),
            })
            .collect()
    }

    /// Whether the operation came that was to be struck, or before which something was to happen.
    pub fn has_struck(&self) -> bool {
        self.state.lock().unwrap().struck
    }

    fn before(&self, name: String) -> Result<Answer, Struck> {
        let mut state = self.state.lock().unwrap();
        if state.dead {
            return Err(Struck("this machine is dead"));
        }
        state.seen.push(name);
        let name = state.seen.last();
        let which = state.seen.iter().filter(|seen| Some(*seen) == name).count();
        let is_here = |point: &Point| (name, which) == (Some(&point.name), point.which);
        let meanwhile = self.meanwhile.as_ref().filter(|it| is_here(&it.point));
        let strike = self.strike.as_ref().filter(|(point, _)| is_here(point));
        if let Some(meanwhile) = meanwhile {
            (meanwhile.act)();
            state.struck = true;
        }
        let rule = self.rule.as_ref();
        let ruled = rule.and_then(|Rule(rule)| rule(state.seen.len(), state.seen.last()?));
        let Some(mode) = strike.map(|(_, mode)| *mode).or(ruled) else {
            return Ok(Answer::Comes);
        };
        state.struck = true;
        state.dead = mode.is_the_end();
        if mode.is_done() {
            Ok(Answer::IsLost)
        } else if mode == Mode::IsDenied {
            Err(DENIED)
        } else if mode == Mode::IsLocked {
            Err(LOCKED)
        } else {
            Err(Struck("it was struck"))
        }
    }
}

impl Watch for Faults {
    fn before(&self, operation: CatalogOperation) -> Result<(), Cause> {
        let answer = self.before(format!("catalog: {}", operation.doing))?;
        self.state.lock().unwrap().catalog_unanswered = answer == Answer::IsLost;
        Ok(())
    }

    fn after(&self, _: CatalogOperation) -> Result<(), Cause> {
        if self.state.lock().unwrap().catalog_unanswered {
            return Err(Struck("its answer was lost").into());
        }
        Ok(())
    }
}

/// Any store, with each operation under a watch.
pub struct FaultyStore<S> {
    inner: S,
    faults: Arc<Faults>,
}

impl<S: Store> FaultyStore<S> {
    pub fn new(inner: S, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    fn watched<T>(
        &self,
        operation: Operation,
        key: &str,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let failed = |why: Struck| StoreError {
            kind: if why.0 == DENIED.0 {
                ErrorKind::Denied
            } else {
                ErrorKind::Unavailable
            },
            operation,
            key: key.to_owned(),
            url: self.inner.url(),
            source: Some(why.into()),
            advice: None,
        };
        let name = format!("store: {operation} {}", without_chance(key));
        let answer = self.faults.before(name).map_err(failed)?;
        let done = act();
        match answer {
            Answer::Comes => done,
            Answer::IsLost => Err(failed(Struck("its answer was lost"))),
        }
    }
}

/// The key with a star for every 16 hex digits: the ids and digests that each run has its own.
pub fn without_chance(key: &str) -> String {
    let pieces = key.split_inclusive(['-', '/', '.']);
    pieces
        .map(|piece| {
            let word = piece.trim_end_matches(['-', '/', '.']);
            let is_chance = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_chance {
                piece.replace(word, "*")
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

impl<S: Store> Layer for FaultyStore<S> {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.watched(Operation::Clock, "", || self.inner.guessed_now())
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        let put = || self.inner.put_if_absent(object);
        self.watched(Operation::Put, object.key, put)
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let get = || self.inner.get(locator, max_bytes);
        self.watched(Operation::Get, &locator.to_string(), get)
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let get = || self.inner.get_range(locator, offset, len);
        self.watched(Operation::Get, &locator.to_string(), get)
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        let stat = || self.inner.stat(locator);
        self.watched(Operation::Stat, &locator.to_string(), stat)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.watched(Operation::List, prefix, || self.inner.list(prefix))
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        let delete = || self.inner.delete(locator);
        let deleted = self.watched(Operation::Delete, &locator.to_string(), delete);
        let is_locked = |error: &StoreError| {
            let why = error.source.as_ref().map(ToString::to_string);
            why.as_deref() == Some(LOCKED.0)
        };
        match deleted {
            Err(error) if is_locked(&error) => Ok(Deleted::Retained {
                until: LOCKED_UNTIL.parse().expect("it is a moment"),
            }),
            deleted => deleted,
        }
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        let ask = || self.inner.readability(locator);
        self.watched(Operation::Stat, &locator.to_string(), ask)
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        let thaw = || self.inner.thaw(locator, request);
        self.watched(Operation::Thaw, &locator.to_string(), thaw)
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.watched(Operation::Clock, "", || self.inner.now())
    }

    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError> {
        let sweep = || self.inner.sweep(prefix);
        self.watched(Operation::Delete, prefix, sweep)
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        self.watched(Operation::Examine, "", || self.inner.examine())
    }
}
