//! `wasi:sockets`: there to be linked against, and refused: nobody ever gets a socket.
//!
//! So functions on sockets cannot be called at all, and are defined by their names alone.

use super::held::{Held, Network};
use super::{Context, Host, give, interface, resource};
use crate::engine::meter::Halt;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource};

/// Kinds of things that nobody ever gets.
enum TcpSocket {}
enum UdpSocket {}
enum IncomingDatagrams {}
enum OutgoingDatagrams {}
enum Addresses {}

/// `wasi:sockets/network.ip-address-family`.
#[derive(ComponentType, Lift, Debug, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "either is refused")]
enum Family {
    #[component(name = "ipv4")]
    Ipv4,
    #[component(name = "ipv6")]
    Ipv6,
}

/// `wasi:sockets/network.error-code`.
#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only one of them is ever the reason")]
enum ErrorCode {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "not-supported")]
    NotSupported,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "out-of-memory")]
    OutOfMemory,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "concurrency-conflict")]
    ConcurrencyConflict,
    #[component(name = "not-in-progress")]
    NotInProgress,
    #[component(name = "would-block")]
    WouldBlock,
    #[component(name = "invalid-state")]
    InvalidState,
    #[component(name = "new-socket-limit")]
    NewSocketLimit,
    #[component(name = "address-not-bindable")]
    AddressNotBindable,
    #[component(name = "address-in-use")]
    AddressInUse,
    #[component(name = "remote-unreachable")]
    RemoteUnreachable,
    #[component(name = "connection-refused")]
    ConnectionRefused,
    #[component(name = "connection-reset")]
    ConnectionReset,
    #[component(name = "connection-aborted")]
    ConnectionAborted,
    #[component(name = "datagram-too-large")]
    DatagramTooLarge,
    #[component(name = "name-unresolvable")]
    NameUnresolvable,
    #[component(name = "temporary-resolver-failure")]
    TemporaryResolverFailure,
    #[component(name = "permanent-resolver-failure")]
    PermanentResolverFailure,
}

const TCP_METHODS: [&str; 28] = [
    "start-bind",
    "finish-bind",
    "start-connect",
    "finish-connect",
    "start-listen",
    "finish-listen",
    "accept",
    "local-address",
    "remote-address",
    "is-listening",
    "address-family",
    "set-listen-backlog-size",
    "keep-alive-enabled",
    "set-keep-alive-enabled",
    "keep-alive-idle-time",
    "set-keep-alive-idle-time",
    "keep-alive-interval",
    "set-keep-alive-interval",
    "keep-alive-count",
    "set-keep-alive-count",
    "hop-limit",
    "set-hop-limit",
    "receive-buffer-size",
    "set-receive-buffer-size",
    "send-buffer-size",
    "set-send-buffer-size",
    "subscribe",
    "shutdown",
];

const UDP_METHODS: [&str; 13] = [
    "start-bind",
    "finish-bind",
    "stream",
    "local-address",
    "remote-address",
    "address-family",
    "unicast-hop-limit",
    "set-unicast-hop-limit",
    "receive-buffer-size",
    "set-receive-buffer-size",
    "send-buffer-size",
    "set-send-buffer-size",
    "subscribe",
];

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    resource::<Network>(&mut interface(linker, "sockets/network")?, "network")?;
    let mut network = interface(linker, "sockets/instance-network")?;
    network.func_wrap("instance-network", |mut context: Context<'_>, ()| {
        give(&mut context, |call| call.hold::<Network>(Held::Network))
    })?;
    let mut lookup = interface(linker, "sockets/ip-name-lookup")?;
    unreachable::<Addresses>(
        &mut lookup,
        "resolve-address-stream",
        &["resolve-next-address", "subscribe"],
    )?;
    lookup.func_wrap("resolve-addresses", |mut context, params: (Resource<Network>, String)| {
        give(&mut context, |call| {
            call.pay_path(params.1.len() as u64)?;
            Ok(refusal::<Addresses>())
        })
    })?;
    define_sockets(linker)
}

fn define_sockets(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    unreachable::<TcpSocket>(&mut interface(linker, "sockets/tcp")?, "tcp-socket", &TCP_METHODS)?;
    let mut udp = interface(linker, "sockets/udp")?;
    unreachable::<UdpSocket>(&mut udp, "udp-socket", &UDP_METHODS)?;
    let incoming = ["receive", "subscribe"];
    unreachable::<IncomingDatagrams>(&mut udp, "incoming-datagram-stream", &incoming)?;
    let outgoing = ["check-send", "send", "subscribe"];
    unreachable::<OutgoingDatagrams>(&mut udp, "outgoing-datagram-stream", &outgoing)?;
    let mut tcp = interface(linker, "sockets/tcp-create-socket")?;
    tcp.func_wrap("create-tcp-socket", |mut context: Context<'_>, (_,): (Family,)| {
        give(&mut context, |_| Ok(refusal::<TcpSocket>()))
    })?;
    let mut udp = interface(linker, "sockets/udp-create-socket")?;
    udp.func_wrap("create-udp-socket", |mut context: Context<'_>, (_,): (Family,)| {
        give(&mut context, |_| Ok(refusal::<UdpSocket>()))
    })
}

fn refusal<T: 'static>() -> Result<Resource<T>, ErrorCode> {
    Err(ErrorCode::NotSupported)
}

/// A resource that is never given to anybody, and the functions that would take it.
fn unreachable<T: 'static>(
    interface: &mut LinkerInstance<'_, Host>,
    name: &str,
    methods: &[&str],
) -> wasmtime::Result<()> {
    resource::<T>(interface, name)?;
    for method in methods {
        interface
            .func_new(&format!("[method]{name}.{method}"), |_, _, _, _| Err(Halt::Host.into()))?;
    }
    Ok(())
}
