//! What a node says on stdout when it has started. The lines `name  value` are stable: scripts read them.

use crate::console::Node;
use std::io::Write;

/// Prints the banner; a closed stdout is no reason to end.
pub(crate) fn print(node: &Node) {
    let _ = std::io::stdout().lock().write_all(text(node).as_bytes());
}

fn text(node: &Node) -> String {
    let release = node.release;
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(|| "none".to_owned(), |address| address.to_string())
    };
    let config =
        node.file.as_ref().map_or_else(|| "none, all defaults".to_owned(), |f| f.display().to_string());
    let mut lines = vec![
        format!("{release} {}", node.version),
        format!("  node     {}", node.cluster.me()),
        format!("  pid      {}", std::process::id()),
        format!("  clients  {}", address(node.clients)),
        format!("  link     {}", address(node.link)),
        "  storage  volatile: what it holds is gone when it ends".to_owned(),
        format!("  config   {config}"),
        String::new(),
    ];
    match node.clients {
        Some(clients) => {
            let (ip, port) = (clients.ip(), clients.port());
            lines.push(format!("  talk to it      telnet {ip} {port}, then CREATE shopping"));
        }
        None => lines
            .push("  talk to it      it takes no clients; other nodes and its console reach it".to_owned()),
    }
    lines.push(format!("  its console     {release} remote"));
    if node.file.is_none() {
        lines.push(format!("  make a cluster  {release} start --config rel/runtime.toml"));
    }
    lines.push(format!("  all verbs       {release} help"));
    lines.push(String::new());
    lines.join("\n") + "\n"
}
