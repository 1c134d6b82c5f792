//! What a supervisor guarantees, one test for each guarantee. Children [record](recorder) when they start and
//! end.

mod dynamic;
mod intensity;
mod recorder;
mod restarts;
mod shutdown;
mod strategies;
mod tasks;
mod tree;
