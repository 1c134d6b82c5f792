//! What a supervisor promises, one test for each promise. Children say on a [`stage`] what they do.

mod intensity;
mod restarts;
mod shutdown;
mod stage;
mod strategies;
mod tasks;
mod tree;
