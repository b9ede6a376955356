//! SASL mechanisms, and the choice among those offered.
