use chrono::Days;
use proptest::prelude::*;

use super::super::history::{ArchiveFacts, Verification};
use super::super::sample::{date, history};
use super::*;
use crate::model::keys;

const ORPHAN: &str = "2026-11-07-full-0000000000000001";

fn now() -> DateTime<Utc> {
    "2026-11-21T03:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(days)
}

/// A key and two segments of 100 bytes each.
fn objects(id: ArchiveId) -> BTreeMap<String, u64> {
    let names = [
        "key.age",
        "000000-00000000000000aa.zst.age",
        "000001-00000000000000bb.zst.age",
    ];
    let prefix = keys::archive_prefix("home", &id);
    names
        .into_iter()
        .map(|name| (format!("{prefix}{name}"), 100))
        .collect()
}

fn listing(id: ArchiveId, days: i64) -> Vec<ListedObject> {
    objects(id)
        .into_iter()
        .map(|(key, bytes)| ListedObject {
            part: keys::archive_part(keys::archive_of("home", &key).unwrap().1),
            key,
            bytes,
            stored: Some(days_ago(days)),
            class: None,
        })
        .collect()
}

/// A chain that is deleted at home, and a newer one; both are whole in the copy, on 2026-11-21.
fn two_chains() -> CopyPruneFacts {
    of(
        &[&["2026-05-07", "2026-07-21"], &["2026-10-14", "2026-11-14"]],
        2,
    )
}

/// A copy of these chains, of which the first `deleted` archives were retired 8 days ago and then deleted.
fn of(chains: &[&[&str]], deleted: usize) -> CopyPruneFacts {
    let copied = history(chains);
    let mut home = HomeNow::default();
    let mut retired = Vec::new();
    for (at, archive) in copied.archives.iter().enumerate() {
        let (id, chain, objects) = (archive.id, archive.chain, objects(archive.id));
        let deletion = Deletion::Begun;
        let at_home = if at < deleted {
            retired.push(RetiredArchive {
                id,
                chain,
                since: Some(days_ago(8)),
                retain_until: None,
                deletion,
                objects: objects.clone(),
            });
            AtHome::Retired {
                chain,
                deletion,
                objects,
            }
        } else {
            AtHome::Visible { chain, objects }
        };
        home.archives.insert(id, at_home);
    }
    let ids = copied.archives.iter().map(|archive| archive.id);
    CopyPruneFacts {
        home: Some(home),
        retired,
        named: copied.archives.iter().map(|archive| archive.id).collect(),
        placed: copied.archives.iter().map(|archive| archive.id).collect(),
        open: BTreeSet::new(),
        listed: ids.map(|id| (id, listing(id, 10))).collect(),
        copied,
        elsewhere: Vec::new(),
        own_copy: OwnCopy::Done,
        copy_now: now(),
        system_now: now(),
        delete_after: TimeDelta::days(7),
        date: date("2026-11-21"),
        schedule: Schedule::default(),
    }
}

fn home(facts: &mut CopyPruneFacts) -> &mut HomeNow {
    facts.home.as_mut().unwrap()
}

/// The only line of a plan without orphaned objects.
fn line(facts: &CopyPruneFacts) -> ChainLine {
    let plan = plan_copy_prune(facts).unwrap();
    assert_eq!(plan.strays, StrayPlan::default());
    let [line] = <[_; 1]>::try_from(plan.chains).unwrap_or_else(|lines| panic!("{lines:#?}"));
    line
}

/// Checks that the old chain is kept for that reason.
#[track_caller]
fn is_kept(facts: &CopyPruneFacts, reason: &str) {
    let line = line(facts);
    assert_eq!((line.fate, line.reason.as_str()), (ChainFate::Keep, reason));
}

#[test]
fn what_home_has_deleted_goes_the_newest_archive_first_and_its_key_last() {
    let facts = two_chains();
    let line = line(&facts);
    assert_eq!(line.fate, ChainFate::Delete);
    assert_eq!(line.reason, "retired 8 days ago");
    assert_eq!((line.archives.len(), line.bytes()), (2, 600));
    let names: Vec<String> = line
        .objects
        .iter()
        .map(|object| {
            object
                .key
                .replace("home/archives/2026-", "")
                .replace("-5f0c9a12d4e6b801", "")
        })
        .collect();
    assert_eq!(
        names,
        [
            "07-21-incr/000000-00000000000000aa.zst.age",
            "07-21-incr/000001-00000000000000bb.zst.age",
            "07-21-incr/key.age",
            "05-07-full/000000-00000000000000aa.zst.age",
            "05-07-full/000001-00000000000000bb.zst.age",
            "05-07-full/key.age",
        ]
    );
}

