use super::*;

const ATTEMPT: &str = "2026-11-07-full-0000000000000001";
const ARCHIVE: &str = "2026-11-14-full-0000000000000002";

fn id(text: &str) -> ArchiveId {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-21T03:00:00Z".parse().unwrap()
}

fn ago(span: TimeDelta) -> DateTime<Utc> {
    now() - span
}

fn days_ago(days: i64) -> DateTime<Utc> {
    ago(TimeDelta::days(days))
}

/// A key of an archive or attempt.
fn key(archive: &str, name: &str) -> String {
    format!("home/archives/{archive}/{name}")
}

/// A segment's name, the digest of which is that digit.
fn segment(index: u32, digest: u32) -> String {
    format!("{index:06}-{digest:016x}.zst.age")
}

/// An object stored so many days ago.
fn object(archive: &str, name: &str, days: i64) -> ListedObject {
    ListedObject {
        key: key(archive, name),
        part: crate::model::keys::archive_part(name),
        bytes: 100,
        stored: Some(days_ago(days)),
        class: None,
    }
}

/// An attempt's key and two segments, the newest object so many days old.
fn attempt(archive: &str, days: i64) -> Vec<ListedObject> {
    vec![
        object(archive, &segment(0, 7), days + 1),
        object(archive, &segment(1, 8), days),
        object(archive, "key.age", days + 2),
    ]
}

/// An archive, by what is listed of it.
fn visible(listed: &[ListedObject]) -> InLedger {
    let own = listed.iter();
    InLedger::Visible(
        own.map(|object| (object.key.clone(), object.bytes))
            .collect(),
    )
}

/// A source with one archive, and nothing else.
fn quiet_source() -> StrayFacts {
    let archive = attempt(ARCHIVE, 7);
    StrayFacts {
        ledger: BTreeMap::from([(id(ARCHIVE), visible(&archive))]),
        listed: BTreeMap::from([(id(ARCHIVE), archive)]),
        elsewhere: Vec::new(),
        unread: None,
        damaged: BTreeSet::new(),
        here: BTreeMap::new(),
        newest_archive: Some(days_ago(7)),
        store_now: now(),
        system_now: now(),
        delete_after: TimeDelta::days(7),
        may_retire: MayRetire::Yes,
    }
}

/// The same with an attempt whose newest object is so many days old.
fn with_attempt(days: i64) -> StrayFacts {
    let mut facts = quiet_source();
    facts.listed.insert(id(ATTEMPT), attempt(ATTEMPT, days));
    facts
}

fn given_up(days: i64) -> StrayFacts {
    let mut facts = with_attempt(days);
    facts.here.insert(id(ATTEMPT), Here::GivenUp);
    facts
}

fn retired(days: i64, since: Option<DateTime<Utc>>) -> StrayFacts {
    let mut facts = with_attempt(days);
    let retired = InLedger::RetiredAttempt { since };
    facts.ledger.insert(id(ATTEMPT), retired);
    facts
}

/// The only line of a plan.
fn line(facts: &StrayFacts) -> StrayLine {
    let plan = plan_strays(facts).unwrap();
    let [line] = <[_; 1]>::try_from(plan.lines).unwrap_or_else(|lines| panic!("{lines:#?}"));
    assert_eq!(line.archive, Some(id(ATTEMPT)));
    line
}

fn names(line: &StrayLine) -> Vec<&str> {
    let name = |object: &'_ ListedObject| object.key.rfind('/').unwrap() + 1;
    line.objects
        .iter()
        .map(|object| &object.key[name(object)..])
        .collect()
}

#[test]
fn an_archive_with_just_its_own_objects_has_no_line() {
    assert_eq!(plan_strays(&quiet_source()), Ok(StrayPlan::default()));
}

#[test]
fn an_attempt_that_nobody_here_knows_stays_while_an_entry_can_t_be_read() {
    let with_unread = |mut facts: StrayFacts| {
        facts.unread = Some(4);
        line(&facts)
    };
    let unknown = with_unread(with_attempt(30));
    assert_eq!(unknown.fate, Fate::Keep);
    assert_eq!(
        unknown.reason,
        "an attempt that this machine does not know; ledger entry 4 can't be read, and may archive it"
    );
    assert_eq!(with_unread(given_up(7)).fate, Fate::Remove);
}

