//! Variables: precedence, laziness, where a value came from.
