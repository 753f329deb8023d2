//! Decides whether a snapshot can be sent against an older one.
//!
//! `btrfs send` treats two files as the same one if their inode numbers and the transactions that made them
//! are equal. Two subvolumes that are written in parallel get such pairs by chance. A stream of one against
//! the other is then wrong, and no error says so. So the newer snapshot must descend from the older one.

use crate::model::{SubvolumeIdentity, Uuid};

/// Returns the first transaction whose changes may be in a snapshot of the subvolume `of` but not in the
/// snapshot `parent`; `None` if `of` does not descend from `parent`.
///
/// `of` descends from `parent` if `parent` is a snapshot of it. After a rollback it also descends if it was
/// made later than `parent`, as a writable snapshot of one of these: `parent`; the subvolume that `parent`
/// was taken of; an unchanged read-only snapshot of that subvolume. `find` returns the subvolume with a uuid
/// on that filesystem, if there is one. If descent can't be established, the answer is `None`.
pub fn descends<E>(
    of: Uuid,
    parent: &SubvolumeIdentity,
    find: impl Fn(Uuid) -> Result<Option<SubvolumeIdentity>, E>,
) -> Result<Option<u64>, E> {
    let forward = Some(parent.otransid.max(parent.ctransid) + 1);
    if parent.parent_uuid == Some(of) {
        return Ok(forward);
    }
    let Some(live) = find(of)? else {
        return Ok(None);
    };
    // Its origin could change until `live` was made, so `live` must be newer than `parent`.
    let is_later = live.otransid > parent.otransid && live.otransid >= parent.ctransid;
    let Some(made_of) = live.parent_uuid.filter(|_| is_later) else {
        return Ok(None);
    };
    if made_of == parent.uuid || parent.parent_uuid == Some(made_of) {
        return Ok(forward);
    }
    let between = find(made_of)?.filter(|between| {
        between.read_only
            && between.ctransid <= between.otransid
            && between.parent_uuid.is_some()
            && between.parent_uuid == parent.parent_uuid
    });
    // `live` has older versions of what `parent` changed since then, so every transaction counts.
    Ok(between.map(|_| 0))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn subvolume(uuid: u8, parent: Option<u8>, made: u64, read_only: bool) -> SubvolumeIdentity {
        SubvolumeIdentity {
            subvolume_id: 256 + u64::from(uuid),
            uuid: Uuid([uuid; 16]),
            parent_uuid: parent.map(|parent| Uuid([parent; 16])),
            received_uuid: None,
            ctransid: made,
            otransid: made,
            read_only,
        }
    }

    const ORIGIN: u8 = 1;
    const PARENT: u8 = 2;
    const LIVE: u8 = 3;
    const BETWEEN: u8 = 4;

    fn judged(of: u8, standing: &[SubvolumeIdentity]) -> Option<u64> {
        let parent = subvolume(PARENT, Some(ORIGIN), 50, true);
        let find = |uuid| Ok::<_, Infallible>(standing.iter().find(|it| it.uuid == uuid).cloned());
        descends(Uuid([of; 16]), &parent, find).unwrap()
    }

    #[test]
    fn the_same_subvolume_need_not_stand_any_more() {
        assert_eq!(judged(ORIGIN, &[]), Some(51));
        assert_eq!(judged(LIVE, &[]), None);
    }

    #[test]
    fn a_rollback_descends_if_it_was_made_later() {
        let live = |of, made| [subvolume(LIVE, Some(of), made, false)];
        for (of, made, expected) in [
            (PARENT, 51, true),
            (PARENT, 50, false),
            (ORIGIN, 51, true),
            (ORIGIN, 50, false),
            (ORIGIN, 7, false),
            (9, 51, false),
        ] {
            let since = expected.then_some(51);
            assert_eq!(judged(LIVE, &live(of, made)), since, "{of} {made}");
        }
        assert_eq!(judged(LIVE, &[subvolume(LIVE, None, 51, false)]), None);
    }

    #[test]
    fn a_rollback_to_another_snapshot_of_the_subvolume_descends_if_that_one_is_unchanged() {
        let live = subvolume(LIVE, Some(BETWEEN), 60, false);
        let sound = subvolume(BETWEEN, Some(ORIGIN), 20, true);
        let judge = |between: SubvolumeIdentity| judged(LIVE, &[live.clone(), between]);
        assert_eq!(judge(sound.clone()), Some(0));
        let changed = SubvolumeIdentity {
            ctransid: 21,
            ..sound
        };
        for between in [
            subvolume(BETWEEN, Some(ORIGIN), 20, false),
            subvolume(BETWEEN, Some(9), 20, true),
            subvolume(BETWEEN, None, 20, true),
            changed,
        ] {
            assert_eq!(judge(between), None);
        }
        assert_eq!(judged(LIVE, std::slice::from_ref(&live)), None);
    }

    #[test]
    fn a_parent_that_changed_after_its_making_counts_from_then() {
        let parent = SubvolumeIdentity {
            ctransid: 55,
            ..subvolume(PARENT, Some(ORIGIN), 50, true)
        };
        for (made, expected) in [(54, None), (55, Some(56))] {
            let live = subvolume(LIVE, Some(PARENT), made, false);
            let found = descends(Uuid([LIVE; 16]), &parent, |_| {
                Ok::<_, Infallible>(Some(live.clone()))
            });
            assert_eq!(found, Ok(expected));
        }
    }
}
