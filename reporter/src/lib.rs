//! The client side of the report stream: statistics, history, directives, reconnection.
