use super::*;
use crate::model::Sha256;
use crate::store::Role;

fn put(store: &DirStore, key: &str) -> Stat {
    let object = NewObject::new(key, b"x".to_vec(), Sha256::of(b"x"), Role::Segment);
    store.put_if_absent(&object).unwrap();
    store.stat(&store.locate(key)).unwrap()
}

#[test]
fn the_clock_is_the_one_that_gives_the_files_their_times() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    for at in 0..200 {
        let before = put(&store, &format!("a/{at}-before")).modified;
        let now = store.now().unwrap();
        let after = put(&store, &format!("a/{at}-after")).modified;
        assert!(before <= now && now <= after, "{before} {now} {after}");
    }
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!(names(directory.path()), 1, "nothing is left of asking");
    let made = fs::metadata(directory.path()).unwrap().modified().unwrap();
    store.guessed_now().unwrap();
    let later = fs::metadata(directory.path()).unwrap().modified().unwrap();
    assert_eq!(made, later, "a guess writes nothing");
    drop(directory);
    assert_eq!(store.now().unwrap_err().kind, ErrorKind::MissingRoot);
}

#[test]
fn a_directory_goes_with_the_last_of_its_objects_and_comes_again_with_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    put(&store, "home/archives/a/1");
    put(&store, "home/archives/a/2");
    let archive = directory.path().join("home/archives/a");
    store.delete(&store.locate("home/archives/a/1")).unwrap();
    assert!(archive.exists());
    store.delete(&store.locate("home/archives/a/2")).unwrap();
    assert!(!archive.exists() && archive.parent().unwrap().exists());
    let again = store.delete(&store.locate("home/archives/a/2")).unwrap();
    assert_eq!(again, Deleted::Absent);
    put(&store, "home/archives/a/1");
}

#[test]
fn who_puts_is_not_harmed_by_who_deletes_in_the_same_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for at in 0..100 {
                    let key = format!("home/archives/a/{writer}-{at}");
                    put(store, &key);
                    let deleted = store.delete(&store.locate(&key)).unwrap();
                    assert_eq!(deleted, Deleted::Removed);
                }
            });
        }
    });
}
