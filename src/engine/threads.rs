//! Threads of a scope, where the system may allow no more of them: `Scope::spawn` would panic then.

use std::thread::{self, Scope, ScopedJoinHandle};

use crate::error::Error;

/// Starts a thread.
pub(in crate::engine) fn spawn_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    that: &'static str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    thread::Builder::new()
        .spawn_scoped(scope, work)
        .map_err(|source| Error::Thread { that, source })
}

/// Starts as many threads that do the same as are wanted and the system allows. Fails if it allows none.
pub(in crate::engine) fn spawn_some<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    that: &'static str,
    wanted: usize,
    work: impl FnOnce() -> T + Clone + Send + 'scope,
) -> Result<Vec<ScopedJoinHandle<'scope, T>>, Error> {
    let mut threads = Vec::new();
    for _ in 0..wanted {
        match spawn_in(scope, that, work.clone()) {
            Ok(thread) => threads.push(thread),
            Err(error) if threads.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(threads)
}
