//! What one run may reach of the network, behind the list of [`project::network`](crate::project::network): it remembers
//! where its own look-ups led, so that an address is judged by the name that gave it, and says once what was denied and
//! which line would allow it.
//!
//! `lookup` and `http` ask here before they look up or connect, and wasmtime's sockets before every use of an address.
//!
//! Invariant: what is connected to is an address that was judged, never a name that is looked up once more.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Semaphore;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::serving::Serving;
use super::tls::Tls;
use crate::lock::lock;
use crate::log::{Level, Record};
use crate::project::network::{AllowList, Host};

/// Look-ups hold a thread each until the system's resolver answers: so many at once in the whole program, and of one run.
const LOOKUPS: usize = 64;
const LOOKUPS_OF_ONE: usize = 4;
/// Addresses that a run has from look-ups; beyond that the oldest is forgotten, and has to be looked up again.
const KNOWN: usize = 1024;
/// Denials that a run gets to see in the log.
const TOLD: usize = 10;

/// What all runs share on their way out.
#[derive(Default)]
pub struct Outside {
    pub tls: Tls,
    lookups: OnceLock<Arc<Semaphore>>,
}

impl Outside {
    fn lookups(&self) -> &Arc<Semaphore> {
        self.lookups.get_or_init(|| Arc::new(Semaphore::new(LOOKUPS)))
    }
}

/// What an entry may reach.
#[derive(Default)]
pub struct Reach {
    pub list: AllowList,
    pub outside: Arc<Outside>,
    /// The module was named on the command line: there is no entry to write into.
    pub given: bool,
}

/// What one run may reach.
pub struct Network {
    reach: Arc<Reach>,
    serving: Arc<Serving>,
    lookups: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where allowed names led, the newest last.
    addresses: VecDeque<(IpAddr, Arc<str>)>,
    /// Patterns that would have allowed what was denied.
    told: Vec<String>,
}

impl Network {
    pub fn new(reach: Arc<Reach>, serving: Arc<Serving>) -> Network {
        Network {
            reach,
            serving,
            lookups: Arc::new(Semaphore::new(LOOKUPS_OF_ONE)),
            known: Mutex::default(),
        }
    }

    pub fn tls(&self) -> &Tls {
        &self.reach.outside.tls
    }

    /// Whether a name may be looked up at all; a port comes with the connection.
    pub fn may_look_up(&self, name: &str) -> bool {
        let allowed = self.reach.list.has_name(name, None);
        if !allowed {
            let wanted = Host::Name(name.to_owned()).with_port('*');
            self.deny(&format!("the look-up of {name}"), &wanted);
        }
        allowed
    }

    /// Whether a connection to that host and port may be tried; the addresses of a name are judged one by one after it.
    pub fn may_try(&self, host: &Host, port: u16) -> bool {
        let allowed = match host {
            Host::Name(name) => self.reach.list.has_name(name, Some(port)),
            Host::Address(address) => self.reach.list.has_address(SocketAddr::new(*address, port)),
        };
        if !allowed {
            let wanted = host.with_port(port);
            self.deny(&format!("a connection to {wanted}"), &wanted);
        }
        allowed
    }

    /// Of the addresses that a name was found to have, those that may be connected to.
    pub fn judge(&self, name: &str, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let (allowed, denied): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| self.reach.list.leads_to(name, *address));
        if let (true, Some(first)) = (allowed.is_empty(), denied.first()) {
            let wanted = Host::Address(first.ip().to_canonical()).with_port(first.port());
            self.deny(&format!("a connection to {wanted}, where {name} leads,"), &wanted);
        }
        allowed
    }

    /// The addresses of a name, asked of the system. Waits without a thread while others look up.
    ///
    /// # Errors
    /// What the system's resolver says.
    pub async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (own, all) = (self.lookups.clone(), self.reach.outside.lookups().clone());
        let own = own.acquire_owned().await.map_err(io::Error::other)?;
        let all = all.acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            // A run that ended meanwhile has its look-up still going on.
            let _permits = (own, all);
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip().to_canonical()).collect())
        });
        looking.await?
    }

    /// Notes where a name led, for connections to come.
    pub fn remember(&self, name: &str, addresses: &[IpAddr]) {
        let name: Arc<str> = name.into();
        let mut known = self.known();
        for address in addresses {
            known.addresses.retain(|(ip, own)| (ip, own) != (address, &name));
            known.addresses.push_back((*address, name.clone()));
        }
        let surplus = known.addresses.len().saturating_sub(KNOWN);
        known.addresses.drain(..surplus);
    }

    /// What wasmtime's sockets ask before they use an address.
    pub fn may_use(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::TcpConnect => self.may_reach(address, "a connection"),
            SocketAddrUse::UdpSend => self.may_reach(address, "a datagram"),
            // Whoever writes to the guest must not fill the log.
            SocketAddrUse::UdpReceive => self.is_reachable(address),
            // A port that the system chooses: every client has one.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if address.port() == 0 => true,
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind | SocketAddrUse::TcpListen => self.may_listen(address),
            // Who listens was allowed to.
            SocketAddrUse::TcpAccept => true,
        }
    }

    fn is_reachable(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let list = &self.reach.list;
        let led = |(known, name): &(IpAddr, Arc<str>)| *known == ip && list.leads_to(name, address);
        list.has_address(address) || self.known().addresses.iter().any(led)
    }

    fn may_reach(&self, address: SocketAddr, what: &str) -> bool {
        let allowed = self.is_reachable(address);
        if !allowed {
            let wanted = Host::Address(address.ip().to_canonical()).with_port(address.port());
            self.deny(&format!("{what} to {wanted}"), &wanted);
        }
        allowed
    }

    fn may_listen(&self, local: SocketAddr) -> bool {
        let allowed = self.reach.list.may_listen(local);
        if !allowed {
            let own = if local.is_ipv4() { "0.0.0.0" } else { "[::]" };
            self.deny(&format!("listening on {local}"), &format!("{own}:{}", local.port()));
        }
        allowed
    }

    /// Says once what was denied, and what would have allowed it.
    fn deny(&self, what: &str, pattern: &str) {
        let cure = || match self.reach.given {
            true => format!("to allow it: --network '{pattern}'"),
            false => format!(
                "to allow it, write into the entry: {}",
                self.reach.list.line_with(pattern)
            ),
        };
        self.tell(pattern, || format!("the network list denies {what}; {}", cure()));
    }

    /// A warning about this run, once per `key`, and not more of them than anybody reads.
    pub fn tell(&self, key: &str, text: impl FnOnce() -> String) {
        let mut known = self.known();
        if known.told.len() > TOLD || known.told.iter().any(|told| told == key) {
            return;
        }
        known.told.push(key.to_owned());
        let last = known.told.len() > TOLD;
        drop(known);
        let text = match last {
            true => "this run's further troubles with the network are not logged".to_owned(),
            false => text(),
        };
        let process = self.serving.process();
        let record = Record::new(Level::Warn, text).about(process.pid(), &process.entry());
        process.kernel().log().record(record);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        lock(&self.known)
    }
}
