//! End-to-end promises, one target