#[test]
fn every_attempt_meets_the_fate_that_is_known_of_it() {
    let open = |facts: StrayFacts| {
        let mut facts = facts;
        facts.here.insert(id(ATTEMPT), Here::Open);
        facts
    };
    let also_given_up = |mut facts: StrayFacts| {
        facts.here.insert(id(ATTEMPT), Here::GivenUp);
        facts
    };
    let no_pruner = |mut facts: StrayFacts| {
        facts.may_retire = MayRetire::No;
        facts
    };
    for (facts, fate, reason) in [
        (
            given_up(7),
            Fate::Remove,
            "an attempt that was given up here; its newest object is 7 days old",
        ),
        (
            given_up(6),
            Fate::Keep,
            "its newest object is 6 days old, less than 7 days",
        ),
        (
            given_up(-1),
            Fate::Keep,
            "its newest object is newer than the store's clock shows",
        ),
        (
            with_attempt(8),
            Fate::Retire,
            "an attempt that this machine does not know; it is removed after 7 days at the earliest; \
             its newest object is 8 days old",
        ),
        (
            with_attempt(0),
            Fate::Keep,
            "its newest object is 0 minutes old, less than 7 days",
        ),
        (
            no_pruner(with_attempt(8)),
            Fate::Keep,
            "an attempt that this machine does not know, and this machine's key may not retire it",
        ),
        (
            no_pruner(given_up(8)),
            Fate::Remove,
            "an attempt that was given up here; its newest object is 8 days old",
        ),
        (
            open(with_attempt(400)),
            Fate::Keep,
            "an attempt that this machine has not finished",
        ),
        (
            open(retired(400, Some(days_ago(30)))),
            Fate::Keep,
            "an attempt that this machine has not finished",
        ),
        (
            retired(30, Some(ago(TimeDelta::hours(7 * 24 - 1)))),
            Fate::Keep,
            "an attempt that was retired 6 days ago; it is removed after 7 days at the earliest",
        ),
        (
            retired(30, Some(days_ago(7))),
            Fate::Remove,
            "an attempt that was retired 7 days ago; its newest object is 30 days old",
        ),
        (
            retired(3, Some(days_ago(7))),
            Fate::Keep,
            "its newest object is 3 days old, less than 7 days",
        ),
        (
            retired(30, None),
            Fate::Keep,
            "a retired attempt; the store does not say since when",
        ),
        // The time of grace does not depend on who retired it.
        (
            also_given_up(retired(30, Some(days_ago(1)))),
            Fate::Keep,
            "an attempt that was retired 1 day ago; it is removed after 7 days at the earliest",
        ),
    ] {
        let line = line(&facts);
        assert_eq!((line.fate, line.reason.as_str()), (fate, reason));
        // The whole attempt is removed, and its key last.
        let whole = [segment(0, 7), segment(1, 8), "key.age".to_owned()];
        assert_eq!(names(&line), whole);
        assert_eq!(line.bytes(), 300);
    }
}

#[test]
fn what_a_retired_archive_has_of_its_own_is_no_stray_and_what_lies_beside_it_is() {
    for mut facts in [with_attempt(400), given_up(400)] {
        let own = facts.listed[&id(ATTEMPT)].iter();
        let own = own.map(|object| (object.key.clone(), object.bytes));
        let own = InLedger::RetiredArchive(own.collect());
        facts.ledger.insert(id(ATTEMPT), own);
        assert_eq!(plan_strays(&facts), Ok(StrayPlan::default()));
        let listed = facts.listed.get_mut(&id(ATTEMPT)).unwrap();
        listed.push(object(ATTEMPT, &segment(1, 9), 400));
        let line = line(&facts);
        assert_eq!(
            (line.fate, names(&line)),
            (Fate::Remove, vec![&*segment(1, 9)])
        );
    }
}

#[test]
fn an_archive_that_is_known_to_be_damaged_may_be_listed_in_part_and_keeps_all_that_is_there() {
    let mut facts = quiet_source();
    let listed = facts.listed.get_mut(&id(ARCHIVE)).unwrap();
    listed.remove(0);
    listed.push(object(ARCHIVE, &segment(1, 9), 400));
    assert!(plan_strays(&facts).is_err());
    facts.damaged.insert(id(ARCHIVE));
    let plan = plan_strays(&facts).unwrap();
    let fates: Vec<_> = plan.lines.iter().map(|line| line.fate).collect();
    assert_eq!(fates, [Fate::Keep]);
}

#[test]
fn a_time_of_grace_of_nothing_still_waits_for_the_entry() {
    let mut facts = with_attempt(8);
    facts.delete_after = TimeDelta::zero();
    assert_eq!(line(&facts).fate, Fate::Retire);
    let mut facts = retired(8, Some(now()));
    facts.delete_after = TimeDelta::zero();
    assert_eq!(line(&facts).fate, Fate::Remove);
    let mut facts = retired(8, Some(now() + TimeDelta::seconds(1)));
    facts.delete_after = TimeDelta::zero();
    assert_eq!(line(&facts).fate, Fate::Keep);
}

