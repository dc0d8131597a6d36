//! What the parts of the demo promise, over real sockets and processes.

mod origin;
mod topology;
mod users;
