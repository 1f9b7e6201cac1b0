//! Limits how many clients are connected at once, and knows which of them the
//! plugin waits for.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stream::Stream;

/// At most this many clients of one door are connected at once.
const MOST: usize = 256;
/// A client that has been silent for less time may be about to send a request.
const SILENCE_AT_LEAST: Duration = Duration::from_millis(250);
/// During shutdown, clients that are silent for this long are not waited for.
const SILENCE_AT_STOP: Duration = Duration::from_secs(1);

/// The clients of one door.
#[derive(Default)]
pub struct Connections {
    list: Mutex<List>,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct List {
    last: u64,
    by_number: BTreeMap<u64, Arc<Connection>>,
}

/// A connected client.
pub struct Connection {
    /// The connection.
    pub stream: Stream,
    doing: Mutex<Doing>,
}

/// What a client and the plugin do at the moment.
struct Doing {
    what: What,
    since: Instant,
    /// The last call of which at least the head has been read.
    call: String,
}

#[derive(PartialEq)]
enum What {
    /// The plugin waits for the client, between two calls or in a head.
    Idle,
    /// The plugin waits for the client, in the body or in the answer of a call.
    Talking,
    /// The client waits for the plugin.
    Working,
}

/// A place in the list, which is free again when this is dropped.
pub struct Place {
    connections: Arc<Connections>,
    number: u64,
    /// The client that has the place.
    pub connection: Arc<Connection>,
}

impl Connections {
    /// Waits for a free place and gives it to a client.
    ///
    /// If there is no free place, the client for which the plugin has waited
    /// the longest loses its connection. If the plugin works for all clients,
    /// this waits until it has answered one of them.
    pub fn admit(self: &Arc<Self>, stream: Stream) -> Place {
        while self.list().by_number.len() >= MOST && !self.close_idlest() {
            thread::sleep(Duration::from_millis(10));
        }
        let doing = Doing {
            what: What::Idle,
            since: Instant::now(),
            call: String::new(),
        };
        let connection =
            Arc::new(Connection { stream, doing: Mutex::new(doing) });
        let mut list = self.list();
        list.last += 1;
        let number = list.last;
        list.by_number.insert(number, Arc::clone(&connection));
        drop(list);
        Place { connections: Arc::clone(self), number, connection }
    }

    /// Disconnects the client for which the plugin has waited the longest.
    /// Returns false if the plugin has waited long for none.
    pub fn close_idlest(&self) -> bool {
        let mut list = self.list();
        let silent =
            list.by_number.iter().filter_map(|(number, connection)| {
                let doing = connection.doing();
                let is_long = doing.since.elapsed() > SILENCE_AT_LEAST;
                let is_silent = doing.what != What::Working && is_long;
                is_silent.then_some((doing.since, *number))
            });
        let Some((_, number)) = silent.min() else { return false };
        if let Some(connection) = list.by_number.remove(&number) {
            // Its thread sees the end of the connection, and ends.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        true
    }

    /// From now on, no call begins.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Waits until no call is running or `deadline` has passed; returns the
    /// calls still running.
    pub fn at_work(&self, deadline: Instant) -> Vec<String> {
        loop {
            let list = self.list();
            let busy = list.by_number.values().filter_map(|connection| {
                let doing = connection.doing();
                let waits = match doing.what {
                    What::Idle => false,
                    What::Talking => doing.since.elapsed() < SILENCE_AT_STOP,
                    What::Working => true,
                };
                waits.then(|| doing.call.clone())
            });
            let busy: Vec<_> = busy.collect();
            drop(list);
            if busy.is_empty() || deadline <= Instant::now() {
                return busy;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The head of a call has been read.
    pub fn receives(&self, call: &str) {
        self.connection.begin(What::Talking);
        call.clone_into(&mut self.connection.doing().call);
    }

    /// The whole call has been read: from now on, the plugin works. Returns
    /// false if the plugin stops, so that the call must not begin.
    pub fn works(&self) -> bool {
        self.connection.begin(What::Working);
        // After `close` comes `at_work`: either it sees the call, or this sees
        // that the door is closed.
        let is_closed = self.connections.is_closed.load(Ordering::SeqCst);
        if is_closed {
            self.rests();
        }
        !is_closed
    }

    /// The answer is ready: from now on, the plugin waits for the client.
    pub fn answers(&self) {
        self.connection.begin(What::Talking);
    }

    /// The answer has been sent.
    pub fn rests(&self) {
        self.connection.begin(What::Idle);
    }
}

impl Connection {
    fn begin(&self, what: What) {
        let mut doing = self.doing();
        doing.what = what;
        doing.since = Instant::now();
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.list().by_number.remove(&self.number);
    }
}