#[test]
fn an_attempt_is_as_young_as_its_newest_object_whatever_that_is() {
    for name in ["key.age", "notes.txt", &segment(9, 9)] {
        let mut facts = given_up(30);
        let listed = facts.listed.get_mut(&id(ATTEMPT)).unwrap();
        listed.push(object(ATTEMPT, name, 2));
        let plan = plan_strays(&facts).unwrap();
        assert!(
            plan.lines.iter().all(|line| line.fate == Fate::Keep),
            "{name}: {plan:#?}"
        );
    }
}

#[test]
fn an_object_whose_age_the_store_does_not_tell_keeps_its_attempt() {
    for at in 0..3 {
        for mut facts in [
            given_up(30),
            with_attempt(30),
            retired(30, Some(days_ago(20))),
        ] {
            facts.listed.get_mut(&id(ATTEMPT)).unwrap()[at].stored = None;
            let line = line(&facts);
            let expected = "the store does not say how old it is";
            assert_eq!((line.fate, line.reason.as_str()), (Fate::Keep, expected));
        }
    }
}

#[test]
fn beside_an_archives_own_objects_only_other_segments_are_strays() {
    let mut facts = quiet_source();
    let listed = facts.listed.get_mut(&id(ARCHIVE)).unwrap();
    // A segment of the same index with other bytes, one of an index that the archive does not have, and a
    // foreign object that only looks like a segment.
    listed.push(object(ARCHIVE, &segment(0, 99), 9));
    listed.push(object(ARCHIVE, &segment(2, 7), 9));
    listed.push(object(ARCHIVE, "000001-8.zst.age", 9));
    let plan = plan_strays(&facts).unwrap();
    let [strays, foreign] = &plan.lines[..] else {
        panic!("{plan:#?}");
    };
    assert_eq!(strays.archive, Some(id(ARCHIVE)));
    assert_eq!(
        (strays.fate, strays.reason.as_str()),
        (
            Fate::Remove,
            "segments of an earlier stream, beside those of the archive; its newest object is 7 days old"
        )
    );
    assert_eq!(names(strays), [segment(0, 99), segment(2, 7)]);
    assert_eq!(foreign.fate, Fate::Keep);
    assert_eq!(
        foreign.reason,
        format!(
            "coldchain does not use this name: {}",
            key(ARCHIVE, "000001-8.zst.age")
        )
    );
    assert_eq!(names(foreign), ["000001-8.zst.age"]);

    // While the archive itself is young, the writer of the others may still be at work.
    let listed = facts.listed.get_mut(&id(ARCHIVE)).unwrap();
    listed[0].stored = Some(days_ago(6));
    let young = plan_strays(&facts).unwrap();
    assert!(young.lines.iter().all(|line| line.fate == Fate::Keep));
    // They also stay while the attempt is open here.
    facts.here.insert(id(ARCHIVE), Here::Open);
    let open = plan_strays(&facts).unwrap();
    assert_eq!(
        open.lines[0].reason,
        "an attempt that this machine has not finished"
    );
}

#[test]
fn what_has_no_name_of_coldchains_is_named_and_left_alone() {
    let mut facts = given_up(30);
    let listed = facts.listed.get_mut(&id(ATTEMPT)).unwrap();
    listed.push(object(ATTEMPT, "key.age.bak", 30));
    let other = "2026-11-07-full-0000000000000003";
    facts
        .listed
        .insert(id(other), vec![object(other, "notes.txt", 30)]);
    for name in ["notes.txt", "trash/key.age"] {
        facts.elsewhere.push(ListedObject {
            key: format!("home/archives/{name}"),
            part: None,
            bytes: 5,
            stored: None,
            class: None,
        });
    }
    let plan = plan_strays(&facts).unwrap();
    let told: Vec<_> = plan
        .lines
        .iter()
        .map(|line| (line.archive, line.fate, names(line)))
        .collect();
    let whole = [segment(0, 7), segment(1, 8), "key.age".to_owned()];
    let whole = whole.iter().map(String::as_str).collect();
    assert_eq!(
        plan.lines[3].reason,
        "coldchain does not use this name: home/archives/notes.txt and 1 more"
    );
    assert_eq!(
        told,
        [
            (Some(id(ATTEMPT)), Fate::Remove, whole),
            (Some(id(ATTEMPT)), Fate::Keep, vec!["key.age.bak"]),
            // It belongs to no attempt, so no id is retired for it.
            (Some(id(other)), Fate::Keep, vec!["notes.txt"]),
            (None, Fate::Keep, vec!["notes.txt", "key.age"]),
        ]
    );
}

