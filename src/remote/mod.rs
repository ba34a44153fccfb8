//! How: transports, the kept shell, framing, sudo and transfer.
