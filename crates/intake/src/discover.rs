//! From a mail address to its POP3 server: SRV records, autoconfig, well-known names.
