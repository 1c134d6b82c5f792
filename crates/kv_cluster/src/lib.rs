//! Nodes: who owns a bucket and how to ask them.
