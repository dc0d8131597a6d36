//! The one schema both planes share: YAML documents to a validated model
