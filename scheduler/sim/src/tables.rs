//! What trust costs, measured on the production rules: error and slowdown of replication policies.
