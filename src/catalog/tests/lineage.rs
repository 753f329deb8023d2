use super::*;
use crate::model::{VerifyLevel, VerifyOutcome};

fn at(day: u32) -> Timestamp {
    format!("2026-12-{day:02}T03:00:07Z").parse().unwrap()
}

/// Absorbs archives of a ledger: each with its chain's full and what it is incremental on.
fn fill(catalog: &mut Catalog, ledger: u8, archives: &[(&str, &str, Option<&str>)]) {
    let parsed = |id: &str| id.parse::<ArchiveId>().unwrap();
    for (seq, (id, chain, send_parent)) in (2..).zip(archives) {
        let mut archive = archive_entry(id);
        archive.kind = archive.id.kind;
        archive.chain = parsed(chain);
        archive.send_parent = send_parent.map(parsed);
        archive.send_parent_uuid = send_parent.map(|_| Uuid([1; 16]));
        archive.stream_uuid = Uuid([16 * ledger + u8::try_from(seq).unwrap(); 16]);
        archive.recipients = Sha256([u8::try_from(seq / 4).unwrap(); 32]);
        let hash = Sha256([16 * ledger + u8::try_from(seq).unwrap(); 32]);
        let entry = NewEntry {
            seq,
            hash,
            ..entry(id.as_bytes())
        };
        let effect = Effect::Archive {
            entry: &archive,
            locators: &["somewhere".to_owned()],
        };
        let ledger = LedgerId([ledger; 16]);
        catalog.absorb(&ledger, &entry, now(), effect).unwrap();
    }
}

const HOME: [(&str, &str, Option<&str>); 6] = [
    (
        "2026-11-01-full-000000000000000a",
        "2026-11-01-full-000000000000000a",
        None,
    ),
    (
        "2026-11-07-incr-000000000000000b",
        "2026-11-01-full-000000000000000a",
        Some("2026-11-01-full-000000000000000a"),
    ),
    (
        "2026-11-08-full-000000000000000c",
        "2026-11-08-full-000000000000000c",
        None,
    ),
    // It builds on the full, not on the archive before it.
    (
        "2026-11-14-incr-000000000000000d",
        "2026-11-01-full-000000000000000a",
        Some("2026-11-01-full-000000000000000a"),
    ),
    (
        "2026-11-15-incr-000000000000000e",
        "2026-11-08-full-000000000000000c",
        Some("2026-11-08-full-000000000000000c"),
    ),
    (
        "2026-11-21-incr-000000000000000f",
        "2026-11-08-full-000000000000000c",
        Some("2026-11-15-incr-000000000000000e"),
    ),
];

/// Two sources with archives of the same dates; of the first one an archive is retired.
fn two_sources() -> Catalog {
    let mut catalog = catalog();
    catalog
        .add_source(&SourceRow {
            name: "docs".parse().unwrap(),
            directory: "docs".to_owned(),
            ledger: LedgerId([8; 16]),
            ..source()
        })
        .unwrap();
    fill(&mut catalog, 7, &HOME);
    let docs = HOME.map(|(id, chain, send_parent)| {
        let other = |id: &str| id.replace("-000", "-100");
        (other(id), other(chain), send_parent.map(other))
    });
    let docs = docs
        .each_ref()
        .map(|(id, chain, parent)| (&id[..], &chain[..], parent.as_deref()));
    fill(&mut catalog, 8, &docs);
    let old = HOME[1].0.parse().unwrap();
    let retire = NewEntry {
        seq: 8,
        kind: "retire",
        ..entry(b"retire")
    };
    catalog
        .absorb(&source().ledger, &retire, now(), Effect::Retire(&[old]))
        .unwrap();
    catalog
}

#[test]
fn a_lineage_is_what_the_archives_say_one_by_one() {
    let catalog = two_sources();
    for ledger in [LedgerId([7; 16]), LedgerId([8; 16])] {
        let links: Vec<Link> = catalog
            .visible(&ledger)
            .unwrap()
            .iter()
            .map(Link::from)
            .collect();
        assert_eq!(links.len(), if ledger.0[0] == 7 { 5 } else { 6 });
        assert_eq!(catalog.lineage(&ledger).unwrap(), links);
        let listed = catalog.listed(&ledger, WhichArchives::Everything).unwrap();
        let visible = listed.iter().filter(|row| row.is_visible());
        assert_eq!(visible.map(|row| row.link).collect::<Vec<_>>(), links);
    }
}

#[test]
fn a_list_has_the_newest_sound_check_of_each_committed_archive() {
    let mut catalog = two_sources();
    let checks = [
        (0, VerifyLevel::Listing, VerifyOutcome::Sound, 3),
        (0, VerifyLevel::Drill, VerifyOutcome::Sound, 2),
        (0, VerifyLevel::Deep, VerifyOutcome::Sound, 1),
        // That one is retired.
        (1, VerifyLevel::Deep, VerifyOutcome::Sound, 9),
        (3, VerifyLevel::Checksums, VerifyOutcome::Sound, 5),
        (3, VerifyLevel::Deep, VerifyOutcome::Partial, 6),
        (4, VerifyLevel::Listing, VerifyOutcome::Damaged, 7),
        (5, VerifyLevel::Deep, VerifyOutcome::Sound, 8),
    ];
    let rows = checks.map(|(archive, level, outcome, day)| VerificationRow {
        archive: HOME[archive].0.parse().unwrap(),
        level,
        outcome,
        at: at(day),
    });
    catalog.record_verifications(&rows).unwrap();
    let sound = |ledger: u8| {
        let rows = catalog.listed(&LedgerId([ledger; 16]), WhichArchives::Everything);
        let rows = rows.unwrap();
        rows.iter()
            .map(|row| (row.sound_at, row.deep_sound_at))
            .collect::<Vec<_>>()
    };
    let expected = [
        (Some(at(3)), Some(at(2))),
        (None, None),
        (None, None),
        (Some(at(5)), None),
        (None, None),
        (Some(at(8)), Some(at(8))),
    ];
    assert_eq!(sound(7), expected);
    assert_eq!(sound(8), [(None, None); 6]);
}
