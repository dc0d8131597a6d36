//! bounded_load
