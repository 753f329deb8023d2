//! The one way to the database: every operation is a read or a write, and a watch may be set on them.

use std::fmt::Debug;
use std::sync::Arc;

use rusqlite::{Params, Row, Transaction, TransactionBehavior};

use super::Catalog;
use super::error::{CatalogError, Cause, Doing};

/// Whether an operation changes the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It leaves the catalog as it is.
    Read,
    /// It is one transaction.
    Write,
}

/// An operation on a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogOperation {
    /// What is being done: "record a stored segment".
    pub doing: &'static str,
    /// Whether it changes the catalog.
    pub access: Access,
}

/// Is asked before and after each operation on a catalog, and can refuse it.
///
/// Tests use it to make the k-th operation fail, lose its answer, or be the last one before a power failure.
pub trait Watch: Debug + Send + Sync {
    /// Asked before an operation. On an error nothing is done, and the operation returns that error.
    fn before(&self, operation: CatalogOperation) -> Result<(), Cause>;

    /// Asked after an operation that succeeded; a write is durable by then. On an error the operation returns
    /// that error, although it was done.
    fn after(&self, operation: CatalogOperation) -> Result<(), Cause>;
}

impl Catalog {
    /// The catalog with a watch on each operation from now on.
    #[must_use]
    pub fn watched(self, watch: Arc<dyn Watch>) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// Reads every row that a query gives, in its order.
    pub(super) fn select<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, CatalogError> {
        let access = Access::Read;
        self.ask(CatalogOperation { doing, access }, |watch, it| {
            watch.before(it)
        })?;
        let rows = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(params, row)?.collect())
            .doing(doing)?;
        self.ask(CatalogOperation { doing, access }, |watch, it| {
            watch.after(it)
        })?;
        Ok(rows)
    }

    /// Writes, in one transaction: all of it is done, or nothing.
    pub(super) fn write<T>(
        &mut self,
        doing: &'static str,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        let access = Access::Write;
        self.ask(CatalogOperation { doing, access }, |watch, it| {
            watch.before(it)
        })?;
        // Immediate: a transaction that has read can't wait for another process's write any more.
        let written = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let written = act(&transaction)?;
                transaction.commit()?;
                Ok(written)
            })
            .doing(doing)?;
        self.ask(CatalogOperation { doing, access }, |watch, it| {
            watch.after(it)
        })?;
        Ok(written)
    }

    /// Writes with one statement.
    pub(super) fn execute(
        &mut self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<(), CatalogError> {
        self.write(doing, |transaction| {
            transaction.execute(sql, params).map(drop)
        })
    }

    fn ask(
        &self,
        operation: CatalogOperation,
        ask: impl FnOnce(&dyn Watch, CatalogOperation) -> Result<(), Cause>,
    ) -> Result<(), CatalogError> {
        let Some(watch) = &self.watch else {
            return Ok(());
        };
        ask(watch.as_ref(), operation).map_err(|source| CatalogError::Watched {
            doing: operation.doing,
            source,
        })
    }
}