#[test]
fn nothing_happens_while_a_clock_can_not_be_relied_on_or_nothing_is_archived() {
    type Change = fn(&mut StrayFacts);
    let holds: [(Change, &str); 4] = [
        (
            |facts| facts.newest_archive = None,
            "nothing of this source is archived yet",
        ),
        (
            |facts| facts.system_now += TimeDelta::hours(49),
            "the system's clock and the store's are 2 days apart",
        ),
        (
            |facts| facts.system_now -= TimeDelta::hours(25),
            "the system's clock and the store's are 1 day apart",
        ),
        (
            |facts| facts.newest_archive = Some(ago(TimeDelta::days(35) + TimeDelta::seconds(1))),
            "the newest archive is more than 35 days old by the store's clock",
        ),
    ];
    let passes: [Change; 3] = [
        |facts| facts.system_now += TimeDelta::days(1),
        |facts| facts.system_now -= TimeDelta::days(1),
        |facts| facts.newest_archive = Some(days_ago(35)),
    ];
    for facts in [
        given_up(400),
        with_attempt(400),
        retired(400, Some(days_ago(30))),
    ] {
        for (change, reason) in holds {
            let mut facts = facts.clone();
            change(&mut facts);
            let line = line(&facts);
            assert_eq!((line.fate, line.reason.as_str()), (Fate::Keep, reason));
        }
        for change in passes {
            let mut facts = facts.clone();
            change(&mut facts);
            assert_ne!(line(&facts).fate, Fate::Keep);
        }
    }
    // An object that is kept anyway has its own reason.
    let mut young = given_up(1);
    young.newest_archive = None;
    assert!(line(&young).reason.contains("less than 7 days"));
}

#[test]
fn a_listing_without_something_of_a_visible_archive_decides_nothing() {
    let mut facts = given_up(30);
    let wrong = |facts: &StrayFacts| plan_strays(facts).unwrap_err();
    for at in 0..3 {
        let mut facts = facts.clone();
        let listed = facts.listed.get_mut(&id(ARCHIVE)).unwrap();
        let gone = listed.remove(at).key;
        let short = wrong(&facts);
        assert_eq!(short.archive, id(ARCHIVE));
        assert_eq!(short.wrong, [format!("{gone} is missing")]);
    }
    let mut shorter = facts.clone();
    shorter.listed.get_mut(&id(ARCHIVE)).unwrap()[1].bytes = 99;
    let key = key(ARCHIVE, &segment(1, 8));
    let what = format!("{key} has 99 bytes, 100 were stored");
    assert_eq!(wrong(&shorter).wrong, [what]);
    // Nothing of it is listed.
    facts.listed.remove(&id(ARCHIVE));
    assert_eq!(wrong(&facts).wrong.len(), 3);
}

#[test]
fn a_retired_archive_may_be_gone_already() {
    let mut facts = given_up(30);
    let gone = BTreeMap::from([(key(ARCHIVE, "key.age"), 100)]);
    facts
        .ledger
        .insert(id(ARCHIVE), InLedger::RetiredArchive(gone));
    facts.listed.remove(&id(ARCHIVE));
    assert_eq!(line(&facts).fate, Fate::Remove);
}

/// The name of an object of contents, the digest of which is that digit.
fn contents(index: u32, digest: u32) -> String {
    format!("contents-{index:06}-{digest:016x}.zst.age")
}

#[test]
fn contents_that_no_entry_names_are_orphaned_and_those_of_the_archive_are_not() {
    let mut facts = quiet_source();
    let own = object(ARCHIVE, &contents(0, 5), 7);
    let Some(InLedger::Visible(objects)) = facts.ledger.get_mut(&id(ARCHIVE)) else {
        panic!("it is visible");
    };
    objects.insert(own.key.clone(), own.bytes);
    let listed = facts.listed.get_mut(&id(ARCHIVE)).unwrap();
    listed.push(own);
    listed.push(object(ARCHIVE, &contents(0, 6), 8));
    let plan = plan_strays(&facts).unwrap();
    let [line] = &plan.lines[..] else {
        panic!("{plan:#?}");
    };
    assert_eq!(names(line), [contents(0, 6)]);
    assert_eq!(
        (line.fate, line.reason.as_str()),
        (
            Fate::Remove,
            "contents that no ledger entry names, beside the objects of the archive; its newest object is 7 days old"
        )
    );
    // Somebody may be about to attach them.
    facts.listed.get_mut(&id(ARCHIVE)).unwrap()[4].stored = Some(days_ago(1));
    assert_eq!(plan_strays(&facts).unwrap().lines[0].fate, Fate::Keep);
}

#[test]
fn a_listing_without_the_contents_of_an_archive_stops_nothing() {
    let mut facts = quiet_source();
    let Some(InLedger::Visible(objects)) = facts.ledger.get_mut(&id(ARCHIVE)) else {
        panic!("it is visible");
    };
    objects.insert(key(ARCHIVE, &contents(0, 5)), 100);
    assert_eq!(plan_strays(&facts).unwrap(), StrayPlan::default());
}
