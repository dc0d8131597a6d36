//! `TrafficDefaults`: one level of defaults below every `MultiClusterService`. At most one document.
