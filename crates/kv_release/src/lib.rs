//! What makes a release: configuration, command line, boot and drain, console, control socket.
