use std::sync::Mutex;

use super::*;

/// Refuses the operations that it names, and records what it was asked.
#[derive(Debug, Default)]
struct No {
    before: &'static str,
    after: &'static str,
    asked: Mutex<Vec<CatalogOperation>>,
}

impl Watch for No {
    fn before(&self, operation: CatalogOperation) -> Result<(), Cause> {
        self.asked.lock().unwrap().push(operation);
        if operation.doing == self.before {
            return Err("not now".into());
        }
        Ok(())
    }

    fn after(&self, operation: CatalogOperation) -> Result<(), Cause> {
        if operation.doing == self.after {
            return Err("too late".into());
        }
        Ok(())
    }
}

fn watched(no: No) -> (Catalog, Arc<No>) {
    let no = Arc::new(no);
    let watch: Arc<dyn Watch> = no.clone();
    (catalog().watched(watch), no)
}

#[test]
fn an_operation_that_is_refused_before_it_is_not_done() {
    let (mut catalog, _) = watched(No {
        before: "write an attempt",
        ..No::default()
    });
    let error = catalog.begin_attempt(&attempt(FULL)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not write an attempt in the catalog"
    );
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "not now"
    );
    assert!(!error.is_integrity());
    assert!(catalog.archives(&source().ledger).unwrap().is_empty());
}

#[test]
fn an_operation_that_is_refused_after_it_is_done_all_the_same() {
    let (mut catalog, _) = watched(No {
        after: "write an attempt",
        ..No::default()
    });
    assert!(catalog.begin_attempt(&attempt(FULL)).is_err());
    assert_eq!(catalog.archives(&source().ledger).unwrap().len(), 1);
}

#[test]
fn a_watch_is_asked_of_reads_and_writes_in_their_order() {
    let (mut catalog, no) = watched(No::default());
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    catalog.archives(&source().ledger).unwrap();
    catalog.tell(&source().name, "store", "it is slow").unwrap();
    let asked = no.asked.lock().unwrap();
    let asked: Vec<_> = asked.iter().map(|it| (it.doing, it.access)).collect();
    assert_eq!(
        asked,
        [
            ("write an attempt", Access::Write),
            ("read the archives", Access::Read),
            ("note a warning", Access::Write),
        ]
    );
}