#[test]
fn a_copy_without_anything_retired_has_no_line() {
    let facts = of(&[&["2026-05-07"], &["2026-10-14"]], 0);
    assert_eq!(plan_copy_prune(&facts), Ok(PrunePlan::default()));
}

#[test]
fn the_time_of_grace_counts_from_when_the_retire_entry_came_into_the_copy() {
    let mut facts = two_chains();
    facts.retired[1].since = Some(days_ago(6));
    let until = now() + TimeDelta::days(1);
    assert_eq!(line(&facts).fate, ChainFate::Wait { until });
    facts.retired[1].since = Some(days_ago(7));
    assert_eq!(line(&facts).fate, ChainFate::Delete);
    facts.retired[1].since = None;
    is_kept(&facts, "retired; the store does not say since when");
    facts.retired[1].since = Some(days_ago(-1));
    is_kept(
        &facts,
        "retired by an entry that is newer than the store's clock shows",
    );
}

#[test]
fn both_ledgers_must_say_that_all_of_a_chain_is_deleted() {
    let mut facts = two_chains();
    facts.retired[0].deletion = Deletion::NotBegun;
    is_kept(
        &facts,
        "deleted at home, and the ledger in the copy does not say so yet",
    );

    let mut facts = two_chains();
    facts.retired.remove(1);
    is_kept(
        &facts,
        "deleted at home, and the ledger in the copy does not say so yet",
    );

    let mut facts = two_chains();
    let (id, chain) = (facts.retired[1].id, facts.retired[1].chain);
    let retired = AtHome::Retired {
        chain,
        deletion: Deletion::NotBegun,
        objects: objects(id),
    };
    home(&mut facts).archives.insert(id, retired);
    is_kept(&facts, "retired, and home has not begun to delete it");

    home(&mut facts).archives.remove(&id);
    is_kept(&facts, "home's ledger does not name all of it");
}

#[test]
fn an_undone_delete_is_no_delete() {
    let mut facts = two_chains();
    let (id, chain) = (facts.retired[0].id, facts.retired[0].chain);
    let objects = objects(id);
    let visible = AtHome::Visible { chain, objects };
    home(&mut facts).archives.insert(id, visible);
    is_kept(&facts, "home shows it");
}

#[test]
fn the_copier_deletes_only_what_its_own_schedule_calls_expired() {
    let mut facts = two_chains();
    facts.schedule.expire_after_days = 124;
    is_kept(
        &facts,
        "retired, but not expired by the schedule of this machine",
    );
    facts.schedule.expire_after_days = 123;
    assert_eq!(line(&facts).fate, ChainFate::Delete);
}

#[test]
fn a_chain_stays_until_a_newer_one_is_whole_in_the_copy_and_verified_there() {
    let keep = |change: &dyn Fn(&mut CopyPruneFacts)| {
        let mut facts = two_chains();
        change(&mut facts);
        is_kept(
            &facts,
            "retired, but not expired by the schedule of this machine",
        );
    };
    keep(&|facts| facts.copied.archives[2].verification = Verification::Unverified);
    keep(&|facts| facts.copied.archives[2].condition = Condition::Damaged);
    keep(&|facts| facts.copied.archives[3].condition = Condition::Damaged);
    // It is not in the copy yet.
    keep(&|facts| {
        let full = facts.copied.archives.remove(2);
        facts.listed.remove(&full.id);
    });
    // A part of it is, but the run that copied it ended there.
    keep(&|facts| {
        let full = facts.copied.archives.remove(2);
        facts.listed.get_mut(&full.id).unwrap().pop();
    });
}

#[test]
fn a_lock_of_the_copys_own_keeps_the_whole_chain() {
    let mut facts = two_chains();
    let until = now() + TimeDelta::days(30);
    facts.retired[0].retain_until = Some(until);
    assert_eq!(line(&facts).fate, ChainFate::Retained { until });
    facts.retired[0].retain_until = Some(now());
    assert_eq!(line(&facts).fate, ChainFate::Delete);
}

