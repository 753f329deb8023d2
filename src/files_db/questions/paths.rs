//! Paths of objects: from a name up to the root.

use std::collections::HashMap;
use std::rc::Rc;

use super::FileQuestions;
use super::error::IndexReadError;
use super::rows::{ArchiveSpan, IndexedName};
use crate::model::file_node::ObjectId;

/// The most directories that a path leads through. Linux takes paths of 4096 bytes; deeper trees are made step by step.
const DEEPEST: usize = 1 << 20;

/// A path, and in which archives it is one's.
type PathThen = (ArchiveSpan, Rc<[u8]>);

/// Finds paths. It remembers those of directories, because most files share theirs.
pub struct PathFinder<'q> {
    questions: &'q FileQuestions,
    known: HashMap<ObjectId, Vec<PathThen>>,
}

impl<'q> PathFinder<'q> {
    /// Returns one that knows no path yet.
    pub fn new(questions: &'q FileQuestions) -> Self {
        Self {
            questions,
            known: HashMap::new(),
        }
    }

    /// Returns the path of a directory in an archive, without a slash in front, and when else it has that path. `None` if it
    /// is in no other directory.
    pub fn directory(
        &mut self,
        directory: ObjectId,
        at: i64,
    ) -> Result<Option<PathThen>, IndexReadError> {
        let mut names: Vec<IndexedName> = Vec::new();
        let mut current = directory;
        let (mut span, mut path) = loop {
            if current == ObjectId::ROOT {
                break (ArchiveSpan::ALWAYS, Rc::from([]));
            }
            if let Some(known) = self.known_at(current, at) {
                break known;
            }
            let Some(name) = self.questions.names_at(current, at)?.into_iter().next() else {
                return Ok(None);
            };
            if names.len() == DEEPEST {
                return Err(IndexReadError::Damaged {
                    path: self.questions.path.clone(),
                    what: "a directory is below itself",
                });
            }
            current = name.parent;
            names.push(name);
        };
        while let Some(name) = names.pop() {
            path = joined(&path, &name.name).into();
            // Both have the archive that is asked about.
            span = span.common(name.span).unwrap_or(span);
            let known = self.known.entry(name.object).or_default();
            known.push((span, Rc::clone(&path)));
        }
        Ok(Some((span, path)))
    }

    /// Returns the path that a name has in an archive, without a slash in front.
    pub fn path(&mut self, name: &IndexedName, at: i64) -> Result<Option<Vec<u8>>, IndexReadError> {
        let above = self.directory(name.parent, at)?;
        Ok(above.map(|(_, above)| joined(&above, &name.name)))
    }

    /// Returns all paths that a name has, and when: its directories may have moved.
    pub fn paths(
        &mut self,
        name: &IndexedName,
    ) -> Result<Vec<(ArchiveSpan, Vec<u8>)>, IndexReadError> {
        let mut paths = Vec::new();
        let mut at = name.span.since;
        let last = self.questions.last_number();
        while at < name.span.till && at <= last {
            let Some((span, above)) = self.directory(name.parent, at)? else {
                at += 1;
                continue;
            };
            let till = span.till.min(name.span.till);
            let span = ArchiveSpan { since: at, till };
            paths.push((span, joined(&above, &name.name)));
            at = till;
        }
        Ok(paths)
    }

    fn known_at(&self, directory: ObjectId, at: i64) -> Option<(ArchiveSpan, Rc<[u8]>)> {
        let known = self.known.get(&directory)?;
        known.iter().find(|(span, _)| span.has(at)).cloned()
    }
}

impl FileQuestions {
    fn last_number(&self) -> i64 {
        let numbers = self.archives.iter().map(|archive| archive.number);
        numbers.max().unwrap_or(0)
    }
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() {
        return name.to_owned();
    }
    [above, b"/", name].concat()
}
