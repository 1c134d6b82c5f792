//! Clients: acceptor, connection, protocol, router.
