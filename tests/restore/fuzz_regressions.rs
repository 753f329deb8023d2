//! What the fuzzer begins with and what it once found, through the same functions, without the fuzzer:
//! `scripts/fuzz` runs that. A few changed bytes come along.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::common::from_env;
use crate::common::rng::Rng;
use targets::{Outcome, TARGETS, target};

#[path = "../../fuzz/src/targets/mod.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "the fuzzer has no `common`, and builds streams too"
)]
mod targets;

fn fuzz_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Passes an input, and says which one it was if that panics.
fn pass(name: &str, input: &[u8], what: &str) -> Outcome {
    let run = target(name).run;
    catch_unwind(|| run(input)).unwrap_or_else(|_| {
        panic!("{name} broke on {what}: {}", input.escape_ascii());
    })
}

fn seeds_pass(name: &str) {
    let seeds = (target(name).seeds)();
    let outcomes: Vec<Outcome> = seeds
        .iter()
        .map(|seed| pass(name, seed, "a seed"))
        .collect();
    // Otherwise nothing would be known of what lies behind the first check.
    assert!(
        outcomes.contains(&Outcome::Accepted),
        "{name}: no seed is accepted"
    );
    assert!(
        outcomes.contains(&Outcome::Refused),
        "{name}: no seed is refused"
    );
    let mut rng = Rng::new(from_env("COLDCHAIN_SEED", 1));
    for _ in 0..from_env("COLDCHAIN_CHANGED_SEEDS", 300) {
        let mut input = rng.pick(&seeds).clone();
        for _ in 0..rng.length(1, 4) {
            change(&mut input, &mut rng);
        }
        pass(name, &input, "a changed seed");
    }
}

/// Changes, removes, repeats or adds a few bytes.
fn change(input: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.length(0, input.len() + 1);
    let end = (at + rng.length(1, 9)).min(input.len());
    match rng.below(5) {
        0 => drop(input.drain(at..end)),
        1 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        2 => input.splice(at..at, rng.bytes(3)).for_each(drop),
        3 if at < input.len() => input[at] ^= 1 << rng.below(8),
        _ if at < input.len() => input[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'"']),
        _ => {}
    }
}

#[test]
fn canonical_json_has_one_spelling() {
    seeds_pass("canonical");
}

#[test]
fn configs_are_read_or_refused_by_line() {
    seeds_pass("config");
}

#[test]
fn contents_are_read_as_far_as_the_guard_kept_them() {
    seeds_pass("contents");
}

#[test]
fn a_tree_stays_one_whatever_is_replayed() {
    seeds_pass("replay");
}

#[test]
fn a_frame_is_the_one_in_the_layout_or_an_error() {
    seeds_pass("frame");
}

#[test]
fn the_guard_judges_a_stream_alike_in_all_pieces() {
    seeds_pass("guard");
}

#[test]
fn a_kit_keeps_its_secrets() {
    seeds_pass("kit");
}

#[test]
fn a_refused_object_leaves_the_ledger_as_it_was() {
    seeds_pass("ledger");
}

#[test]
fn a_segment_gives_what_was_announced_or_an_error() {
    seeds_pass("opener");
}

#[test]
fn the_answers_of_a_service_are_taken_or_judged() {
    seeds_pass("s3");
}

#[test]
fn a_seek_table_says_where_the_frames_are() {
    seeds_pass("seek_table");
}

#[test]
fn data_are_unpacked_to_their_length_or_refused() {
    seeds_pass("unpack");
}

#[test]
fn what_was_once_found_is_found_no_more() {
    let directory = fuzz_directory().join("regressions");
    for target in TARGETS {
        let Ok(found) = fs::read_dir(directory.join(target.name)) else {
            continue;
        };
        for entry in found {
            let path = entry.unwrap().path();
            pass(
                target.name,
                &fs::read(&path).unwrap(),
                &path.display().to_string(),
            );
        }
    }
}

#[test]
fn every_target_has_a_program_for_the_fuzzer_and_every_regression_a_target() {
    let names = |directory: &str| {
        let entries = fs::read_dir(fuzz_directory().join(directory)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    };
    let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names("fuzz_targets"), known);
    for name in names("regressions") {
        assert!(known.contains(&name.as_str()), "there is no target {name}");
    }
}
