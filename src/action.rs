//! Actions: something that is done for each event of a kind, in an org or elsewhere.
//!
//! `call` does it. It is not repeatable in general, so nothing here is covered by a read, merged, or taken for done
//! because something newer was.

pub mod call;
