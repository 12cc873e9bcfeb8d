//! The decision library: request statistics in, a number of instances and its reason out.
