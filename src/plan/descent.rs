//! Whether a snapshot can be sent against an older one.
//!
//! `btrfs send` takes a file of both for the same one if its inode number and the transaction that made it are
//! equal. Two subvolumes that are written side by side make such pairs by chance, and the stream that is sent
//! from one against the other is wrong without a word. So the newer snapshot has to descend from the older one.

use crate::model::{SubvolumeIdentity, Uuid};

/// The first transaction that may have changed what is in a snapshot of the subvolume `of` and not in the snapshot
/// `parent`; `None` if it does not descend from that.
///
/// It descends if `parent` was taken of the same subvolume. After a rollback it does if the subvolume was made later
/// than `parent`, as a writable snapshot of `parent`, of the subvolume that `parent` was taken of, or of an
/// unchanged read-only snapshot of that one. `find` gives the subvolume with a uuid on that filesystem, if there is
/// one. What can't be found out is no descent.
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
    // What it was made of was writable beside `parent`, up to then.
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
    // What `parent` has changed since that one was made is older there.
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
