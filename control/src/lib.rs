//! The causeway command
