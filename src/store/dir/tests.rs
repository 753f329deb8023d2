use super::*;
use crate::model::Sha256;
use crate::store::ObjectKind;

fn put(store: &DirStore, key: &str) -> Stat {
    let object = NewObject::new(key, b"x".to_vec(), Sha256::of(b"x"), ObjectKind::Segment);
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

#[test]
fn a_listing_ends_where_it_would_take_too_much_memory() {
    let directory = tempfile::tempdir().unwrap();
    let limit = 256 << 10;
    let store = DirStore::open(directory.path())
        .unwrap()
        .listing_within(limit);
    let fill = |below: &str, as_directories: bool| {
        let root = directory.path().join(below);
        fs::create_dir(&root).unwrap();
        for at in 0..2000 {
            let path = root.join(format!("{at:0200}"));
            if as_directories {
                fs::create_dir(path).unwrap();
            } else {
                File::create(path).unwrap();
            }
        }
    };
    fill("files", false);
    fill("directories", true);
    for prefix in ["files/", "directories/", ""] {
        let error = store.list(prefix).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooMany, "{prefix}: {error}");
        assert_eq!(error.key, prefix);
        let cause = error.source.unwrap().to_string();
        assert!(cause.contains("`memory_limit`"), "{cause}");
    }
    let roomy = DirStore::open(directory.path()).unwrap();
    assert_eq!(roomy.list("").unwrap().len(), 2000);
}

#[test]
fn a_deep_directory_is_walked_no_deeper_than_a_key_goes() {
    let directory = tempfile::tempdir().unwrap();
    let mut at = Directory::root(directory.path()).unwrap();
    for _ in 0..2000 {
        at = at.make("d").unwrap();
        at.create("file").unwrap();
    }
    let store = DirStore::open(directory.path()).unwrap();
    let listed = store.list("").unwrap();
    let longest = listed.iter().map(|listed| listed.key.len()).max();
    assert_eq!((listed.len(), longest), (510, Some(1024)));
}

#[test]
fn what_stands_beside_an_object_is_read_no_further_than_it_can_go() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    put(&store, "a/segment");
    let beside = directory.path().join("a/.cold-segment");
    // JSON may have blanks around it, so only the limit keeps them from being read.
    let mut text = b"{\"class\":\"GLACIER\",\"thaw\":null}".to_vec();
    fs::write(&beside, &text).unwrap();
    assert!(store.list("a/").unwrap()[0].stat.class.is_some());
    text.resize(1 << 20, b' ');
    text.push(b'!');
    fs::write(&beside, &text).unwrap();
    assert!(
        store.list("a/").unwrap()[0].stat.class.is_some(),
        "what comes after 4 KiB is not looked at"
    );
    let file = File::create(&beside).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = store.list("a/").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(
        error
            .source
            .unwrap()
            .to_string()
            .contains("a/.cold-segment")
    );
}

#[test]
fn a_limit_holds_for_ranges_too() {
    let directory = tempfile::tempdir().unwrap();
    let open = || DirStore::open(directory.path()).unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(500_000).collect();
    let sha256 = Sha256::of(&bytes);
    let object = NewObject::new("a", bytes.clone(), sha256, ObjectKind::Segment);
    open().put_if_absent(&object).unwrap();
    let store = open().limited(RateLimit::new(1_000_000.try_into().unwrap()));
    let begun = std::time::Instant::now();
    let range = store.get_range(&store.locate("a"), 1000, 300_000).unwrap();
    assert!(range == bytes[1000..301_000]);
    assert!(begun.elapsed() >= Duration::from_millis(250));
}
