//! The HTTP data plane: one exchange from a client connection to an upstream.
