//! The data plane: the IO shell around the policy
