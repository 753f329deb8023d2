//! Damaged segments: only the files that need them are missing, and each is named.

use std::fs;

use super::archived::{Archived, holds};
use crate::common::s3_server::BUCKET;

/// Extracts everything, and returns which files are missing. The others must be whole.
fn lost(archived: &Archived, to: &str) -> Vec<String> {
    let run = archived.extract(&format!("/ --to $T/{to}"));
    let mut whole = archived.newest.clone();
    let mut lost = Vec::new();
    whole.retain(|path, _| {
        let is_there = fs::exists(archived.path(to).join(path)).unwrap();
        if !is_there {
            lost.push((*path).to_owned());
        }
        is_there
    });
    holds(&archived.path(to), &whole);
    let code = if lost.is_empty() { 0 } else { 6 };
    assert_eq!(run.code, Some(code), "{run:?}");
    for path in &lost {
        assert!(run.stderr.contains(path.as_str()), "{path}: {}", run.stderr);
    }
    lost
}

#[test]
fn every_damage_to_every_segment_costs_the_files_in_it_alone() {
    let archived = Archived::new("");
    let segments = archived.segments();
    assert!(segments.len() > 2, "{segments:?}");
    for (number, key) in segments.iter().enumerate() {
        let objects = archived.server.objects(BUCKET);
        let sound = objects[key].body.to_vec();
        let other = objects[&segments[(number + 1) % segments.len()]]
            .body
            .to_vec();
        // The header of a segment is in the contents too, and not read here.
        let middle = sound.len() / 4 * 3;
        let damages: [(&str, Vec<u8>); 4] = [
            ("flipped", {
                let mut bytes = sound.clone();
                bytes[middle] ^= 1;
                bytes
            }),
            ("cut", sound[..middle].to_vec()),
            ("empty", Vec::new()),
            ("swapped", other),
        ];
        for (what, bytes) in damages {
            archived.server.damage(BUCKET, key, |body| *body = bytes);
            let to = format!("{number}-{what}");
            let lost = lost(&archived, &to);
            assert!(!lost.is_empty(), "{key}: {what}");
            assert!(lost.len() < archived.newest.len(), "{key}: {what}");
            archived
                .server
                .damage(BUCKET, key, |body| body.clone_from(&sound));
        }
    }
    assert_eq!(lost(&archived, "sound"), [""; 0]);
}

#[test]
fn a_segment_that_is_missing_is_named_with_its_files() {
    let archived = Archived::new("");
    let key = &archived.segments()[0];
    archived.server.lose(BUCKET, key);
    let lost = lost(&archived, "out");
    assert!(lost.contains(&"album/b".to_owned()) || lost.contains(&"album/a".to_owned()));
    // What does not need it is extracted as if nothing were wrong.
    let run = archived.extract("notes/two --to $T/two");
    assert_eq!(run.code, Some(0), "{run:?}");
}
