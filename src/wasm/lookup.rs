//! `wasi:sockets/ip-name-lookup`: names of the list are looked up, and what they lead to is noted for the connections that
//! follow. Names in other letters are looked up in their ASCII form (`xn--…`); an address is given back as it is, and judged when it is connected to.

use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::vec::IntoIter;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network as Capability, Pollable, SocketError, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::network::Network;
use super::sockets::limited;
use super::state::State;
use crate::project::network::Host as Destination;

/// The addresses of one name.
enum Addresses {
    Awaited(AbortOnDropJoinHandle<Result<Vec<IpAddr>, ErrorCode>>),
    Found(Result<IntoIter<IpAddr>, ErrorCode>),
}

impl Addresses {
    fn found(found: Result<Vec<IpAddr>, ErrorCode>) -> Addresses {
        Addresses::Found(found.map(Vec::into_iter))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Result<IntoIter<IpAddr>, ErrorCode>> {
        if let Addresses::Awaited(looking) = self {
            let Poll::Ready(found) = Pin::new(looking).poll(cx) else {
                return Poll::Pending;
            };
            *self = Addresses::found(found);
        }
        match self {
            Addresses::Found(found) => Poll::Ready(found),
            Addresses::Awaited(_) => Poll::Pending,
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(|_| ())).await;
    }
}

/// The handles of the guest are typed by wasmtime's own stream; ours stand behind them.
fn ours(stream: &Resource<ResolveAddressStream>) -> Resource<Addresses> {
    Resource::new_borrow(stream.rep())
}

/// The addresses of a name that may be looked up.
pub async fn look_up(network: Arc<Network>, name: String) -> Result<Vec<IpAddr>, ErrorCode> {
    let found = network.look_up(&name).await;
    let addresses = found.map_err(|_| ErrorCode::NameUnresolvable)?;
    network.remember(&name, &addresses);
    Ok(addresses)
}

impl Host for State {
    fn resolve_addresses(
        &mut self,
        capability: Resource<Capability>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        self.table.get(&capability)?;
        let addresses = match Destination::parse(&name).ok_or(ErrorCode::InvalidArgument)? {
            Destination::Address(address) => Addresses::found(Ok(vec![address])),
            Destination::Name(name) => {
                let network = self.network();
                if !network.may_look_up(&name) {
                    return Err(ErrorCode::AccessDenied.into());
                }
                Addresses::Awaited(spawn(look_up(network, name)))
            }
        };
        let stream = self.table.push(addresses).map_err(|full| limited(full.into()))?;
        Ok(Resource::new_own(stream.rep()))
    }
}

impl HostResolveAddressStream for State {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let addresses = self.table.get_mut(&ours(&stream))?;
        match addresses.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Err(ErrorCode::WouldBlock.into()),
            Poll::Ready(Ok(found)) => Ok(found.next().map(IpAddress::from)),
            Poll::Ready(Err(code)) => Err((*code).into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Addresses>::new_own(stream.rep()))?;
        Ok(())
    }
}
