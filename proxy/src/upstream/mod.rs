//! Everything towards the clusters: live state, connections, active checks.

pub mod cell;
pub mod connect;
pub mod endpoint;
pub mod lane;
pub mod permit;
pub mod pool;
pub mod registry;
pub mod service;
pub mod view;
