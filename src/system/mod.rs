//! What processes share with the machine they run on: the terminal, folders, the environment.

pub mod terminal;