#[test]
fn nothing_goes_while_home_can_not_be_read() {
    let mut facts = two_chains();
    facts.listed.insert(id(ORPHAN), listing(id(ORPHAN), 100));
    facts.home = None;
    let plan = plan_copy_prune(&facts).unwrap();
    assert!(!plan.acts());
    assert_eq!(plan.chains[0].reason, "home could not be read");
    let reasons: BTreeSet<&str> = plan.strays.lines.iter().map(|line| &*line.reason).collect();
    assert_eq!(reasons, BTreeSet::from(["home could not be read"]));
}

#[test]
fn nothing_goes_while_a_clock_can_not_be_relied_on() {
    let mut facts = two_chains();
    facts.system_now = now() + TimeDelta::hours(25);
    is_kept(&facts, "the system's clock and the copy's are 1 day apart");
    facts.system_now = now() + TimeDelta::hours(24);
    assert_eq!(line(&facts).fate, ChainFate::Delete);
    home(&mut facts).now = Some(days_ago(400));
    is_kept(&facts, "home's clock and the copy's are 400 days apart");
    home(&mut facts).now = Some(now());
    assert_eq!(line(&facts).fate, ChainFate::Delete);
    facts.date = date("2027-03-01");
    is_kept(
        &facts,
        "2027-03-01 is 107 days after the newest archive before it in the copy",
    );
}

#[test]
fn nothing_goes_while_nothing_is_whole_in_the_copy() {
    let mut facts = with_orphan(100);
    facts.copied.archives.clear();
    let plan = plan_copy_prune(&facts).unwrap();
    assert_eq!(
        plan.strays.lines[0].reason,
        "nothing that home shows is whole in the copy"
    );
    assert!(!plan.acts());
}

#[test]
fn a_listing_that_lacks_what_was_copied_decides_nothing() {
    let mut facts = two_chains();
    let full = facts.copied.archives[2].id;
    facts.listed.get_mut(&full).unwrap().pop();
    let short = plan_copy_prune(&facts).unwrap_err();
    assert_eq!((short.archive, short.wrong.len()), (full, 1));
    facts.listed.clear();
    assert_eq!(plan_copy_prune(&facts).unwrap_err().wrong.len(), 3);
}

#[test]
fn a_deletion_that_was_cut_short_is_ended_and_said_no_more() {
    let mut facts = two_chains();
    // The incremental went, and the note of it too. The full is only hidden by its newest version.
    let incremental = facts.copied.archives.remove(1);
    facts.listed.remove(&incremental.id);
    let full = facts.copied.archives[0].id;
    facts.listed.remove(&full);
    let only = line(&facts);
    assert_eq!((only.fate, only.objects.len()), (ChainFate::Delete, 0));
    facts.placed.clear();
    assert_eq!(plan_copy_prune(&facts), Ok(PrunePlan::default()));
}

fn id(text: &str) -> ArchiveId {
    text.parse().unwrap()
}

/// A copy with objects of an id that home's ledger does not name, so many days old.
fn with_orphan(days: i64) -> CopyPruneFacts {
    let mut facts = of(&[&["2026-10-14", "2026-11-14"]], 0);
    facts.listed.insert(id(ORPHAN), listing(id(ORPHAN), days));
    facts
}

/// The only line of orphaned objects.
fn orphan(facts: &CopyPruneFacts) -> (Fate, String) {
    let plan = plan_copy_prune(facts).unwrap();
    let [line] = <[_; 1]>::try_from(plan.strays.lines).unwrap_or_else(|lines| panic!("{lines:#?}"));
    (line.fate, line.reason)
}

fn keeps(reason: &str) -> (Fate, String) {
    (Fate::Keep, reason.to_owned())
}

