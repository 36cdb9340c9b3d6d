//! The whole bridge against the emulator, over real sockets.

mod cli;
mod crash;
mod equal;
mod failed;
mod price;
mod process;
mod resume;
mod support;
