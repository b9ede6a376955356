//! OAuth2: getting, refreshing and keeping tokens.