#[test]
fn what_home_does_not_name_goes_when_it_is_old_and_nothing_is_being_copied() {
    let removes = (
        Fate::Remove,
        "home's ledger does not name it; its newest object is 7 days old".to_owned(),
    );
    assert_eq!(orphan(&with_orphan(7)), removes);
    let mut facts = with_orphan(7);
    let last = facts.listed.get_mut(&id(ORPHAN)).unwrap();
    last[0].stored = Some(days_ago(6));
    assert_eq!(
        orphan(&facts),
        keeps("its newest object is 6 days old, less than 7 days")
    );
    let mut facts = with_orphan(7);
    facts.own_copy = OwnCopy::UnderWay;
    assert_eq!(
        orphan(&facts),
        keeps("the copy is not complete; nothing is removed meanwhile")
    );
    let mut facts = with_orphan(7);
    facts.named.insert(id(ORPHAN));
    assert_eq!(
        orphan(&facts),
        keeps("the ledger in the copy names it, and home's does not")
    );
    let mut facts = with_orphan(7);
    facts.open.insert(id(ORPHAN));
    assert_eq!(
        orphan(&facts),
        keeps("an attempt that this machine has not finished")
    );
    let mut facts = with_orphan(7);
    home(&mut facts).unread = Some(12);
    assert_eq!(
        orphan(&facts),
        keeps("home's ledger entry 12 can't be read, and may archive it")
    );
}

#[test]
fn what_home_names_and_has_not_deleted_is_no_orphan() {
    let mut facts = with_orphan(100);
    home(&mut facts)
        .archives
        .insert(id(ORPHAN), AtHome::RetiredAttempt);
    assert_eq!(
        orphan(&facts),
        keeps("an attempt that home has retired and not deleted")
    );
    // Home has archived it since, and nothing of it was noted as copied.
    let chain = id(ORPHAN);
    let visible = AtHome::Visible {
        chain,
        objects: objects(chain),
    };
    home(&mut facts).archives.insert(chain, visible);
    assert_eq!(plan_copy_prune(&facts), Ok(PrunePlan::default()));
}

/// Puts a segment that no ledger signs beside an archive.
fn beside(facts: &mut CopyPruneFacts, archive: ArchiveId) {
    let mut foreign = listing(archive, 10).pop().unwrap();
    let name = "000007-00000000000000cc.zst.age";
    foreign.key = format!("{}{name}", keys::archive_prefix("home", &archive));
    foreign.part = keys::archive_part(name);
    facts.listed.entry(archive).or_default().push(foreign);
}

#[test]
fn a_segment_beside_an_archive_goes_only_after_both_ledgers_have_deleted_the_archive() {
    let mut facts = of(&[&["2026-10-14", "2026-11-14"]], 0);
    let archive = facts.copied.archives[0].id;
    beside(&mut facts, archive);
    assert_eq!(orphan(&facts), keeps("beside an archive that home shows"));

    let mut facts = two_chains();
    let archive = facts.copied.archives[0].id;
    beside(&mut facts, archive);
    assert_eq!(
        orphan(&facts),
        (
            Fate::Remove,
            "home's ledger has deleted it; its newest object is 10 days old".to_owned()
        )
    );
    facts.retired[0].deletion = Deletion::NotBegun;
    assert_eq!(
        orphan(&facts),
        keeps("deleted at home, and the ledger in the copy does not say so yet")
    );
}

#[test]
fn what_coldchain_does_not_name_stays() {
    let mut facts = with_orphan(100);
    let listed = facts.listed.get_mut(&id(ORPHAN)).unwrap();
    for object in listed {
        object.part = None;
    }
    let (fate, reason) = orphan(&facts);
    assert_eq!(fate, Fate::Keep);
    assert!(
        reason.starts_with("coldchain does not use this name: "),
        "{reason}"
    );
}

/// What befalls one archive, by a number each: home's word, the copy's word, what is listed, how it is.
type Befalls = (u8, u8, usize, u8);

