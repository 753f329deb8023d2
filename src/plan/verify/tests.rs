use proptest::prelude::*;

use super::super::sample::history;
use super::*;
use crate::model::keys::{ArchivePart, SignedObject};

fn archives() -> Vec<ArchiveId> {
    let history = history(&[&["2026-08-07", "2026-08-14"], &["2026-09-01"]]);
    history.archives.iter().map(|archive| archive.id).collect()
}

fn object() -> ArchiveObject {
    ArchiveObject {
        archive: archives()[0],
        part: ArchivePart::Segment(3),
        key: "home/archives/a/000003-x.zst.age".to_owned(),
        signed: Some(SignedObject {
            bytes: 1000,
            sha256: Sha256([1; 32]),
        }),
    }
}

fn seen(bytes: u64, sha256: Option<u8>) -> Seen {
    let sha256 = sha256.map(|byte| Sha256([byte; 32]));
    Seen { bytes, sha256 }
}

fn damaged(what: &str) -> Verdict {
    Verdict::Damaged(what.to_owned())
}

#[test]
fn an_object_is_sound_by_its_size_and_by_a_digest_where_there_is_one() {
    let other = || damaged("its SHA-256 is not the one in the ledger");
    let short = || damaged("it has 999 bytes, 1000 were stored");
    let none = || Verdict::Unchecked(Unchecked::NoDigest);
    for (seen, by_listing, by_digest) in [
        (None, damaged("it is missing"), damaged("it is missing")),
        (Some(seen(999, None)), short(), short()),
        (Some(seen(999, Some(1))), short(), short()),
        (Some(seen(1000, Some(2))), other(), other()),
        (Some(seen(1000, None)), Verdict::Sound, none()),
        (Some(seen(1000, Some(1))), Verdict::Sound, Verdict::Sound),
    ] {
        assert_eq!(judge_listed(&object(), seen), by_listing, "{seen:?}");
        assert_eq!(judge_digest(&object(), seen), by_digest, "{seen:?}");
    }
}

fn report(level: VerifyLevel, verdicts: &[(usize, Verdict)]) -> LevelReport {
    let objects = verdicts.iter().map(|(archive, verdict)| CheckedObject {
        archive: archives()[*archive],
        segment: None,
        key: String::new(),
        verdict: verdict.clone(),
    });
    LevelReport {
        objects: objects.collect(),
        ..LevelReport::new(level)
    }
}

#[test]
fn an_archive_is_sound_only_if_all_of_it_was_looked_at() {
    let cold = Verdict::Unchecked(Unchecked::Cold);
    let report = report(
        VerifyLevel::Deep,
        &[
            (0, Verdict::Sound),
            (0, Verdict::Sound),
            (1, Verdict::Sound),
            (1, cold.clone()),
            (2, cold.clone()),
        ],
    );
    assert_eq!((report.checked(), report.unchecked()), (3, 2));
    assert_eq!(
        report.unchecked_by_reason(),
        BTreeMap::from([(Unchecked::Cold, 2)])
    );
    assert_eq!(
        report.outcomes(),
        [
            (archives()[0], VerifyLevel::Deep, VerifyOutcome::Sound),
            (archives()[1], VerifyLevel::Deep, VerifyOutcome::Partial),
        ],
        "of what was not looked at there is nothing to remember"
    );
}

#[test]
fn damage_counts_more_than_what_was_left_out() {
    let report = report(
        VerifyLevel::Deep,
        &[
            (0, Verdict::Unchecked(Unchecked::NotSampled)),
            (0, damaged("it is missing")),
        ],
    );
    assert_eq!(
        report.outcomes(),
        [(archives()[0], VerifyLevel::Deep, VerifyOutcome::Damaged)]
    );
    assert_eq!(report.damaged().len(), 1);
}

#[test]
fn what_nothing_has_opened_had_its_checksums_checked_whatever_came_of_it() {
    for (verdict, outcome) in [
        (Verdict::Hashed, VerifyOutcome::Sound),
        (damaged("it is missing"), VerifyOutcome::Damaged),
    ] {
        let mut report = report(VerifyLevel::Deep, &[(0, Verdict::Sound), (0, verdict)]);
        report.unopened.insert(archives()[0]);
        assert_eq!(
            report.outcomes(),
            [(archives()[0], VerifyLevel::Checksums, outcome)]
        );
    }
}

#[test]
fn what_was_hashed_is_told_apart_from_what_was_opened() {
    let report = report(
        VerifyLevel::Deep,
        &[(0, Verdict::Sound), (0, Verdict::Hashed)],
    );
    assert_eq!((report.checked(), report.hashed()), (2, 1));
}

#[test]
fn what_was_restored_and_not_compared_was_checked_in_part() {
    let not_compared = Verdict::Unchecked(Unchecked::NotCompared);
    let report = report(
        VerifyLevel::Drill,
        &[(0, Verdict::Sound), (1, not_compared)],
    );
    assert_eq!((report.checked(), report.unchecked()), (1, 1));
    assert_eq!(
        report.outcomes(),
        [
            (archives()[0], VerifyLevel::Drill, VerifyOutcome::Sound),
            (archives()[1], VerifyLevel::Drill, VerifyOutcome::Partial),
        ]
    );
}

fn segments() -> impl Strategy<Value = Vec<(ArchiveId, u32)>> {
    (0..40_u32, 0..40_u32).prop_map(|(first, second)| {
        let of = |archive, count| (0..count).map(move |index| (archive, index));
        of(archives()[0], first)
            .chain(of(archives()[1], second))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_sample_has_its_size_and_is_the_same_for_the_same_seed(
        segments in segments(), percent in 1..=100_u8, seed: u64
    ) {
        let sample = Sample { percent, seed };
        let chosen = choose(&segments, sample);
        let least = segments.len() * usize::from(percent);
        prop_assert_eq!(chosen.len(), least.div_ceil(100));
        prop_assert!(chosen.iter().all(|segment| segments.contains(segment)));
        let mut reversed = segments.clone();
        reversed.reverse();
        prop_assert_eq!(&choose(&reversed, sample), &chosen);
        if percent < 100 {
            let more = choose(&segments, Sample { percent: percent + 1, seed });
            prop_assert!(chosen.is_subset(&more));
        }
    }
}

#[test]
fn another_seed_chooses_others() {
    let segments: Vec<_> = (0..100).map(|index| (archives()[0], index)).collect();
    let of = |seed| choose(&segments, Sample { percent: 10, seed });
    assert_ne!(of(1), of(2));
    let all = (0..200).fold(BTreeSet::new(), |all, seed| &all | &of(seed));
    assert_eq!(all.len(), 100, "each is in some sample");
}

#[test]
fn damage_of_contents_is_reported_and_is_no_damage_of_their_archive() {
    let archive = archives()[0];
    let contents = CheckedObject {
        archive,
        segment: None,
        key: format!("home/archives/{archive}/contents-000000-5d0f3a6611c7e294.zst.age"),
        verdict: damaged("it is missing"),
    };
    let mut report = report(VerifyLevel::Listing, &[(0, Verdict::Sound)]);
    report.objects.push(contents.clone());
    let sound = (archive, VerifyLevel::Listing, VerifyOutcome::Sound);
    assert_eq!(report.outcomes(), [sound]);
    let damaged = report.damaged();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].key, contents.key);
}
