//! What a server may ask of this client, at most.
