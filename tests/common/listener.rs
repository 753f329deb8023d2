//! A server's port and connections, a thread each, that end with the server.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::s3_server::http::Wire;

/// A port of this machine that is listened on. Dropped, it takes all its connections with it.
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Gives back the threads of the connections that it has accepted.
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
    closing: Arc<Closing>,
}

impl Listener {
    /// Calls `serve` for each connection, on a thread of its own. It returns when the connection ends.
    pub fn start(closing: Arc<Closing>, serve: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            connections: Mutex::default(),
            closing,
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &Arc::new(serve))
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.closing.close();
        // The acceptor only looks up when somebody comes.
        drop(TcpStream::connect(self.address));
        let Some(Ok(threads)) = self.acceptor.take().map(JoinHandle::join) else {
            return;
        };
        for stream in lock(&self.shared.connections).values() {
            // One that the client has closed already is no worry.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "it panicked");
        }
    }
}

fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    serve: &Arc<impl Fn(&mut Wire) + Send + Sync + 'static>,
) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::new();
    for (number, stream) in (0..).zip(listener.incoming()) {
        if shared.closing.is_closing() {
            break;
        }
        let Ok(stream) = stream.map(Arc::new) else {
            continue;
        };
        lock(&shared.connections).insert(number, Arc::clone(&stream));
        let (shared, serve) = (Arc::clone(shared), Arc::clone(serve));
        threads.push(std::thread::spawn(move || {
            let mut wire = Wire::new(stream);
            // Dropped before the wire: only the last owner of a socket closes it.
            let _listed = Listed {
                shared: &shared,
                number,
            };
            serve(&mut wire);
        }));
    }
    threads
}

/// A connection in the list of those that the server's end has to end too.
struct Listed<'s> {
    shared: &'s Shared,
    number: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        lock(&self.shared.connections).remove(&self.number);
    }
}

/// The end of the server, to wait for.
#[derive(Default)]
pub struct Closing {
    closing: Mutex<bool>,
    changed: Condvar,
}

impl Closing {
    fn close(&self) {
        *lock(&self.closing) = true;
        self.changed.notify_all();
    }

    fn is_closing(&self) -> bool {
        *lock(&self.closing)
    }

    /// Waits for so long, or for ever; an error is the end of the server, which ends the wait.
    pub fn wait(&self, length: Option<Duration>) -> io::Result<()> {
        let until = length.map(|length| Instant::now() + length);
        let mut closing = lock(&self.closing);
        while !*closing {
            let left = match until {
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Ok(());
            }
            closing = match self.changed.wait_timeout(closing, left) {
                Ok((closing, _)) => closing,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// A thread that panicked has failed its test already; the others may still look and clean up.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
