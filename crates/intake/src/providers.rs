//! What is known of mail providers.
