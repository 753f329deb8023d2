//! What an archive's entry may say.

use super::*;

#[test]
fn an_archive_that_contradicts_itself_or_its_chain_is_refused() {
    type Change = fn(&mut ArchiveEntry);
    let ledger = Ledger::with_a_chain();
    let first = full("2026-11-01", 1);
    let good = full("2026-11-14", 9);
    let next = incremental("2026-11-14", 9, &first);
    let fulls: [(&str, Change); 12] = [
        ("date", |archive| {
            archive.date = "2026-11-15".parse().unwrap();
        }),
        ("slot", |archive| {
            archive.slot = "2026-11-21".parse().unwrap();
        }),
        ("kind", |archive| archive.kind = ArchiveKind::Incremental),
        ("chain", |archive| archive.chain = full("2026-11-01", 1).id),
        ("parent", |archive| {
            archive.send_parent = Some(full("2026-11-01", 1).id);
        }),
        ("known stream", |archive| {
            archive.stream_uuid = full("2026-11-01", 1).stream_uuid;
        }),
        ("known id", |archive| *archive = full("2026-11-01", 1)),
        ("raw sum", |archive| archive.raw_bytes = 31),
        ("sealed sum", |archive| archive.sealed_bytes = 23),
        ("no segment", |archive| archive.segments.clear()),
        ("segment size", |archive| archive.segment_size = 15),
        ("empty segment", |archive| archive.segments[1].raw_bytes = 0),
    ];
    let incrementals: [(&str, Change); 4] = [
        ("no parent", |archive| archive.send_parent = None),
        ("unknown parent", |archive| {
            archive.send_parent = Some(full("2026-11-14", 9).id);
        }),
        ("other chain", |archive| {
            archive.chain = full("2026-11-14", 9).id;
        }),
        ("parent's uuid", |archive| {
            archive.send_parent_uuid = Some(Uuid([8; 16]));
        }),
    ];
    let fulls = fulls.map(|(what, change)| (what, good.clone(), change));
    let incrementals = incrementals.map(|(what, change)| (what, next.clone(), change));
    for (what, mut archive, change) in fulls.into_iter().chain(incrementals) {
        change(&mut archive);
        let refusal = ledger.refusal(&ledger.archive_object(archive));
        assert!(refusal.was_signed(), "{what}: {refusal}");
    }
    let mut replay = ledger.replayed();
    replay.absorb(4, &ledger.archive_object(next)).unwrap();
}
