//! Tests of the records: random histories of runs against a plain model, and the file.

use chrono::{TimeDelta, Utc};

use super::*;

const COMMANDS: [&str; 2] = ["backup", "verify"];
const SOURCES: [&str; 3] = ["home", "www", "fed"];

fn source(at: usize) -> SourceName {
    SOURCES[at].parse().unwrap()
}

fn end(code: u8) -> RunEnd {
    RunEnd {
        exit_code: Some(code),
        result: if code == 0 { "archived" } else { "failed" }.to_owned(),
        error: (code != 0).then(|| format!("error {code}")),
        seconds: 1,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

/// One run of the model.
struct ModelRun {
    id: String,
    command: usize,
    asked: Option<usize>,
    covers: Option<Vec<usize>>,
    done: Vec<usize>,
    process: RunningProcess,
}

/// What came of each command and source last: the exit code, `None` if it was killed.
#[derive(Default)]
struct Model {
    running: Vec<ModelRun>,
    last: std::collections::BTreeMap<(usize, usize), Option<u8>>,
}

impl Model {
    fn ended(&mut self, run: &ModelRun, code: Option<u8>) {
        if code == Some(0) {
            return;
        }
        let all: Vec<usize> = (0..SOURCES.len()).collect();
        let of_run = run
            .covers
            .clone()
            .unwrap_or_else(|| run.asked.map_or(all, |it| vec![it]));
        for source in of_run {
            if !run.done.contains(&source) {
                self.last.insert((run.command, source), code);
            }
        }
    }
}

fn process(number: usize) -> RunningProcess {
    serde_json::from_value(serde_json::json!({"number": number, "started": 1, "boot": "b"}))
        .unwrap()
}

/// Plays a random history: runs that overlap, end, fail before they begin, are killed; a clock that jumps.
fn play(seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut records = RunRecords::default();
    let mut model = Model::default();
    let start = Timestamp("2026-11-28T00:00:00Z".parse().unwrap());
    for step in 0..steps {
        let jump = i64::try_from(random.below(4_000_000)).unwrap() - 2_000_000;
        let now = Timestamp(start.0 + TimeDelta::seconds(jump));
        let which = (!model.running.is_empty()).then(|| random.below(model.running.len().max(1)));
        match (random.below(8), which) {
            (0..=2, _) => {
                let run = ModelRun {
                    id: step.to_string(),
                    command: random.below(2),
                    asked: (random.below(3) == 0).then(|| random.below(3)),
                    covers: None,
                    done: Vec::new(),
                    process: process(step),
                };
                records.begin(NewRun {
                    id: run.id.clone(),
                    command: COMMANDS[run.command].to_owned(),
                    asked: run.asked.map(source),
                    begun_at: now,
                    process: run.process.clone(),
                });
                model.running.push(run);
            }
            (3, Some(at)) => {
                let run = &mut model.running[at];
                if run.covers.is_none() {
                    let covers = run.asked.map_or_else(|| vec![0, 1], |it| vec![it]);
                    let names: Vec<SourceName> = covers.iter().copied().map(source).collect();
                    records.covers(&run.id, &names);
                    run.covers = Some(covers);
                }
            }
            (4 | 5, Some(at)) => {
                let run = &mut model.running[at];
                let covers = run.covers.clone().unwrap_or_default();
                if let Some(next) = covers.iter().find(|it| !run.done.contains(it)) {
                    let code = [0, 0, 1, 3, 4, 10][random.below(6)];
                    records.source_ended(&run.id, &source(*next), now, end(code));
                    run.done.push(*next);
                    let key = (run.command, *next);
                    model.last.insert(key, Some(code));
                }
            }
            (6, Some(at)) => {
                let run = model.running.remove(at);
                let is_whole = run
                    .covers
                    .as_ref()
                    .is_some_and(|it| it.len() == run.done.len());
                // A run that did not come to all of its sources did not end well.
                let code = if is_whole {
                    0
                } else {
                    [2, 8, 130, 101][random.below(4)]
                };
                records.ended(&run.id, now, &end(code));
                model.ended(&run, Some(code));
            }
            (_, Some(at)) => {
                let run = model.running.remove(at);
                records.bury_dead(now, |process| *process != run.process);
                model.ended(&run, None);
            }
            (_, None) => {}
        }
        check(&records, &model, (seed, step));
    }
    let text = serde_json::to_string(&records).unwrap();
    assert_eq!(serde_json::from_str::<RunRecords>(&text).unwrap(), records);
}

fn check(records: &RunRecords, model: &Model, at: (u64, usize)) {
    for (command, name) in COMMANDS.iter().enumerate() {
        for (number, _) in SOURCES.iter().enumerate() {
            let expected = model.last.get(&(command, number)).copied();
            let found = records.last_of_source(name, &source(number));
            assert_eq!(
                found.map(|run| run.end.exit_code),
                expected,
                "seed and step {at:?}: {name} {}",
                SOURCES[number]
            );
        }
    }
}

#[test]
fn five_hundred_random_histories_never_show_a_success_after_a_failure() {
    for seed in 0..500 {
        play(seed, 60);
    }
}

#[test]
fn a_success_is_remembered_after_failures() {
    let mut records = RunRecords::default();
    let at = |text: &str| Timestamp(text.parse().unwrap());
    let first = at("2026-11-01T03:00:00Z");
    for (id, code, now) in [("a", 0, first), ("b", 1, at("2026-11-02T03:00:00Z"))] {
        records.begin(NewRun {
            id: id.to_owned(),
            command: "backup".to_owned(),
            asked: None,
            begun_at: now,
            process: RunningProcess::this(),
        });
        records.covers(id, &[source(0)]);
        records.source_ended(id, &source(0), now, end(code));
        records.ended(id, now, &end(code));
    }
    assert_eq!(records.last_success("backup", &source(0)), Some(first));
    assert_eq!(
        records.last_of_command("backup").unwrap().end.exit_code,
        Some(1)
    );
    assert_eq!(
        records.last_of_command("backup").unwrap().succeeded_at,
        Some(first)
    );
    assert_eq!(records.running_since("backup"), None);
}

#[test]
fn this_process_runs_and_others_with_its_number_do_not() {
    let this = RunningProcess::this();
    assert!(this.is_alive());
    let mut other = serde_json::to_value(&this).unwrap();
    other["started"] = 1.into();
    let other: RunningProcess = serde_json::from_value(other).unwrap();
    assert!(!other.is_alive());
}

#[test]
fn many_writers_lose_nothing_and_a_damaged_file_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let file = RunFile::new(directory.path());
    assert_eq!(file.read().unwrap(), RunRecords::default());
    let now = Timestamp(Utc::now());
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for at in 0..10 {
                    file.update(|records| {
                        records.begin(NewRun {
                            id: format!("{writer}-{at}"),
                            command: "backup".to_owned(),
                            asked: None,
                            begun_at: now,
                            process: RunningProcess::this(),
                        });
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(file.read().unwrap().running.len(), 80);
    std::fs::write(file.path(), "{\"runs\": 1").unwrap();
    assert_eq!(
        file.read().unwrap_err().kind(),
        std::io::ErrorKind::InvalidData
    );
    file.update(|_| ()).unwrap();
    assert_eq!(file.read().unwrap(), RunRecords::default());
    assert!(directory.path().join("runs.json.damaged").exists());
    // Fields of a later version are no fault.
    std::fs::write(file.path(), "{\"ends\": 1, \"later\": []}").unwrap();
    assert_eq!(file.read().unwrap().ends, 1);
}
