//! What any backend must do.
