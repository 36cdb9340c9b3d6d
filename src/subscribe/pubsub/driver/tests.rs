//! Against the emulator, over real sockets.
