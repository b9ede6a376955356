//! Dialling real servers on loopback.
