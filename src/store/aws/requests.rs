//! The requests of a store: they are repeated until one succeeds, can't succeed, or the time for it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access::ServiceAccess;
use super::answer::Judged;
use super::body::Meter;
use super::bounded::Bound;
use super::clock::ServerClock;
use super::connect::{Prepared, prepare};
use super::credentials::KeptCredentials;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::{Again, Attempts, Told, Waiting};

/// Makes a client of a service.
type Make<C> = Box<dyn Fn(&Prepared, &ServerClock) -> C + Send + Sync>;

/// A client, and the credentials that it signs with.
#[derive(Debug, Clone)]
pub(in crate::store) struct Connection<C> {
    pub(in crate::store) client: C,
    pub(super) credentials: KeptCredentials,
}

/// The requests to one service.
pub(in crate::store) struct Requests<'a, C> {
    access: ServiceAccess,
    bound: Bound,
    make: Make<C>,
    told: Told<'a>,
    /// Made at the first request, and again when its credentials have expired.
    connection: Mutex<Option<Connection<C>>>,
    clock: ServerClock,
    /// Whether the service has ever answered in its own way.
    has_spoken: AtomicBool,
}

impl<'a, C: Clone> Requests<'a, C> {
    /// Sends no request.
    pub(in crate::store) fn new(
        access: ServiceAccess,
        bound: Bound,
        told: Told<'a>,
        make: impl Fn(&Prepared, &ServerClock) -> C + Send + Sync + 'static,
    ) -> Self {
        Self {
            access,
            bound,
            make: Box::new(make),
            told,
            connection: Mutex::new(None),
            clock: ServerClock::default(),
            has_spoken: AtomicBool::new(false),
        }
    }

    /// The service's clock.
    pub(in crate::store) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Notes that the service has answered in its own way.
    pub(in crate::store) fn has_answered(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str) -> StoreError {
        StoreError::new(kind, operation, key, &self.access.url)
    }

    async fn connect(&self) -> Result<Connection<C>, StoreError> {
        let prepared = prepare(&self.access, self.bound).await?;
        Ok(Connection {
            client: (self.make)(&prepared, &self.clock),
            credentials: prepared.credentials,
        })
    }

    /// The connection that is open, or a new one.
    pub(in crate::store) async fn connection(&self) -> Result<Connection<C>, StoreError> {
        if let Some(known) = self.known_connection().clone() {
            return Ok(known);
        }
        let made = self.connect().await?;
        *self.known_connection() = Some(made.clone());
        Ok(made)
    }

    fn known_connection(&self) -> MutexGuard<'_, Option<Connection<C>>> {
        let known = self.connection.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one attempt after getting credentials to sign it. The time that these take does not count as a
    /// stall of the line.
    pub(in crate::store) async fn attempt<T>(
        &self,
        connection: &Connection<C>,
        meter: &Meter,
        silence: Duration,
        attempt: &mut impl AsyncFnMut(&C, &Meter) -> Result<T, Judged>,
    ) -> Result<T, Judged> {
        if let Err(missing) = connection.credentials.require().await {
            // The service accepted earlier credentials, so wait: their renewal may be late.
            let again = if self.clock.has_answered() {
                Again::Wait(None)
            } else {
                missing.again
            };
            return Err(Judged { again, ..missing });
        }
        let patience = &self.access.patience;
        let stall = if self.clock.has_answered() {
            patience.stall
        } else {
            patience.stall.min(patience.first_contact)
        };
        let stall = stall.saturating_add(silence);
        meter
            .watch(stall, attempt(&connection.client, meter))
            .await
            .unwrap_or_else(|| Err(Judged::stalled(stall)))
    }

    /// Retries an attempt until it succeeds, can't succeed, or its time is over.
    pub(in crate::store) async fn persevere<T>(
        &self,
        operation: Operation,
        key: &str,
        attempt: impl AsyncFnMut(&C, &Meter) -> Result<T, Judged>,
    ) -> Result<T, StoreError> {
        self.persevere_through(Duration::ZERO, operation, key, attempt)
            .await
    }

    /// The same for a request whose answer may be so much later than that of others.
    pub(in crate::store) async fn persevere_through<T>(
        &self,
        silence: Duration,
        operation: Operation,
        key: &str,
        mut attempt: impl AsyncFnMut(&C, &Meter) -> Result<T, Judged>,
    ) -> Result<T, StoreError> {
        let patience = &self.access.patience;
        let meter = Meter::default();
        let mut attempts = Attempts::new(patience);
        loop {
            let connection = self.connection().await?;
            let mut judged = match self
                .attempt(&connection, &meter, silence, &mut attempt)
                .await
            {
                Ok(done) => {
                    self.has_spoken.store(true, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(judged) => judged,
            };
            if judged.answer.code.is_some() {
                self.has_spoken.store(true, Ordering::Relaxed);
            }
            // Something is between this machine and an existing service, for a while or for one request.
            if let Some((kind, again)) = judged.otherwise
                && self.has_spoken.load(Ordering::Relaxed)
            {
                judged.kind = kind;
                judged.again = again;
            }
            if judged.kind == ErrorKind::Expired {
                // The credentials may be renewed by the next attempt.
                *self.known_connection() = None;
            }
            if judged.progressed {
                attempts.progressed();
            }
            let budget = if self.clock.has_answered() {
                patience.give_up_after
            } else {
                patience.first_contact.min(patience.give_up_after)
            };
            let since = attempts.since();
            let pause = attempts.next_pause(judged.again, budget);
            let error = self
                .error(judged.kind, operation, key)
                .advising(judged.answer.take_advice());
            let Some(pause) = pause else {
                return Err(error.because(judged.answer.after(attempts.failures(), since)));
            };
            let error = error.because(*judged.answer);
            (self.told)(&Waiting {
                error: &error,
                pause,
                since,
            });
            tokio::time::sleep(pause).await;
        }
    }
}
