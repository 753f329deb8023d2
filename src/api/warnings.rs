//! Collects the warnings of a call.

use std::sync::{Arc, Mutex, PoisonError};

use crate::progress::{Event, Observer};

/// Keeps the warnings that a call would print. A clone keeps them in the same place.
#[derive(Debug, Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds one.
    pub(super) fn add(&self, warning: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(warning);
    }

    /// Returns those so far, and begins anew.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { source, message } = event {
            self.add(format!("{source}: {message}"));
        }
    }
}
