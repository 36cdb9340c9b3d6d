//! The whole bridge against the emulator, over real sockets.

mod crash;
mod equal;
mod price;
mod process;
mod support;
