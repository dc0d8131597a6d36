//! Everything on one machine: origins with faults, users, a proxy and a live view