/// A copy of three chains to which anything may have happened.
fn anything(befalls: &[Befalls], days: u64, own_copy: OwnCopy) -> CopyPruneFacts {
    let mut facts = of(
        &[
            &["2026-01-07", "2026-02-07"],
            &["2026-03-07", "2026-04-07"],
            &["2026-05-07", "2026-06-07"],
        ],
        0,
    );
    facts.own_copy = own_copy;
    facts.date = date("2026-06-08")
        .checked_add_days(Days::new(days))
        .unwrap();
    facts.schedule.expire_after_days = 1;
    let archives: Vec<ArchiveFacts> = facts.copied.archives.drain(..).collect();
    for (archive, (at_home, in_copy, listed, state)) in archives.into_iter().zip(befalls) {
        let (id, chain) = (archive.id, archive.chain);
        let retired = |deletion| AtHome::Retired {
            chain,
            deletion,
            objects: objects(id),
        };
        let names = &mut home(&mut facts).archives;
        match at_home {
            0..=2 => {}
            3..=6 => drop(names.insert(id, retired(Deletion::Begun))),
            7 => drop(names.insert(id, retired(Deletion::NotBegun))),
            8 => drop(names.insert(id, AtHome::RetiredAttempt)),
            _ => drop(names.remove(&id)),
        }
        if *in_copy < 6 {
            facts.retired.push(RetiredArchive {
                id,
                chain,
                since: Some(days_ago(if *in_copy < 5 { 8 } else { 6 })),
                retain_until: None,
                deletion: if *in_copy < 4 {
                    Deletion::Begun
                } else {
                    Deletion::NotBegun
                },
                objects: objects(id),
            });
        }
        if *in_copy == 7 {
            facts.named.remove(&id);
        }
        facts.listed.get_mut(&id).unwrap().truncate(*listed);
        let mut archive = archive;
        if state & 1 != 0 {
            archive.verification = Verification::Unverified;
        }
        if state & 2 != 0 {
            archive.condition = Condition::Damaged;
        }
        if state & 4 == 0 {
            facts.copied.archives.push(archive);
        }
    }
    facts
}

/// The newest chain whose full and all of whose listed archives are whole in the copy.
fn newest_whole(facts: &CopyPruneFacts) -> Option<ArchiveId> {
    let is_whole = |id: &ArchiveId| facts.listed[id].len() == 3;
    let fulls = facts
        .listed
        .keys()
        .filter(|id| id.kind == crate::model::ArchiveKind::Full);
    fulls.filter(|id| is_whole(id)).max().copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_befell_both_places_the_newest_whole_chain_and_what_home_shows_stay(
        befalls in prop::collection::vec((0_u8..10, 0_u8..8, 0_usize..=3, 0_u8..8), 6),
        days in 0_u64..40,
        own_copy in prop_oneof![Just(OwnCopy::Done), Just(OwnCopy::UnderWay)],
    ) {
        let facts = anything(&befalls, days, own_copy);
        let Ok(plan) = plan_copy_prune(&facts) else { return Ok(()); };
        let home = facts.home.as_ref().unwrap();
        let newest = newest_whole(&facts);
        for line in plan.chains.iter().filter(|line| line.fate == ChainFate::Delete) {
            prop_assert_ne!(Some(line.chain), newest);
            for id in &line.archives {
                let both = facts.retired.iter().any(|it| it.id == *id && it.deletion == Deletion::Begun)
                    && matches!(home.archives[id], AtHome::Retired { deletion: Deletion::Begun, .. });
                prop_assert!(both, "{}", id);
            }
            let of_chain = home.archives.values().filter(|at| at.chain() == Some(line.chain));
            prop_assert_eq!(of_chain.count(), line.archives.len());
        }
        let removed: BTreeSet<&str> = plan
            .chains
            .iter()
            .filter(|line| line.fate == ChainFate::Delete)
            .flat_map(|line| &line.objects)
            .chain(plan.strays.with(Fate::Remove).flat_map(|line| &line.objects))
            .map(|object| object.key.as_str())
            .collect();
        for at in home.archives.values() {
            if let AtHome::Visible { objects, .. } = at {
                prop_assert!(objects.keys().all(|key| !removed.contains(key.as_str())));
            }
        }
        for line in plan.strays.with(Fate::Remove) {
            prop_assert_eq!(own_copy, OwnCopy::Done);
            let id = line.archive.unwrap();
            prop_assert!(!home.archives.contains_key(&id) && !facts.named.contains(&id));
        }
        for change in [0, 1, 2] {
            let mut facts = facts.clone();
            match change {
                0 => facts.home = None,
                1 => facts.system_now = days_ago(2),
                _ => facts.date = date("2027-06-01"),
            }
            if let Ok(plan) = plan_copy_prune(&facts) {
                prop_assert!(!plan.acts());
            }
        }
    }
}
