//! `wasi:sockets`: wasmtime's, with the look-ups of `lookup` and with a socket too many as the guest's own failure to handle.
//!
//! The context asks [`Network`](super::network::Network) about every address before it is used.

use wasmtime::component::{HasData, Linker, Resource, ResourceTableError};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{Network as Capability, SocketError, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

use super::state::State;

/// The interfaces that are implemented by the state itself.
pub struct Own;

impl HasData for Own {
    type Data<'a> = &'a mut State;
}

/// Links all interfaces.
///
/// # Errors
/// When the linker has one of them already.
pub fn link(l: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = wasi::LinkOptions::default();
    wasi::sockets::tcp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::udp::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::instance_network::add_to_linker::<State, WasiSockets>(l, State::sockets)?;
    wasi::sockets::network::add_to_linker::<State, WasiSockets>(l, &(&options).into(), State::sockets)?;
    tcp_create_socket::add_to_linker::<State, Own>(l, |state| state)?;
    udp_create_socket::add_to_linker::<State, Own>(l, |state| state)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<State, Own>(l, |state| state)
}

// What becomes of the errors of our own functions is as for the others.
impl network::HostNetwork for State {
    fn drop(&mut self, capability: Resource<Capability>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), capability)
    }
}

impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets(), error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

/// `max_handles` as the guest gets to see it where a call can fail.
pub fn limited(error: SocketError) -> SocketError {
    match error.downcast() {
        Ok(code) => code.into(),
        Err(trap) if matches!(trap.downcast_ref(), Some(ResourceTableError::Full)) => ErrorCode::NewSocketLimit.into(),
        Err(trap) => SocketError::trap(trap),
    }
}

impl tcp_create_socket::Host for State {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> Result<Resource<TcpSocket>, SocketError> {
        tcp_create_socket::Host::create_tcp_socket(&mut self.sockets(), family).map_err(limited)
    }
}

impl udp_create_socket::Host for State {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> Result<Resource<UdpSocket>, SocketError> {
        let made = udp_create_socket::Host::create_udp_socket(&mut self.sockets(), family).await;
        made.map_err(limited)
    }
}
