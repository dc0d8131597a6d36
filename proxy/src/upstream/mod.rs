//! Everything towards the clusters: live state, connections, discovery.

pub mod buckets;
pub mod cell;
pub mod connect;
pub mod discover;
pub mod endpoint;
pub mod extras;
pub mod lane;
pub mod permit;
pub mod pool;
pub mod registry;
pub mod service;
pub mod view;
