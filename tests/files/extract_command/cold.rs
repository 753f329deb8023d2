//! Files in a cold class: what is thawed for them, and what that costs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use serde_json::Value;

use super::archived::{Archived, holds};
use crate::common::is_segment;
use crate::common::s3_server::{BUCKET, Operation};

const COLD: &str = "storage_class = \"DEEP_ARCHIVE\"\n";

#[test]
fn only_the_segments_of_a_file_are_thawed_and_the_next_run_goes_on() {
    let archived = Archived::new(COLD);
    let all = archived.segments().len();
    let plan = archived.extract("album/b --plan --json --tier bulk");
    assert_eq!(plan.code, Some(0), "{plan:?}");
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let segments = plan["archives"][0]["segments"].as_array().unwrap().len();
    assert!(segments < all, "{segments} of {all}");
    archived.server.forget_requests();
    // Nobody is there to agree.
    let unasked = archived.extract("album/b --to $T/out --tier bulk");
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(unasked.stderr.contains("to thaw"), "{unasked:?}");
    let thaws = |archived: &Archived| -> BTreeSet<String> {
        let requests = archived.server.requests().into_iter();
        let thaws = requests.filter(|it| it.operation == Operation::Restore);
        thaws.map(|it| it.key).collect()
    };
    assert_eq!(thaws(&archived).len(), 0);
    let run = archived.extract("album/b --to $T/out --tier bulk --yes");
    assert_eq!(run.code, Some(5), "{run:?}");
    assert_eq!(thaws(&archived).len(), segments);
    assert!(thaws(&archived).iter().all(is_segment));
    let made: Vec<_> = std::fs::read_dir(archived.path("out")).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
    let again = archived.extract("album/b --to $T/out --tier bulk --yes");
    assert_eq!(again.code, Some(5), "{again:?}");
    assert_eq!(
        thaws(&archived).len(),
        segments,
        "nothing is requested twice"
    );
    archived.server.clock().advance(TimeDelta::hours(49));
    let done = archived.extract("album/b --to $T/out --tier bulk --yes");
    assert_eq!(done.code, Some(0), "{done:?}");
    let data = BTreeMap::from([("album/b", archived.newest["album/b"].clone())]);
    holds(&archived.path("out"), &data);
}

#[test]
fn a_file_that_would_cost_too_much_is_refused_before_anything_is_requested() {
    let archived = Archived::new(COLD);
    archived.server.forget_requests();
    let run = archived.extract("album/b --to $T/out --tier expedited --yes");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("expedited"), "{run:?}");
    let requests = archived.server.requests();
    assert!(requests.iter().all(|it| it.operation != Operation::Restore));
}

#[test]
fn what_a_rule_has_moved_into_the_cold_is_thawed_too() {
    let archived = Archived::new("");
    for key in archived.segments() {
        archived.server.transition(BUCKET, &key, "GLACIER", None);
    }
    let run = archived.extract("notes/two --to $T/out --yes");
    assert_eq!(run.code, Some(5), "{run:?}");
    archived.server.clock().advance(TimeDelta::hours(13));
    let run = archived.extract("notes/two --to $T/out --yes");
    assert_eq!(run.code, Some(0), "{run:?}");
    let data = BTreeMap::from([("notes/two", archived.newest["notes/two"].clone())]);
    holds(&archived.path("out"), &data);
}
