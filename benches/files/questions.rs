//! What each question takes.

use std::path::Path;
use std::time::Instant;

use coldchain::engine::{FileIndex, FindRequest, FindWhen, Glob};
use coldchain::files_db::{FileQuestions, IndexedArchive, NodeFilter};
use coldchain::model::file_node::ObjectId;
use coldchain::model::{ArchiveId, LedgerId};

use super::processor_time;

/// How often each question is asked.
const ROUNDS: usize = 5;

/// The root directory.
const ROOT: (&[u8], ObjectId) = (b"", ObjectId::ROOT);

struct Asked<'a> {
    path: &'a Path,
    ledger: &'a LedgerId,
    archives: &'a [ArchiveId],
}

/// Asks each question a few times, and prints the median.
pub(crate) fn ask_all(path: &Path, ledger: &LedgerId, archives: &[ArchiveId]) {
    let asked = Asked {
        path,
        ledger,
        archives,
    };
    let archive = |at: usize| asked.open().archives()[at];
    // The last of all is the second full.
    let (first, last) = (archive(0), archive(archives.len() - 2));
    let middle = archive(archives.len() / 2);
    let before = archive(archives.len() / 2 - 1);
    let names = |name: &str, when: FindWhen| request(Some(name), NodeFilter::ALL, when);
    let at = FindWhen::At(middle);
    for (what, request) in [
        ("find --name '*of 12*'", names("*of 12*", at)),
        ("find --name 'main1234*'", names("main1234*", at)),
        ("find --name '[x-z]*'", names("[x-z]*", at)),
        ("find --name '*.jpg'", names("*.jpg", at)),
        (
            "find --name 'main1234*' --all-dates",
            names("main1234*", FindWhen::Any),
        ),
        (
            "find --name '*.jpg' --all-dates",
            names("*.jpg", FindWhen::Any),
        ),
        (
            "find --deleted",
            request(None, NodeFilter::ALL, FindWhen::DeletedBefore(last)),
        ),
        (
            "find --deleted --name 'main1*'",
            names("main1*", FindWhen::DeletedBefore(last)),
        ),
        ("find --size +40K", request(None, larger_than(40_000), at)),
        ("find --type d", request(None, of_kind(0o040_000), at)),
    ] {
        asked.time(what, |index| index.find(&request).unwrap().len());
    }
    let names_of = |index: &FileIndex, is_recursive: bool| {
        let top = index.list(ROOT, middle, false).unwrap();
        let directory = top.iter().find(|file| file.version.is_directory()).unwrap();
        let of = (&directory.path[..], directory.version.object);
        index.list(of, middle, is_recursive).unwrap().len()
    };
    asked.time("ls of a directory", |index| names_of(index, false));
    asked.time("ls --recursive of an eighth of all", |index| {
        names_of(index, true)
    });
    let diff = |index: &FileIndex, pair: (IndexedArchive, IndexedArchive)| {
        index.diff(pair, b"").unwrap().len()
    };
    asked.time("diff of neighbours", |index| diff(index, (before, middle)));
    asked.time("diff of the first and the last", |index| {
        diff(index, (first, last))
    });
    let costs = |index: &FileIndex, pair: (IndexedArchive, IndexedArchive)| {
        index.costs(pair, b"", 20).unwrap().len()
    };
    asked.time("diff --stat of neighbours", |index| {
        costs(index, (before, middle))
    });
    asked.time("diff --stat of the first and the last", |index| {
        costs(index, (first, last))
    });
    asked.time("du, one level", |index| {
        index.weigh(ROOT, middle, 1).unwrap().len()
    });
    asked.time("du --by-date", |index| {
        index.weigh_by_date(b"").unwrap().len()
    });
}

impl Asked<'_> {
    fn open(&self) -> FileIndex {
        let questions = FileQuestions::open(self.path, self.ledger)
            .unwrap()
            .unwrap();
        FileIndex::of(questions, self.archives)
    }

    fn time(&self, what: &str, ask: impl Fn(&FileIndex) -> usize) {
        let (mut times, mut of_processor) = (Vec::new(), Vec::new());
        let mut answers = 0;
        for _ in 0..ROUNDS {
            let (began, cpu) = (Instant::now(), processor_time());
            let index = self.open();
            answers = ask(&index);
            drop(index);
            times.push(began.elapsed());
            of_processor.push(processor_time().saturating_sub(cpu));
        }
        times.sort_unstable();
        of_processor.sort_unstable();
        println!(
            "{what}: {:.1?}, {:.1?} of the processor, {answers} answers",
            times[ROUNDS / 2],
            of_processor[ROUNDS / 2],
        );
    }
}

fn request(name: Option<&str>, node: NodeFilter, when: FindWhen) -> FindRequest<'static> {
    FindRequest {
        below: b"",
        name: name.map(|name| Glob::new(name.as_bytes())),
        path: None,
        node,
        when,
    }
}

fn larger_than(bytes: u64) -> NodeFilter {
    NodeFilter {
        size: Some((bytes, u64::MAX)),
        ..NodeFilter::ALL
    }
}

fn of_kind(bits: u32) -> NodeFilter {
    NodeFilter {
        kind: Some(bits),
        ..NodeFilter::ALL
    }
}
