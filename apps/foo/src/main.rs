//! The release `foo`: the store, links to other nodes, and a port for clients.

use kv_release::{Release, Service};
use std::process::ExitCode;

fn main() -> ExitCode {
    let foo = Release::new("foo", env!("CARGO_PKG_VERSION"));
    kv_release::main(foo.clients(|address, cluster, settings, stop, registry| async move {
        let limits = kv_server::Limits {
            line_bytes: settings.max_line_bytes,
            connections: settings.max_connections,
            client_memory: settings.max_memory.unwrap_or(usize::MAX),
            tcp_keepalive_seconds: settings.tcp_keepalive_seconds,
            io_uring: settings.io_uring,
            redis: kv_server::RedisLimits::default(),
        };
        let server =
            kv_server::bind(&address, cluster, limits, settings.config_file, stop, &registry).await?;
        Ok::<_, kv_server::Error>(Service::new("kv_server", server.address, move || server.supervisor()))
    }))
}
